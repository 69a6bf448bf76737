//! Random packets, matches and actions over few values, so that they meet often.

use std::sync::Arc;

use sluice_flow::action::{Action, Learn, LearnSpec, LengthCheck, Need, Punt, Source, Target};
use sluice_flow::key::{slot, Slot};
use sluice_flow::spread::{Algorithm, Bundle, Headers, Multipath};
use sluice_flow::Key;

/// Any sequence of numbers does, as long as a seed gives the same one again.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize].clone()
    }
}

const VXLAN_PORT: u16 = 4789;

fn mac(n: u64) -> [u8; 6] {
    [2, 0, 0, 0, 0, n as u8]
}

/// An Ethernet frame of one of the kinds that the key knows apart.
pub fn frame(r: &mut Random) -> Vec<u8> {
    let mut f = Vec::new();
    f.extend(if r.one_in(12) { [0xff; 6] } else { mac(r.below(4)) });
    f.extend(mac(r.below(4)));
    for _ in 0..r.pick(&[0, 0, 0, 1, 1, 2]) {
        f.extend(r.pick(&[0x8100u16, 0x8100, 0x88a8]).to_be_bytes());
        f.extend((r.below(2) << 13 | r.below(4)).to_be_bytes()[6..].iter());
    }
    match r.below(8) {
        0 => arp(r, &mut f),
        1 | 2 => ipv6(r, &mut f),
        3 if r.one_in(3) => f.extend([0x88, 0xcc, 1, 2, 3, 4]),
        4 if r.one_in(3) => f.extend([0x88, 0x47, 0, 0x10, 0x01, 64, 0x45, 0, 0, 0]),
        5 => vxlan(r, &mut f),
        _ => ipv4(r, &mut f),
    }
    f
}

fn arp(r: &mut Random, f: &mut Vec<u8>) {
    f.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1 + r.below(2) as u8]);
    for _ in 0..2 {
        f.extend(mac(r.below(4)));
        f.extend([10, 0, 0, r.below(4) as u8]);
    }
}

fn transport(r: &mut Random) -> (u8, Vec<u8>) {
    let ports = [0, r.below(4) as u8, 0, r.below(4) as u8];
    match r.below(3) {
        0 => (6, [&ports[..], &[0; 8], &[0x50, r.pick(&[2, 16]), 0, 0, 0, 0, 0, 0]].concat()),
        1 => (17, [&ports[..], &[0, 12, 0, 0, 1, 2, 3, 4]].concat()),
        _ => (1, vec![r.pick(&[0, 8]), 0, 0, 0, 0, 1, 0, 1]),
    }
}

fn ipv4_header(r: &mut Random, proto: u8, len: usize, addresses: [u8; 8]) -> Vec<u8> {
    let len = (20 + len) as u16;
    let frag = r.pick(&[0u16, 0, 0, 0, 0, 0x2000, 0x2001, 0x0007]);
    let mut h = vec![0x45, r.pick(&[0, 0, 4, 0xb8])];
    h.extend(len.to_be_bytes());
    h.extend([0, 1]);
    h.extend(frag.to_be_bytes());
    h.extend([r.pick(&[0, 1, 2, 3, 64, 64, 255]), proto, 0, 0]);
    h.extend(addresses);
    let sum = !sluice_wire::checksum::fold(sluice_wire::checksum::sum(&h));
    h[10..12].copy_from_slice(&sum.to_be_bytes());
    h
}

fn ipv4(r: &mut Random, f: &mut Vec<u8>) {
    let (proto, body) = transport(r);
    let addresses = [10, 0, 0, r.below(4) as u8, 10, 0, 0, r.below(4) as u8];
    f.extend([8, 0]);
    f.extend(ipv4_header(r, proto, body.len(), addresses));
    f.extend(body);
}

