//! FTP and TFTP: what a helper expects and how it rewrites, beside a stock Open vSwitch.
//!
//! Both ends keep numbers and addresses as they see them, so a translation that does not fit would show.

use std::net::IpAddr;

use sluice_naive::generate::random::Random;
use sluice_naive::Output;

use super::packets::{self, Tcp};
use super::{lines, Pair};

const ACK: u8 = 16;
const PSH: u8 = 8;
const SYN: u8 = 2;

/// One end of a TCP connection.
#[derive(Clone, Debug)]
struct End {
    port: u32,
    own: (IpAddr, u16),
    peer: (IpAddr, u16),
    next: u32,
    ack: u32,
}

/// A segment as it arrived: from whom, to whom, its text.
struct Arrived {
    from: (IpAddr, u16),
    to: (IpAddr, u16),
    text: String,
}

fn arrived(frame: &[u8]) -> (Arrived, u32, u32) {
    let p = &frame[14..];
    let v6 = p[0] >> 4 == 6;
    let ip = |at: usize| -> IpAddr {
        match v6 {
            false => <[u8; 4]>::try_from(&p[at..at + 4]).unwrap().into(),
            true => <[u8; 16]>::try_from(&p[at..at + 16]).unwrap().into(),
        }
    };
    let (src, dst, l4) = if v6 { (ip(8), ip(24), 40) } else { (ip(12), ip(16), 20) };
    let end = if v6 { 40 + usize::from(p[5]) + 256 * usize::from(p[4]) } else { usize::from(p[3]) + 256 * usize::from(p[2]) };
    let u16_at = |at: usize| u16::from_be_bytes([p[l4 + at], p[l4 + at + 1]]);
    let u32_at = |at: usize| u32::from_be_bytes(p[l4 + at..l4 + at + 4].try_into().unwrap());
    let text = match p[if v6 { 6 } else { 9 }] {
        6 => String::from_utf8_lossy(&p[l4 + usize::from(p[l4 + 12] >> 4) * 4..end]).into_owned(),
        _ => String::new(),
    };
    (Arrived { from: (src, u16_at(0)), to: (dst, u16_at(2)), text }, u32_at(4), u32_at(8))
}

impl End {
    fn new(port: u32, own: (IpAddr, u16), peer: (IpAddr, u16), next: u32) -> End {
        End { port, own, peer, next, ack: 0 }
    }

    fn frame(&mut self, flags: u8, text: &str) -> Vec<u8> {
        let (src, dst) = (self.own.0, self.peer.0);
        let t = Tcp { ports: (self.own.1, self.peer.1), seq: self.next, ack: self.ack, flags, window: 8000, scale: None, payload: 0 };
        self.next = self.next.wrapping_add(text.len() as u32 + u32::from(flags & SYN != 0));
        packets::frame(&packets::ip(src, dst, 6, 0x4000, &packets::tcp_text(src, dst, &t, text.as_bytes())))
    }
}

/// A switch and its peer, asked alike.
struct Both<'a> {
    pair: &'a mut Pair,
    story: Vec<String>,
}

impl Both<'_> {
    fn send(&mut self, port: u32, frame: &[u8], what: &str) -> Option<Output> {
        self.story.push(format!("port {port}: {what}"));
        let (ours, theirs) = self.pair.send(port, frame).expect("a stock switch that lives");
        let show = sluice_naive::compare::show;
        assert_eq!(ours, theirs, "ours {}\n theirs {}\n{}", show(&ours), show(&theirs), self.story.join("\n"));
        ours.into_iter().next()
    }

    /// Sends text from `a` to `b`; `b` takes note of it.
    fn say(&mut self, a: &mut End, b: &mut End, flags: u8, text: &str) -> Arrived {
        let (frame, sent) = (a.frame(flags, text), a.next);
        let out = self.send(a.port, &frame, &format!("{text:?} seq {sent} ack {}", a.ack)).expect("it arrives");
        let (got, seq, ack) = arrived(&out.bytes);
        (b.own, b.peer) = (got.to, got.from);
        b.ack = seq.wrapping_add(got.text.len() as u32 + u32::from(flags & SYN != 0));
        assert!(flags & ACK == 0 || ack == b.next, "acknowledges what was sent: {ack} {}\n{}", b.next, self.story.join("\n"));
        got
    }

    fn open(&mut self, a: &mut End, b: &mut End) {
        self.say(a, b, SYN, "");
        self.say(b, a, SYN | ACK, "");
        self.say(a, b, ACK, "");
    }
}

