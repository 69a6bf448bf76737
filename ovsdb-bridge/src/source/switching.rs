//! VLANs, bonds and mirrors in the configuration file.
//!
//! Purpose: the words of a port and a bridge that NORMAL cares about.
//! Deliberately does not know: what they do.

use super::reader::{Item, Table};
use crate::error::ConfigError;
use crate::switching::{
    Bond, BondMode, Lacp, McastSnooping, Mirror, Normal, Policing, PriorityTags, Switching, VlanMode,
};

/// Words of a port.
pub(super) const PORT_WORDS: [&str; 12] = [
    "vlan_mode", "trunks", "cvlans", "priority_tags", "protected", "ingress_policing_rate", "ingress_policing_burst",
    "ingress_policing_kpkts_rate", "ingress_policing_kpkts_burst", "qinq_ethtype", "storm_broadcast_rate", "storm_unknown_unicast_rate",
];

/// Words of a bridge.
pub(super) const BRIDGE_WORDS: [&str; 5] = ["flood_vlans", "forward_bpdu", "mcast_snooping", "bond", "mirror"];

/// What a port says.
pub(super) fn of_port(table: &Table<'_>) -> Result<Switching, ConfigError> {
    let mut s = Switching { trunks: vlans(table, "trunks")?, cvlans: vlans(table, "cvlans")?, ..Switching::default() };
    let modes = "\"access\", \"trunk\", \"native-tagged\", \"native-untagged\" or \"dot1q-tunnel\"";
    let mode = |text: &str| match text {
        "access" => Some(VlanMode::Access),
        "trunk" => Some(VlanMode::Trunk),
        "native-tagged" => Some(VlanMode::NativeTagged),
        "native-untagged" => Some(VlanMode::NativeUntagged),
        "dot1q-tunnel" => Some(VlanMode::Dot1qTunnel),
        _ => None,
    };
    s.vlan_mode = table.get("vlan_mode").map(|i| i.parsed(modes, mode)).transpose()?;
    let tags = |text: &str| match text {
        "never" => Some(PriorityTags::Never),
        "if-nonzero" => Some(PriorityTags::IfNonzero),
        "always" => Some(PriorityTags::Always),
        _ => None,
    };
    if let Some(item) = table.get("priority_tags") {
        s.priority_tags = item.parsed("\"never\", \"if-nonzero\" or \"always\"", tags)?;
    }
    if let Some(item) = table.get("qinq_ethtype") {
        let types = |text: &str| [("802.1q", 0x8100), ("802.1ad", 0x88a8)].into_iter().find(|(n, _)| *n == text);
        s.qinq_ethtype = item.parsed("\"802.1q\" or \"802.1ad\"", types)?.1;
    }
    s.protected = flag(table, "protected")?;
    Ok(s)
}

/// What a port may hand in.
pub(super) fn policing(table: &Table<'_>) -> Result<Policing, ConfigError> {
    let read = |word, of| table.get(word).map_or(Ok(0), |i| i.number(0, u64::from(u32::MAX), of)).map(|n| n as u32);
    let number = |word| read(word, "thousands");
    Ok(Policing {
        rate_kbps: number("ingress_policing_rate")?,
        burst_kbits: number("ingress_policing_burst")?,
        rate_kpps: number("ingress_policing_kpkts_rate")?,
        burst_kpackets: number("ingress_policing_kpkts_burst")?,
        flood_broadcast_pps: read("storm_broadcast_rate", "packets per second")?,
        flood_unicast_pps: read("storm_unknown_unicast_rate", "packets per second")?,
    })
}

/// What a bridge says.
pub(super) fn of_bridge(table: &Table<'_>) -> Result<Normal, ConfigError> {
    Ok(Normal {
        flood_vlans: vlans(table, "flood_vlans")?,
        forward_bpdu: flag(table, "forward_bpdu")?,
        mcast_snooping: flag(table, "mcast_snooping")?.then(McastSnooping::default),
    })
}

/// The bonds of a bridge.
pub(super) fn bonds(table: &Table<'_>) -> Result<Vec<Bond>, ConfigError> {
    table.tables("bond")?.iter().map(bond).collect()
}

