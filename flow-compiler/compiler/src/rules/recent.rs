//! Action lists that rules had lately, to be shared.
//!
//! Purpose: most rules of a table do one of few things; sharing what they do, as given and as lowered,
//! saves its memory and the work of lowering it.
//! Invariant: bounded; what is shared depends on nothing but the list (nothing that learns, no clauses, no options that
//! each bridge has elsewhere).
//! Deliberately does not know: rules.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use sluice_flow::action as ir;
use sluice_flow::hash::FoldHasher;
use sluice_openflow::bind::options_in;
use sluice_openflow::Action;

use crate::lower::Lowered;

/// Places; a newer list takes the place of an older one.
const PLACES: usize = 4096;

/// A list as given and as lowered.
type Known = (Arc<[Action]>, Arc<[ir::Action]>);

/// Lists by a hash of what was given.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    places: Vec<Option<Known>>,
}

fn place(actions: &[Action]) -> usize {
    let mut h = FoldHasher::default();
    actions.hash(&mut h);
    h.finish() as usize % PLACES
}

impl Recent {
    /// The same list, if a rule had it lately.
    pub fn find(&self, actions: &[Action]) -> Option<Known> {
        let known = self.places.get(place(actions))?.as_ref()?;
        (*known.0 == *actions).then(|| known.clone())
    }

    /// Remembers a list, if it may be shared.
    pub fn keep(&mut self, given: &Arc<[Action]>, lowered: &Lowered) {
        if !lowered.learns.is_empty() || !lowered.conjunctions.is_empty() || options_in(given) != 0 {
            return;
        }
        if self.places.is_empty() {
            self.places.resize_with(PLACES, || None);
        }
        if let Some(place) = self.places.get_mut(place(given)) {
            *place = Some((given.clone(), lowered.actions.clone()));
        }
    }
}
