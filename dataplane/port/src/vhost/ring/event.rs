//! When the other side wants to be told: arithmetic of the event index.
//!
//! Invariant: indices are counted modulo 2^16 (split) or by ring and wrap bit (packed); with any
//! wrap-around the other side is told exactly when its index was passed.

/// Was `event` passed on the way from `old` to `new`?
#[inline]
pub(crate) fn passed(event: u16, new: u16, old: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}

/// A place in a packed ring: an index below the ring's size and the wrap bit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub index: u16,
    pub wrap: bool,
}

impl Place {
    /// As one word: bit 15 is the wrap bit.
    pub(crate) fn word(self) -> u16 {
        self.index | u16::from(self.wrap) << 15
    }

    pub(crate) fn from_word(word: u16) -> Place {
        Place { index: word & 0x7fff, wrap: word >> 15 != 0 }
    }

    /// `n` descriptors further; `n` is at most the ring's size.
    #[inline(always)]
    pub(crate) fn after(self, n: u16, size: u16) -> Place {
        let next = u32::from(self.index) + u32::from(n);
        if next >= u32::from(size) {
            Place { index: (next - u32::from(size)) as u16, wrap: !self.wrap }
        } else {
            Place { index: next as u16, wrap: self.wrap }
        }
    }
}

/// Was `event` passed in a packed ring, when less than a ring of descriptors lies between `old` and `new`?
pub(crate) fn passed_packed(event: Place, new: Place, old: Place, size: u16) -> bool {
    // Positions on a circle of two rounds: index plus a ring for the other wrap bit.
    let circle = 2 * u32::from(size);
    let at = |p: Place| u32::from(p.index) + if p.wrap { 0 } else { u32::from(size) };
    let way = |from: u32, to: u32| (to + circle - from) % circle;
    if event.index >= size {
        return true;
    }
    let (event, new, old) = (at(event), at(new), at(old));
    way(old, event) < way(old, new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_events_are_passed_exactly_once_around_the_wrap() {
        for start in [0u16, 1, 7, 32_760, 65_529, 65_535] {
            for steps in 0..9u16 {
                for ahead in 0..12u16 {
                    let event = start.wrapping_add(ahead);
                    let new = start.wrapping_add(steps);
                    assert_eq!(passed(event, new, start), ahead < steps, "{start} {steps} {ahead}");
                }
            }
        }
    }

    #[test]
    fn packed_events_are_passed_exactly_once_for_all_small_rings() {
        for size in 1..=8u16 {
            for first in 0..2 * size {
                let old = Place { index: first % size, wrap: first < size };
                for steps in 0..=size {
                    for ahead in 0..2 * size {
                        let mut event = old;
                        for _ in 0..ahead {
                            event = event.after(1, size);
                        }
                        let new = old.after(steps, size);
                        assert_eq!(passed_packed(event, new, old, size), ahead < steps, "{size} {first} {steps} {ahead}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_place_survives_its_word_and_steps_add_up() {
        for size in 1..=8u16 {
            let mut p = Place { index: 0, wrap: true };
            for k in 0..4 * size {
                assert_eq!(p, Place { index: k % size, wrap: (k / size) % 2 == 0 });
                assert_eq!(Place::from_word(p.word()), p);
                for n in 0..=size {
                    let mut one_by_one = p;
                    (0..n).for_each(|_| one_by_one = one_by_one.after(1, size));
                    assert_eq!(p.after(n, size), one_by_one);
                }
                p = p.after(1, size);
            }
        }
    }
}
