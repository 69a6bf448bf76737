//! What the table promises, whatever traffic comes.

use std::collections::HashSet;

use sluice_conntrack::packet::Transported;
use sluice_conntrack::tcp::{flag, Segment};
use sluice_conntrack::{state, Birth, Metadata, NatKind, NatSpec, Request, Rewrite, Seen, Settings, Tracker, Tuple};

/// A small generator of its own: the same numbers in every run.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

fn tracker(max: usize) -> Tracker {
    Tracker::new(Settings { max, seed: 1 })
}

fn udp(src: u8, dst: u8, sport: u16, dport: u16) -> Seen {
    let mut tuple = Tuple::between([10, 0, 0, src].into(), [10, 0, 0, dst].into()).unwrap();
    tuple.proto = 17;
    tuple.ports = u32::from(sport) << 16 | u32::from(dport);
    Seen { tuple, related: false, transported: Transported::Other }
}

fn tcp(mut seen: Seen, flags: u16, seq: u32, ack: u32) -> Seen {
    seen.tuple.proto = 6;
    let segment = Segment { seq, ack, flags, window: 1000, len: 0, scale: None };
    Seen { transported: Transported::Tcp(segment), ..seen }
}

fn answer(seen: &Seen, rewrite: Option<Rewrite>) -> Seen {
    let sent = rewrite.map_or(seen.tuple, |r| r.to);
    Seen { tuple: sent.reversed(), ..*seen }
}

fn commit() -> Request<'static> {
    Request { commit: true, ..Request::default() }
}

fn track(t: &Tracker, a: &Request<'_>, seen: &Seen, now: u64) -> (u8, Option<Rewrite>) {
    let mut md = Metadata::default();
    let rewrite = t.track(a, Some(seen), &mut md, now);
    (md.state, rewrite)
}

/// Every tuple of every connection, once.
fn assert_unique(t: &Tracker, now: u64) -> usize {
    let (mut seen, mut n) = (HashSet::new(), 0);
    t.for_each(now, |c, _| {
        n += 1;
        assert!(seen.insert(c.orig), "{:?} twice", c.orig);
        assert!(seen.insert(c.reply) || c.reply == c.orig, "{:?} twice", c.reply);
    });
    n
}

#[test]
fn no_tuple_is_owned_twice_and_the_table_is_never_above_its_limit() {
    let (t, mut r) = (tracker(300), Random(7));
    let nat = NatSpec {
        kind: NatKind { src: true, dst: false },
        addresses: Some(([10, 0, 0, 3].into(), [10, 0, 0, 4].into())),
        ports: Some((5000, 5040)),
        ..NatSpec::default()
    };
    let mut now = 0;
    for i in 0..60_000u32 {
        now += r.next(40);
        let seen = udp(r.next(4) as u8, r.next(4) as u8, 5000 + r.next(50) as u16, 5000 + r.next(6) as u16);
        let a = Request { nat: (r.next(3) == 0).then_some(&nat), owner: r.next(3) as u32, ..commit() };
        let (_, rewrite) = track(&t, &a, &seen, now);
        if r.next(2) == 0 {
            track(&t, &Request { nat: a.nat, ..Request::default() }, &answer(&seen, rewrite), now);
        }
        t.expire(now);
        assert!(t.len() <= 300);
        if i % 500 == 0 {
            assert_unique(&t, now);
        }
    }
    t.flush(|_| true);
    assert!(t.is_empty());
}

#[test]
fn an_answer_to_a_translated_packet_comes_back_to_who_asked() {
    let t = tracker(10_000);
    let nat = NatSpec {
        kind: NatKind { src: true, dst: false },
        addresses: Some(([192, 0, 2, 1].into(), [192, 0, 2, 2].into())),
        ..NatSpec::default()
    };
    for port in 1..2000 {
        let seen = udp(1, 2, port, 53);
        let (state, rewrite) = track(&t, &Request { nat: Some(&nat), ..commit() }, &seen, 0);
        assert_eq!(state, state::NEW | state::TRACKED | state::SNAT);
        let reply = answer(&seen, rewrite);
        assert_ne!(reply.tuple, seen.tuple.reversed());
        let (state, back) = track(&t, &Request { nat: Some(&nat), ..Request::default() }, &reply, 1);
        assert_eq!(state, state::ESTABLISHED | state::REPLY | state::TRACKED | state::DNAT);
        assert_eq!(back.map(|b| b.to), Some(seen.tuple.reversed()));
    }
}

