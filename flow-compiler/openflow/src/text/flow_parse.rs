//! Rules and requests about rules, read from text.
//!
//! Purpose: `table=1,priority=5,tcp,tp_dst=80,actions=output:2` as a [`FlowMod`].
//! Invariant: a text is understood whole or refused; nothing in it is skipped silently, but what
//! `dump-flows` adds about counters.
//! Deliberately does not know: files and sockets.

use super::action_parse::{ActionText, Inside};
use super::error::TextError;
use super::formats::Formats;
use super::match_parse::MatchText;
use super::names::Names;
use super::number;
use super::token::Token;
use crate::action::{Action, FlowFlags, FlowMod, FlowModCommand, PortNo};
use crate::check;
use crate::error::OfpError;
use crate::matching::Match;

/// Priority of a rule that names none.
pub const DEFAULT_PRIORITY: u16 = 0x8000;

/// Reads a flow-mod of a known kind. `Delete` also serves for requests about rules (`dump-flows`,
/// `dump-aggregate`): they say the same things.
pub fn parse_flow(
    text: &str,
    command: FlowModCommand,
    names: &Names,
) -> Result<FlowMod, TextError> {
    parse_flow_formats(text, command, names).map(|(flow, _)| flow)
}

/// Like [`parse_flow`]; tells also which flow formats can carry it.
pub fn parse_flow_formats(
    text: &str,
    command: FlowModCommand,
    names: &Names,
) -> Result<(FlowMod, Formats), TextError> {
    read(Token::new(text), command, names)
}

/// Reads a line that may begin with its kind: `add`, `modify`, `modify_strict`, `delete`,
/// `delete_strict`. Without one it is an addition.
pub fn parse_flow_line(text: &str, names: &Names) -> Result<(FlowMod, Formats), TextError> {
    let token = Token::new(text).trim_start();
    let end = token
        .text()
        .find([',', ' ', '\t', '\r', '\n'])
        .unwrap_or(token.text().len());
    let (word, rest) = token.split_at(end);
    match command(word.text()) {
        Some(command) => read(rest, command, names),
        None => read(token, FlowModCommand::Add, names),
    }
}

/// A kind by its name, of which the front is enough.
fn command(word: &str) -> Option<FlowModCommand> {
    const COMMANDS: [(&str, FlowModCommand); 5] = [
        ("add", FlowModCommand::Add),
        ("delete", FlowModCommand::Delete),
        ("delete_strict", FlowModCommand::DeleteStrict),
        ("modify", FlowModCommand::Modify),
        ("modify_strict", FlowModCommand::ModifyStrict),
    ];
    COMMANDS
        .into_iter()
        .find(|(name, _)| name.starts_with(word))
        .map(|(_, command)| command)
}

/// Reads a match alone. A priority and other words of rules are refused.
pub fn parse_match(text: &str, names: &Names) -> Result<Match, TextError> {
    let mut m = MatchText::new(names);
    for (key, value) in Token::new(text).pairs() {
        if !m.take(key, value)? {
            return Err(key.error(format!("unknown keyword {}", key.text())));
        }
    }
    Ok(m.matching)
}

/// Reads a list of actions without instructions, as a packet-out has it. `drop` and an empty text
/// are an empty list.
pub fn parse_actions(text: &str, names: &Names) -> Result<Vec<Action>, TextError> {
    ActionText::new(names).list(Token::new(text), Inside::Actions)
}

/// Reads a list of actions and instructions, as a rule has it.
pub fn parse_instructions(text: &str, names: &Names) -> Result<Vec<Action>, TextError> {
    ActionText::new(names).list(Token::new(text), Inside::Rule)
}

/// A flow-mod that asks for nothing in particular yet.
fn blank(command: FlowModCommand) -> FlowMod {
    let modify = matches!(
        command,
        FlowModCommand::Modify | FlowModCommand::ModifyStrict
    );
    FlowMod {
        command,
        table: None,
        priority: DEFAULT_PRIORITY,
        matching: Match::ANY,
        cookie: 0,
        cookie_mask: 0,
        new_cookie: (!modify).then_some(0),
        idle_timeout: 0,
        hard_timeout: 0,
        importance: 0,
        buffer_id: u32::MAX,
        out_port: PortNo::NONE,
        out_group: u32::MAX,
        flags: FlowFlags::default(),
        actions: Vec::new(),
    }
}

