//! After any series of flow-mods the rule set holds what a stock Open vSwitch holds, and shows it in
//! the same order: strict and loose, by cookie, by output port, with modifications that may add.

mod ovs;

use ovs::Ovs;
use sluice_compiler::{Filter, RuleSet};
use sluice_naive::generate::random::Random;
use sluice_openflow::text::{format_match, parse_flow_line, Names};
use sluice_openflow::{Action, FlowMod, Match, Version};

const MATCHES: [&str; 12] = [
    "ip",
    "ip,nw_src=10.0.0.0/8",
    "ip,nw_src=10.1.0.0/16",
    "ip,nw_src=10.2.0.0/16",
    "tcp",
    "tcp,tp_dst=80",
    "tcp,tp_dst=443",
    "arp",
    "in_port=1",
    "in_port=2",
    "in_port=1,dl_vlan=5",
    "dl_vlan=5",
];

fn conditions(r: &mut Random) -> String {
    if r.chance(8) {
        String::new()
    } else {
        format!(",{}", r.pick(&MATCHES))
    }
}

fn line(r: &mut Random) -> String {
    let (table, priority, cookie) = (r.below(2), r.below(4) * 10, r.below(4));
    let matches = conditions(r);
    let actions = format!("actions=output:{}", r.below(3) + 1);
    match r.below(12) {
        0 => format!("modify table={table}{matches},{actions}"),
        1 => format!("modify table={table},cookie={cookie}/0x1{matches},{actions}"),
        2 => format!("modify_strict table={table},priority={priority}{matches},{actions}"),
        3 if r.chance(40) => format!("delete table={table}{matches}"),
        4 => format!("delete cookie={cookie}/0x3{matches}"),
        5 => format!("delete table={table}{matches},out_port={}", r.below(3) + 1),
        6 => format!("delete_strict table={table},priority={priority}{matches}"),
        _ => format!("add table={table},priority={priority},cookie={cookie}{matches},{actions}"),
    }
}

/// Also rules that must not overlap others.
fn bundled(r: &mut Random) -> String {
    let line = line(r);
    if line.starts_with("add") && r.chance(6) {
        return line.replacen("add ", "add check_overlap,", 1);
    }
    line
}

type Shown = (u8, u16, u64, Match, Vec<Action>);

fn text(all: &[Shown]) -> String {
    let line = |(table, priority, cookie, m, actions): &Shown| {
        format!("table={table},cookie={cookie},priority={priority},{} {actions:?}\n", format_match(m, &Names::new()))
    };
    all.iter().map(line).collect()
}

/// Table and highest priority of each run of rules with one mask, in order; and the runs themselves,
/// sorted. Once rules were removed, a stock switch's order of masks depends on when its garbage was
/// collected: then only the runs are compared.
fn by_mask(all: &[Shown]) -> (Vec<(u8, u16)>, Vec<String>) {
    let mut runs: Vec<Vec<&Shown>> = Vec::new();
    for f in all {
        match runs.last_mut() {
            Some(run) if (run[0].0, run[0].3.mask) == (f.0, f.3.mask) => run.push(f),
            _ => runs.push(vec![f]),
        }
    }
    let highest = |run: &Vec<&Shown>| (run[0].0, run.iter().map(|f| f.1).max().unwrap_or(0));
    let order = runs.iter().map(highest).collect();
    let mut texts: Vec<String> = runs.iter().map(|run| format!("{run:?}")).collect();
    texts.sort();
    (order, texts)
}

fn parsed(line: &str, names: &Names) -> FlowMod {
    let mut fm = parse_flow_line(line, names).unwrap_or_else(|e| panic!("{line}: {e:?}")).0;
    // What the encoding of 1.4 carries: a modification keeps the cookie, and adds nothing.
    if line.starts_with("modify") {
        fm.new_cookie = None;
    }
    fm
}

