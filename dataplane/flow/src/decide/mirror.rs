//! Mirrors: copies of what comes in and of what leaves, for someone who watches.
//!
//! Invariant: a mirror gets one copy of a packet in a bridge, and what a copy meets does not change what
//! becomes of the packet.
//! Deliberately does not know: rules.

use super::normal::is_reserved;
use super::walk::Walk;
use crate::action::OfPort;
use crate::key::slot;
use crate::normal::{Mirror, MirrorTo};
use crate::program::Bridge;
use crate::verdict::Op;
use crate::vlan::Tags;

impl Walk<'_> {
    /// Copies of what comes in.
    pub(super) fn mirror_incoming(&mut self) {
        let port = self.in_port();
        self.mirror(port, |m| m.all || m.src.contains(&port));
    }

    /// Copies of what leaves by a port.
    pub(super) fn mirror_leaving(&mut self, port: OfPort) {
        self.mirror(port, |m| m.all || m.dst.contains(&port));
    }

    fn mirror(&mut self, port: OfPort, wanted: impl Fn(&Mirror) -> bool) {
        let Some(bridge) = self.bridge() else { return };
        if bridge.normal.mirrors.is_empty() {
            return;
        }
        // Also who gets no copy is told by the packet's tags.
        self.alone = true;
        let Some(vlan) = bridge.ports.get(&port).map(|p| &p.vlan) else { return };
        let came = self.tags();
        if !vlan.admits(came[0].vid) {
            return;
        }
        let inside = vlan.entering(came);
        for (i, m) in bridge.normal.mirrors.iter().enumerate().filter(|(_, m)| wanted(m)) {
            if self.mirrored >> i & 1 != 0 || m.vlans.as_ref().is_some_and(|v| !v.has(inside[0].vid)) {
                continue;
            }
            for (j, other) in bridge.normal.mirrors.iter().enumerate() {
                self.mirrored |= u32::from(other.to == m.to) << j;
            }
            self.copies.push((self.view.bridge, i as u8));
            self.copy_for(bridge, m, inside);
        }
    }

    fn copy_for(&mut self, bridge: &Bridge, m: &Mirror, inside: Tags) {
        let (hint, snaplen) = (self.hint, self.snaplen);
        self.snaplen = m.snaplen.map(u32::from);
        let ops = self.apart(|w| match m.to {
            MirrorTo::Port(port) => w.send_in_vlan(bridge, port, inside),
            MirrorTo::Vlan(vlan) => w.copy_into_vlan(bridge, vlan, inside),
        });
        self.snaplen = snaplen;
        if !self.ran_away() {
            self.hint = hint;
        }
        if !ops.is_empty() {
            self.ops.push(Op::Copy(ops.into()));
        }
    }

    fn copy_into_vlan(&mut self, bridge: &Bridge, vlan: u16, mut inside: Tags) {
        if inside[0].vid == vlan || is_reserved(self.view.key.get(slot::ETH_DST)) {
            return;
        }
        inside[0].vid = vlan;
        for (&n, port) in &bridge.ports {
            if port.bond.is_none_or(|b| b == n) && port.vlan.carries(&inside) && !bridge.normal.is_mirror_output(n) {
                self.send_in_vlan(bridge, n, inside);
            }
        }
    }
}