fn read(
    token: Token<'_>,
    command: FlowModCommand,
    names: &Names,
) -> Result<(FlowMod, Formats), TextError> {
    let deletes = matches!(
        command,
        FlowModCommand::Delete | FlowModCommand::DeleteStrict
    );
    let (front, actions) = if deletes {
        (token, None)
    } else {
        let (front, actions) = split_actions(token)?;
        (front, Some(actions))
    };
    let mut reader = Reader {
        flow: blank(command),
        matching: MatchText::new(names),
        names,
    };
    for (key, value) in front.pairs() {
        reader.take(key, value)?;
    }
    let Reader {
        mut flow, matching, ..
    } = reader;
    let mut formats = matching.formats & matching.interplay();
    flow.matching = matching.matching;
    let modifies = matches!(
        command,
        FlowModCommand::Modify | FlowModCommand::ModifyStrict
    );
    if modifies && flow.cookie_mask == 0 && flow.new_cookie.is_none() {
        flow.new_cookie = Some(0);
    }
    if let Some(actions) = actions {
        let mut list = ActionText::new(names);
        let places;
        (flow.actions, places) = list.placed(actions, Inside::Rule)?;
        formats &= list.formats;
        consistent(&flow, &mut formats, actions, &places)?;
    }
    Ok((flow, formats))
}

/// Do the actions suit the match, and does any format carry them all?
fn consistent(
    flow: &FlowMod,
    formats: &mut Formats,
    list: Token<'_>,
    places: &[Token<'_>],
) -> Result<(), TextError> {
    let refuse = |token: Token<'_>, error: OfpError| {
        let name = error.name();
        token.error(format!("actions are invalid with specified match ({name})"))
    };
    match check::check_rule(&flow.actions, &flow.matching, flow.table) {
        Ok(suited) => *formats &= suited,
        Err(refusal) => {
            let place = places.get(refusal.index).copied().unwrap_or(list);
            let mut error = refuse(place, refusal.error);
            error.note = refusal
                .unfounded
                .map(|f| format!("set_field {} lacks correct prerequisites", f.info().name));
            return Err(error);
        }
    }
    if formats.is_empty() {
        return Err(refuse(list, OfpError::OFPBAC_MATCH_INCONSISTENT));
    }
    Ok(())
}

/// What stands before the actions, and they themselves.
fn split_actions(token: Token<'_>) -> Result<(Token<'_>, Token<'_>), TextError> {
    let found = token.split_once("action").and_then(|(front, rest)| {
        let (_, actions) = rest.split_once("=")?;
        Some((front, actions))
    });
    found.ok_or_else(|| {
        token
            .skip(token.text().len())
            .error("must specify an action")
    })
}

/// A flow-mod that grows word by word.
struct Reader<'a> {
    flow: FlowMod,
    matching: MatchText<'a>,
    names: &'a Names,
}

