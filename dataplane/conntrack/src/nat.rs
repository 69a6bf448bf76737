//! Choosing the tuple of the answers of a connection whose addresses are translated.
//!
//! Invariant: a chosen tuple was free when it was chosen; attempts are bounded.
//! Deliberately does not know: packets (see `Rewrite`), the table.

use std::net::IpAddr;

use crate::conn::NatKind;
use crate::tuple::{mix, Hasher, Tuple};

/// Ports that a translated source may get when a rule names none.
const FIRST_PORT: u16 = 1024;
/// Ports that are tried in a row.
const ATTEMPTS: u32 = 128;
/// With fewer attempts per round than this no further round is made.
const LEAST_ATTEMPTS: u32 = 16;

/// What a rule says about translation.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct NatSpec {
    /// Which address is replaced. None: only connections that are translated already are.
    pub kind: NatKind,
    /// Lowest and highest address.
    pub addresses: Option<(IpAddr, IpAddr)>,
    /// Lowest and highest port.
    pub ports: Option<(u16, u16)>,
    /// The same client gets the same address after a restart.
    pub persistent: bool,
    /// The first port is chosen at random (else by a hash of the connection).
    pub random: bool,
}

impl std::hash::Hash for NatKind {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u8(u8::from(self.src) | u8::from(self.dst) << 1);
    }
}

/// The tuple of the answers; `None` when every one that was tried is taken.
pub(crate) fn choose(orig: &Tuple, spec: &NatSpec, hasher: &Hasher, random: u64, mut is_free: impl FnMut(&Tuple) -> bool) -> Option<Tuple> {
    let mut reply = orig.reversed();
    if !spec.kind.any() {
        return is_free(&reply).then_some(reply);
    }
    let fixed = Hasher::new(0);
    let addressing = hash(orig, spec, if spec.persistent { &fixed } else { hasher });
    if let Some((low, high)) = spec.addresses {
        let chosen = pick(low, high, addressing);
        if chosen.is_ipv6() != orig.v6 {
            return None;
        }
        if !chosen.is_unspecified() {
            match spec.kind.src {
                true => reply.set_dst(chosen),
                false => reply.set_src(chosen),
            }
        }
    }
    if !orig.has_ports() {
        return is_free(&reply).then_some(reply);
    }
    let offset = if spec.random { random } else { addressing };
    let destination = range(spec, spec.kind.dst, offset, orig.dport(), (orig.dport(), orig.dport()));
    let source = range(spec, spec.kind.src, offset, orig.sport(), (FIRST_PORT, u16::MAX));
    reply.set_sport(destination.first);
    reply.set_dport(source.first);
    if spec.kind.dst && spec.ports.is_some() {
        let found = search(&destination, random, |port| {
            reply.set_sport(port);
            is_free(&reply)
        });
        if found.is_some() {
            return Some(reply);
        }
        reply.set_sport(destination.first);
    }
    search(&source, random, |port| {
        reply.set_dport(port);
        is_free(&reply)
    })?;
    Some(reply)
}

fn hash(orig: &Tuple, spec: &NatSpec, hasher: &Hasher) -> u64 {
    let words = |a: Option<IpAddr>| match a {
        Some(IpAddr::V4(a)) => [u64::from(u32::from(a)), 0],
        Some(IpAddr::V6(a)) => [(u128::from(a) >> 64) as u64, u128::from(a) as u64],
        None => [0, 0],
    };
    let (low, high) = (words(spec.addresses.map(|a| a.0)), words(spec.addresses.map(|a| a.1)));
    let a = orig.addresses;
    hasher.directed(&[a[0], a[1], a[2], a[3], u64::from(orig.ports) << 32 | u64::from(orig.class()), low[0], low[1], high[0], high[1]])
}

/// An address of a range.
fn pick(low: IpAddr, high: IpAddr, hash: u64) -> IpAddr {
    match (low, high) {
        (IpAddr::V4(l), IpAddr::V4(h)) => {
            let (l, h) = (u32::from(l), u32::from(h));
            let size = u64::from(h.saturating_sub(l)) + 1;
            IpAddr::V4((l + (hash % size) as u32).into())
        }
        (IpAddr::V6(l), IpAddr::V6(h)) => {
            let (l, h) = (u128::from(l), u128::from(h));
            let size = h.saturating_sub(l).saturating_add(1);
            IpAddr::V6((l + u128::from(hash) % size).into())
        }
        _ => low,
    }
}

