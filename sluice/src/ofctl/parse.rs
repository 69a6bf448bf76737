//! `parse-flow` and `parse-flows`: what would be sent, without a switch.

use sluice_openflow::text::{Formats, Names};
use sluice_openflow::{FlowMod, FlowModCommand, Message};

use super::client::next_xid;
use super::fatal::Fatal;
use super::flow_file::{parse, read as read_file};
use super::formats;
use super::run::{print, Failure, Run};

/// `parse-flow`.
pub fn one(run: &Run) -> Result<(), Failure> {
    let (fm, usable) = parse(run, run.argument(1), None, &Names::new())?;
    tell(run, vec![fm], usable)
}

/// `parse-flows`.
pub fn file(run: &Run) -> Result<(), Failure> {
    let (fms, usable) = read_file(run, run.argument(1), Some(FlowModCommand::Add), &Names::new())?;
    tell(run, fms, usable)
}

fn tell(run: &Run, fms: Vec<FlowMod>, usable: Formats) -> Result<(), Failure> {
    tell_messages(run, fms.into_iter().map(Message::flow_mod).collect(), usable)
}

/// Tells what would be sent.
pub fn tell_messages(run: &Run, messages: Vec<Message>, usable: Formats) -> Result<(), Failure> {
    print(&format!("usable protocols: {}\n", formats::names(usable)));
    let allowed = usable & run.allowed;
    let chosen = formats::first(allowed).ok_or_else(|| Fatal("no usable protocol".to_string()))?;
    print(&format!("chosen protocol: {}\n", formats::name(chosen)));
    for message in messages {
        let bytes = message.encode(formats::protocol(chosen), next_xid());
        let bytes = bytes.map_err(|e| Fatal(e.to_string()))?;
        print(&super::show::message(&bytes, run.options.verbosity, &Names::new()));
    }
    Ok(())
}
