//! Which of a guest's receive queues a frame goes to.
//!
//! Invariant: frames of one flow keep to one queue.
//! Deliberately does not know: how many cores the guest has awake.

/// The queue below `queues`, by addresses and ports.
#[inline]
pub(crate) fn spread(frame: &[u8], queues: usize) -> usize {
    let mut at = 12;
    while matches!(word(frame, at), 0x8100 | 0x88a8) && at < 24 {
        at += 4;
    }
    let l3 = at + 2;
    let h = match word(frame, at) {
        0x0800 => {
            let options = frame.get(l3).map_or(5, |b| usize::from(b & 15));
            let whole = word(frame, l3 + 6) & 0x3fff == 0;
            mix(frame.get(l3 + 12..l3 + 20), whole.then(|| frame.get(l3 + options * 4..l3 + options * 4 + 4)).flatten())
        }
        0x86dd => mix(frame.get(l3 + 8..l3 + 40), frame.get(l3 + 40..l3 + 44)),
        _ => mix(frame.get(0..12), None),
    };
    // The high half of a product spreads evenly over any number of queues.
    ((u64::from(h) * queues as u64) >> 32) as usize
}

fn word(frame: &[u8], at: usize) -> u16 {
    match frame.get(at..at + 2) {
        Some(&[a, b]) => u16::from_be_bytes([a, b]),
        _ => 0,
    }
}

fn mix(addresses: Option<&[u8]>, ports: Option<&[u8]>) -> u32 {
    let bytes = addresses.into_iter().chain(ports).flatten();
    let h = bytes.fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01b3));
    (h ^ h >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_spread_over_all_queues_and_stay_where_they_are() {
        let mut seen = [0; 5];
        for i in 0..200u8 {
            let mut f = [0u8; 60];
            f[12..14].copy_from_slice(&[8, 0]);
            f[14] = 0x45;
            f[29] = i;
            let q = spread(&f, 5);
            f[50] = 77;
            assert_eq!(spread(&f, 5), q);
            seen[q] += 1;
        }
        assert!(seen.iter().all(|n| *n > 10), "{seen:?}");
        for len in 0..60 {
            assert!(spread(&[0x81; 60][..len], 3) < 3);
        }
    }
}
