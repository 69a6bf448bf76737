//! Fragments that wait for the rest of their datagram.
//!
//! A tracker judges whole datagrams: their fragments wait until all are there, are judged as one and go on
//! in the order in which they came.
//! Invariant: what waits is bounded in number, per sender and in time; overlapping pieces never wait.
//! Deliberately does not know: what a piece is (frames are the engine's), what happens to it.

use std::collections::HashMap;

use crate::reassembly::Reassembly;

/// Milliseconds that a piece waits.
pub const PATIENCE_MS: u64 = 15_000;
/// Pieces of one datagram.
const PIECES_MAX: usize = 64;
/// The largest datagram, bytes.
const DATAGRAM_MAX: usize = 65_535;

/// Which datagram a piece is of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Datagram {
    /// Addresses, as in a tuple.
    pub addresses: [u64; 4],
    /// Identification.
    pub ident: u32,
    /// Zone that it is to be tracked in.
    pub zone: u16,
    /// Protocol.
    pub proto: u8,
    /// IPv6.
    pub v6: bool,
}

/// Where a piece lies in its datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// First byte.
    pub offset: usize,
    /// Bytes.
    pub len: usize,
    /// Others follow.
    pub more: bool,
}

/// What became of a piece.
#[derive(Debug)]
pub enum Kept<T> {
    /// It waits.
    Waits,
    /// The datagram is whole: its pieces in the order in which they came.
    Whole(Vec<(Span, T)>),
    /// It contradicts what waits, or is no sane piece.
    Wrong(T),
    /// There is no room to wait.
    NoRoom(T),
}

#[derive(Debug)]
struct Waiting<T> {
    pieces: Vec<(Span, T)>,
    since_ms: u64,
    owner: u32,
}

/// All pieces that wait.
#[derive(Debug)]
pub struct Fragments<T> {
    datagrams: HashMap<Datagram, Waiting<T>>,
    owners: HashMap<u32, usize>,
    pieces: usize,
    max: usize,
    /// No datagram waits since before.
    oldest_ms: u64,
}

impl<T> Fragments<T> {
    /// Room for `max` pieces, however many may wait in all workers.
    pub fn new(max: usize) -> Self {
        Fragments { datagrams: HashMap::new(), owners: HashMap::new(), pieces: 0, max, oldest_ms: u64::MAX }
    }

    /// Pieces that wait.
    pub fn len(&self) -> usize {
        self.pieces
    }

    /// Does none wait?
    pub fn is_empty(&self) -> bool {
        self.pieces == 0
    }

    /// Takes a piece in. Of all that may wait, one sender gets a quarter.
    pub fn add(&mut self, rules: &Reassembly, of: Datagram, span: Span, owner: u32, item: T, now_ms: u64) -> Kept<T> {
        let aligned = span.len % 8 == 0 || !span.more;
        if span.len == 0 || !aligned || span.offset + span.len > DATAGRAM_MAX {
            rules.count(of.v6, |f| &f.overlapped);
            return Kept::Wrong(item);
        }
        let own = self.owners.get(&owner).copied().unwrap_or(0);
        if self.pieces >= self.max || own >= rules.share() || !rules.has_room() {
            rules.count(of.v6, |f| &f.refused);
            return Kept::NoRoom(item);
        }
        let fresh = || Waiting { pieces: Vec::new(), since_ms: now_ms, owner };
        let waiting = self.datagrams.entry(of).or_insert_with(fresh);
        if !fits(&waiting.pieces, span) {
            rules.count(of.v6, |f| &f.overlapped);
            return Kept::Wrong(item);
        }
        self.oldest_ms = self.oldest_ms.min(waiting.since_ms);
        let owner = waiting.owner;
        waiting.pieces.push((span, item));
        self.pieces += 1;
        rules.waits();
        rules.count(of.v6, |f| &f.accepted);
        *self.owners.entry(owner).or_default() += 1;
        match is_whole(&waiting.pieces) {
            false => Kept::Waits,
            true => {
                let pieces = self.take(&of);
                rules.wait_no_more(pieces.len());
                pieces.iter().for_each(|_| rules.count(of.v6, |f| &f.completed));
                Kept::Whole(pieces)
            }
        }
    }

