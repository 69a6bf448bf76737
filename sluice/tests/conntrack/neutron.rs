//! Real clients between the ports of a real Neutron agent's tables.
//!
//! The tables were recorded with three security groups: `web` (tcp 22, icmp, tcp 8000-8099 from 10.10.0.0/16), `db`
//! (anything of its own members; tcp 5432 and udp 1000-2000 from members of `web`), `v6` (tcp 22, icmp6, tcp 80 of
//! its own members). p1 is in `web` and `v6`, p2 in `web` and `db`, p3 in `db`.

use std::time::{Duration, Instant};

use crate::node::{Guest, Node};
use crate::support::{can_make_namespaces, shared, wait_for};

const P1: (&str, &str) = ("10.10.1.228", "fd00:10:1::29e");
const P2: (&str, &str) = ("10.10.1.119", "fd00:10:1::1ce");
const P3: (&str, &str) = ("10.10.1.172", "fd00:10:1::307");

struct Cloud {
    p1: Guest,
    p2: Guest,
    p3: Guest,
    node: Node,
}

fn cloud(test: &str) -> Option<Cloud> {
    let Some(rules) = shared("neutron").map(|f| f.join("corpus-zed-few-ports-br-int.flows")) else {
        println!("{test}: SKIPPED, no recorded tables");
        return None;
    };
    if !can_make_namespaces(test) {
        return None;
    }
    let node = Node::start();
    node.vsctl("add-br br-int -- set bridge br-int datapath_type=netdev fail_mode=secure");
    let plug = |port, mac, (v4, v6): (&str, &str)| {
        let addresses = [format!("{v4}/24"), format!("{v6}/64")];
        Guest::plug(&node, "br-int", port, mac, &[&addresses[0], &addresses[1]], &format!("-- set port vp{port} tag=2"))
    };
    let p1 = plug(2, "fa:16:3e:a3:7d:ee", P1);
    let p2 = plug(3, "fa:16:3e:ac:b1:e8", P2);
    let p3 = plug(4, "fa:16:3e:85:e3:de", P3);
    node.ofctl(&format!("add-flows unix:{} {}", node.file("br-int.mgmt").display(), rules.display()));
    Some(Cloud { p1, p2, p3, node })
}

