//! The five values that name a connection in one direction, and its zone.
//!
//! Invariant: reversing twice gives back the tuple; a tuple and its reverse hash alike.
//! Deliberately does not know: frames, connections.

use std::net::IpAddr;

/// ICMP for IPv4.
pub const ICMP: u8 = 1;
/// TCP.
pub const TCP: u8 = 6;
/// UDP.
pub const UDP: u8 = 17;
/// ICMP for IPv6.
pub const ICMP6: u8 = 58;
/// SCTP.
pub const SCTP: u8 = 132;

/// One direction of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Tuple {
    /// IPv4: source and destination in the first word, the rest zero. IPv6: source, then destination.
    pub addresses: [u64; 4],
    /// Source and destination port; for ICMP the identifier and the type.
    pub ports: u32,
    /// Zone.
    pub zone: u16,
    /// IP protocol.
    pub proto: u8,
    /// IPv6.
    pub v6: bool,
}

impl Tuple {
    /// Of two addresses; ports, protocol and zone are zero. Mixed families give `None`.
    pub fn between(src: IpAddr, dst: IpAddr) -> Option<Tuple> {
        let mut t = Tuple { v6: src.is_ipv6(), ..Tuple::default() };
        (src.is_ipv6() == dst.is_ipv6()).then(|| {
            t.set_src(src);
            t.set_dst(dst);
            t
        })
    }

    /// Source address.
    pub fn src(&self) -> IpAddr {
        match self.v6 {
            false => IpAddr::V4(((self.addresses[0] >> 32) as u32).into()),
            true => IpAddr::V6(wide(self.addresses[0], self.addresses[1]).into()),
        }
    }

    /// Destination address.
    pub fn dst(&self) -> IpAddr {
        match self.v6 {
            false => IpAddr::V4((self.addresses[0] as u32).into()),
            true => IpAddr::V6(wide(self.addresses[2], self.addresses[3]).into()),
        }
    }

    /// Replaces the source address by one of the same family.
    pub fn set_src(&mut self, a: IpAddr) {
        match a {
            IpAddr::V4(a) => self.addresses[0] = self.addresses[0] & 0xffff_ffff | u64::from(u32::from(a)) << 32,
            IpAddr::V6(a) => (self.addresses[0], self.addresses[1]) = halves(a.into()),
        }
    }

    /// Replaces the destination address by one of the same family.
    pub fn set_dst(&mut self, a: IpAddr) {
        match a {
            IpAddr::V4(a) => self.addresses[0] = self.addresses[0] & !0xffff_ffff | u64::from(u32::from(a)),
            IpAddr::V6(a) => (self.addresses[2], self.addresses[3]) = halves(a.into()),
        }
    }

    /// Source port, or the identifier of an ICMP query.
    pub fn sport(&self) -> u16 {
        (self.ports >> 16) as u16
    }

    /// Destination port, or the type of an ICMP query.
    pub fn dport(&self) -> u16 {
        self.ports as u16
    }

    /// Replaces the source port.
    pub fn set_sport(&mut self, port: u16) {
        self.ports = self.ports & 0xffff | u32::from(port) << 16;
    }

    /// Replaces the destination port.
    pub fn set_dport(&mut self, port: u16) {
        self.ports = self.ports & 0xffff_0000 | u32::from(port);
    }

    /// Does this name an ICMP query (so that `ports` is identifier and type)?
    pub fn is_icmp(&self) -> bool {
        self.proto == if self.v6 { ICMP6 } else { ICMP }
    }

    /// Has the protocol ports that are looked at (TCP and UDP)?
    pub fn has_ports(&self) -> bool {
        matches!(self.proto, TCP | UDP)
    }

    /// The other direction.
    #[must_use]
    pub fn reversed(&self) -> Tuple {
        let a = self.addresses;
        let addresses = match self.v6 {
            false => [a[0].rotate_left(32), 0, 0, 0],
            true => [a[2], a[3], a[0], a[1]],
        };
        let ports = match self.is_icmp() {
            true => self.ports & 0xffff_0000 | u32::from(opposite(self.dport() as u8, self.v6)),
            false => self.ports.rotate_left(16),
        };
        Tuple { addresses, ports, ..*self }
    }

    /// Everything beside addresses and ports, in one number.
    pub(crate) fn class(&self) -> u32 {
        u32::from(self.zone) << 16 | u32::from(self.proto) << 8 | u32::from(self.v6) << 1
    }
}

/// The ICMP type that answers, or is answered by, a query's type.
pub fn opposite(kind: u8, v6: bool) -> u8 {
    match (v6, kind) {
        (false, 8) => 0,
        (false, 0) => 8,
        (false, 13) => 14,
        (false, 14) => 13,
        (false, 15) => 16,
        (false, 16) => 15,
        (true, 128) => 129,
        (true, 129) => 128,
        (_, other) => other,
    }
}

