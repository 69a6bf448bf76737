//! Links, addresses, routes and neighbours as plain state, with the two look-ups that tunnels need.
//!
//! Invariant: the state is a function of the changes applied; look-ups never fail for size.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use super::prefix::Prefix;

/// A network device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Link {
    /// Number.
    pub index: u32,
    /// Name.
    pub name: String,
    /// Ethernet address; zero for a device without one.
    pub mac: [u8; 6],
    /// MTU, bytes.
    pub mtu: u32,
    /// Administratively up.
    pub up: bool,
    /// Up and with a carrier.
    pub running: bool,
    /// Kind of a virtual device (`veth`, `tun`, `vxlan`).
    pub kind: Option<String>,
    /// Number of the device that it is enslaved to.
    pub master: Option<u32>,
    /// What someone wrote down about it.
    pub alias: Option<String>,
}

/// An address of a device.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Address {
    /// Number of the device.
    pub link: u32,
    /// The address.
    pub address: IpAddr,
    /// Length of its network's prefix.
    pub length: u8,
}

/// What a route does with a packet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum RouteKind {
    /// Sends it on.
    Unicast,
    /// Refuses it, in one way or another.
    Refuse,
    /// Goes on as if the route were not there.
    Skip,
}

/// A route of the main table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Route {
    /// Destinations.
    pub prefix: Prefix,
    /// The lowest wins among routes of one prefix.
    pub metric: u32,
    /// Type of service that it is for, 0 for any.
    pub tos: u8,
    /// What it does.
    pub kind: RouteKind,
    /// Number of the device; the first of several.
    pub link: u32,
    /// Router, unless destinations are on the link.
    pub gateway: Option<IpAddr>,
    /// Source address that the host would choose.
    pub source: Option<IpAddr>,
}

/// Who has an address on a link.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Neighbour {
    /// Number of the device.
    pub link: u32,
    /// The address.
    pub address: IpAddr,
    /// Its Ethernet address; `None` while or because it is not resolved.
    pub mac: Option<[u8; 6]>,
}

/// One alteration of the host's tables.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// A link is new or has changed.
    Link(Link),
    /// A link is gone: number.
    LinkGone(u32),
    /// An address is new.
    Address(Address),
    /// An address is gone.
    AddressGone(Address),
    /// A route is new; with `replace` it takes the place of those of its prefix, metric and TOS.
    Route {
        /// The route.
        route: Route,
        /// Instead of its like.
        replace: bool,
    },
    /// A route is gone.
    RouteGone(Route),
    /// A neighbour is new or has changed.
    Neighbour(Neighbour),
    /// All routes are given anew after this.
    RoutesCleared,
    /// Everything is given anew after this.
    Cleared,
}

/// Where to send a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NextHop {
    /// Number of the device.
    pub link: u32,
    /// Router, unless the destination is on the link.
    pub gateway: Option<IpAddr>,
    /// Source address that the host would choose.
    pub source: Option<IpAddr>,
}

/// The host's tables.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    links: BTreeMap<u32, Link>,
    addresses: Vec<Address>,
    /// By length, then by prefix; the lengths are walked from the longest.
    routes_v4: BTreeMap<u8, HashMap<Prefix, Vec<Route>>>,
    routes_v6: BTreeMap<u8, HashMap<Prefix, Vec<Route>>>,
    neighbours: HashMap<(u32, IpAddr), [u8; 6]>,
}

impl Tables {
    /// Applies one change: true when it altered anything.
    pub fn apply(&mut self, change: &Change) -> bool {
        match change {
            Change::Link(link) => self.links.insert(link.index, link.clone()).as_ref() != Some(link),
            Change::LinkGone(index) => {
                self.neighbours.retain(|(link, _), _| link != index);
                self.addresses.retain(|a| a.link != *index);
                self.links.remove(index).is_some()
            }
            Change::Address(a) => {
                let new = !self.addresses.contains(a);
                if new {
                    self.addresses.push(*a);
                }
                new
            }
            Change::AddressGone(a) => {
                let before = self.addresses.len();
                self.addresses.retain(|b| a != b);
                self.addresses.len() != before
            }
            Change::Route { route, replace } => self.add_route(*route, *replace),
            Change::RouteGone(route) => self.remove_route(route),
            Change::Neighbour(n) => match n.mac {
                Some(mac) => self.neighbours.insert((n.link, n.address), mac) != Some(mac),
                None => self.neighbours.remove(&(n.link, n.address)).is_some(),
            },
            Change::RoutesCleared => {
                self.routes_v4.clear();
                self.routes_v6.clear();
                true
            }
            Change::Cleared => {
                *self = Tables::default();
                true
            }
        }
    }

