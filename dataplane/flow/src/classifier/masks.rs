//! The masks of a table's rules, each once.
//!
//! Invariant: a mask is here exactly as long as a rule has it. What they look at together widens at once; it
//! shrinks at once while masks are few, later when they are many, so that a change costs what it changes.

use std::collections::HashMap;
use std::sync::Arc;

use crate::hash::FoldBuild;
use crate::key::Key;
use crate::rule::SparseMask;

/// Masks looked at again for each one that goes.
const AGAIN: usize = 16;

/// Masks by number.
#[derive(Clone, Debug, Default)]
pub(super) struct Masks {
    all: Vec<Option<(Arc<SparseMask>, u32)>>,
    ids: HashMap<Arc<SparseMask>, u32, FoldBuild>,
    free: Vec<u32>,
    /// Every bit that one of them has, and perhaps some that one had.
    looks_at: Key,
    /// Masks that went since that was computed.
    gone: usize,
    /// How often that changed.
    changes: u64,
}

impl Masks {
    /// Number of the mask; one more rule has it.
    pub fn intern(&mut self, mask: &Arc<SparseMask>) -> u32 {
        if let Some(&id) = self.ids.get(mask) {
            if let Some(Some((_, rules))) = self.all.get_mut(id as usize) {
                *rules += 1;
            }
            return id;
        }
        let id = self.free.pop().unwrap_or(self.all.len() as u32);
        if id as usize == self.all.len() {
            self.all.push(None);
        }
        self.all[id as usize] = Some((mask.clone(), 1));
        self.ids.insert(mask.clone(), id);
        let before = self.looks_at;
        add(&mut self.looks_at, mask);
        self.changes += u64::from(self.looks_at != before);
        id
    }

    /// One rule less has it.
    pub fn release(&mut self, id: u32) {
        let Some(place) = self.all.get_mut(id as usize) else { return };
        let Some((mask, rules)) = place else { return };
        *rules -= 1;
        if *rules == 0 {
            self.ids.remove(mask);
            *place = None;
            self.free.push(id);
            self.gone += 1;
            if self.gone * AGAIN >= self.ids.len() {
                self.look_again();
            }
        }
    }

    fn look_again(&mut self) {
        self.gone = 0;
        let before = std::mem::replace(&mut self.looks_at, Key::ZERO);
        for (mask, _) in self.all.iter().flatten() {
            add(&mut self.looks_at, mask);
        }
        self.changes += u64::from(self.looks_at != before);
    }

    /// Every bit that a rule looks at; of many masks perhaps also some that one looked at lately.
    pub fn looks_at(&self) -> &Key {
        &self.looks_at
    }

    /// Rises whenever that changes.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// The mask with this number.
    #[inline(always)]
    pub fn get(&self, id: u32) -> Option<&SparseMask> {
        self.all.get(id as usize)?.as_ref().map(|(mask, _)| &**mask)
    }

    /// Every mask in use.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<SparseMask>> {
        self.all.iter().flatten().map(|(mask, _)| mask)
    }
}

fn add(all: &mut Key, mask: &SparseMask) {
    for (word, bits) in mask.words.iter() {
        all.words[*word as usize] |= bits;
    }
}
