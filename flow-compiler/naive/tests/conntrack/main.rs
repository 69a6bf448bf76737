//! Connection tracking does what a stock Open vSwitch's userspace tracker does: the same packets leave by
//! the same ports with the same state, mark, label and addresses, and the tables of connections are
//! the same in the end.
//!
//! `SLUICE_ROUNDS=200` makes the long form of it, `SLUICE_SEED=n` starts elsewhere.

#[path = "../engine/mod.rs"]
mod engine;
mod groups;
#[path = "../ovs/mod.rs"]
mod ovs;
mod helpers;
mod packets;
mod random_groups;
mod talk;

use engine::Engine;
use ovs::Ovs;
use sluice_naive::compare::show;
use sluice_naive::generate::topology;
use sluice_naive::{by_port, Input, Output, Subject, World};
use sluice_openflow::text::{parse_flow_line, Names};

/// Shows what the tracker said in the addresses of the frame, and sends it on to the other side.
const SHOW: &str = "move:NXM_NX_CT_STATE[]->NXM_OF_ETH_SRC[0..31],move:NXM_NX_CT_ZONE[]->NXM_OF_ETH_SRC[32..47],\
move:NXM_NX_CT_MARK[]->NXM_OF_ETH_DST[0..31],move:NXM_NX_CT_LABEL[0..15]->NXM_OF_ETH_DST[32..47]";

/// A bridge's rules; the other bridge has none.
fn world(lines: &[String]) -> World {
    let mut world = topology();
    let names = Names::new();
    let rules = lines.iter().map(|l| parse_flow_line(l, &names).unwrap_or_else(|e| panic!("{l}: {e:?}")).0).collect();
    world.bridges[0].rules = rules;
    world.bridges[0].text = lines.to_vec();
    world
}

struct Pair {
    ovs: Ovs,
    engine: Engine,
    start: std::time::Instant,
    translates: bool,
    tag: String,
}

impl Pair {
    fn start(tag: &str) -> Option<Pair> {
        if !Ovs::installed() {
            println!("{tag}: SKIPPED, no stock Open vSwitch here (apt-get install openvswitch-switch)");
            return None;
        }
        let ovs = Ovs::start(tag).unwrap();
        Some(Pair { ovs, engine: Engine::default(), start: std::time::Instant::now(), translates: false, tag: tag.into() })
    }

    fn load(&mut self, lines: &[String]) {
        let world = world(lines);
        self.translates = lines.iter().any(|l| l.contains("nat("));
        // A stock switch that a translation crashed may die a little later.
        let loaded = (0..3).any(|i| {
            let flushed = self.ovs.load(&world).and_then(|()| self.ovs.appctl("dpctl/flush-conntrack", &[]));
            if flushed.is_err() {
                self.ovs = Ovs::start(&format!("{}-{i}-{:?}", self.tag, self.start.elapsed().as_micros())).unwrap();
            }
            flushed.is_ok()
        });
        assert!(loaded, "a stock Open vSwitch that takes the rules");
        self.engine.load(&world).unwrap();
    }

    /// What both did with a frame: (ours, theirs).
    fn send(&mut self, port: u32, bytes: &[u8]) -> Result<(Vec<Output>, Vec<Output>), String> {
        let input = Input { bridge: 0, port, bytes: bytes.to_vec() };
        let now = self.start.elapsed().as_millis() as u64;
        let theirs = by_port(self.ovs.packet(&input, now)?);
        Ok((by_port(self.engine.packet(&input, now).unwrap()), theirs))
    }

    fn dumps(&mut self) -> (Vec<String>, Vec<String>) {
        let now = self.start.elapsed().as_millis() as u64;
        let sorted = |text: String| {
            let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
            lines.sort();
            lines
        };
        let theirs = self.ovs.appctl("dpctl/dump-conntrack", &["-m"]).unwrap();
        (sorted(self.engine.dump_connections(now)), sorted(theirs))
    }

