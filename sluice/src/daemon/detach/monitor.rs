//! The process that starts the daemon again.
//!
//! Purpose: a daemon that crashed after it was ready is started again, not faster than once a
//! second, and every ten seconds when it crashes again and again.
//! Invariant: one that ended by itself, or by a signal that a person sends, stays ended.
//! Deliberately does not know: why it crashed.

use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::process::WaitStatus;

use super::{code_of, fork_and_wait, leave_terminal, wait_for, Forked, PidFile, Readiness};
use crate::daemon::args::Detaching;

/// Shortest time between two starts, and from the third crash in a row on.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(10)];
/// One that lived so long did not crash in a row.
const LONG: Duration = Duration::from_secs(60);
/// What a program that panicked ends with.
const PANICKED: i32 = 101;

/// What becomes of the process.
pub(super) enum Outcome {
    /// It is the daemon, and tells the monitor by this.
    Daemon(OwnedFd),
    /// It was the monitor, and is done.
    Done(ExitCode),
}

/// Forks the daemon and watches over it; returns in the daemon at once.
pub(super) fn watch(readiness: &mut Readiness, wanted: &Detaching) -> Result<Outcome, String> {
    let (mut first, mut in_a_row) = (true, 0);
    loop {
        let started = Instant::now();
        let pid = match fork_and_wait()? {
            Forked::Child(pipe) => {
                // Whoever started the monitor hears from the monitor.
                readiness.waiting.clear();
                return Ok(Outcome::Daemon(pipe));
            }
            Forked::Ready(pid) => pid,
            Forked::Failed(code) if first => return Ok(Outcome::Done(code)),
            Forked::Failed(code) => {
                crate::log!(Error, "", "the daemon does not start any more, giving up");
                return Ok(Outcome::Done(code));
            }
        };
        readiness.announce();
        if std::mem::take(&mut first) && wanted.detach {
            leave_terminal();
            let _ = std::env::set_current_dir("/");
        }
        let Some(status) = wait_for(pid) else { return Ok(Outcome::Done(ExitCode::FAILURE)) };
        if !crashed(&status) {
            crate::log!(Info, "", "pid {} ended ({}), exiting", pid.as_raw_nonzero(), describe(&status));
            return Ok(Outcome::Done(if status.exit_status() == Some(0) { ExitCode::SUCCESS } else { code_of(status) }));
        }
        crate::log!(Error, "", "pid {} died ({}), restarting", pid.as_raw_nonzero(), describe(&status));
        if let Some(path) = &wanted.pidfile {
            PidFile::remove_stale(path);
        }
        in_a_row = if started.elapsed() >= LONG { 1 } else { in_a_row + 1 };
        std::thread::sleep(PAUSES[usize::from(in_a_row > 2)].saturating_sub(started.elapsed()));
    }
}

fn crashed(status: &WaitStatus) -> bool {
    const CRASHES: [i32; 9] = [
        libc::SIGABRT, libc::SIGALRM, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGPIPE, libc::SIGSEGV, libc::SIGXCPU,
        libc::SIGXFSZ,
    ];
    status.terminating_signal().is_some_and(|s| CRASHES.contains(&s)) || status.exit_status() == Some(PANICKED)
}

fn describe(status: &WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (_, Some(signal)) => format!("killed by signal {signal}"),
        _ => "unknown".to_string(),
    }
}
