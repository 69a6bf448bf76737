//! Made-up groups, as text and as changes.
//!
//! Invariant: which bucket a select group chooses is the same in every switch: it hashes named fields.
//! Deliberately does not know: how groups are parsed from text.

use sluice_openflow::message::{Bucket, GroupCommand, GroupMod, ANY_GROUP};
use sluice_openflow::text::{parse_actions, Names};
use sluice_openflow::PortNo;

use super::actions::{bucket, GROUPS};
use super::random::Random;
use crate::world::BridgeSpec;

const SELECT: u8 = 1;
const INDIRECT: u8 = 2;
const FAST_FAILOVER: u8 = 3;
/// Every bucket, in commands that are not about one.
const BUCKET_ALL: u32 = 0xffff_ffff;
/// A port that no bridge has.
const DEAD: u32 = 77;

/// The groups of a bridge: each type twice.
pub fn groups(r: &mut Random, spec: &BridgeSpec) -> Result<Vec<(String, GroupMod)>, String> {
    (1..=GROUPS as u32).map(|id| group(r, spec, id)).collect()
}

fn group(r: &mut Random, spec: &BridgeSpec, id: u32) -> Result<(String, GroupMod), String> {
    let kind = (id % 4) as u8;
    let ports: Vec<u32> = spec.ports.iter().map(|p| p.number).collect();
    let name = ["all", "select", "indirect", "ff"][usize::from(kind)];
    let mut text = format!("group_id={id},type={name}");
    let mut properties = Vec::new();
    if kind == SELECT {
        let (parameter, (fields, bytes)) = (r.below(3), r.pick(&METHODS));
        text += &format!(",selection_method=hash,selection_method_param={parameter},fields({fields})");
        properties.push((0xffff, property(parameter, bytes)));
    }
    let mut buckets = Vec::new();
    let n = if kind == INDIRECT { 1 } else { r.below(3) as u32 + 1 };
    for i in 0..n {
        let actions = bucket(r, &ports);
        let weight = if kind == SELECT { r.below(4) as u16 } else { 0 };
        let watch_port = match kind {
            FAST_FAILOVER => PortNo(r.pick(&[DEAD, 1, 2])),
            _ => PortNo::NONE,
        };
        text += &format!(",bucket=bucket_id:{i},");
        if kind == SELECT {
            text += &format!("weight:{weight},");
        }
        if kind == FAST_FAILOVER {
            text += &format!("watch_port:{},", watch_port.0);
        }
        text += &actions;
        let actions = parse_actions(&actions, &Names::new()).map_err(|e| format!("{actions}: {e:?}"))?;
        buckets.push(Bucket { weight, watch_port, watch_group: ANY_GROUP, id: i, actions });
    }
    let gm = GroupMod { command: GroupCommand::Add, kind, id, command_bucket_id: BUCKET_ALL, buckets, properties };
    Ok((text, gm))
}

/// Fields to hash, with masks, and how a message says so.
const METHODS: [(&str, &[u8]); 3] = [
    ("ip_src=255.255.255.7", &[0x80, 0, 0x16, 4, 255, 255, 255, 7]),
    ("eth_src", &[0x80, 0, 0x08, 6, 255, 255, 255, 255, 255, 255]),
    ("ip_dst,tcp_dst", &[0x80, 0, 0x18, 4, 255, 255, 255, 255, 0x80, 0, 0x1c, 2, 255, 255]),
];

/// The selection method of OpenFlow 1.5's experimenter property, behind the property's header.
fn property(parameter: u64, fields: &[u8]) -> Vec<u8> {
    let mut out = vec![0, 0, 0x15, 0x4d, 0, 0, 0, 1, 0, 0, 0, 0];
    out.extend(b"hash\0\0\0\0\0\0\0\0\0\0\0\0");
    out.extend(parameter.to_be_bytes());
    out.extend(fields);
    out
}
