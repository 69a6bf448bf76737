//! Groups, read from text.
//!
//! Purpose: `group_id=1,type=select,bucket=weight:2,output:1` as a [`GroupMod`].
//! Deliberately does not know: which groups exist.

use super::action_parse::{ActionText, Inside};
use super::error::TextError;
use super::formats::Formats;
use super::names::Names;
use super::token::Token;
use super::{number, value};
use crate::action::PortNo;
use crate::field::Field;
use crate::message::{Bucket, GroupCommand, GroupMod, ANY_GROUP};
use crate::wire::SelectionMethod;

const ALL: u32 = 0xffff_fffc;
const MOST: u32 = 0xffff_ff00;
const BUCKET_MAX: u32 = 0xffff_ff00;
const BUCKET_FIRST: u32 = 0xffff_fffd;
const BUCKET_LAST: u32 = 0xffff_fffe;
const BUCKET_ALL: u32 = 0xffff_ffff;
const SELECT: u8 = 1;
const INDIRECT: u8 = 2;
const FAST_FAILOVER: u8 = 3;
/// Bytes of a method's name, with its end.
const METHOD: usize = 16;
/// What only Nicira's form for 1.0 and OpenFlow 1.5 can say.
fn extended() -> Formats {
    Formats::ANY_10 | Formats::OXM15
}

const COMMANDS: [(&str, GroupCommand); 6] = [
    ("add", GroupCommand::Add),
    ("delete", GroupCommand::Delete),
    ("modify", GroupCommand::Modify),
    ("add_or_mod", GroupCommand::AddOrModify),
    ("insert_bucket", GroupCommand::InsertBucket),
    ("remove_bucket", GroupCommand::RemoveBucket),
];

/// Reads a group-mod whose text may begin with its command; an addition where it does not.
pub fn parse_group_line(text: &str, names: &Names) -> Result<(GroupMod, Formats), TextError> {
    let token = Token::new(text).trim_start();
    let (word, _) = token.split_any(&[',', ' ', '\t', '\r', '\n']);
    match COMMANDS.iter().find(|(name, _)| !word.is_empty() && name.starts_with(word.text())) {
        Some((_, command)) => read(token.skip(word.text().len()), *command, names),
        None => read(token, GroupCommand::Add, names),
    }
}

/// Reads a group-mod of this kind, and tells which formats can carry it.
pub fn parse_group(text: &str, command: GroupCommand, names: &Names) -> Result<(GroupMod, Formats), TextError> {
    read(Token::new(text), command, names)
}

/// What has been read of a group.
struct GroupText<'a> {
    names: &'a Names,
    formats: Formats,
    group: GroupMod,
    typed: bool,
    placed: bool,
    method: SelectionMethod,
}

fn read(token: Token<'_>, command: GroupCommand, names: &Names) -> Result<(GroupMod, Formats), TextError> {
    let group = GroupMod { command, kind: 0, id: ANY_GROUP, command_bucket_id: BUCKET_ALL, buckets: Vec::new(), properties: Vec::new() };
    let method = SelectionMethod { method: String::new(), parameter: 0, fields: Vec::new() };
    let mut g = GroupText { names, formats: Formats::ANY, group, typed: false, placed: false, method };
    if matches!(command, GroupCommand::InsertBucket | GroupCommand::RemoveBucket) {
        g.formats &= extended();
    }
    if command == GroupCommand::Delete && token.is_empty() {
        g.group.id = ALL;
        return Ok((g.group, g.formats));
    }
    let at = token.text().find("bucket=");
    let (front, buckets) = match at {
        Some(at) => {
            let (front, rest) = token.split_at(at);
            (front, Some(rest))
        }
        None => (token, None),
    };
    if let Some(buckets) = buckets.filter(|_| !g.has_buckets()) {
        return Err(buckets.error("bucket is not needed"));
    }
    for (key, value) in front.pairs() {
        g.word(key, value)?;
    }
    g.check(token)?;
    if let Some(buckets) = buckets {
        g.buckets(buckets)?;
    }
    number_buckets(&mut g.group.buckets);
    if g.group.kind == INDIRECT && g.group.buckets.len() > 1 {
        return Err(token.error("Indirect groups can have at most one bucket."));
    }
    Ok((g.group, g.formats))
}

