//! Commands that change rules.

use std::io::Read;

use sluice_openflow::message::{BundleAdd, BundleKind, ErrorMessage};
use sluice_openflow::text::{parse_flow_formats, parse_flow_line, Formats, Names};
use sluice_openflow::{FlowMod, FlowModCommand, Message};

use super::client::{next_xid, Client, Received, BUNDLE_FLAGS};
use super::fatal::{reason, Fatal};
use super::run::{Failure, Run};
use super::warn;

/// `add-flow`, `mod-flows`, `del-flows`.
pub fn change(run: &Run) -> Result<(), Failure> {
    let command = command(run);
    if run.argument(2) == "-" {
        return change_by_file(run, command);
    }
    let names = run.accepted_names(run.argument(1))?;
    let text = run.argument(2);
    let (fm, usable) = parse(run, text, Some(command), &names)?;
    send(run, vec![fm], usable)
}

/// `add-flows`.
pub fn add_file(run: &Run) -> Result<(), Failure> {
    change_by_file(run, FlowModCommand::Add)
}

fn command(run: &Run) -> FlowModCommand {
    match (run.argument(0), run.options.strict) {
        ("mod-flows", false) => FlowModCommand::Modify,
        ("mod-flows", true) => FlowModCommand::ModifyStrict,
        ("del-flows", false) => FlowModCommand::Delete,
        ("del-flows", true) => FlowModCommand::DeleteStrict,
        _ => FlowModCommand::Add,
    }
}

fn change_by_file(run: &Run, command: FlowModCommand) -> Result<(), Failure> {
    let names = run.accepted_names(run.argument(1))?;
    // A line of a file of additions may name its own kind.
    let command = Some(command).filter(|c| *c != FlowModCommand::Add);
    let (fms, usable) = read_file(run, run.argument(2), command, &names)?;
    send(run, fms, usable)
}

/// Reads a file of flow-mods, `-` being standard input; without a command each line names its own.
pub fn read_file(run: &Run, path: &str, command: Option<FlowModCommand>, names: &Names) -> Result<(Vec<FlowMod>, Formats), Fatal> {
    let text = read_text(path)?;
    let (mut fms, mut usable) = (Vec::new(), Formats::ANY);
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or("");
        if line.trim().is_empty() {
            continue;
        }
        let parsed = parse(run, line, command, names);
        let (fm, formats) = parsed.map_err(|e| Fatal(format!("{path}:{}: {}", number + 1, e.0)))?;
        fms.push(fm);
        usable &= formats;
    }
    Ok((fms, usable))
}

/// Reads one flow-mod: of a given kind, or of the one that it names itself.
pub fn parse(run: &Run, text: &str, command: Option<FlowModCommand>, names: &Names) -> Result<(FlowMod, Formats), Fatal> {
    let parsed = match command {
        Some(command) => parse_flow_formats(text, command, names),
        None => parse_flow_line(text, names),
    };
    match parsed {
        Ok((fm, usable)) => Ok((warn::normalized(fm), usable)),
        Err(e) => {
            warn::explain(text, names);
            Err(run.wrong(&e))
        }
    }
}

pub fn read_text(path: &str) -> Result<String, Fatal> {
    let bytes = if path == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(path)
    };
    let bytes = bytes.map_err(|e| Fatal(format!("{path}: open failed ({})", reason(&e))))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Sends flow-mods, as a bundle where that is asked for.
pub fn send(run: &Run, fms: Vec<FlowMod>, usable: Formats) -> Result<(), Failure> {
    if run.options.bundle && fms.is_empty() {
        return Ok(());
    }
    let mut client = run.open_for_changes(run.argument(1), usable)?;
    let messages: Vec<Message> = fms.into_iter().map(Message::flow_mod).collect();
    if run.options.bundle {
        return bundle(run, &mut client, &messages);
    }
    Ok(run.refused(client.send_all(&messages)?)?)
}

/// Bytes of a bundle's messages that are written at once.
const AT_ONCE: usize = 64 << 10;

/// Sends messages that take effect together or not at all.
pub fn bundle(run: &Run, client: &mut Client, messages: &[Message]) -> Result<(), Failure> {
    const BUNDLE: u32 = 0;
    let mut parts = Vec::new();
    for message in messages {
        let xid = next_xid();
        let bytes = message.encode(client.protocol, xid).map_err(|e| Fatal(e.to_string()))?;
        let add = BundleAdd { id: BUNDLE, flags: BUNDLE_FLAGS, message: bytes.clone() };
        parts.push((xid, bytes, Message::BundleAdd(add)));
    }
    let mut errors = Errors { run, parts: &parts, failed: false };
    let opened = client.bundle_control(BUNDLE, BundleKind::OpenRequest)?;
    errors.take(&opened);
    if !errors.failed {
        let mut bytes = Vec::new();
        for (xid, _, add) in &parts {
            bytes.extend(add.encode(client.protocol, *xid).map_err(|e| Fatal(e.to_string()))?);
            if bytes.len() >= AT_ONCE {
                client.send_raw(&bytes)?;
                bytes.clear();
            }
        }
        client.send_raw(&bytes)?;
        let barrier = next_xid();
        client.send(&Message::BarrierRequest, barrier)?;
        loop {
            let received = client.receive()?;
            if received.xid == barrier {
                break;
            }
            errors.take(&received);
        }
        let last = if errors.failed { BundleKind::DiscardRequest } else { BundleKind::CommitRequest };
        let xid = next_xid();
        client.send(&Message::BundleControl(control(BUNDLE, last)), xid)?;
        loop {
            let received = client.receive()?;
            errors.take(&received);
            if received.xid == xid {
                break;
            }
        }
    }
    match errors.failed {
        false => Ok(()),
        true => Err(Fatal(format!("talking to {} (Protocol error)", client.name())).into()),
    }
}

fn control(id: u32, kind: BundleKind) -> sluice_openflow::message::BundleControl {
    sluice_openflow::message::BundleControl { id, kind, flags: BUNDLE_FLAGS }
}

/// Tells of what was refused in a bundle.
struct Errors<'a> {
    run: &'a Run,
    parts: &'a [(u32, Vec<u8>, Message)],
    failed: bool,
}

impl Errors<'_> {
    fn take(&mut self, received: &Received) {
        let Ok(Message::Error(error)) = &received.message else { return };
        self.failed = true;
        let about = self.about(received.xid, error);
        let name = error.error.map_or_else(|| format!("{:?}", error.code), |e| e.name().to_string());
        let text = super::show::message(&about, self.run.options.verbosity + 2, &Names::new());
        eprint!("Error {name} for: {text}");
    }

    /// The message that was refused: whole, where we sent it ourselves.
    fn about(&self, xid: u32, error: &ErrorMessage) -> Vec<u8> {
        let ours = self.parts.iter().find(|(x, _, _)| *x == xid);
        ours.map_or_else(|| error.about.clone(), |(_, bytes, _)| bytes.clone())
    }
}
