//! Which commands there are.
//!
//! Deliberately does not know: what they do.

use super::absent::ABSENT;
use super::{basic, bonds, conntrack, datapath, explain, flows, fragments, limits, pmd, qos, switching, tables, tunnels, workers};
use super::{Command, Need};

type Run = fn(&mut super::Console<'_>, &[&str]) -> super::Reply;

const MANY: usize = usize::MAX;

const fn now(name: &'static str, usage: &'static str, min: usize, max: usize, run: Run) -> Command {
    Command { name, usage, arguments: (min, max), need: Need::Nothing, run: Some(run) }
}

/// A command that tells counts.
const fn counted(name: &'static str, usage: &'static str, min: usize, max: usize, run: Run) -> Command {
    Command { name, usage, arguments: (min, max), need: Need::Counts, run: Some(run) }
}

/// A command that tells what is cached.
const fn cached(name: &'static str, usage: &'static str, min: usize, max: usize, run: Run) -> Command {
    Command { name, usage, arguments: (min, max), need: Need::Flows, run: Some(run) }
}

/// Every command that does something, by name.
#[rustfmt::skip]
static COMMANDS: &[Command] = &[
    now("bond/disable-member", "port member", 2, 2, bonds::disable),
    now("bond/enable-member", "port member", 2, 2, bonds::enable),
    now("bond/hash", "mac [vlan] [basis]", 1, 3, bonds::hash),
    now("bond/list", "", 0, 0, bonds::list),
    now("bond/migrate", "port hash member", 3, 3, bonds::migrate),
    now("bond/set-active-member", "port member", 2, 2, bonds::set_active),
    now("bond/show", "[port]", 0, 1, bonds::show),
    counted("bridge/dump-flows", "[--offload-stats] bridge", 1, 2, switching::dump_flows),
    now("bridge/reconnect", "[bridge]", 0, 1, switching::reconnect),
    counted("coverage/read-counter", "COUNTER", 1, 1, workers::counter),
    counted("coverage/show", "", 0, 0, workers::coverage),
    now("dpctl/ct-bkts", "[dp] [gt=N]", 0, 2, conntrack::buckets),
    now("dpctl/ct-del-limits", "[dp] zone=N1[,N2]...", 1, 2, limits::remove),
    now("dpctl/ct-disable-tcp-seq-chk", "[dp]", 0, 1, conntrack::liberal),
    now("dpctl/ct-enable-tcp-seq-chk", "[dp]", 0, 1, conntrack::strict),
    now("dpctl/ct-get-limits", "[dp] [zone=N1[,N2]...]", 0, 2, limits::show),
    now("dpctl/ct-get-maxconns", "[dp]", 0, 1, conntrack::limit),
    now("dpctl/ct-get-nconns", "[dp]", 0, 1, conntrack::count),
    now("dpctl/ct-get-tcp-seq-chk", "[dp]", 0, 1, conntrack::is_strict),
    now("dpctl/ct-set-limits", "[dp] [default=L] [zone=N,limit=L]...", 1, MANY, limits::set),
    now("dpctl/ct-set-maxconns", "[dp] maxconns", 1, 2, conntrack::set_limit),
    now("dpctl/ct-stats-show", "[dp] [zone=N]", 0, 3, conntrack::stats),
    now("dpctl/dump-conntrack", "[-m] [-s] [dp] [zone=N]", 0, 4, conntrack::show),
    now("dpctl/dump-dps", "", 0, 0, datapath::list_datapaths),
    cached("dpctl/dump-flows", "[-m] [--names] [dp] [filter=..] [type=..] [pmd=..]", 0, 6, flows::dump),
    now("dpctl/flush-conntrack", "[dp] [zone=N] [ct-orig-tuple] [ct-reply-tuple]", 0, 4, conntrack::flush),
    now("dpctl/ipf-get-status", "[dp]", 0, 2, fragments::status),
    now("dpctl/ipf-set-disabled", "[dp] v4|v6", 1, 2, fragments::disable),
    now("dpctl/ipf-set-enabled", "[dp] v4|v6", 1, 2, fragments::enable),
    now("dpctl/ipf-set-max-nfrags", "[dp] maxfrags", 1, 2, fragments::set_max),
    now("dpctl/ipf-set-min-frag", "[dp] v4|v6 minfragment", 2, 3, fragments::set_shortest),
    now("dpctl/list-commands", "", 0, MANY, basic::list_datapath_commands),
    counted("dpctl/show", "[-s] [dp...]", 0, MANY, datapath::show_datapath),
    counted("dpif-netdev/pmd-rxq-rebalance", "[dp]", 0, 1, pmd::rebalance),
    counted("dpif-netdev/pmd-rxq-show", "[-pmd core] [-secs secs] [dp]", 0, 5, pmd::queues_show),
    counted("dpif-netdev/pmd-stats-show", "[-pmd core] [dp]", 0, 3, pmd::stats_show),
    now("dpif/dump-dps", "", 0, 0, datapath::list_bridges),
    cached("dpif/dump-flows", "[-m] [--names | --no-names] bridge", 1, 3, flows::dump_bridge),
    now("dpif/set-dp-features", "bridge", 1, 3, datapath::set_features),
    counted("dpif/show", "", 0, 0, datapath::show_bridges),
    now("dpif/show-dp-features", "bridge", 1, 1, datapath::features),
    now("exit", "[--cleanup]", 0, 1, basic::exit),
    now("fdb/add", "bridge port vlan mac", 4, 4, switching::fdb_add),
    now("fdb/del", "bridge vlan mac", 3, 3, switching::fdb_del),
    now("fdb/flush", "[bridge]", 0, 1, switching::fdb_flush),
    now("fdb/show", "bridge", 1, 1, switching::fdb_show),
    now("fdb/stats-clear", "[bridge]", 0, 1, switching::fdb_stats_clear),
    now("fdb/stats-show", "bridge", 1, 1, switching::fdb_stats),
    now("lacp/show", "[port]", 0, 1, bonds::lacp),
    now("lacp/show-stats", "[port]", 0, 1, bonds::lacp_statistics),
    now("list-commands", "", 0, 0, basic::list_commands),
    now("mdb/flush", "[bridge]", 0, 1, switching::mdb_flush),
    now("mdb/show", "bridge", 1, 1, switching::mdb_show),
    counted("memory/show", "", 0, 0, workers::memory),
    now("ofproto/list", "", 0, 0, switching::list),
    now("ofproto/list-tunnels", "", 0, 0, datapath::tunnels),
    now("ofproto/trace", "{[dp_name] odp_flow | bridge br_flow} [OPTIONS...] [-generate|packet]", 1, MANY, explain::trace),
    now("ofproto/trace-packet-out", "[-consistent] {[dp_name] odp_flow | bridge br_flow} [OPTIONS...] [-generate|packet] actions", 2, MANY, explain::trace_packet_out),
    now("ovs/route/add", "ip_addr/prefix_len out_br_name [gw] [pkt_mark=mark]", 2, 4, tunnels::add_route),
    now("ovs/route/del", "ip_addr/prefix_len [pkt_mark=mark]", 1, 2, tunnels::delete_route),
    now("ovs/route/lookup", "ip_addr [pkt_mark=mark]", 1, 2, tunnels::look_up),
    now("ovs/route/show", "", 0, 0, tunnels::routes),
    counted("qos/show", "interface", 1, 1, qos::show),
    now("qos/show-types", "interface", 1, 1, qos::types),
    counted("revalidator/purge", "", 0, 0, workers::nothing),
    counted("revalidator/wait", "", 0, 0, workers::nothing),
    now("sluice/explain-tables", "[bridge]", 0, 1, tables::explain),
    now("tnl/arp/aging", "[SECS]", 0, 1, tunnels::ageing),
    now("tnl/arp/flush", "", 0, 0, tunnels::flush_neighbours),
    now("tnl/arp/set", "BRIDGE IP MAC", 3, 3, tunnels::set_neighbour),
    now("tnl/arp/show", "", 0, 0, tunnels::neighbours),
    now("tnl/egress_port_range", "min max", 0, 2, tunnels::port_range),
    now("tnl/neigh/aging", "[SECS]", 0, 1, tunnels::ageing),
    now("tnl/neigh/flush", "", 0, 0, tunnels::flush_neighbours),
    now("tnl/neigh/set", "BRIDGE IP MAC", 3, 3, tunnels::set_neighbour),
    now("tnl/neigh/show", "", 0, 0, tunnels::neighbours),
    now("tnl/ports/show", "-v", 0, 1, tunnels::ports),
    counted("upcall/show", "", 0, 0, workers::upcalls),
    now("version", "", 0, 0, basic::version),
    now("vlog/close", "", 0, 0, basic::vlog_close),
    now("vlog/disable-rate-limit", "[module]...", 0, MANY, basic::vlog_rate_limit),
    now("vlog/enable-rate-limit", "[module]...", 0, MANY, basic::vlog_rate_limit),
    now("vlog/list", "", 0, 0, basic::vlog_list),
    now("vlog/list-pattern", "", 0, 0, basic::vlog_list_pattern),
    now("vlog/reopen", "", 0, 0, basic::vlog_reopen),
    now("vlog/set", "{spec | PATTERN:destination:pattern}", 0, MANY, basic::vlog_set),
];

/// Every command, also those that have nothing to act on, by name.
pub(super) fn all() -> Vec<Command> {
    let mut all = COMMANDS.to_vec();
    all.extend(ABSENT.iter().map(|(name, usage, min, max, ..)| Command {
        name,
        usage,
        arguments: (*min, *max),
        need: Need::Nothing,
        run: None,
    }));
    all.sort_by_key(|c| c.name);
    all
}

/// The command of this name, if it takes so many arguments.
pub fn find(name: &str, arguments: usize) -> Result<Command, String> {
    let found = all().into_iter().find(|c| c.name == name);
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
        assert!(all().windows(2).all(|w| w[0].name < w[1].name));
        assert!(COMMANDS.windows(2).all(|w| w[0].name < w[1].name));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(find("nonsense", 0).is_err_and(|e| e.contains("\"nonsense\" is not a valid command")));
        assert!(find("qos/show", 0).is_err_and(|e| e.contains("at least 1")));
        assert!(find("version", 2).is_err_and(|e| e.contains("at most 0")));
    }
}
