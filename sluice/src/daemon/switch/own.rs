//! Rules that the switch adds to a bridge by itself, hidden from controllers.
//!
//! Purpose: in-band control, that is, controllers and managers are reached through the bridge whatever
//! its rules say (Open vSwitch's DESIGN, "In-Band Control"); and fail-open, a bridge that learns and
//! floods while none of its controllers answers.
//! Invariant: a rule that stays wanted keeps its counters.
//! Deliberately does not know: how controllers are connected.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use sluice_flow::BridgeIdx;
use sluice_openflow::text::{parse_flow, Names};
use sluice_openflow::{FlowMod, FlowModCommand};
use sluice_ovsdb_bridge::{Controller, ControllerTarget};

use super::{Bridge, Switch};

/// Priority of the fail-open rule among a bridge's own.
const FAIL_OPEN: u16 = 0xf0f0;
/// Open vSwitch's priorities of these rules, above all that OpenFlow can say; shown to people only.
const IN_BAND_SHOWN: u32 = 180_000;
const FAIL_OPEN_SHOWN: u32 = 0x00f0_f0f0;

/// The priority under which Open vSwitch shows such a rule.
pub fn shown_priority(priority: u16) -> u32 {
    if priority == FAIL_OPEN { FAIL_OPEN_SHOWN } else { IN_BAND_SHOWN + u32::from(priority) }
}

impl Switch {
    /// Managers of the database that may have to be reached through a bridge.
    pub fn set_managers(&mut self, managers: Vec<SocketAddr>) {
        self.managers = managers;
    }

    /// Goes by what the bridges, their controllers and the way to them are now.
    pub fn refresh_own_rules(&mut self, now_ms: u64) {
        let bridges: Vec<BridgeIdx> = self.bridges.keys().copied().collect();
        bridges.into_iter().for_each(|index| self.refresh_own_rules_of(index, now_ms));
    }

    /// A bridge whose controllers have been gone for long behaves like a learning switch, above all rules
    /// that they left, as Open vSwitch has it.
    pub fn set_fail_open(&mut self, index: BridgeIdx, wanted: bool, now_ms: u64) {
        let Some(bridge) = self.bridge_mut(index).filter(|b| b.fails_open != wanted) else { return };
        bridge.fails_open = wanted;
        let what = match wanted {
            true => "no controller answers, going on as a learning switch",
            false => "a controller is back, learning switch no longer",
        };
        crate::log!(Warn, &bridge.name, "{what}");
        self.refresh_own_rules_of(index, now_ms);
    }

    fn refresh_own_rules_of(&mut self, index: BridgeIdx, now_ms: u64) {
        let Some(bridge) = self.bridges.get(&index) else { return };
        let text = self.own_rules(bridge);
        if text == bridge.own_rules {
            return;
        }
        let rules = text.lines().filter_map(rule).collect::<Vec<FlowMod>>();
        if let Some(bridge) = self.bridge_mut(index) {
            bridge.own_rules = text;
        }
        let applied = self.rules.set_own(index, &rules, now_ms);
        self.take_applied(applied);
    }

    /// The rules as text, one a line.
    fn own_rules(&self, bridge: &Bridge) -> String {
        let mut text = String::new();
        if bridge.fails_open {
            let _ = writeln!(text, "priority={FAIL_OPEN},actions=NORMAL");
        }
        let remotes = in_band_remotes(&bridge.wanted.controllers, &self.managers);
        if bridge.wanted.disable_in_band || remotes.is_empty() {
            return text;
        }
        let queue = bridge.wanted.in_band_queue.map_or(String::new(), |q| format!("set_queue:{q},"));
        let routers = remotes.iter().filter_map(|(to, _)| self.router_to(&bridge.name, *to)).collect();
        for (priority, matching) in in_band_matches(bridge.hw_addr, &routers, &remotes) {
            let _ = writeln!(text, "priority={priority},{matching},actions={queue}NORMAL");
        }
        text
    }

    /// The hardware address of the next hop to a remote, where the way leads through this bridge and the
    /// address is known.
    fn router_to(&self, bridge: &str, to: Ipv4Addr) -> Option<[u8; 6]> {
        let hop = self.underlay.route(IpAddr::V4(to), None)?;
        let here = self.underlay.devices.get(hop.device)?.name == bridge;
        self.underlay.neighbour(&hop).filter(|_| here)
    }
}

