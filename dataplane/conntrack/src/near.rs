//! Where the index of a shard lies, as far as anyone remembers: to ask for its memory before the shard is locked.
//!
//! Invariant: nothing is read by what is remembered here; it may be out of date.
//! Deliberately does not know: shards, what an index holds.

use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Relaxed};

use sluice_frame::prefetch::prefetch_at;

use crate::index::Index;

/// Where an index lay of late.
#[derive(Debug, Default)]
pub(crate) struct Near {
    cells: AtomicPtr<u64>,
    mask: AtomicUsize,
}

impl Near {
    /// Starts loading the place where a look-up of this hash begins.
    #[inline]
    pub fn ask_for(&self, hash: u64) {
        let home = Index::home(hash) & self.mask.load(Relaxed);
        prefetch_at(self.cells.load(Relaxed).wrapping_add(home));
    }

    /// The index lies here now.
    #[inline]
    pub fn remember(&self, index: &Index) {
        let cells = index.cells().as_ptr().cast_mut();
        if self.cells.load(Relaxed) != cells {
            self.cells.store(cells, Relaxed);
            self.mask.store(index.cells().len().wrapping_sub(1), Relaxed);
        }
    }
}
