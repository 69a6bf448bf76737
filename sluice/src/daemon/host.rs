//! The host's tables in the terms of tunnels and ports.
//!
//! Purpose: what the kernel knows becomes the underlay of the program; each change is judged by what
//! it can touch, so that a busy host costs nothing that it need not.
//! Deliberately does not know: netlink.

use std::collections::HashMap;
use std::net::IpAddr;

use sluice_flow::underlay::{Device, Exit, Route, Underlay};
use sluice_port::netlink::{Change, RouteKind, Tables};

/// What changes can touch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Devices came, went or changed.
    pub links: bool,
    /// Routes to peers, addresses or neighbours.
    pub underlay: bool,
}

impl Touched {
    /// Everything.
    pub const ALL: Touched = Touched { links: true, underlay: true };

    /// What these changes touch.
    pub fn by(changes: &[Change]) -> Touched {
        let links = |c: &Change| matches!(c, Change::Link(_) | Change::LinkGone(_) | Change::Cleared);
        Touched { links: changes.iter().any(links), underlay: !changes.is_empty() }
    }

    /// Anything at all?
    pub fn any(self) -> bool {
        self.links || self.underlay
    }

    /// Both together.
    pub fn and(self, other: Touched) -> Touched {
        Touched { links: self.links || other.links, underlay: self.underlay || other.underlay }
    }
}

/// The underlay, of the devices that `exit` gives a way out for.
pub fn underlay(tables: &Tables, exit: impl Fn(&str) -> Option<Exit>) -> Underlay {
    let mut devices = Vec::new();
    let mut place = HashMap::new();
    for link in tables.links().filter(|l| l.up) {
        let Some(exit) = exit(&link.name) else { continue };
        place.insert(link.index, devices.len());
        let addresses = tables.addresses(link.index).map(|a| a.address).collect();
        devices.push(Device { name: link.name.clone(), mac: link.mac, addresses, exit, mtu: link.mtu });
    }
    let neighbours = tables.neighbours();
    let neighbours = neighbours.filter_map(|(link, a, mac)| Some(((*place.get(&link)?, a), mac))).collect();
    Underlay { routes: routes(tables, &place), devices, neighbours, ..Underlay::default() }
}

/// Of equal prefixes the last one wins, so the one with the smallest metric comes last.
fn routes(tables: &Tables, place: &HashMap<u32, usize>) -> Vec<Route> {
    let unicast = tables.routes().filter(|r| r.kind == RouteKind::Unicast && r.tos == 0);
    let mut known: Vec<_> = unicast.filter_map(|r| Some((r, *place.get(&r.link)?))).collect();
    known.sort_by_key(|(r, _)| std::cmp::Reverse(r.metric));
    let route = |(r, device): (&sluice_port::netlink::Route, usize)| Route {
        prefix: r.prefix.address(),
        len: r.prefix.length(),
        device,
        gateway: r.gateway,
        source: r.source,
    };
    known.into_iter().map(route).collect()
}

/// Can this be the end of a tunnel without saying which link it is on?
pub fn is_global(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => true,
        IpAddr::V6(a) => !a.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_port::netlink::{Address, Link, Neighbour, Prefix, Route as HostRoute};

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn host() -> Tables {
        let mut tables = Tables::default();
        for (index, name) in [(2, "eth0"), (3, "eth1")] {
            let link = Link { index, name: name.into(), mac: [2; 6], mtu: 1500, up: true, running: true, kind: None, master: None, alias: None };
            tables.apply(&Change::Link(link));
        }
        tables.apply(&Change::Address(Address { link: 2, address: ip("192.0.2.1"), length: 24 }));
        for (metric, router) in [(10, "192.0.2.254"), (100, "192.0.2.253")] {
            let prefix = Prefix::new(ip("0.0.0.0"), 0);
            let gateway = Some(ip(router));
            let route = HostRoute { prefix, metric, tos: 0, kind: RouteKind::Unicast, link: 2, gateway, source: None };
            tables.apply(&Change::Route { route, replace: false });
        }
        tables.apply(&Change::Neighbour(Neighbour { link: 2, address: ip("192.0.2.254"), mac: Some([6; 6]) }));
        tables
    }

    #[test]
    fn only_devices_with_a_way_out_count_and_the_smallest_metric_wins() {
        let underlay = underlay(&host(), |name| (name == "eth0").then_some(Exit::Port(4)));
        assert_eq!(underlay.devices.len(), 1);
        let hop = underlay.route(ip("198.51.100.1"), None).unwrap();
        assert_eq!((hop.address, hop.source), (ip("192.0.2.254"), ip("192.0.2.1")));
        assert_eq!(underlay.neighbour(&hop), Some([6; 6]));
    }
}
