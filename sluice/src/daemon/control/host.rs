//! The host's devices, addresses, routes and neighbours, as far as bridges and tunnels need them.
//!
//! Purpose: each change of the host reaches what it can touch, and nothing else.
//! Invariant: with a database, tunnels leave by whatever device the host's routes say, unless it
//! belongs to a bridge; such devices are taken and given back as routes change.
//! Deliberately does not know: netlink.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sluice_ovsdb_bridge::{Address, DesiredState, Io, PortKind, Underlay, Vxlan};
use sluice_port::netlink::{Change, Link, Tables};

use super::Control;
use crate::daemon::args::Source;
use crate::daemon::host::{underlay, Touched};
use crate::daemon::switch::link::{speed_of, LinkFacts};

impl Control {
    /// Takes in what has changed on the host.
    pub(super) fn follow_host(&mut self, now_ms: u64) {
        let mut changes = Vec::new();
        if let Err(e) = self.host.follow(&mut changes) {
            crate::log!(Warn, "host", "{e}");
        }
        let touched = Touched::by(&changes);
        if !touched.any() {
            return;
        }
        if touched.links {
            match named(&changes) {
                Some(links) => self.refresh_links(&links, false, now_ms),
                None => self.refresh_all_links(now_ms),
            }
        }
        self.refresh_underlay(touched);
        self.switch.refresh_own_rules(now_ms);
        self.switch.publish();
        self.tell_follower();
    }

    /// Takes in the whole host.
    pub(super) fn take_host(&mut self, touched: Touched, now_ms: u64) {
        if touched.links {
            self.refresh_all_links(now_ms);
        }
        self.refresh_underlay(touched);
        self.switch.refresh_own_rules(now_ms);
        self.switch.publish();
        self.tell_follower();
    }

    fn tell_follower(&mut self) {
        if let Some(follower) = &mut self.follower {
            follower.stale = true;
        }
    }

    fn refresh_all_links(&mut self, now_ms: u64) {
        let links: Vec<Link> = self.host.tables().links().cloned().collect();
        let links: HashMap<&str, &Link> = links.iter().map(|l| (l.name.as_str(), l)).collect();
        self.refresh_links(&links, true, now_ms);
    }

    /// Looks at these devices again; when they are all, others are not there.
    fn refresh_links(&mut self, links: &HashMap<&str, &Link>, all: bool, now_ms: u64) {
        // A device that changed may have another speed; one that went must not leave its own behind.
        self.speeds.retain(|name, _| links.contains_key(name.as_str()) == all);
        let speeds = &mut self.speeds;
        self.switch.refresh_links(|device| match links.get(device) {
            None => all.then_some(None),
            Some(link) => {
                let speed = *speeds.entry(device.to_string()).or_insert_with(|| speed_of(device));
                Some(Some(LinkFacts { mtu: link.mtu, ..LinkFacts::with_speed(link.up, link.running, Some(speed)) }))
            }
        });
        self.switch.hurry(|device| links.contains_key(device), now_ms);
        self.switch.refresh_mtus();
    }

    fn refresh_underlay(&mut self, touched: Touched) {
        if !touched.underlay {
            return;
        }
        self.choose_carriers();
        let underlay = underlay(self.host.tables(), |name| self.switch.exit_of(name));
        self.switch.set_underlay(underlay);
        self.guard.keep(self.switch.tunnel_ends());
    }

    /// With a database nobody names the devices that carry tunnels: routes do.
    fn choose_carriers(&mut self) {
        let database = matches!(self.args.source, Source::Database(_));
        if !database || self.args.disable_system || self.args.disable_system_route {
            return;
        }
        let wanted = carriers(&self.state, self.host.tables());
        let there: BTreeSet<String> = self.switch.carrier_names().map(str::to_string).collect();
        for gone in there.difference(&wanted) {
            self.switch.remove_underlay(gone);
        }
        for new in wanted.difference(&there) {
            self.switch.add_underlay(Underlay { device: new.clone(), io: Io::Auto });
        }
    }

    /// Gives devices back that are to become ports of bridges.
    pub(super) fn release_carriers(&mut self, state: &DesiredState) {
        let ours = own_devices(state);
        let taken: Vec<String> = self.switch.carrier_names().filter(|name| ours.contains(name)).map(str::to_string).collect();
        taken.iter().for_each(|name| self.switch.remove_underlay(name));
    }
}

