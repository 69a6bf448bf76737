//! How `multipath` and `bundle` choose: a hash over some headers, and a way from it to a link.
//!
//! Purpose: the same links for the same packets as Open vSwitch, so that either can stand at either end.
//! Invariant: what a choice looks at is in [`Headers::cover`].
//! Deliberately does not know: ports, who lives.

use crate::action::{OfPort, Target};
use crate::jenkins;
use crate::key::{slot, Key};
use crate::murmur;

/// What is hashed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Headers {
    /// Ethernet source.
    EthSrc,
    /// Ethernet, VLAN, IP, TCP and SCTP, both directions alike.
    SymmetricL4,
    /// IP, TCP and SCTP (and UDP where told so), both directions alike; Ethernet and VLAN of the rest.
    SymmetricL3L4 {
        /// UDP ports count too.
        udp: bool,
    },
    /// IP, both directions alike.
    SymmetricL3,
    /// IP source.
    NwSrc,
    /// IP destination.
    NwDst,
}

/// From a hash to a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Algorithm {
    /// Remainder.
    Modulo,
    /// Equal ranges.
    Threshold,
    /// Highest random weight; beyond 64 links the remainder.
    HighestWeight,
    /// Hashes again until a link of that number exists, below this power of two.
    Iterate {
        /// The power of two; what makes no sense is replaced by the next one.
        modulo: u32,
    },
}

/// `multipath`: writes the link.
#[derive(Clone, PartialEq, Debug)]
pub struct Multipath {
    /// What is hashed.
    pub headers: Headers,
    /// Start of the hash.
    pub basis: u16,
    /// From hash to link.
    pub algorithm: Algorithm,
    /// Number of links, at least 1.
    pub links: u32,
    /// Where the link goes.
    pub dst: Target,
}

/// `bundle`: chooses a port that lives.
#[derive(Clone, PartialEq, Debug)]
pub struct Bundle {
    /// What is hashed; `None` takes the first that lives.
    pub by: Option<(Headers, u16)>,
    /// Candidates.
    pub members: Box<[OfPort]>,
    /// Where the port's number goes instead of an output.
    pub dst: Option<Target>,
}

const TCP: u64 = 6;
const UDP: u64 = 17;
const SCTP: u64 = 132;
const VLAN_ID: u64 = 0xfff;

/// An IP packet's addresses, one laid over the other.
fn folded_addresses(key: &Key) -> Option<(u128, usize)> {
    match key.get(slot::ETH_TYPE) {
        0x0800 => Some((u128::from(key.get(slot::NW_SRC) ^ key.get(slot::NW_DST)), 4)),
        0x86dd => Some((key.get_wide(slot::IPV6_SRC) ^ key.get_wide(slot::IPV6_DST), 16)),
        _ => None,
    }
}

/// The last `len` bytes of a value in network order.
fn tail(value: u128, len: usize) -> Vec<u8> {
    value.to_be_bytes().into_iter().skip(16 - len.min(16)).collect()
}

/// The bytes of a value in network order, as words of a little-endian machine.
fn words(bytes: &[u8]) -> impl Iterator<Item = u32> + '_ {
    bytes.chunks(4).map(|c| c.iter().rev().fold(0, |v, b| v << 8 | u32::from(*b)))
}

impl Headers {
    /// Adds what is looked at to a key mask.
    pub fn cover(self, key: &mut Key) {
        let ip: [_; 5] = [slot::ETH_TYPE, slot::NW_SRC, slot::NW_DST, slot::IPV6_SRC, slot::IPV6_DST];
        let l4 = [slot::NW_PROTO, slot::TP_SRC, slot::TP_DST, slot::NW_FRAG];
        let all: Vec<_> = match self {
            Headers::EthSrc => vec![slot::ETH_SRC],
            Headers::SymmetricL4 => [&ip[..], &l4, &[slot::ETH_SRC, slot::ETH_DST, slot::VLAN_TCI]].concat(),
            Headers::SymmetricL3L4 { .. } => [&ip[..], &l4, &[slot::ETH_SRC, slot::ETH_DST, slot::VLAN_TCI]].concat(),
            Headers::SymmetricL3 => ip.to_vec(),
            Headers::NwSrc => vec![slot::ETH_TYPE, slot::NW_SRC, slot::IPV6_SRC],
            Headers::NwDst => vec![slot::ETH_TYPE, slot::NW_DST, slot::IPV6_DST],
        };
        all.into_iter().for_each(|s| key.cover(s));
    }

