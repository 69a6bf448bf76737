//! Keyed multiply-fold hashing of 64-bit words.
//!
//! Purpose: a hash whose collisions a tenant cannot choose without the seeds: each pair of words is
//! multiplied to 128 bits under two secret words and folded, so it is not linear (unlike a CRC).
//! Deliberately does not know: where its seeds come from.

/// Secret words; see [`Seeds::from_entropy`].
#[derive(Clone, Copy, Debug)]
pub struct Seeds {
    words: [u64; 4],
}

impl Seeds {
    /// Seeds that are the same in every run: for replay and tests.
    pub const FIXED: Seeds = Seeds {
        words: [0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f, 0x1656_67b1_9e37_79f9, 0xd6e8_feb8_6659_fd93],
    };

    /// Spreads 64 random bits over all seeds.
    pub fn from_entropy(mut x: u64) -> Seeds {
        let mut words = [0; 4];
        for w in &mut words {
            x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = x;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            *w = (z ^ (z >> 31)) | 1;
        }
        Seeds { words }
    }

    /// Hash of any number of words.
    #[inline]
    pub fn hash(&self, words: &[u64]) -> u64 {
        let mut acc = self.words[3];
        let mut pairs = words.chunks_exact(2);
        for p in &mut pairs {
            acc = fold(p[0] ^ self.words[0] ^ acc, p[1] ^ self.words[1].rotate_left((acc & 1) as u32));
        }
        if let [last] = pairs.remainder() {
            acc = fold(last ^ self.words[2] ^ acc, self.words[1]);
        }
        fold(acc ^ self.words[0], self.words[2])
    }

    /// Hash of the five narrow words of a flow key: three independent multiplications.
    #[inline(always)]
    pub fn hash5(&self, w: &[u64; 5]) -> u64 {
        let a = fold(w[0] ^ self.words[0], w[1] ^ self.words[1]);
        let b = fold(w[2] ^ self.words[2], w[3] ^ self.words[3]);
        fold(a ^ w[4] ^ self.words[1], b ^ self.words[0])
    }
}

#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let p = (a as u128).wrapping_mul(b as u128);
    (p as u64) ^ ((p >> 64) as u64)
}

/// Takes one more word into a hash of the operator's rules.
#[inline(always)]
pub(crate) fn step(hash: u64, word: u64) -> u64 {
    fold(hash ^ word ^ Seeds::FIXED.words[0], Seeds::FIXED.words[1])
}

/// `std` hasher over [`fold`], for maps keyed by the operator's rules.
#[derive(Clone, Copy, Default)]
pub struct FoldHasher(u64);

impl std::hash::Hasher for FoldHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut w = [0; 8];
            w[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(w));
        }
    }
    fn write_u64(&mut self, w: u64) {
        self.0 = step(self.0, w);
    }
    fn write_u32(&mut self, w: u32) {
        self.write_u64(w as u64);
    }
    fn write_u8(&mut self, w: u8) {
        self.write_u64(w as u64);
    }
    fn write_u16(&mut self, w: u16) {
        self.write_u64(w as u64);
    }
    fn write_usize(&mut self, w: usize) {
        self.write_u64(w as u64);
    }
}

/// Builds [`FoldHasher`]s that begin with a secret: for maps keyed by what traffic may have a part in.
#[derive(Clone, Copy, Debug)]
pub struct KeyedBuild(u64);

impl KeyedBuild {
    /// With the secret of these seeds.
    pub fn new(seeds: Seeds) -> Self {
        KeyedBuild(fold(seeds.words[0] ^ seeds.words[3], seeds.words[1]))
    }
}

impl Default for KeyedBuild {
    fn default() -> Self {
        KeyedBuild::new(Seeds::FIXED)
    }
}

impl std::hash::BuildHasher for KeyedBuild {
    type Hasher = FoldHasher;

    fn build_hasher(&self) -> FoldHasher {
        FoldHasher(self.0)
    }
}

/// Builds [`FoldHasher`]s.
pub type FoldBuild = std::hash::BuildHasherDefault<FoldHasher>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_words_hash_equal_and_neighbours_spread() {
        let s = Seeds::from_entropy(7);
        let mut low = std::collections::HashSet::new();
        for i in 0..4096u64 {
            low.insert(s.hash5(&[1, 2, i, 4, 5]) & 0xffff);
        }
        assert!(low.len() > 3900, "{} of 4096 buckets", low.len());
        assert_eq!(s.hash(&[1, 2, 3]), s.hash(&[1, 2, 3]));
        assert_ne!(s.hash(&[1, 2, 3]), s.hash(&[1, 3, 2]));
    }
}