/// FTP and TFTP from port 1 are helped; `nat` is asked of each `ct`, `kind` of the one that opens.
fn rules(nat: &str, kind: &str, v6: bool) -> Vec<String> {
    let text = "table=0,priority=10,FAMILY,actions=ct(table=1,zone=5NAT)
         table=1,priority=20,TCP,ct_state=+trk+new-rel,in_port=1,tp_dst=21,actions=ct(commit,zone=5,alg=ftp,table=2KIND,exec(set_field:0x7->ct_mark))
         table=1,priority=20,UDP,ct_state=+trk+new-rel,in_port=1,tp_dst=69,actions=ct(commit,zone=5,alg=tftp,table=2KIND,exec(set_field:0x9->ct_mark))
         table=1,priority=20,FAMILY,ct_state=+trk+new+rel,actions=ct(commit,zone=5,table=2NAT)
         table=1,priority=1,actions=resubmit(,2)
         table=2,priority=10,in_port=1,actions=SHOW,output:2
         table=2,priority=10,in_port=2,actions=SHOW,output:1";
    let (ip, tcp, udp) = if v6 { ("ipv6", "tcp6", "udp6") } else { ("ip", "tcp", "udp") };
    let named = [("FAMILY", ip), ("TCP", tcp), ("UDP", udp), ("NAT", nat), ("KIND", kind)];
    lines(&named.iter().fold(text.to_string(), |t, (name, value)| t.replace(name, value)))
}

fn announce(form: &str, a: IpAddr, port: u16) -> String {
    let commas = |a: IpAddr| format!("{},{},{}", a.to_string().replace('.', ","), port >> 8, port & 255);
    match form {
        "PORT" => format!("PORT {}\r\n", commas(a)),
        "227" => format!("227 Entering Passive Mode ({}).\r\n", commas(a)),
        "EPRT" => format!("EPRT |2|{a}|{port}|\r\n"),
        _ => format!("229 Entering Extended Passive Mode (|||{port}|)\r\n"),
    }
}

/// Where the other side is told to connect to.
fn told(got: &Arrived) -> (IpAddr, u16) {
    let digits = |c: char| !c.is_ascii_digit();
    match &got.text {
        t if t.starts_with("EPRT") => {
            let mut parts = t.split('|').skip(2);
            (parts.next().unwrap().parse().unwrap(), parts.next().unwrap().parse().unwrap())
        }
        t if t.starts_with("229") => (got.from.0, t[30..].trim_matches(digits).parse().unwrap()),
        t => {
            let list = t.trim_start_matches("227").trim_matches(digits);
            let n: Vec<u8> = list.split(',').map(|p| p.parse().unwrap()).collect();
            ([n[0], n[1], n[2], n[3]].into(), u16::from(n[4]) << 8 | u16::from(n[5]))
        }
    }
}