    /// Sends frames and compares after each; gives the first difference.
    fn compare(&mut self, talks: &mut talk::Talks, steps: usize) -> Result<(), String> {
        let mut story = Vec::new();
        for i in 0..steps {
            let (talk, s) = talks.next();
            story.push(format!("{i}: {}", s.what));
            let sent = self.send(s.port, &s.bytes);
            let Ok((ours, theirs)) = sent else {
                println!("Open vSwitch crashed, the round ends: {}", s.what);
                self.ovs = Ovs::start(&format!("{}-{i}-{:?}", self.tag, self.start.elapsed().as_micros())).unwrap();
                return Ok(());
            };
            if self.translates && self.engine.reopened() > 0 {
                // Open vSwitch gives the new connection another port: it forgets the old one's answers later.
                return Ok(());
            }
            if ours != theirs && self.translates && ours.iter().all(|o| is_icmp6_error(&o.bytes)) && ours.len() == theirs.len() {
                // Open vSwitch 3.1 writes the sums of the quoted packet into the error itself.
                assert!(ours.iter().all(|o| packets::icmp6_sum_is_right(&o.bytes[14..])), "{}", show(&ours));
                continue;
            }
            if ours != theirs {
                return Err(format!("{}: ours {}\n theirs {}\n{}", s.what, show(&ours), show(&theirs), story.join("\n")));
            }
            for o in &ours {
                talks.hear(talk, o.port, &o.bytes);
            }
        }
        let (ours, theirs) = self.dumps();
        if ours == theirs {
            return Ok(());
        }
        let (more, less): (Vec<_>, Vec<_>) =
            (ours.iter().filter(|l| !theirs.contains(l)).collect(), theirs.iter().filter(|l| !ours.contains(l)).collect());
        Err(format!("connections: ours {more:#?}\n theirs {less:#?}\n{}", story.join("\n")))
    }
}

fn is_icmp6_error(frame: &[u8]) -> bool {
    frame[12..14] == [0x86, 0xdd] && frame[20] == 58 && frame[54] < 128
}

