//! The real engine as a subject: compiler, program, flow cache and worker, on ports in memory.

use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex};

use sluice::inline::Inline;
use sluice_flow::action::LOCAL;
use sluice_flow::program::{Port as BridgePort, PortKind};
use sluice_flow::normal::{self, Mirror, MirrorTo};
use sluice_flow::vlan::{self, VlanMode, Vlans};
use sluice_flow::Change;
use sluice_frame::{Frame, Pool};
use sluice_naive::{BridgeSpec, Input, Output, PortSettings, PortSpec, RuleHits, Subject, World};
use sluice_openflow::version::Version;
use sluice_port::{Offloads, Port, PortError, PortStats, SendOutcome};

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
        let mut outcome = SendOutcome::default();
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

fn bridge_port(kind: PortKind, s: &PortSettings) -> BridgePort {
    let list = |v: &[u16]| (!v.is_empty()).then(|| v.iter().copied().collect::<Vlans>());
    let tag = s.tag.unwrap_or(0);
    use sluice_naive::{PriorityTags, VlanMode as Wanted};
    let vlan = match s.mode {
        Wanted::Trunk => VlanMode::Trunk(list(&s.trunks)),
        Wanted::Access => VlanMode::Access(tag),
        Wanted::NativeTagged => VlanMode::native(tag, list(&s.trunks), true),
        Wanted::NativeUntagged => VlanMode::native(tag, list(&s.trunks), false),
        Wanted::Dot1qTunnel => VlanMode::Dot1qTunnel {
            service: tag,
            customers: list(&s.cvlans),
            tpid: if s.service_8021q { 0x8100 } else { 0x88a8 },
        },
    };
    let priority_tags = match s.priority_tags {
        PriorityTags::Never => vlan::PriorityTags::Never,
        PriorityTags::IfNonzero => vlan::PriorityTags::IfNonzero,
        PriorityTags::Always => vlan::PriorityTags::Always,
    };
    BridgePort { kind, vlan, priority_tags, protected: s.protected, no_flood: s.no_flood, ..BridgePort::device(0) }
}

fn normal(spec: &BridgeSpec) -> normal::Normal {
    let mirrors = spec.mirrors.iter().filter_map(|m| {
        Some(Mirror {
            all: m.all,
            src: m.src.clone(),
            dst: m.dst.clone(),
            vlans: (!m.vlans.is_empty()).then(|| m.vlans.iter().copied().collect()),
            to: m.to_port.map(MirrorTo::Port).or(m.to_vlan.map(MirrorTo::Vlan))?,
            snaplen: m.snaplen.filter(|n| (14..65535).contains(n)),
        })
    });
    normal::Normal {
        forward_bpdu: spec.forward_bpdu,
        flood_vlans: spec.flood_vlans.iter().copied().collect(),
        mirrors: mirrors.collect(),
        ..normal::Normal::default()
    }
}

impl Engine {
    /// Connections that ended as another one with the same tuple began.
    #[allow(dead_code)]
    pub fn reopened(&mut self) -> u64 {
        let Some(switch) = &mut self.switch else { return 0 };
        switch.worker().tracker().stats.reopened.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// The switch under test.
    #[allow(dead_code)]
    pub fn switch(&mut self) -> &mut Inline {
        self.switch.as_mut().expect("rules were loaded")
    }

    /// The table of connections, as text with both peers' states.
    #[allow(dead_code)] // not every test binary tracks connections
    pub fn dump_connections(&mut self, now: u64) -> String {
        let Some(switch) = &mut self.switch else { return String::new() };
        let options = sluice_conntrack::dump::Options { verbose: true, ..Default::default() };
        sluice_conntrack::dump::connections(switch.worker().tracker(), &options, now)
    }
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
            switch.map_options(b as u16, &sluice_naive::world::options_mod()).map_err(|e| e.to_string())?;
        }
        for (b, spec) in world.bridges.iter().enumerate() {
            let local = PortSpec { number: LOCAL, settings: PortSettings::default(), peer: None };
            for p in spec.ports.iter().chain([&local]) {
                let kind = match p.peer {
                    Some((bridge, port)) => PortKind::Patch { bridge: bridge as u16, port },
                    None => {
                        let queues = Arc::new(Mutex::new(Queues::default()));
                        let idx = switch.add_device(b as u16, p.number, Box::new(Memory(queues.clone())));
                        self.ports.push((b, p.number, queues));
                        PortKind::Device(idx)
                    }
                };
                let to = Some(bridge_port(kind, &p.settings));
                switch.change(&[Change::SetPort { bridge: b as u16, port: p.number, to }]);
            }
            switch.change(&[Change::SetNormal { bridge: b as u16, to: Arc::new(normal(spec)) }]);
            for (text, group) in &spec.groups {
                switch.group_mod(b as u16, group).map_err(|e| format!("{text}: {e}"))?;
            }
            for (text, rule) in spec.text.iter().zip(&spec.rules) {
                let version = match sluice_naive::generate::version(text) {
                    "OpenFlow15" => Version::V15,
                    "OpenFlow13" => Version::V13,
                    _ => Version::V10,
                };
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