#[test]
fn what_is_allowed_passes_and_what_is_denied_is_dropped_by_a_rule() {
    let Some(c) = cloud("neutron clients") else { return };
    let web = |g: &Guest, port: u16, at: &str| g.serve(&format!("python3 -m http.server {port} --bind {at} -d /proc/self/net"), 't', port);
    let _servers = [
        web(&c.p2, 8000, P2.0),
        web(&c.p2, 9999, P2.0),
        web(&c.p3, 5432, P3.0),
        web(&c.p3, 9999, P3.0),
        web(&c.p1, 9999, P1.0),
        web(&c.p1, 22, P1.1),
        web(&c.p2, 22, P2.1),
        c.p2.serve("iperf3 -s -p 8010", 't', 8010),
        c.p3.serve("socat -u UDP4-RECV:1500 EXEC:'tee -a /dev/null'", 'u', 1500),
    ];

    // TCP, both ways of it, and much of it.
    assert!(c.p1.reaches(P2.0, 8000) && c.p1.reaches(P3.0, 5432) && c.p2.reaches(P3.0, 9999), "allowed");
    let report = c.p1.must(&format!("iperf3 -J -c {} -p 8010 -n 20M", P2.0));
    assert!(report.contains("\"bytes\":\t20971520") || report.contains("sum_received"), "{report}");

    // Pings and a traceroute; ICMP to p3 is not allowed but from its own group.
    assert_eq!(c.node.pings(&c.p1.0, P2.0, 5), 5);
    assert_eq!(c.node.pings(&c.p2.0, P3.0, 5), 5);
    assert_eq!(c.node.pings(&c.p1.0, P3.0, 1), 0, "web may not ping db");
    let way = c.p2.must(&format!("traceroute -n -q 1 -w 1 -m 3 {}", P3.0));
    assert_eq!(way.lines().count(), 2, "one hop: {way}");
    assert!(way.lines().nth(1).is_some_and(|l| l.contains(P3.0)), "{way}");

    // IPv6: neighbour discovery, ping, TCP of the group's own range.
    assert_eq!(c.node.pings(&c.p2.0, P1.1, 3), 3);
    assert!(c.p2.reaches(P1.1, 22), "ssh over IPv6");
    assert!(!c.p1.reaches(P2.1, 22), "p2 is not in the group");

    // Denied in both directions, and the reason is named.
    for (from, to, port) in [(&c.p1, P3.0, 9999), (&c.p3, P1.0, 9999), (&c.p1, P2.0, 9999)] {
        let before = c.node.counter("drop_rule_drop");
        assert!(!from.reaches(to, port), "{to}:{port}");
        assert!(c.node.counter("drop_rule_drop") > before, "{to}:{port}: the drop is counted");
    }
    let trace = c.node.place.sh(&format!(
        "ovs-appctl -t {} ofproto/trace br-int in_port=2,tcp,dl_src=fa:16:3e:a3:7d:ee,dl_dst=fa:16:3e:85:e3:de,nw_src={},nw_dst={},nw_ttl=64,tp_src=4000,tp_dst=9999 --ct-next trk,new --ct-next trk,new",
        c.node.file("switch.ctl").display(), P1.0, P3.0
    ));
    assert!(trace.contains("93. priority 0") && trace.trim_end().ends_with("Datapath actions: drop"), "{trace}");

    // UDP from a member of web, and to a port beyond the range.
    let sent = |port: u16| {
        c.p1.must(&format!("socat -u SYSTEM:'echo hello' UDP4-SENDTO:{}:{port}", P3.0));
    };
    let table = |words: &str| c.node.place.sh(&format!("ovs-appctl -t {} dpctl/dump-conntrack zone=2 | grep -c '{words}' || true", c.node.file("switch.ctl").display()));
    sent(1500);
    wait_for("the datagram's connection", || table("^udp.*dport=1500").trim() != "0");
    let before = c.node.counter("drop_rule_drop");
    sent(2001);
    wait_for("the drop", || c.node.counter("drop_rule_drop") > before);
}

/// The agent takes a removed rule's flows away; what they let through meets `ct_mark=1` from then on.
#[test]
fn a_removed_rule_cuts_the_connections_that_it_allowed_within_a_second() {
    let Some(c) = cloud("neutron cut") else { return };
    let _server = c.p2.serve("iperf3 -s -p 8010", 't', 8010);
    let _client = c.p1.start(&format!("iperf3 -c {} -p 8010 -t 30 -b 20M", P2.0));
    let path = format!("/proc/{}/net/dev", "self");
    let received = || -> u64 {
        let text = c.p2.must(&format!("cat {path}"));
        let line = text.lines().find(|l| l.trim_start().starts_with("eth0:")).expect("eth0");
        line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("bytes")
    };
    let start = received();
    wait_for("traffic", || received() > start + 1_000_000);
    let target = format!("unix:{}", c.node.file("br-int.mgmt").display());
    let of_rule = "table=82,tcp,reg5=0x3,nw_src=10.10.0.0/16";
    let gone = Instant::now();
    c.node.place.sh(&format!("echo 'delete {of_rule}' | ovs-ofctl -O OpenFlow14 --bundle add-flows {target} -"));
    let mut last = (received(), Instant::now());
    // Silence of half a second: it began with the last packet.
    while last.1.elapsed() < Duration::from_millis(500) {
        assert!(gone.elapsed() < Duration::from_secs(10), "it is never cut");
        let now = received();
        // ARP may still pass.
        if now > last.0 + 200 {
            last = (now, Instant::now());
        }
    }
    let cut = last.1.duration_since(gone);
    println!("cut {} ms after the rule's removal began", cut.as_millis());
    assert!(cut < Duration::from_secs(1), "cut after {cut:?}");
    let dump = c.node.place.sh(&format!("ovs-appctl -t {} dpctl/dump-conntrack zone=2", c.node.file("switch.ctl").display()));
    assert!(dump.lines().any(|l| l.contains("dport=8010") && l.contains("mark=1")), "marked: {dump}");
    assert_eq!(c.node.pings(&c.p1.0, P2.0, 2), 2, "other rules stay");
    drop(c.p3);
}
