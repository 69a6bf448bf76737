//! Hash to records, within one shard.
//!
//! An open table whose probes are bounded: an entry lies within [`PROBES`] places of its home or the
//! table grows; a table that is nearly empty and still cannot place an entry refuses it.
//! Invariant: no empty place lies between an entry and its home (removal closes the gap).
//! Deliberately does not know: tuples; whoever looks up compares them.

/// Farthest that an entry lies from its home.
const PROBES: usize = 128;
const START: usize = 64;
/// Emptier than one in this many places, the table refuses rather than grows.
const SPARSE: usize = 64;

/// Entries: hash in the upper half, record plus one in the lower, 0 for none.
#[derive(Debug)]
pub(crate) struct Index {
    cells: Vec<u64>,
    live: usize,
}

impl Default for Index {
    fn default() -> Self {
        Index { cells: vec![0; START], live: 0 }
    }
}

/// The records that a probe meets, one after the other.
pub(crate) struct Candidates<'a> {
    cells: &'a [u64],
    tag: u32,
    at: usize,
    left: usize,
}

impl Iterator for Candidates<'_> {
    type Item = u32;

    #[inline(always)]
    fn next(&mut self) -> Option<u32> {
        while self.left != 0 {
            let cell = *self.cells.get(self.at & self.cells.len().wrapping_sub(1))?;
            if cell == 0 {
                return None;
            }
            (self.at, self.left) = (self.at + 1, self.left - 1);
            if (cell >> 32) as u32 == self.tag {
                return Some(cell as u32 - 1);
            }
        }
        None
    }
}

fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

impl Index {
    /// Where a probe for this hash begins, in a table without end.
    #[inline(always)]
    pub fn home(hash: u64) -> usize {
        tag(hash) as usize
    }

    /// All places; a power of two.
    pub fn cells(&self) -> &[u64] {
        &self.cells
    }

    fn mask(&self) -> usize {
        self.cells.len() - 1
    }

    fn cell(&self, i: usize) -> u64 {
        self.cells.get(i & self.mask()).copied().unwrap_or(0)
    }

    fn put(&mut self, i: usize, value: u64) {
        let at = i & self.mask();
        if let Some(c) = self.cells.get_mut(at) {
            *c = value;
        }
    }

    /// Records whose hash may be this one.
    #[inline(always)]
    pub fn candidates(&self, hash: u64) -> Candidates<'_> {
        Candidates { cells: &self.cells, tag: tag(hash), at: Index::home(hash), left: PROBES }
    }

    /// Adds a record; false when there is no place for it.
    pub fn insert(&mut self, hash: u64, id: u32) -> bool {
        if self.live * 2 >= self.cells.len() {
            self.grow();
        }
        loop {
            if self.place(hash, id) {
                self.live += 1;
                return true;
            }
            if self.live * SPARSE < self.cells.len() {
                return false;
            }
            self.grow();
        }
    }

    fn place(&mut self, hash: u64, id: u32) -> bool {
        let home = Index::home(hash);
        let Some(i) = (0..PROBES).find(|i| self.cell(home + i) == 0) else { return false };
        self.put(home + i, u64::from(tag(hash)) << 32 | u64::from(id + 1));
        true
    }

    fn grow(&mut self) {
        let mut size = self.cells.len() * 2;
        let old = std::mem::take(&mut self.cells);
        loop {
            self.cells = vec![0; size];
            if old.iter().filter(|c| **c != 0).all(|c| self.place(*c, *c as u32 - 1)) {
                return;
            }
            size *= 2;
        }
    }

    /// Removes a record.
    pub fn remove(&mut self, hash: u64, id: u32) {
        let home = Index::home(hash);
        let wanted = u64::from(tag(hash)) << 32 | u64::from(id + 1);
        let Some(i) = (0..PROBES).find(|i| self.cell(home + i) == wanted) else { return };
        self.live -= 1;
        self.close_gap((home + i) & self.mask());
        self.shrink();
    }

    /// Moves later entries back, so that none is cut off from its home.
    fn close_gap(&mut self, mut gap: usize) {
        let mask = self.mask();
        self.put(gap, 0);
        let mut at = gap;
        loop {
            at = (at + 1) & mask;
            let c = self.cell(at);
            if c == 0 {
                return;
            }
            let home = (c >> 32) as usize & mask;
            // May it move to the gap without passing its home?
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(gap) & mask {
                self.put(gap, c);
                self.put(at, 0);
                gap = at;
            }
        }
    }

    /// A table that lost nearly all gives its memory back.
    fn shrink(&mut self) {
        if self.cells.len() > START && self.live * 16 < self.cells.len() {
            let size = (self.cells.len() / 4).max(START);
            let old = std::mem::replace(&mut self.cells, vec![0; size]);
            if !old.iter().filter(|c| **c != 0).all(|c| self.place(*c, *c as u32 - 1)) {
                self.cells = old;
            }
        }
    }

    /// Every record in it, once for each hash that it has here.
    pub fn ids(&self) -> impl Iterator<Item = u32> + '_ {
        self.cells.iter().filter(|c| **c != 0).map(|c| *c as u32 - 1)
    }

    /// Is this the record's entry under this hash? Of the entries that [`Index::entries`] gives.
    pub fn is_under(entry: u64, hash: u64) -> bool {
        (entry >> 32) as u32 == tag(hash)
    }

    /// Every entry, and the record that it names.
    pub fn entries(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        self.cells.iter().filter(|c| **c != 0).map(|c| (*c, *c as u32 - 1))
    }

    /// Bytes in use.
    pub fn bytes(&self) -> usize {
        self.cells.capacity() * size_of::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tuple::mix;

    #[test]
    fn what_is_inserted_is_found_until_it_is_removed() {
        let mut index = Index::default();
        let hash = |i: u32| mix(u64::from(i) * 77);
        for i in 0..20_000 {
            assert!(index.insert(hash(i), i));
        }
        for i in (0..20_000).step_by(2) {
            index.remove(hash(i), i);
        }
        for i in 0..20_000 {
            assert_eq!(index.candidates(hash(i)).any(|id| id == i), i % 2 == 1, "{i}");
        }
        for i in (1..20_000).step_by(2) {
            index.remove(hash(i), i);
        }
        assert_eq!((index.live, index.ids().count()), (0, 0));
        assert!(index.bytes() <= 8 * START * 16, "memory comes back: {}", index.bytes());
    }

    #[test]
    fn entries_that_all_collide_are_refused_beyond_the_bound() {
        let mut index = Index::default();
        let n = (0..1000).take_while(|i| index.insert(7 << 32, *i)).count();
        assert_eq!(n, PROBES);
    }
}
