//! Commands that change rules.

use sluice_openflow::text::Formats;
use sluice_openflow::{FlowMod, FlowModCommand, Message};

use super::batch::Batch;
use super::flow_file::{self, parse};
use super::run::{Failure, Run};
use super::sending;

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
    let path = run.argument(2);
    let text = flow_file::read_text(path)?;
    if let Some(written) = flow_file::write_ahead(run, &text, command, &names) {
        let mut client = run.open_for_changes(run.argument(1), written.usable)?;
        if client.protocol == written.protocol {
            return sending::send(run, &mut client, written.batch);
        }
    }
    let (fms, usable) = flow_file::parse_all(run, path, &text, command, &names)?;
    send(run, fms, usable)
}

/// Sends flow-mods, as a bundle where that is asked for.
pub fn send(run: &Run, fms: Vec<FlowMod>, usable: Formats) -> Result<(), Failure> {
    if run.options.bundle && fms.is_empty() {
        return Ok(());
    }
    let mut client = run.open_for_changes(run.argument(1), usable)?;
    let batch = Batch::of(fms.into_iter().map(Message::flow_mod), client.protocol)?;
    sending::send(run, &mut client, batch)
}
