//! The Internet checksum (RFC 1071), its incremental update (RFC 1624), pseudo headers, CRC32c for SCTP.
//!
//! Purpose: compute, verify and adjust checksums.
//! A *sum* is a one's complement sum that is not folded yet: sums of parts add up with [`add`].
//! Invariant: every function is total; an odd last byte counts as the high byte of a 16-bit word.
//! Deliberately does not know: where in a frame a checksum is.

mod crc32c;

pub use crc32c::{crc32c, crc32c_change};

/// Bytes summed at once by wide instructions.
const BLOCK: usize = 64;

/// One's complement sum of the big-endian 16-bit words of `bytes`, not folded.
///
/// Parts of one datagram may be summed apart if every part but the last has an even length.
#[inline]
pub fn sum(bytes: &[u8]) -> u64 {
    u64::from(u16::from_be(fold(native_sum(bytes))))
}

/// As [`sum`], of words in the processor's own byte order: folded, its bytes may have to be swapped.
///
/// Whoever verifies a checksum need not swap: all ones are all ones in any order.
#[inline]
pub fn native_sum(bytes: &[u8]) -> u64 {
    // The sum does not depend on the byte order but for a swap of its halves (RFC 1071, section 2), and
    // 2^16 = 1 modulo 0xffff: so native words of any width add up to the same sum once folded.
    let (mut total, mut rest) = (0, bytes);
    while let Some((block, behind)) = rest.split_first_chunk::<BLOCK>() {
        total = add(total, block_sum(block));
        rest = behind;
    }
    while let Some((word, behind)) = rest.split_first_chunk() {
        total = add(total, u64::from_ne_bytes(*word));
        rest = behind;
    }
    add(total, tail_sum(rest))
}

/// Sixteen 32-bit words, which cannot overflow 64 bits.
#[inline(always)]
fn block_sum(block: &[u8; BLOCK]) -> u64 {
    let words = block.chunks_exact(4).filter_map(<[u8]>::first_chunk);
    words.map(|word| u64::from(u32::from_ne_bytes(*word))).sum()
}

/// Up to seven bytes, of which a last odd one counts as the high byte of a big-endian word.
#[inline(always)]
fn tail_sum(tail: &[u8]) -> u64 {
    let (mut total, mut rest) = (0, tail);
    if let Some((four, behind)) = rest.split_first_chunk() {
        total += u64::from(u32::from_ne_bytes(*four));
        rest = behind;
    }
    if let Some((two, behind)) = rest.split_first_chunk() {
        total += u64::from(u16::from_ne_bytes(*two));
        rest = behind;
    }
    total + rest.first().map_or(0, |last| u64::from(u16::from_ne_bytes([*last, 0])))
}

/// The sum of two sums.
#[inline(always)]
pub const fn add(a: u64, b: u64) -> u64 {
    let (total, carry) = a.overflowing_add(b);
    // 2^64 = 1 modulo 0xffff; the wrapped total is at most 2^64 - 2, so the carry cannot overflow.
    total.wrapping_add(carry as u64)
}

/// The sum folded to 16 bits (not complemented).
#[inline(always)]
pub const fn fold(sum: u64) -> u16 {
    // A sum and its exchanged halves: the upper half of the total has the carry of the lower one in it.
    let sum = (sum.wrapping_add(sum.rotate_left(32)) >> 32) as u32;
    (sum.wrapping_add(sum.rotate_left(16)) >> 16) as u16
}

/// The checksum to write for a sum over everything with the checksum field as zero.
#[inline]
pub const fn finish(sum: u64) -> u16 {
    !fold(sum)
}

/// As [`finish`], for UDP, where 0 would say "no checksum".
#[inline]
pub const fn finish_udp(sum: u64) -> u16 {
    match finish(sum) {
        0 => 0xffff,
        checksum => checksum,
    }
}

/// Is a sum that includes the checksum itself that of an undamaged datagram?
#[inline]
pub const fn is_valid(sum: u64) -> bool {
    fold(sum) == 0xffff
}

/// The checksum after a 16-bit word that it covers changed from `old` to `new`.
#[inline]
pub const fn incremental16(checksum: u16, old: u16, new: u16) -> u16 {
    // HC' = ~(~HC + ~m + m'), the form of RFC 1624 that never turns a right 0x0000 into 0xffff.
    !fold(!checksum as u64 + !old as u64 + new as u64)
}

/// The checksum after two adjacent 16-bit words, seen as one 32-bit word, changed.
#[inline]
pub const fn incremental32(checksum: u16, old: u32, new: u32) -> u16 {
    !fold(!checksum as u64 + !old as u64 + new as u64)
}

