//! Seeded pseudo-random numbers (SplitMix64) and mutations of frames.
//!
//! Purpose: the same seed gives the same bytes on every machine and in every version.
//! Invariant: one state word; each draw advances it by a constant.
//! Deliberately does not know: secrecy. Nothing here is fit for keys.

/// A seeded source of numbers.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A source that gives the same numbers for the same seed.
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `end`; 0 when `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        if end == 0 {
            return 0;
        }
        (self.next_u64() % end as u64) as usize
    }

    /// True once in `n` draws, on average.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// `n` bytes.
    pub fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.next_u64() as u8).collect()
    }
}

/// A number that depends on every bit of `x`, the same on every machine.
pub fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Bytes that often stand at a border: lengths, flags, protocol numbers, VLAN and MPLS types.
const TELLING: [u8; 24] =
    [0, 1, 2, 3, 4, 5, 6, 8, 17, 20, 43, 44, 51, 58, 60, 0x45, 0x50, 0x60, 0x81, 0x86, 0x87, 0xaa, 0xdd, 0xff];

/// A damaged copy: some of the first 90 bytes changed, and often cut short.
pub fn mutate(frame: &[u8], random: &mut Random) -> Vec<u8> {
    let mut out = frame.to_vec();
    let reach = out.len().min(90);
    for _ in 0..1 + random.below(3) {
        let at = random.below(reach);
        let Some(byte) = out.get_mut(at) else { break };
        *byte = match random.below(3) {
            0 => *byte ^ (1 << random.below(8)),
            1 => TELLING.get(random.below(TELLING.len())).copied().unwrap_or(0),
            _ => random.next_u64() as u8,
        };
    }
    if random.one_in(3) {
        out.truncate(random.below(out.len().min(160)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_numbers_of_a_seed_never_change() {
        let mut random = Random::new(42);
        assert_eq!(random.next_u64(), 0xbdd7_3226_2feb_6e95);
        let mut again = Random::new(42);
        assert_eq!(again.bytes(3)[0], 0x95);
    }

    #[test]
    fn a_mutation_repeats_with_its_seed() {
        let frame = [9u8; 70];
        assert_eq!(mutate(&frame, &mut Random::new(7)), mutate(&frame, &mut Random::new(7)));
        let _ = mutate(&[], &mut Random::new(1));
    }
}
