//! Programs for the workers: one that they run, one that is changed aside.
//!
//! Purpose: collect changes, apply them to the copy that nobody runs, hand it out whole, and bring
//! the other copy up to date once every worker has let go of it.
//! Invariant: a program that somebody holds is never changed; what was submitted together becomes
//! visible together.
//! Deliberately does not know: how a worker is told.

use std::sync::Arc;

use sluice_flow::{Change, Program};

/// Two copies and what each of them lacks.
pub struct Publisher {
    current: Arc<Program>,
    spare: Arc<Program>,
    /// What the current program has and the spare has not.
    backlog: Vec<Change>,
    /// What neither has.
    pending: Vec<Change>,
}

impl Default for Publisher {
    fn default() -> Self {
        Publisher {
            current: Arc::new(Program::new()),
            spare: Arc::new(Program::new()),
            backlog: Vec::new(),
            pending: Vec::new(),
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
