//! The command line: `sluice replay`, `sluice ofctl`, `sluice appctl`; `ovs-ofctl` and `ovs-appctl`
//! when called by that name.

use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "\
usage: sluice COMMAND [ARG...]

  replay   runs the engine from capture to capture, and measures it
  ofctl    programs and asks a switch over OpenFlow; also when called as ovs-ofctl
  appctl   asks a running daemon over its control socket; also when called as ovs-appctl
  explain  tables: which structure each table of a running daemon has, and why

Each command explains itself with --help.
";

fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args_os().map(|w| w.to_string_lossy().into_owned()).collect();
    let called = if words.is_empty() { String::new() } else { words.remove(0) };
    let name = Path::new(&called).file_name().and_then(|name| name.to_str());
    match name {
        Some("ovs-ofctl") => return sluice::ofctl::main("ovs-ofctl", &words),
        Some("ovs-appctl") => return sluice::appctl::main("ovs-appctl", &words),
        _ => {}
    }
    let command = if words.is_empty() { String::new() } else { words.remove(0) };
    match command.as_str() {
        "replay" => sluice::replay::main(&words),
        "ofctl" => sluice::ofctl::main("sluice ofctl", &words),
        "appctl" => sluice::appctl::main("sluice appctl", &words),
        "explain" => sluice::appctl::explain("sluice explain", &words),
        "--help" | "-h" | "help" => {
            print!("{USAGE}");
            ExitCode::SUCCESS
        }
        "--version" | "-V" => {
            println!("sluice {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        "" => {
            eprint!("{USAGE}");
            ExitCode::FAILURE
        }
        other => {
            eprintln!("sluice: unknown command '{other}'; use --help for help");
            ExitCode::FAILURE
        }
    }
}
