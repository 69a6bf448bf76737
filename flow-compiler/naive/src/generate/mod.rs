//! Worlds and packets made up from a seed.
//!
//! Purpose: rule sets that use every field and action, and packets that mostly hit them.
//! Invariant: the same seed gives the same world.
//! Deliberately does not know: any switch.

mod actions;
pub mod covers;
mod groups;
pub mod ports;
pub mod flows;
pub mod random;
pub mod rules;

use std::collections::{BTreeMap, HashSet};

use sluice_openflow::text::{parse_flow_line, Names};

use crate::world::{options, BridgeSpec, Input, PortSettings, PortSpec, World};
use actions::Ground;
pub use actions::version;
use flows::Flow;
use random::Random;
use rules::{conditions, LEARNED};

/// A world and packets for it.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Bridges and rules.
    pub world: World,
    /// Frames, in order.
    pub packets: Vec<Input>,
}

/// Ports of both bridges; the topology is always the same.
pub fn topology() -> World {
    let port = |number, access: Option<u16>, peer| PortSpec {
        number,
        settings: access.map_or_else(PortSettings::default, PortSettings::access),
        peer,
    };
    World {
        bridges: vec![
            BridgeSpec {
                ports: vec![
                    port(1, None, None),
                    port(2, None, None),
                    port(3, Some(10), None),
                    port(4, Some(20), None),
                    port(9, None, Some((1, 9))),
                ],
                ..BridgeSpec::default()
            },
            BridgeSpec {
                ports: vec![port(1, None, None), port(2, Some(10), None), port(9, None, Some((0, 9)))],
                ..BridgeSpec::default()
            },
        ],
    }
}

/// Last table of each bridge that rules are made for.
const LAST: [u8; 2] = [5, 2];

/// A scenario of about `rules` rules and exactly `packets` packets.
pub fn scenario(seed: u64, rules: usize, packets: usize) -> Result<Scenario, String> {
    let mut r = Random::new(seed);
    let mut world = topology();
    let ports: Vec<(usize, u32)> = world
        .bridges
        .iter()
        .enumerate()
        .flat_map(|(i, b)| b.ports.iter().filter(|p| p.peer.is_none()).map(move |p| (i, p.number)))
        .collect();
    let flows: Vec<Flow> = (0..8).map(|_| Flow::random(&mut r, &ports)).collect();
    for bridge in 0..world.bridges.len() {
        let n = if bridge == 0 { rules } else { rules / 3 };
        let text = rule_set(&mut r, bridge, &world.bridges[bridge], &flows, n);
        let names = Names::new();
        let mut parsed = Vec::with_capacity(text.len());
        for line in &text {
            let mut rule = parse_flow_line(line, &names).map_err(|e| format!("{line}: {e:?}"))?.0;
            rule.bind(&options()).map_err(|e| format!("{line}: {e:?}"))?;
            parsed.push(rule);
        }
        world.bridges[bridge].groups = groups::groups(&mut r, &world.bridges[bridge])?;
        world.bridges[bridge].text = text;
        world.bridges[bridge].rules = parsed;
    }
    let packets = (0..packets)
        .map(|_| {
            let mut flow = r.pick(&flows);
            for _ in 0..r.below(3) {
                flow = flow.mutated(&mut r, &ports);
            }
            Input { bridge: flow.bridge, port: flow.in_port, bytes: flow.bytes() }
        })
        .collect();
    Ok(Scenario { world, packets })
}

fn rule_set(r: &mut Random, bridge: usize, spec: &BridgeSpec, flows: &[Flow], n: usize) -> Vec<String> {
    let ports: Vec<u32> = spec.ports.iter().map(|p| p.number).collect();
    let last = LAST.get(bridge).copied().unwrap_or(0);
    let mut out = Vec::new();
    let mut used = HashSet::new();
    for _ in 0..n {
        let flow = r.pick(flows);
        let table = if r.chance(45) { 0 } else { r.below(u64::from(last) + 1) as u8 };
        let priority = 2 * (r.below(500) + 1);
        if !used.insert((table, priority)) {
            continue;
        }
        if r.chance(5) {
            out.extend(conjunction(r, &flow, table, priority, &ports));
            continue;
        }
        let wanted = if table == 0 { 4 } else { 2 };
        let matches = conditions(r, &flow, table, wanted);
        let ground = Ground { conditions: &matches, table, last, ports: &ports, may_return: bridge == 0 };
        let actions = actions::actions(r, &ground);
        out.push(line(table, priority, &matches, &actions));
    }
    for table in 0..=last {
        if r.chance(60) {
            let go_on = if table < last { format!("resubmit(,{})", table + 1) } else { "NORMAL".into() };
            let what = r.pick(&[go_on.clone(), go_on, "NORMAL".into(), "drop".into(), "FLOOD".into()]);
            out.push(format!("table={table},priority=1,actions={what}"));
        }
    }
    if bridge == 0 && r.chance(50) {
        out.push(format!("table={LEARNED},priority=1,reg0=0x1/0x1,actions=load:0x2->NXM_NX_REG0[]"));
    }
    out
}

fn line(table: u8, priority: u64, matches: &[String], actions: &str) -> String {
    let conditions: String = matches.iter().map(|m| format!(",{m}")).collect();
    format!("table={table},priority={priority}{conditions},actions={actions}")
}

/// Two clauses of two members each, and the rule that they lead to.
fn conjunction(r: &mut Random, flow: &Flow, table: u8, priority: u64, ports: &[u32]) -> Vec<String> {
    let id = priority * 8 + u64::from(table);
    let other_src = flows::mac(r.below(4) + 1);
    let (src, dst) = (rules::mac_text(flow.eth_src), rules::mac_text(flow.eth_dst));
    let mut first = vec![src, rules::mac_text(other_src)];
    first.dedup();
    let mut out: Vec<String> = first
        .iter()
        .map(|m| format!("table={table},priority={priority},dl_src={m},actions=conjunction({id},1/2)"))
        .collect();
    out.push(format!("table={table},priority={priority},dl_dst={dst},actions=conjunction({id},2/2)"));
    out.push(format!("table={table},priority={priority},in_port={},actions=conjunction({id},2/2)", flow.in_port));
    let port = r.pick(ports);
    out.push(format!("table={table},priority={},conj_id={id},actions=output:{port}", priority + 1));
    out
}

/// How often each field and action occurs in the rules, by its word in the text.
pub fn census(world: &World) -> BTreeMap<String, usize> {
    let mut count = BTreeMap::new();
    for line in world.bridges.iter().flat_map(|b| &b.text) {
        let words = line.split([',', '(', ')', ' ']).flat_map(|part| part.split("->"));
        for word in words.filter_map(|w| w.split(['=', ':', '[', '/']).next()) {
            if word.chars().any(|c| c.is_alphabetic()) {
                *count.entry(word.to_string()).or_insert(0) += 1;
            }
            if word == "actions" {
                let action = line.split("actions=").nth(1).and_then(|a| a.split([',', ':', '(']).next());
                *count.entry(action.unwrap_or("").to_string()).or_insert(0) += 1;
            }
        }
    }
    count
}
