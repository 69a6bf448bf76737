//! Total reads and writes of big-endian integers in byte slices.
//!
//! Purpose: the one place where bytes become integers, so that no header module indexes.
//! Invariant: reading past the end gives `None` (or 0 for the `*_or_zero` forms); writing past it changes nothing.
//! With a constant offset into an array the checks compile to nothing.
//! Deliberately does not know: any header.

/// `N` bytes at `at`.
#[inline(always)]
pub fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<&[u8; N]> {
    bytes.get(at..)?.first_chunk()
}

/// The byte at `at`.
#[inline(always)]
pub fn u8_at(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).copied()
}

/// 16 bits at `at`.
#[inline(always)]
pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(|b| u16::from_be_bytes(*b))
}

/// 32 bits at `at`.
#[inline(always)]
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(|b| u32::from_be_bytes(*b))
}

/// 64 bits at `at`.
#[inline(always)]
pub fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array_at(bytes, at).map(|b| u64::from_be_bytes(*b))
}

/// 128 bits at `at`.
#[inline(always)]
pub fn u128_at(bytes: &[u8], at: usize) -> Option<u128> {
    array_at(bytes, at).map(|b| u128::from_be_bytes(*b))
}

/// 16 bits at `at`, 0 where there are none.
#[inline(always)]
pub fn u16_or_zero(bytes: &[u8], at: usize) -> u16 {
    u16_at(bytes, at).unwrap_or(0)
}

/// 32 bits at `at`, 0 where there are none.
#[inline(always)]
pub fn u32_or_zero(bytes: &[u8], at: usize) -> u32 {
    u32_at(bytes, at).unwrap_or(0)
}

/// 64 bits at `at`, 0 where there are none.
#[inline(always)]
pub fn u64_or_zero(bytes: &[u8], at: usize) -> u64 {
    u64_at(bytes, at).unwrap_or(0)
}

/// A 48-bit address at `at`, right-aligned.
#[inline(always)]
pub fn u48_at(bytes: &[u8], at: usize) -> Option<u64> {
    array_at::<6>(bytes, at).map(|b| {
        let &[b0, b1, b2, b3, b4, b5] = b;
        u64::from_be_bytes([0, 0, b0, b1, b2, b3, b4, b5])
    })
}

/// Writes `value` at `at`; false (and no change) when it does not fit.
#[inline(always)]
#[must_use]
pub fn put(bytes: &mut [u8], at: usize, value: &[u8]) -> bool {
    let Some(place) = bytes.get_mut(at..).and_then(|b| b.get_mut(..value.len())) else {
        return false;
    };
    place.copy_from_slice(value);
    true
}

/// Writes 16 bits at `at`; false when they do not fit.
#[inline(always)]
#[must_use]
pub fn put_u16(bytes: &mut [u8], at: usize, value: u16) -> bool {
    put(bytes, at, &value.to_be_bytes())
}

/// Writes 32 bits at `at`; false when they do not fit.
#[inline(always)]
#[must_use]
pub fn put_u32(bytes: &mut [u8], at: usize, value: u32) -> bool {
    put(bytes, at, &value.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_past_the_end_gives_nothing_at_any_offset() {
        let b = [1, 2, 3, 4, 5, 6, 7];
        assert_eq!(u16_at(&b, 5), Some(0x0607));
        assert_eq!(u16_at(&b, 6), None);
        assert_eq!(u48_at(&b, 1), Some(0x0203_0405_0607));
        assert_eq!(u48_at(&b, 2), None);
        assert_eq!(u32_at(&b, usize::MAX), None);
        assert_eq!(u64_or_zero(&b, 0), 0);
    }

    #[test]
    fn writing_past_the_end_changes_nothing() {
        let mut b = [0; 3];
        assert!(!put_u16(&mut b, 2, 0xffff));
        assert!(!put_u16(&mut b, usize::MAX, 0xffff));
        assert_eq!(b, [0; 3]);
        assert!(put_u16(&mut b, 1, 0x0102));
        assert_eq!(b, [0, 1, 2]);
    }
}
