//! Quality of service of ports: from what is wished to what the worker does.
//!
//! Purpose: fill in what a QoS record leaves open, as Open vSwitch does; tell the worker when it
//! changes; give counts of queues to those who ask.
//! Deliberately does not know: how frames wait.

use std::collections::BTreeMap;

use sluice_engine::egress::{Discipline, Plan, QueueCount, QueueRates, TwoRates};
use sluice_flow::BridgeIdx;
use sluice_openflow::PortNo;
use sluice_ovsdb_bridge as desired;

use super::bridge::{Attachment, PortState};
use super::{Command, Switch};

/// Bits in a second of a link whose speed nobody knows.
const UNKNOWN_SPEED: u64 = 100_000_000;
/// What a burst has beyond the MTU at least: headers.
const HEADERS: u64 = 64;

/// What the worker was told of a port.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    /// How frames leave.
    pub plan: Plan,
    /// Since when queues are there, milliseconds.
    since: BTreeMap<u32, u64>,
}

/// A queue, for those who ask.
#[derive(Clone, Copy, Debug)]
pub struct QueueState {
    /// Its number.
    pub number: u32,
    /// What it has done, as of the last report.
    pub count: QueueCount,
    /// Since when it is there, milliseconds.
    pub since_ms: u64,
}

impl PortState {
    /// Numbers of the queues that are there, in order.
    pub fn queues(&self) -> impl Iterator<Item = u32> + '_ {
        let (htb, two) = match &self.shape.plan.discipline {
            Discipline::Htb { queues, .. } => (Some(queues.keys()), None),
            Discipline::TwoRate { queues, .. } => (None, Some(queues.keys())),
            _ => (None, None),
        };
        htb.into_iter().flatten().chain(two.into_iter().flatten()).copied()
    }
}

impl Switch {
    /// Queues of a port with what they have done, by number.
    pub fn queue_states(&self, port: &PortState) -> Vec<QueueState> {
        let counts = match port.attachment {
            Attachment::Device { device, .. } => self.reports.queues(device),
            Attachment::None => &[],
        };
        let state = |number: u32| {
            let count = counts.iter().find(|(n, _)| *n == number).map(|(_, c)| *c).unwrap_or_default();
            QueueState { number, count, since_ms: port.shape.since.get(&number).copied().unwrap_or(0) }
        };
        port.queues().map(state).collect()
    }

    /// Tells the worker how frames leave by a port's device, where that has changed.
    pub(super) fn shape(&mut self, index: BridgeIdx, number: PortNo) {
        let now_ms = self.now_of_last_report();
        let Some(port) = self.port_mut(index, number) else { return };
        let Attachment::Device { device, open: true } = port.attachment else { return };
        let plan = port.wanted.as_ref().and_then(|w| w.qos.as_ref()).map_or(Plan::default(), |qos| plan(qos, port));
        if port.shape.plan == plan {
            return;
        }
        let kept = std::mem::take(&mut port.shape.since);
        port.shape.plan = plan.clone();
        port.shape.since = port.queues().map(|q| (q, kept.get(&q).copied().unwrap_or(now_ms))).collect();
        if let Some(team) = &mut self.team {
            team.tell(device, Command::Shape { device, plan: Box::new(plan) });
        }
    }
}

fn plan(qos: &desired::Qos, port: &PortState) -> Plan {
    let discipline = match &qos.discipline {
        desired::Discipline::Noop => Discipline::None,
        desired::Discipline::Htb { max_rate, queues } => htb(*max_rate, queues, port),
        desired::Discipline::Policer { cir, cbs } => Discipline::Policer { cir: *cir, cbs: *cbs },
        desired::Discipline::TwoRate { all, queues } => {
            let all = two_rates(all);
            let mut queues: BTreeMap<u32, TwoRates> = queues.iter().map(|(n, r)| (*n, two_rates(r))).collect();
            queues.entry(0).or_insert(all);
            Discipline::TwoRate { all, queues }
        }
    };
    Plan { discipline, dscp: qos.dscp.clone() }
}

fn two_rates(r: &desired::TwoRates) -> TwoRates {
    TwoRates { cir: r.cir, cbs: r.cbs, eir: r.eir, ebs: r.ebs }
}

/// The root's rate is the link's where none is given; a queue is promised an MTU a second at least, for
/// it would send nothing on a link that others fill.
fn htb(max_rate: Option<u64>, queues: &BTreeMap<u32, desired::Queue>, port: &PortState) -> Discipline {
    let speed = match port.link.speed_kbps {
        0 => UNKNOWN_SPEED,
        kbps => u64::from(kbps) * 1000,
    };
    let wished = port.wanted.as_ref().and_then(|w| w.mtu).map(u64::from);
    let mtu = wished.unwrap_or(if port.link.mtu > 0 { u64::from(port.link.mtu) } else { 1500 });
    let root = max_rate.map(|bits| bits / 8).filter(|r| *r > 0).unwrap_or(speed / 8);
    let rates = |q: &desired::Queue| {
        let min_rate = (q.min_rate.unwrap_or(0) / 8).max(mtu).min(root);
        let most = q.max_rate.filter(|bits| *bits > 0).map_or(root, |bits| bits / 8);
        let burst = (q.burst.unwrap_or(0) / 8).max(mtu + HEADERS);
        QueueRates { min_rate, max_rate: most.max(min_rate).min(root), burst, priority: q.priority }
    };
    let mut queues: BTreeMap<u32, QueueRates> = queues.iter().map(|(n, q)| (*n, rates(q))).collect();
    queues.entry(0).or_insert_with(|| rates(&desired::Queue::default()));
    Discipline::Htb { max_rate: root, queues }
}
