//! Where a sleeping worker leaves its program.
//!
//! Purpose: rules change under a worker that has nothing to do without waking it: the control thread
//! puts the new program where the old one lies, and the worker takes what it finds when it wakes.
//! Invariant: the program is here exactly while the worker sleeps; no frame is looked at before it is
//! taken back. The lock is taken at falling asleep, at waking and for a change, never for a packet.
//! Deliberately does not know: what wakes a worker.

use std::sync::{Arc, Mutex, PoisonError};

use sluice_flow::Program;

/// The place, shared by both sides.
#[derive(Clone, Debug, Default)]
pub struct Berth(Arc<Mutex<Option<Arc<Program>>>>);

impl Berth {
    fn with<T>(&self, what: impl FnOnce(&mut Option<Arc<Program>>) -> T) -> T {
        // Nothing that is done under the lock can panic.
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The worker falls asleep.
    pub fn leave(&self, program: Arc<Program>) {
        self.with(|place| *place = Some(program));
    }

    /// The worker wakes: the newest program, where it left one.
    pub fn take(&self) -> Option<Arc<Program>> {
        self.with(Option::take)
    }

    /// Gives a sleeping worker another program; gives it back when the worker is awake.
    pub fn replace(&self, program: Arc<Program>) -> Result<(), Arc<Program>> {
        let old = self.with(|place| match place {
            Some(old) => Ok(std::mem::replace(old, program)),
            None => Err(program),
        });
        // What the old one held is let go of outside the lock.
        old.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sleeping_worker_is_given_a_program() {
        let berth = Berth::default();
        assert!(berth.replace(Arc::new(Program::new())).is_err());
        berth.leave(Arc::new(Program::new()));
        let newer = Arc::new(Program::new());
        assert!(berth.replace(newer.clone()).is_ok());
        assert!(berth.take().is_some_and(|p| Arc::ptr_eq(&p, &newer)));
        assert!(berth.take().is_none());
    }
}
