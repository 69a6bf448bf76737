//! Tunnels: outer headers, and the way to the peer.

use std::net::IpAddr;
use std::sync::Arc;

use super::walk::Walk;
use super::{for_tunnels, Decision, Event, ForTunnels};
use crate::action::{OfPort, LOCAL};
use crate::drop::DropReason;
use crate::key::{slot, Key, Slot, PACKET_WORDS};
use crate::program::{PortKind, Program, Tunnel};
use crate::underlay::{Device, Exit};
use crate::verdict::{Effect, Encap, Op, OuterTos, OuterTtl, PortIdx, Verdict};

/// Outer IP, UDP and VXLAN headers, bytes.
const OVERHEAD4: u32 = 20 + 8 + 8;
const OVERHEAD6: u32 = 40 + 8 + 8;
/// Words of the key that hold IP addresses, one bit each.
const ADDRESS_WORDS: u64 = 1 << slot::NW_SRC.word | 0b1111 << slot::IPV6_SRC.word;

/// A frame from a device that serves only tunnels.
pub(super) fn from_underlay(program: &Program, key: &Key) -> Decision {
    let mut verdict = Verdict { uses_underlay: true, ..Verdict::default() };
    match for_tunnels(program, key) {
        ForTunnels::Whole => verdict.ops = Box::new([Op::Decap]),
        ForTunnels::Piece => verdict.ops = Box::new([Op::PutTogether]),
        ForTunnels::Nothing => verdict.drop = Some(DropReason::NoTunnel),
    }
    Decision { verdict, ..Decision::default() }
}

impl Walk<'_> {
    /// A packet that a tunnel port hands in is counted there; no device does it.
    pub(super) fn count_tunnel_input(&mut self) {
        let port = self.in_port();
        let kind = self.bridge().and_then(|b| b.ports.get(&port)).map(|p| &p.kind);
        if matches!(kind, Some(PortKind::Tunnel(_))) {
            self.cross(port, true);
        }
    }

    pub(super) fn send_by_tunnel(&mut self, number: OfPort, tunnel: &Tunnel) {
        self.uses_underlay = true;
        let reach = match self.reach(tunnel) {
            Ok(reach) => reach,
            Err(reason) => return self.hint(reason),
        };
        let (encap, device) = reach;
        self.cross(number, false);
        let mut outer = outer_key(&encap);
        // What stays with the packet whatever its headers are.
        outer.set(slot::PKT_MARK, u64::from(self.mark(tunnel)));
        outer.set(slot::SKB_PRIORITY, self.view.key.get(slot::SKB_PRIORITY));
        let exit = device.exit;
        self.branch(|w| {
            w.emit(Op::Encap(Arc::new(encap)));
            w.view.key = outer;
            w.view.written = u64::MAX;
            w.view.source_written = true;
            w.view.decremented = false;
            w.view.inner_vlans.clear();
            match exit {
                Exit::Port(idx) => w.emit(Op::Output(idx)),
                Exit::Bridge(bridge) => w.enter_bridge(bridge, LOCAL),
            }
        });
    }

    /// The mark of a packet that leaves.
    fn mark(&self, tunnel: &Tunnel) -> u32 {
        match tunnel.mark {
            0 => self.view.key.get(slot::PKT_MARK) as u32,
            mark => mark,
        }
    }

    /// Outer headers and the device to leave by, or why the peer cannot be reached.
    fn reach(&mut self, tunnel: &Tunnel) -> Result<(Encap, Device), DropReason> {
        let key = &self.view.key;
        let to = tunnel.remote.or_else(|| set_by_rule(key, slot::TUN_DST, slot::TUN_IPV6_DST)).ok_or(DropReason::TunnelNoPeer)?;
        let from = tunnel.local.or_else(|| set_by_rule(key, slot::TUN_SRC, slot::TUN_IPV6_SRC));
        let vni = tunnel.out_key.unwrap_or(key.get(slot::TUN_ID) as u32 & 0xff_ffff);
        let gbp = tunnel.gbp.then(|| (key.get(slot::TUN_GBP_ID) as u16, key.get(slot::TUN_GBP_FLAGS) as u8));
        let underlay = self.program.underlay();
        let hop = underlay.route_marked(to, from, self.mark(tunnel)).ok_or(DropReason::NoRoute)?;
        let device = underlay.devices.get(hop.device).cloned().ok_or(DropReason::NoRoute)?;
        let Some(dst_mac) = underlay.neighbour(&hop) else {
            self.event(Event::Resolve { device: hop.device, address: hop.address });
            // A request may be lost, and so may its answer: ask again while packets come.
            self.effect(Effect::DecideAgain);
            return Err(DropReason::NeighbourUnresolved);
        };
        if hop.source.is_ipv6() != to.is_ipv6() {
            return Err(DropReason::NoRoute);
        }
        let encap = Encap {
            vni,
            src: hop.source,
            dst: to,
            src_mac: device.mac,
            dst_mac,
            dst_port: tunnel.dst_port,
            tos: tunnel.tos,
            ttl: tunnel.ttl,
            df: tunnel.df,
            csum: tunnel.csum.unwrap_or(to.is_ipv6()),
            gbp,
            longest: device.mtu.saturating_sub(if to.is_ipv6() { OVERHEAD6 } else { OVERHEAD4 }),
            back: self.device_behind(),
        };
        Ok((encap, device))
    }

    /// The device that the packet came in by, as long as the packet still has the addresses that it had there.
    fn device_behind(&self) -> Option<PortIdx> {
        let (bridge, port) = self.start;
        match self.program.bridge(bridge)?.ports.get(&port)?.kind {
            PortKind::Device(device) if self.view.written & ADDRESS_WORDS == 0 => Some(device),
            _ => None,
        }
    }
}

/// An address of a tunnel's end that a rule wrote; that of IPv4 first, as in Open vSwitch.
fn set_by_rule(key: &Key, v4: Slot, v6: Slot) -> Option<IpAddr> {
    match (key.get(v4) as u32, key.get_wide(v6)) {
        (0, 0) => None,
        (0, a) => Some(IpAddr::V6(a.into())),
        (a, _) => Some(IpAddr::V4(a.into())),
    }
}

/// The fields of the packet once it is encapsulated. The UDP source port differs by inner flow and is left 0.
fn outer_key(e: &Encap) -> Key {
    let mut k = Key::ZERO;
    k.set(slot::ETH_DST, mac(&e.dst_mac));
    k.set(slot::ETH_SRC, mac(&e.src_mac));
    k.set(slot::ETH_TYPE, if e.dst.is_ipv6() { 0x86dd } else { 0x0800 });
    for (address, v4, v6) in [(e.src, slot::NW_SRC, slot::IPV6_SRC), (e.dst, slot::NW_DST, slot::IPV6_DST)] {
        match address {
            IpAddr::V4(a) => k.set(v4, u64::from(u32::from(a))),
            IpAddr::V6(a) => k.set_wide(v6, a.into()),
        }
    }
    k.set(slot::NW_PROTO, 17);
    k.set(slot::NW_TOS, if let OuterTos::Set(t) = e.tos { t as u64 } else { 0 });
    k.set(slot::NW_TTL, if let OuterTtl::Set(t) = e.ttl { t as u64 } else { 64 });
    k.set(slot::TP_DST, e.dst_port as u64);
    k
}

fn mac(m: &[u8; 6]) -> u64 {
    m.iter().fold(0, |v, b| v << 8 | *b as u64)
}

const _: () = assert!(slot::TUN_ID.word as usize >= PACKET_WORDS);
