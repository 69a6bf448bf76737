//! What every table can do, as OpenFlow 1.3 and later ask for it.
//!
//! Invariant: made from the table of fields, so that it says what the rest of the switch does.

use std::collections::BTreeMap;

use sluice_openflow::field::OxmId;
use sluice_openflow::field::Prereq;
use sluice_openflow::{Field, Version};

/// Bytes of tables in one part: whole tables, and room for the headers.
const PART: usize = 60_000;
const MAX_ENTRIES: u32 = 1_000_000;
/// Bytes of a table's name, the zero behind it included.
const NAME: usize = 32;

/// Instruction types: goto, write metadata, write, apply and clear actions.
const INSTRUCTIONS: [u16; 5] = [1, 2, 3, 4, 5];
/// Action types: output, TTLs, VLAN and MPLS tags, queue, group, TTL of IP, set field.
const ACTIONS: [u16; 13] = [0, 11, 12, 15, 16, 17, 18, 19, 20, 21, 23, 24, 25];

/// The features of tables `0..tables`, in parts that fit a message each.
pub(super) fn parts(version: Version, tables: u8, names: &BTreeMap<u8, String>) -> Vec<Vec<u8>> {
    let mut parts = vec![Vec::new()];
    for table in 0..tables {
        let one = features(version, table, tables, names.get(&table).map_or("", String::as_str));
        match parts.last_mut() {
            Some(part) if part.len() + one.len() <= PART => part.extend_from_slice(&one),
            _ => parts.push(one),
        }
    }
    parts
}

fn features(version: Version, table: u8, tables: u8, name: &str) -> Vec<u8> {
    let mut out = vec![0, 0, table];
    out.resize(8, 0);
    out.extend(name.bytes().take(NAME - 1));
    out.resize(8 + NAME, 0);
    // Every bit of the metadata can be matched and written.
    out.extend_from_slice(&[0xff; 16]);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&MAX_ENTRIES.to_be_bytes());
    let later: Vec<u8> = (table.saturating_add(1)..tables).collect();
    let instructions = ids(&INSTRUCTIONS);
    let actions = ids(&ACTIONS);
    let matchable = oxms(version, |_| true);
    let maskable = oxms(version, |f| f.info().maskable);
    let writable = oxms(version, |f| f.info().writable);
    for miss in 0..2 {
        property(&mut out, miss, &instructions);
        property(&mut out, 2 + miss, &later);
        property(&mut out, 4 + miss, &actions);
        property(&mut out, 6 + miss, &actions);
        property(&mut out, 12 + miss, &writable);
        property(&mut out, 14 + miss, &writable);
    }
    property(&mut out, 8, &matchable);
    property(&mut out, 10, &maskable);
    let length = (out.len() as u16).to_be_bytes();
    out.splice(..2, length);
    out
}

fn property(out: &mut Vec<u8>, kind: u16, body: &[u8]) {
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&(4 + body.len() as u16).to_be_bytes());
    out.extend_from_slice(body);
    out.resize(out.len().next_multiple_of(8), 0);
}

/// Types of instructions or actions, each with its length.
fn ids(types: &[u16]) -> Vec<u8> {
    types.iter().flat_map(|t| [t.to_be_bytes(), 4u16.to_be_bytes()]).flatten().collect()
}

/// Open vSwitch's clients read no further than the first field that they do not know: theirs only.
fn oxms(version: Version, wanted: impl Fn(Field) -> bool) -> Vec<u8> {
    let minor = version.wire() - 1;
    let mut out = Vec::new();
    let strange = |f: Field| f.info().prereq == Prereq::Pbb || f == Field::IPV6_EXTHDR;
    for field in Field::all().filter(|f| f.info().slot.is_some() && !strange(*f) && wanted(*f)) {
        let info = field.info();
        let standard = info.oxm.filter(|_| info.oxm_since <= minor);
        if let Some(id) = standard.or(info.nxm) {
            header(&mut out, id, field.n_bytes());
        }
    }
    out
}

fn header(out: &mut Vec<u8>, id: OxmId, n_bytes: u16) {
    let experimenter = if id.experimenter == 0 { 0 } else { 4 };
    out.extend_from_slice(&id.class.to_be_bytes());
    out.push(id.number << 1);
    out.push((n_bytes + experimenter).to_be_bytes()[1]);
    if experimenter != 0 {
        out.extend_from_slice(&id.experimenter.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_told_of_once_and_every_part_fits_a_message() {
        for version in [Version::V13, Version::V14, Version::V15] {
            let mut tables = Vec::new();
            for part in parts(version, 254, &BTreeMap::new()) {
                assert!(part.len() <= PART);
                let mut rest = &part[..];
                while !rest.is_empty() {
                    let length = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
                    assert_eq!(length % 8, 0);
                    tables.push(rest[2]);
                    rest = &rest[length..];
                }
            }
            assert_eq!(tables, (0..254).collect::<Vec<u8>>());
        }
    }
}
