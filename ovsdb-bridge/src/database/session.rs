//! A conversation with a database server, from the first byte to the last.
//!
//! Purpose: asks for the schema, the lock and the rows, keeps them true, writes; bytes and time come
//! in, bytes and news go out.
//! Invariant: rows that were learned stay until the next conversation brings newer ones.
//! Deliberately does not know: sockets, what rows mean.

use std::collections::BTreeMap;

use serde_json::{json, Value};

use super::schema::{Schema, DATABASE};
use super::tables::Tables;
use crate::jsonrpc::{reply, request, FrameError, Framer, Message};

/// Longest message that is taken; a database of ten thousand ports has about a tenth of it.
const MESSAGE: usize = 256 << 20;
/// The lock that only one switch can hold.
const LOCK: &str = "ovs_vswitchd";
/// Our name for the monitor.
const MONITOR: &str = "sluice";
/// Complaints about rows that are kept to be told.
const COMPLAINTS: usize = 16;

/// Why a conversation ends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// What came is no message.
    #[error("the server sent nonsense: {0}")]
    Nonsense(String),
    /// The server says no.
    #[error("the server refused {what}: {why}")]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// Its words.
        why: String,
    },
    /// The database cannot be used.
    #[error("{0}")]
    Schema(String),
    /// Nothing came although we asked for a sign of life.
    #[error("no answer for {0} seconds")]
    Silent(u64),
}

impl From<FrameError> for SessionError {
    fn from(e: FrameError) -> SessionError {
        SessionError::Nonsense(e.to_string())
    }
}

/// What a conversation brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// Rows have changed, or are all there for the first time.
    Changed,
    /// We hold the lock, or do not any more.
    Locked(bool),
    /// A transaction was carried out, or why not.
    Written(u64, Result<(), String>),
    /// Something in a row could not be understood.
    Complaint(String),
}

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Schema,
    Lock,
    MonitorSince,
    MonitorCond,
    Monitor,
    Write,
    Echo,
}

/// What outlives a conversation.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// The rows.
    pub tables: Tables,
    /// The last transaction that they include.
    last_transaction: Option<String>,
}

/// A conversation.
#[derive(Debug)]
pub struct Session {
    framer: Framer,
    out: Vec<u8>,
    next_id: u64,
    asked: BTreeMap<u64, Asked>,
    schema: Schema,
    memory: Memory,
    following: bool,
    heard_ms: u64,
    probe_ms: u64,
    probed: bool,
}

impl Session {
    /// Begins. A peer that is silent for `probe_ms` is asked for a sign of life; 0 for never.
    pub fn begin(memory: Memory, probe_ms: u64, now_ms: u64) -> Session {
        let mut session = Session {
            framer: Framer::new(MESSAGE),
            out: Vec::new(),
            next_id: 1,
            asked: BTreeMap::new(),
            schema: Schema::default(),
            memory,
            following: false,
            heard_ms: now_ms,
            probe_ms,
            probed: false,
        };
        session.ask("get_schema", json!([DATABASE]), Asked::Schema);
        session
    }

    /// Ends, and gives back what outlives it.
    pub fn end(self) -> Memory {
        self.memory
    }

    /// The rows.
    pub fn tables(&self) -> &Tables {
        &self.memory.tables
    }

    /// The server's schema, once it is known.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Whether the rows are all there and kept true.
    pub fn is_following(&self) -> bool {
        self.following
    }

    /// Bytes to send; what was sent is to be drained.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Transactions that are not answered yet.
    pub fn unanswered(&self) -> usize {
        self.asked.values().filter(|a| **a == Asked::Write).count()
    }

    /// Begins a transaction that is only carried out while we hold the lock.
    pub fn write(&mut self, operations: Vec<Value>) -> u64 {
        let mut params = vec![json!(DATABASE), json!({ "op": "assert", "lock": LOCK })];
        params.extend(operations);
        self.ask("transact", Value::Array(params), Asked::Write)
    }

    /// Takes bytes.
    pub fn receive(&mut self, bytes: &[u8], now_ms: u64, news: &mut Vec<News>) -> Result<(), SessionError> {
        self.heard_ms = now_ms;
        self.probed = false;
        self.framer.push(bytes);
        while let Some(value) = self.framer.next_message()? {
            match Message::read(value).map_err(SessionError::Nonsense)? {
                Message::Request { method, params, id } => self.serve(&method, params, &id),
                Message::Notification { method, params } => self.notice(&method, &params, news),
                Message::Reply { id, result } => self.answer(&id, result, news)?,
            }
        }
        Ok(())
    }

    /// Takes time: asks for a sign of life where there was none for long.
    pub fn tick(&mut self, now_ms: u64) -> Result<(), SessionError> {
        if self.next_date().is_none_or(|at| now_ms < at) {
            return Ok(());
        }
        if self.probed {
            return Err(SessionError::Silent((now_ms - self.heard_ms) / 1000));
        }
        self.probed = true;
        self.ask("echo", json!([]), Asked::Echo);
        Ok(())
    }

    /// When [`Session::tick`] has something to do, if ever.
    pub fn next_date(&self) -> Option<u64> {
        let silences = if self.probed { 2 } else { 1 };
        (self.probe_ms > 0).then(|| self.heard_ms.saturating_add(silences * self.probe_ms))
    }