/// The devices that changes are about; `None` when any may be meant.
fn named(changes: &[Change]) -> Option<HashMap<&str, &Link>> {
    let mut links = HashMap::new();
    for change in changes {
        match change {
            Change::Link(link) => drop(links.insert(link.name.as_str(), link)),
            Change::LinkGone(_) | Change::Cleared => return None,
            _ => {}
        }
    }
    Some(links)
}

/// Devices that bridges have.
fn own_devices(state: &DesiredState) -> HashSet<&str> {
    let ports = state.bridges.iter().flat_map(|b| &b.ports).filter_map(|p| match &p.kind {
        PortKind::System { device, .. } => Some(device.as_str()),
        PortKind::Internal | PortKind::Tap => Some(p.name.as_str()),
        _ => None,
    });
    ports.chain(state.bridges.iter().map(|b| b.name.as_str())).collect()
}

/// Devices of the host by which tunnels leave and arrive.
fn carriers(state: &DesiredState, host: &Tables) -> BTreeSet<String> {
    let tunnels = state.bridges.iter().flat_map(|b| &b.ports).filter_map(|p| match &p.kind {
        PortKind::Vxlan(vxlan) => Some(vxlan),
        _ => None,
    });
    let mut links: BTreeSet<u32> = BTreeSet::new();
    tunnels.for_each(|tunnel| links.extend(exits(tunnel, host)));
    if links.is_empty() {
        return BTreeSet::new();
    }
    let ours = own_devices(state);
    let names = links.iter().filter_map(|l| host.link(*l)).map(|l| l.name.as_str());
    names.filter(|name| *name != "lo" && !ours.contains(name)).map(str::to_string).collect()
}

/// The links of a tunnel: by its route, else by its own address, else those of the default route.
fn exits(tunnel: &Vxlan, host: &Tables) -> Option<u32> {
    if let Address::Fixed(remote) = tunnel.remote_ip {
        return host.route_to(remote).map(|hop| hop.link);
    }
    if let Some(local) = tunnel.own_address() {
        return host.owner_of(local);
    }
    // Any addresses that only a default route leads to (those of documentation).
    let far = [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];
    far.into_iter().find_map(|a| host.route_to(a)).map(|hop| hop.link)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_ovsdb_bridge::{Bridge, Port};
    use sluice_port::netlink::{Address as HostAddress, Prefix, Route, RouteKind};

    fn host() -> Tables {
        let mut tables = Tables::default();
        for (index, name) in [(1, "lo"), (2, "eth0"), (3, "br-ex")] {
            let link = Link { index, name: name.into(), mac: [2; 6], mtu: 1500, up: true, running: true, kind: None, master: None, alias: None };
            tables.apply(&Change::Link(link));
        }
        for (text, length, link) in [("10.0.0.0", 24, 2), ("10.1.0.0", 24, 3), ("127.0.0.0", 8, 1)] {
            let prefix = Prefix::new(text.parse().unwrap(), length);
            let route = Route { prefix, metric: 0, tos: 0, kind: RouteKind::Unicast, link, gateway: None, source: None };
            tables.apply(&Change::Route { route, replace: false });
        }
        tables.apply(&Change::Address(HostAddress { link: 2, address: "10.0.0.1".parse().unwrap(), length: 24 }));
        tables
    }

    fn tunnel_to(remote: Address, local: Option<Address>) -> DesiredState {
        let mut bridge = Bridge::new("br-ex");
        let vxlan = Vxlan { local_ip: local, ..Vxlan::new(remote) };
        bridge.ports.push(Port::new("vx", PortKind::Vxlan(vxlan)));
        DesiredState { bridges: vec![bridge], ..DesiredState::default() }
    }

    fn fixed(text: &str) -> Address {
        Address::Fixed(text.parse().unwrap())
    }

    #[test]
    fn a_tunnel_is_carried_by_the_hosts_device_that_routes_say_unless_a_bridge_has_it() {
        let by = |state: DesiredState| carriers(&state, &host()).into_iter().collect::<Vec<_>>();
        assert_eq!(by(tunnel_to(fixed("10.0.0.2"), None)), ["eth0"]);
        assert_eq!(by(tunnel_to(fixed("10.1.0.2"), None)), [""; 0]);
        assert_eq!(by(tunnel_to(fixed("127.0.0.1"), None)), [""; 0]);
        assert_eq!(by(tunnel_to(Address::Flow, Some(fixed("10.0.0.1")))), ["eth0"]);
        assert_eq!(by(tunnel_to(Address::Flow, None)), [""; 0]);
    }
}
