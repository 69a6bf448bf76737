//! Becoming a daemon.
//!
//! Purpose: `--detach`, `--monitor`, the pid file; the process that was started returns when the
//! daemon can be configured, with its exit code when it cannot.
//! Invariant: forks only before there are threads. Whoever waits for us hears exactly once: a byte
//! when we are ready, the pipe's end when we failed.
//! Deliberately does not know: what the daemon does.

mod fork;
mod monitor;
mod pidfile;
mod user;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use rustix::process::{waitpid, Pid, WaitOptions, WaitStatus};

use super::args::Detaching;
use fork::Side;
pub use pidfile::PidFile;

/// Whom to tell that configuration can begin.
#[derive(Debug, Default)]
pub struct Readiness {
    waiting: Vec<OwnedFd>,
    leave_terminal: bool,
}

impl Readiness {
    /// Nobody waits.
    pub fn nobody() -> Readiness {
        Readiness::default()
    }

    /// Configuration can begin. Further calls do nothing.
    pub fn announce(&mut self) {
        for pipe in self.waiting.drain(..) {
            // One who no longer waits needs no answer.
            let _ = File::from(pipe).write_all(&[0]);
        }
        if std::mem::take(&mut self.leave_terminal) {
            super::log::forget_console();
            leave_terminal();
        }
    }
}

/// What a process that is not to go on must do.
pub enum Role {
    /// It is the daemon.
    Daemon(Readiness, Option<PidFile>),
    /// It ends with this.
    Done(ExitCode),
}

/// Forks as asked for and writes the pid file. Returns in several processes.
pub fn start(wanted: &Detaching) -> Result<Role, String> {
    if let Some(path) = wanted.pidfile.as_deref().filter(|_| !wanted.overwrite_pidfile) {
        PidFile::refuse_if_running(path)?;
    }
    let mut readiness = Readiness::nobody();
    if wanted.detach {
        match fork_and_wait()? {
            Forked::Child(pipe) => readiness.waiting.push(pipe),
            Forked::Ready(_) => return Ok(Role::Done(ExitCode::SUCCESS)),
            Forked::Failed(code) => return Ok(Role::Done(code)),
        }
        rustix::process::setsid().map_err(|e| format!("cannot start a session: {e}"))?;
    }
    if wanted.monitor {
        match monitor::watch(&mut readiness, wanted)? {
            monitor::Outcome::Daemon(pipe) => readiness.waiting.push(pipe),
            monitor::Outcome::Done(code) => return Ok(Role::Done(code)),
        }
    }
    let pidfile = wanted.pidfile.as_deref().map(|path| PidFile::write(path, wanted.overwrite_pidfile)).transpose()?;
    if let Some(user) = &wanted.user {
        user::become_user(user)?;
    }
    if wanted.detach {
        readiness.leave_terminal = true;
        if !wanted.no_chdir {
            std::env::set_current_dir("/").map_err(|e| format!("cannot change to /: {e}"))?;
        }
    }
    Ok(Role::Daemon(readiness, pidfile))
}

enum Forked {
    /// We are the child, and tell the parent by this.
    Child(OwnedFd),
    /// The child is ready.
    Ready(Pid),
    /// The child ended before it was ready.
    Failed(ExitCode),
}

/// Forks; the parent returns when the child is ready or has ended.
fn fork_and_wait() -> Result<Forked, String> {
    let (reader, writer) = std::io::pipe().map_err(|e| format!("cannot make a pipe: {e}"))?;
    match fork::fork()? {
        Side::Child => Ok(Forked::Child(writer.into())),
        Side::Parent(pid) => {
            drop(writer);
            let mut byte = [0];
            let mut reader = File::from(OwnedFd::from(reader));
            if reader.read_exact(&mut byte).is_ok() {
                return Ok(Forked::Ready(pid));
            }
            Ok(Forked::Failed(wait_for(pid).map_or(ExitCode::FAILURE, code_of)))
        }
    }
}

/// Waits until a child has ended.
fn wait_for(pid: Pid) -> Option<WaitStatus> {
    loop {
        match waitpid(Some(pid), WaitOptions::empty()) {
            Ok(Some((_, status))) => return Some(status),
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return None,
        }
    }
}

fn code_of(status: WaitStatus) -> ExitCode {
    let code = status.exit_status().and_then(|c| u8::try_from(c).ok()).filter(|c| *c != 0);
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}

/// Standard input, output and error lead nowhere from now on.
fn leave_terminal() {
    let Ok(null) = File::options().read(true).write(true).open("/dev/null") else { return };
    let _ = rustix::stdio::dup2_stdin(&null);
    let _ = rustix::stdio::dup2_stdout(&null);
    let _ = rustix::stdio::dup2_stderr(&null);
}