/// A file of the shared test data, if it is there.
fn shared(name: &str) -> Option<std::path::PathBuf> {
    let root = match std::env::var_os("SLUICE_SHARED") {
        Some(path) => std::path::PathBuf::from(path),
        None => std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
    };
    let path = root.join(name);
    if !path.exists() {
        println!("SKIPPED: no {}", path.display());
    }
    path.exists().then_some(path)
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

/// Random talks under the same rules; every round another seed.
fn rounds(tag: &str, rules: &[String], rounds: u64, steps: usize, family: talk::Family) {
    let Some(mut pair) = Pair::start(tag) else { return };
    let (rounds, first) = (number("SLUICE_ROUNDS", rounds), number("SLUICE_SEED", 1));
    let mut failures = Vec::new();
    for seed in first..first + rounds {
        pair.load(rules);
        if let Err(e) = pair.compare(&mut talk::Talks::new(seed, family), steps) {
            println!("{tag} seed {seed}: {e}");
            failures.push(seed);
        }
        if failures.len() >= 3 {
            break;
        }
    }
    println!("{tag}: {rounds} rounds of {steps} frames");
    assert!(failures.is_empty(), "{tag}: seeds {failures:?}");
}

fn lines(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    for line in text.replace("SHOW", SHOW).lines().map(str::trim).filter(|l| !l.is_empty()) {
        for family in ["ip", "ipv6"] {
            if family == "ip" || line.contains("FAMILY") {
                all.push(line.replace("FAMILY", family));
            }
        }
    }
    all
}

/// Commits what comes from port 1, shows all.
fn firewall() -> Vec<String> {
    lines(
        "table=0,priority=10,FAMILY,actions=ct(table=1,zone=5)
         table=1,priority=10,FAMILY,ct_state=+trk+new,in_port=1,actions=ct(commit,zone=5,exec(set_field:0x7->ct_mark,set_field:0x1234->ct_label)),resubmit(,2)
         table=1,priority=1,actions=resubmit(,2)
         table=2,priority=10,in_port=1,actions=SHOW,output:2
         table=2,priority=10,in_port=2,actions=SHOW,output:1",
    )
}

#[test]
fn a_stateful_firewall_judges_every_packet_alike() {
    rounds("ct-fw", &firewall(), 12, 120, talk::Family::V4);
}

#[test]
fn a_stateful_firewall_judges_ipv6_alike() {
    rounds("ct-fw6", &firewall(), 6, 120, talk::Family::V6);
}

/// Translates what port 1 sends as `nat` says; answers are translated back.
fn translating(nat: &str) -> Vec<String> {
    lines(
        &"table=0,priority=10,FAMILY,actions=ct(table=1,zone=5,nat)
         table=1,priority=10,OWN,ct_state=+trk+new,in_port=1,actions=ct(commit,zone=5,table=2,nat(NAT))
         table=1,priority=1,actions=resubmit(,2)
         table=2,priority=10,in_port=1,actions=SHOW,output:2
         table=2,priority=10,in_port=2,actions=SHOW,output:1"
            .replace("NAT", nat)
            .replace("OWN", if nat.contains("::") { "ipv6" } else { "ip" }),
    )
}

#[test]
fn sources_are_translated_alike() {
    rounds("ct-snat", &translating("src=10.0.0.100"), 8, 120, talk::Family::V4);
}

#[test]
fn destinations_are_translated_alike() {
    rounds("ct-dnat", &translating("dst=10.0.0.200:8080"), 8, 120, talk::Family::V4);
}

#[test]
fn one_port_is_given_to_one_connection_alike() {
    rounds("ct-one-port", &translating("src=10.0.0.100:5000"), 6, 120, talk::Family::V4);
}

#[test]
fn ipv6_is_translated_alike() {
    rounds("ct-nat6", &translating("src=fc00::100"), 6, 120, talk::Family::V6);
    rounds("ct-dnat6", &translating("dst=fc00::200"), 6, 120, talk::Family::V6);
}

#[test]
fn zones_force_and_nested_actions_are_alike() {
    let rules = lines(
        "table=0,priority=10,FAMILY,in_port=1,actions=ct(table=1,zone=5)
         table=0,priority=10,FAMILY,in_port=2,actions=ct(table=3,zone=6)
         table=1,priority=10,FAMILY,ct_state=+trk+new,actions=ct(commit,zone=5,exec(set_field:0x7->ct_mark)),ct(table=2,zone=6)
         table=1,priority=1,FAMILY,actions=ct(table=2,zone=6)
         table=2,priority=10,FAMILY,ct_state=+trk+new,actions=ct(commit,zone=6,table=5,exec(set_field:0x99->ct_label))
         table=2,priority=1,actions=resubmit(,5)
         table=3,priority=10,udp,ct_state=+trk+new,actions=ct(commit,force,zone=6,table=5)
         table=3,priority=10,tcp,ct_state=+trk+rpl,actions=ct(commit,zone=6,exec(set_field:0x1/0x1->ct_mark)),resubmit(,4)
         table=3,priority=1,actions=resubmit(,4)
         table=4,priority=1,FAMILY,actions=ct_clear,ct(table=5,zone=5)
         table=5,priority=10,in_port=1,actions=SHOW,output:2
         table=5,priority=10,in_port=2,actions=SHOW,output:1",
    );
    rounds("ct-zones", &rules, 8, 120, talk::Family::V4);
}

/// Tables that are looked up by the connection's first packet: what a translated packet was.
#[test]
fn tables_are_looked_up_by_the_first_packet_alike() {
    let rules = lines(
        "table=0,priority=10,FAMILY,actions=ct(table=1,zone=5,nat)
         table=1,priority=10,ip,ct_state=+trk+new,in_port=1,actions=ct(commit,zone=5,table=2,nat(src=10.0.0.100))
         table=1,priority=1,actions=resubmit(,2)
         table=2,priority=2,ip,ct_state=+trk+new-inv,actions=resubmit(,3,ct),resubmit(,4)
         table=2,priority=2,ip,ct_state=+trk+est-inv,actions=resubmit(,3,ct),resubmit(,4)
         table=2,priority=2,ip,ct_state=+trk+rel-inv,actions=resubmit(,3,ct),resubmit(,4)
         table=2,priority=1,actions=resubmit(,4)
         table=3,priority=10,tcp,ct_state=+trk+est-inv,nw_src=10.0.0.1,tp_dst=80,actions=set_field:1->reg0,resubmit(,5,ct)
         table=3,priority=10,tcp,ct_state=+trk+new-inv,nw_src=10.0.0.2,ct_nw_src=10.0.0.100,actions=set_field:2->reg0
         table=3,priority=9,udp,nw_dst=10.0.0.12,actions=set_field:3->reg0
         table=3,priority=9,icmp,icmp_type=8,actions=set_field:4->reg0
         table=3,priority=5,ip,actions=set_field:5->reg0
         table=5,priority=5,tcp,tp_src=1000,actions=set_field:6->reg0
         table=4,priority=10,in_port=1,actions=move:NXM_NX_REG0[]->NXM_OF_ETH_DST[0..31],output:2
         table=4,priority=10,in_port=2,actions=move:NXM_NX_REG0[]->NXM_OF_ETH_DST[0..31],output:1",
    );
    rounds("ct-tuple", &rules, 6, 120, talk::Family::V4);
}

/// A datagram of three fragments, and its answer, in every order of arrival.
fn fragments_alike(tag: &str, rules: &[String], seen_as: std::net::IpAddr) {
    let Some(mut pair) = Pair::start(tag) else { return };
    let (client, server): (std::net::IpAddr, std::net::IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 11].into());
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for (n, order) in orders.into_iter().enumerate() {
        pair.load(rules);
        let there = packets::udp(client, server, (1000, 53), 3000);
        let back = packets::udp(server, seen_as, (53, 1000), 3000);
        for (round, (port, src, dst, l4)) in
            [(1, client, server, &there), (2, server, seen_as, &back), (1, client, server, &there)].into_iter().enumerate()
        {
            let whole = packets::ip(src, dst, 17, 0, l4);
            let pieces = packets::fragments(&whole, 1200, (n * 10 + round) as u16);
            for (at, i) in order.into_iter().enumerate() {
                let (mut ours, mut theirs) = pair.send(port, &packets::frame(&pieces[i])).expect("a stock switch that lives");
                assert_eq!(ours.len(), if at == 2 { 3 } else { 0 }, "{tag} {order:?} round {round}");
                let arrived: Vec<Vec<u8>> = ours.iter().map(|o| o.bytes[18..22].to_vec()).collect();
                let sent: Vec<Vec<u8>> = order.iter().take(arrived.len()).map(|i| pieces[*i][4..8].to_vec()).collect();
                assert_eq!(arrived, sent, "the order of arrival is kept");
                ours.sort();
                theirs.sort();
                assert_eq!(ours, theirs, "{tag} {order:?} round {round} ours {}\n theirs {}", show(&ours), show(&theirs));
            }
        }
        let (ours, theirs) = pair.dumps();
        assert_eq!(ours, theirs);
    }
}