/// The checksum after a 128-bit field (an IPv6 address) changed.
#[inline]
pub fn incremental128(checksum: u16, old: u128, new: u128) -> u16 {
    incremental_sum(checksum, sum(&old.to_be_bytes()), sum(&new.to_be_bytes()))
}

/// The checksum after bytes whose sum was `old` were replaced by bytes whose sum is `new`.
#[inline]
pub const fn incremental_sum(checksum: u16, old: u64, new: u64) -> u16 {
    !fold(!checksum as u64 + !fold(old) as u64 + fold(new) as u64)
}

/// Sum of the IPv4 pseudo header of TCP and UDP; `len` counts the transport header and its payload.
#[inline]
pub const fn pseudo4(src: u32, dst: u32, proto: u8, len: u32) -> u64 {
    src as u64 + dst as u64 + proto as u64 + len as u64
}

/// Sum of the IPv6 pseudo header of TCP, UDP and ICMPv6; `len` counts the transport header and its payload.
#[inline]
pub fn pseudo6(src: u128, dst: u128, proto: u8, len: u32) -> u64 {
    let addresses = add(sum(&src.to_be_bytes()), sum(&dst.to_be_bytes()));
    add(addresses, u64::from(proto) + u64::from(len))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition: 16-bit words, end-around carry after each addition.
    fn by_definition(bytes: &[u8]) -> u16 {
        bytes.chunks(2).fold(0u16, |total, pair| {
            let word = u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]);
            let (t, carry) = total.overflowing_add(word);
            t + u16::from(carry)
        })
    }

    fn noise(len: usize) -> Vec<u8> {
        (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
    }

    #[test]
    fn the_example_of_rfc_1071_sums_to_ddf2() {
        assert_eq!(fold(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7])), 0xddf2);
    }

    #[test]
    fn the_wide_sum_is_the_defined_one_at_every_length() {
        for len in 0..200 {
            for bytes in [noise(len), vec![0xff; len], vec![0; len]] {
                assert_eq!(fold(sum(&bytes)), by_definition(&bytes), "length {len}");
            }
        }
        assert_eq!(fold(u64::MAX), 0xffff);
    }

    #[test]
    fn sums_of_even_parts_add_up() {
        let bytes = noise(101);
        for at in (0..100).step_by(2) {
            assert_eq!(fold(add(sum(&bytes[..at]), sum(&bytes[at..]))), fold(sum(&bytes)));
        }
    }

    #[test]
    fn an_incremental_update_gives_what_summing_again_gives() {
        let mut bytes = noise(64);
        for at in (2..60).step_by(2) {
            bytes[0..2].fill(0);
            let before = finish(sum(&bytes));
            let old = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
            for new in [0, 0xffff_ffff, 0x0001_0000, 0x1234_5678, !old] {
                let mut changed = bytes.clone();
                changed[at..at + 4].copy_from_slice(&new.to_be_bytes());
                assert_eq!(incremental32(before, old, new), finish(sum(&changed)));
                let half = incremental16(before, (old >> 16) as u16, (new >> 16) as u16);
                assert_eq!(incremental16(half, old as u16, new as u16), finish(sum(&changed)));
                let (was, is) = (sum(&old.to_be_bytes()), sum(&new.to_be_bytes()));
                assert_eq!(incremental_sum(before, was, is), finish(sum(&changed)));
            }
        }
    }

    #[test]
    fn the_trap_of_rfc_1624_is_avoided() {
        // The example of its section 4: a header checksum of 0xdd2f, a word from 0x5555 to 0x3285 gives 0.
        assert_eq!(incremental16(0xdd2f, 0x5555, 0x3285), 0x0000);
    }

    #[test]
    fn an_address_change_moves_a_pseudo_header_s_checksum_with_it() {
        let (a, b) = (0xfe80_0000_0000_0000_0000_0000_0000_0001u128, 0x2001_0db8_ffff_ffff_0000_1234_0000_ffffu128);
        let dst = 0xff02u128 << 112 | 1;
        let before = finish(pseudo6(a, dst, 58, 32));
        assert_eq!(incremental128(before, a, b), finish(pseudo6(b, dst, 58, 32)));
        let four = finish(pseudo4(0x0a00_0001, 0x0a00_0002, 17, 8));
        assert_eq!(incremental32(four, 0x0a00_0001, 0xc0a8_0001), finish(pseudo4(0xc0a8_0001, 0x0a00_0002, 17, 8)));
    }

    #[test]
    fn a_udp_checksum_of_zero_is_sent_as_all_ones() {
        assert_eq!(finish(0xffff), 0);
        assert_eq!(finish_udp(0xffff), 0xffff);
        assert_eq!(finish_udp(0x1234), !0x1234);
        assert!(is_valid(0xffff));
    }
}