    fn take(&mut self, of: &Datagram) -> Vec<(Span, T)> {
        let Some(waiting) = self.datagrams.remove(of) else { return Vec::new() };
        self.pieces -= waiting.pieces.len();
        if let Some(n) = self.owners.get_mut(&waiting.owner) {
            *n = n.saturating_sub(waiting.pieces.len());
            if *n == 0 {
                self.owners.remove(&waiting.owner);
            }
        }
        waiting.pieces
    }

    /// Pieces whose patience is over.
    pub fn expire(&mut self, rules: &Reassembly, now_ms: u64) -> Vec<T> {
        let mut out = Vec::new();
        if self.pieces == 0 || now_ms.saturating_sub(self.oldest_ms) < PATIENCE_MS {
            return out;
        }
        let over = |w: &Waiting<T>| now_ms.saturating_sub(w.since_ms) >= PATIENCE_MS;
        let late: Vec<Datagram> = self.datagrams.iter().filter(|(_, w)| over(w)).map(|(d, _)| *d).collect();
        for of in late {
            let pieces = self.take(&of);
            rules.wait_no_more(pieces.len());
            pieces.iter().for_each(|_| rules.count(of.v6, |f| &f.expired));
            out.extend(pieces.into_iter().map(|(_, item)| item));
        }
        self.oldest_ms = self.datagrams.values().map(|w| w.since_ms).min().unwrap_or(u64::MAX);
        out
    }
}

/// Does a piece lie beside those that wait, and is the last one last?
fn fits<T>(pieces: &[(Span, T)], new: Span) -> bool {
    let end = |s: &Span| s.offset + s.len;
    pieces.len() < PIECES_MAX
        && pieces.iter().all(|(s, _)| {
            (end(s) <= new.offset && s.more) || (end(&new) <= s.offset && new.more)
        })
}

fn is_whole<T>(pieces: &[(Span, T)]) -> bool {
    let bytes: usize = pieces.iter().map(|(s, _)| s.len).sum();
    let last = pieces.iter().find(|(s, _)| !s.more).map(|(s, _)| s.offset + s.len);
    // Pieces do not overlap: as many bytes as the last one's end means no gap.
    last == Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ident: u32) -> Datagram {
        Datagram { addresses: [1, 0, 0, 0], ident, zone: 0, proto: 17, v6: false }
    }

    fn span(i: usize, n: usize) -> Span {
        Span { offset: i * 800, len: 800, more: i + 1 < n }
    }

    #[test]
    fn in_any_order_a_datagram_is_whole_with_its_last_piece_and_keeps_that_order() {
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let (rules, mut f) = (Reassembly::default(), Fragments::new(16));
            for i in &order[..2] {
                assert!(matches!(f.add(&rules, of(1), span(*i, 3), 0, *i, 0), Kept::Waits));
            }
            let Kept::Whole(pieces) = f.add(&rules, of(1), span(order[2], 3), 0, order[2], 0) else { panic!("not whole") };
            assert_eq!(pieces.iter().map(|(_, i)| *i).collect::<Vec<_>>(), order);
            assert!(f.is_empty());
        }
    }

    #[test]
    fn overlaps_are_wrong_and_room_is_shared() {
        let (rules, mut f) = (Reassembly::default(), Fragments::new(8));
        assert!(rules.set_max(8));
        assert!(matches!(f.add(&rules, of(1), span(0, 3), 0, (), 0), Kept::Waits));
        assert!(matches!(f.add(&rules, of(1), span(0, 3), 0, (), 0), Kept::Wrong(())));
        let over = Span { offset: 400, len: 800, more: true };
        assert!(matches!(f.add(&rules, of(1), over, 0, (), 0), Kept::Wrong(())));
        assert!(matches!(f.add(&rules, of(2), span(0, 3), 0, (), 0), Kept::Waits));
        assert!(matches!(f.add(&rules, of(3), span(0, 3), 0, (), 0), Kept::NoRoom(())));
        assert!(matches!(f.add(&rules, of(4), span(0, 3), 9, (), 0), Kept::Waits));
        assert_eq!(f.expire(&rules, PATIENCE_MS - 1).len(), 0);
        assert_eq!(f.expire(&rules, PATIENCE_MS).len(), 3);
        assert!(f.is_empty() && f.owners.is_empty());
    }
}
