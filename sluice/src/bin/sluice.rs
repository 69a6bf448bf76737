//! `sluice`: the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.split_first() {
        Some((command, rest)) if command == "replay" => sluice::replay::main(rest),
        _ => {
            eprintln!("usage: sluice replay|ofctl …");
            ExitCode::FAILURE
        }
    }
}
