//! MurmurHash3's 32-bit mixing (public domain, Austin Appleby), in the forms that select groups of
//! Open vSwitch are hashed with, so that the same group spreads the same flows alike in both.
//!
//! Deliberately does not know: fields. No defence against chosen keys: never for tables that traffic fills.

/// Mixes one word in.
pub fn add(hash: u32, word: u32) -> u32 {
    let word = word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    (hash ^ word).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
}

/// Ends a hash over `len` bytes.
pub fn finish(hash: u32, len: u32) -> u32 {
    let mut h = hash ^ len;
    h = (h ^ h >> 16).wrapping_mul(0x85eb_ca6b);
    h = (h ^ h >> 13).wrapping_mul(0xc2b2_ae35);
    h ^ h >> 16
}

/// Hash of 64 bits.
pub fn of_u64(x: u64) -> u32 {
    finish(add(add(0, x as u32), (x >> 32) as u32), 8)
}

/// Hash of two words.
pub fn of_pair(x: u32, y: u32) -> u32 {
    finish(add(add(x, 0), y), 8)
}

/// Hash of bytes, continuing from `basis`.
pub fn of_bytes(bytes: &[u8], basis: u32) -> u32 {
    let mut hash = basis;
    for chunk in bytes.chunks(4) {
        let mut word = [0; 4];
        for (w, b) in word.iter_mut().zip(chunk) {
            *w = *b;
        }
        hash = add(hash, u32::from_le_bytes(word));
    }
    finish(hash, bytes.len() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_those_that_open_vswitch_shows_for_a_source_address() {
        let basis = of_bytes(&[10, 0, 0, 1], of_u64(0));
        assert_eq!([of_pair(0, basis) & 0xffff, of_pair(1, basis) & 0xffff], [41105, 41186]);
    }
}
