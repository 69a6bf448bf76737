//! Reads one rule for each line of standard input and prints it back, or what is wrong with it.

use sluice_openflow::text::{format_flow_mod, parse_flow_line, Names};
use std::io::BufRead;

fn main() {
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        match parse_flow_line(&line, &Names::new()) {
            Ok((flow, _)) => println!("{}", format_flow_mod(&flow, &Names::new())),
            Err(error) => println!("error: {}", error.ovs_text()),
        }
    }
}
