//! The daemon, also when called as ovs-vswitchd.

use std::process::ExitCode;

use sluice::daemon::args::{self, Args};
use sluice::daemon::detach::{self, Role};
use sluice::daemon::{control, log};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args_os().map(|w| w.to_string_lossy().into_owned()).collect();
    let args = match args::parse(words) {
        Ok(args::Request::Run(args)) => *args,
        Ok(args::Request::Print(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(e) => return fail(&e),
    };
    run(args).unwrap_or_else(|e| fail(&e))
}

fn run(args: Args) -> Result<ExitCode, String> {
    log::start(args::SERVICE);
    log::configure(&args.logging)?;
    match detach::start(&args.detaching)? {
        Role::Done(code) => Ok(code),
        Role::Daemon(readiness, pidfile) => {
            let result = control::run(args, readiness);
            drop(pidfile);
            result.map(|()| ExitCode::SUCCESS)
        }
    }
}

fn fail(why: &str) -> ExitCode {
    log::fatal(why);
    ExitCode::FAILURE
}
