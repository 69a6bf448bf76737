//! What holds for any packets, translations and limits, and for any interleaving of workers.

use std::collections::HashMap;
use std::net::IpAddr;

use proptest::prelude::*;
use sluice_conntrack::packet::Transported;
use sluice_conntrack::tcp::{flag, Segment};
use sluice_conntrack::{state, Metadata, NatKind, NatSpec, Request, Rewrite, Seen, Settings, Tracker, Tuple};

fn tracker(max: usize) -> Tracker {
    Tracker::new(Settings { max, seed: 1 })
}

fn track(t: &Tracker, a: &Request<'_>, seen: &Seen, now: u64) -> (u8, Option<Rewrite>) {
    let mut md = Metadata::default();
    let rewrite = t.track(a, Some(seen), &mut md, now);
    (md.state, rewrite)
}

fn address(v6: bool, net: u8, n: u8) -> IpAddr {
    match v6 {
        false => [10, 0, net, n].into(),
        true => [0xfd00, 0, 0, u16::from(net), 0, 0, 0, u16::from(n)].into(),
    }
}

/// One of few clients to one of few servers, so that they clash.
fn opening() -> impl Strategy<Value = Seen> {
    (any::<bool>(), 0usize..4, 1u8..6, 1u8..4, 5000u16..5010, 80u16..83).prop_map(|(v6, kind, c, s, sport, dport)| {
        let mut tuple = Tuple::between(address(v6, 0, c), address(v6, 1, s)).unwrap();
        let syn = Segment { seq: 7, flags: flag::SYN, window: 1000, ..Segment::default() };
        let (proto, ports, transported) = match kind {
            0 => (6, (sport, dport), Transported::Tcp(syn)),
            1 => (17, (sport, dport), Transported::Other),
            2 if v6 => (58, (sport, 128), Transported::Icmp(128)),
            2 => (1, (sport, 8), Transported::Icmp(8)),
            _ => (47, (0, 0), Transported::Other),
        };
        (tuple.proto, tuple.ports) = (proto, u32::from(ports.0) << 16 | u32::from(ports.1));
        Seen { tuple, related: false, transported }
    })
}

fn translation() -> impl Strategy<Value = (NatKind, u8, u8, Option<(u16, u16)>, bool)> {
    (any::<bool>(), 1u8..4, 0u8..3, proptest::option::of((6000u16..6003, 0u16..6)), any::<bool>())
        .prop_map(|(src, low, more, ports, random)| (NatKind { src, dst: !src }, low, more, ports.map(|(l, n)| (l, l + n)), random))
}

fn answer(seen: &Seen, sent: &Tuple) -> Seen {
    let transported = match seen.transported {
        Transported::Tcp(_) => Transported::Tcp(Segment { seq: 90, ack: 8, flags: flag::SYN | flag::ACK, window: 1000, ..Segment::default() }),
        Transported::Icmp(8) => Transported::Icmp(0),
        Transported::Icmp(_) => Transported::Icmp(129),
        Transported::Other => Transported::Other,
    };
    Seen { tuple: sent.reversed(), transported, ..*seen }
}

proptest! {
    /// Whatever is translated, and whatever clashes: an answer comes back to who asked, and no two connections
    /// have a tuple in common.
    #[test]
    fn every_translation_is_undone_and_no_tuple_is_owned_twice(
        talks in proptest::collection::vec((opening(), translation()), 1..120),
    ) {
        let t = tracker(1000);
        let mut owners: HashMap<Tuple, Tuple> = HashMap::new();
        for (seen, (kind, low, more, ports, random)) in &talks {
            let v6 = seen.tuple.v6;
            let spec = NatSpec {
                kind: *kind,
                addresses: Some((address(v6, 2, *low), address(v6, 2, low + more))),
                ports: *ports,
                persistent: false,
                random: *random,
            };
            let (verdict, rewrite) = track(&t, &Request { commit: true, nat: Some(&spec), ..Request::default() }, seen, 0);
            let Some(rewrite) = rewrite else { continue };
            prop_assert_eq!(verdict & state::INVALID, 0);
            // The same talk again is the same connection; another one never shares what is seen outside.
            let owner = owners.entry(rewrite.to).or_insert(seen.tuple);
            prop_assert_eq!(*owner, seen.tuple);
            let back = answer(seen, &rewrite.to);
            let (verdict, undone) = track(&t, &Request { nat: Some(&NatSpec::default()), ..Request::default() }, &back, 0);
            prop_assert_eq!(verdict & (state::REPLY | state::ESTABLISHED), state::REPLY | state::ESTABLISHED);
            prop_assert_eq!(undone.map(|r| r.to), Some(seen.tuple.reversed()));
        }
        let mut tuples = std::collections::HashSet::new();
        let mut twice = false;
        t.for_each(0, |c, _| twice |= !tuples.insert(c.orig) || !tuples.insert(c.reply));
        prop_assert!(!twice);
    }

    /// Whoever opens, and whatever limits there are: the table holds no more than it may, each refusal is counted.
    #[test]
    fn the_table_is_never_above_its_limit_and_each_refusal_is_counted(
        limit in 1usize..60, zone_limit in proptest::option::of(0u32..30),
        steps in proptest::collection::vec((0u32..4, 1u16..200, any::<bool>(), 0u64..9000), 1..400),
    ) {
        let t = tracker(100);
        prop_assert!(t.set_limit(limit));
        t.zones(|z| z.set(3, zone_limit));
        let (mut now, mut asked) = (0, 0u64);
        for (owner, port, answered, later) in steps {
            now += later / 100;
            let mut tuple = Tuple::between(address(false, 0, owner as u8), address(false, 1, 1)).unwrap();
            (tuple.proto, tuple.ports) = (17, u32::from(port) << 16 | 53);
            let seen = Seen { tuple, related: false, transported: Transported::Other };
            let known = track(&t, &Request { zone: 3, ..Request::default() }, &seen, now).0 & state::ESTABLISHED != 0;
            let before = t.stats.named();
            track(&t, &Request { zone: 3, commit: true, owner, ..Request::default() }, &seen, now);
            asked += u64::from(!known);
            if answered {
                track(&t, &Request { zone: 3, ..Request::default() }, &answer(&seen, &seen.tuple), now);
            }
            t.expire(now);
            prop_assert!(t.len() <= limit);
            let of_zone = t.zones(|z| z.limit(3)).map_or(0, |l| l.count);
            prop_assert!(zone_limit.is_none_or(|l| of_zone <= l));
            // It is there, or one counter says why not.
            let there = track(&t, &Request { zone: 3, ..Request::default() }, &answer(&seen, &seen.tuple), now).0 & state::REPLY != 0;
            let refused = |all: [(&str, u64); 10]| all.iter().filter(|(n, _)| n.starts_with("refused")).map(|(_, n)| n).sum::<u64>();
            prop_assert_eq!(there, refused(t.stats.named()) == refused(before), "owner {} port {}", owner, port);
        }
        prop_assert!(asked > 0);
    }
}

