//! Made-up settings of ports, and packets for NORMAL.
//!
//! Purpose: every VLAN mode beside every other, with few VLANs and addresses, so that they meet.
//! Invariant: the same seed gives the same world.
//! Deliberately does not know: any switch.

use sluice_openflow::text::{parse_flow_line, Names};

use super::flows::{mac, Flow};
use super::random::Random;
use super::{topology, Scenario};
use crate::world::{Input, MirrorSpec, PortSettings, PriorityTags, VlanMode, World};

const VIDS: [u16; 4] = [0, 10, 20, 30];

/// A world of learning switches with made-up port settings, and packets for it.
pub fn scenario(seed: u64, packets: usize) -> Result<Scenario, String> {
    let mut r = Random::new(seed);
    let mut world = topology();
    for bridge in &mut world.bridges {
        for port in &mut bridge.ports {
            port.settings = if r.chance(15) { PortSettings::default() } else { settings(&mut r) };
        }
        bridge.flood_vlans = if r.chance(20) { vec![r.pick(&VIDS)] } else { Vec::new() };
        bridge.forward_bpdu = r.chance(30);
        let numbers: Vec<u32> = bridge.ports.iter().map(|p| p.number).collect();
        bridge.mirrors = mirrors(&mut r, &numbers);
    }
    add_rules(&mut r, &mut world)?;
    let ports: Vec<(usize, u32)> =
        world.bridges.iter().enumerate().flat_map(|(i, b)| b.ports.iter().filter(|p| p.peer.is_none()).map(move |p| (i, p.number))).collect();
    let packets = (0..packets).map(|_| packet(&mut r, &ports)).collect();
    Ok(Scenario { world, packets })
}

fn list(r: &mut Random) -> Vec<u16> {
    match r.below(4) {
        0 | 1 => Vec::new(),
        2 => vec![r.pick(&VIDS)],
        _ => {
            let mut two = vec![r.pick(&VIDS), r.pick(&VIDS)];
            two.sort_unstable();
            two.dedup();
            two
        }
    }
}

fn settings(r: &mut Random) -> PortSettings {
    use VlanMode::{Access, Dot1qTunnel, NativeTagged, NativeUntagged, Trunk};
    let mode = r.pick(&[Access, Trunk, NativeTagged, NativeUntagged, Dot1qTunnel]);
    PortSettings {
        mode,
        tag: r.chance(90).then(|| r.pick(&VIDS)),
        trunks: list(r),
        cvlans: list(r),
        service_8021q: r.chance(50),
        priority_tags: r.pick(&[PriorityTags::Never, PriorityTags::IfNonzero, PriorityTags::Always]),
        protected: r.chance(25),
        no_flood: r.chance(15),
    }
}

/// The order in which several mirrors get their copies is nobody's promise, and matters where one sees
/// the copies of another: more than one only select what comes in.
fn mirrors(r: &mut Random, ports: &[u32]) -> Vec<MirrorSpec> {
    match r.below(5) {
        0 | 1 => Vec::new(),
        2 | 3 => vec![mirror(r, ports)],
        _ => {
            let mut all = vec![mirror(r, ports), mirror(r, ports)];
            for (i, m) in all.iter_mut().enumerate() {
                (m.all, m.dst, m.to_vlan, m.to_port) = (false, Vec::new(), None, ports.get(i).copied());
            }
            all
        }
    }
}

fn mirror(r: &mut Random, ports: &[u32]) -> MirrorSpec {
    let to_vlan = r.chance(30).then(|| r.pick(&[40, 20]));
    let few = |r: &mut Random| {
        let mut all: Vec<u32> = (0..r.below(3)).map(|_| r.pick(ports)).collect();
        all.sort_unstable();
        all.dedup();
        all
    };
    MirrorSpec {
        all: r.chance(30),
        src: few(r),
        dst: few(r),
        vlans: if r.chance(30) { vec![r.pick(&VIDS), 11] } else { Vec::new() },
        to_port: to_vlan.is_none().then(|| r.pick(ports)),
        to_vlan,
        snaplen: r.chance(30).then(|| r.pick(&[14, 20, 64, 1000])),
    }
}

fn add_rules(r: &mut Random, world: &mut World) -> Result<(), String> {
    let before = ["", "mod_vlan_vid:20,", "strip_vlan,", "mod_vlan_pcp:3,", "push_vlan:0x8100,", "push_vlan:0x88a8,", "output:1,", "mod_dl_src:02:00:00:00:01:01,"];
    for bridge in &mut world.bridges {
        let mut text = vec!["table=0,priority=1,actions=NORMAL".to_string()];
        for (i, port) in bridge.ports.iter().enumerate() {
            if r.chance(30) {
                let what = r.pick(&before);
                text.push(format!("table=0,priority={},in_port={},actions={what}NORMAL", 10 + i, port.number));
            }
        }
        let names = Names::new();
        bridge.rules = text.iter().map(|l| parse_flow_line(l, &names).map(|p| p.0).map_err(|e| format!("{l}: {e:?}"))).collect::<Result<_, _>>()?;
        bridge.text = text;
    }
    Ok(())
}

fn packet(r: &mut Random, ports: &[(usize, u32)]) -> Input {
    let mut flow = Flow::random(r, ports);
    flow.eth_src = mac(r.below(5) + 1);
    flow.eth_dst = match r.below(20) {
        0 => 0x0180_c200_0000 | r.below(18),
        1 => r.pick(&[0x00e0_2b00_0000, 0x0100_0ccc_cccc, 0x0100_0ccc_cccd, 0x0100_0ccd_cdcd, 0x0100_0c00_0000, 0x0100_0ccc_ccc3]),
        2..=4 => 0xffff_ffff_ffff,
        _ => mac(r.below(5) + 1),
    };
    flow.vlan = r.chance(60).then(|| (r.pick(&VIDS), if r.chance(50) { 0 } else { r.below(8) as u16 }));
    let mut bytes = flow.bytes();
    if flow.vlan.is_some() && r.chance(25) {
        // One more tag in front, of either type.
        let tpid = r.pick(&[0x8100u16, 0x88a8]).to_be_bytes();
        let tci = r.pick(&VIDS).to_be_bytes();
        bytes.splice(12..12, [tpid[0], tpid[1], tci[0], tci[1]]);
    }
    Input { bridge: flow.bridge, port: flow.in_port, bytes }
}
