//! `--detach`, `--pidfile` of commands that run until they are told to stop.
//!
//! Invariant: messages go on to where standard error led when the command was started.

use std::path::PathBuf;

use rustix::stdio;

use super::fatal::Fatal;
use super::run::{Failure, Run};
use crate::daemon::args::Detaching;
use crate::daemon::detach::{self, Role};
use crate::stream::target::run_directory;

/// Goes into the background where that is asked for; the process that was started ends here.
pub fn start(run: &Run) -> Result<(), Failure> {
    let options = &run.options;
    let pidfile = options.pidfile.as_ref().map(|name| match name.as_str() {
        "" => run_directory(None).join("ovs-ofctl.pid"),
        name => run_directory(None).join(PathBuf::from(name)),
    });
    if !options.detach && pidfile.is_none() {
        return Ok(());
    }
    let errors = rustix::io::dup(stdio::stderr()).map_err(|e| Fatal(e.to_string()))?;
    let wanted = Detaching {
        detach: options.detach,
        no_chdir: options.no_chdir,
        pidfile,
        overwrite_pidfile: options.overwrite_pidfile,
        ..Detaching::default()
    };
    match detach::start(&wanted).map_err(Fatal)? {
        Role::Done(code) => {
            let failed = code != std::process::ExitCode::SUCCESS;
            Err(Failure::Silent(u8::from(failed)))
        }
        Role::Daemon(mut readiness, pidfile) => {
            readiness.announce();
            let _ = stdio::dup2_stderr(&errors);
            super::timeout::start(options.timeout);
            // It goes with the process.
            std::mem::forget(pidfile);
            Ok(())
        }
    }
}
