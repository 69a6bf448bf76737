//! Commands about the daemon itself: its end, its version, its log.

use super::list::all;
use super::{Console, Reply};
use crate::daemon::{args, log};

pub(super) fn exit(console: &mut Console<'_>, words: &[&str]) -> Reply {
    match words.first() {
        None => console.wishes.exit = Some(console.wishes.exit.unwrap_or(false)),
        Some(&"--cleanup") => console.wishes.exit = Some(true),
        Some(word) => return Reply::Error(format!("\"{word}\" is no option of exit; there is only --cleanup")),
    }
    Reply::AtEnd
}

pub(super) fn list_commands(_: &mut Console<'_>, _: &[&str]) -> Reply {
    let lines = all().into_iter().map(|c| format!("  {:<23} {}\n", c.name, c.usage));
    Reply::Text(std::iter::once("The available commands are:\n".to_string()).chain(lines).collect())
}

pub(super) fn list_datapath_commands(_: &mut Console<'_>, _: &[&str]) -> Reply {
    let of_datapath = all().into_iter().filter(|c| c.name.starts_with("dpctl/"));
    let lines = of_datapath.map(|c| format!("  {:<29} {}\n", c.name, c.usage));
    Reply::Text(std::iter::once("The available commands are:\n".to_string()).chain(lines).collect())
}

pub(super) fn version(_: &mut Console<'_>, _: &[&str]) -> Reply {
    Reply::Text(args::version(args::SERVICE))
}

pub(super) fn vlog_list(_: &mut Console<'_>, _: &[&str]) -> Reply {
    Reply::Text(log::list())
}

pub(super) fn vlog_list_pattern(_: &mut Console<'_>, _: &[&str]) -> Reply {
    Reply::Text(log::list_patterns())
}

pub(super) fn vlog_reopen(_: &mut Console<'_>, _: &[&str]) -> Reply {
    log::reopen().map(|()| String::new()).into()
}

pub(super) fn vlog_close(_: &mut Console<'_>, _: &[&str]) -> Reply {
    log::close();
    Reply::Text(String::new())
}

pub(super) fn vlog_set(_: &mut Console<'_>, words: &[&str]) -> Reply {
    words.iter().try_for_each(|word| log::set(word)).map(|()| String::new()).into()
}

/// Nothing is limited: lines are written once per cause, not once per packet.
pub(super) fn vlog_rate_limit(_: &mut Console<'_>, _: &[&str]) -> Reply {
    Reply::Text(String::new())
}
