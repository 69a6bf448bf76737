//! Routes and neighbours that a person set on the control socket.
//!
//! Purpose: they count beside the host's own, and before them.
//! Invariant: their number is bounded; one for a device that is not there waits for it.
//! Deliberately does not know: who asked.

use std::collections::BTreeMap;
use std::net::IpAddr;

use sluice_flow::underlay::{Route, Underlay};

/// Most of either kind.
const MOST: usize = 65_536;

/// What was set.
#[derive(Debug, Default)]
pub struct Overrides {
    neighbours: BTreeMap<(String, IpAddr), [u8; 6]>,
    routes: BTreeMap<(IpAddr, u8, u32), (String, Option<IpAddr>)>,
}

impl Overrides {
    /// A neighbour on a device.
    pub fn set_neighbour(&mut self, device: &str, address: IpAddr, mac: [u8; 6]) {
        if self.neighbours.len() < MOST {
            self.neighbours.insert((device.to_string(), address), mac);
        }
    }

    /// No neighbours any more.
    pub fn forget_neighbours(&mut self) {
        self.neighbours.clear();
    }

    /// A route, for packets of this mark only where it is not 0.
    pub fn add_route(&mut self, prefix: IpAddr, length: u8, mark: u32, device: &str, gateway: Option<IpAddr>) {
        if self.routes.len() < MOST {
            self.routes.insert((prefix, length, mark), (device.to_string(), gateway));
        }
    }

    /// Removes a route; false when there is none.
    pub fn delete_route(&mut self, prefix: IpAddr, length: u8, mark: u32) -> bool {
        self.routes.remove(&(prefix, length, mark)).is_some()
    }

    /// Routes: prefix, its length, mark, device, gateway.
    pub fn routes(&self) -> impl Iterator<Item = (IpAddr, u8, u32, &str, Option<IpAddr>)> {
        self.routes.iter().map(|((p, l, m), (d, g))| (*p, *l, *m, d.as_str(), *g))
    }

    /// Adds all that has a device to what the host says.
    pub(super) fn apply(&self, underlay: &mut Underlay) {
        let places: BTreeMap<String, usize> = underlay.devices.iter().enumerate().map(|(i, d)| (d.name.clone(), i)).collect();
        for ((device, address), mac) in &self.neighbours {
            if let Some(place) = places.get(device) {
                underlay.neighbours.insert((*place, *address), *mac);
            }
        }
        for (prefix, len, mark, device, gateway) in self.routes() {
            let Some(place) = places.get(device) else { continue };
            let route = Route { prefix, len, device: *place, gateway, source: None };
            match mark {
                // Of equal prefixes the last one wins.
                0 => underlay.routes.push(route),
                mark => underlay.marked.push((mark, route)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_flow::underlay::{Device, Exit};

    #[test]
    fn what_was_set_counts_before_what_the_host_says() {
        let ip = |t: &str| t.parse::<IpAddr>().unwrap();
        let device = Device { name: "br1".into(), mac: [2; 6], addresses: vec![ip("192.0.2.1")], exit: Exit::Bridge(0), mtu: 1500 };
        let route = Route { prefix: ip("198.51.100.0"), len: 24, device: 0, gateway: None, source: None };
        let mut underlay = Underlay { devices: vec![device], routes: vec![route], ..Underlay::default() };
        let mut overrides = Overrides::default();
        overrides.add_route(ip("198.51.100.0"), 24, 0, "br1", Some(ip("192.0.2.9")));
        overrides.add_route(ip("203.0.113.0"), 24, 0, "absent", None);
        overrides.set_neighbour("br1", ip("192.0.2.9"), [6; 6]);
        overrides.apply(&mut underlay);
        let hop = underlay.route(ip("198.51.100.7"), None).unwrap();
        assert_eq!((hop.address, underlay.neighbour(&hop)), (ip("192.0.2.9"), Some([6; 6])));
        assert_eq!(underlay.routes.len(), 2);
        assert!(overrides.delete_route(ip("203.0.113.0"), 24, 0) && !overrides.delete_route(ip("203.0.113.0"), 24, 0));
    }
}
