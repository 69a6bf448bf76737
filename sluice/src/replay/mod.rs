//! `sluice replay`: the real engine from capture to capture, measured.
//!
//! Purpose: rules and captures in; frames, figures and the conservation check out.
//! Invariant: the same input gives the same output files, byte for byte: time inside the switch is
//! counted in packets.
//! Deliberately does not know: devices, sockets, the host's clock except to measure with.

mod args;
mod figures;
mod print;
mod run;

pub use args::{Args, Tunnel, USAGE};
pub use figures::{Figures, RuleFigures};
pub use run::run;

use std::process::ExitCode;

/// The subcommand: answers the process's exit code.
pub fn main(words: &[String]) -> ExitCode {
    let args = match args::parse(words) {
        Ok(Some(args)) => args,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(e) => {
            eprintln!("sluice replay: {e}\nTry 'sluice replay --help'.");
            return ExitCode::FAILURE;
        }
    };
    match run(&args) {
        Ok(figures) => {
            let text = if args.json { print::json(&figures) } else { print::table(&figures) };
            println!("{text}");
            if figures.conserved {
                return ExitCode::SUCCESS;
            }
            eprintln!("sluice replay: NOT CONSERVED: frames that came in and frames accounted for differ: this is a bug");
            ExitCode::FAILURE
        }
        Err(e) => {
            eprintln!("sluice replay: {e}");
            ExitCode::FAILURE
        }
    }
}