    /// Hash of a packet.
    pub fn hash(self, key: &Key, basis: u16) -> u32 {
        let basis = u32::from(basis);
        let address = |v4, v6| match key.get(slot::ETH_TYPE) {
            0x0800 => jenkins::of_bytes(&tail(key.get_wide(v4), 4), basis),
            0x86dd => jenkins::of_bytes(&tail(key.get_wide(v6), 16), basis),
            _ => basis,
        };
        match self {
            Headers::EthSrc => jenkins::of_bytes(&tail(key.get_wide(slot::ETH_SRC), 6), basis),
            Headers::SymmetricL4 => symmetric_l4(key, basis),
            Headers::SymmetricL3L4 { udp } => symmetric_l3l4(key, basis, udp),
            Headers::SymmetricL3 => symmetric_l3(key, basis),
            Headers::NwSrc => address(slot::NW_SRC, slot::IPV6_SRC),
            Headers::NwDst => address(slot::NW_DST, slot::IPV6_DST),
        }
    }
}

fn ports(key: &Key) -> u16 {
    (key.get(slot::TP_SRC) ^ key.get(slot::TP_DST)) as u16
}

/// addresses 16 | type 2 | vlan 2 | ports 2 | Ethernet addresses 6 | protocol 1 | pad 3
fn symmetric_l4(key: &Key, basis: u32) -> u32 {
    let mut b = Vec::with_capacity(32);
    let ip = folded_addresses(key);
    let proto = if ip.is_some() { key.get(slot::NW_PROTO) } else { 0 };
    b.extend(ip.map_or(Vec::new(), |(v, len)| tail(v, len)));
    b.resize(16, 0);
    b.extend((key.get(slot::ETH_TYPE) as u16).to_be_bytes());
    b.extend(((key.get(slot::VLAN_TCI) & VLAN_ID) as u16).to_be_bytes());
    let counted = proto == TCP || proto == SCTP;
    b.extend(if counted { ports(key) } else { 0 }.to_be_bytes());
    b.extend(tail(u128::from(key.get(slot::ETH_SRC) ^ key.get(slot::ETH_DST)), 6));
    b.push(proto as u8);
    b.resize(32, 0);
    jenkins::of_bytes(&b, basis)
}

fn symmetric_l3l4(key: &Key, basis: u32, udp: bool) -> u32 {
    let Some((addresses, len)) = folded_addresses(key) else { return symmetric_l2(key, basis) };
    let proto = key.get(slot::NW_PROTO);
    let mut hash = words(&tail(addresses, len)).fold(basis, murmur::add);
    hash = murmur::add(hash, proto as u32);
    // The pieces of a packet stay together: only the first has ports.
    let whole = key.get(slot::NW_FRAG) == 0;
    if whole && (proto == TCP || proto == SCTP || udp && proto == UDP) {
        hash = murmur::add(hash, u32::from(ports(key).swap_bytes()));
    }
    murmur::finish(hash, basis)
}

/// type 2 | vlan 2 | Ethernet addresses 6 | pad 2
fn symmetric_l2(key: &Key, basis: u32) -> u32 {
    let mut b = (key.get(slot::ETH_TYPE) as u16).to_be_bytes().to_vec();
    b.extend(((key.get(slot::VLAN_TCI) & VLAN_ID) as u16).to_be_bytes());
    b.extend(tail(u128::from(key.get(slot::ETH_SRC) ^ key.get(slot::ETH_DST)), 6));
    b.resize(12, 0);
    murmur::finish(words(&b).fold(basis, murmur::add), basis)
}

/// addresses 16 | type 2 | pad 2
fn symmetric_l3(key: &Key, basis: u32) -> u32 {
    let mut b = folded_addresses(key).map_or(Vec::new(), |(v, len)| tail(v, len));
    b.resize(16, 0);
    b.extend((key.get(slot::ETH_TYPE) as u16).to_be_bytes());
    b.resize(20, 0);
    jenkins::of_bytes(&b, basis)
}