#[test]
fn fragments_in_every_order_are_tracked_alike() {
    fragments_alike("ct-frag", &firewall(), [10, 0, 0, 1].into());
}

#[test]
fn translated_fragments_are_alike() {
    fragments_alike("ct-frag-nat", &translating("src=10.0.0.100"), [10, 0, 0, 100].into());
}

/// What people set about fragments counts for both alike.
#[test]
fn limits_of_fragments_are_alike() {
    let Some(mut pair) = Pair::start("ct-frag-limits") else { return };
    let (client, server): (std::net::IpAddr, std::net::IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 11].into());
    pair.load(&firewall());
    let mut ident = 0;
    let mut fragments = |pair: &mut Pair, size: usize, pieces: usize| {
        ident += 1;
        let whole = packets::ip(client, server, 17, 0, &packets::udp(client, server, (1000, 53), size * pieces - 100));
        let mut out = Vec::new();
        for piece in packets::fragments(&whole, size, ident) {
            let (ours, theirs) = pair.send(1, &packets::frame(&piece)).expect("a stock switch that lives");
            assert_eq!(ours.len(), theirs.len(), "fragment of {size}");
            // What is whole comes in no certain order.
            out.push((ours.len(), ours.iter().map(|o| o.bytes[11]).max()));
        }
        out
    };
    let rules = |pair: &mut Pair| pair.engine.switch().worker().tracker().clone();
    let invalid = Some(0x30);
    assert_eq!(fragments(&mut pair, 800, 2), [(1, invalid), (0, None)], "too short");
    assert!(rules(&mut pair).reassembly.set_shortest(false, 500));
    pair.ovs.appctl("dpctl/ipf-set-min-frag", &["v4", "500"]).unwrap();
    assert_eq!(fragments(&mut pair, 800, 2)[0].0, 0, "long enough to wait");
    rules(&mut pair).reassembly.enable(false, false);
    pair.ovs.appctl("dpctl/ipf-set-disabled", &["v4"]).unwrap();
    let all = fragments(&mut pair, 1200, 3);
    assert!(all.iter().all(|f| *f == (1, invalid)), "no one puts them together: {all:?}");
}

