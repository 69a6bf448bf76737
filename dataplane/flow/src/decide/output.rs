//! Sending to a port of a bridge, whatever is behind it.

use super::{for_tunnels, ForTunnels};
use super::walk::Walk;
use crate::action::{OfPort, Punt, LOCAL};
use crate::drop::DropReason;
use crate::key::{slot, Slot};
use crate::program::{Port, PortKind};
use crate::verdict::{BridgeIdx, Crossing, Op, PortIdx};

/// OpenFlow's reserved ports, as a register may name them.
mod reserved {
    pub const IN_PORT: u32 = 0xffff_fff8;
    pub const NORMAL: u32 = 0xffff_fffa;
    pub const FLOOD: u32 = 0xffff_fffb;
    pub const ALL: u32 = 0xffff_fffc;
    pub const CONTROLLER: u32 = 0xffff_fffd;
    pub const NONE: u32 = 0xffff_ffff;
}

impl Walk<'_> {
    /// To a port, but never back to the one that the packet came in by.
    pub(super) fn output(&mut self, port: OfPort, max_len: Option<u32>) {
        if port == reserved::IN_PORT {
            self.compose(self.in_port(), max_len);
        } else if port == self.in_port() {
            self.hint(DropReason::SamePort);
        } else {
            self.compose(port, max_len);
        }
    }

    /// To the port that a field names.
    pub(super) fn output_from(&mut self, s: Slot) {
        let n = self.view.key.get(s);
        let port = match n {
            0xff00..=0xffff => 0xffff_0000 | n as u32,
            0..=0xffff => n as u32,
            _ => return self.hint(DropReason::PortGone),
        };
        self.output_to(port);
    }

    /// To a port by its number, reserved ones included.
    pub(super) fn output_to(&mut self, port: OfPort) {
        match port {
            reserved::NONE => self.hint(DropReason::NoOutput),
            reserved::IN_PORT => self.compose(self.in_port(), None),
            reserved::NORMAL => self.normal(),
            reserved::FLOOD => self.flood(true),
            reserved::ALL => self.flood(false),
            reserved::CONTROLLER => {
                self.punt(&std::sync::Arc::new(Punt { max_len: u16::MAX, reason: 1, plain: true, ..Punt::default() }))
            }
            _ => self.output(port, None),
        }
    }

    /// Every port but the one it came in by.
    ///
    /// The rule wants it whatever the address, so under a storm limit it counts as broadcast.
    pub(super) fn flood(&mut self, honour_no_flood: bool) {
        self.flood_limited(false, |w| w.flood_all(honour_no_flood));
    }

    fn flood_all(&mut self, honour_no_flood: bool) {
        let Some(bridge) = self.bridge() else { return };
        let in_port = self.in_port();
        for (&n, port) in &bridge.ports {
            if n != in_port && !(honour_no_flood && port.no_flood) {
                self.send_by(n, port, None);
            }
        }
    }

    /// To a port, even if the packet came in by it.
    pub(super) fn compose(&mut self, port: OfPort, max_len: Option<u32>) {
        match self.bridge().and_then(|b| b.ports.get(&port)) {
            Some(p) => self.send_by(port, p, max_len),
            None => self.hint(DropReason::PortGone),
        }
    }

    fn send_by(&mut self, number: OfPort, port: &Port, max_len: Option<u32>) {
        if port.no_forward {
            return self.hint(DropReason::PortDown);
        }
        if port.protected && self.is_from_protected() {
            return self.hint(DropReason::Protected);
        }
        if self.is_bare() && !matches!(port.kind, PortKind::Patch { .. }) {
            return self.hint(DropReason::NotEthernet);
        }
        let max_len = match (&port.kind, self.snaplen) {
            (PortKind::Patch { .. }, Some(_)) => return,
            (PortKind::Patch { .. }, None) => max_len,
            (_, snaplen) => {
                self.mirror_leaving(number);
                max_len.or(snaplen)
            }
        };
        match &port.kind {
            PortKind::Device(idx) => self.send_by_device(number, *idx, max_len),
            PortKind::Patch { bridge, port: peer } => self.send_by_patch(number, *bridge, *peer),
            PortKind::Tunnel(tunnel) => self.send_by_tunnel(number, tunnel),
            PortKind::Absent => self.hint(DropReason::PortGone),
        }
    }

    fn is_from_protected(&self) -> bool {
        let in_port = self.in_port();
        self.bridge().and_then(|b| b.ports.get(&in_port)).is_some_and(|p| p.protected)
    }

    fn send_by_device(&mut self, number: OfPort, idx: PortIdx, max_len: Option<u32>) {
        if number == LOCAL && self.program.has_tunnels() {
            // The host's own addresses tell; they may change.
            self.uses_underlay = true;
            match for_tunnels(self.program, &self.view.key) {
                ForTunnels::Whole => return self.emit(Op::Decap),
                // It may be the host's all the same, which puts its own pieces together.
                ForTunnels::Piece => self.branch(|w| w.emit(Op::PutTogether)),
                ForTunnels::Nothing => {}
            }
        }
        self.emit(match max_len {
            Some(max_len) => Op::OutputTruncated { port: idx, max_len },
            None => Op::Output(idx),
        });
    }

    fn send_by_patch(&mut self, number: OfPort, bridge: BridgeIdx, peer: OfPort) {
        let Some(far) = self.program.bridge(bridge).and_then(|b| b.ports.get(&peer)) else {
            return self.hint(DropReason::PortGone);
        };
        if far.no_receive {
            return self.hint(DropReason::PortDown);
        }
        self.cross(number, false);
        self.branch(|w| w.enter_bridge(bridge, peer));
    }

    pub(super) fn cross(&mut self, port: OfPort, received: bool) {
        self.crossings.push(Crossing { bridge: self.view.bridge, port, received });
    }

    /// Starts another bridge's pipeline with nothing of this one's state: registers, metadata, tunnel
    /// and connection state are cleared, as Open vSwitch does at a patch port.
    pub(super) fn enter_bridge(&mut self, bridge: BridgeIdx, port: OfPort) {
        let mirrored = std::mem::take(&mut self.mirrored);
        self.view.bridge = bridge;
        self.view.key.set(slot::IN_PORT, port as u64);
        self.clear_tracking();
        self.clear_words(slot::METADATA.word..slot::CONJ_ID.word);
        self.view.key.clear_tunnel_options();
        self.view.key.set(slot::ACTSET_OUTPUT, u32::MAX as u64);
        self.cross(port, true);
        self.run_bridge();
        if matches!(self.hint, Some(DropReason::TooManyLabels | DropReason::PacketType)) {
            // That ends the packet's way in this bridge only, as in Open vSwitch.
            self.hint = None;
        }
        self.resume_after_copy();
        self.mirrored = mirrored;
    }

    /// `exit` on a copy does not end the original's actions; a spent budget does.
    pub(super) fn resume_after_copy(&mut self) {
        self.exit &= self.ran_away();
    }
}