/// An encapsulated frame for (mostly) one of the addresses that may be our own.
fn vxlan(r: &mut Random, f: &mut Vec<u8>) {
    let mut inner = [mac(r.below(4)), mac(r.below(4))].concat();
    ipv4(r, &mut inner);
    let mut body = vec![0xc0, 0];
    body.extend(VXLAN_PORT.to_be_bytes());
    body.extend((inner.len() as u16 + 16).to_be_bytes());
    body.extend([0, 0, 8, 0, 0, 0, 0, 0, r.below(3) as u8, 0]);
    body.extend(inner);
    let addresses = [192, 0, 2, 2 + r.below(2) as u8, 192, 0, 2, r.pick(&[1, 1, 9])];
    if r.one_in(2) {
        over_ipv6(r, f, &body);
    } else {
        f.extend([8, 0]);
        f.extend(ipv4_header(r, 17, body.len(), addresses));
        f.extend(body);
    }
}

/// A datagram in IPv6, seldom behind an extension header or as a fragment.
fn over_ipv6(r: &mut Random, f: &mut Vec<u8>, body: &[u8]) {
    let more: &[u8] = r.pick(&[&[][..], &[], &[], &[17, 0, 1, 4, 0, 0, 0, 0], &[17, 0, 0, 1, 0, 0, 0, 7]]);
    let next = if more.is_empty() { 17 } else { r.pick(&[60, 44]) };
    f.extend([0x86, 0xdd, 0x60, r.pick(&[0, 0x10]), 0, 0]);
    f.extend(((body.len() + more.len()) as u16).to_be_bytes());
    f.extend([next, r.pick(&[1, 2, 64])]);
    for last in [2 + r.below(2) as u8, r.pick(&[1, 1, 9])] {
        f.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    f.extend(more);
    f.extend(body);
}

fn ipv6(r: &mut Random, f: &mut Vec<u8>) {
    let (proto, mut body) = transport(r);
    let proto = if proto == 1 { 58 } else { proto };
    if proto == 58 && r.one_in(2) {
        body = vec![r.pick(&[135, 136]), 0, 0, 0, 0, 0, 0, 0];
        body.extend([0; 15]);
        body.extend([r.below(2) as u8, 1, 1]);
        body.extend(mac(r.below(4)));
    }
    f.extend([0x86, 0xdd, 0x60, 0, 0, r.below(2) as u8]);
    f.extend((body.len() as u16).to_be_bytes());
    f.extend([proto, r.pick(&[1, 2, 64])]);
    for _ in 0..2 {
        f.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, r.below(3) as u8]);
    }
    f.extend(body);
}

/// Fields to match and write, with values that frames have.
const FIELDS: &[(Slot, Need, &[u128])] = &[
    (slot::ETH_DST, Need::Nothing, &[0x0200_0000_0000, 0x0200_0000_0001, 0x0200_0000_0002]),
    (slot::ETH_SRC, Need::Nothing, &[0x0200_0000_0000, 0x0200_0000_0001, 0x0200_0000_0003]),
    (slot::NW_SRC, Need::Ipv4, &[0x0a00_0000, 0x0a00_0001, 0x0a00_0002]),
    (slot::NW_DST, Need::Ipv4, &[0x0a00_0000, 0x0a00_0001, 0xc000_0201]),
    (slot::NW_TTL, Need::Ip, &[1, 2, 3, 64]),
    (slot::NW_DSCP, Need::Ip, &[0, 1, 46]),
    (slot::NW_TOS, Need::Ip, &[0, 4, 0xb8]),
    (slot::TP_SRC, Need::Udp, &[0, 1, 2]),
    (slot::TP_DST, Need::Tcp, &[0, 1, 2, 3]),
    (slot::TP_DST, Need::Udp, &[0, 1, 4789]),
    (slot::IPV6_SRC, Need::Ipv6, &[0x2001_0db8 << 96, (0x2001_0db8 << 96) + 1]),
    (slot::IPV6_DST, Need::Ipv6, &[0x2001_0db8 << 96, (0x2001_0db8 << 96) + 2]),
    (slot::ARP_SHA, Need::Arp, &[0x0200_0000_0000, 0x0200_0000_0001]),
    (slot::ND_TARGET, Need::Nd, &[0, 1]),
    (slot::VLAN_VID, Need::Vlan, &[0, 1, 2]),
    (slot::VLAN_PCP, Need::Vlan, &[0, 1]),
    (slot::VLAN_VID_PRESENT, Need::Nothing, &[0, 0x1000, 0x1001]),
    (slot::VLAN_TCI, Need::Nothing, &[0, 0x1001, 0x3002]),
    (slot::METADATA, Need::Nothing, &[0, 1, 2]),
    (slot::reg(0), Need::Nothing, &[0, 1, 2, 0xfffa, 0xfffb]),
    (slot::reg(1), Need::Nothing, &[0, 1, 0x0a00_0001]),
    (slot::TUN_ID, Need::Nothing, &[0, 1, 2]),
    (slot::TUN_IPV6_SRC, Need::Nothing, &[0, (0xfd00 << 112) + 2, (0xfd00 << 112) + 3]),
    (slot::TUN_IPV6_DST, Need::Nothing, &[0, (0xfd00 << 112) + 1, (0xfd00 << 112) + 2]),
];

