//! Programs for the workers: one that they run, one that is changed aside.
//!
//! Purpose: collect changes, apply them to the copy that nobody runs, hand it out whole, and bring
//! the other copy up to date once every worker has let go of it.
//! Invariant: a program that somebody holds is never changed; what was submitted together becomes
//! visible together.
//! Deliberately does not know: how a worker is told.

use std::sync::Arc;

use sluice_flow::{Change, Program};

/// Changes that are many enough to be handed over while more come.
const MANY: usize = 4096;
/// Milliseconds that changes may wait for those that come with them.
const TOGETHER_MS: u64 = 5;

/// Two copies and what each of them lacks.
pub struct Publisher {
    current: Arc<Program>,
    spare: Arc<Program>,
    /// What the current program has and the spare has not.
    backlog: Vec<Change>,
    /// What neither has.
    pending: Vec<Change>,
    /// When somebody asked first whether that is due.
    waiting_ms: Option<u64>,
}

impl Default for Publisher {
    fn default() -> Self {
        Publisher {
            current: Arc::new(Program::new()),
            spare: Arc::new(Program::new()),
            backlog: Vec::new(),
            pending: Vec::new(),
            waiting_ms: None,
        }
    }
}

impl Publisher {
    /// Adds changes to the next epoch.
    pub fn submit(&mut self, changes: impl IntoIterator<Item = Change>) {
        self.pending.extend(changes);
    }

    /// The program that workers run, or are about to.
    pub fn current(&self) -> &Arc<Program> {
        &self.current
    }

    /// The epoch that has everything which was submitted so far.
    pub fn target_epoch(&self) -> u64 {
        self.current.epoch() + u64::from(!self.pending.is_empty())
    }

    /// Whether changes wait for a worker to let go of the old program.
    pub fn is_waiting(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether what waits should not wait for more.
    pub fn is_due(&mut self, now_ms: u64) -> bool {
        if self.pending.is_empty() {
            return false;
        }
        let since = *self.waiting_ms.get_or_insert(now_ms);
        self.pending.len() >= MANY || now_ms >= since + TOGETHER_MS
    }

    /// Makes a new program of what was submitted; `None` when there is nothing new, or a worker
    /// still holds the old one.
    pub fn publish(&mut self) -> Option<Arc<Program>> {
        if self.pending.is_empty() {
            return None;
        }
        let spare = Arc::get_mut(&mut self.spare)?;
        if !self.backlog.is_empty() {
            spare.apply(&self.backlog);
            self.backlog.clear();
        }
        spare.apply(&self.pending);
        std::mem::swap(&mut self.current, &mut self.spare);
        std::mem::swap(&mut self.backlog, &mut self.pending);
        self.waiting_ms = None;
        Some(self.current.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_flow::program::{Ingress, Miss};

    fn ingress(device: u16) -> Change {
        Change::SetIngress { device, to: Some(Ingress::Underlay) }
    }

    #[test]
    fn each_epoch_has_all_that_went_before() {
        let mut publisher = Publisher::default();
        for device in 0..5 {
            publisher.submit([ingress(device)]);
            let target = publisher.target_epoch();
            let program = publisher.publish().unwrap();
            assert_eq!(program.epoch(), target);
            assert!((0..=device).all(|d| program.ingress(d).is_some()), "{device}");
        }
        assert!(publisher.publish().is_none());
    }

    #[test]
    fn what_comes_in_one_go_waits_for_its_end_but_not_for_long() {
        let mut publisher = Publisher::default();
        assert!(!publisher.is_due(1000), "nothing waits");
        publisher.submit([ingress(0)]);
        assert!(!publisher.is_due(1000) && !publisher.is_due(1000 + TOGETHER_MS - 1));
        assert!(publisher.is_due(1000 + TOGETHER_MS));
        publisher.publish().unwrap();
        publisher.submit([ingress(1)]);
        assert!(!publisher.is_due(2000), "its own time begins");
        publisher.submit((0..MANY as u16).map(ingress));
        assert!(publisher.is_due(2000), "many do not wait");
    }

    #[test]
    fn nothing_changes_under_a_worker_that_holds_the_old_program() {
        let mut publisher = Publisher::default();
        publisher.submit([ingress(0)]);
        let held = publisher.publish().unwrap();
        publisher.submit([ingress(1)]);
        let newer = publisher.publish().unwrap();
        publisher.submit([Change::SetMiss { bridge: 0, table: 0, miss: Miss::Drop }]);
        assert!(publisher.publish().is_none() && publisher.is_waiting());
        assert!(held.ingress(1).is_none());
        drop(held);
        assert_eq!(publisher.publish().map(|p| p.epoch()), Some(newer.epoch() + 1));
    }
}
