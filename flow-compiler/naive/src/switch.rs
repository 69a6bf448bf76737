//! The naive switch: bridges, ports, rules, learned addresses.

use std::collections::HashMap;

use sluice_flow::action::LOCAL;
use sluice_openflow::message::GroupMod;

use crate::frame::Frame;
use crate::rules::Rules;
use crate::walk::Walk;
use crate::world::{Input, MirrorSpec, Output, PortSettings, PortSpec, RuleHits, Subject, World};

/// One bridge.
#[derive(Clone, Debug, Default)]
pub struct NaiveBridge {
    /// Its ports, its own device included.
    pub ports: Vec<PortSpec>,
    /// Its rules.
    pub rules: Rules,
    /// VLAN and address, to port and time in milliseconds.
    pub fdb: HashMap<(u16, u64), (u32, u64)>,
    /// VLANs in which nothing is learned.
    pub flood_vlans: Vec<u16>,
    /// Reserved addresses are forwarded.
    pub forward_bpdu: bool,
    /// Mirrors.
    pub mirrors: Vec<MirrorSpec>,
    /// Groups.
    pub groups: Vec<GroupMod>,
}

impl NaiveBridge {
    pub(crate) fn port(&self, number: u32) -> Option<&PortSpec> {
        self.ports.iter().find(|p| p.number == number)
    }
}

/// The oracle.
#[derive(Clone, Debug, Default)]
pub struct NaiveSwitch {
    /// By index.
    pub bridges: Vec<NaiveBridge>,
    /// What the last packet met that is not executed here, or not the same everywhere: its answer
    /// means nothing then.
    pub unsupported: Option<&'static str>,
    /// Rules that the last packet met: bridge, table and priority.
    pub way: Vec<(usize, u8, u16)>,
    /// The last packet was flooded: the order in which a port got its copies is left open.
    pub flooded: bool,
    /// The last packet entered a bridge a second time and met there what it had taught it itself: a
    /// switch that learns only between packets answers otherwise.
    pub learned_midway: bool,
}

impl Subject for NaiveSwitch {
    fn name(&self) -> String {
        "naive".into()
    }

    fn load(&mut self, world: &World) -> Result<(), String> {
        self.bridges.clear();
        for spec in &world.bridges {
            let mut bridge = NaiveBridge {
                ports: spec.ports.clone(),
                flood_vlans: spec.flood_vlans.clone(),
                forward_bpdu: spec.forward_bpdu,
                mirrors: spec.mirrors.clone(),
                groups: spec.groups.iter().map(|(_, g)| g.clone()).collect(),
                ..NaiveBridge::default()
            };
            bridge.ports.push(PortSpec { number: LOCAL, settings: PortSettings::default(), peer: None });
            for fm in &spec.rules {
                bridge.rules.apply(fm, 0);
            }
            self.bridges.push(bridge);
        }
        Ok(())
    }

    fn packet(&mut self, input: &Input, now: u64) -> Result<Vec<Output>, String> {
        self.unsupported = None;
        for bridge in &mut self.bridges {
            bridge.rules.expire(now);
        }
        let Some(frame) = Frame::parse(&input.bytes) else { return Ok(Vec::new()) };
        let known = self.bridges.get(input.bridge).is_some_and(|b| b.port(input.port).is_some());
        if !known {
            return Ok(Vec::new());
        }
        let mut walk = Walk::new(&mut self.bridges, input.bridge, input.port, frame, input.bytes.len(), now);
        walk.run();
        let Walk { outputs, taught, unsupported, flooded, learned_midway, way, doubtful, .. } = walk;
        self.way = way;
        (self.unsupported, self.flooded, self.learned_midway) = (unsupported.or(doubtful), flooded, learned_midway);
        for (bridge, fm) in taught {
            self.bridges[bridge].rules.apply(&fm, now);
        }
        Ok(outputs)
    }

    fn hits(&mut self) -> Result<Option<Vec<RuleHits>>, String> {
        let mut all = Vec::new();
        for (bridge, b) in self.bridges.iter().enumerate() {
            all.extend(b.rules.list.iter().map(|r| RuleHits {
                bridge,
                table: r.table,
                priority: r.priority,
                matching: format!("{:?}", r.matching),
                packets: r.packets,
            }));
        }
        all.sort();
        Ok(Some(all))
    }
}
