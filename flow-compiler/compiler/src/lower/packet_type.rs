//! `encap`: headers with a whole packet under them.

use std::sync::Arc;

use sluice_flow::action::{Action, NewNsh};
use sluice_openflow::action::Encap;

/// "Whatever the header says": the type under a label that no `packet_type` names.
pub(super) const USE_NEXT: u32 = 0xfffe;

const ETHERNET: u32 = 0;
const NSH: u32 = 0x0001_894f;
/// Class of the properties of a network service header.
const CLASS_NSH: u16 = 4;
const MD_TYPE: u8 = 1;
const TLV: u8 = 2;
/// Most bytes of context headers; more are left out, all of them, as in Open vSwitch.
const METADATA_MAX: usize = 244;

/// Lowers an `encap`.
pub(super) fn encap(e: &Encap) -> Action {
    match e.new_packet_type {
        ETHERNET => Action::EncapEthernet,
        NSH => Action::EncapNsh(Arc::new(new_nsh(e))),
        label => Action::EncapMpls(label as u16),
    }
}

fn new_nsh(e: &Encap) -> NewNsh {
    let mut md_type = 1;
    let mut metadata = Vec::new();
    for (class, kind, value) in &e.properties {
        match (*class, *kind, value.as_slice()) {
            (CLASS_NSH, MD_TYPE, [t]) => md_type = *t,
            (CLASS_NSH, TLV, value) => {
                metadata.extend(value);
                metadata.resize(metadata.len().next_multiple_of(4), 0);
            }
            _ => {}
        }
    }
    if md_type == 1 || metadata.len() > METADATA_MAX {
        metadata.clear();
    }
    NewNsh { md_type, metadata: metadata.into() }
}
