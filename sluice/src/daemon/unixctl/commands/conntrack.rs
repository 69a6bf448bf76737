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
pub(super) fn behind_datapath<'a, 'b>(args: &'a [&'b str]) -> &'a [&'b str] {
    match args.split_first() {
        Some((first, rest)) if DATAPATHS.contains(first) => rest,
        _ => args,
    }
}

/// Where nothing but a datapath's name may be left.
pub(super) fn no_more(args: &[&str]) -> Result<(), String> {
    match args {
        [] => Ok(()),
        _ => Err("ovs-vswitchd: datapath not found (Invalid argument)".into()),
    }
}

fn zone_of(arg: &str) -> Option<Option<u16>> {
    Some(arg.strip_prefix("zone=")?.parse().ok())
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
    let mut text = || -> Result<String, String> {
        let mut rest = behind_datapath(&rest);
        if let [first @ .., Some(zone)] = rest.iter().map(|a| zone_of(a).flatten()).collect::<Vec<_>>().as_slice() {
            options.zone = Some(*zone);
            rest = rest.get(..first.len()).unwrap_or(&[]);
        }
        no_more(rest)?;
        Ok(dump::connections(console.switch.tracker(), &options, console.now_ms))
    };
    text().into()
}

pub(super) fn flush(console: &mut Console<'_>, args: &[&str]) -> Reply {
    let run = || -> Result<String, String> {
        let choice = choose(behind_datapath(args))?;
        let gone = console.switch.tracker().flush_choice(&choice);
        gone.map(|_| String::new()).ok_or("ovs-vswitchd: failed to flush conntrack (No such file or directory)".into())
    };
    run().into()
}

/// `[zone=N] [ct-orig-tuple] [ct-reply-tuple]`.
fn choose(args: &[&str]) -> Result<Choice, String> {
    let mut choice = Choice::default();
    let mut rest = args.iter();
    if let Some(zone) = args.first().and_then(|a| zone_of(a)) {
        choice.zone = Some(zone.ok_or("ovs-vswitchd: failed to parse zone (Invalid argument)")?);
        rest.next();
    }
    for place in [&mut choice.orig, &mut choice.reply] {
        if let Some(arg) = rest.next() {
            *place = parts(arg)?;
        }
    }
    match rest.next() {
        None => Ok(choice),
        Some(_) => Err("ovs-vswitchd: invalid arguments (Invalid argument)".into()),
    }
}

/// `ct_nw_src=...,ct_tp_dst=...`.
fn parts(text: &str) -> Result<Parts, String> {
    let mut out = Parts::default();
    for part in text.split(',').filter(|p| !p.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        if value.is_empty() {
            return Err(format!("ovs-vswitchd: field {name} missing value (Invalid argument)"));
        }
        let wrong = || format!("ovs-vswitchd: failed to parse field {name} (Invalid argument)");
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
            _ => return Err(format!("ovs-vswitchd: invalid conntrack tuple field: {name} (Invalid argument)")),
        }
    }
    Ok(out)
}

pub(super) fn stats(console: &mut Console<'_>, args: &[&str]) -> Reply {
    let (mut verbose, mut zone, mut rest) = (false, None, Vec::new());
    for arg in args {
        match (*arg, zone_of(arg)) {
            ("-m" | "--more" | "verbose", _) => verbose = true,
            (_, Some(Some(n))) => zone = Some(n),
            (other, _) => rest.push(other),
        }
    }
    no_more(behind_datapath(&rest)).map(|()| dump::stats(console.switch.tracker(), zone, verbose, console.now_ms)).into()
}

pub(super) fn buckets(console: &mut Console<'_>, args: &[&str]) -> Reply {
    let above = args.last().and_then(|a| a.strip_prefix("gt=")?.parse().ok());
    let rest = args.get(..args.len() - usize::from(above.is_some())).unwrap_or(&[]);
    let text = || dump::buckets(console.switch.tracker(), above.unwrap_or(0), console.now_ms);
    no_more(behind_datapath(rest)).map(|()| text()).into()
}

pub(super) fn count(console: &mut Console<'_>, args: &[&str]) -> Reply {
    no_more(behind_datapath(args)).map(|()| format!("{}\n", console.switch.tracker().len())).into()
}

pub(super) fn limit(console: &mut Console<'_>, args: &[&str]) -> Reply {
    no_more(behind_datapath(args)).map(|()| format!("{}\n", console.switch.tracker().limit())).into()
}

pub(super) fn set_limit(console: &mut Console<'_>, args: &[&str]) -> Reply {
    let set = || -> Result<String, String> {
        let args = behind_datapath(args);
        no_more(args.get(1..).unwrap_or(&[]))?;
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
