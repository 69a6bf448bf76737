//! Multicast snooping: what hosts and routers say becomes the multicast database of a bridge.
//!
//! Purpose: keep the database that NORMAL looks at.
//! Invariant: a message counts in the VLAN and for the port (or bond) that NORMAL puts it into.
//! Deliberately does not know: where packets are sent.

use std::sync::Arc;

use sluice_flow::mdb::Mdb;
use sluice_flow::normal::Multicast;
use sluice_flow::vlan::Tag;
use sluice_flow::BridgeIdx;
use sluice_openflow::PortNo;
use sluice_wire::membership::{self, Said};

use super::bridge::{Bridge, PortState};
use super::{switching, Switch};

/// Apart from the salts of learned addresses.
const SALT: u64 = 1 << 32;

impl Switch {
    /// Makes or drops the database, as the bridge wants it.
    pub(super) fn refresh_multicast(&mut self, index: BridgeIdx) {
        let versions = self.versions.clone();
        let Some(bridge) = self.bridges.get_mut(&index) else { return };
        let Some(wanted) = bridge.wanted.normal.mcast_snooping else {
            bridge.mdb = None;
            return;
        };
        let (size, ageing) = (wanted.table_size as usize, u64::from(wanted.ageing));
        match &bridge.mdb {
            Some(mdb) => mdb.configure(size, ageing),
            None => bridge.mdb = Some(Arc::new(Mdb::new(size, ageing, SALT | u64::from(index), versions))),
        }
    }

    /// A message of IGMP or MLD that came in by a port.
    pub(super) fn take_membership(&mut self, index: BridgeIdx, port: u32, frame: &[u8], now_ms: u64) {
        let Some(bridge) = self.bridges.get(&index) else { return };
        let (Some(mdb), Some(state)) = (&bridge.mdb, bridge.ports.get(&PortNo(port))) else { return };
        let headers = sluice_wire::parse(frame);
        let tag = match (headers.vlan, frame.get(12..16)) {
            (true, Some(&[a, b, c, d])) => Tag::new(u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])),
            _ => Tag::default(),
        };
        let mode = switching::vlan_mode(state);
        if !mode.admits(tag.vid) {
            return;
        }
        let [Tag { vid: vlan, .. }, _] = mode.entering([tag, Tag::default()]);
        let port = Switch::bond_of(bridge, port).0.unwrap_or(port);
        match membership::read(frame, &headers) {
            Some(Said::Router) => _ = mdb.router(vlan, port, now_ms),
            Some(Said::Groups(all)) => {
                for (group, wanted) in all {
                    match wanted {
                        true => _ = mdb.join(vlan, group, port, now_ms),
                        false => mdb.leave(vlan, group, port),
                    }
                }
            }
            None => {}
        }
    }
}

/// What the program says of it.
pub(super) fn settings(bridge: &Bridge) -> Option<Multicast> {
    let wanted = bridge.wanted.normal.mcast_snooping?;
    let ports = |chosen: fn(&PortState) -> bool| bridge.ports.values().filter(|p| chosen(p)).map(|p| p.number.0).collect();
    Some(Multicast {
        mdb: bridge.mdb.clone()?,
        flood_unregistered: wanted.flood_unregistered,
        flood_ports: ports(|p| p.wanted.as_ref().is_some_and(|w| w.switching.mcast_flood)),
        report_ports: ports(|p| p.wanted.as_ref().is_some_and(|w| w.switching.mcast_flood_reports)),
    })
}