impl Reader<'_> {
    fn take(&mut self, key: Token<'_>, v: Token<'_>) -> Result<(), TextError> {
        let name = key.text();
        if self.takes_actions() && self.take_flag(name) {
            return Ok(());
        }
        if matches!(name, "no_readonly_table" | "allow_hidden_fields") {
            return Ok(());
        }
        if self.matching.take(key, v)? {
            return Ok(());
        }
        if v.is_empty() {
            return Err(key.error(format!("field {name} missing value")));
        }
        match name {
            "table" => self.table(v),
            "cookie" => self.cookie(v),
            // What `dump-flows` prints may be fed back.
            "duration" | "n_packets" | "n_bytes" | "idle_age" | "hard_age" => Ok(()),
            _ if self.takes_actions() => self.take_rule_word(key, v),
            _ => self.take_filter_word(key, v),
        }
    }

    fn takes_actions(&self) -> bool {
        !matches!(
            self.flow.command,
            FlowModCommand::Delete | FlowModCommand::DeleteStrict
        )
    }

    fn take_flag(&mut self, name: &str) -> bool {
        let flags = &mut self.flow.flags;
        let (flag, formats) = match name {
            "send_flow_rem" => (&mut flags.send_flow_rem, Formats::ANY),
            "check_overlap" => (&mut flags.check_overlap, Formats::ANY),
            "reset_counts" => (&mut flags.reset_counts, Formats::FROM_12),
            "no_packet_counts" => (&mut flags.no_packet_counts, Formats::FROM_13),
            "no_byte_counts" => (&mut flags.no_byte_counts, Formats::FROM_13),
            _ => return false,
        };
        *flag = true;
        self.matching.formats &= formats;
        true
    }

    /// Words of additions and modifications.
    fn take_rule_word(&mut self, key: Token<'_>, v: Token<'_>) -> Result<(), TextError> {
        let (name, flow) = (key.text(), &mut self.flow);
        match name {
            "priority" => flow.priority = number::u16(v, name)?,
            "idle_timeout" => flow.idle_timeout = number::u16(v, name)?,
            "hard_timeout" => flow.hard_timeout = number::u16(v, name)?,
            "importance" if flow.command == FlowModCommand::Add => {
                flow.importance = number::u16(v, name)?
            }
            _ => return Err(key.error(format!("unknown keyword {name}"))),
        }
        Ok(())
    }

    /// Words of deletions and requests.
    fn take_filter_word(&mut self, key: Token<'_>, v: Token<'_>) -> Result<(), TextError> {
        let (name, text, flow) = (key.text(), v.text(), &mut self.flow);
        match name {
            "out_port" => {
                flow.out_port = self
                    .names
                    .port(text)
                    .ok_or_else(|| v.error(format!("{text} is not a valid OpenFlow port")))?
            }
            "out_group" => {
                self.matching.formats &= Formats::FROM_11;
                flow.out_group = group(text)
                    .ok_or_else(|| v.error(format!("{text} is not a valid OpenFlow group")))?
            }
            "priority" if flow.command == FlowModCommand::DeleteStrict => {
                flow.priority = number::u16(v, name)?
            }
            _ => return Err(key.error(format!("unknown keyword {name}"))),
        }
        Ok(())
    }

    fn table(&mut self, v: Token<'_>) -> Result<(), TextError> {
        let table = self
            .names
            .table(v.text())
            .ok_or_else(|| v.error(format!("unknown table \"{}\"", v.text())))?;
        self.flow.table = (table != 255).then_some(table);
        if table != 255 {
            self.matching.formats &= Formats::WITH_TABLE;
        }
        Ok(())
    }

    /// `cookie=VALUE` sets one, `cookie=VALUE/MASK` asks for some.
    fn cookie(&mut self, v: Token<'_>) -> Result<(), TextError> {
        let flow = &mut self.flow;
        let deletes = matches!(
            flow.command,
            FlowModCommand::Delete | FlowModCommand::DeleteStrict
        );
        if let (value, Some(mask)) = v.split_any(&['/']) {
            if flow.command == FlowModCommand::Add {
                return Err(v.error("flow additions cannot use a cookie mask"));
            }
            flow.cookie = number::u64(value)?;
            flow.cookie_mask = number::u64(mask)?;
            if flow.cookie_mask != 0 {
                self.matching.formats &= Formats::FROM_11 | Formats::NXM | Formats::NXM_TABLE_ID;
            }
        } else if deletes {
            let text = v.text();
            return Err(v.error(format!(
                "cannot set cookie (to match on a cookie, specify a mask, e.g. cookie={text}/-1)"
            )));
        } else {
            flow.new_cookie = Some(number::u64(v)?);
        }
        Ok(())
    }
}

/// A group by number or reserved name.
fn group(text: &str) -> Option<u32> {
    match text.to_ascii_lowercase().as_str() {
        "any" => Some(0xffff_ffff),
        "all" => Some(0xffff_fffc),
        // What lies between the highest group and the reserved names stands for nothing.
        _ => text
            .parse()
            .ok()
            .filter(|n| matches!(n, 0..=0xffff_ff00 | 0xffff_fffc | 0xffff_ffff)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_token_and_its_column() {
        let cases = [
            ("actions=foo", 9, "foo", None),
            ("priority=99999,actions=1", 10, "99999", None),
            (
                "ip,actions=load:5->NXM_NX_REG9999[]",
                20,
                "NXM_NX_REG9999",
                None,
            ),
            ("ip,nw_src=1.2.3,actions=1", 11, "1.2.3", None),
            ("ip", 3, "", None),
            ("ip,actions=1,clone(2,nope)", 22, "nope", None),
            (
                "table=3,ip,actions=1,goto_table:2",
                22,
                "goto_table:2",
                None,
            ),
            (
                "actions=1,set_field:1.2.3.4->ip_dst",
                11,
                "set_field:1.2.3.4->ip_dst",
                Some("set_field ip_dst lacks correct prerequisites"),
            ),
            ("skb_priority=5,actions=1,2", 24, "1,2", None),
            ("ip,actions=1,ct_clear,nat,2", 23, "nat", None),
        ];
        for (text, column, token, note) in cases {
            let error = parse_flow(text, FlowModCommand::Add, &Names::new()).err();
            let said = error.map(|e| (e.column, e.token, e.note));
            let note = note.map(str::to_string);
            assert_eq!(said, Some((column, token.to_string(), note)), "{text}");
        }
    }
}
