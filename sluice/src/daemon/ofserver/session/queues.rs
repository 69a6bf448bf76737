//! Queues of ports, for those who ask.
//!
//! Deliberately does not know: what queues do.

use sluice_openflow::message::{QueueConfig, QueueStats, QueueStatsRequest, StatsReply};
use sluice_openflow::{Message, OfpError, PortNo};

use super::{Effect, Session, Turn};
use crate::daemon::switch::bridge::PortState;

/// Every queue.
const ALL_QUEUES: u32 = 0xffff_ffff;

impl Session {
    /// Ports that a request is about, and of each the queues that it has of those asked for. One queue
    /// that nobody has is an error.
    fn asked<'a>(&self, request: QueueStatsRequest, turn: &'a Turn<'_>) -> Result<Vec<(&'a PortState, Vec<u32>)>, OfpError> {
        let Some(bridge) = turn.switch.bridge(self.bridge) else { return Ok(Vec::new()) };
        let all = [PortNo::ALL, PortNo::NONE].contains(&request.port);
        let ports = bridge.ports.values().filter(|p| all || p.number == request.port);
        let wanted = |q: &u32| request.queue == ALL_QUEUES || request.queue == *q;
        let found: Vec<_> = ports.map(|p| (p, p.queues().filter(wanted).collect::<Vec<u32>>())).collect();
        if found.is_empty() {
            return Err(OfpError::OFPQOFC_BAD_PORT);
        }
        if request.queue != ALL_QUEUES && found.iter().all(|(_, queues)| queues.is_empty()) {
            return Err(OfpError::OFPQOFC_BAD_QUEUE);
        }
        Ok(found)
    }

    pub(super) fn queue_configs(&self, request: QueueStatsRequest, turn: &Turn<'_>) -> Result<Vec<QueueConfig>, OfpError> {
        let found = self.asked(request, turn)?;
        let of_port = |(port, queues): (&PortState, Vec<u32>)| {
            let number = port.number;
            queues.into_iter().map(move |q| QueueConfig::unlimited(number, q))
        };
        Ok(found.into_iter().flat_map(of_port).collect())
    }

    pub(super) fn queues(&mut self, request: QueueStatsRequest, xid: u32, turn: &mut Turn<'_>) -> Result<Effect, OfpError> {
        let mut queues = Vec::new();
        for (port, wanted) in self.asked(request, turn)? {
            let states = turn.switch.queue_states(port).into_iter().filter(|q| wanted.contains(&q.number));
            queues.extend(states.map(|q| {
                let age = turn.now_ms.saturating_sub(q.since_ms);
                QueueStats {
                    port: port.number,
                    queue: q.number,
                    tx_bytes: q.count.bytes,
                    tx_packets: q.count.packets,
                    tx_errors: q.count.errors,
                    duration_sec: u32::try_from(age / 1000).unwrap_or(u32::MAX),
                    duration_nsec: (age % 1000) as u32 * 1_000_000,
                }
            }));
        }
        self.answer_stats(StatsReply::Queue { more: false, queues }, xid, turn)
    }

    pub(super) fn queue_config(&mut self, port: PortNo, xid: u32, turn: &mut Turn<'_>) -> Result<Effect, OfpError> {
        let queues = self.queue_configs(QueueStatsRequest { port, queue: ALL_QUEUES }, turn)?;
        self.answer(Message::QueueGetConfigReply(port, queues), xid, turn)
    }
}
