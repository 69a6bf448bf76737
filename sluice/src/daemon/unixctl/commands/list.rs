//! Which commands there are.
//!
//! Deliberately does not know: what they do.

use super::{basic, conntrack, explain, pmd, Command, Need, Reply};

type Run = fn(&mut super::Console<'_>, &[&str]) -> Reply;

const MANY: usize = usize::MAX;

const fn now(name: &'static str, usage: &'static str, min: usize, max: usize, run: Run) -> Command {
    Command { name, usage, arguments: (min, max), need: Need::Nothing, run }
}

/// Every command, by name.
pub(super) static COMMANDS: &[Command] = &[
    now("dpctl/ct-bkts", "[dp] [gt=N]", 0, 2, conntrack::buckets),
    now("dpctl/ct-del-limits", "[dp] zone=N1[,N2]...", 1, 2, conntrack::drop_zone_limits),
    now("dpctl/ct-disable-tcp-seq-chk", "[dp]", 0, 1, conntrack::liberal),
    now("dpctl/ct-enable-tcp-seq-chk", "[dp]", 0, 1, conntrack::strict),
    now("dpctl/ct-get-limits", "[dp] [zone=N1[,N2]...]", 0, 2, conntrack::zone_limits),
    now("dpctl/ct-get-maxconns", "[dp]", 0, 1, conntrack::limit),
    now("dpctl/ct-get-nconns", "[dp]", 0, 1, conntrack::count),
    now("dpctl/ct-get-tcp-seq-chk", "[dp]", 0, 1, conntrack::is_strict),
    now("dpctl/ct-set-limits", "[dp] [default=L] [zone=N,limit=L]...", 1, MANY, conntrack::set_zone_limits),
    now("dpctl/ct-set-maxconns", "[dp] maxconns", 1, 2, conntrack::set_limit),
    now("dpctl/ct-stats-show", "[dp] [zone=N]", 0, 3, conntrack::stats),
    now("dpctl/dump-conntrack", "[-m] [-s] [dp] [zone=N]", 0, 4, conntrack::show),
    now("dpctl/flush-conntrack", "[dp] [zone=N] [ct-orig-tuple] [ct-reply-tuple]", 0, 4, conntrack::flush),
    Command {
        name: "dpif-netdev/pmd-stats-show",
        usage: "",
        arguments: (0, 0),
        need: Need::Counts,
        run: pmd::stats_show,
    },
    now("exit", "[--cleanup]", 0, 1, basic::exit),
    now("list-commands", "", 0, 0, basic::list_commands),
    now(
        "ofproto/trace",
        "{[dp_name] odp_flow | bridge br_flow} [OPTIONS...] [-generate|packet]",
        1,
        MANY,
        explain::trace,
    ),
    now(
        "ofproto/trace-packet-out",
        "[-consistent] {[dp_name] odp_flow | bridge br_flow} [OPTIONS...] [-generate|packet] actions",
        2,
        MANY,
        explain::trace_packet_out,
    ),
    now("version", "", 0, 0, basic::version),
    now("vlog/close", "", 0, 0, basic::vlog_close),
    now("vlog/disable-rate-limit", "[module]...", 0, MANY, basic::vlog_rate_limit),
    now("vlog/enable-rate-limit", "[module]...", 0, MANY, basic::vlog_rate_limit),
    now("vlog/list", "", 0, 0, basic::vlog_list),
    now("vlog/list-pattern", "", 0, 0, basic::vlog_list_pattern),
    now("vlog/reopen", "", 0, 0, basic::vlog_reopen),
    now("vlog/set", "{spec | PATTERN:destination:pattern}", 1, MANY, basic::vlog_set),
];

/// The command of this name, if it takes so many arguments.
pub fn find(name: &str, arguments: usize) -> Result<&'static Command, String> {
    let found = COMMANDS.iter().find(|c| c.name == name);
    let command = found.ok_or_else(|| format!("\"{name}\" is not a valid command (use \"list-commands\" to see a list of valid commands)"))?;
    let (min, max) = command.arguments;
    if arguments < min {
        return Err(format!("\"{name}\" command requires at least {min} arguments"));
    }
    if arguments > max {
        return Err(format!("\"{name}\" command takes at most {max} arguments"));
    }
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_in_order_and_named_once() {
        assert!(COMMANDS.windows(2).all(|w| w[0].name < w[1].name));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(find("nonsense", 0).is_err_and(|e| e.contains("\"nonsense\" is not a valid command")));
        assert!(find("vlog/set", 0).is_err_and(|e| e.contains("at least 1")));
        assert!(find("version", 2).is_err_and(|e| e.contains("at most 0")));
    }
}
