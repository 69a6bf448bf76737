//! Commands about the underlay: neighbours, routes, ports of tunnels.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::IpAddr;

use sluice_ovsdb_bridge::PortKind;
use sluice_port::netlink::RouteKind;

use super::switching::{mac, parse_mac};
use super::{Console, Reply};

const OK: &str = "OK\n";

pub(super) fn neighbours(console: &mut Console<'_>, _: &[&str]) -> Reply {
    let underlay = console.switch.program().underlay();
    let name = |device: usize| underlay.devices.get(device).map_or("", |d| d.name.as_str());
    let mut rows: Vec<(String, String, &str)> = underlay
        .neighbours
        .iter()
        .map(|((device, address), hw)| (address.to_string(), mac(hw.iter().fold(0, |v, b| v << 8 | u64::from(*b))), name(*device)))
        .collect();
    rows.sort();
    let mut out = format!("IP{:44}MAC{:17}Bridge\n{}\n", "", "", "=".repeat(74));
    for (address, hw, bridge) in rows {
        let _ = writeln!(out, "{address:<46}{hw}   {bridge}");
    }
    Reply::Text(out)
}

pub(super) fn set_neighbour(console: &mut Console<'_>, words: &[&str]) -> Reply {
    let [bridge, address, hw] = words else { return Reply::Error("syntax: BRIDGE IP MAC".to_string()) };
    let Ok(address) = address.parse::<IpAddr>() else { return Reply::Error("bad IP address".to_string()) };
    let Some(hw) = parse_mac(hw) else { return Reply::Error("bad MAC address".to_string()) };
    let [_, _, a, b, c, d, e, f] = hw.to_be_bytes();
    console.switch.overrides.set_neighbour(bridge, address, [a, b, c, d, e, f]);
    console.wishes.underlay = true;
    Reply::Text(OK.to_string())
}

pub(super) fn flush_neighbours(console: &mut Console<'_>, _: &[&str]) -> Reply {
    console.switch.overrides.forget_neighbours();
    console.wishes.underlay = true;
    Reply::Text(OK.to_string())
}

pub(super) fn ageing(_: &mut Console<'_>, words: &[&str]) -> Reply {
    match words.first() {
        None => Reply::Text("900\n".to_string()),
        Some(_) => Reply::Error("the host's own neighbour table is used, and ages as the host says (net.ipv4.neigh)".to_string()),
    }
}

pub(super) fn ports(console: &mut Console<'_>, words: &[&str]) -> Reply {
    let tunnels = console.switch.bridges().flat_map(|b| b.ports.values()).filter_map(|p| match p.wanted.as_ref().map(|w| &w.kind) {
        Some(PortKind::Vxlan(v)) => Some(v.dst_port),
        _ => None,
    });
    let all: Vec<u16> = tunnels.collect();
    let mut out = String::from("Listening ports:\n");
    for port in all.iter().copied().collect::<BTreeSet<u16>>() {
        if !words.contains(&"-v") {
            let _ = writeln!(out, "vxlan_sys_{port} ({port}) ref_cnt={}", all.iter().filter(|p| **p == port).count());
            continue;
        }
        for device in &console.switch.program().underlay().devices {
            let hw = mac(device.mac.iter().fold(0, |v, b| v << 8 | u64::from(*b)));
            for address in &device.addresses {
                let (eth_type, ip) = if address.is_ipv4() { ("0800", "ipv4") } else { ("86dd", "ipv6") };
                let _ = writeln!(
                    out,
                    "vxlan_sys_{port} ({port}) : eth(dst={hw}),eth_type(0x{eth_type}),{ip}(dst={address},proto=17,frag=no),udp(dst={port})"
                );
            }
        }
    }
    Reply::Text(out)
}

pub(super) fn port_range(_: &mut Console<'_>, words: &[&str]) -> Reply {
    match words {
        [] => Reply::Text("Tunnel UDP source port range: 32768-61000\n".to_string()),
        _ => Reply::Error("the range of UDP source ports is fixed".to_string()),
    }
}

