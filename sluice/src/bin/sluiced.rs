//! The daemon.

use std::process::ExitCode;

use sluice::daemon::{args, control, log};

fn main() -> ExitCode {
    let request = match args::parse(std::env::args().skip(1)) {
        Ok(request) => request,
        Err(e) => {
            eprintln!("sluiced: {e}");
            return ExitCode::FAILURE;
        }
    };
    let args = match request {
        args::Request::Help => {
            print!("{}", args::USAGE);
            return ExitCode::SUCCESS;
        }
        args::Request::Version => {
            println!("sluiced {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        args::Request::Run(args) => args,
    };
    log::set_level(args.log_level);
    match control::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("sluiced: {e}");
            ExitCode::FAILURE
        }
    }
}
