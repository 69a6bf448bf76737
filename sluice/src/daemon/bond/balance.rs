//! Which member of a bond each bucket of its flows leaves by.
//!
//! Purpose: spread buckets over the members that work, and move some when loads differ much.
//! Invariant: a bucket's member is one that works, as long as any does; a bucket moves only when its
//! member stops working or when that makes the greatest load smaller.
//! Deliberately does not know: links, time, which flows are in a bucket.

use sluice_flow::bond::BUCKETS;

/// A difference of loads that is not worth a move, bytes: as much as Open vSwitch lets pass.
const SLACK: u64 = 100_000;

/// Buckets of a bond.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    members: Vec<u32>,
    /// Member and bytes of each bucket.
    buckets: Vec<(u32, u64)>,
}

impl Balance {
    /// From now on these members work. True when a bucket moved.
    pub fn enable(&mut self, members: &[u32]) -> bool {
        if self.members == members && !self.buckets.is_empty() {
            return false;
        }
        self.members = members.to_vec();
        if members.is_empty() {
            let any = !self.buckets.is_empty();
            self.buckets.clear();
            return any;
        }
        let old = std::mem::take(&mut self.buckets);
        let even = BUCKETS.div_ceil(members.len());
        let mut count: Vec<usize> = vec![0; members.len()];
        // Buckets stay where they are, up to an even share; the others fill what is left.
        let stays = |count: &mut Vec<usize>, bucket: Option<&(u32, u64)>| {
            let at = members.iter().position(|m| bucket.is_some_and(|(b, _)| b == m))?;
            let n = count.get_mut(at)?;
            (*n < even).then(|| *n += 1).map(|()| at)
        };
        let kept: Vec<Option<usize>> = (0..BUCKETS).map(|i| stays(&mut count, old.get(i))).collect();
        for (i, at) in kept.into_iter().enumerate() {
            let at = at.unwrap_or_else(|| {
                let least = count.iter().enumerate().min_by_key(|(_, n)| **n).map_or(0, |(at, _)| at);
                if let Some(n) = count.get_mut(least) {
                    *n += 1;
                }
                least
            });
            let bytes = old.get(i).map_or(0, |(_, bytes)| *bytes);
            self.buckets.push((members.get(at).copied().unwrap_or_default(), bytes));
        }
        self.buckets != old
    }

    /// The member of each bucket; empty where none works.
    pub fn members(&self) -> impl Iterator<Item = u32> + '_ {
        self.buckets.iter().map(|(m, _)| *m)
    }

    /// A bucket sent more.
    pub fn count(&mut self, bucket: u8, bytes: u64) {
        if let Some((_, n)) = self.buckets.get_mut(usize::from(bucket)) {
            *n = n.saturating_add(bytes);
        }
    }

    /// Bytes of each bucket since lately, that have any: bucket, member, bytes.
    pub fn loads(&self) -> impl Iterator<Item = (usize, u32, u64)> + '_ {
        self.buckets.iter().enumerate().filter(|(_, (_, n))| *n > 0).map(|(i, (m, n))| (i, *m, *n))
    }

    /// Moves buckets from the member that sends most to the one that sends least, as long as that helps,
    /// and lets old loads fade. True when one moved.
    pub fn rebalance(&mut self) -> bool {
        let mut moved = false;
        for _ in 0..BUCKETS {
            let Some((from, to, gap)) = self.extremes() else { break };
            // The bucket that brings both closest together: half of the gap, or a bit less.
            let fits = |(_, (m, n)): &(usize, &(u32, u64))| *m == from && *n > 0 && *n < gap;
            let best = self.buckets.iter().enumerate().filter(fits).min_by_key(|(_, (_, n))| n.abs_diff(gap / 2));
            let Some((at, _)) = best else { break };
            if let Some(bucket) = self.buckets.get_mut(at) {
                bucket.0 = to;
                moved = true;
            }
        }
        for (_, bytes) in &mut self.buckets {
            *bytes /= 2;
        }
        moved
    }

    /// The members that send most and least, and the difference where it matters.
    fn extremes(&self) -> Option<(u32, u32, u64)> {
        let load = |m: &u32| self.buckets.iter().filter(|(b, _)| b == m).map(|(_, n)| n).sum::<u64>();
        let loads: Vec<(u64, u32)> = self.members.iter().map(|m| (load(m), *m)).collect();
        let (most, from) = loads.iter().copied().max()?;
        let (least, to) = loads.iter().copied().min()?;
        let gap = most - least;
        (gap > SLACK && gap > most / 32 && from != to).then_some((from, to, gap))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(b: &Balance, member: u32) -> usize {
        b.members().filter(|m| *m == member).count()
    }

    #[test]
    fn buckets_move_only_when_their_member_stops() {
        let mut b = Balance::default();
        assert!(b.enable(&[1, 2]) && !b.enable(&[1, 2]));
        assert_eq!((share(&b, 1), share(&b, 2)), (128, 128));
        let before: Vec<u32> = b.members().collect();
        assert!(b.enable(&[2]));
        assert_eq!(share(&b, 2), 256);
        assert!(b.enable(&[1, 2]));
        assert_eq!(share(&b, 1), 128);
        let mut c = Balance::default();
        c.enable(&[1, 2]);
        c.enable(&[1, 2, 3]);
        let moved = before.iter().zip(c.members()).filter(|(a, b)| *a != b && *b != 3).count();
        assert_eq!(moved, 0);
        assert!(b.enable(&[]) && b.members().next().is_none());
    }

    #[test]
    fn loads_even_out_and_then_stay() {
        let mut b = Balance::default();
        b.enable(&[1, 2]);
        let busy: Vec<u8> = (0..=255u8).filter(|i| b.members().nth(usize::from(*i)) == Some(1)).take(4).collect();
        busy.iter().for_each(|i| b.count(*i, 10_000_000));
        assert!(b.rebalance());
        let load = |b: &Balance, m: u32| b.loads().filter(|l| l.1 == m).map(|l| l.2).sum::<u64>();
        assert_eq!(load(&b, 1), load(&b, 2));
        assert!(!b.rebalance());
        // One flow that is all of the load has nowhere better to go.
        let mut one = Balance::default();
        one.enable(&[1, 2]);
        one.count(7, 50_000_000);
        assert!(!one.rebalance());
    }
}