/// Whom the bridge itself may lie on the way to. Only IPv4, as in Open vSwitch.
fn in_band_remotes(controllers: &[Controller], managers: &[SocketAddr]) -> BTreeSet<(Ipv4Addr, u16)> {
    let controllers = controllers.iter().filter(|c| c.in_band).filter_map(|c| match c.target {
        ControllerTarget::Tcp(to) | ControllerTarget::Ssl(to) => Some(to),
        _ => None,
    });
    let all = controllers.chain(managers.iter().copied());
    all.filter_map(|to| match to {
        SocketAddr::V4(to) => Some((*to.ip(), to.port())),
        SocketAddr::V6(_) => None,
    })
    .collect()
}

/// What must pass, with the place among the rules that Open vSwitch gives it.
fn in_band_matches(own: [u8; 6], routers: &BTreeSet<[u8; 6]>, remotes: &BTreeSet<(Ipv4Addr, u16)>) -> Vec<(u16, String)> {
    let own = mac(own);
    let mut all = vec![
        (0, format!("udp,in_port=LOCAL,dl_src={own},tp_src=68,tp_dst=67")),
        (1, format!("arp,dl_dst={own},arp_op=2")),
        (2, format!("arp,dl_src={own},arp_op=1")),
    ];
    for router in routers {
        let router = mac(*router);
        all.push((3, format!("arp,dl_dst={router},arp_op=2")));
        all.push((4, format!("arp,dl_src={router},arp_op=1")));
    }
    for address in remotes.iter().map(|(address, _)| address).collect::<BTreeSet<_>>() {
        all.push((5, format!("arp,arp_tpa={address},arp_op=2")));
        all.push((6, format!("arp,arp_spa={address},arp_op=1")));
    }
    for (address, port) in remotes {
        all.push((7, format!("tcp,nw_dst={address},tp_dst={port}")));
        all.push((8, format!("tcp,nw_src={address},tp_src={port}")));
    }
    all
}

fn mac(octets: [u8; 6]) -> String {
    octets.map(|o| format!("{o:02x}")).join(":")
}

fn rule(text: &str) -> Option<FlowMod> {
    let rule = parse_flow(text, FlowModCommand::Add, &Names::new());
    debug_assert!(rule.is_ok(), "{text}: {rule:?}");
    rule.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::switch::Switch;
    use sluice_flow::hash::Seeds;

    fn controller(target: &str, in_band: bool) -> Controller {
        Controller { in_band, ..Controller::new(ControllerTarget::Tcp(target.parse().unwrap())) }
    }

    fn shown(switch: &Switch, bridge: BridgeIdx) -> Vec<u16> {
        switch.rules.own(bridge).map(|r| r.priority()).collect()
    }

    #[test]
    fn only_remotes_in_band_have_rules_and_nobody_sees_them() {
        let mut switch = Switch::new(Seeds::FIXED);
        let mut wanted = sluice_ovsdb_bridge::Bridge::new("br0");
        wanted.controllers = vec![controller("192.0.2.1:6653", true), controller("192.0.2.2:6653", false)];
        let bridge = switch.add_bridge(wanted.clone(), 0);
        switch.refresh_own_rules(0);
        assert_eq!(shown(&switch, bridge), [8, 7, 6, 5, 2, 1, 0]);
        assert_eq!(switch.rules.dump(bridge, &sluice_compiler::Filter::default()).count(), 0);

        switch.set_managers(vec!["192.0.2.9:6640".parse().unwrap(), "[2001:db8::1]:6640".parse().unwrap()]);
        switch.refresh_own_rules(0);
        assert_eq!(shown(&switch, bridge), [8, 8, 7, 7, 6, 6, 5, 5, 2, 1, 0]);

        wanted.disable_in_band = true;
        switch.change_bridge(wanted, 0);
        switch.refresh_own_rules(0);
        assert!(shown(&switch, bridge).is_empty());
    }

    #[test]
    fn a_bridge_that_fails_open_forwards_before_any_rule_of_a_controller() {
        let mut switch = Switch::new(Seeds::FIXED);
        let bridge = switch.add_bridge(sluice_ovsdb_bridge::Bridge::new("br0"), 0);
        switch.set_fail_open(bridge, true, 0);
        assert_eq!(shown(&switch, bridge), [FAIL_OPEN]);
        assert_eq!(shown_priority(FAIL_OPEN), 15_790_320);
        switch.publish();
        assert!(switch.program().bridge(bridge).is_some_and(|b| b.own_rules));
        switch.set_fail_open(bridge, false, 0);
        switch.publish();
        assert!(switch.program().bridge(bridge).is_some_and(|b| !b.own_rules));
    }
}
