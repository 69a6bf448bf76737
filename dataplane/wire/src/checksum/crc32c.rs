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

/// CRC32c of some bytes.
pub fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        let index = usize::from(crc as u8 ^ byte);
        // An 8-bit index is always inside: the default is never taken.
        TABLE.get(index).copied().unwrap_or(0) ^ crc >> 8
    })
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
}