fn dump_of(ovs: &Ovs, names: &Names) -> Vec<Shown> {
    let lines = ovs.dump(0, "OpenFlow14").unwrap();
    let mods = lines.iter().map(|l| parsed(l, names));
    mods.map(|f| (f.table.unwrap_or(0), f.priority, f.new_cookie.unwrap_or(0), f.matching, f.actions)).collect()
}

fn held(rules: &RuleSet) -> Vec<Shown> {
    let filter = Filter::default();
    let all = rules.dump(0, &filter);
    all.map(|f| (f.table, f.priority(), f.cookie, f.matching(), f.actions.to_vec())).collect()
}

/// More bundles with `SLUICE_BUNDLES`.
#[test]
fn a_bundle_sees_of_its_own_rules_what_a_stock_switch_sees_and_leaves_the_same_order() {
    if !Ovs::installed() {
        println!("SKIPPED: no stock Open vSwitch here (apt-get install openvswitch-switch)");
        return;
    }
    let names = Names::new();
    let mut r = Random::new(1);
    let mut rules = RuleSet::new();
    let mut ovs = Ovs::start("bundles").unwrap();
    let bundles = std::env::var("SLUICE_BUNDLES").ok().and_then(|n| n.parse().ok()).unwrap_or(80);
    let mut refused = 0;
    for n in 0..bundles {
        let lines: Vec<String> = (0..2 + r.below(14)).map(|_| bundled(&mut r)).collect();
        let mods: Vec<FlowMod> = lines.iter().map(|l| parsed(l, &names)).collect();
        let (before, done) = (text(&held(&rules)), rules.commit(0, &mods, Version::V14, 0));
        let stock = ovs.bundle(0, "OpenFlow14", &lines);
        assert_eq!(done.is_ok(), stock.is_ok(), "bundle {n} {lines:#?}: {done:?}, {stock:?}");
        if stock.is_err() {
            // It changes nothing here, but the order of groups there: both start anew.
            assert_eq!(before, text(&held(&rules)), "bundle {n} {lines:#?}");
            refused += 1;
            rules.commit(0, &[parsed("delete cookie=0/0", &names)], Version::V14, 0).unwrap();
            ovs.bundle(0, "OpenFlow14", &["delete".to_string()]).unwrap();
        }
        let (mine, theirs) = (text(&held(&rules)), text(&dump_of(&ovs, &names)));
        assert!(mine == theirs, "bundle {n} {lines:#?}\nbefore\n{before}ours\n{mine}theirs\n{theirs}");
    }
    println!("{bundles} bundles, {refused} refused");
}

#[test]
fn the_rule_set_holds_and_shows_what_a_stock_switch_does() {
    if !Ovs::installed() {
        println!("SKIPPED: no stock Open vSwitch here (apt-get install openvswitch-switch)");
        return;
    }
    let names = Names::new();
    let mut shown = 0;
    for seed in 0..12 {
        let mut r = Random::new(seed);
        let mut rules = RuleSet::new();
        let ovs = Ovs::start(&format!("rules-{seed}")).unwrap();
        for step in 0..4 {
            let mut lines: Vec<String> = (0..12).map(|_| line(&mut r)).collect();
            if step == 0 {
                lines.retain(|l| l.starts_with("add"));
            }
            ovs.flow_mods(0, "OpenFlow14", &lines).unwrap_or_else(|e| panic!("{lines:#?}: {e}"));
            for l in &lines {
                rules.apply(0, &parsed(l, &names), Version::V14, 0).unwrap();
            }
            let (theirs, mine) = (dump_of(&ovs, &names), held(&rules));
            shown += mine.len();
            let (mine, theirs) = (by_mask(&mine), by_mask(&theirs));
            if step == 0 {
                assert_eq!(mine.0, theirs.0, "seed {seed}: {lines:#?}");
            }
            assert_eq!(mine.1, theirs.1, "seed {seed} step {step}: {lines:#?}");
        }
    }
    println!("{shown} rules shown in the same order");
}
