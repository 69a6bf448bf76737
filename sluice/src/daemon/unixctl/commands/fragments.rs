//! Commands about fragments that the tracker puts together, in the words of `ovs-dpctl`.
//!
//! Deliberately does not know: how they are put together.

use super::conntrack::{behind_datapath, no_more};
use super::{Console, Reply};

pub(super) fn status(console: &mut Console<'_>, args: &[&str]) -> Reply {
    let (more, rest): (Vec<&str>, Vec<&str>) = args.iter().partition(|a| matches!(**a, "-m" | "--more"));
    let text = || console.switch.tracker().reassembly.status(!more.is_empty());
    no_more(behind_datapath(&rest)).map(|()| text()).into()
}

pub(super) fn enable(console: &mut Console<'_>, args: &[&str]) -> Reply {
    switch(console, args, true)
}

pub(super) fn disable(console: &mut Console<'_>, args: &[&str]) -> Reply {
    switch(console, args, false)
}

/// `v4` or `v6`, whatever follows it: is it the latter?
fn is_v6(arg: Option<&str>, missing: &str) -> Result<bool, String> {
    match arg {
        Some(a) if a.starts_with("v4") => Ok(false),
        Some(a) if a.starts_with("v6") => Ok(true),
        _ => Err(format!("ovs-vswitchd: {missing} (Invalid argument)")),
    }
}

fn switch(console: &mut Console<'_>, args: &[&str], enabled: bool) -> Reply {
    let set = || -> Result<String, String> {
        let v6 = is_v6(behind_datapath(args).last().copied(), "parameter missing: 'v4' for IPv4 or 'v6' for IPv6")?;
        console.switch.tracker().reassembly.enable(v6, enabled);
        let word = if enabled { "enabling" } else { "disabling" };
        Ok(format!("{word} fragmentation reassembly successful"))
    };
    set().into()
}

pub(super) fn set_shortest(console: &mut Console<'_>, args: &[&str]) -> Reply {
    let set = || -> Result<String, String> {
        let args = behind_datapath(args);
        let v6 = is_v6(args.first().copied(), "parameter missing: v4 for IPv4 or v6 for IPv6")?;
        let missing = "ovs-vswitchd: parameter missing for minimum fragment size (Invalid argument)";
        let len = args.get(1).and_then(|a| a.parse().ok()).ok_or(missing)?;
        match console.switch.tracker().reassembly.set_shortest(v6, len) {
            true => Ok("setting minimum fragment size successful".into()),
            false => Err("ovs-vswitchd: requested minimum fragment size too small; see documentation (Operation not permitted)".into()),
        }
    };
    set().into()
}

pub(super) fn set_max(console: &mut Console<'_>, args: &[&str]) -> Reply {
    let set = || -> Result<String, String> {
        let missing = "ovs-vswitchd: parameter missing for maximum fragments (Invalid argument)";
        let max = behind_datapath(args).last().and_then(|a| a.parse().ok()).ok_or(missing)?;
        match console.switch.tracker().reassembly.set_max(max) {
            true => Ok("setting maximum fragments successful".into()),
            false => Err("ovs-vswitchd: setting maximum fragments failed (Operation not permitted)".into()),
        }
    };
    set().into()
}
