//! A range of port numbers as values under masks.
//!
//! Purpose: the fewest value/mask pairs that cover exactly a range.

/// `(value, mask)` pairs that match exactly `low..=high`, in ascending order; at most 30.
pub fn masks(low: u16, high: u16) -> Vec<(u16, u16)> {
    let mut pairs = Vec::new();
    let (mut next, high) = (u32::from(low), u32::from(high));
    while next <= high {
        // The largest aligned block that begins here and ends within the range.
        let aligned = if next == 0 { 16 } else { next.trailing_zeros().min(16) };
        let size = (0..=aligned).rev().find(|bits| next + (1 << bits) - 1 <= high).unwrap_or(0);
        pairs.push((next as u16, !((1u32 << size) - 1) as u16));
        next += 1 << size;
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::masks;
    use proptest::prelude::*;

    #[test]
    fn known_ranges_have_known_masks() {
        assert_eq!(masks(80, 80), [(80, 0xffff)]);
        assert_eq!(masks(0, 65535), [(0, 0)]);
        assert_eq!(masks(8000, 8099), [(0x1f40, 0xffc0), (0x1f80, 0xffe0), (0x1fa0, 0xfffc)]);
        assert_eq!(masks(1, 65534).len(), 30);
        assert!(masks(2, 1).is_empty());
    }

    proptest! {
        #[test]
        fn a_range_is_covered_exactly_and_once(a: u16, b: u16, probe: u16) {
            let (low, high) = (a.min(b), a.max(b));
            for port in [probe, low, high, low.wrapping_sub(1), high.wrapping_add(1)] {
                let hits = masks(low, high).iter().filter(|(v, m)| port & m == *v).count();
                prop_assert_eq!(hits, usize::from(low <= port && port <= high));
            }
        }
    }
}
