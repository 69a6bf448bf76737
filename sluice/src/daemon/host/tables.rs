//! What is known of the host.
//!
//! Purpose: keeps devices, addresses, routes and neighbours, and makes the underlay of them.
//! Invariant: says of every update whether tunnels or ports can be touched by it, so that a busy
//! host costs nothing that it need not.
//! Deliberately does not know: netlink's bytes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use sluice_flow::underlay::{Device, Exit, Route as UnderlayRoute, Underlay};

use super::message::{Address, Link, Route, Update};

/// What an update touched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Devices came, went or changed.
    pub links: bool,
    /// Addresses, routes or neighbours changed.
    pub underlay: bool,
}

impl Touched {
    /// Either.
    pub fn any(self) -> bool {
        self.links || self.underlay
    }

    /// Both together.
    pub fn and(self, other: Touched) -> Touched {
        Touched { links: self.links || other.links, underlay: self.underlay || other.underlay }
    }
}

const LINKS: Touched = Touched { links: true, underlay: true };
const UNDERLAY: Touched = Touched { links: false, underlay: true };
const NOTHING: Touched = Touched { links: false, underlay: false };

/// What is known.
#[derive(Debug, Default)]
pub struct HostTables {
    links: BTreeMap<u32, Link>,
    addresses: BTreeSet<Address>,
    routes: BTreeSet<Route>,
    neighbours: BTreeMap<(u32, IpAddr), [u8; 6]>,
}

impl HostTables {
    /// Takes one update in.
    pub fn apply(&mut self, update: &Update) -> Touched {
        let changed = |changed: bool, what: Touched| if changed { what } else { NOTHING };
        match update {
            Update::Link(link) => {
                let old = self.links.insert(link.index, link.clone());
                changed(old.as_ref() != Some(link), LINKS)
            }
            Update::LinkGone(index) => {
                self.addresses.retain(|a| a.index != *index);
                self.routes.retain(|r| r.index != *index);
                self.neighbours.retain(|(i, _), _| i != index);
                changed(self.links.remove(index).is_some(), LINKS)
            }
            Update::Address(address) => changed(self.addresses.insert(*address), UNDERLAY),
            Update::AddressGone(address) => changed(self.addresses.remove(address), UNDERLAY),
            Update::Route(route) => changed(self.routes.insert(*route), UNDERLAY),
            Update::RouteGone(route) => changed(self.routes.remove(route), UNDERLAY),
            Update::Neighbour(n) => {
                let key = (n.index, n.address);
                let old = match n.mac {
                    Some(mac) => self.neighbours.insert(key, mac),
                    None => self.neighbours.remove(&key),
                };
                changed(old != n.mac, UNDERLAY)
            }
            Update::Done | Update::Interrupted | Update::Refused(_) => NOTHING,
        }
    }

    /// The device of this name.
    pub fn link(&self, name: &str) -> Option<&Link> {
        self.links.values().find(|l| l.name == name)
    }

    /// The underlay, of the devices that `exit` gives a way out for.
    pub fn underlay(&self, exit: impl Fn(&str) -> Option<Exit>) -> Underlay {
        let mut devices = Vec::new();
        let mut position = HashMap::new();
        for link in self.links.values() {
            let (Some(exit), Some(mac)) = (exit(&link.name), link.mac) else { continue };
            position.insert(link.index, devices.len());
            let addresses = self.addresses.iter().filter(|a| a.index == link.index);
            devices.push(Device {
                name: link.name.clone(),
                mac,
                addresses: addresses.map(|a| a.address).collect(),
                exit,
                mtu: link.mtu,
            });
        }
        Underlay { devices, routes: self.routes_by(&position), neighbours: self.neighbours_by(&position) }
    }

    /// Of equal prefixes the one with the smallest metric comes last: the last of equals wins.
    fn routes_by(&self, position: &HashMap<u32, usize>) -> Vec<UnderlayRoute> {
        let mut routes: Vec<&Route> = self.routes.iter().collect();
        routes.sort_by_key(|r| std::cmp::Reverse(r.metric));
        let known = routes.iter().filter_map(|r| Some((r, *position.get(&r.index)?)));
        known
            .map(|(r, device)| UnderlayRoute {
                prefix: r.prefix,
                len: r.prefix_len,
                device,
                gateway: r.gateway,
                source: r.source,
            })
            .collect()
    }

    fn neighbours_by(&self, position: &HashMap<u32, usize>) -> HashMap<(usize, IpAddr), [u8; 6]> {
        let known = self.neighbours.iter();
        known.filter_map(|((i, a), mac)| Some(((*position.get(i)?, *a), *mac))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::host::message::Neighbour;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn link(index: u32, name: &str) -> Update {
        let mac = Some([2, 0, 0, 0, 0, index as u8]);
        Update::Link(Link { index, name: name.into(), mac, mtu: 1500, up: true, carrier: true })
    }

    fn route(metric: u32, gateway: &str) -> Route {
        let gateway = Some(ip(gateway));
        Route { prefix: ip("0.0.0.0"), prefix_len: 0, index: 2, gateway, source: None, metric }
    }

    fn tables() -> HostTables {
        let mut tables = HostTables::default();
        tables.apply(&link(2, "eth0"));
        tables.apply(&link(3, "eth1"));
        tables.apply(&Update::Address(Address { index: 2, address: ip("192.0.2.1"), prefix_len: 24 }));
        tables.apply(&Update::Route(route(10, "192.0.2.254")));
        tables.apply(&Update::Route(route(100, "192.0.2.253")));
        let mac = Some([6; 6]);
        tables.apply(&Update::Neighbour(Neighbour { index: 2, address: ip("192.0.2.254"), mac }));
        tables
    }

    #[test]
    fn the_underlay_has_only_devices_with_a_way_out_and_prefers_the_smallest_metric() {
        let underlay = tables().underlay(|name| (name == "eth0").then_some(Exit::Port(4)));
        assert_eq!(underlay.devices.len(), 1);
        let hop = underlay.route(ip("198.51.100.1"), None).unwrap();
        assert_eq!((hop.address, hop.source), (ip("192.0.2.254"), ip("192.0.2.1")));
        assert_eq!(underlay.neighbour(&hop), Some([6; 6]));
    }

    #[test]
    fn what_was_known_already_touches_nothing() {
        let mut tables = tables();
        assert_eq!(tables.apply(&link(2, "eth0")), NOTHING);
        assert_eq!(tables.apply(&Update::Route(route(10, "192.0.2.254"))), NOTHING);
        let gone = Neighbour { index: 9, address: ip("192.0.2.9"), mac: None };
        assert_eq!(tables.apply(&Update::Neighbour(gone)), NOTHING);
    }

    #[test]
    fn a_device_takes_all_that_hangs_on_it_along() {
        let mut tables = tables();
        assert!(tables.apply(&Update::LinkGone(2)).links);
        let underlay = tables.underlay(|_| Some(Exit::Port(0)));
        assert!(underlay.routes.is_empty() && underlay.neighbours.is_empty());
        assert!(tables.link("eth0").is_none() && tables.link("eth1").is_some());
    }
}
