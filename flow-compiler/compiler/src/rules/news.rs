//! What listeners hear of changes of the rules.
//!
//! Invariant: made only while somebody listens: a rule set that nobody watches pays nothing.
//! Deliberately does not know: monitors and their filters.

use std::sync::Arc;

use sluice_flow::RuleId;
use sluice_openflow::Action;

use super::entry::{Entry, FlowStats};
use super::table::entry;
use super::RuleSet;

/// A rule came, or is another now. (Of those that went, [`super::Removed`] tells.)
#[derive(Clone, Debug)]
pub struct RuleNews {
    /// It was added, perhaps in the place of an equal one; else only changed.
    pub added: bool,
    /// The rule now.
    pub flow: FlowStats,
    /// What it did before, where it did something else.
    pub old_actions: Option<Arc<[Action]>>,
}

impl RuleSet {
    /// Whether anybody wants to hear of changes.
    pub fn set_watched(&mut self, watched: bool) {
        self.watched = watched;
    }

    pub(super) fn news_of_new(&self, id: RuleId) -> Option<RuleNews> {
        let e = entry(&self.entries, id).filter(|_| self.watched)?;
        Some(RuleNews { added: true, flow: FlowStats::of(e, self.options(e.bridge)), old_actions: None })
    }

    /// A changed rule; `None` where nothing changed that is told.
    pub(super) fn news_of_change(&self, id: RuleId, old: &Entry, added: bool) -> Option<RuleNews> {
        let e = entry(&self.entries, id).filter(|_| self.watched)?;
        let differs = *e.actions != *old.actions;
        if !added && !differs && e.cookie == old.cookie {
            return None;
        }
        Some(RuleNews { added, flow: FlowStats::of(e, self.options(e.bridge)), old_actions: differs.then(|| old.actions.clone()) })
    }
}