    fn ask(&mut self, method: &str, params: Value, what: Asked) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.asked.insert(id, what);
        self.out.extend_from_slice(&request(method, params, id));
        id
    }

    fn serve(&mut self, method: &str, params: Value, id: &Value) {
        // Nothing else is asked of a client.
        if method == "echo" {
            self.out.extend_from_slice(&reply(id, params));
        }
    }

    fn notice(&mut self, method: &str, params: &Value, news: &mut Vec<News>) {
        let mut complaints = Vec::new();
        let part = |i: usize| params.get(i).unwrap_or(&Value::Null);
        match method {
            "update" => self.memory.tables.update(part(1), &mut complaints),
            "update2" => self.memory.tables.update2(part(1), &self.schema, &mut complaints),
            "update3" => {
                self.memory.last_transaction = part(1).as_str().map(str::to_string);
                self.memory.tables.update2(part(2), &self.schema, &mut complaints);
            }
            "locked" if part(0) == LOCK => return news.push(News::Locked(true)),
            "stolen" if part(0) == LOCK => return news.push(News::Locked(false)),
            _ => return,
        }
        complain(complaints, news);
        if news.last() != Some(&News::Changed) {
            news.push(News::Changed);
        }
    }

    fn answer(&mut self, id: &Value, result: Result<Value, Value>, news: &mut Vec<News>) -> Result<(), SessionError> {
        let Some(id) = id.as_u64() else { return Ok(()) };
        let Some(what) = self.asked.remove(&id) else { return Ok(()) };
        match (what, result) {
            (Asked::Schema, Ok(schema)) => {
                self.schema = Schema::read(&schema).map_err(SessionError::Schema)?;
                self.ask("lock", json!([LOCK]), Asked::Lock);
                self.follow(Asked::MonitorSince);
            }
            (Asked::Lock, Ok(answer)) => {
                news.push(News::Locked(answer.get("locked").and_then(Value::as_bool).unwrap_or(false)));
            }
            (Asked::MonitorSince, Ok(answer)) => self.first_since(&answer, news),
            (Asked::MonitorCond, Ok(answer)) => self.first(news, |tables, schema, complaints| tables.update2(&answer, schema, complaints)),
            (Asked::Monitor, Ok(answer)) => self.first(news, |tables, _, complaints| tables.update(&answer, complaints)),
            (Asked::MonitorSince, Err(_)) => self.follow(Asked::MonitorCond),
            (Asked::MonitorCond, Err(_)) => self.follow(Asked::Monitor),
            (Asked::Write, result) => news.push(News::Written(id, outcome(result))),
            (Asked::Echo, _) => {}
            (Asked::Schema, Err(why)) => return Err(refused("its schema", &why)),
            (Asked::Lock, Err(why)) => return Err(refused("the lock ovs_vswitchd", &why)),
            (Asked::Monitor, Err(why)) => return Err(refused("to be followed", &why)),
        }
        Ok(())
    }

    fn follow(&mut self, how: Asked) {
        let wishes = self.schema.wishes(how != Asked::Monitor);
        let last = self.memory.last_transaction.as_deref().unwrap_or("00000000-0000-0000-0000-000000000000");
        let (method, params) = match how {
            Asked::MonitorSince => ("monitor_cond_since", json!([DATABASE, MONITOR, wishes, last])),
            Asked::MonitorCond => ("monitor_cond", json!([DATABASE, MONITOR, wishes])),
            _ => ("monitor", json!([DATABASE, MONITOR, wishes])),
        };
        self.ask(method, params, how);
    }

    fn first_since(&mut self, answer: &Value, news: &mut Vec<News>) {
        let part = |i: usize| answer.get(i).unwrap_or(&Value::Null);
        let continues = part(0).as_bool().unwrap_or(false);
        let mut complaints = Vec::new();
        if !continues {
            self.memory.tables = Tables::default();
        }
        self.memory.last_transaction = part(1).as_str().map(str::to_string);
        self.memory.tables.update2(part(2), &self.schema, &mut complaints);
        self.begun(complaints, news);
    }

    fn first(&mut self, news: &mut Vec<News>, fill: impl FnOnce(&mut Tables, &Schema, &mut Vec<String>)) {
        let mut complaints = Vec::new();
        self.memory = Memory::default();
        fill(&mut self.memory.tables, &self.schema, &mut complaints);
        self.begun(complaints, news);
    }

    fn begun(&mut self, complaints: Vec<String>, news: &mut Vec<News>) {
        self.following = true;
        complain(complaints, news);
        news.push(News::Changed);
    }
}

fn complain(mut complaints: Vec<String>, news: &mut Vec<News>) {
    let more = complaints.len().saturating_sub(COMPLAINTS);
    complaints.truncate(COMPLAINTS);
    news.extend(complaints.into_iter().map(News::Complaint));
    if more > 0 {
        news.push(News::Complaint(format!("and {more} more like this")));
    }
}

fn refused(what: &'static str, why: &Value) -> SessionError {
    SessionError::Refused { what, why: words(why) }
}

/// What an error says.
fn words(error: &Value) -> String {
    let part = |key: &str| error.get(key).and_then(Value::as_str);
    match (part("error"), part("details")) {
        (Some(error), Some(details)) => format!("{error}: {details}"),
        (Some(error), None) => error.to_string(),
        _ => error.as_str().map_or_else(|| error.to_string(), str::to_string),
    }
}

/// Whether all operations of a transaction were carried out.
fn outcome(result: Result<Value, Value>) -> Result<(), String> {
    let results = result.map_err(|e| words(&e))?;
    let results = results.as_array().ok_or("the answer to a transaction is not a list")?;
    match results.iter().find(|r| r.get("error").is_some_and(|e| !e.is_null())) {
        Some(failed) => Err(words(failed)),
        None => Ok(()),
    }
}
