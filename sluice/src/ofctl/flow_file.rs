//! Files of rules.
//!
//! Purpose: read them line by line; large ones on all processors, each part written at once as the bytes that
//! will most likely be sent.
//! Invariant: what is written ahead equals what reading line by line gives; where anything is to be said of
//! a line, the lines are read one by one, and it is said in their order.
//! Deliberately does not know: connections.

use std::io::Read;

use sluice_openflow::text::{parse_flow_formats, parse_flow_line, Formats, Names, TextError};
use sluice_openflow::{FlowMod, FlowModCommand, Protocol};

use super::batch::Batch;
use super::fatal::{reason, Fatal};
use super::formats;
use super::run::Run;
use super::warn;

/// Bytes of text that are worth another processor.
const PART: usize = 64 << 10;

/// Reads a file of flow-mods, `-` being standard input; without a command each line names its own.
pub fn read(run: &Run, path: &str, command: Option<FlowModCommand>, names: &Names) -> Result<(Vec<FlowMod>, Formats), Fatal> {
    parse_all(run, path, &read_text(path)?, command, names)
}

/// Reads the text of a file, line by line.
pub fn parse_all(run: &Run, path: &str, text: &str, command: Option<FlowModCommand>, names: &Names) -> Result<(Vec<FlowMod>, Formats), Fatal> {
    let (mut fms, mut usable) = (Vec::new(), Formats::ANY);
    for (number, line) in lines(text) {
        let (fm, formats) = parse(run, line, command, names).map_err(|e| Fatal(format!("{path}:{number}: {}", e.0)))?;
        fms.push(fm);
        usable &= formats;
    }
    Ok((fms, usable))
}

/// Lines that say something, with their numbers.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().map(|line| line.split_once('#').map_or(line, |(front, _)| front));
    lines.enumerate().map(|(i, line)| (i + 1, line)).filter(|(_, line)| !line.trim_ascii().is_empty())
}

/// Reads one flow-mod: of a given kind, or of the one that it names itself.
pub fn parse(run: &Run, text: &str, command: Option<FlowModCommand>, names: &Names) -> Result<(FlowMod, Formats), Fatal> {
    match parse_quietly(text, command, names) {
        Ok((fm, usable)) => Ok((warn::normalized(fm), usable)),
        Err(e) => {
            warn::explain(text, names);
            Err(run.wrong(&e))
        }
    }
}

fn parse_quietly(text: &str, command: Option<FlowModCommand>, names: &Names) -> Result<(FlowMod, Formats), TextError> {
    match command {
        Some(command) => parse_flow_formats(text, command, names),
        None => parse_flow_line(text, names),
    }
}

/// The text of a file, `-` being standard input.
pub fn read_text(path: &str) -> Result<String, Fatal> {
    let bytes = if path == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(path)
    };
    let bytes = bytes.map_err(|e| Fatal(format!("{path}: open failed ({})", reason(&e))))?;
    Ok(String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
}

/// The rules of a file, written.
pub struct Written {
    /// As messages.
    pub batch: Batch,
    /// Of this protocol.
    pub protocol: Protocol,
    /// Formats that can carry them all.
    pub usable: Formats,
}

/// Writes the rules of a large file for the protocol that the first one asks for. `None` where there is
/// something to say of one of them, or the file is small.
pub fn write_ahead(run: &Run, text: &str, command: Option<FlowModCommand>, names: &Names) -> Option<Written> {
    if text.len() < PART {
        return None;
    }
    let (_, first) = lines(text).next()?;
    let (_, usable) = parse_quietly(first, command, names).ok()?;
    let protocol = formats::likely(run.versions(), usable & run.allowed)?;
    let parts = parts(text, std::thread::available_parallelism().map_or(1, usize::from));
    let written: Vec<Option<(Batch, Formats)>> = std::thread::scope(|scope| {
        let write = |part| scope.spawn(move || write_part(part, command, names, protocol));
        let threads: Vec<_> = parts.into_iter().map(write).collect();
        threads.into_iter().map(|t| t.join().ok().flatten()).collect()
    });
    let mut all = Written { batch: Batch::default(), protocol, usable: Formats::ANY };
    for part in written {
        let (batch, usable) = part?;
        all.batch.append(batch);
        all.usable &= usable;
    }
    Some(all)
}

fn write_part(text: &str, command: Option<FlowModCommand>, names: &Names, protocol: Protocol) -> Option<(Batch, Formats)> {
    let (mut batch, mut usable) = (Batch::default(), Formats::ANY);
    for (_, line) in lines(text) {
        let (fm, formats) = parse_quietly(line, command, names).ok()?;
        if !fm.matching.is_normal() {
            return None;
        }
        usable &= formats;
        batch.add_flow_mod(&fm, protocol).ok()?;
    }
    Some((batch, usable))
}

/// Cuts a text at ends of lines into at most `most` parts of about the same length.
fn parts(text: &str, most: usize) -> Vec<&str> {
    let most = most.min(text.len().div_ceil(PART)).max(1);
    let length = text.len().div_ceil(most);
    let (mut all, mut rest) = (Vec::new(), text);
    while rest.len() > length {
        let end = rest.as_bytes().iter().skip(length).position(|b| *b == b'\n').map_or(rest.len(), |n| length + n + 1);
        let (part, behind) = rest.split_at(end);
        all.push(part);
        rest = behind;
    }
    all.push(rest);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_text_are_whole_lines_and_make_the_text() {
        let text: String = (0..20_000).map(|i| format!("priority={i},actions=drop # é\n")).collect();
        for most in [1, 2, 3, 7, 1000] {
            let parts = parts(&text, most);
            assert!(parts.len() <= most && parts.iter().all(|p| p.ends_with('\n')), "{most}");
            assert_eq!(parts.concat(), text);
        }
        assert_eq!(parts("no end", 4), ["no end"]);
    }

    #[test]
    fn what_is_written_in_parts_is_what_is_written_line_by_line() {
        let text: String = (0..5000).map(|i| format!("table=3,priority=7,ip,nw_dst=10.0.{}.{},actions=output:{}\n\n# x\n", i >> 8, i & 255, i % 9)).collect();
        let protocol = Protocol::NXM_WITH_TABLE;
        let whole = write_part(&text, None, &Names::new(), protocol).unwrap();
        let mut joined = Batch::default();
        for part in parts(&text, 5) {
            joined.append(write_part(part, None, &Names::new(), protocol).unwrap().0);
        }
        assert!(whole.0.messages().eq(joined.messages()));
        assert_eq!((whole.0.len(), joined.len()), (5000, 5000));
    }

    #[test]
    fn a_line_of_which_something_is_to_be_said_is_not_written_ahead() {
        let protocol = Protocol::NXM_WITH_TABLE;
        for line in ["nonsense", "tp_dst=80,actions=drop"] {
            assert!(write_part(line, None, &Names::new(), protocol).is_none(), "{line}");
        }
    }
}
