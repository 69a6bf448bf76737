//! Tells the switches around where addresses are now that another member sends.
//!
//! Purpose: one small packet from each address that is behind this switch, by the member that its
//! packets leave by from now on; a switch that sees it sends answers there.
//! Invariant: [`MOST`] packets at once.
//! Deliberately does not know: why the member changed.

use sluice_flow::key::slot;
use sluice_flow::vlan::{PriorityTags, Tag, VlanMode};
use sluice_flow::Key;
use sluice_openflow::PortNo;

use super::super::bridge::{Attachment, Bridge};
use super::super::switching;
use super::BondState;

/// Most addresses that are told of.
const MOST: usize = 1024;
const ETH_TYPE_RARP: u16 = 0x8035;
const RARP_REQUEST: u16 = 3;
const SHORTEST: usize = 60;

/// The frames, and the device for each.
pub(super) fn frames(bridge: &Bridge, bond: &BondState, now_ms: u64) -> Vec<(u16, Vec<u8>)> {
    let program = bond.program();
    let entries = bridge.fdb.entries();
    let elsewhere = entries.iter().filter(|e| e.port != bond.leader && (e.fixed || now_ms >= e.seen_ms));
    let frame = |e: &sluice_flow::fdb::Entry| {
        let mut key = Key::ZERO;
        key.set(slot::ETH_SRC, e.mac);
        key.set(slot::ETH_DST, 0xffff_ffff_ffff);
        key.set(slot::ETH_TYPE, u64::from(ETH_TYPE_RARP));
        let port = bridge.ports.get(&PortNo(program.exit(&key, e.vlan)?.port))?;
        let Attachment::Device { device, open: true } = port.attachment else { return None };
        let mode = switching::vlan_mode(port);
        Some((device, rarp(e.mac, tags(&mode, e.vlan)?)))
    };
    elsewhere.filter_map(frame).take(MOST).collect()
}

/// The tag that the VLAN leaves with; `None` where the port does not carry it.
fn tags(mode: &VlanMode, vlan: u16) -> Option<Option<Tag>> {
    let inside = [Tag { tpid: 0x8100, vid: vlan, pcp: 0, own: false }, Tag::default()];
    let (tags, n) = mode.leaving(inside, PriorityTags::Never, Tag::default());
    mode.carries(&inside).then(|| tags.first().copied().filter(|_| n > 0))
}

fn rarp(mac: u64, tag: Option<Tag>) -> Vec<u8> {
    let [_, _, source @ ..] = mac.to_be_bytes();
    let mut out = vec![0xff; 6];
    out.extend(source);
    if let Some(tag) = tag {
        out.extend(tag.tpid.to_be_bytes());
        out.extend((tag.vid | tag.pcp).to_be_bytes());
    }
    out.extend(ETH_TYPE_RARP.to_be_bytes());
    out.extend([0, 1, 8, 0, 6, 4]);
    out.extend(RARP_REQUEST.to_be_bytes());
    for _ in 0..2 {
        out.extend(source);
        out.extend([0; 4]);
    }
    out.resize(SHORTEST, 0);
    out
}
