//! Writes generated frames to a pcap file: `write samples|malformed|flows[:N] OUT.pcap`.

use std::process::ExitCode;

use sluice_fixtures::generate::{FlowSpec, Kind};
use sluice_fixtures::{malformed, samples, write_pcap};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [what, path] = args.as_slice() else {
        eprintln!("usage: write samples|malformed|flows[:N] OUT.pcap");
        return ExitCode::FAILURE;
    };
    let (name, count) = what.split_once(':').unwrap_or((what, "1000"));
    let frames: Vec<Vec<u8>> = match (name, count.parse()) {
        ("samples", _) => samples().into_iter().map(|s| s.frame).collect(),
        ("malformed", _) => malformed().into_iter().map(|s| s.frame).collect(),
        ("flows", Ok(flows)) => FlowSpec::new(1).kind(Kind::Mixed).flows(flows).frames(),
        _ => {
            eprintln!("{what}: expected samples, malformed, flows or flows:NUMBER");
            return ExitCode::FAILURE;
        }
    };
    match std::fs::write(path, write_pcap(&frames)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{path}: cannot write: {e}");
            ExitCode::FAILURE
        }
    }
}
