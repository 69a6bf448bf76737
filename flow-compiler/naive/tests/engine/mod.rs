//! The real engine as a subject: compiler, program, flow cache and worker, on ports in memory.

use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex};

use sluice::inline::Inline;
use sluice_flow::action::LOCAL;
use sluice_flow::program::{Port as BridgePort, PortKind, VlanMode};
use sluice_flow::Change;
use sluice_frame::{Frame, Pool};
use sluice_naive::{Input, Output, RuleHits, Subject, World};
use sluice_openflow::version::Version;
use sluice_port::{Offloads, Port, PortError, PortStats, SendDrop, SendOutcome};

/// Frames on their way in and out of a port.
#[derive(Default)]
struct Queues {
    incoming: VecDeque<Vec<u8>>,
    outgoing: Vec<Vec<u8>>,
}

struct Memory(Arc<Mutex<Queues>>);

impl Port for Memory {
    fn name(&self) -> &str {
        "memory"
    }

    fn receive(&mut self, pool: &mut Pool, out: &mut Vec<Frame>, max: usize) -> Result<usize, PortError> {
        let mut queues = self.0.lock().unwrap();
        let mut n = 0;
        while n < max {
            let Some(bytes) = queues.incoming.pop_front() else { break };
            out.push(pool.copy_in(&bytes).expect("frame memory"));
            n += 1;
        }
        Ok(n)
    }

    fn send(&mut self, pool: &mut Pool, frames: &mut Vec<Frame>) -> SendOutcome {
        let mut outcome = SendOutcome { sent: 0, dropped: [0; SendDrop::COUNT] };
        for frame in frames.drain(..) {
            self.0.lock().unwrap().outgoing.push(frame.to_vec());
            pool.free(frame);
            outcome.sent += 1;
        }
        outcome
    }

    fn poll_fd(&self) -> Option<RawFd> {
        None
    }

    fn stats(&self) -> PortStats {
        PortStats::default()
    }

    fn offloads(&self) -> Offloads {
        Offloads::default()
    }
}

/// The engine.
#[derive(Default)]
pub struct Engine {
    switch: Option<Inline>,
    ports: Vec<(usize, u32, Arc<Mutex<Queues>>)>,
}

impl Subject for Engine {
    fn name(&self) -> String {
        "engine".into()
    }

    fn load(&mut self, world: &World) -> Result<(), String> {
        let mut switch = Inline::new(2048, 4096, 4096).map_err(|e| format!("{e:?}"))?;
        self.ports.clear();
        for (b, _) in world.bridges.iter().enumerate() {
            switch.add_bridge(b as u16);
        }
        for (b, spec) in world.bridges.iter().enumerate() {
            let local = (LOCAL, None, None);
            for (number, access, peer) in spec.ports.iter().map(|p| (p.number, p.access, p.peer)).chain([local]) {
                if let Some((bridge, port)) = peer {
                    switch.add_port(b as u16, number, PortKind::Patch { bridge: bridge as u16, port });
                    continue;
                }
                let queues = Arc::new(Mutex::new(Queues::default()));
                let idx = switch.add_device(b as u16, number, Box::new(Memory(queues.clone())));
                if let Some(vlan) = access {
                    let to = Some(BridgePort { vlan: VlanMode::Access(vlan), ..BridgePort::device(idx) });
                    switch.change(&[Change::SetPort { bridge: b as u16, port: number, to }]);
                }
                self.ports.push((b, number, queues));
            }
            for (text, rule) in spec.text.iter().zip(&spec.rules) {
                let version = if sluice_naive::generate::needs_instructions(text) { Version::V13 } else { Version::V10 };
                switch.flow_mod(b as u16, rule, version).map_err(|e| format!("{text}: {e}"))?;
            }
        }
        self.switch = Some(switch);
        Ok(())
    }

    fn packet(&mut self, input: &Input, now: u64) -> Result<Vec<Output>, String> {
        let switch = self.switch.as_mut().ok_or("nothing loaded")?;
        let (_, _, queues) = self
            .ports
            .iter()
            .find(|(b, n, _)| (*b, *n) == (input.bridge, input.port))
            .ok_or("no such port")?;
        queues.lock().unwrap().incoming.push_back(input.bytes.clone());
        while switch.turn(now) > 0 {}
        let mut out = Vec::new();
        for (bridge, port, queues) in &self.ports {
            for bytes in queues.lock().unwrap().outgoing.drain(..) {
                out.push(Output { bridge: *bridge, port: *port, bytes });
            }
        }
        Ok(out)
    }

    fn hits(&mut self) -> Result<Option<Vec<RuleHits>>, String> {
        let switch = self.switch.as_mut().ok_or("nothing loaded")?;
        switch.fold();
        let mut all = Vec::new();
        for bridge in 0..2u16 {
            all.extend(switch.dump(bridge).into_iter().map(|f| RuleHits {
                bridge: usize::from(bridge),
                table: f.table,
                priority: f.priority(),
                matching: String::new(),
                packets: f.packets,
            }));
        }
        all.sort();
        Ok(Some(all))
    }
}
