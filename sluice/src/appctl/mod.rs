//! `appctl`: asks and tells a running daemon over its control socket.
//!
//! Purpose: the options, texts and exit codes of `ovs-appctl`, for this switch and for the programs
//! of Open vSwitch.
//! Invariant: exit code 1 when nobody could be asked, 2 when the answer is an error.
//! Deliberately does not know: commands.

mod call;
mod options;
mod target;

use std::io::Write;
use std::process::ExitCode;

use options::{Options, Request};

const USAGE: &str = "\
usage: PROGRAM [TARGET] COMMAND [ARG...]
Targets:
  -t, --target=TARGET  name, pid file or socket of the daemon to ask (default: ovs-vswitchd)
Common commands:
  list-commands      what the daemon understands
  version            its version
  vlog/list          what it logs where
  vlog/set [SPEC]    changes that: [MODULE:][syslog|console|file:][off|emer|err|warn|info|dbg]
  vlog/reopen        opens its log file again
  ofproto/trace BRIDGE FLOW   what becomes of a packet, and why
Other options:
  -T, --timeout=SECS   waits at most so long for the answer
  -h, --help           this text
  -V, --version        the version
";

/// Runs the command line behind the program's name. `program` is what errors begin with.
pub fn main(program: &str, words: &[String]) -> ExitCode {
    match options::parse(words) {
        Ok(Request::Help) => {
            print(&USAGE.replace("PROGRAM", program));
            ExitCode::SUCCESS
        }
        Ok(Request::Version) => {
            print(&format!("{program} (Sluice) {}\n", env!("CARGO_PKG_VERSION")));
            ExitCode::SUCCESS
        }
        Ok(Request::Ask(options)) => ask(program, &options),
        Err(e) => fail(program, &e, 1),
    }
}

const EXPLAIN: &str = "usage: sluice explain tables [-t TARGET] [BRIDGE]";

/// `explain tables [-t TARGET] [BRIDGE]`: what a running daemon made of its rules.
pub fn explain(program: &str, words: &[String]) -> ExitCode {
    if words.iter().any(|w| w == "--help" || w == "-h") {
        println!("{EXPLAIN}\n\nWhich structure each table of a running daemon has, of which rules, and why.");
        return ExitCode::SUCCESS;
    }
    let Some(("tables", rest)) = words.split_first().map(|(first, rest)| (first.as_str(), rest)) else {
        return fail(program, EXPLAIN, 1);
    };
    let options = rest.iter().position(|w| w == "-t").map_or(0, |at| at + 2).min(rest.len());
    let mut asked = rest[..options].to_vec();
    asked.push("sluice/explain-tables".into());
    asked.extend_from_slice(&rest[options..]);
    main(program, &asked)
}

fn ask(program: &str, options: &Options) -> ExitCode {
    let socket = match target::socket(&options.target) {
        Ok(socket) => socket,
        Err(e) => return fail(program, &e, 1),
    };
    match call::call(&socket, &options.command, &options.arguments, options.timeout) {
        Ok(Ok(text)) => {
            print(&text);
            ExitCode::SUCCESS
        }
        Ok(Err(text)) => {
            eprint!("{text}");
            fail(program, &format!("{}: server returned an error", options.target), 2)
        }
        Err(call::Failure::TimedOut) => {
            eprintln!("{program}: no answer within {} seconds", options.timeout.map_or(0, |t| t.as_secs()));
            // As the alarm of the original would end it, so that a shell sees the same.
            let _ = signal_hook::low_level::emulate_default_handler(signal_hook::consts::SIGALRM);
            ExitCode::from(ALARM)
        }
        Err(call::Failure::Connect(e)) => fail(program, &format!("cannot connect to \"{}\" ({e})", socket.display()), 1),
        Err(call::Failure::Talk(e)) => fail(program, &format!("{}: transaction error ({e})", options.target), 1),
    }
}

/// What a shell makes of a program that its own alarm ended.
const ALARM: u8 = 128 + 14;

fn fail(program: &str, why: &str, code: u8) -> ExitCode {
    eprintln!("{program}: {why}");
    ExitCode::from(code)
}

fn print(text: &str) {
    // Whoever closes our output has seen enough.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}