const MATCH_ONLY: &[(Slot, &[u128])] = &[
    (slot::IN_PORT, &[1, 2, 3, 10, 20]),
    (slot::ETH_TYPE, &[0x0800, 0x86dd, 0x0806, 0x8100]),
    (slot::NW_PROTO, &[6, 17, 1, 58]),
    (slot::NW_FRAG, &[0, 1, 3]),
    (slot::TCP_FLAGS, &[2, 16]),
    (slot::MPLS_LABEL, &[0, 0x100]),
];

/// A match on up to three fields, some of them in part.
pub fn matching(r: &mut Random) -> (Key, Key) {
    let (mut value, mut mask) = (Key::ZERO, Key::ZERO);
    for _ in 0..r.below(4) {
        let (s, values) = match r.one_in(2) {
            true => r.pick(MATCH_ONLY),
            false => {
                let (s, _, values) = r.pick(FIELDS);
                (s, values)
            }
        };
        let bits = if r.one_in(4) { s.ones() & !1 } else { s.ones() };
        value.set_masked(s, r.pick(values), bits);
        mask.set_masked(s, bits, bits);
    }
    (value.and(&mask), mask)
}

/// A field, or some of its bits.
fn part(r: &mut Random, s: Slot) -> Slot {
    if !r.one_in(5) || s.width < 8 || s.width > 64 {
        return s;
    }
    s.bits(r.below(4) as u8, 1 + r.below(3) as u8).unwrap_or(s)
}

pub fn actions(r: &mut Random, table: u8, depth: u32) -> Vec<Action> {
    let mut all: Vec<_> = (0..r.below(4)).map(|_| action(r, table, depth)).collect();
    if r.one_in(2) {
        all.push(output(r));
    }
    all
}

fn output(r: &mut Random) -> Action {
    match r.below(12) {
        0 => Action::InPort,
        1 => Action::Flood,
        2 => Action::All,
        3 | 4 => Action::Normal,
        5 => Action::OutputFrom(slot::reg(0)),
        6 => Action::OutputFrom(slot::TP_SRC),
        7 => Action::OutputTruncated { port: 2, max_len: 20 },
        9 | 10 => Action::Group(r.below(4) as u32),
        8 => Action::Punt(Arc::new(Punt { max_len: 30, ..Punt::default() })),
        _ => Action::Output(r.pick(&[1, 2, 3, 10, 10, 20, 21, 22, u32::MAX - 1])),
    }
}