fn wide(high: u64, low: u64) -> u128 {
    u128::from(high) << 64 | u128::from(low)
}

fn halves(a: u128) -> (u64, u64) {
    ((a >> 64) as u64, a as u64)
}

/// A keyed hash of tuples that is the same for both directions.
///
/// It multiplies under secret words, so that whoever chooses addresses and ports does not choose collisions.
#[derive(Clone, Copy, Debug)]
pub struct Hasher {
    keys: [u64; 4],
}

impl Hasher {
    /// With 64 random bits, or a constant for runs that must repeat.
    pub fn new(mut seed: u64) -> Hasher {
        let mut keys = [0; 4];
        for k in &mut keys {
            seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            *k = mix(seed) | 1;
        }
        Hasher { keys }
    }

    /// Hash of a tuple, and of its reverse.
    #[inline]
    pub fn symmetric(&self, t: &Tuple) -> u64 {
        let [k0, k1, k2, k3] = self.keys;
        let (a, b) = self.endpoints(t);
        let kind = match t.is_icmp() {
            true => u32::from(t.dport().min(u16::from(opposite(t.dport() as u8, t.v6)))),
            false => 0,
        };
        let whole = fold(a.min(b) ^ k0, a.max(b) ^ k1);
        fold(whole ^ k2, (u64::from(t.class()) << 16 | u64::from(kind)) ^ k3)
    }

    fn endpoints(&self, t: &Tuple) -> (u64, u64) {
        let [k0, k1, ..] = self.keys;
        let (sp, dp) = match t.is_icmp() {
            true => (u64::from(t.sport()), u64::from(t.sport())),
            false => (u64::from(t.sport()), u64::from(t.dport())),
        };
        let w = t.addresses;
        match t.v6 {
            false => (w[0] >> 32 << 16 | sp, (w[0] & 0xffff_ffff) << 16 | dp),
            true => (fold(w[0] ^ k1, w[1] ^ k0) ^ sp, fold(w[2] ^ k1, w[3] ^ k0) ^ dp),
        }
    }

    /// A hash of this very direction (chooses addresses of a NAT range).
    pub fn directed(&self, words: &[u64]) -> u64 {
        words.iter().fold(self.keys[3], |acc, w| fold(acc ^ w ^ self.keys[0], self.keys[1]))
    }
}

#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let p = u128::from(a).wrapping_mul(u128::from(b));
    (p as u64) ^ ((p >> 64) as u64)
}

/// A well-mixed 64-bit number from another one (a step of a counter-based generator).
pub(crate) fn mix(x: u64) -> u64 {
    let mut z = x;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Tuple> {
        let v4 = Tuple::between([10, 0, 0, 1].into(), [10, 0, 0, 2].into()).unwrap();
        let v6 = Tuple::between([1, 2, 3, 4, 5, 6, 7, 8].into(), [1, 2, 3, 4, 5, 6, 7, 9].into()).unwrap();
        let mut all = Vec::new();
        for (t, icmp, query) in [(v4, ICMP, 8), (v6, ICMP6, 128)] {
            all.push(Tuple { proto: TCP, ports: 1000 << 16 | 80, zone: 7, ..t });
            all.push(Tuple { proto: UDP, ports: 5 << 16 | 5, zone: 7, ..t });
            all.push(Tuple { proto: icmp, ports: 77 << 16 | query, zone: 7, ..t });
            all.push(Tuple { proto: 47, zone: 65535, ..t });
        }
        all
    }

    #[test]
    fn both_directions_hash_alike_and_reversing_twice_changes_nothing() {
        let h = Hasher::new(3);
        for t in samples() {
            assert_ne!(t.reversed(), t);
            assert_eq!(t.reversed().reversed(), t);
            assert_eq!(h.symmetric(&t), h.symmetric(&t.reversed()));
            assert_eq!((t.src(), t.dst()), (t.reversed().dst(), t.reversed().src()));
        }
    }

    #[test]
    fn each_field_changes_the_hash() {
        let h = Hasher::new(3);
        for t in samples() {
            let mut others = vec![Tuple { zone: t.zone ^ 1, ..t }, Tuple { proto: t.proto ^ 64, ..t }];
            others.push(Tuple { ports: t.ports ^ 0x0100_0000, ..t });
            for i in 0..if t.v6 { 4 } else { 1 } {
                let mut o = t;
                o.addresses[i] ^= 1;
                others.push(o);
            }
            for o in others {
                assert_ne!(h.symmetric(&o), h.symmetric(&t), "{o:?}");
            }
        }
    }
}
