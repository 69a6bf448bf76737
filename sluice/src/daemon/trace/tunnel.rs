//! A traced packet that leaves by a tunnel.
//!
//! Purpose: the outer header that Open vSwitch would push, and the bridge that it leaves by.
//! Deliberately does not know: how the engine encapsulates.

use std::net::IpAddr;

use sluice_flow::key::{slot, Slot};
use sluice_flow::underlay::Exit;
use sluice_openflow::PortNo;
use sluice_ovsdb_bridge as desired;

use super::commit::mac;
use super::odp::Odp;
use super::packet::Packet;
use super::tree::Kind;
use super::walk::{How, Walk};

impl Walk<'_> {
    /// By a tunnel.
    pub(super) fn by_tunnel(&mut self, vxlan: &desired::Vxlan, last: bool) {
        let remote = match vxlan.remote_ip {
            desired::Address::Fixed(address) => Some(address),
            desired::Address::Flow => tunnel_end(&self.packet, slot::TUN_DST, slot::TUN_IPV6_DST),
        };
        let Some(remote) = remote else { return self.say(Kind::Warn, "Tunneling decided against output") };
        if tunnel_end(&self.origin, slot::TUN_DST, slot::TUN_IPV6_DST) == Some(remote) {
            return self.say(Kind::Warn, "Not tunneling to our own address");
        }
        self.say(Kind::Detail, "output to native tunnel");
        self.commit();
        let switch = self.switch;
        let program = switch.program();
        let underlay = program.underlay();
        let local = match vxlan.local_ip {
            Some(desired::Address::Fixed(address)) => Some(address),
            Some(desired::Address::Flow) => tunnel_end(&self.packet, slot::TUN_SRC, slot::TUN_IPV6_SRC),
            None => None,
        };
        let mark = match vxlan.egress_pkt_mark {
            0 => self.packet.get(slot::PKT_MARK),
            mark => u64::from(mark),
        };
        let Some(hop) = underlay.route_marked(remote, local, mark as u32) else {
            return self.say(Kind::Warn, "native tunnel routing failed");
        };
        let device = underlay.devices.get(hop.device);
        let name = device.map_or("", |d| &d.name);
        self.say(Kind::Detail, format!("tunneling to {remote} via {name}"));
        let Some(to) = underlay.neighbour(&hop) else {
            let what = if remote.is_ipv4() { "ARP" } else { "ND" };
            return self.say(
                Kind::Warn,
                format!("neighbor cache miss for {} on bridge {name}, sending {what} request", hop.address),
            );
        };
        let from = device.map_or([0; 6], |d| d.mac);
        let (from, to) = (mac_number(from), mac_number(to));
        self.say(Kind::Detail, format!("tunneling from {} {} to {} {}", mac(from), hop.source, mac(to), remote));
        let outer = self.outer(vxlan, from, to, hop.source, remote);
        match device.map(|d| &d.exit) {
            Some(Exit::Bridge(index)) => self.on_through(*index, &outer, mark, last),
            _ => self.emit(Odp::Text(outer.push(name))),
        }
    }

    fn outer(&self, vxlan: &desired::Vxlan, from: u64, to: u64, source: IpAddr, remote: IpAddr) -> Outer {
        Outer {
            from,
            to,
            source,
            remote,
            vni: match vxlan.out_key.unwrap_or(vxlan.key) {
                desired::Key::Fixed(vni) => vni,
                _ => self.packet.get(slot::TUN_ID) as u32,
            },
            tos: match vxlan.tos {
                desired::Tos::Fixed(tos) => u64::from(tos),
                desired::Tos::Inherit => self.packet.get(slot::NW_TOS),
            },
            ttl: match vxlan.ttl {
                desired::Ttl::Fixed(ttl) => u64::from(ttl),
                desired::Ttl::Inherit => self.packet.get(slot::NW_TTL),
            },
            port: vxlan.dst_port,
            df: vxlan.df,
            csum: vxlan.csum.unwrap_or(remote.is_ipv6()),
        }
    }

    /// The outer packet goes through the bridge that its route leads to.
    fn on_through(&mut self, index: sluice_flow::BridgeIdx, header: &Outer, mark: u64, last: bool) {
        let Some(bridge) = self.switch.bridge(index) else { return };
        let saved = (self.packet.clone(), self.base.clone(), self.wc.clone(), self.bridge, self.tree.at, self.conntracked);
        let outer = std::mem::take(&mut self.out);
        self.tree.at = self.tree.add(Kind::Bridge, format!("bridge(\"{}\")", bridge.name));
        self.packet = header.packet();
        self.packet.set(slot::PKT_MARK, mark);
        self.in_bridge(index);
        self.base = self.packet.clone();
        self.clear_state();
        let table = std::mem::take(&mut self.table);
        self.resubmit(PortNo::LOCAL, 0, true, true, last, How::OnCopy);
        self.table = table;
        (self.packet, self.base, self.wc, self.bridge, self.tree.at, self.conntracked) = saved;
        self.exit = false;
        self.error = None;
        let mut inner = std::mem::replace(&mut self.out, outer);
        inner.insert(0, Odp::Text(header.push(&bridge.name)));
        if last {
            self.out.append(&mut inner);
        } else {
            self.emit(Odp::Clone(inner));
        }
    }
}

