//! Commands about groups and meters, and bundles of everything.

use sluice_openflow::message::{GroupCommand, GroupMod, MeterCommand, MeterConfig, MeterMod, StatsRequest};
use sluice_openflow::text::{parse_group, parse_group_line, parse_meter, parse_meter_id, parse_packet_out, Formats, Names, TextError, ALL_METERS};
use sluice_openflow::Message;

use super::batch::Batch;
use super::client::Client;
use super::fatal::Fatal;
use super::flow_file::{parse, read_text};
use super::run::{Failure, Run};
use super::sending;

const ALL_GROUPS: u32 = 0xffff_fffc;
const ANY_GROUP: u32 = 0xffff_ffff;

fn command(run: &Run) -> GroupCommand {
    match run.argument(0) {
        "mod-group" if run.options.may_create => GroupCommand::AddOrModify,
        "mod-group" => GroupCommand::Modify,
        "del-groups" => GroupCommand::Delete,
        "insert-buckets" | "insert-bucket" => GroupCommand::InsertBucket,
        "remove-buckets" | "remove-bucket" => GroupCommand::RemoveBucket,
        _ => GroupCommand::Add,
    }
}

/// `add-group`, `mod-group`, `del-groups`, `insert-buckets`, `remove-buckets`.
pub fn change(run: &Run) -> Result<(), Failure> {
    if run.argument(2) == "-" {
        return add_file(run);
    }
    let names = run.accepted_names(run.argument(1))?;
    let (group, usable) = parse_group(run.argument(2), command(run), &names).map_err(|e| run.wrong(&e))?;
    send(run, vec![group], usable)
}

/// `add-groups`.
pub fn add_file(run: &Run) -> Result<(), Failure> {
    let names = run.accepted_names(run.argument(1))?;
    let path = run.argument(2);
    let (mut groups, mut usable) = (Vec::new(), Formats::ANY);
    for (number, line) in lines(&read_text(path)?) {
        let parsed = match command(run) {
            GroupCommand::Add => parse_group_line(line, &names),
            command => parse_group(line, command, &names),
        };
        let (group, formats) = parsed.map_err(|e| in_file(run, path, number, &e))?;
        groups.push(group);
        usable &= formats;
    }
    send(run, groups, usable)
}

/// Lines that say something, with their numbers.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().map(|l| l.split('#').next().unwrap_or(""));
    lines.enumerate().map(|(i, l)| (i + 1, l.trim_end())).filter(|(_, l)| !l.trim().is_empty())
}

fn in_file(run: &Run, path: &str, number: usize, error: &TextError) -> Fatal {
    Fatal(format!("{path}:{number}: {}", run.wrong(error).0))
}

fn send(run: &Run, groups: Vec<GroupMod>, usable: Formats) -> Result<(), Failure> {
    let mut client = run.open_for_changes(run.argument(1), usable)?;
    let messages = groups.into_iter().map(|g| Message::GroupMod(Box::new(g)));
    let batch = Batch::of(messages, client.protocol)?;
    sending::send(run, &mut client, batch)
}

/// `bundle`: flows, groups and packets of a file, together or not at all.
pub fn whole(run: &Run) -> Result<(), Failure> {
    let names = run.accepted_names(run.argument(1))?;
    let path = run.argument(2);
    let (mut messages, mut usable) = (Vec::new(), Formats::FROM_13);
    for (number, line) in lines(&read_text(path)?) {
        let line = line.trim_start();
        let (word, rest) = line.split_once([' ', '\t', ',']).unwrap_or((line, ""));
        let message = match word {
            "flow" => {
                let parsed = parse(run, rest.trim_start(), None, &names).map_err(|e| Fatal(format!("{path}:{number}: {}", e.0)))?;
                usable &= parsed.1;
                Message::flow_mod(parsed.0)
            }
            "group" => {
                let (group, formats) = parse_group_line(rest, &names).map_err(|e| in_file(run, path, number, &e))?;
                usable &= formats;
                Message::GroupMod(Box::new(group))
            }
            "packet-out" => {
                let packet = parse_packet_out(rest, &names).map_err(|e| in_file(run, path, number, &e))?;
                Message::PacketOut(Box::new(packet))
            }
            _ => return Err(Fatal(format!("{path}:{number}: Unsupported bundle message type: {word}")).into()),
        };
        messages.push(message);
    }
    let mut client = run.open_for_changes(run.argument(1), usable)?;
    let batch = Batch::of(messages, client.protocol)?;
    sending::bundle(run, &mut client, batch)
}

fn dump(run: &Run, client: &mut Client, request: StatsRequest) -> Result<(), Failure> {
    Ok(client.dump_each(request, |part| run.show_bytes(&part, 1))?)
}

/// `dump-groups`.
pub fn dump_groups(run: &Run) -> Result<(), Failure> {
    let id = match run.argument(2) {
        "" => ALL_GROUPS,
        text if text.eq_ignore_ascii_case("all") => ALL_GROUPS,
        text if text.eq_ignore_ascii_case("any") => ANY_GROUP,
        text => text.parse().unwrap_or(ALL_GROUPS),
    };
    dump(run, &mut run.open(run.argument(1))?, StatsRequest::GroupDesc(id))
}

/// `dump-group-stats`.
pub fn dump_group_stats(run: &Run) -> Result<(), Failure> {
    let names = run.accepted_names(run.argument(1))?;
    let (group, _) = parse_group(run.argument(2), GroupCommand::Delete, &names).map_err(|e| run.wrong(&e))?;
    dump(run, &mut run.open(run.argument(1))?, StatsRequest::Group(group.id))
}

/// `dump-group-features`.
pub fn dump_group_features(run: &Run) -> Result<(), Failure> {
    dump(run, &mut run.open(run.argument(1))?, StatsRequest::GroupFeatures)
}

/// `add-meter`, `mod-meter`, `del-meter`, `del-meters`.
pub fn change_meter(run: &Run) -> Result<(), Failure> {
    let command = match run.argument(0) {
        "add-meter" => MeterCommand::Add,
        "mod-meter" => MeterCommand::Modify,
        _ => MeterCommand::Delete,
    };
    let all = MeterMod { command, config: MeterConfig { id: ALL_METERS, flags: 0, bands: Vec::new() } };
    let change = match run.count() {
        0 | 1 => all,
        _ => parse_meter(run.argument(2), command).map_err(|e| run.wrong(&e))?,
    };
    let mut client = run.open_for_changes(run.argument(1), Formats::FROM_13)?;
    let answer = client.transact_silent(&Message::MeterMod(change))?;
    Ok(run.refused(answer)?)
}

/// `dump-meter`, `dump-meters`, `meter-stats`, `meter-features`.
pub fn dump_meters(run: &Run) -> Result<(), Failure> {
    let id = match run.count() {
        0 | 1 => ALL_METERS,
        _ => parse_meter_id(run.argument(2)).map_err(|e| run.wrong(&e))?,
    };
    let request = match run.argument(0) {
        "meter-stats" => StatsRequest::Meter(id),
        "meter-features" => StatsRequest::MeterFeatures,
        _ => StatsRequest::MeterConfig(id),
    };
    dump(run, &mut run.open_for_changes(run.argument(1), Formats::FROM_13)?, request)
}

/// `parse-group`.
pub fn parse_one(run: &Run) -> Result<(), Failure> {
    let (group, usable) = parse_group_line(run.argument(1), &Names::new()).map_err(|e| run.wrong(&e))?;
    super::parse::tell_messages(run, vec![Message::GroupMod(Box::new(group))], usable)
}
