//! Bonds and LACP in words, as people know them from Open vSwitch.

use std::fmt::Write;

use sluice_ovsdb_bridge::{BondMode, Lacp as WantedLacp};
use sluice_openflow::PortNo;
use sluice_wire::lacp::{state, Info};

use super::super::bridge::Bridge;
use super::super::Switch;
use super::BondState;

/// Bits of a participant's state, in the order in which they are shown.
const BITS: [(u8, &str); 8] = [
    (state::ACTIVE, "activity"),
    (state::TIMEOUT, "timeout"),
    (state::AGGREGATION, "aggregation"),
    (state::SYNC, "synchronized"),
    (state::COLLECTING, "collecting"),
    (state::DISTRIBUTING, "distributing"),
    (state::DEFAULTED, "defaulted"),
    (state::EXPIRED, "expired"),
];

impl Switch {
    /// `bond/show`: one bond, or all of them.
    pub fn show_bonds(&self, name: Option<&str>, now_ms: u64) -> Result<String, String> {
        self.each_bond(name, "no such bond", |bridge, bond, out| show(bridge, bond, now_ms, out))
    }

    /// `bond/list`.
    pub fn list_bonds(&self) -> String {
        let mut out = "bond\ttype\trecircID\tmembers\n".to_string();
        for (bridge, bond) in self.all_bonds() {
            let members: Vec<&str> = bond.links.members().keys().map(|n| name_of(bridge, *n)).collect();
            let _ = writeln!(out, "{}\t{}\t0\t{}", bond.wanted.name, mode(bond), members.join(", "));
        }
        out
    }

    /// `lacp/show`: one bond, or all of them.
    pub fn show_lacp(&self, name: Option<&str>) -> Result<String, String> {
        self.each_bond(name, "no such lacp object", show_lacp)
    }

    /// `lacp/show-stats`: one bond, or all of them.
    pub fn show_lacp_stats(&self, name: Option<&str>) -> Result<String, String> {
        self.each_bond(name, "no such lacp object", |bridge, bond, out| {
            let Some(lacp) = &bond.lacp else { return };
            let _ = writeln!(out, "---- {} statistics ----", bond.wanted.name);
            for (n, link) in lacp.links() {
                let [rx, tx, bad] = link.counts;
                let member = name_of(bridge, *n);
                let _ = writeln!(out, "\nmember: {member}:\n  TX PDUs: {tx}\n  RX PDUs: {rx}\n  RX Bad PDUs: {bad}");
            }
        })
    }

    fn all_bonds(&self) -> impl Iterator<Item = (&Bridge, &BondState)> {
        self.bridges.values().flat_map(|b| b.bonds.values().map(move |bond| (b, bond)))
    }

    fn each_bond(&self, name: Option<&str>, none: &str, show: impl Fn(&Bridge, &BondState, &mut String)) -> Result<String, String> {
        let mut out = String::new();
        let mut any = false;
        for (bridge, bond) in self.all_bonds().filter(|(_, b)| name.is_none_or(|n| n == b.wanted.name)) {
            any = true;
            show(bridge, bond, &mut out);
        }
        if any || name.is_none() { Ok(out) } else { Err(none.to_string()) }
    }
}

fn mode(bond: &BondState) -> &'static str {
    match bond.wanted.mode {
        BondMode::ActiveBackup => "active-backup",
        BondMode::BalanceSlb => "balance-slb",
        BondMode::BalanceTcp => "balance-tcp",
    }
}

fn name_of(bridge: &Bridge, number: u32) -> &str {
    bridge.ports.get(&PortNo(number)).map_or("none", |p| &p.name)
}

fn mac(bytes: [u8; 6]) -> String {
    bytes.map(|b| format!("{b:02x}")).join(":")
}

