//! Commands that ask for rules.

use sluice_openflow::message::{FlowStats, FlowStatsRequest, StatsReply, StatsRequest};
use sluice_openflow::text::Formats;
use sluice_openflow::{Field, FlowModCommand};

use super::client::Client;
use super::fatal::Fatal;
use super::flow_file::parse;
use super::formats;
use super::options::SortKey;
use super::run::{print, Failure, Run};

/// `dump-flows`.
pub fn flows(run: &Run) -> Result<(), Failure> {
    let sorted = !run.options.sort.is_empty();
    check_sort(&run.options.sort)?;
    if !sorted && !run.shows_names() && run.options.stats {
        return raw(run, StatsRequest::Flow);
    }
    let (mut client, request) = prepare(run)?;
    let mut flows = fetch(&mut client, request)?;
    drop(client);
    if sorted {
        sort(&mut flows, &run.options.sort);
    }
    let names = run.shown_names(run.argument(1))?;
    for flow in &flows {
        print(&format!(" {}\n", flow.to_line(run.options.stats, &names)));
    }
    Ok(())
}

/// `dump-aggregate`.
pub fn aggregate(run: &Run) -> Result<(), Failure> {
    raw(run, StatsRequest::Aggregate)
}

/// Prints the answer as it comes.
fn raw(run: &Run, request: impl Fn(FlowStatsRequest) -> StatsRequest) -> Result<(), Failure> {
    let (mut client, about) = prepare(run)?;
    Ok(client.dump_each(request(about), |part| run.show_bytes(&part, 1))?)
}

/// The request, and a connection in a format that can say it.
fn prepare(run: &Run) -> Result<(Client, FlowStatsRequest), Failure> {
    let target = run.argument(1);
    let (about, usable) = match run.count() {
        0 | 1 => (FlowStatsRequest::default(), Formats::ANY),
        _ => request(run, target)?,
    };
    let mut client = run.open(target)?;
    formats::switch_for_dump(&mut client, usable, run.allowed)?;
    let nxm = client.protocol.nxm;
    Ok((client, FlowStatsRequest { nxm, ..about }))
}

fn request(run: &Run, target: &str) -> Result<(FlowStatsRequest, Formats), Failure> {
    let names = run.accepted_names(target)?;
    let (fm, usable) = parse(run, run.argument(2), Some(FlowModCommand::Delete), &names)?;
    let request = FlowStatsRequest {
        matching: fm.matching,
        table: fm.table,
        out_port: fm.out_port,
        out_group: fm.out_group,
        cookie: fm.cookie,
        cookie_mask: fm.cookie_mask,
        nxm: false,
    };
    Ok((request, usable))
}

/// All rules that a request is about.
pub fn fetch(client: &mut Client, request: FlowStatsRequest) -> Result<Vec<FlowStats>, Fatal> {
    let request = FlowStatsRequest { nxm: client.protocol.nxm, ..request };
    let mut all = Vec::new();
    for reply in client.dump_replies(StatsRequest::Flow(request))? {
        if let StatsReply::Flow { flows, .. } = reply {
            // Ages are only told where the switch's reply is printed as it comes.
            all.extend(flows.into_iter().map(|f| FlowStats { idle_age: None, hard_age: None, ..f }));
        }
    }
    Ok(all)
}

fn check_sort(keys: &[SortKey]) -> Result<(), Fatal> {
    let unknown = keys.iter().filter_map(|k| k.field.as_deref()).find(|f| Field::by_name(f).is_none());
    unknown.map_or(Ok(()), |field| Err(Fatal(format!("{field}: unknown field name"))))
}

/// By each key in turn; rules that do not match on a field come last, whatever the direction.
fn sort(flows: &mut [FlowStats], keys: &[SortKey]) {
    use std::cmp::Ordering::{Equal, Greater, Less};
    flows.sort_by(|a, b| {
        for key in keys {
            let order = match key.field.as_deref().and_then(Field::by_name) {
                None => a.priority.cmp(&b.priority),
                Some(field) => match (value(a, field), value(b, field)) {
                    (None, None) => Equal,
                    (None, Some(_)) => return Greater,
                    (Some(_), None) => return Less,
                    (Some(a), Some(b)) => a.cmp(&b),
                },
            };
            let order = if key.ascending { order } else { order.reverse() };
            if order != Equal {
                return order;
            }
        }
        Equal
    });
}

/// What a rule asks of a field, if anything.
fn value(flow: &FlowStats, field: Field) -> Option<u128> {
    let (value, mask) = flow.matching.field(field);
    (mask != 0).then_some(value)
}
