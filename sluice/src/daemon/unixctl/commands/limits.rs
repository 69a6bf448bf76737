//! Commands about limits of connections per zone, in the words of `ovs-dpctl`.
//!
//! Deliberately does not know: how connections are counted.

use sluice_conntrack::dump;

use super::conntrack::behind_datapath;
use super::{Console, Reply};

pub(super) fn show(console: &mut Console<'_>, args: &[&str]) -> Reply {
    let zones = behind_datapath(args).first().map_or(Ok(Vec::new()), |a| zones(a));
    zones.map(|zones| dump::limits(console.switch.tracker(), &zones)).into()
}

/// `zone=1,2,3`.
fn zones(arg: &str) -> Result<Vec<u16>, String> {
    let list = arg.strip_prefix("zone=").ok_or_else(|| format!("ovs-vswitchd: invalid argument {arg} (Invalid argument)"))?;
    let number = |z: &str| z.parse().map_err(|_| "ovs-vswitchd: invalid zone (Invalid argument)".to_string());
    list.split(',').filter(|z| !z.is_empty()).map(number).collect()
}

pub(super) fn set(console: &mut Console<'_>, args: &[&str]) -> Reply {
    let read = || -> Result<Vec<(Option<u16>, u32)>, String> {
        behind_datapath(args).iter().map(|a| zone_limit(a)).collect()
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
    let (mut zone, mut limit) = (None, None);
    for part in arg.split(',').filter(|p| !p.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        if value.is_empty() {
            return Err(format!("ovs-vswitchd: field {name} missing value (Invalid argument)"));
        }
        let wrong = |_| format!("ovs-vswitchd: failed to parse field {name} (Invalid argument)");
        match name {
            "zone" => zone = Some(value.parse().map_err(wrong)?),
            "limit" => limit = Some(value.parse().map_err(wrong)?),
            _ => return Err(format!("ovs-vswitchd: invalid zone limit field: {name} (Invalid argument)")),
        }
    }
    zone.zip(limit).map(|(z, l)| (Some(z), l)).ok_or("ovs-vswitchd: failed to parse zone limit (Invalid argument)".into())
}

pub(super) fn remove(console: &mut Console<'_>, args: &[&str]) -> Reply {
    match behind_datapath(args).first().map_or(Ok(Vec::new()), |a| zones(a)) {
        Ok(list) => {
            console.switch.tracker().zones(|z| list.iter().for_each(|zone| z.set(*zone, None)));
            Reply::Text(String::new())
        }
        Err(e) => Reply::Error(e),
    }
}