/// What a connection's packets cost, without another switch beside.
mod alone {
    use super::*;
    use sluice_openflow::version::Version;

    fn established(engine: &mut Engine) -> [Input; 2] {
        let (client, server): (std::net::IpAddr, std::net::IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 11].into());
        let packet = |port, src, dst, ports| {
            let l4 = packets::udp(src, dst, ports, 20);
            Input { bridge: 0, port, bytes: packets::frame(&packets::ip(src, dst, 17, 0, &l4)) }
        };
        let both = [packet(1, client, server, (1000, 53)), packet(2, server, client, (53, 1000))];
        for input in both.iter().cycle().take(6) {
            assert_eq!(engine.packet(input, 0).unwrap().len(), 1);
        }
        both
    }

    fn plain() -> Vec<String> {
        lines(
            "table=0,priority=10,FAMILY,actions=ct(table=1,zone=5)
             table=1,priority=10,FAMILY,ct_state=+trk+new,in_port=1,actions=ct(commit,zone=5),output:2
             table=1,priority=10,ct_state=+trk+est,in_port=1,actions=output:2
             table=1,priority=10,ct_state=+trk+est,in_port=2,actions=output:1",
        )
    }

    #[test]
    fn a_packet_of_an_established_connection_costs_one_look_up() {
        let mut engine = Engine::default();
        engine.load(&world(&plain())).unwrap();
        let both = established(&mut engine);
        let before = engine.switch().worker().counters().clone();
        for i in 0..100 {
            assert_eq!(engine.packet(&both[i % 2], 5).unwrap().len(), 1);
        }
        let after = engine.switch().worker().counters();
        assert_eq!((after.hits - before.hits, after.misses - before.misses), (100, 0));
        assert!(after.conserved());
    }

    fn opening(sport: u16) -> Input {
        let (client, server): (std::net::IpAddr, std::net::IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 11].into());
        let l4 = packets::udp(client, server, (sport, 53), 20);
        Input { bridge: 0, port: 1, bytes: packets::frame(&packets::ip(client, server, 17, 0, &l4)) }
    }

    #[test]
    fn a_packet_that_opens_a_connection_as_others_did_costs_one_look_up() {
        let mut engine = Engine::default();
        engine.load(&world(&plain())).unwrap();
        assert_eq!(engine.packet(&opening(999), 0).unwrap().len(), 1, "this one is decided");
        let before = engine.switch().worker().counters().clone();
        for sport in 1000..1100 {
            assert_eq!(engine.packet(&opening(sport), 5).unwrap().len(), 1);
        }
        let after = engine.switch().worker().counters().clone();
        assert_eq!((after.misses - before.misses, after.hits - before.hits), (0, 0));
        // A few get a place in the cache at once, and take the long way.
        assert!((100..120).contains(&(after.alike - before.alike)), "{}", after.alike - before.alike);
        assert_eq!(engine.switch().worker().tracker().len(), 101);
        assert!(after.conserved());
    }

    #[test]
    fn a_packet_that_comes_again_opens_no_second_connection() {
        let mut engine = Engine::default();
        engine.load(&world(&plain())).unwrap();
        for sport in 1000..1100 {
            for _ in 0..3 {
                // The one rule sends what is new: so does a packet in the same direction before any answer.
                assert_eq!(engine.packet(&opening(sport), 5).unwrap().len(), 1);
            }
        }
        assert_eq!(engine.switch().worker().tracker().len(), 100);
        let opened = engine.switch().worker().tracker().stats.named().into_iter().find(|(n, _)| *n == "opened");
        assert_eq!(opened, Some(("opened", 100)));
    }

    #[test]
    fn a_rule_that_goes_opens_no_more_connections() {
        let mut engine = Engine::default();
        engine.load(&world(&plain())).unwrap();
        for sport in 1000..1010 {
            assert_eq!(engine.packet(&opening(sport), 5).unwrap().len(), 1);
        }
        let gone = "table=1,priority=10,ip,ct_state=+trk+new,in_port=1";
        let mut del = parse_flow_line(&format!("{gone},actions=drop"), &Names::new()).unwrap().0;
        del.command = sluice_openflow::FlowModCommand::DeleteStrict;
        engine.switch().flow_mod(0, &del, Version::V10).unwrap();
        for sport in 1010..1020 {
            assert_eq!(engine.packet(&opening(sport), 5).unwrap().len(), 0);
        }
        assert_eq!(engine.switch().worker().tracker().len(), 10);
    }

    #[test]
    fn a_rule_that_goes_takes_the_established_connections_that_it_allowed() {
        let mut engine = Engine::default();
        engine.load(&world(&plain())).unwrap();
        let both = established(&mut engine);
        let gone = "table=1,priority=10,ct_state=+trk+est,in_port=2";
        let mut del = parse_flow_line(&format!("{gone},actions=drop"), &Names::new()).unwrap().0;
        del.command = sluice_openflow::FlowModCommand::DeleteStrict;
        engine.switch().flow_mod(0, &del, Version::V10).unwrap();
        assert_eq!(engine.packet(&both[1], 5).unwrap().len(), 0, "the answer's rule is gone");
        assert_eq!(engine.packet(&both[0], 5).unwrap().len(), 1, "the other direction has its own");
    }

    #[test]
    fn a_connection_that_is_forgotten_is_not_remembered_by_a_flow() {
        let mut engine = Engine::default();
        engine.load(&world(&plain())).unwrap();
        let both = established(&mut engine);
        engine.switch().worker().tracker().flush(|_| true);
        assert_eq!(engine.packet(&both[1], 5).unwrap().len(), 0, "new, and only port 1 may open");
        assert_eq!(engine.packet(&both[0], 5).unwrap().len(), 1);
        assert_eq!(engine.packet(&both[1], 5).unwrap().len(), 1);
    }

    #[test]
    fn silence_ends_a_connection_also_for_its_flows() {
        let mut engine = Engine::default();
        engine.load(&world(&plain())).unwrap();
        let both = established(&mut engine);
        assert_eq!(engine.packet(&both[1], 29_999).unwrap().len(), 1);
        assert_eq!(engine.packet(&both[1], 29_999 + 30_000).unwrap().len(), 0);
    }
}
