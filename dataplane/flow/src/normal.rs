//! What NORMAL, mirrors and bonds of one bridge are set to.
//!
//! Purpose: everything about a bridge that is neither a rule nor a port; part of the program.
//! Invariant: what of a packet these settings make deciding look at is in [`Normal::reads`].
//! Deliberately does not know: how settings are written, who changes them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::action::OfPort;
use crate::bond::Bond;
use crate::key::{slot, Key};
use crate::mdb::Mdb;
use crate::vlan::Vlans;

/// Most mirrors of a bridge, as in Open vSwitch.
pub const MIRRORS_MAX: usize = 32;

/// Settings of one bridge, for NORMAL.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Normal {
    /// Frames to reserved multicast addresses are forwarded.
    pub forward_bpdu: bool,
    /// VLANs in which nothing is learned: every frame is flooded.
    pub flood_vlans: Vlans,
    /// Mirrors, [`MIRRORS_MAX`] at most.
    pub mirrors: Vec<Mirror>,
    /// Bonds, by the member whose number stands for all of them where addresses are learned.
    pub bonds: BTreeMap<OfPort, Bond>,
    /// Some port speaks LACP.
    pub lacp: bool,
    /// Multicast goes only where it is wanted.
    pub multicast: Option<Multicast>,
}

/// Multicast snooping.
#[derive(Clone, Debug)]
pub struct Multicast {
    /// Who wants what.
    pub mdb: Arc<Mdb>,
    /// Groups that nobody wants go everywhere.
    pub flood_unregistered: bool,
    /// Ports that get every group.
    pub flood_ports: Vec<OfPort>,
    /// Ports that get every report.
    pub report_ports: Vec<OfPort>,
}

/// The same database, whatever is in it, and the same settings.
impl PartialEq for Multicast {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.mdb, &other.mdb)
            && (self.flood_unregistered, &self.flood_ports, &self.report_ports)
                == (other.flood_unregistered, &other.flood_ports, &other.report_ports)
    }
}

/// Copies of packets for someone who watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Of every packet.
    pub all: bool,
    /// Of packets that came in by one of these ports.
    pub src: Vec<OfPort>,
    /// Of packets that leave by one of these ports.
    pub dst: Vec<OfPort>,
    /// Only of packets in these VLANs; `None` for all.
    pub vlans: Option<Vlans>,
    /// Where copies go.
    pub to: MirrorTo,
    /// Most bytes of a copy.
    pub snaplen: Option<u16>,
}

/// Where copies go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MirrorTo {
    /// Out of a port, which does nothing else any more.
    Port(OfPort),
    /// Into a VLAN, by all ports that carry it.
    Vlan(u16),
}

impl Normal {
    /// Does this port only send what mirrors give it?
    pub fn is_mirror_output(&self, port: OfPort) -> bool {
        self.mirrors.iter().any(|m| m.to == MirrorTo::Port(port))
    }

    /// What of every packet that enters the bridge these settings make deciding look at.
    pub fn reads(&self, key: &mut Key) {
        if !self.mirrors.is_empty() {
            key.cover(slot::VLAN_TCI);
            if self.mirrors.iter().any(|m| matches!(m.to, MirrorTo::Vlan(_))) {
                key.cover(slot::ETH_DST);
            }
        }
        if self.lacp {
            key.cover(slot::ETH_TYPE);
        }
        if self.multicast.is_some() {
            for s in [slot::ETH_DST, slot::VLAN_TCI, slot::ETH_TYPE, slot::NW_PROTO, slot::NW_FRAG, slot::NW_DST, slot::IPV6_DST] {
                key.cover(s);
            }
        }
        self.bonds.values().for_each(|b| b.reads(key));
    }
}
