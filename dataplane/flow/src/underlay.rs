//! The host's routes and neighbours, as far as tunnels need them.
//!
//! Deliberately does not know: netlink. The control side fills this in and replaces it whole.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::verdict::{BridgeIdx, PortIdx};

/// How a frame leaves by an underlay device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// Straight out of a port that belongs to the switch for its tunnels.
    Port(PortIdx),
    /// Into this bridge, as if from its own device.
    Bridge(BridgeIdx),
}

/// A device that tunnels leave by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Device {
    /// The kernel's name.
    pub name: String,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// Its own addresses.
    pub addresses: Vec<IpAddr>,
    /// How frames leave.
    pub exit: Exit,
    /// Largest IP packet, bytes.
    pub mtu: u32,
}

/// One route. Longest prefix wins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route {
    /// Network address.
    pub prefix: IpAddr,
    /// Prefix length, bits.
    pub len: u8,
    /// Index into [`Underlay::devices`].
    pub device: usize,
    /// Next hop, or `None` when the destination is on the link.
    pub gateway: Option<IpAddr>,
    /// Preferred source address.
    pub source: Option<IpAddr>,
}

/// Routes, neighbours and devices.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Underlay {
    /// Devices.
    pub devices: Vec<Device>,
    /// Routes.
    pub routes: Vec<Route>,
    /// Routes for packets that carry this mark only; they come before the others.
    pub marked: Vec<(u32, Route)>,
    /// Hardware address of a neighbour on a device.
    pub neighbours: HashMap<(usize, IpAddr), [u8; 6]>,
}

/// How to reach a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NextHop {
    /// Index of the device.
    pub device: usize,
    /// Address to resolve on that device.
    pub address: IpAddr,
    /// Source address to use.
    pub source: IpAddr,
}

impl Underlay {
    /// The way to `to`; `from` is used as source where it is given.
    pub fn route(&self, to: IpAddr, from: Option<IpAddr>) -> Option<NextHop> {
        self.route_marked(to, from, 0)
    }

    /// The way of a packet with this mark: by a route for that mark, else by one for all.
    pub fn route_marked(&self, to: IpAddr, from: Option<IpAddr>, mark: u32) -> Option<NextHop> {
        let leads = |r: &&Route| contains(r.prefix, r.len, to);
        let marked = self.marked.iter().filter(|(m, _)| *m == mark).map(|(_, r)| r).filter(leads).max_by_key(|r| r.len);
        let best = marked.or_else(|| self.routes.iter().filter(leads).max_by_key(|r| r.len))?;
        let device = self.devices.get(best.device)?;
        let same_family = |a: &&IpAddr| a.is_ipv4() == to.is_ipv4();
        let source = from.or(best.source).or_else(|| device.addresses.iter().find(same_family).copied())?;
        Some(NextHop { device: best.device, address: best.gateway.unwrap_or(to), source })
    }

    /// Hardware address of a next hop.
    pub fn neighbour(&self, hop: &NextHop) -> Option<[u8; 6]> {
        self.neighbours.get(&(hop.device, hop.address)).copied()
    }

    /// Is this one of the devices' own addresses?
    pub fn is_local(&self, address: IpAddr) -> bool {
        self.devices.iter().any(|d| d.addresses.contains(&address))
    }
}

fn contains(prefix: IpAddr, len: u8, address: IpAddr) -> bool {
    match (prefix, address) {
        (IpAddr::V4(p), IpAddr::V4(a)) => {
            len == 0 || len <= 32 && (u32::from(p) ^ u32::from(a)) >> (32 - len as u32) == 0
        }
        (IpAddr::V6(p), IpAddr::V6(a)) => {
            len == 0 || len <= 128 && (u128::from(p) ^ u128::from(a)) >> (128 - len as u32) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_wins_and_its_gateway_is_what_must_be_resolved() {
        let ip = |s: &str| s.parse::<IpAddr>().unwrap();
        let device = |name: &str, a: &str| Device {
            name: name.into(),
            mac: [0; 6],
            addresses: vec![ip(a)],
            exit: Exit::Port(0),
            mtu: 1500,
        };
        let route = |p: &str, len, device, gw: Option<&str>| Route {
            prefix: ip(p),
            len,
            device,
            gateway: gw.map(ip),
            source: None,
        };
        let u = Underlay {
            devices: vec![device("a", "192.0.2.1"), device("b", "198.51.100.1")],
            routes: vec![route("0.0.0.0", 0, 0, Some("192.0.2.254")), route("203.0.113.0", 24, 1, None)],
            marked: vec![(7, route("203.0.113.0", 24, 0, Some("192.0.2.253")))],
            neighbours: HashMap::from([((1, ip("203.0.113.9")), [2; 6])]),
        };
        let hop = u.route(ip("203.0.113.9"), None).unwrap();
        assert_eq!((hop.device, hop.address, hop.source), (1, ip("203.0.113.9"), ip("198.51.100.1")));
        assert_eq!(u.neighbour(&hop), Some([2; 6]));
        let hop = u.route(ip("8.8.8.8"), Some(ip("192.0.2.7"))).unwrap();
        assert_eq!((hop.device, hop.address, hop.source), (0, ip("192.0.2.254"), ip("192.0.2.7")));
        assert_eq!(u.neighbour(&hop), None);
        assert_eq!(u.route(ip("2001:db8::1"), None), None);
        assert_eq!(u.route_marked(ip("203.0.113.9"), None, 7).unwrap().address, ip("192.0.2.253"));
        assert_eq!(u.route_marked(ip("8.8.8.8"), None, 7).unwrap().address, ip("192.0.2.254"), "no route of its own");
    }
}