    fn add_route(&mut self, route: Route, replace: bool) -> bool {
        let of_prefix = self.family_mut(&route.prefix).entry(route.prefix.length()).or_default().entry(route.prefix).or_default();
        if of_prefix.contains(&route) {
            return false;
        }
        if replace {
            of_prefix.retain(|r| (r.metric, r.tos) != (route.metric, route.tos));
        }
        of_prefix.push(route);
        // Stable: among equals the older stays first, as in the kernel.
        of_prefix.sort_by_key(|r| r.metric);
        true
    }

    fn remove_route(&mut self, route: &Route) -> bool {
        let Some(by_prefix) = self.family_mut(&route.prefix).get_mut(&route.prefix.length()) else { return false };
        let Some(of_prefix) = by_prefix.get_mut(&route.prefix) else { return false };
        let same = |r: &Route| {
            (r.metric, r.tos, r.kind, r.link, r.gateway) == (route.metric, route.tos, route.kind, route.link, route.gateway)
        };
        let found = of_prefix.iter().position(same);
        if let Some(at) = found {
            of_prefix.remove(at);
        }
        if of_prefix.is_empty() {
            by_prefix.remove(&route.prefix);
        }
        found.is_some()
    }

    fn family_mut(&mut self, prefix: &Prefix) -> &mut BTreeMap<u8, HashMap<Prefix, Vec<Route>>> {
        if prefix.address().is_ipv4() {
            &mut self.routes_v4
        } else {
            &mut self.routes_v6
        }
    }

    /// Where the main table sends packets to an address. `None`: nowhere.
    ///
    /// Routes over links that are down do not count, as the kernel does not use them.
    pub fn route_to(&self, address: IpAddr) -> Option<NextHop> {
        let family = if address.is_ipv4() { &self.routes_v4 } else { &self.routes_v6 };
        for (length, by_prefix) in family.iter().rev() {
            let Some(of_prefix) = by_prefix.get(&Prefix::new(address, *length)) else { continue };
            let usable = |r: &&Route| {
                r.tos == 0 && (r.kind != RouteKind::Unicast || self.links.get(&r.link).is_none_or(|l| l.up))
            };
            match of_prefix.iter().find(usable) {
                Some(r) if r.kind == RouteKind::Unicast => {
                    return Some(NextHop { link: r.link, gateway: r.gateway, source: r.source })
                }
                Some(r) if r.kind == RouteKind::Refuse => return None,
                _ => {}
            }
        }
        None
    }

    /// The Ethernet address of a neighbour, if it is resolved.
    pub fn neighbour(&self, link: u32, address: IpAddr) -> Option<[u8; 6]> {
        self.neighbours.get(&(link, address)).copied()
    }

    /// A link by its number.
    pub fn link(&self, index: u32) -> Option<&Link> {
        self.links.get(&index)
    }

    /// A link by its name.
    pub fn link_by_name(&self, name: &str) -> Option<&Link> {
        self.links.values().find(|l| l.name == name)
    }

    /// All links, by number.
    pub fn links(&self) -> impl Iterator<Item = &Link> {
        self.links.values()
    }

    /// Addresses of a link, in the order in which they were given to it.
    pub fn addresses(&self, link: u32) -> impl Iterator<Item = &Address> {
        self.addresses.iter().filter(move |a| a.link == link)
    }

    /// The link that has an address, if it is one of the host's own.
    pub fn owner_of(&self, address: IpAddr) -> Option<u32> {
        self.addresses.iter().find(|a| a.address == address).map(|a| a.link)
    }