impl Algorithm {
    /// The link for a hash, below `links`.
    pub fn link(self, hash: u32, links: u32) -> u32 {
        let links = links.max(1);
        match self {
            Algorithm::HighestWeight if links <= 64 => heaviest(links, |i| murmur::of_pair(hash, i)),
            Algorithm::Modulo | Algorithm::HighestWeight => hash % links,
            Algorithm::Threshold if links == 1 => 0,
            Algorithm::Threshold => hash / (u32::MAX / links + 1),
            Algorithm::Iterate { modulo } => iterate(hash, links, modulo),
        }
    }
}

/// The first of the heaviest.
fn heaviest(n: u32, weight: impl Fn(u32) -> u32) -> u32 {
    let better = |best: u32, i| if weight(i) > weight(best) { i } else { best };
    (1..n).fold(0, better)
}

/// More attempts than any hash needs: at least half of the numbers below the modulus exist.
const ATTEMPTS: u32 = 4096;

fn iterate(hash: u32, links: u32, modulo: u32) -> u32 {
    let modulo = if modulo < links || modulo / 2 > links { links.next_power_of_two() } else { modulo };
    let tried = (0..ATTEMPTS).map(|i| murmur::of_pair(hash, i) % modulo);
    tried.map(|l| l & 0xffff).find(|l| *l < links).unwrap_or(0)
}

impl Bundle {
    /// The member for a packet among those that live, by position.
    pub fn choose(&self, key: &Key, lives: impl Fn(usize) -> bool) -> Option<usize> {
        let Some((headers, basis)) = self.by else { return (0..self.members.len()).find(|i| lives(*i)) };
        let hash = headers.hash(key, basis);
        let weight = |i: &usize| murmur::of_pair(*i as u32, hash);
        (0..self.members.len()).filter(|i| lives(*i)).rev().max_by_key(weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TCP 10.0.0.1:1000 -> 10.0.3.9:80, VLAN 5.
    fn key() -> Key {
        let mut k = Key::ZERO;
        let fields = [
            (slot::ETH_SRC, 0x0200_0000_0001),
            (slot::ETH_DST, 0x0200_0000_0122),
            (slot::ETH_TYPE, 0x0800),
            (slot::VLAN_TCI, 0x1005),
            (slot::NW_SRC, 0x0a00_0001),
            (slot::NW_DST, 0x0a00_0309),
            (slot::NW_PROTO, 6),
            (slot::TP_SRC, 1000),
            (slot::TP_DST, 80),
        ];
        fields.into_iter().for_each(|(s, v)| k.set(s, v));
        k
    }

    #[test]
    fn the_pieces_of_a_packet_take_one_link() {
        let mut first = key();
        first.set(slot::NW_FRAG, 1);
        let mut later = first;
        later.set(slot::NW_FRAG, 3);
        later.set(slot::TP_SRC, 0);
        later.set(slot::TP_DST, 0);
        let l3l4 = Headers::SymmetricL3L4 { udp: true };
        assert_eq!(l3l4.hash(&first, 53), l3l4.hash(&later, 53));
        assert_ne!(l3l4.hash(&first, 53), l3l4.hash(&key(), 53));
    }

    #[test]
    fn links_are_those_that_open_vswitch_chose() {
        // As 3.1 traced them: modulo 65536, threshold 60000, iter_hash 1000, hrw 60; basis 50.
        let seen = [
            (Headers::EthSrc, [45439, 24449, 80, 32]),
            (Headers::SymmetricL4, [44610, 50917, 794, 59]),
            (Headers::SymmetricL3L4 { udp: false }, [13937, 49855, 69, 6]),
            (Headers::SymmetricL3, [50469, 7246, 437, 2]),
            (Headers::NwSrc, [12288, 46176, 497, 14]),
            (Headers::NwDst, [9818, 40136, 847, 18]),
        ];
        for (headers, links) in seen {
            let hash = headers.hash(&key(), 50);
            let found = [
                Algorithm::Modulo.link(hash, 65536),
                Algorithm::Threshold.link(hash, 60000),
                Algorithm::Iterate { modulo: 0 }.link(hash, 1000),
                Algorithm::HighestWeight.link(hash, 60),
            ];
            assert_eq!(found, links, "{headers:?}");
        }
    }
}
