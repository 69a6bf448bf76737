//! Commands about connections, in the words of `ovs-dpctl`.
//!
//! Deliberately does not know: how connections are kept.

use std::net::IpAddr;

use sluice_conntrack::choice::{Choice, Parts};
use sluice_conntrack::dump::{self, Options};

use super::{Console, Reply};

/// Names under which the only datapath may be called.
const DATAPATHS: [&str; 4] = ["ovs-netdev", "netdev@ovs-netdev", "ovs-system", "system@ovs-system"];

/// Arguments without the datapath's name, if it is given first.
fn behind_datapath<'a, 'b>(args: &'a [&'b str]) -> Result<&'a [&'b str], String> {
    match args.split_first() {
        Some((first, rest)) if DATAPATHS.contains(first) => Ok(rest),
        Some((first, _)) if !first.contains('=') && first.parse::<u32>().is_err() => {
            Err("ovs-vswitchd: datapath not found (Invalid argument)".into())
        }
        _ => Ok(args),
    }
}

fn zone_of(arg: &str) -> Option<Result<u16, String>> {
    let number = arg.strip_prefix("zone=")?;
    Some(number.parse().map_err(|_| "ovs-vswitchd: failed to parse zone (Invalid argument)".to_string()))
}

pub(super) fn show(console: &mut Console<'_>, args: &[&str]) -> Reply {
    let mut options = Options::default();
    let mut rest = Vec::new();
    for arg in args {
        match *arg {
            "-m" | "--more" => options.verbose = true,
            "-s" | "--statistics" => options.timeouts = true,
            other => rest.push(other),
        }
    }
    let text = || -> Result<String, String> {
        let rest = behind_datapath(&rest)?;
        options.zone = rest.first().and_then(|a| zone_of(a)).transpose()?;
        Ok(dump::connections(console.switch.tracker(), &options, console.now_ms))
    };
    let mut text = text;
    text().into()
}

pub(super) fn flush(console: &mut Console<'_>, args: &[&str]) -> Reply {
    let choose = || -> Result<Choice, String> {
        let mut choice = Choice::default();
        let mut tuples = 0;
        for arg in behind_datapath(args)? {
            if let Some(zone) = zone_of(arg) {
                choice.zone = Some(zone?);
                continue;
            }
            let parts = parts(arg)?;
            match tuples {
                0 => choice.orig = parts,
                _ => choice.reply = parts,
            }
            tuples += 1;
        }
        Ok(choice)
    };
    match choose() {
        Ok(choice) => {
            console.switch.tracker().flush(|c| choice.fits(c));
            Reply::Text(String::new())
        }
        Err(e) => Reply::Error(e),
    }
}

/// `ct_nw_src=...,ct_tp_dst=...`.
fn parts(text: &str) -> Result<Parts, String> {
    let mut out = Parts::default();
    for part in text.split(',').filter(|p| !p.is_empty()) {
        let wrong = || format!("ovs-vswitchd: failed to parse field {part} (Invalid argument)");
        let (name, value) = part.split_once('=').ok_or_else(wrong)?;
        let address = || value.parse::<IpAddr>().map_err(|_| wrong());
        let number = || value.parse::<u16>().map_err(|_| wrong());
        let byte = || value.parse::<u8>().map_err(|_| wrong());
        match name {
            "ct_nw_src" | "ct_ipv6_src" => out.src = Some(address()?),
            "ct_nw_dst" | "ct_ipv6_dst" => out.dst = Some(address()?),
            "ct_nw_proto" => out.proto = Some(byte()?),
            "ct_tp_src" => out.sport = Some(number()?),
            "ct_tp_dst" => out.dport = Some(number()?),
            "icmp_id" => out.icmp_id = Some(number()?),
            "icmp_type" => out.icmp_type = Some(byte()?),
            "icmp_code" => out.icmp_code = Some(byte()?),
            _ => return Err(wrong()),
        }
    }
    Ok(out)
}

pub(super) fn stats(console: &mut Console<'_>, args: &[&str]) -> Reply {
    let verbose = args.iter().any(|a| matches!(*a, "-m" | "--more" | "verbose"));
    let zone = args.iter().find_map(|a| zone_of(a)).transpose();
    zone.map(|zone| dump::stats(console.switch.tracker(), zone, verbose, console.now_ms)).into()
}

pub(super) fn buckets(console: &mut Console<'_>, _: &[&str]) -> Reply {
    Reply::Text(dump::buckets(console.switch.tracker()))
}

