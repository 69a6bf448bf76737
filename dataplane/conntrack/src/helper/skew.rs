//! Sequence numbers of a stream whose text was made longer or shorter on its way.
//!
//! The tracker knows a peer's numbers as the peer sends them; the other end sees them moved. Only the last
//! change and what was moved before it are kept: what is older was acknowledged long ago.
//! Deliberately does not know: texts, packets.

/// How one direction's numbers are moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Skew {
    /// First byte of the segment that was last changed, as its sender numbers it.
    position: u32,
    /// Added to numbers up to there.
    before: u32,
    /// Added to numbers behind it.
    after: u32,
}

fn is_behind(a: u32, b: u32) -> bool {
    a.wrapping_sub(b) as i32 > 0
}

impl Skew {
    /// Is nothing moved?
    pub fn is_none(&self) -> bool {
        self.before == 0 && self.after == 0
    }

    /// What the receiver is to see in place of a sender's number.
    pub fn shift(&self, sent: u32) -> u32 {
        sent.wrapping_add(if is_behind(sent, self.position) { self.after } else { self.before })
    }

    /// The sender's number that a receiver means by this one.
    pub fn undo(&self, seen: u32) -> u32 {
        let behind = is_behind(seen.wrapping_sub(self.before), self.position);
        seen.wrapping_sub(if behind { self.after } else { self.before })
    }

    /// The text of the segment at `seq` is to be longer by `by` (or shorter): false for one that was changed before.
    pub fn extend(&mut self, seq: u32, by: i32) -> bool {
        let fresh = self.before == self.after || is_behind(seq, self.position);
        if fresh && by != 0 {
            *self = Skew { position: seq, before: self.after, after: self.after.wrapping_add(by as u32) };
        }
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_moved_is_moved_back() {
        let mut s = Skew::default();
        assert!(s.is_none());
        s.extend(1000, 3);
        s.extend(u32::MAX - 5, 0);
        s.extend(2000, -1);
        for seq in [1990, 2000, 2030, 3000] {
            assert_eq!(s.undo(s.shift(seq)), seq, "{seq}");
        }
        assert_eq!((s.shift(2000), s.shift(2030)), (2003, 2032));
    }

    #[test]
    fn a_segment_that_is_sent_again_moves_nothing_more() {
        let mut s = Skew::default();
        assert!(s.extend(u32::MAX, 2));
        assert!(!s.extend(u32::MAX, 2));
        assert_eq!((s.shift(u32::MAX), s.shift(20)), (u32::MAX, 22));
    }
}