/// Both directions of each connection arrive on different workers, at their own pace and with clocks apart: every
/// packet of an established connection is valid, and nothing of it is lost.
#[test]
fn two_directions_on_two_workers_are_one_connection() {
    const CONNECTIONS: u16 = 64;
    let t = tracker(1000);
    let tuple = |port: u16| {
        let mut tuple = Tuple::between([10, 0, 0, 1].into(), [10, 0, 0, 2].into()).unwrap();
        (tuple.proto, tuple.ports) = (6, u32::from(port) << 16 | 80);
        tuple
    };
    let segment = |tuple, flags, seq, ack, len| Seen {
        tuple,
        related: false,
        transported: Transported::Tcp(Segment { seq, ack, flags, window: 60_000, len, scale: None }),
    };
    for port in 1..=CONNECTIONS {
        let (there, back) = (tuple(port), tuple(port).reversed());
        let commit = Request { commit: true, ..Request::default() };
        track(&t, &commit, &segment(there, flag::SYN, 100, 0, 0), 1000);
        track(&t, &commit, &segment(back, flag::SYN | flag::ACK, 500, 101, 0), 1000);
        track(&t, &commit, &segment(there, flag::ACK, 101, 501, 0), 1000);
    }
    std::thread::scope(|s| {
        for is_reply in [false, true] {
            let (t, segment) = (&t, &segment);
            s.spawn(move || {
                for round in 0..2000u32 {
                    // One worker's clock is behind the other's.
                    let now = 1000 + u64::from(round) - u64::from(is_reply) * 20;
                    for port in 1..=CONNECTIONS {
                        let own = if is_reply { tuple(port).reversed() } else { tuple(port) };
                        let (seq, ack) = if is_reply { (501, 101) } else { (101, 501) };
                        let seen = segment(own, flag::ACK, seq + round % 1000, ack, 1);
                        let (verdict, _) = match round % 3 {
                            0 => (t.steady(u32::from(port) - 1, &own, is_reply, &seen.transported, now).map_or(0xff, |s| s.state), None),
                            _ => track(t, &Request::default(), &seen, now),
                        };
                        let wanted = state::TRACKED | state::ESTABLISHED | if is_reply { state::REPLY } else { 0 };
                        assert!(verdict == wanted || verdict == 0xff, "{verdict:#x} in round {round}");
                    }
                }
            });
        }
    });
    let mut n = 0;
    t.for_each(3000, |c, _| {
        n += 1;
        assert_eq!(c.tcp_state().map(|s| s.name()), Some("ESTABLISHED"));
    });
    assert_eq!(n, CONNECTIONS);
}

/// While one worker reads and renews connections by their records, another ends them and opens others in their
/// place: a reader never takes one connection for another.
#[test]
fn a_record_that_another_connection_got_is_not_taken_for_the_old_one() {
    let t = tracker(64);
    const PORTS: u32 = 512;
    let seen = |n: u32| {
        let mut tuple = Tuple::between([10, 0, 0, 1].into(), [10, 0, 0, 2].into()).unwrap();
        (tuple.proto, tuple.ports) = (17, (1 + n % PORTS) << 16 | 53);
        Seen { tuple, related: false, transported: Transported::Other }
    };
    let open = |n: u32| {
        let mark = Request { commit: true, mark: Some((1 + n % PORTS, u32::MAX)), ..Request::default() };
        track(&t, &mark, &seen(n), 5);
        track(&t, &Request::default(), &answer(&seen(n), &seen(n).tuple), 5);
    };
    (0..64).for_each(open);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|s| {
        let (t, done) = (&t, &done);
        for _ in 0..2 {
            s.spawn(move || {
                let place = t.register().expect("a place");
                let mut hits = 0u64;
                let mut n = 0u32;
                while hits == 0 || !done.load(std::sync::atomic::Ordering::Relaxed) {
                    n = n.wrapping_add(1);
                    t.enter(place);
                    for id in 0..64 {
                        let packet = seen(n);
                        if let Some(found) = t.steady(id, &packet.tuple, false, &packet.transported, 6) {
                            hits += 1;
                            // What is told of it is its own: the mark is the port.
                            assert_eq!(found.mark, packet.tuple.ports >> 16);
                        }
                    }
                    t.leave(place);
                }
                assert!(hits > 0);
            });
        }
        for round in 0..3000u32 {
            t.flush(|c| c.orig.sport() as u32 % 7 == round % 7);
            (0..16).for_each(|i| open(round * 16 + i));
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}
