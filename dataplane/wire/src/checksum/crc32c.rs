//! CRC32c (Castagnoli), the checksum of SCTP (RFC 9260, appendix A).
//!
//! Purpose: SCTP packets keep a right checksum when their ports change.
//! Invariant: a table of 256 entries computed at build time; one look-up per byte.
//! Deliberately does not know: that SCTP stores the result with its low byte first.

const REFLECTED_POLYNOMIAL: u32 = 0x82f6_3b78;

const TABLE: [u32; 256] = table();

// At build time, with indexes below 256: a mistake would not compile.
#[allow(clippy::indexing_slicing)]
const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 != 0 { crc >> 1 ^ REFLECTED_POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
}

fn step(crc: u32, byte: u8) -> u32 {
    // An 8-bit index is always inside: the default is never taken.
    TABLE.get(usize::from(crc as u8 ^ byte)).copied().unwrap_or(0) ^ crc >> 8
}

/// CRC32c of some bytes.
pub fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| step(crc, *byte))
}

/// What changes in the CRC32c of a packet when some of its bytes change: `difference` is old xor new of those
/// bytes, and `behind` says how many bytes follow them. The rest of the packet need not be looked at.
pub fn crc32c_change(difference: impl Iterator<Item = u8>, behind: usize) -> u32 {
    difference.chain(std::iter::repeat_n(0, behind)).fold(0, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_vectors_of_rfc_3720_hold() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(&[]), 0);
    }

    #[test]
    fn a_change_of_some_bytes_changes_the_checksum_by_what_is_said() {
        let old: Vec<u8> = (0..100u8).collect();
        for (at, len) in [(0, 4), (2, 2), (50, 8), (98, 2)] {
            let mut new = old.clone();
            new[at..at + len].iter_mut().for_each(|b| *b = b.wrapping_mul(7) ^ 0x5a);
            let difference = old.iter().zip(&new).map(|(a, b)| a ^ b).skip(at).take(len);
            assert_eq!(crc32c(&new), crc32c(&old) ^ crc32c_change(difference, 100 - at - len), "{len} bytes at {at}");
        }
    }
}
