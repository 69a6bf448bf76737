//! Commands of `ovs-vswitchd` that have nothing to act on here.
//!
//! Purpose: each says in one line why. One that only shows something succeeds, so that scripts which
//! collect everything go on; one that would change something is an error.

use super::Reply;

/// Name, usage, fewest and most arguments, the line, whether it is an error.
pub(super) type Absent = (&'static str, &'static str, usize, usize, &'static str, bool);

const ONE_IMPLEMENTATION: &str = "There is one implementation, chosen when the program was built.";
const NO_MEGAFLOWS: &str = "There are no megaflows: the cache is exact and sized by itself.";
const NO_SPANNING_TREE: &str = "There is no spanning tree protocol.";
const NO_MONITORING: &str = "There is no CFM and no BFD.";
const BY_DATABASE: &str = "The datapath follows the database; use ovs-vsctl.";
const BY_RULES: &str = "Flows follow from rules alone; use ovs-ofctl.";
const NO_AUTO_ATTACH: &str = "There is no auto-attach.";

/// Every such command.
pub(super) static ABSENT: &[Absent] = &[
    ("autoattach/show-isid", "[bridge]", 0, 1, NO_AUTO_ATTACH, false),
    ("autoattach/statistics", "[bridge]", 0, 1, NO_AUTO_ATTACH, false),
    ("autoattach/status", "[bridge]", 0, 1, NO_AUTO_ATTACH, false),
    ("bfd/set-forwarding", "[interface] normal|false|true", 1, 2, NO_MONITORING, true),
    ("bfd/show", "[interface]", 0, 1, NO_MONITORING, false),
    ("cfm/set-fault", "[interface] normal|false|true", 1, 2, NO_MONITORING, true),
    ("cfm/show", "[interface]", 0, 1, NO_MONITORING, false),
    ("dpctl/add-dp", "dp [iface...]", 1, usize::MAX, BY_DATABASE, true),
    ("dpctl/add-flow", "[dp] flow actions", 2, 3, BY_RULES, true),
    ("dpctl/add-flows", "[dp] file", 1, 2, BY_RULES, true),
    ("dpctl/add-if", "dp iface...", 2, usize::MAX, BY_DATABASE, true),
    ("dpctl/cache-get-size", "[dp]", 0, 1, "The flow cache sizes itself; `upcall/show` tells how full it is.", false),
    ("dpctl/cache-set-size", "dp cache <size>", 3, 3, "The flow cache sizes itself.", true),
    ("dpctl/del-dp", "dp", 1, 1, BY_DATABASE, true),
    ("dpctl/del-flow", "[dp] flow", 1, 2, BY_RULES, true),
    ("dpctl/del-flows", "[dp] [file]", 0, 2, "Flows follow from rules alone, and need no flush.", false),
    ("dpctl/del-if", "dp iface...", 2, usize::MAX, BY_DATABASE, true),
    ("dpctl/get-flow", "[dp] ufid", 1, 2, "Flows have no ufid; use dpctl/dump-flows.", true),
    ("dpctl/mod-flow", "[dp] flow actions", 2, 3, BY_RULES, true),
    ("dpctl/mod-flows", "[dp] file", 1, 2, BY_RULES, true),
    ("dpctl/normalize-actions", "actions", 2, usize::MAX, BY_RULES, true),
    ("dpctl/offload-stats-show", "[dp]", 0, 1, "Nothing is offloaded to hardware.", false),
    ("dpctl/parse-actions", "actions", 1, usize::MAX, BY_RULES, true),
    ("dpctl/set-if", "dp iface...", 2, usize::MAX, BY_DATABASE, true),
    ("dpif-netdev/bond-show", "[dp]", 0, 1, "", false),
    ("dpif-netdev/dpif-impl-get", "", 0, 0, ONE_IMPLEMENTATION, false),
    ("dpif-netdev/dpif-impl-set", "dpif_implementation_name", 1, 1, ONE_IMPLEMENTATION, true),
    ("dpif-netdev/miniflow-parser-get", "", 0, 0, ONE_IMPLEMENTATION, false),
    ("dpif-netdev/miniflow-parser-set", "[-pmd core] miniflow_implementation_name [study_pkt_cnt]", 1, 5, ONE_IMPLEMENTATION, true),
    ("dpif-netdev/pmd-perf-log-set", "on|off [-b before] [-a after] [-e|-ne] [-us usec] [-q qlen]", 0, 10, "Iterations are not logged.", true),
    ("dpif-netdev/pmd-perf-show", "[-nh] [-it iter-history-len] [-ms ms-history-len] [-pmd core] [dp]", 0, 8, "Iterations are not timed; use dpif-netdev/pmd-stats-show.", false),
    ("dpif-netdev/pmd-stats-clear", "[-pmd core] [dp]", 0, 3, "Counters only grow; take differences.", false),
    ("dpif-netdev/subtable-lookup-info-get", "", 0, 0, ONE_IMPLEMENTATION, false),
    ("dpif-netdev/subtable-lookup-prio-set", "[lookup_func] [prio]", 2, 2, ONE_IMPLEMENTATION, true),
    ("odp-execute/action-impl-set", "name", 1, 1, ONE_IMPLEMENTATION, true),
    ("odp-execute/action-impl-show", "", 0, 0, ONE_IMPLEMENTATION, false),
    ("rstp/show", "[bridge]", 0, 1, "", false),
    ("rstp/tcn", "[bridge]", 0, 1, NO_SPANNING_TREE, false),
    ("stp/show", "[bridge]", 0, 1, "", false),
    ("stp/tcn", "[bridge]", 0, 1, NO_SPANNING_TREE, false),
    ("upcall/disable-megaflows", "", 0, 0, NO_MEGAFLOWS, false),
    ("upcall/disable-ufid", "", 0, 0, NO_MEGAFLOWS, false),
    ("upcall/enable-megaflows", "", 0, 0, NO_MEGAFLOWS, false),
    ("upcall/enable-ufid", "", 0, 0, NO_MEGAFLOWS, false),
    ("upcall/set-flow-limit", "flow-limit-number", 1, 1, NO_MEGAFLOWS, false),
];

/// The answer of the command of this name.
pub(super) fn answer(name: &str) -> Reply {
    let found = ABSENT.iter().find(|(n, ..)| *n == name);
    let Some((.., line, is_error)) = found else { return Reply::Text(String::new()) };
    if *is_error { Reply::Error(line.to_string()) } else { Reply::Text(line.to_string()) }
}
