//! Options of tunnels.

use std::net::{IpAddr, Ipv4Addr};

use crate::database::Row;
use crate::state::{Address, Key, Tos, Ttl, Vxlan};

/// Options that mean something for a VXLAN tunnel.
const KNOWN: [&str; 15] = [
    "remote_ip", "local_ip", "key", "in_key", "out_key", "dst_port", "tos", "ttl", "df_default", "csum",
    "exts", "egress_pkt_mark", "packet_type", "pmtud", "ipsec_psk",
];

/// Reads the options of a VXLAN tunnel.
pub(super) fn vxlan(row: &Row) -> Result<Vxlan, String> {
    let option = |key: &str| row.entry("options", key);
    let remote = option("remote_ip").ok_or("a vxlan port needs options:remote_ip")?;
    let mut vxlan = Vxlan::new(address("remote_ip", remote)?);
    vxlan.local_ip = option("local_ip").map(|text| address("local_ip", text)).transpose()?;
    let key_of = |name: &str| option(name).map(|text| key(name, text)).transpose();
    let both = key_of("key")?;
    vxlan.key = key_of("in_key")?.or(both).unwrap_or(Key::Fixed(0));
    let out = key_of("out_key")?.or(both).unwrap_or(Key::Fixed(0));
    vxlan.out_key = (out != vxlan.key).then_some(out);
    if let Some(text) = option("dst_port") {
        vxlan.dst_port = number("dst_port", text, 1, 65_535)? as u16;
    }
    vxlan.tos = match option("tos") {
        None => vxlan.tos,
        Some("inherit") => Tos::Inherit,
        Some(text) => Tos::Fixed(number("tos", text, 0, 255)? as u8),
    };
    vxlan.ttl = match option("ttl") {
        None => vxlan.ttl,
        Some("inherit") => Ttl::Inherit,
        Some(text) => Ttl::Fixed(number("ttl", text, 1, 255)? as u8),
    };
    vxlan.df = option("df_default") != Some("false");
    vxlan.csum = option("csum") == Some("true");
    if let Some(text) = option("egress_pkt_mark") {
        vxlan.egress_pkt_mark = number("egress_pkt_mark", text, 0, u64::from(u32::MAX))? as u32;
    }
    for extension in option("exts").into_iter().flat_map(|e| e.split(',')).filter(|e| !e.is_empty()) {
        match extension {
            "gbp" => vxlan.gbp = true,
            other => return Err(format!("options:exts={other} is not supported; gbp is")),
        }
    }
    match option("packet_type") {
        None | Some("legacy_l2") => {}
        Some(other) => return Err(format!("options:packet_type={other} is not supported; legacy_l2 is")),
    }
    if option("ipsec_psk").is_some() || row.entries("options").any(|(key, _)| key.starts_with("ipsec_")) {
        return Err("IPsec for tunnels is not supported".to_string());
    }
    Ok(vxlan)
}

/// Options that mean nothing for a VXLAN tunnel.
pub(super) fn unknown_options(row: &Row) -> impl Iterator<Item = &str> {
    row.entries("options").map(|(key, _)| key).filter(|key| !KNOWN.contains(key))
}

fn address(name: &str, text: &str) -> Result<Address, String> {
    if text == "flow" {
        return Ok(Address::Flow);
    }
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) if address.is_multicast() || address == Ipv4Addr::UNSPECIFIED => {
            Err(format!("options:{name}={text}: multicast and unspecified addresses are not supported"))
        }
        Ok(address @ IpAddr::V4(_)) => Ok(Address::Fixed(address)),
        Ok(IpAddr::V6(_)) => Err(format!("options:{name}={text}: tunnels over IPv6 are not supported")),
        Err(_) => Err(format!("options:{name}={text} is neither \"flow\" nor an IPv4 address")),
    }
}

fn key(name: &str, text: &str) -> Result<Key, String> {
    match text {
        "flow" => Ok(Key::Flow),
        _ => number(name, text, 0, 0xff_ffff).map(|n| Key::Fixed(n as u32)),
    }
}

/// A number, decimal or hexadecimal behind `0x`.
fn number(name: &str, text: &str, low: u64, high: u64) -> Result<u64, String> {
    let value = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    value
        .filter(|n| (low..=high).contains(n))
        .ok_or_else(|| format!("options:{name}={text} is not a number from {low} to {high}"))
}
