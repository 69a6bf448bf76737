//! The switch under test: rules, ports and a source.
//!
//! Purpose: the same arrangement for measuring, counting instructions and counting allocations.
//! Invariant: port 1 is the source, port 2 the sink; port 8 is a tunnel whose packets use port 9.
//! Deliberately does not know: time and figures.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use sluice::inline::Inline;
use sluice_flow::program::{Ingress, Port, PortKind, Tunnel};
use sluice_flow::underlay::{Device, Exit, Route, Underlay};
use sluice_flow::verdict::{OuterTos, OuterTtl};
use sluice_flow::{Change, PortIdx};
use sluice_openflow::text::{parse_flow_file, Names};
use sluice_openflow::version::Version;
use sluice_port::pcap::{Output, PcapPort, Repeat};

/// Chunks of frame memory and their size: what the replay command has.
const CHUNKS: usize = 2048;
const CHUNK: usize = 4096;
/// Flows that the cache may hold.
const FLOWS: usize = 1 << 22;
const SOURCE: u32 = 1;
const SINK: u32 = 2;
const TUNNEL: u32 = 8;
const UNDERLAY: u32 = 9;
/// The first of ports without traffic.
const IDLE: u32 = 100;
const OWN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const PEER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const OWN6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
const PEER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const OWN_MAC: [u8; 6] = [2, 0, 0, 0, 0xff, 2];
const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0xff, 1];
const VXLAN_PORT: u16 = 4789;

/// Where frames come from and how they leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// From port 1 to port 2.
    Plain,
    /// From port 1 into the tunnel.
    Encap,
    /// Out of the tunnel to port 2.
    Decap,
    /// As [`Shape::Encap`], over IPv6.
    Encap6,
    /// As [`Shape::Decap`], over IPv6.
    Decap6,
    /// Out of the tunnel and into it again, with another VNI.
    Both,
    /// From port 1 to port 2, and answers from port 2 to port 1.
    Stateful,
}

impl Shape {
    /// Do its frames come with outer headers?
    pub fn is_tunnelled(self) -> bool {
        matches!(self, Shape::Decap | Shape::Decap6 | Shape::Both)
    }

    /// The ends of its tunnel, ours first.
    fn ends(self) -> Option<(IpAddr, IpAddr)> {
        match self {
            Shape::Plain | Shape::Stateful => None,
            Shape::Encap | Shape::Decap | Shape::Both => Some((IpAddr::V4(OWN), IpAddr::V4(PEER))),
            Shape::Encap6 | Shape::Decap6 => Some((IpAddr::V6(OWN6), IpAddr::V6(PEER6))),
        }
    }

    /// By its name on a command line.
    pub fn named(name: &str) -> Option<Shape> {
        match name {
            "plain" => Some(Shape::Plain),
            "encap" => Some(Shape::Encap),
            "decap" => Some(Shape::Decap),
            "encap6" => Some(Shape::Encap6),
            "decap6" => Some(Shape::Decap6),
            "both" => Some(Shape::Both),
            "stateful" => Some(Shape::Stateful),
            _ => None,
        }
    }
}

/// A switch with these rules and this source, ready to turn.
pub fn build(shape: Shape, rules: &str, source: Box<dyn sluice_port::Port>) -> Result<Inline, String> {
    let mods = parse_flow_file(rules, &Names::new()).map_err(|e| e.to_string())?;
    let mut switch = Inline::new(CHUNK, CHUNKS, FLOWS).map_err(|e| e.to_string())?;
    switch.add_bridge(0);
    build_with(shape, &mods, source, sink(), &mut switch)?;
    Ok(switch)
}

/// A switch with these rules, a source and its answers.
pub fn build_stateful(rules: &str, source: Box<dyn sluice_port::Port>, answers: Box<dyn sluice_port::Port>) -> Result<Inline, String> {
    let mods = parse_flow_file(rules, &Names::new()).map_err(|e| e.to_string())?;
    let mut switch = Inline::new(CHUNK, CHUNKS, FLOWS).map_err(|e| e.to_string())?;
    switch.add_bridge(0);
    build_with(Shape::Stateful, &mods, source, answers, &mut switch)?;
    Ok(switch)
}

fn build_with(
    shape: Shape,
    mods: &[sluice_openflow::FlowMod],
    source: Box<dyn sluice_port::Port>,
    second: Box<dyn sluice_port::Port>,
    switch: &mut Inline,
) -> Result<(), String> {
    let (first, underlay) = match shape {
        _ if shape.is_tunnelled() => (sink(), source),
        _ => (source, sink()),
    };
    switch.add_device(0, SOURCE, first);
    switch.add_device(0, SINK, second);
    if let Some((own, peer)) = shape.ends() {
        let idx = switch.add_device(0, UNDERLAY, underlay);
        add_tunnel(switch, idx, own, peer);
    }
    switch.flow_mods(0, mods, Version::V14).map_err(|e| format!("rule {}: {}", e.index + 1, e.error))
}

/// Adds ports that nobody uses.
pub fn add_idle(switch: &mut Inline, ports: u32) {
    for port in 0..ports {
        switch.add_device(0, IDLE + port, sink());
    }
}

fn sink() -> Box<dyn sluice_port::Port> {
    Box::new(PcapPort::new("sink", Repeat::Times(0), Output::Discard))
}

fn add_tunnel(switch: &mut Inline, by: PortIdx, own: IpAddr, peer: IpAddr) {
    let mut underlay = Underlay::default();
    underlay.devices.push(Device {
        name: "underlay".into(),
        mac: OWN_MAC,
        addresses: vec![own],
        exit: Exit::Port(by),
        mtu: 9000,
    });
    underlay.routes.push(Route { prefix: peer, len: if peer.is_ipv6() { 128 } else { 32 }, device: 0, gateway: None, source: Some(own) });
    underlay.neighbours.insert((0, peer), PEER_MAC);
    let tunnel = Tunnel {
        key: None, out_key: None,
        remote: Some(peer),
        local: Some(own),
        dst_port: VXLAN_PORT,
        tos: OuterTos::Set(0),
        ttl: OuterTtl::Set(64),
        df: true,
        csum: None,
        gbp: false,
        mark: 0,
    };
    let to = Some(Port { kind: PortKind::Tunnel(Arc::new(tunnel)), ..Port::device(0) });
    switch.change(&[
        Change::SetPort { bridge: 0, port: TUNNEL, to },
        Change::SetIngress { device: by, to: Some(Ingress::Underlay) },
    ]);
    switch.set_underlay(underlay);
}
