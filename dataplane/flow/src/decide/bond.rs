//! Bonds on the way in and out: what may enter, which member sends, LACP's own messages.

use super::walk::Walk;
use crate::action::OfPort;
use crate::bond::Entry;
use crate::drop::DropReason;
use crate::fdb::Sighting;
use crate::key::slot;
use crate::program::{Bridge, Port};
use crate::verdict::{Op, Use};

const ETH_TYPE_ARP: u64 = 0x0806;
/// "Slow protocols" (IEEE 802.3 annex 57A), of which LACP is one.
const ETH_TYPE_SLOW: u64 = 0x8809;
const ARP_REPLY: u64 = 2;
const BROADCAST: u64 = 0xffff_ffff_ffff;

impl Walk<'_> {
    /// Is this a message of LACP on a port that speaks it?
    pub(super) fn is_for_the_switch(&self) -> bool {
        let port = self.bridge().and_then(|b| b.ports.get(&self.in_port()));
        port.is_some_and(|p| p.lacp) && self.view.key.get(slot::ETH_TYPE) == ETH_TYPE_SLOW
    }

    /// Gives the packet to the control side and to nobody else.
    pub(super) fn hand_over(&mut self) {
        let op = Op::Protocol { bridge: self.view.bridge, port: self.in_port() };
        self.emit(op);
    }

    /// May the packet enter, where it came in by a member of a bond?
    pub(super) fn admit_by_bond(&mut self, bridge: &Bridge, port: &Port, vlan: u16) -> Result<(), DropReason> {
        let Some(id) = port.bond else { return Ok(()) };
        let Some(bond) = bridge.normal.bonds.get(&id) else { return Ok(()) };
        let key = &self.view.key;
        let (src, dst) = (key.get(slot::ETH_SRC), key.get(slot::ETH_DST));
        match bond.entry(self.in_port(), dst) {
            Entry::Accept => Ok(()),
            Entry::Refuse => Err(DropReason::BondRefused),
            Entry::RefuseIfMoved => {
                let announced = self.is_announcement();
                self.deps.add(bridge.fdb.versions(), bridge.fdb.bucket(vlan, src));
                match bridge.fdb.came_back(vlan, src, id, announced, self.now_ms) {
                    true => Err(DropReason::BondLoop),
                    false => Ok(()),
                }
            }
        }
    }

    /// How the source address was seen: matters only on bridges with bonds.
    pub(super) fn sighting(&mut self, bridge: &Bridge, from: OfPort) -> Sighting {
        if bridge.normal.bonds.is_empty() {
            return Sighting::Port;
        }
        match (bridge.normal.bonds.contains_key(&from), self.is_announcement()) {
            (false, false) => Sighting::Port,
            (false, true) => Sighting::Announced,
            (true, false) => Sighting::Bond,
            (true, true) => Sighting::AnnouncedByBond,
        }
    }

    /// Gratuitous ARP: a host says where it is. ARP is rare enough to be decided packet by packet, for
    /// the sake of its addresses that are in no key set.
    fn is_announcement(&mut self) -> bool {
        let key = &self.view.key;
        if key.get(slot::ETH_TYPE) != ETH_TYPE_ARP {
            return false;
        }
        self.unrepeatable = true;
        let to_all = key.get(slot::ETH_DST) == BROADCAST;
        to_all && (key.get(slot::NW_PROTO) == ARP_REPLY || key.get(slot::NW_SRC) == key.get(slot::NW_DST))
    }

    /// The port that a packet really leaves by: itself, or a member of its bond.
    pub(super) fn member(&mut self, bridge: &Bridge, bond: Option<OfPort>, port: OfPort, vlan: u16) -> Option<OfPort> {
        let Some(id) = bond else { return Some(port) };
        let Some(bond) = bridge.normal.bonds.get(&id) else { return Some(port) };
        let exit = bond.exit(&self.view.key, vlan)?;
        if let Some(bucket) = exit.bucket {
            self.uses.push(Use::Bond { bridge: self.view.bridge, bond: id, bucket });
        }
        Some(exit.port)
    }
}