fn write(r: &mut Random) -> Action {
    let (s, need, values) = r.pick(FIELDS);
    let value = r.pick(values);
    match r.below(4) {
        0 => {
            let s = part(r, s);
            Action::Set { slot: s, value: value & s.ones(), mask: s.ones(), need }
        }
        1 => Action::Set { slot: s, value: value & 1, mask: 1, need },
        2 => {
            let like: Vec<_> = FIELDS.iter().filter(|(o, _, _)| o.width == s.width).copied().collect();
            let (dst, dst_need, _) = r.pick(&like);
            Action::Move { src: s, src_need: need, dst, dst_need }
        }
        _ => Action::Set { slot: s, value, mask: s.ones(), need },
    }
}

fn register() -> Target {
    Target { parts: Box::new([(slot::reg(0), 0)]), need: Need::Nothing }
}

fn headers(r: &mut Random) -> Headers {
    let udp = r.one_in(2);
    let all = [Headers::EthSrc, Headers::SymmetricL4, Headers::SymmetricL3L4 { udp }, Headers::SymmetricL3, Headers::NwSrc, Headers::NwDst];
    r.pick(&all)
}

fn multipath(r: &mut Random) -> Multipath {
    let algorithm = r.pick(&[Algorithm::Modulo, Algorithm::Threshold, Algorithm::HighestWeight, Algorithm::Iterate { modulo: 0 }]);
    Multipath { headers: headers(r), basis: 7, algorithm, links: 1 + r.below(4) as u32, dst: register() }
}

fn bundle(r: &mut Random) -> Bundle {
    let by = (!r.one_in(3)).then(|| (headers(r), 7));
    Bundle { by, members: Box::new([1, 2, 3]), dst: r.one_in(3).then(register) }
}

fn action(r: &mut Random, table: u8, depth: u32) -> Action {
    match r.below(28) {
        0..=5 => write(r),
        6 => Action::SetVlanVid { vid: r.below(3) as u16, push: r.one_in(2) },
        7 => Action::SetVlanPcp { pcp: r.below(2) as u8, push: r.one_in(2) },
        8 => Action::PushVlan(r.pick(&[0x8100, 0x88a8])),
        9 => Action::PopVlan,
        10 => Action::DecTtl(Arc::new([0])),
        11 | 12 => {
            let in_port = r.one_in(3).then(|| r.pick(&[1, 2, 10]));
            Action::Resubmit { in_port, table: r.pick(&[None, Some(0), Some(1), Some(2), Some(3)]).filter(|t| *t > table) }
        }
        13 if depth < 2 => Action::WriteActions(actions(r, table, depth + 1).into()),
        14 if depth < 2 => Action::Clone(actions(r, table, depth + 1).into()),
        21 => Action::PushMpls(r.pick(&[0x8847, 0x8848])),
        22 => Action::PopMpls(r.pick(&[0x8847, 0x0800, 0x86dd])),
        23 => r.pick(&[Action::DecMplsTtl, Action::CopyTtlOut, Action::CopyTtlIn]),
        24 => Action::Multipath(Arc::new(multipath(r))),
        25 => Action::Bundle(Arc::new(bundle(r))),
        26 => Action::IfLonger(Arc::new(LengthCheck { than: 60, dst: register() })),
        15 => Action::StackPush(r.pick(FIELDS).0),
        16 => Action::StackPop(r.pick(FIELDS).0),
        17 if r.one_in(3) => Action::Exit,
        18 if r.one_in(3) => Action::ClearActions,
        19 if r.one_in(3) => Action::Learn(Arc::new(learn(r))),
        20 if table < 3 => Action::Goto(table + 1),
        _ => output(r),
    }
}

fn learn(r: &mut Random) -> Learn {
    let (s, _, _) = r.pick(FIELDS);
    Learn {
        table: 3,
        priority: 1,
        cookie: 0,
        idle_timeout: 0,
        hard_timeout: 0,
        fin_idle_timeout: 0,
        fin_hard_timeout: 0,
        send_flow_rem: false,
        delete_learned: false,
        limit: 0,
        result_dst: None,
        specs: vec![LearnSpec::Match { src: Source::Field(s), dst: s }],
        id: 1,
    }
}
