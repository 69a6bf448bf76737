//! What helpers promise: each announced connection once, for a while, to the one who announced it.

use sluice_conntrack::helper::{expect, Heard, May};
use sluice_conntrack::packet::Transported;
use sluice_conntrack::tcp::{flag, Segment};
use sluice_conntrack::{state, Alg, Metadata, NatKind, NatSpec, Request, Rewrite, Seen, Settings, Tracker, Tuple};

const NEW: u8 = state::NEW | state::TRACKED;
const RELATED: u8 = NEW | state::RELATED;

fn tracker() -> Tracker {
    Tracker::new(Settings { max: 100_000, seed: 1 })
}

fn segment(src: [u8; 4], dst: [u8; 4], ports: (u16, u16), flags: u16, seq: u32, ack: u32, len: u32) -> Seen {
    let mut tuple = Tuple::between(src.into(), dst.into()).unwrap();
    tuple.proto = 6;
    tuple.ports = u32::from(ports.0) << 16 | u32::from(ports.1);
    Seen { tuple, related: false, transported: Transported::Tcp(Segment { seq, ack, flags, window: 8000, len, scale: None }) }
}

fn snat() -> NatSpec {
    let to = [192, 0, 2, 1].into();
    NatSpec { kind: NatKind { src: true, dst: false }, addresses: Some((to, to)), ..NatSpec::default() }
}

fn track(t: &Tracker, a: &Request<'_>, seen: &Seen, now: u64) -> (Metadata, Option<Rewrite>) {
    let mut md = Metadata::default();
    let rewrite = t.track(a, Some(seen), &mut md, now);
    (md, rewrite)
}

const SERVER: [u8; 4] = [10, 0, 0, 9];

/// Opens a control connection and lets the client say something; what is to be done with that segment.
fn says(t: &Tracker, client: [u8; 4], nat: Option<&NatSpec>, text: &str, now: u64) -> (Metadata, Heard) {
    let open = Request { commit: true, alg: Alg::Ftp, nat, mark: Some((7, u32::MAX)), owner: u32::from(client[3]), ..Request::default() };
    let more = Request { nat, ..Request::default() };
    let (_, r) = track(t, &open, &segment(client, SERVER, (4000, 21), flag::SYN, 100, 0, 0), now);
    let mut back = segment(SERVER, client, (21, 4000), flag::SYN | flag::ACK, 500, 101, 0);
    back.tuple = r.map_or(back.tuple, |r| r.to.reversed());
    track(t, &more, &back, now);
    track(t, &more, &segment(client, SERVER, (4000, 21), flag::ACK, 101, 501, 0), now);
    let seen = segment(client, SERVER, (4000, 21), flag::ACK, 101, 501, text.len() as u32);
    let (mut md, r) = track(t, &more, &seen, now);
    let may = if r.is_some() { May::Rewrite } else { May::Read };
    let heard = t.help(md.helped.take().expect("a helper reads it"), &seen, text.as_bytes(), may, now);
    (md, heard)
}

fn data(port: u16, to: [u8; 4]) -> Seen {
    segment(SERVER, to, (20, port), flag::SYN, 1, 0, 0)
}

#[test]
fn an_announced_connection_is_related_once_and_has_its_parents_mark() {
    let t = tracker();
    says(&t, [10, 0, 0, 1], None, "PORT 10,0,0,1,8,1\r\n", 0);
    let (md, _) = track(&t, &Request::default(), &data(2049, [10, 0, 0, 1]), 1);
    assert_eq!((md.state, md.mark, md.orig.map(|o| o.dport())), (RELATED, 7, Some(21)));
    let commit = Request { commit: true, ..Request::default() };
    assert_eq!(track(&t, &commit, &data(2049, [10, 0, 0, 1]), 2).0.state, RELATED);
    let (md, _) = track(&t, &Request::default(), &data(2049, [10, 0, 0, 1]), 3);
    assert_eq!((md.state, md.mark), (RELATED, 7));
    let other = segment(SERVER, [10, 0, 0, 1], (21, 2049), flag::SYN, 1, 0, 0);
    assert_eq!(track(&t, &Request::default(), &other, 3).0.state, NEW, "it was announced once");
}

#[test]
fn what_is_announced_ends_with_its_time_and_with_its_connection() {
    let t = tracker();
    says(&t, [10, 0, 0, 1], None, "EPRT |1|10.0.0.1|2049|\r\n", 0);
    let state = |now| track(&t, &Request::default(), &data(2049, [10, 0, 0, 1]), now).0.state;
    assert_eq!(state(expect::PATIENCE_MS - 1), RELATED);
    assert_eq!(state(expect::PATIENCE_MS), NEW);
    assert_eq!(state(5), RELATED);
    t.flush(|c| c.alg == Alg::Ftp);
    assert_eq!(state(5), NEW);
}