/// Ports to try, from which on.
struct Range {
    first: u16,
    low: u16,
    high: u16,
}

fn range(spec: &NatSpec, replaced: bool, offset: u64, own: u16, otherwise: (u16, u16)) -> Range {
    match spec.ports {
        Some((low, high)) if replaced => {
            let size = u64::from(high.saturating_sub(low)) + 1;
            Range { first: low + (offset % size) as u16, low, high: high.max(low) }
        }
        _ => Range { first: own, low: otherwise.0, high: otherwise.1 },
    }
}

/// The first port that is free, after a bounded number of attempts.
fn search(r: &Range, random: u64, mut is_free: impl FnMut(u16) -> bool) -> Option<u16> {
    let size = u32::from(r.high - r.low) + 1;
    let (mut attempts, mut at, mut round) = (size.min(ATTEMPTS), r.first, 0);
    loop {
        for _ in 0..attempts {
            if is_free(at) {
                return Some(at);
            }
            at = if at >= r.high { r.low } else { at + 1 };
        }
        if attempts >= size || attempts < LEAST_ATTEMPTS {
            return None;
        }
        attempts /= 2;
        round += 1;
        at = r.low + (mix(random.wrapping_add(round)) % u64::from(size)) as u16;
    }
}

/// How a packet's addresses and ports are to be replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rewrite {
    /// What the packet's tuple is to be (of an ICMP error: what its addressee must see as the reverse of the quoted one).
    pub to: Tuple,
    /// Which address.
    pub kind: NatKind,
    /// It is an ICMP error: the quoted packet is translated too, the other way round.
    pub related: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn orig(sport: u16) -> Tuple {
        let t = Tuple::between([10, 0, 0, 1].into(), [8, 8, 8, 8].into()).unwrap();
        Tuple { proto: 6, ports: u32::from(sport) << 16 | 80, ..t }
    }

    fn snat(low: [u8; 4], high: [u8; 4], ports: Option<(u16, u16)>) -> NatSpec {
        NatSpec { kind: NatKind { src: true, dst: false }, addresses: Some((low.into(), high.into())), ports, ..NatSpec::default() }
    }

    #[test]
    fn a_range_is_used_up_and_then_refused() {
        let spec = snat([1, 1, 1, 1], [1, 1, 1, 1], Some((500, 599)));
        let mut taken = HashSet::new();
        for sport in 2000..2100 {
            let reply = choose(&orig(sport), &spec, &Hasher::new(1), 5, |t| !taken.contains(t)).expect("a free port");
            assert_eq!(reply.dst(), IpAddr::from([1, 1, 1, 1]));
            assert!((500..=599).contains(&reply.dport()));
            assert!(taken.insert(reply));
        }
        assert_eq!(choose(&orig(2100), &spec, &Hasher::new(1), 5, |t| !taken.contains(t)), None);
    }

    #[test]
    fn addresses_stay_in_their_range_and_spread() {
        let spec = snat([1, 1, 1, 1], [1, 1, 1, 8], None);
        let seen: HashSet<IpAddr> = (1..200).map(|p| choose(&orig(p), &spec, &Hasher::new(9), 1, |_| true).unwrap().dst()).collect();
        assert!(seen.iter().all(|a| *a >= IpAddr::from([1, 1, 1, 1]) && *a <= IpAddr::from([1, 1, 1, 8])));
        assert_eq!(seen.len(), 8);
    }

    #[test]
    fn the_source_port_is_kept_while_it_is_free() {
        let spec = snat([1, 1, 1, 1], [1, 1, 1, 1], None);
        let reply = choose(&orig(3333), &spec, &Hasher::new(1), 5, |_| true).unwrap();
        assert_eq!(reply.dport(), 3333);
        let next = choose(&orig(3333), &spec, &Hasher::new(1), 5, |t| t.dport() != 3333).unwrap();
        assert_eq!(next.dport(), 3334);
    }
}
