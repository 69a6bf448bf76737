//! Commands that read and write messages without a switch.

use std::io::BufRead;

use sluice_openflow::message::ErrorMessage;
use sluice_openflow::print::{format_packet, hex_dump};
use sluice_openflow::text::{format_actions, parse_actions, parse_instructions, Names};
use sluice_openflow::wire::Framer;
use sluice_openflow::{Message, OfpError, Version, VersionSet};

use super::fatal::{reason, Fatal};
use super::run::{print, Failure, Run};

/// Bytes of hexadecimal digits with blanks between them.
pub fn from_hex(text: &str) -> Result<Vec<u8>, Fatal> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    if digits.len() % 2 != 0 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(Fatal("Trailing garbage in hex data".to_string()));
    }
    let nibble = |b: u8| (b as char).to_digit(16).unwrap_or(0) as u8;
    Ok(digits.chunks_exact(2).map(|p| nibble(p[0]) << 4 | nibble(p[1])).collect())
}

/// A whole message in hexadecimal.
pub fn message_from_hex(text: &str) -> Result<Vec<u8>, Fatal> {
    let bytes = from_hex(text)?;
    match bytes.get(2..4) {
        Some(length) if bytes.len() >= 8 && usize::from(u16::from_be_bytes([length[0], length[1]])) == bytes.len() => Ok(bytes),
        Some(length) if bytes.len() >= 8 => {
            let told = u16::from_be_bytes([length[0], length[1]]);
            Err(Fatal(format!("wrong length in openflow_header {told} (should be {})", bytes.len())))
        }
        _ => Err(Fatal("openflow message length is too short".to_string())),
    }
}

fn read(path: &str) -> Result<Vec<u8>, Fatal> {
    let bytes = match path {
        "-" => {
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut std::io::stdin(), &mut bytes).map(|_| bytes)
        }
        path => std::fs::read(path),
    };
    bytes.map_err(|e| Fatal(format!("{path}: open failed ({})", reason(&e))))
}

/// `ofp-print HEX`.
pub fn ofp_print(run: &Run) -> Result<(), Failure> {
    let bytes = from_hex(run.argument(1))?;
    let more = run.argument(2).parse().unwrap_or(0);
    print(&super::show::message(&bytes, run.options.verbosity + more, &Names::new()));
    Ok(())
}

/// `ofp-parse FILE`: messages one after the other.
pub fn ofp_parse(run: &Run) -> Result<(), Failure> {
    let bytes = read(run.argument(1))?;
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let told = rest.get(2..4).map_or(0, |l| usize::from(u16::from_be_bytes([l[0], l[1]])));
        if rest.len() < 8 || told < 8 || told > rest.len() {
            let at = bytes.len() - rest.len();
            return Err(Fatal(format!("{}: unexpected end of file or bad length at byte {at}", run.argument(1))).into());
        }
        let (message, tail) = rest.split_at(told);
        print(&super::show::message(message, run.options.verbosity + 2, &Names::new()));
        rest = tail;
    }
    Ok(())
}

/// `ofp-parse-pcap FILE [PORT...]`: OpenFlow in captured TCP streams.
pub fn ofp_parse_pcap(run: &Run) -> Result<(), Failure> {
    let bytes = read(run.argument(1))?;
    let ports: Vec<u16> = match run.count() {
        1 => vec![6653],
        _ => run.arguments.iter().skip(2).filter_map(|p| p.parse().ok()).collect(),
    };
    let mut streams: Vec<(Vec<u8>, Framer)> = Vec::new();
    for packet in super::capture::packets(&bytes).map_err(|why| Fatal(format!("{}: {why}", run.argument(1))))? {
        let Some((ends, payload)) = super::capture::tcp(packet, &ports) else { continue };
        let at = streams.iter().position(|(e, _)| *e == ends).unwrap_or_else(|| {
            streams.push((ends.clone(), Framer::new()));
            streams.len() - 1
        });
        let Some((_, framer)) = streams.get_mut(at) else { continue };
        framer.push(payload);
        while let Ok(Some(message)) = framer.next_message() {
            print(&format!("{}: ", super::capture::title(&ends)));
            print(&super::show::message(&message, run.options.verbosity + 2, &Names::new()));
        }
    }
    Ok(())
}

/// `encode-hello BITMAP`.
pub fn encode_hello(run: &Run) -> Result<(), Failure> {
    let text = run.argument(1);
    let bits = text.strip_prefix("0x").map_or_else(|| text.parse().ok(), |hex| u32::from_str_radix(hex, 16).ok());
    let bits = bits.ok_or_else(|| Fatal(format!("{text}: not a bitmap of versions")))?;
    let hello = Message::hello(VersionSet(bits)).encode(Version::V10, 1).map_err(|e| Fatal(e.to_string()))?;
    print(&hex_dump(&hello));
    print(&super::show::message(&hello, 0, &Names::new()));
    Ok(())
}

/// `print-error NAME`.
pub fn print_error(run: &Run) -> Result<(), Failure> {
    let name = run.argument(1);
    let error = OfpError::by_name(name).ok_or_else(|| Fatal(format!("unknown error \"{name}\"")))?;
    for version in Version::ALL {
        let code = error.code_or_unencodable(version);
        let (vendor, kind, code) = (code.vendor, code.kind, code.code);
        print(&format!("{}: vendor {vendor:#x}, type {kind}, code {code}\n", version.name()));
    }
    Ok(())
}

/// `encode-error-reply ERROR REQUEST`.
pub fn encode_error(run: &Run) -> Result<(), Failure> {
    let name = run.argument(1);
    let error = OfpError::by_name(name).ok_or_else(|| Fatal(format!("unknown error \"{name}\"")))?;
    let request = message_from_hex(run.argument(2))?;
    let version = request.first().and_then(|v| Version::from_wire(*v)).unwrap_or(Version::V10);
    let xid = request.get(4..8).map_or(0, |x| u32::from_be_bytes([x[0], x[1], x[2], x[3]]));
    let reply = Message::Error(ErrorMessage::refuse(version, error, request.get(..request.len().min(64)).unwrap_or(&[])));
    print(&hex_dump(&reply.encode(version, xid).map_err(|e| Fatal(e.to_string()))?));
    Ok(())
}

/// `parse-actions`, `parse-instructions`: texts from standard input, as they read.
pub fn actions(run: &Run) -> Result<(), Failure> {
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|e| Fatal(format!("standard input ({})", reason(&e))))?;
        let text = line.split('#').next().unwrap_or("").trim();
        if text.is_empty() {
            continue;
        }
        let parsed = match run.argument(0) {
            "parse-instructions" => parse_instructions(text, &Names::new()),
            _ => parse_actions(text, &Names::new()),
        };
        match parsed {
            Ok(list) => print(&format!("{}\n", format_actions(&list, &Names::new()))),
            Err(e) => print(&format!("bad {}: {}\n", run.argument(0).trim_start_matches("parse-"), run.wrong(&e).0)),
        }
    }
    Ok(())
}

/// `parse-packet`: packets in hexadecimal from standard input, one a line.
pub fn packets(_: &Run) -> Result<(), Failure> {
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|e| Fatal(format!("standard input ({})", reason(&e))))?;
        print(&format_packet(&from_hex(&line)?));
    }
    Ok(())
}

/// Commands of the original that test its own libraries.
pub fn makes_no_sense(run: &Run) -> Result<(), Failure> {
    let name = run.argument(0);
    Err(Fatal(format!("'{name}' tests a library of Open vSwitch that is not part of Sluice")).into())
}

