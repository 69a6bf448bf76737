//! What tells the rules of a long chain apart.
//!
//! Purpose: the mask of the group that takes rules out of a chain. What any two of the rules both look
//! at is a candidate, made coarser so that most rules to come will fit as well: runs of bits
//! (prefixes, ports) are cut to multiples of eight, where that tells nothing apart of four, else not
//! at all. Under the best one most rules have values of their own; then it is the one that more of
//! them look at, then the coarsest.
//! Deliberately does not know: fields. Any bits of any header, register or label serve alike.

use super::group::covers;
use crate::hash;
use crate::key::Key;
use crate::rule::SparseMask;

/// Lengths that runs of bits are cut to multiples of, the coarsest first.
const GRAINS: [u32; 3] = [8, 4, 1];

/// A rule of the chain.
pub(super) struct Member<'a> {
    pub mask: &'a SparseMask,
    pub key: Key,
}

/// How good a candidate is; more is better, in this order.
type Score = (usize, usize, std::cmp::Reverse<u32>);

/// The best mask finer than `from` that no group has yet; `None` when nothing tells two rules apart.
pub(super) fn choose(members: &[Member<'_>], from: &SparseMask, taken: &[&SparseMask]) -> Option<SparseMask> {
    GRAINS.into_iter().find_map(|grain| choose_coarse(members, from, taken, grain))
}

fn choose_coarse(members: &[Member<'_>], from: &SparseMask, taken: &[&SparseMask], grain: u32) -> Option<SparseMask> {
    let mut best: Option<(Score, SparseMask)> = None;
    let mut seen: Vec<SparseMask> = Vec::new();
    for (i, a) in members.iter().enumerate() {
        for b in &members[i..] {
            let mask = common(a.mask, b.mask, grain);
            if seen.contains(&mask) {
                continue;
            }
            seen.push(mask.clone());
            if mask == *from || taken.contains(&&mask) {
                continue;
            }
            let score = score(members, &mask);
            if score.0 > (members.len() / 16).max(1) && best.as_ref().is_none_or(|(s, _)| score > *s) {
                best = Some((score, mask));
            }
        }
    }
    best.map(|(_, mask)| mask)
}

fn score(members: &[Member<'_>], mask: &SparseMask) -> Score {
    let mut values: Vec<u64> = Vec::with_capacity(members.len());
    let mut fitting = 0;
    for m in members.iter().filter(|m| covers(m.mask, mask)) {
        fitting += 1;
        let value = mask.words.iter().fold(0, |h, (w, bits)| hash::step(h, m.key.words[*w as usize] & bits));
        if !values.contains(&value) {
            values.push(value);
        }
    }
    let bits = mask.words.iter().map(|(_, m)| m.count_ones()).sum();
    (values.len(), fitting, std::cmp::Reverse(bits))
}

/// Bits that both look at, cut to the grain.
fn common(a: &SparseMask, b: &SparseMask, grain: u32) -> SparseMask {
    let bits = |word| b.words.iter().find(|(w, _)| *w == word).map_or(0, |(_, m)| *m);
    SparseMask { words: a.words.iter().map(|(w, m)| (*w, cut(m & bits(*w), grain))).filter(|(_, m)| *m != 0).collect() }
}

/// The mask with each run of ones shortened, at its low end, to a multiple of `grain`.
fn cut(mask: u64, grain: u32) -> u64 {
    let (mut rest, mut out) = (mask, 0);
    while rest != 0 {
        let above = rest.leading_zeros();
        let run = (rest << above).leading_ones();
        out |= run_of(above, run - run % grain);
        rest &= !run_of(above, run);
    }
    out
}

/// `len` ones below `above` zeros.
fn run_of(above: u32, len: u32) -> u64 {
    let from_top = |n: u32| if n == 0 { 0 } else { u64::MAX << (64 - n) };
    from_top(above + len) & !from_top(above)
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn runs_of_ones_are_cut_at_their_low_end() {
        assert_eq!(cut(0xffff_ff80_0000_0000, 8), 0xffff_ff00_0000_0000);
        assert_eq!(cut(0x0000_fffc_0000_03f0, 4), 0x0000_fff0_0000_03c0);
        assert_eq!(cut(u64::MAX, 8), u64::MAX);
        assert_eq!(cut(0x8000_0000_0000_0001, 1), 0x8000_0000_0000_0001);
        assert_eq!(cut(0x7, 4), 0);
    }
}