#[test]
fn expiry_is_exact_to_the_millisecond_for_packets_and_to_a_tick_for_memory() {
    for start in [0u64, 5, 4_294_967_000] {
        let t = tracker(1000);
        let seen = udp(1, 2, 3, 4);
        track(&t, &commit(), &seen, start);
        let renewed = start + 1000;
        assert_eq!(track(&t, &Request::default(), &seen, renewed).0, state::NEW | state::TRACKED);
        let reply = answer(&seen, None);
        assert_ne!(track(&t, &Request::default(), &reply, renewed).0 & state::REPLY, 0);
        // Answered: thirty seconds of silence from here.
        t.expire(renewed + 29_999);
        assert_eq!(assert_unique(&t, renewed + 29_999), 1);
        assert_eq!(assert_unique(&t, renewed + 30_000), 0);
        let now = renewed + 30_000;
        assert_eq!(track(&t, &Request::default(), &reply, now).0, state::NEW | state::TRACKED);
        t.expire(now + 128);
        assert_eq!(t.len(), 0);
    }
}

#[test]
fn a_worker_whose_clock_is_behind_still_finds_the_connection() {
    let t = tracker(1000);
    let seen = udp(1, 2, 3, 4);
    for start in [50_000u64, 4_294_967_296 + 20] {
        track(&t, &commit(), &seen, start);
        assert_ne!(track(&t, &Request::default(), &answer(&seen, None), start - 30).0 & state::REPLY, 0);
        assert_ne!(track(&t, &Request::default(), &seen, start + 1).0 & state::ESTABLISHED, 0);
        assert_eq!(assert_unique(&t, start - 30), 1);
        t.flush(|_| true);
    }
}

/// Memory of this process that is in use, bytes.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").ok().and_then(|s| s.split(' ').nth(1)?.parse::<usize>().ok());
    pages.map_or(0, |n| n * 4096)
}

/// One connection is opened; some are translated, some answered. Each has a tuple that has not come for long.
fn birth(t: &Tracker, i: u64, nat: &NatSpec, now: u64) {
    let seen = udp((i % 251) as u8, (i % 17) as u8, (i % 65_521) as u16, (i / 65_521 % 65_000) as u16);
    let nat = (i % 5 == 0).then_some(nat);
    let (_, rewrite) = track(t, &Request { nat, owner: (i % 3) as u32, ..commit() }, &seen, now);
    if i % 3 == 0 {
        track(t, &Request { nat, ..Request::default() }, &answer(&seen, rewrite), now);
    }
}

/// As many as `make soak-conntrack` asks for; a million else.
#[test]
fn memory_is_flat_over_births_and_deaths() {
    let asked: Option<u64> = std::env::var("SLUICE_BIRTHS").ok().and_then(|n| n.parse().ok());
    let rounds = asked.unwrap_or(1_000_000);
    let t = tracker(50_000);
    let nat = NatSpec {
        kind: NatKind { src: true, dst: false },
        addresses: Some(([192, 0, 2, 1].into(), [192, 0, 2, 200].into())),
        ..NatSpec::default()
    };
    // Before half of the time and after it: the table's own bytes, and the whole process's.
    let (mut now, mut most) = (0, [(0, 0); 2]);
    for i in 0..rounds {
        birth(&t, i, &nat, now);
        if i % 10 == 0 {
            now += 13;
            t.expire(now);
        }
        if i % 65_536 == 0 {
            let (table, process) = &mut most[usize::from(i >= rounds / 2)];
            (*table, *process) = ((*table).max(t.bytes()), (*process).max(resident()));
        }
    }
    for _ in 0..1000 {
        now += 128;
        t.expire(now);
    }
    let named: std::collections::HashMap<_, _> = t.stats.named().into_iter().collect();
    assert_eq!((t.len(), named["opened"]), (0, named["expired"]));
    assert!(named["opened"] > rounds / 100 * 99, "{named:?}");
    let [(settled, resident), (table, process)] = most;
    assert!(table <= settled, "{table} bytes after {settled}");
    // Other tests of this process have memory as well, unless this one runs alone.
    if asked.is_some() {
        assert!(process <= resident + resident / 50, "{process} resident after {resident}");
        println!("{} born and gone; the table had at most {settled} bytes in the first half, {table} in the second; the process {resident}, {process}", named["opened"]);
    }
}

