//! Rules with clauses that a look-up met, and which conjunction they complete.

use std::collections::HashMap;
use std::sync::Arc;

use crate::hash::FoldBuild;
use crate::rule::Rule;

/// Scratch memory of a look-up, kept by the caller so that look-ups do not allocate without conjunctions.
#[derive(Debug, Default)]
pub struct Soft {
    entries: Vec<u32>,
    clauses: HashMap<u32, u64, FoldBuild>,
}

impl Soft {
    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    pub(super) fn push(&mut self, entry: u32) {
        self.entries.push(entry);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = u32> + '_ {
        self.entries.iter().copied()
    }

    /// The lowest id of a conjunction all of whose clauses are among the rules that `of` finds.
    pub(super) fn complete<'a>(&mut self, of: impl Fn(u32) -> Option<&'a Arc<Rule>>) -> Option<u32> {
        self.clauses.clear();
        let mut found: Option<u32> = None;
        for c in self.entries.iter().filter_map(|e| of(*e)).flat_map(|r| r.conjunctions.iter()) {
            let all = if c.n_clauses >= 64 { u64::MAX } else { (1u64 << c.n_clauses) - 1 };
            let seen = self.clauses.entry(c.id).or_insert(0);
            *seen |= 1u64 << (c.clause & 63);
            if *seen & all == all {
                found = Some(found.map_or(c.id, |f| f.min(c.id)));
            }
        }
        found
    }
}