    /// All routes, the longest prefixes first.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        [&self.routes_v4, &self.routes_v6]
            .into_iter()
            .flat_map(|family| family.values().rev())
            .flat_map(|by_prefix| by_prefix.values().flatten())
    }

    /// All resolved neighbours: link, address, Ethernet address.
    pub fn neighbours(&self) -> impl Iterator<Item = (u32, IpAddr, [u8; 6])> + '_ {
        self.neighbours.iter().map(|((link, address), mac)| (*link, *address, *mac))
    }

    /// Number of resolved neighbours.
    pub fn neighbour_count(&self) -> usize {
        self.neighbours.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn route(prefix: &str, length: u8, link: u32, metric: u32, gateway: Option<&str>) -> Route {
        Route {
            prefix: Prefix::new(ip(prefix), length),
            metric,
            tos: 0,
            kind: RouteKind::Unicast,
            link,
            gateway: gateway.map(ip),
            source: None,
        }
    }

    fn add(t: &mut Tables, route: Route) -> bool {
        t.apply(&Change::Route { route, replace: false })
    }

    #[test]
    fn the_longest_prefix_wins_then_the_lowest_metric() {
        let mut t = Tables::default();
        assert!(add(&mut t, route("0.0.0.0", 0, 1, 0, Some("192.168.0.1"))));
        assert!(add(&mut t, route("10.0.0.0", 8, 2, 100, None)));
        assert!(add(&mut t, route("10.0.0.0", 8, 3, 50, None)));
        assert!(add(&mut t, route("10.1.0.0", 16, 4, 500, None)));
        assert!(!add(&mut t, route("10.1.0.0", 16, 4, 500, None)));
        let link = |t: &Tables, a| t.route_to(ip(a)).map(|n| n.link);
        assert_eq!(link(&t, "10.1.2.3"), Some(4));
        assert_eq!(link(&t, "10.2.2.3"), Some(3));
        assert_eq!(link(&t, "8.8.8.8"), Some(1));
        assert_eq!(t.route_to(ip("8.8.8.8")).unwrap().gateway, Some(ip("192.168.0.1")));
        assert_eq!(link(&t, "fd00::1"), None);
        assert!(t.apply(&Change::RouteGone(route("10.0.0.0", 8, 3, 50, None))));
        assert_eq!(link(&t, "10.2.2.3"), Some(2));
        t.apply(&Change::Route { route: route("10.0.0.0", 8, 9, 100, None), replace: true });
        assert_eq!(link(&t, "10.2.2.3"), Some(9));
        assert_eq!(t.routes().count(), 3);
    }

    #[test]
    fn a_refusing_route_ends_the_search_and_a_skipping_one_does_not() {
        let mut t = Tables::default();
        add(&mut t, route("0.0.0.0", 0, 1, 0, None));
        add(&mut t, Route { kind: RouteKind::Refuse, ..route("10.0.0.0", 8, 0, 0, None) });
        add(&mut t, Route { kind: RouteKind::Skip, ..route("11.0.0.0", 8, 0, 0, None) });
        assert_eq!(t.route_to(ip("10.1.1.1")), None);
        assert_eq!(t.route_to(ip("11.1.1.1")).unwrap().link, 1);
    }

    #[test]
    fn a_route_over_a_link_that_is_down_is_passed_over() {
        let mut t = Tables::default();
        let link = |index, up| {
            let name = format!("d{index}");
            Change::Link(Link { index, name, mac: [0; 6], mtu: 1500, up, running: up, kind: None, master: None, alias: None })
        };
        t.apply(&link(1, true));
        t.apply(&link(2, false));
        add(&mut t, route("0.0.0.0", 0, 1, 0, None));
        add(&mut t, route("10.0.0.0", 8, 2, 0, None));
        assert_eq!(t.route_to(ip("10.0.0.1")).unwrap().link, 1);
        assert!(t.apply(&link(2, true)));
        assert!(!t.apply(&link(2, true)));
        assert_eq!(t.route_to(ip("10.0.0.1")).unwrap().link, 2);
        assert_eq!(t.link_by_name("d2").unwrap().index, 2);
    }

    #[test]
    fn what_belongs_to_a_link_goes_with_it() {
        let mut t = Tables::default();
        let a = Address { link: 3, address: ip("10.0.0.1"), length: 24 };
        let n = Neighbour { link: 3, address: ip("10.0.0.2"), mac: Some([2; 6]) };
        assert!(t.apply(&Change::Address(a)) && t.apply(&Change::Neighbour(n)));
        assert!(!t.apply(&Change::Address(a)) && !t.apply(&Change::Neighbour(n)));
        assert_eq!(t.owner_of(ip("10.0.0.1")), Some(3));
        assert_eq!(t.neighbour(3, ip("10.0.0.2")), Some([2; 6]));
        t.apply(&Change::LinkGone(3));
        assert_eq!((t.owner_of(ip("10.0.0.1")), t.neighbour_count()), (None, 0));
    }
}
