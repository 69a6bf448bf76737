//! `watch:` of `ovs-ofctl monitor`: which changes of rules to hear of.

use super::error::TextError;
use super::match_parse::MatchText;
use super::names::Names;
use super::token::Token;
use crate::action::PortNo;
use crate::message::{monitor_flags as flag, FlowMonitorRequest, MonitorCommand, ANY_GROUP};
use crate::Match;

const FLAGS: [(&str, u16); 7] = [
    ("!initial", flag::INITIAL),
    ("!add", flag::ADD),
    ("!delete", flag::REMOVED),
    ("!modify", flag::MODIFY),
    ("!actions", flag::INSTRUCTIONS),
    ("!abbrev", flag::NO_ABBREV),
    ("!own", flag::ONLY_OWN),
];

/// Reads what is to be watched; everything for an empty text. `id` is the monitor's number.
pub fn parse_flow_monitor(text: &str, id: u32, names: &Names) -> Result<FlowMonitorRequest, TextError> {
    let all = FLAGS.iter().fold(0, |bits, (_, f)| bits | f) & !flag::NO_ABBREV;
    let mut request = FlowMonitorRequest {
        id,
        command: MonitorCommand::Add,
        flags: all,
        out_port: PortNo::NONE,
        out_group: ANY_GROUP,
        table: None,
        matching: Match::ANY,
    };
    let mut m = MatchText::new(names);
    for (key, value) in Token::new(text).pairs() {
        if let Some((_, f)) = FLAGS.iter().find(|(n, _)| *n == key.text()) {
            request.flags &= !f;
        } else if !m.take(key, value)? {
            other(&mut request, text, key, value, names)?;
        }
    }
    request.matching = m.matching;
    Ok(request)
}

fn other(request: &mut FlowMonitorRequest, text: &str, key: Token<'_>, value: Token<'_>, names: &Names) -> Result<(), TextError> {
    if value.is_empty() {
        return Err(key.error(format!("{text}: field {} missing value", key.text())));
    }
    let number = || value.text().parse::<u32>().unwrap_or(0);
    match key.text() {
        "table" => {
            let table = names.table(value.text());
            request.table = Some(table.ok_or_else(|| value.error(format!("unknown table \"{}\"", value.text())))?);
        }
        "out_port" => request.out_port = PortNo::from_u16(number() as u16),
        "out_group" => request.out_group = number(),
        name => return Err(key.error(format!("{text}: unknown keyword {name}"))),
    }
    Ok(())
}