#[test]
fn nothing_is_read_where_no_rule_asked() {
    let t = tracker();
    let commit = Request { commit: true, ..Request::default() };
    let (md, _) = track(&t, &commit, &segment([10, 0, 0, 1], SERVER, (4000, 21), flag::SYN, 100, 0, 0), 0);
    assert_eq!(md.helped, None);
    let udp = Seen { transported: Transported::Other, ..segment([10, 0, 0, 1], SERVER, (4000, 21), 0, 0, 0, 0) };
    let mut udp = udp;
    udp.tuple.proto = 17;
    let (md, _) = track(&t, &Request { alg: Alg::Ftp, ..commit }, &udp, 0);
    assert_eq!(md.helped, None, "FTP is TCP");
}

#[test]
fn a_strangers_address_is_invalid_and_expects_nothing() {
    let t = tracker();
    let (_, heard) = says(&t, [10, 0, 0, 1], None, "PORT 10,0,0,2,8,1\r\n", 0);
    assert!(heard.invalid);
    assert_eq!(track(&t, &Request::default(), &data(2049, [10, 0, 0, 2]), 1).0.state, NEW);
}

#[test]
fn two_clients_behind_one_address_announce_the_same_port_and_both_are_reached() {
    let (t, nat) = (tracker(), snat());
    let mut seen = std::collections::HashSet::new();
    for n in 1..=8 {
        let client = [10, 0, 0, n];
        // Each client is another source port at the server.
        let (_, heard) = says(&t, client, Some(&nat), &format!("PORT 10,0,0,{n},8,1\r\n"), 0);
        let (_, text) = heard.replace.expect("the text is changed");
        let parts: Vec<u16> = text.split(',').map(|p| p.parse().unwrap()).collect();
        assert_eq!(parts[..4], [192, 0, 2, 1]);
        let port = parts[4] << 8 | parts[5];
        assert!(seen.insert(port), "a port of its own: {port}, client {n}");
        let a = Request { commit: true, nat: Some(&NatSpec::default()), ..Request::default() };
        let (md, rewrite) = track(&t, &a, &data(port, [192, 0, 2, 1]), 1);
        assert_eq!(md.state, RELATED | state::DNAT);
        let to = rewrite.expect("translated").to;
        assert_eq!((to.dst(), to.dport()), (client.into(), 2049));
    }
}

#[test]
fn a_changed_segment_that_is_sent_again_is_changed_alike() {
    let (t, nat) = (tracker(), snat());
    let text = "EPRT |1|10.0.0.1|2049|\r\n";
    let (_, first) = says(&t, [10, 0, 0, 1], Some(&nat), text, 0);
    let more = Request { nat: Some(&nat), ..Request::default() };
    let longer = "192.0.2.1".len() as u32 - "10.0.0.1".len() as u32;
    let say = |seq, text: &str| {
        let seen = segment([10, 0, 0, 1], SERVER, (4000, 21), flag::ACK, seq, 501, text.len() as u32);
        let (mut md, _) = track(&t, &more, &seen, 1);
        t.help(md.helped.take().unwrap(), &seen, text.as_bytes(), May::Rewrite, 1)
    };
    let again = say(101, text);
    assert_eq!((again.seq, again.replace), (0, first.replace));
    let next = say(101 + text.len() as u32, "NOOP\r\n");
    assert_eq!((next.seq, next.replace), (longer, None));
    let answer = segment(SERVER, [192, 0, 2, 1], (21, 4000), flag::ACK, 501, 101 + text.len() as u32 + longer, 0);
    let (mut md, _) = track(&t, &more, &answer, 2);
    let heard = t.help(md.helped.take().unwrap(), &answer, b"", May::Rewrite, 2);
    assert_eq!(heard.acked.undo(101 + text.len() as u32 + longer), 101 + text.len() as u32);
    assert_eq!(md.state & state::INVALID, 0, "and is in the window");
}

#[test]
fn helpers_memory_is_given_back() {
    let (t, nat) = (tracker(), snat());
    for n in 1..=200 {
        says(&t, [10, 0, 1, n], Some(&nat), &format!("PORT 10,0,1,{n},8,1\r\n"), 0);
    }
    assert!(t.helped() > 0);
    t.flush(|_| true);
    assert_eq!((t.len(), t.helped()), (0, 0));
}
