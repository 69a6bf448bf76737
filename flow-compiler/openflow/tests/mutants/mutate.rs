//! Mutants of messages and texts.

/// A sequence of numbers that is the same in every run.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Rng {
        Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `n`, which is not 0.
    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 11) as usize % n.max(1)
    }
}

/// Makes mutants of seeds.
pub struct Mutator<'a, S> {
    rng: Rng,
    seeds: &'a [S],
}

/// Longest message there can be.
const LONGEST: usize = 0xffff;
/// Lengths, types and counts that are likely to be at the edge of something.
const EDGES: [u16; 16] = [0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 24, 255, 0x7fff, 0x8000, 0xfffe, 0xffff];
/// Words that meet in texts.
const WORDS: [&str; 24] = [
    "=", ",", "(", ")", "->", "[", "]", "..", "/", ":", " ", "\n", "#", "é", "0", "-1", "65536", "4294967296", "0x", "99999999999999999999", "actions=", "bucket=", "learn(",
    "clone(",
];

impl<'a, S> Mutator<'a, S> {
    pub fn new(rng: Rng, seeds: &'a [S]) -> Self {
        Mutator { rng, seeds }
    }

    fn seed(&mut self) -> &'a S {
        &self.seeds[self.rng.below(self.seeds.len())]
    }
}

impl Mutator<'_, Vec<u8>> {
    /// A message that differs from a seed in a few places; nine times in ten its length is told truly.
    pub fn message(&mut self) -> Vec<u8> {
        let mut bytes = self.seed().clone();
        for _ in 0..1 + self.rng.below(4) {
            self.change(&mut bytes);
        }
        bytes.truncate(LONGEST);
        if bytes.len() >= 4 && self.rng.below(10) > 0 {
            let length = (bytes.len() as u16).to_be_bytes();
            bytes[2..4].copy_from_slice(&length);
        }
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let at = self.rng.below(bytes.len() + 1);
        let end = at + self.rng.below(bytes.len() - at + 1);
        let edge = EDGES[self.rng.below(EDGES.len())].to_be_bytes();
        match self.rng.below(9) {
            0 => bytes.truncate(at.max(8)),
            1 => drop(bytes.drain(at..end)),
            2 => {
                // Something comes twice, or very often.
                let piece = bytes[at..end].to_vec();
                let often = if self.rng.below(20) == 0 { (LONGEST - bytes.len().min(LONGEST)) / piece.len().max(1) } else { 1 };
                let again = piece.repeat(often.min(LONGEST));
                bytes.splice(end..end, again);
            }
            3 => {
                let other = self.seed();
                let from = self.rng.below(other.len());
                let piece = other[from..].to_vec();
                bytes.splice(at..end, piece);
            }
            4 => bytes.iter_mut().skip(at).take(1).for_each(|b| *b ^= 1 << (end & 7)),
            5 => bytes.iter_mut().skip(at).take(1).for_each(|b| *b = edge[1]),
            6 => bytes.splice(at..at, edge).for_each(drop),
            // Fields are aligned.
            _ => {
                let at = at & !1;
                bytes.iter_mut().skip(at).zip(edge).for_each(|(b, e)| *b = e);
            }
        }
    }
}

impl Mutator<'_, String> {
    /// A text that differs from a seed in a few places.
    pub fn text(&mut self) -> String {
        let mut chars: Vec<char> = self.seed().chars().collect();
        for _ in 0..1 + self.rng.below(4) {
            let at = self.rng.below(chars.len() + 1);
            let end = at + self.rng.below((chars.len() - at).min(12) + 1);
            match self.rng.below(6) {
                0 => drop(chars.drain(at..end)),
                1 => {
                    let piece = chars[at..end].repeat(1 + self.rng.below(3));
                    chars.splice(at..at, piece);
                }
                2 => {
                    let other: Vec<char> = self.seed().chars().collect();
                    let from = self.rng.below(other.len());
                    chars.splice(at..end, other[from..].iter().copied());
                }
                3 => {
                    let word = WORDS[self.rng.below(WORDS.len())];
                    let often = if self.rng.below(50) == 0 { 5000 } else { 1 };
                    chars.splice(at..at, word.repeat(often).chars());
                }
                4 if at < chars.len() => chars[at] = char::from(32 + self.rng.below(95) as u8),
                _ => chars.truncate(at),
            }
        }
        chars.into_iter().take(100_000).collect()
    }
}
