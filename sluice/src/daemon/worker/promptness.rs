//! How soon a worker runs when packets come.
//!
//! Purpose: where all processors are taken, by the control thread, by its peers or by other programs, a worker
//! that wakes must not wait for their time slices to end: packets come first.
//! Invariant: a niceness that somebody chose for the daemon is kept; where the system refuses another one,
//! everything stays as it is.
//! Deliberately does not know: which processors there are, what the worker does.

/// Niceness of a worker. With one processor for both, a control thread at 0 still gets a tenth of it.
const NICE: i32 = -10;

/// Puts the calling thread before others.
pub fn come_first() {
    // For the kernel "this process" is the thread that asks.
    let done = match rustix::process::getpriority_process(None) {
        Ok(0) => rustix::process::setpriority_process(None, NICE),
        Ok(_) => Ok(()),
        Err(e) => Err(e),
    };
    if let Err(e) = done {
        crate::log!(Info, "worker", "packets have to wait for other work on this machine's processors: cannot come first: {e}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{getpriority_process, getuid, setpriority_process};

    fn in_a_thread(first: i32) -> i32 {
        let nice = move || {
            setpriority_process(None, first).unwrap();
            come_first();
            getpriority_process(None).unwrap()
        };
        std::thread::spawn(nice).join().unwrap()
    }

    #[test]
    fn a_worker_comes_first_unless_somebody_chose_its_niceness() {
        if getpriority_process(None) != Ok(0) {
            return eprintln!("skipped: the tests run with a niceness of their own");
        }
        assert_eq!(in_a_thread(5), 5);
        if getuid().is_root() {
            assert_eq!(in_a_thread(0), NICE);
        }
        assert_eq!(getpriority_process(None), Ok(0), "others keep theirs");
    }
}
