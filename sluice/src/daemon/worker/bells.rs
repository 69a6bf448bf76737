//! How workers wake each other.
//!
//! Purpose: a worker that was handed frames while it slept is woken, and one that is awake costs its
//! neighbours one look.
//! Invariant: a worker shows that it sleeps before it looks for frames a last time, and a neighbour
//! hands over before it looks whether the worker sleeps: one of the two sees the other.
//! Deliberately does not know: what is handed over.

use std::sync::atomic::{fence, AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mio::Waker;
use sluice_engine::exchange::WORKERS_MAX;

#[derive(Debug, Default)]
struct Bell {
    sleeps: AtomicBool,
    waker: Mutex<Option<Arc<Waker>>>,
}

/// One for each worker, shared by all.
#[derive(Clone, Debug)]
pub struct Bells(Arc<[Bell]>);

impl Default for Bells {
    fn default() -> Self {
        Bells((0..WORKERS_MAX).map(|_| Bell::default()).collect())
    }
}

impl Bells {
    /// A worker is woken by this from now on.
    pub fn hang(&self, worker: usize, waker: Option<Arc<Waker>>) {
        if let Some(bell) = self.0.get(worker) {
            bell.sleeps.store(false, Ordering::Relaxed);
            *bell.waker.lock().unwrap_or_else(PoisonError::into_inner) = waker;
        }
    }

    /// A worker is about to sleep; it must look for frames once more after this.
    pub fn falls_asleep(&self, worker: usize) {
        if let Some(bell) = self.0.get(worker) {
            bell.sleeps.store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
        }
    }

    /// A worker is awake.
    pub fn is_awake(&self, worker: usize) {
        if let Some(bell) = self.0.get(worker) {
            bell.sleeps.store(false, Ordering::Relaxed);
        }
    }

    /// Wakes those workers that sleep, of the ones whose bit is set.
    pub fn ring(&self, mut workers: u64) {
        if workers == 0 {
            return;
        }
        fence(Ordering::SeqCst);
        while workers != 0 {
            let next = workers.trailing_zeros() as usize;
            workers &= workers - 1;
            let Some(bell) = self.0.get(next) else { continue };
            if bell.sleeps.load(Ordering::Relaxed) && bell.sleeps.swap(false, Ordering::Relaxed) {
                let waker = bell.waker.lock().unwrap_or_else(PoisonError::into_inner);
                // A worker that cannot be woken wakes by its devices.
                waker.iter().for_each(|w| drop(w.wake()));
            }
        }
    }
}