/// Buckets that were given no number get the lowest free ones.
fn number_buckets(buckets: &mut [Bucket]) {
    let mut next = 0;
    for i in 0..buckets.len() {
        while buckets.iter().any(|b| b.id == next) {
            next += 1;
        }
        if let Some(b) = buckets.get_mut(i).filter(|b| b.id == BUCKET_ALL) {
            b.id = next;
        }
    }
}

impl GroupText<'_> {
    fn has_buckets(&self) -> bool {
        !matches!(self.group.command, GroupCommand::Delete | GroupCommand::RemoveBucket)
    }

    fn has_type(&self) -> bool {
        use GroupCommand as C;
        matches!(self.group.command, C::Add | C::Modify | C::AddOrModify)
    }

    fn word(&mut self, key: Token<'_>, value: Token<'_>) -> Result<(), TextError> {
        let of_type = |what: &str| match self.has_type() {
            true => Ok(()),
            false => Err(key.error(format!("{what} not needed"))),
        };
        match key.text() {
            "command_bucket_id" => self.place(key, value)?,
            "group_id" if value.text() == "all" => self.group.id = ALL,
            "group_id" => {
                self.group.id = number::u32(value)?;
                if self.group.id > MOST && self.group.id != ALL {
                    return Err(value.error(format!("invalid group id {}", self.group.id)));
                }
            }
            "type" => {
                of_type("type is")?;
                self.group.kind = kind(value)?;
                self.typed = true;
            }
            "selection_method" => {
                of_type("selection method is")?;
                if value.text().len() >= METHOD {
                    return Err(value.error(format!("selection method is longer than {} bytes long", METHOD - 1)));
                }
                self.method.method = value.text().to_string();
                self.formats &= extended();
            }
            "selection_method_param" => {
                of_type("selection method param is")?;
                self.method.parameter = number::u64(value)?;
                self.formats &= extended();
            }
            "fields" => {
                of_type("fields are")?;
                self.fields(value)?;
                self.formats &= extended();
            }
            name => return Err(key.error(format!("unknown keyword {name}"))),
        }
        Ok(())
    }

    fn place(&mut self, key: Token<'_>, value: Token<'_>) -> Result<(), TextError> {
        if !matches!(self.group.command, GroupCommand::InsertBucket | GroupCommand::RemoveBucket) {
            return Err(key.error("command bucket id is not needed"));
        }
        self.group.command_bucket_id = match value.text() {
            "all" => BUCKET_ALL,
            "first" => BUCKET_FIRST,
            "last" => BUCKET_LAST,
            _ => number::u32(value)?,
        };
        let id = self.group.command_bucket_id;
        if id > BUCKET_MAX && ![BUCKET_FIRST, BUCKET_LAST, BUCKET_ALL].contains(&id) {
            return Err(value.error(format!("invalid command bucket id {id}")));
        }
        if id == BUCKET_ALL && self.group.command != GroupCommand::RemoveBucket {
            return Err(value.error("command_bucket_id=all is not permitted"));
        }
        self.placed = true;
        Ok(())
    }

    fn fields(&mut self, list: Token<'_>) -> Result<(), TextError> {
        for (key, text) in list.pairs() {
            let name = key.text();
            let field = Field::by_name(name).ok_or_else(|| key.error(format!("{}: unknown field {name}", list.text())))?;
            if self.method.fields.iter().any(|(f, _)| *f == field) {
                return Err(key.error(format!("{name}: duplicate field")));
            }
            let mask = match text.is_empty() {
                true => value::all_bytes(field),
                false => value::parse_exact(field, text, self.names)?,
            };
            if mask == 0 {
                return Err(text.error(format!("{}: values are wildcards here and must not be all-zeros", list.text())));
            }
            self.method.fields.push((field, mask));
        }
        Ok(())
    }

    /// What must be there, and what goes together.
    fn check(&mut self, whole: Token<'_>) -> Result<(), TextError> {
        let wrong = |what: &str| Err(whole.error(what));
        if self.group.id == ANY_GROUP {
            return wrong("must specify a group_id");
        }
        if self.has_type() && !self.typed {
            return wrong("must specify a type");
        }
        if self.method.method != "hash" && !self.method.fields.is_empty() {
            return wrong("fields may only be specified with \"selection_method=hash\"");
        }
        if self.method.method.is_empty() && self.method.parameter != 0 {
            return wrong("selection_method_param is only allowed with \"selection_method\"");
        }
        if self.group.command == GroupCommand::InsertBucket && !self.placed {
            return wrong("must specify a command bucket id");
        }
        if !self.method.method.is_empty() {
            self.group.properties.push(self.method.property());
        }
        Ok(())
    }

    fn buckets(&mut self, list: Token<'_>) -> Result<(), TextError> {
        let mut rest = list.skip("bucket=".len());
        loop {
            let (one, next) = match rest.text().find("bucket=") {
                Some(at) => {
                    let (one, next) = rest.split_at(at);
                    (one, Some(next.skip("bucket=".len())))
                }
                None => (rest, None),
            };
            let bucket = self.bucket(one)?;
            if self.group.command != GroupCommand::InsertBucket && self.group.kind != SELECT && bucket.weight != 0 {
                return Err(one.error("Only select groups can have bucket weights."));
            }
            self.group.buckets.push(bucket);
            match next {
                Some(next) => rest = next,
                None => return Ok(()),
            }
        }
    }

    fn bucket(&mut self, token: Token<'_>) -> Result<Bucket, TextError> {
        let weight = u16::from(self.group.kind == SELECT);
        let mut b = Bucket { weight, watch_port: PortNo::NONE, watch_group: ANY_GROUP, id: BUCKET_ALL, actions: Vec::new() };
        let mut actions = String::new();
        for (key, value) in token.pairs() {
            match key.text().to_ascii_lowercase().as_str() {
                "weight" => b.weight = number::u16(value, "weight")?,
                "watch_port" => b.watch_port = watch_port(value, self.names)?,
                "watch_group" => {
                    b.watch_group = number::u32(value)?;
                    if b.watch_group > MOST {
                        return Err(value.error(format!("invalid watch_group id {}", b.watch_group)));
                    }
                }
                "bucket_id" => {
                    b.id = number::u32(value)?;
                    if b.id > BUCKET_MAX {
                        return Err(value.error(format!("invalid bucket_id id {}", b.id)));
                    }
                    self.formats &= extended();
                }
                "action" | "actions" => actions += &format!("{},", value.text()),
                _ => actions += &format!("{}({}),", key.text(), value.text()),
            }
        }
        if actions.is_empty() {
            return Err(token.error("bucket must specify actions"));
        }
        if self.group.kind == FAST_FAILOVER && b.watch_port == PortNo::NONE && b.watch_group == ANY_GROUP {
            return Err(token.error("fast failover bucket requires watch_port or watch_group"));
        }
        let mut text = ActionText::new(self.names);
        let parsed = text.list(Token::new(actions.trim_end_matches(',')), Inside::Actions);
        // The actions were gathered from between other words: only the bucket has a place in the text.
        b.actions = parsed.map_err(|e| TextError { note: e.note, ..token.error(e.message) })?;
        self.formats &= text.formats;
        Ok(b)
    }
}

fn kind(value: Token<'_>) -> Result<u8, TextError> {
    match value.text() {
        "all" => Ok(0),
        "select" => Ok(SELECT),
        "indirect" => Ok(INDIRECT),
        "ff" | "fast_failover" => Ok(FAST_FAILOVER),
        other => Err(value.error(format!("invalid group type {other}"))),
    }
}

fn watch_port(value: Token<'_>, names: &Names) -> Result<PortNo, TextError> {
    let port = names.port(value.text());
    let fits = |p: &PortNo| p.0 < PortNo::MAX.0 || [PortNo::NONE, PortNo::CONTROLLER].contains(p);
    port.filter(fits).ok_or_else(|| value.error(format!("{}: invalid watch_port", value.text())))
}
