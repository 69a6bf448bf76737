//! Choices by hash, spelled out on byte strings.
//!
//! Purpose: `multipath`, `bundle` and select groups with `selection_method=hash`, link for link and
//! bucket for bucket as Open vSwitch makes them. The hashes are Bob Jenkins's lookup3 and Austin
//! Appleby's MurmurHash3, both in the public domain.
//! Deliberately does not know: anything of the compiled program.

use sluice_flow::key::slot;
use sluice_flow::Key;
use sluice_openflow::action::{Bundle, HashFields, Multipath, PortNo};
use sluice_openflow::message::{Bucket, GroupMod};
use sluice_openflow::wire::SelectionMethod;
use sluice_openflow::Match;

fn murmur(hash: u32, word: u32) -> u32 {
    let word = word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    (hash ^ word).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
}

fn murmur_end(hash: u32, len: u32) -> u32 {
    let mut h = hash ^ len;
    h ^= h >> 16;
    h = h.wrapping_mul(0x85eb_ca6b);
    h ^= h >> 13;
    h = h.wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

fn pair(x: u32, y: u32) -> u32 {
    murmur_end(murmur(murmur(x, 0), y), 8)
}

fn little(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |v, b| v << 8 | u32::from(*b))
}

fn lookup3(bytes: &[u8], basis: u32) -> u32 {
    let mut a = 0xdead_beef_u32.wrapping_add(bytes.len() as u32).wrapping_add(basis);
    let (mut b, mut c) = (a, a);
    for block in bytes.chunks(12) {
        let word = |i: usize| little(block.get(4 * i..block.len().min(4 * i + 4)).unwrap_or(&[]));
        a = a.wrapping_add(word(0));
        b = b.wrapping_add(word(1));
        c = c.wrapping_add(word(2));
        if block.len() == 12 {
            a = a.wrapping_sub(c) ^ c.rotate_left(4);
            c = c.wrapping_add(b);
            b = b.wrapping_sub(a) ^ a.rotate_left(6);
            a = a.wrapping_add(c);
            c = c.wrapping_sub(b) ^ b.rotate_left(8);
            b = b.wrapping_add(a);
            a = a.wrapping_sub(c) ^ c.rotate_left(16);
            c = c.wrapping_add(b);
            b = b.wrapping_sub(a) ^ a.rotate_left(19);
            a = a.wrapping_add(c);
            c = c.wrapping_sub(b) ^ b.rotate_left(4);
            b = b.wrapping_add(a);
        } else {
            c = (c ^ b).wrapping_sub(b.rotate_left(14));
            a = (a ^ c).wrapping_sub(c.rotate_left(11));
            b = (b ^ a).wrapping_sub(a.rotate_left(25));
            c = (c ^ b).wrapping_sub(b.rotate_left(16));
            a = (a ^ c).wrapping_sub(c.rotate_left(4));
            b = (b ^ a).wrapping_sub(a.rotate_left(14));
            c = (c ^ b).wrapping_sub(b.rotate_left(24));
        }
    }
    c
}

/// The last bytes of a value in network order.
fn bytes(value: u128, len: usize) -> Vec<u8> {
    value.to_be_bytes()[16 - len..].to_vec()
}

/// Source and destination laid over each other.
fn addresses(key: &Key) -> Option<Vec<u8>> {
    match key.get(slot::ETH_TYPE) {
        0x0800 => Some(bytes(u128::from(key.get(slot::NW_SRC) ^ key.get(slot::NW_DST)), 4)),
        0x86dd => Some(bytes(key.get_wide(slot::IPV6_SRC) ^ key.get_wide(slot::IPV6_DST), 16)),
        _ => None,
    }
}

