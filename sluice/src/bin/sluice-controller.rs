//! `sluice-controller`: keeps a node's rules equal to what the cloud wants.

use std::process::ExitCode;

fn main() -> ExitCode {
    sluice_controller::cli::main(std::env::args().skip(1))
}