fn bond(table: &Table<'_>) -> Result<Bond, ConfigError> {
    table.only(&["name", "members", "mode", "lacp", "lacp_fast", "lacp_fallback_ab", "updelay", "downdelay", "primary", "rebalance"])?;
    let members = table.need("members")?;
    let names = texts(&members)?;
    if names.len() < 2 {
        return Err(members.wrong("two names of ports or more"));
    }
    let mut bond = Bond::new(table.need("name")?.text("a name")?, names);
    let mode = |text: &str| match text {
        "active-backup" => Some(BondMode::ActiveBackup),
        "balance-slb" => Some(BondMode::BalanceSlb),
        "balance-tcp" => Some(BondMode::BalanceTcp),
        _ => None,
    };
    if let Some(item) = table.get("mode") {
        bond.mode = item.parsed("\"active-backup\", \"balance-slb\" or \"balance-tcp\"", mode)?;
    }
    let lacp = |text: &str| match text {
        "off" => Some(Lacp::Off),
        "passive" => Some(Lacp::Passive),
        "active" => Some(Lacp::Active),
        _ => None,
    };
    if let Some(item) = table.get("lacp") {
        bond.lacp = item.parsed("\"off\", \"passive\" or \"active\"", lacp)?;
    }
    let milliseconds = |word, default: u32| {
        let given = table.get(word).map(|i| i.number(0, 3_600_000, "milliseconds")).transpose()?;
        Ok(given.map_or(default, |n| n as u32))
    };
    bond.lacp_fast = flag(table, "lacp_fast")?;
    bond.lacp_fallback_ab = flag(table, "lacp_fallback_ab")?;
    bond.updelay_ms = milliseconds("updelay", bond.updelay_ms)?;
    bond.downdelay_ms = milliseconds("downdelay", bond.downdelay_ms)?;
    bond.rebalance_ms = milliseconds("rebalance", bond.rebalance_ms)?;
    bond.primary = table.get("primary").map(|i| i.text("the name of a member").map(str::to_string)).transpose()?;
    Ok(bond)
}

/// The mirrors of a bridge.
pub(super) fn mirrors(table: &Table<'_>) -> Result<Vec<Mirror>, ConfigError> {
    table.tables("mirror")?.iter().map(mirror).collect()
}

fn mirror(table: &Table<'_>) -> Result<Mirror, ConfigError> {
    table.only(&["name", "select_all", "select_src", "select_dst", "select_vlans", "output_port", "output_vlan", "snaplen"])?;
    let names = |word| table.get(word).map_or(Ok(Vec::new()), |i| texts(&i));
    let name = table.need("name")?;
    let mirror = Mirror {
        name: name.text("a name")?.to_string(),
        select_all: flag(table, "select_all")?,
        select_src: names("select_src")?,
        select_dst: names("select_dst")?,
        select_vlans: vlans(table, "select_vlans")?,
        output_port: table.get("output_port").map(|i| i.text("the name of a port").map(str::to_string)).transpose()?,
        output_vlan: table.get("output_vlan").map(|i| i.number16(1, 4095, "a VLAN id")).transpose()?,
        snaplen: table.get("snaplen").map(|i| i.number16(14, 65_534, "bytes")).transpose()?,
    };
    if mirror.output_port.is_some() == mirror.output_vlan.is_some() {
        return Err(name.wrong("a mirror with either output_port or output_vlan"));
    }
    Ok(mirror)
}

fn texts(item: &Item<'_>) -> Result<Vec<String>, ConfigError> {
    item.list("a list of names")?.iter().map(|i| i.text("a name").map(str::to_string)).collect()
}

fn vlans(table: &Table<'_>, word: &str) -> Result<Vec<u16>, ConfigError> {
    let Some(item) = table.get(word) else { return Ok(Vec::new()) };
    item.list("a list of VLAN ids")?.iter().map(|i| i.number16(0, 4095, "a VLAN id")).collect()
}

fn flag(table: &Table<'_>, word: &str) -> Result<bool, ConfigError> {
    table.get(word).map_or(Ok(false), |item| item.flag())
}