fn hash(key: &Key, fields: HashFields, basis: u16) -> u32 {
    let basis = u32::from(basis);
    let eth_type = bytes(u128::from(key.get(slot::ETH_TYPE)), 2);
    let ports = key.get(slot::TP_SRC) ^ key.get(slot::TP_DST);
    let proto = key.get(slot::NW_PROTO);
    let udp = matches!(fields, HashFields::SymmetricL3L4Udp);
    match fields {
        HashFields::EthSrc => lookup3(&bytes(u128::from(key.get(slot::ETH_SRC)), 6), basis),
        HashFields::NwSrc | HashFields::NwDst => {
            let source = matches!(fields, HashFields::NwSrc);
            match key.get(slot::ETH_TYPE) {
                0x0800 => lookup3(&bytes(u128::from(key.get(if source { slot::NW_SRC } else { slot::NW_DST })), 4), basis),
                0x86dd => lookup3(&bytes(key.get_wide(if source { slot::IPV6_SRC } else { slot::IPV6_DST }), 16), basis),
                _ => basis,
            }
        }
        HashFields::SymmetricL4 => {
            let ip = addresses(key);
            let proto = if ip.is_some() { proto } else { 0 };
            let mut all = ip.unwrap_or_default();
            all.resize(16, 0);
            all.extend(eth_type);
            all.extend(bytes(u128::from(key.get(slot::VLAN_VID)), 2));
            all.extend(bytes(u128::from(if matches!(proto, 6 | 132) { ports } else { 0 }), 2));
            all.extend(bytes(u128::from(key.get(slot::ETH_SRC) ^ key.get(slot::ETH_DST)), 6));
            all.push(proto as u8);
            all.resize(32, 0);
            lookup3(&all, basis)
        }
        HashFields::SymmetricL3 => {
            let mut all = addresses(key).unwrap_or_default();
            all.resize(16, 0);
            all.extend(eth_type);
            all.resize(20, 0);
            lookup3(&all, basis)
        }
        HashFields::SymmetricL3L4 | HashFields::SymmetricL3L4Udp => {
            let Some(ip) = addresses(key) else {
                let mut all = eth_type;
                all.extend(bytes(u128::from(key.get(slot::VLAN_VID)), 2));
                all.extend(bytes(u128::from(key.get(slot::ETH_SRC) ^ key.get(slot::ETH_DST)), 6));
                all.resize(12, 0);
                return murmur_end(all.chunks(4).fold(basis, |h, w| murmur(h, little(w))), basis);
            };
            let mut h = ip.chunks(4).fold(basis, |h, w| murmur(h, little(w)));
            h = murmur(h, proto as u32);
            if key.get(slot::NW_FRAG) == 0 && (matches!(proto, 6 | 132) || udp && proto == 17) {
                h = murmur(h, little(&bytes(u128::from(ports), 2)));
            }
            murmur_end(h, basis)
        }
    }
}

/// The link of a `multipath`.
pub fn link(key: &Key, m: &Multipath) -> u32 {
    let (hash, n) = (hash(key, m.fields, m.basis), m.n_links);
    let link = match m.algorithm {
        1 if n == 1 => 0,
        1 => hash / (u32::MAX / n + 1),
        2 if n <= 64 => {
            let mut best = 0;
            for i in 1..n {
                if pair(hash, i) > pair(hash, best) {
                    best = i;
                }
            }
            best
        }
        3 => {
            let modulo = if m.arg < n || m.arg / 2 > n { n.next_power_of_two() } else { m.arg };
            (0..).map(|i| pair(hash, i) % modulo & 0xffff).find(|l| *l < n).unwrap_or(0)
        }
        _ => hash % n,
    };
    link & 0xffff
}

/// The port of a `bundle`.
pub fn member(key: &Key, b: &Bundle, exists: &dyn Fn(PortNo) -> bool) -> PortNo {
    let living: Vec<(usize, PortNo)> = b.members.iter().copied().enumerate().filter(|(_, p)| exists(*p)).collect();
    if b.algorithm == 0 {
        return living.first().map_or(PortNo::NONE, |(_, p)| *p);
    }
    let hash = hash(key, b.fields, b.basis);
    let mut best: Option<(u32, PortNo)> = None;
    for (i, p) in living {
        let weight = pair(i as u32, hash);
        if best.is_none_or(|(w, _)| weight > w) {
            best = Some((weight, p));
        }
    }
    best.map_or(PortNo::NONE, |(_, p)| p)
}

/// The bucket of a select group that hashes named fields.
pub fn bucket(packet: &Match, group: &GroupMod) -> Option<Bucket> {
    let method = SelectionMethod::find(&group.properties)?;
    let parameter = murmur_end(murmur(murmur(0, method.parameter as u32), (method.parameter >> 32) as u32), 8);
    let mut basis = parameter;
    for (field, mask) in method.fields.iter().filter(|(f, _)| f.prereqs_met(packet)) {
        let value = bytes(packet.field(*field).0 & mask, usize::from(field.info().n_bits.div_ceil(8)));
        let h = value.chunks(4).fold(basis, |h, w| murmur(h, little(w)));
        basis = murmur_end(h, value.len() as u32);
    }
    let score = |b: &Bucket| (pair(b.id, basis) & 0xffff) * u32::from(b.weight);
    group.buckets.iter().filter(|b| b.weight != 0).max_by_key(|b| score(b)).cloned()
}