pub(super) fn count(console: &mut Console<'_>, _: &[&str]) -> Reply {
    Reply::Text(format!("{}\n", console.switch.tracker().len()))
}

pub(super) fn limit(console: &mut Console<'_>, _: &[&str]) -> Reply {
    Reply::Text(format!("{}\n", console.switch.tracker().limit()))
}

pub(super) fn set_limit(console: &mut Console<'_>, args: &[&str]) -> Reply {
    let set = || -> Result<String, String> {
        let args = behind_datapath(args)?;
        let wrong = || "ovs-vswitchd: maxconns missing or malformed (Invalid argument)".to_string();
        let n: usize = args.first().and_then(|a| a.parse().ok()).ok_or_else(wrong)?;
        match console.switch.tracker().set_limit(n) {
            true => Ok("setting maxconns successful\n".into()),
            false => Err("ovs-vswitchd: more connections than there was room made for (Invalid argument)".into()),
        }
    };
    set().into()
}

pub(super) fn is_strict(console: &mut Console<'_>, _: &[&str]) -> Reply {
    let word = if console.switch.tracker().is_strict() { "enabled" } else { "disabled" };
    Reply::Text(format!("TCP sequence checking: {word}\n"))
}

pub(super) fn strict(console: &mut Console<'_>, _: &[&str]) -> Reply {
    console.switch.tracker().set_strict(true);
    Reply::Text("enabling TCP sequence checking successful\n".into())
}

pub(super) fn liberal(console: &mut Console<'_>, _: &[&str]) -> Reply {
    console.switch.tracker().set_strict(false);
    Reply::Text("disabling TCP sequence checking successful\n".into())
}

pub(super) fn zone_limits(console: &mut Console<'_>, args: &[&str]) -> Reply {
    let zones = behind_datapath(args).and_then(|rest| rest.first().map_or(Ok(Vec::new()), |a| zones(a)));
    zones.map(|zones| dump::limits(console.switch.tracker(), &zones)).into()
}

/// `zone=1,2,3`.
fn zones(arg: &str) -> Result<Vec<u16>, String> {
    let wrong = || "ovs-vswitchd: invalid argument or zone (Invalid argument)".to_string();
    let list = arg.strip_prefix("zone=").ok_or_else(wrong)?;
    list.split(',').map(|z| z.parse().map_err(|_| wrong())).collect()
}

pub(super) fn set_zone_limits(console: &mut Console<'_>, args: &[&str]) -> Reply {
    let read = || -> Result<Vec<(Option<u16>, u32)>, String> {
        behind_datapath(args)?.iter().map(|a| zone_limit(a)).collect()
    };
    match read() {
        Ok(all) => {
            console.switch.tracker().zones(|z| {
                for (zone, limit) in all {
                    match zone {
                        // A default limit of 0 is none.
                        None => z.set_default(Some(limit).filter(|l| *l != 0)),
                        Some(zone) => z.set(zone, Some(limit)),
                    }
                }
            });
            Reply::Text(String::new())
        }
        Err(e) => Reply::Error(e),
    }
}

/// `default=10` or `zone=5,limit=10`.
fn zone_limit(arg: &str) -> Result<(Option<u16>, u32), String> {
    if let Some(limit) = arg.strip_prefix("default=") {
        let limit = limit.parse().map_err(|_| "ovs-vswitchd: invalid default limit (Invalid argument)".to_string())?;
        return Ok((None, limit));
    }
    let field = |name: &str| arg.split(',').find_map(|p| p.strip_prefix(name)?.strip_prefix('='));
    let wrong = |name: &str| format!("ovs-vswitchd: failed to parse field {name} (Invalid argument)");
    let zone = field("zone").and_then(|z| z.parse().ok()).ok_or_else(|| wrong("zone"))?;
    let limit = field("limit").and_then(|l| l.parse().ok()).ok_or_else(|| wrong("limit"))?;
    Ok((Some(zone), limit))
}

pub(super) fn drop_zone_limits(console: &mut Console<'_>, args: &[&str]) -> Reply {
    match behind_datapath(args).and_then(|rest| rest.first().map_or(Ok(Vec::new()), |a| zones(a))) {
        Ok(list) => {
            console.switch.tracker().zones(|z| list.iter().for_each(|zone| z.set(*zone, None)));
            Reply::Text(String::new())
        }
        Err(e) => Reply::Error(e),
    }
}
