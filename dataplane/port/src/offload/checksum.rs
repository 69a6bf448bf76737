//! The Internet checksum over frames of several segments.

use sluice_frame::Frame;

/// Adds bytes to a sum of big-endian 16-bit words; `odd` says that an odd number came before.
pub(super) fn add(sum: u64, bytes: &[u8], odd: bool) -> u64 {
    if odd {
        let Some((first, rest)) = bytes.split_first() else { return sum };
        return add(sum + u64::from(*first), rest, false);
    }
    let mut words = bytes.chunks_exact(4);
    let mut total = sum;
    for w in words.by_ref() {
        if let [a, b, c, d] = *w {
            total += u64::from(u32::from_be_bytes([a, b, c, d]));
        }
    }
    match *words.remainder() {
        [a] => total += u64::from(a) << 8,
        [a, b] => total += u64::from(u16::from_be_bytes([a, b])),
        [a, b, c] => total += u64::from(u16::from_be_bytes([a, b])) + (u64::from(c) << 8),
        _ => {}
    }
    total
}

/// Folds a sum to 16 bits.
pub(super) fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// Writes a big-endian 16-bit field; false when it lies outside.
#[must_use]
pub(super) fn put16(bytes: &mut [u8], at: usize, value: u16) -> bool {
    let Some(field) = bytes.get_mut(at..at + 2) else { return false };
    field.copy_from_slice(&value.to_be_bytes());
    true
}

/// Reads a big-endian 16-bit field.
pub(super) fn get16(bytes: &[u8], at: usize) -> Option<u16> {
    match bytes.get(at..at + 2)? {
        [a, b] => Some(u16::from_be_bytes([*a, *b])),
        _ => None,
    }
}

/// Completes a checksum that holds the pseudo header only.
///
/// False (and no change) when the record points outside of the frame or the checksum field is not
/// in the first segment. A frame that needs nothing is left alone.
#[must_use]
pub fn fill(frame: &mut Frame) -> bool {
    if !frame.meta.needs_csum {
        return true;
    }
    let start = usize::from(frame.meta.csum_start);
    let field = start + usize::from(frame.meta.csum_offset);
    if field + 2 > frame.head().len() {
        return false;
    }
    let (mut skip, mut odd, mut sum) = (start, false, 0);
    for segment in frame.segments() {
        let Some(bytes) = segment.get(skip..) else {
            skip -= segment.len();
            continue;
        };
        skip = 0;
        sum = add(sum, bytes, odd);
        odd ^= bytes.len() % 2 == 1;
    }
    // Zero means "no checksum" in UDP; the other zero of one's complement is equal everywhere else.
    let value = match !fold(sum) {
        0 => 0xffff,
        v => v,
    };
    if !put16(frame.head_mut(), field, value) {
        return false;
    }
    frame.meta.needs_csum = false;
    frame.meta.csum_valid = true;
    true
}