#[test]
fn the_short_way_says_what_the_long_way_says() {
    let (long, short) = (tracker(1000), tracker(1000));
    let mut r = Random(5);
    let base = udp(1, 2, 1000, 80);
    let (mut taken, mut now) = (0, 0);
    let (mut seq, mut ack) = (101u32, 501u32);
    let open = [(false, flag::SYN, 100, 0), (true, flag::SYN | flag::ACK, 500, 101), (false, flag::ACK, 101, 501)];
    for (is_reply, flags, seq, ack) in open {
        let s = tcp(if is_reply { answer(&base, None) } else { base }, flags, seq, ack);
        assert_eq!(track(&long, &commit(), &s, 0), track(&short, &commit(), &s, 0));
    }
    for _ in 0..20_000 {
        now += r.next(100);
        let is_reply = r.next(2) == 0;
        let mut s = tcp(if is_reply { answer(&base, None) } else { base }, flag::ACK, 0, 0);
        let len = r.next(300) as u32;
        let jump = if r.next(50) == 0 { 1 << r.next(31) } else { 0 };
        if let Transported::Tcp(seg) = &mut s.transported {
            seg.len = len;
            (seg.seq, seg.ack) = if is_reply { (ack, seq) } else { (seq, ack) };
            seg.seq = seg.seq.wrapping_add(jump);
        }
        if jump == 0 {
            if is_reply { ack = ack.wrapping_add(len) } else { seq = seq.wrapping_add(len) }
        }
        let wanted = track(&long, &Request::default(), &s, now).0;
        let got = match short.steady(0, &s.tuple, is_reply, &s.transported, now) {
            Some(st) => {
                taken += 1;
                st.state
            }
            None => track(&short, &Request::default(), &s, now).0,
        };
        assert_eq!(got, wanted);
    }
    assert!(taken > 15_000, "{taken}");
    let show = |t: &Tracker| {
        let mut out = Vec::new();
        t.for_each(now, |c, left| out.push((c.clone(), left)));
        out
    };
    assert_eq!(show(&long), show(&short));
}

#[test]
fn an_owner_that_floods_cannot_take_anothers_share() {
    let t = tracker(1000);
    for port in 1..=10_000 {
        track(&t, &Request { owner: 66, ..commit() }, &udp(66, 1, port, 9), 0);
    }
    assert!(t.of_owner(66).0 <= 1000);
    for port in 1..=500 {
        let seen = udp(7, 1, port, 9);
        let (s, _) = track(&t, &Request { owner: 7, ..commit() }, &seen, 1);
        assert_eq!(s, state::NEW | state::TRACKED);
        assert_eq!(track(&t, &Request::default(), &answer(&seen, None), 1).0 & state::ESTABLISHED, state::ESTABLISHED, "{port}");
        track(&t, &Request { owner: 66, ..commit() }, &udp(66, 2, port, 9), 1);
    }
    assert_eq!(t.of_owner(7), (500, 0));
    assert!(t.len() <= 1000);
}

#[test]
fn established_connections_are_not_evicted() {
    let t = tracker(100);
    for port in 1..=100 {
        let seen = udp(1, 2, port, 9);
        track(&t, &Request { owner: 1, ..commit() }, &seen, 0);
        track(&t, &Request::default(), &answer(&seen, None), 0);
    }
    let before = t.of_owner(1);
    for port in 1..=1000 {
        track(&t, &Request { owner: 2, ..commit() }, &udp(3, 4, port, 9), 0);
    }
    assert_eq!((t.of_owner(1), t.len()), (before, 100));
    assert!(t.stats.refused_full.load(std::sync::atomic::Ordering::Relaxed) >= 1000 - 100 + before.0 as u64);
}

#[test]
fn a_zone_has_no_more_connections_than_its_limit() {
    let t = tracker(1000);
    t.zones(|z| z.set(5, Some(3)));
    for port in 1..=10 {
        track(&t, &Request { zone: 5, ..commit() }, &udp(1, 2, port, 9), 0);
        track(&t, &Request { zone: 6, ..commit() }, &udp(1, 2, port, 9), 0);
    }
    assert_eq!(t.len(), 13);
    t.flush(|c| c.orig.zone == 5);
    assert_eq!((t.len(), t.zones(|z| z.limit(5).map(|l| l.count))), (10, Some(0)));
}

#[test]
fn a_million_connections_take_less_than_400_bytes_each() {
    let t = tracker(1_000_000);
    for i in 0..1_000_000u32 {
        let mut seen = udp(0, 0, 0, 0);
        seen.tuple.addresses[0] = u64::from(i) << 32 | 0x0a00_0001;
        seen.tuple.ports = 0x1000_0050;
        track(&t, &commit(), &seen, 0);
    }
    assert_eq!(t.len(), 1_000_000);
    assert!(t.bytes() < 400 * 1_000_000, "{} bytes each", t.bytes() / 1_000_000);
    println!("{} bytes per connection", t.bytes() / 1_000_000);
}

