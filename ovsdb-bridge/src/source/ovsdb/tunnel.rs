//! Options of tunnels.

use std::net::IpAddr;

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
    vxlan.csum = option("csum").map(|text| text == "true");
    one_family(&vxlan)?;
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

/// Outer headers have two addresses of one family.
fn one_family(vxlan: &Vxlan) -> Result<(), String> {
    match (vxlan.local_ip, vxlan.remote_ip) {
        (Some(Address::Fixed(local)), Address::Fixed(remote)) if local.is_ipv6() != remote.is_ipv6() => {
            Err(format!("options:local_ip={local} and options:remote_ip={remote} are not of one address family"))
        }
        _ => Ok(()),
    }
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
        Ok(address) if address.is_multicast() || address.is_unspecified() => {
            Err(format!("options:{name}={text}: multicast and unspecified addresses are not supported"))
        }
        Ok(address) => Ok(Address::Fixed(address)),
        Err(_) => Err(format!("options:{name}={text} is neither \"flow\" nor an IP address")),
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
