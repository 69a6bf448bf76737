//! Commands about bonds and LACP.

use super::switching::parse_mac;
use super::{Console, Reply};

pub(super) fn show(console: &mut Console<'_>, words: &[&str]) -> Reply {
    console.switch.show_bonds(words.first().copied(), console.now_ms).into()
}

pub(super) fn list(console: &mut Console<'_>, _: &[&str]) -> Reply {
    Reply::Text(console.switch.list_bonds())
}

pub(super) fn lacp(console: &mut Console<'_>, words: &[&str]) -> Reply {
    console.switch.show_lacp(words.first().copied()).into()
}

pub(super) fn lacp_statistics(console: &mut Console<'_>, words: &[&str]) -> Reply {
    console.switch.show_lacp_stats(words.first().copied()).into()
}

fn told(result: Result<&'static str, String>) -> Reply {
    result.map(str::to_string).into()
}

pub(super) fn set_active(console: &mut Console<'_>, words: &[&str]) -> Reply {
    let [bond, member] = words else { return Reply::Error("syntax: port member".to_string()) };
    told(console.switch.set_active_member(bond, member))
}

pub(super) fn enable(console: &mut Console<'_>, words: &[&str]) -> Reply {
    let [bond, member] = words else { return Reply::Error("syntax: port member".to_string()) };
    told(console.switch.enable_member(bond, member, true))
}

pub(super) fn disable(console: &mut Console<'_>, words: &[&str]) -> Reply {
    let [bond, member] = words else { return Reply::Error("syntax: port member".to_string()) };
    told(console.switch.enable_member(bond, member, false))
}

pub(super) fn hash(_: &mut Console<'_>, words: &[&str]) -> Reply {
    let mac = words.first().and_then(|w| parse_mac(w));
    let vlan = words.get(1).map_or(Some(0), |w| w.parse::<u16>().ok().filter(|v| *v < 4096));
    let basis = words.get(2).map_or(Some(0), |w| w.parse::<u32>().ok());
    match (mac, vlan, basis) {
        (None, ..) => Reply::Error("invalid mac".to_string()),
        (_, None, _) => Reply::Error("invalid vlan".to_string()),
        (.., None) => Reply::Error("invalid hash_basis".to_string()),
        _ => Reply::Error("a source address is mapped to a member by the program's own seeded hash; see bond/show".to_string()),
    }
}

pub(super) fn migrate(_: &mut Console<'_>, _: &[&str]) -> Reply {
    Reply::Error("hashes move between members by load alone".to_string())
}