#[test]
fn workers_that_race_for_the_same_tuples_leave_a_sane_table() {
    let t = tracker(400);
    std::thread::scope(|s| {
        for worker in 0..4u64 {
            let t = &t;
            s.spawn(move || {
                let mut r = Random(worker);
                let nat = NatSpec {
                    kind: NatKind { src: true, dst: false },
                    addresses: Some(([10, 0, 0, 3].into(), [10, 0, 0, 3].into())),
                    ..NatSpec::default()
                };
                for now in 0..30_000 {
                    let seen = udp(r.next(4) as u8, r.next(4) as u8, 1 + r.next(9) as u16, 1 + r.next(9) as u16);
                    let a = Request { nat: (r.next(2) == 0).then_some(&nat), owner: worker as u32, ..commit() };
                    let (_, rewrite) = track(t, &a, &seen, now);
                    track(t, &Request { nat: a.nat, ..Request::default() }, &answer(&seen, rewrite), now);
                    if r.next(100) == 0 {
                        t.flush(|c| c.orig.sport() == 3);
                    }
                    t.expire(now);
                }
            });
        }
    });
    let n = assert_unique(&t, 30_000);
    assert!(n <= t.len() && t.len() <= 404, "{n} {}", t.len());
    t.flush(|_| true);
    assert_eq!(t.len(), 0);
}

/// Packets of a few ends, many of which have a connection already, and some of which open none.
fn any_packet(r: &mut Random) -> Seen {
    let seen = udp(r.next(6) as u8, r.next(6) as u8, 5000 + r.next(8) as u16, 6000 + r.next(8) as u16);
    match r.next(4) {
        0 => tcp(seen, flag::SYN, 100, 0),
        1 => tcp(seen, flag::ACK | flag::RST, 100, 7),
        _ => seen,
    }
}

/// Opens connections of a run together; what opened none comes alone.
fn open_run(t: &Tracker, a: &Request<'_>, packets: &[Seen], now: u64) {
    let mut run: Vec<Birth> = packets.iter().map(|seen| Birth::of(Some(*seen))).collect();
    t.open_run(a, &mut run, now);
    packets.iter().zip(&run).filter(|(_, b)| !b.is_done()).for_each(|(seen, _)| open_alone(t, a, seen, now));
}

fn open_alone(t: &Tracker, a: &Request<'_>, seen: &Seen, now: u64) {
    let mut md = Metadata::default();
    t.track(&Request { zone: a.zone, ..Request::default() }, Some(seen), &mut md, now);
    if md.state == state::NEW | state::TRACKED {
        t.track(a, Some(seen), &mut md, now);
    }
}

#[test]
fn connections_that_are_opened_together_are_those_that_are_opened_one_by_one() {
    let (together, alone, mut r, mut now) = (tracker(100_000), tracker(100_000), Random(3), 0);
    for t in [&together, &alone] {
        t.zones(|z| z.set(2, Some(10_000)));
    }
    let all = |t: &Tracker, now| {
        let mut all = Vec::new();
        t.for_each(now, |c, left| all.push((c.orig, c.reply, c.mark, c.class, c.owner, c.counted, left)));
        all.sort_by_key(|c| (c.0.zone, c.0.proto, c.0.addresses, c.0.ports));
        all
    };
    for _ in 0..2000 {
        now += r.next(9000);
        let a = Request { zone: r.next(3) as u16, owner: r.next(3) as u32, mark: Some((5, 7)), ..commit() };
        let run: Vec<Seen> = (0..=r.next(40)).map(|_| any_packet(&mut r)).collect();
        open_run(&together, &a, &run, now);
        run.iter().for_each(|seen| open_alone(&alone, &a, seen, now));
        let (one, other) = (all(&together, now), all(&alone, now));
        assert_eq!(one.iter().zip(&other).find(|(a, b)| a != b), None);
        assert_eq!(one.len(), other.len());
        assert_eq!((together.of_owner(a.owner), together.len()), (alone.of_owner(a.owner), alone.len()));
        together.expire(now);
        alone.expire(now);
    }
    let said = together.stats.named();
    assert_eq!(said, alone.stats.named());
    assert!(said.iter().all(|(name, n)| *n != 0 || !["opened", "expired", "reopened"].contains(name)), "{said:?}");
}

#[test]
fn records_that_a_run_took_in_vain_are_there_for_others() {
    let (t, mut r) = (tracker(200), Random(11));
    t.zones(|z| z.set(1, Some(40)));
    for now in 0..3000 {
        let a = Request { owner: r.next(2) as u32, zone: r.next(2) as u16, ..commit() };
        let run: Vec<Seen> = (0..=r.next(60)).map(|_| any_packet(&mut r)).collect();
        open_run(&t, &a, &run, now);
        assert!(t.len() <= 200 && assert_unique(&t, now) <= t.len());
    }
    t.flush(|_| true);
    assert_eq!((t.len(), t.of_owner(0), t.of_owner(1)), (0, (0, 0), (0, 0)));
    assert!(t.stats.named().iter().all(|(name, n)| *n > 100 || !["opened", "evicted", "refused_zone"].contains(name)));
    let run: Vec<Seen> = (0..150).map(|port| udp(1, 2, 1000 + port, 53)).collect();
    open_run(&t, &commit(), &run, 4000);
    assert_eq!((t.len(), assert_unique(&t, 4000)), (150, 150));
}