/// The host's addresses and routes, and those of `ovs/route/add`.
pub(super) fn routes(console: &mut Console<'_>, _: &[&str]) -> Reply {
    let host = console.host;
    let mut rows: Vec<(u8, IpAddr, String)> = Vec::new();
    for link in host.links() {
        for address in host.addresses(link.index) {
            let a = address.address;
            let width = if a.is_ipv4() { 32 } else { 128 };
            rows.push((0, a, format!("Cached: {a}/{width} dev {} SRC {a} local\n", link.name)));
        }
    }
    rows.sort_by_key(|(_, a, _)| (a.is_ipv6(), *a));
    let mut routed: Vec<(u8, IpAddr, String)> = Vec::new();
    for route in host.routes().filter(|r| r.kind == RouteKind::Unicast) {
        let Some(link) = host.link(route.link) else { continue };
        let (prefix, length) = (route.prefix.address(), route.prefix.length());
        let gateway = route.gateway.map(|g| format!(" GW {g}")).unwrap_or_default();
        let own = host.addresses(link.index).map(|a| a.address).find(|a| a.is_ipv4() == prefix.is_ipv4());
        let source = route.source.or(own).map(|s| format!(" SRC {s}")).unwrap_or_default();
        routed.push((length, prefix, format!("Cached: {prefix}/{length} dev {}{gateway}{source}\n", link.name)));
    }
    for (prefix, length, mark, device, gateway) in console.switch.overrides.routes() {
        let gateway = gateway.map(|g| format!(" GW {g}")).unwrap_or_default();
        let mark = if mark == 0 { String::new() } else { format!(" MARK {mark}") };
        let own = host.link_by_name(device).and_then(|l| host.addresses(l.index).map(|a| a.address).find(|a| a.is_ipv4() == prefix.is_ipv4()));
        let source = own.map(|s| format!(" SRC {s}")).unwrap_or_default();
        routed.push((length, prefix, format!("User: {prefix}/{length}{mark} dev {device}{gateway}{source}\n")));
    }
    routed.sort_by_key(|(length, a, _)| (std::cmp::Reverse(length + if a.is_ipv4() { 96 } else { 0 }), *a));
    let lines = rows.into_iter().chain(routed).map(|(_, _, line)| line);
    Reply::Text(std::iter::once("Route Table:\n".to_string()).chain(lines).collect())
}

pub(super) fn look_up(console: &mut Console<'_>, words: &[&str]) -> Reply {
    let Some(address) = words.first().and_then(|w| w.parse::<IpAddr>().ok()) else {
        return Reply::Error("Invalid parameters".to_string());
    };
    let Ok((mark, [])) = marked(words.get(1..).unwrap_or(&[])) else {
        return Reply::Error("Invalid pkt_mark".to_string());
    };
    let underlay = console.switch.program().underlay();
    if let Some(hop) = underlay.route_marked(address, None, mark) {
        let device = underlay.devices.get(hop.device).map_or("", |d| d.name.as_str());
        let gateway = if hop.address == address { "::".to_string() } else { hop.address.to_string() };
        return Reply::Text(format!("src {}\ngateway {gateway}\ndev {device}\n", hop.source));
    }
    match console.host.route_to(address).and_then(|hop| Some((hop, console.host.link(hop.link)?))) {
        Some((hop, link)) => {
            let gateway = hop.gateway.map_or("::".to_string(), |g| g.to_string());
            let source = hop.source.map_or("::".to_string(), |s| s.to_string());
            Reply::Text(format!("src {source}\ngateway {gateway}\ndev {}\n", link.name))
        }
        None => Reply::Error("Not found".to_string()),
    }
}

/// Takes `pkt_mark=N` from the end of the words: the mark, and the words in front of it.
fn marked<'a, 'b>(words: &'a [&'b str]) -> Result<(u32, &'a [&'b str]), ()> {
    let Some((text, rest)) = words.split_last().and_then(|(last, rest)| Some((last.strip_prefix("pkt_mark=")?, rest))) else {
        return Ok((0, words));
    };
    let mark = text.strip_prefix("0x").map_or_else(|| text.parse(), |hex| u32::from_str_radix(hex, 16));
    mark.map(|mark| (mark, rest)).map_err(|_| ())
}

fn prefix(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/').map_or((text, None), |(a, l)| (a, Some(l)));
    let address: IpAddr = address.parse().ok()?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    let length = length.map_or(Some(width), |l| l.parse().ok())?;
    (length <= width).then_some((address, length))
}

pub(super) fn add_route(console: &mut Console<'_>, words: &[&str]) -> Reply {
    let [to, device, rest @ ..] = words else { return Reply::Error("Invalid parameters".to_string()) };
    let Some((address, length)) = prefix(to) else { return Reply::Error("Invalid 'ip/plen' parameter".to_string()) };
    let wrong = || Reply::Error("Invalid pkt_mark or IP gateway".to_string());
    let Ok((mark, rest)) = marked(rest) else { return wrong() };
    let gateway = match rest.first().map(|w| w.parse::<IpAddr>()) {
        Some(Err(_)) => return wrong(),
        Some(Ok(gateway)) => Some(gateway),
        None => None,
    };
    if console.host.link_by_name(device).is_none() {
        return Reply::Error("Error while inserting route.".to_string());
    }
    console.switch.overrides.add_route(address, length, mark, device, gateway);
    console.wishes.underlay = true;
    Reply::Text(OK.to_string())
}

pub(super) fn delete_route(console: &mut Console<'_>, words: &[&str]) -> Reply {
    let Some((address, length)) = words.first().and_then(|w| prefix(w)) else {
        return Reply::Error("Invalid parameters".to_string());
    };
    let Ok((mark, [])) = marked(words.get(1..).unwrap_or(&[])) else {
        return Reply::Error("Invalid pkt_mark".to_string());
    };
    if console.switch.overrides.delete_route(address, length, mark) {
        console.wishes.underlay = true;
        return Reply::Text(OK.to_string());
    }
    Reply::Error("Not found".to_string())
}