fn show(bridge: &Bridge, bond: &BondState, now_ms: u64, out: &mut String) {
    let w = &bond.wanted;
    let _ = writeln!(out, "---- {} ----\nbond_mode: {}", w.name, mode(bond));
    let _ = writeln!(out, "bond may use recirculation: no, Recirc-ID : -1\nbond-hash-basis: {}", w.hash_basis);
    let _ = writeln!(out, "lb_output action: disabled, bond-id: -1");
    if w.mode == BondMode::BalanceSlb {
        let _ = writeln!(out, "all members active: false");
    }
    let _ = writeln!(out, "updelay: {} ms\ndowndelay: {} ms", w.updelay_ms, w.downdelay_ms);
    if bond.is_balanced() {
        let _ = writeln!(out, "next rebalance: {} ms", bond.rebalance_ms.saturating_sub(now_ms));
    }
    let status = match &bond.lacp {
        None => "off",
        Some(l) if l.is_negotiated() => "negotiated",
        Some(_) => "configured",
    };
    let _ = writeln!(out, "lacp_status: {status}\nlacp_fallback_ab: {}", w.lacp_fallback_ab);
    let primary = w.primary.as_deref().unwrap_or("<none>");
    let gone = if w.primary.as_ref().is_some_and(|p| !w.members.contains(p)) { " (no such member)" } else { "" };
    let _ = writeln!(out, "active-backup primary: {primary}{gone}");
    let active = bond.links.active().and_then(|n| bridge.ports.get(&PortNo(n)));
    let address = active.map_or([0; 6], |p| p.hw_addr);
    let _ = writeln!(out, "active member mac: {}({})\n", mac(address), active.map_or("none", |p| &p.name));
    for (n, m) in bond.links.members() {
        let word = if m.enabled { "enabled" } else { "disabled" };
        let _ = writeln!(out, "member {}: {word}", name_of(bridge, *n));
        if bond.links.active() == Some(*n) {
            let _ = writeln!(out, "  active member");
        }
        if let Some(at) = m.changes_ms {
            let what = if m.enabled { "downdelay" } else { "updelay" };
            let _ = writeln!(out, "  {what} expires in {} ms", at.saturating_sub(now_ms));
        }
        let _ = writeln!(out, "  may_enable: {}", m.may_enable);
        for (bucket, _, bytes) in bond.balance.loads().filter(|(_, member, bytes)| member == n && *bytes >= 1024) {
            let _ = writeln!(out, "  hash {bucket}: {} kB load", bytes / 1024);
        }
        out.push('\n');
    }
}

fn show_lacp(bridge: &Bridge, bond: &BondState, out: &mut String) {
    let Some(lacp) = &bond.lacp else { return };
    let s = lacp.settings();
    let active = if bond.wanted.lacp == WantedLacp::Active { "active" } else { "passive" };
    let negotiated = if lacp.is_negotiated() { " negotiated" } else { "" };
    let _ = writeln!(out, "---- {} ----\n  status: {active}{negotiated}\n  sys_id: {}", bond.wanted.name, mac(s.system));
    let key = lacp.links().values().next().map_or(0, |l| l.settings.key);
    let time = if s.fast { "fast" } else { "slow" };
    let _ = writeln!(out, "  sys_priority: {}\n  aggregation key: {key}\n  lacp_time: {time}", s.system_priority);
    for (n, link) in lacp.links() {
        let attached = if link.attached { "attached" } else { "detached" };
        let _ = writeln!(out, "\nmember: {}: {} {attached}", name_of(bridge, *n), link.status.name());
        let set = link.settings;
        let _ = writeln!(out, "  port_id: {}\n  port_priority: {}\n  may_enable: {}", set.port, set.priority, lacp.may_enable(*n));
        participant("actor", &lacp.actor(*n), out);
        participant("partner", &link.partner, out);
    }
}

fn participant(who: &str, i: &Info, out: &mut String) {
    let _ = writeln!(out, "\n  {who} sys_id: {}\n  {who} sys_priority: {}", mac(i.system), i.system_priority);
    let _ = writeln!(out, "  {who} port_id: {}\n  {who} port_priority: {}\n  {who} key: {}", i.port, i.port_priority, i.key);
    let bits: Vec<&str> = BITS.iter().filter(|(bit, _)| i.state & bit != 0).map(|(_, name)| *name).collect();
    let _ = writeln!(out, "  {who} state: {}", bits.join(" "));
}