/// A session of a client behind port 1 with a server behind port 2 that is reached by `dialled`.
fn session(both: &mut Both<'_>, r: &mut Random, client: IpAddr, dialled: IpAddr, server: IpAddr, stranger: IpAddr) {
    let sport = 2000 + r.below(50_000) as u16;
    let mut c = End::new(1, (client, sport), (dialled, 21), r.below(1 << 32) as u32);
    let mut s = End::new(2, (server, 21), (client, sport), 0xffff_ffe0);
    both.open(&mut c, &mut s);
    let forms = if client.is_ipv6() { ["EPRT", "229"] } else { ["PORT", "227"] };
    for round in 0..4u16 {
        both.say(&mut c, &mut s, ACK | PSH, "SYST\r\n");
        both.say(&mut s, &mut c, ACK | PSH, "215 UNIX\r\n");
        let passive = r.below(2) == 1;
        let port = 1025 + round * 7919 + r.below(2000) as u16;
        let (teller, hearer) = if passive { (&mut s, &mut c) } else { (&mut c, &mut s) };
        let got = both.say(teller, hearer, ACK | PSH, &announce(forms[usize::from(passive)], teller.own.0, port));
        let (a, p) = told(&got);
        let from = if passive { 3000 + round } else { 20 };
        let mut data = End::new(hearer.port, (hearer.own.0, from), (a, p), 1);
        let mut other = End::new(teller.port, (teller.own.0, port), (hearer.own.0, from), 77);
        both.open(&mut data, &mut other);
        assert_eq!(other.own, (teller.own.0, port), "it comes to who said so\n{}", both.story.join("\n"));
        both.say(&mut data, &mut other, ACK | PSH, "what it is all about");
        // Answered in the control connection, whose numbers were moved.
        both.say(&mut c, &mut s, ACK, "");
        both.say(&mut s, &mut c, ACK | PSH, "226 done\r\n");
        both.say(&mut c, &mut s, ACK, "");
    }
    // No one is sent to a stranger, and half a command is none.
    let bad = ["PORT 10,0\r\n".to_string(), announce(forms[0], stranger, 5555)];
    let text = if client.is_ipv6() { &bad[1] } else { &bad[r.below(2) as usize] };
    let frame = c.frame(ACK | PSH, text);
    both.send(1, &frame, text);
    let mut data = End::new(2, (s.own.0, 20), (s.peer.0, 5555), 1);
    let frame = data.frame(SYN, "");
    both.send(2, &frame, "uninvited");
}

fn tftp(both: &mut Both<'_>, client: IpAddr, dialled: IpAddr, server: IpAddr) {
    let udp = |src, dst, ports| packets::frame(&packets::ip(src, dst, 17, 0, &packets::udp(src, dst, ports, 20)));
    let out = both.send(1, &udp(client, dialled, (1069, 69)), "tftp read").expect("it arrives");
    let (got, ..) = arrived(&out.bytes);
    let out = both.send(2, &udp(server, got.from.0, (4444, got.from.1)), "tftp data").expect("it arrives");
    let (data, ..) = arrived(&out.bytes);
    assert_eq!(data.to, (client, 1069));
    both.send(1, &udp(client, data.from.0, (1069, data.from.1)), "tftp ack").expect("it arrives");
}

fn sessions(tag: &str, nat: &str, kind: &str, v6: bool) {
    let Some(mut pair) = Pair::start(tag) else { return };
    let a = |n: u8| -> IpAddr { if v6 { [0xfc00, 0, 0, 0, 0, 0, 0, u16::from(n)].into() } else { [10, 0, 0, n].into() } };
    let (client, server, stranger) = (a(1), a(11), a(66));
    let dialled = if kind.contains("dst") { a(200) } else { server };
    for seed in 1..=super::number("SLUICE_ROUNDS", 2) {
        pair.load(&rules(nat, kind, v6));
        let mut both = Both { pair: &mut pair, story: vec![format!("{tag} seed {seed}")] };
        session(&mut both, &mut Random::new(seed), client, dialled, server, stranger);
        tftp(&mut both, client, dialled, server);
        let (ours, theirs) = pair.dumps();
        assert_eq!(ours, theirs, "{tag} seed {seed}");
    }
}

#[test]
fn ftp_and_tftp_are_helped_alike() {
    sessions("ct-alg", "", "", false);
    sessions("ct-alg6", "", "", true);
}

#[test]
fn translated_ftp_and_tftp_are_helped_alike() {
    sessions("ct-alg-snat", ",nat", ",nat(src=10.100.200.240)", false);
    sessions("ct-alg-dnat", ",nat", ",nat(dst=10.0.0.11)", false);
    sessions("ct-alg-snat6", ",nat", ",nat(src=fc00:1:2:3::1234)", true);
    sessions("ct-alg-dnat6", ",nat", ",nat(dst=fc00::b)", true);
}
