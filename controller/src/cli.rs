//! The command line of `sluice-controller`.
//!
//! Purpose: `sluice-controller` follows a source, `sluice-controller plan` prints the rules,
//! `sluice-controller path` tells the way of a packet.
//! Invariant: exit status 0 only when all was done; an error is one line on stderr.
//! Deliberately does not know: how any of it is done.

mod arguments;
mod offline;

use crate::keeper::{Event, Keeper};
use crate::source;
use arguments::{Arguments, Mode};
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Pause between two looks at the source.
const TICK: Duration = Duration::from_millis(100);
/// How long `--once` tries to reach the switch.
const ONCE_PATIENCE: Duration = Duration::from_secs(15);

const USAGE: &str = "\
usage: sluice-controller --source file:CLOUD.yaml --host NAME [--switch BR-INT,BR-TUN | --rundir DIR] [--once]
       sluice-controller plan --source file:CLOUD.yaml --host NAME [--bridge NAME] [--port BRIDGE:NAME=NUMBER]...
       sluice-controller path --source file:CLOUD.yaml --from PORT --to PORT [--protocol icmp|tcp|udp] [--tp-dst N]

  --source   where the cloud is described
  --host     name of this node in it
  --switch   OpenFlow connections of br-int and br-tun: unix:PATH or tcp:HOST[:PORT], with a comma between
  --rundir   directory of BRIDGE.mgmt (default: $OVS_RUNDIR, else /var/run/openvswitch)
  --once     make the rules right once and exit
  plan       print the rules that the node would get, as ovs-ofctl reads them; needs no switch
  path       tell in words what the rules do with a packet from one port to another; needs no switch";

/// Runs the command line; `arguments` without the program's own name.
pub fn main(arguments: impl Iterator<Item = String>) -> ExitCode {
    let arguments = match Arguments::parse(arguments) {
        Ok(arguments) => arguments,
        Err(what) => {
            eprintln!("sluice-controller: {what}; try --help");
            return ExitCode::from(1);
        }
    };
    let done = match arguments.mode {
        Mode::Help => print(USAGE),
        Mode::Plan => offline::plan(&arguments).and_then(|text| print(&text)),
        Mode::Path => offline::path(&arguments).and_then(|text| print(&text)),
        Mode::Follow => follow(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("sluice-controller: {what}");
            ExitCode::from(1)
        }
    }
}

/// Prints to stdout; a reader that has gone (`| head`) is no error.
fn print(text: &str) -> Result<(), String> {
    match writeln!(std::io::stdout().lock(), "{}", text.trim_end()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(format!("writing to stdout: {e}")),
        _ => Ok(()),
    }
}

fn follow(arguments: &Arguments) -> Result<(), String> {
    let source = source::open(&arguments.source).map_err(|e| e.to_string())?;
    let [integration, tunnel] = arguments.targets()?;
    let mut keeper = Keeper::new(&arguments.host, source, integration, tunnel);
    let start = Instant::now();
    let mut seen_cloud = false;
    loop {
        let events = keeper.step(start.elapsed());
        seen_cloud |= events.iter().any(|e| matches!(e, Event::Observed(_)));
        for event in &events {
            eprintln!("sluice-controller: {event}");
        }
        if let (Some(Event::Trouble(what)), false) = (events.first(), seen_cloud) {
            // Without any valid cloud there is nothing to keep: whoever started us should hear of it.
            return Err(format!("nothing to do: {what}"));
        }
        if arguments.once && keeper.is_settled() {
            return Ok(());
        }
        if arguments.once && start.elapsed() > ONCE_PATIENCE {
            return Err(format!("the switch could not be brought up to date within {} s", ONCE_PATIENCE.as_secs()));
        }
        std::thread::sleep(TICK);
    }
}