/// An outer header.
struct Outer {
    from: u64,
    to: u64,
    source: IpAddr,
    remote: IpAddr,
    vni: u32,
    tos: u64,
    ttl: u64,
    port: u16,
    df: bool,
    csum: bool,
}

impl Outer {
    /// The action that pushes it.
    fn push(&self, out_port: &str) -> String {
        let Outer { source, remote, vni, ttl, port, .. } = self;
        let tos = hex(self.tos);
        let fragment = if self.df { "0x4000" } else { "0" };
        let (size, kind, ip) = match remote {
            IpAddr::V4(_) => (50, "0800", format!("ipv4(src={source},dst={remote},proto=17,tos={tos},ttl={ttl},frag={fragment})")),
            IpAddr::V6(_) => (70, "86dd", format!("ipv6(src={source},dst={remote},label=0,proto=17,tclass=0x{:x},hlimit={ttl})", self.tos)),
        };
        let eth = format!("eth(dst={},src={},dl_type=0x{kind})", mac(self.to), mac(self.from));
        let csum = if self.csum { "0xffff" } else { "0x0" };
        let udp = format!("udp(src=0,dst={port},csum={csum}),vxlan(flags=0x8000000,vni=0x{vni:x})");
        format!("tnl_push(tnl_port(vxlan_sys_{port}),header(size={size},type=4,{eth},{ip},{udp}),out_port({out_port}))")
    }

    /// A packet that has it.
    fn packet(&self) -> Packet {
        let mut packet = Packet::ZERO;
        packet.set(slot::ETH_DST, self.to);
        packet.set(slot::ETH_SRC, self.from);
        match (self.source, self.remote) {
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                packet.set(slot::ETH_TYPE, 0x86dd);
                packet.key.set_wide(slot::IPV6_SRC, u128::from(from));
                packet.key.set_wide(slot::IPV6_DST, u128::from(to));
            }
            (from, to) => {
                packet.set(slot::ETH_TYPE, 0x0800);
                packet.set(slot::NW_SRC, ip_value(from) as u64);
                packet.set(slot::NW_DST, ip_value(to) as u64);
            }
        }
        packet.set(slot::NW_PROTO, 17);
        packet.set(slot::NW_TOS, self.tos);
        packet.set(slot::NW_TTL, self.ttl);
        packet.set(slot::TP_DST, u64::from(self.port));
        packet.set(slot::IN_PORT, u64::from(PortNo::LOCAL.0));
        packet
    }
}

/// An end of a tunnel in the packet's fields; that of IPv4 first.
fn tunnel_end(packet: &Packet, v4: Slot, v6: Slot) -> Option<IpAddr> {
    match (packet.get(v4) as u32, packet.key.get_wide(v6)) {
        (0, 0) => None,
        (0, a) => Some(IpAddr::V6(a.into())),
        (a, _) => Some(IpAddr::V4(a.into())),
    }
}

fn ip_value(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => u128::from(u32::from(a)),
        IpAddr::V6(a) => u128::from(a),
    }
}

fn mac_number(mac: [u8; 6]) -> u64 {
    mac.iter().fold(0, |v, b| v << 8 | u64::from(*b))
}

fn hex(value: u64) -> String {
    if value == 0 { "0".to_string() } else { format!("0x{value:x}") }
}
