//! What a command works with.
//!
//! Purpose: options, the connection they lead to, names of ports and tables (asked for once), and
//! how answers are shown.
//! Deliberately does not know: any one command.

use std::cell::{Cell, OnceCell};
use std::io::{IsTerminal, Write};

use sluice_openflow::message::{Port, StatsReply, StatsRequest};
use sluice_openflow::text::{Formats, Names, TextError};
use sluice_openflow::{Message, PortNo, Version, VersionSet};

use super::client::{Client, Received};
use super::fatal::Fatal;
use crate::stream::keys::KeyFiles;
use super::formats;
use super::options::{self, Options};

/// One run of a command.
pub struct Run {
    /// Options.
    pub options: Options,
    /// The command's name, then its arguments.
    pub arguments: Vec<String>,
    /// Called as `ovs-ofctl`: errors are in its words alone.
    pub as_original: bool,
    /// Formats that options allow.
    pub allowed: Formats,
    versions: VersionSet,
    ports: OnceCell<Vec<Port>>,
    tables: OnceCell<Vec<(u8, String)>>,
    monitors: Cell<u32>,
}

impl Run {
    /// Checks options against each other.
    pub fn new(options: Options, arguments: Vec<String>, as_original: bool) -> Result<Run, Fatal> {
        if let [Some(key), Some(certificate), Some(ca)] = &options.keys {
            let files = KeyFiles { private_key: key.into(), certificate: certificate.into(), ca_certificate: ca.into(), bootstrap_ca: options.bootstrap_ca };
            let _ = super::client::KEYS.set(files);
        }
        let (allowed, versions) = formats::allowed(&options)?;
        Ok(Run { options, arguments, as_original, allowed, versions, ports: OnceCell::new(), tables: OnceCell::new(), monitors: Cell::new(0) })
    }

    /// An argument of the command, counted from 1; empty when there is none.
    pub fn argument(&self, n: usize) -> &str {
        self.arguments.get(n).map_or("", String::as_str)
    }

    /// How many arguments the command has.
    pub fn count(&self) -> usize {
        self.arguments.len().saturating_sub(1)
    }

    /// Connects.
    pub fn open(&self, target: &str) -> Result<Client, Fatal> {
        Client::open(target, self.versions)
    }

    /// Connects, in a format that can say what is needed.
    pub fn open_for_changes(&self, target: &str, usable: Formats) -> Result<Client, Fatal> {
        let mut client = self.open(target)?;
        formats::switch_for_changes(&mut client, usable, self.allowed)?;
        Ok(client)
    }

    /// Versions that options allow.
    pub fn versions(&self) -> VersionSet {
        self.versions
    }

    /// Whether names are shown.
    pub fn shows_names(&self) -> bool {
        match self.options.names {
            options::Names::Use => true,
            options::Names::Never => false,
            options::Names::Default => std::io::stdout().is_terminal(),
        }
    }

    /// Names that arguments may use.
    pub fn accepted_names(&self, target: &str) -> Result<Names, Fatal> {
        match self.options.names {
            options::Names::Never => Ok(Names::new()),
            _ => self.names(target),
        }
    }

    /// Names to show.
    pub fn shown_names(&self, target: &str) -> Result<Names, Fatal> {
        if self.shows_names() {
            self.names(target)
        } else {
            Ok(Names::new())
        }
    }

    /// Names to show in messages; a connection that only listens cannot ask for any.
    pub fn shown_names_of_messages(&self, target: &str, can_ask: bool) -> Result<Names, Fatal> {
        match can_ask {
            true => self.shown_names(target),
            false => Ok(Names::new()),
        }
    }

    /// A number for a flow monitor.
    pub fn next_monitor(&self) -> u32 {
        self.monitors.replace(self.monitors.get() + 1)
    }

    fn names(&self, target: &str) -> Result<Names, Fatal> {
        let mut names = Names::new();
        for (table, name) in self.tables(target)? {
            names.add_table(*table, name);
        }
        for port in self.ports(target)? {
            names.add_port(port.number, &port.name);
        }
        Ok(names)
    }

    /// The ports of a switch.
    pub fn ports(&self, target: &str) -> Result<&[Port], Fatal> {
        if let Some(ports) = self.ports.get() {
            return Ok(ports);
        }
        let ports = fetch_ports(&mut self.open(target)?)?;
        Ok(self.ports.get_or_init(|| ports))
    }

    fn tables(&self, target: &str) -> Result<&[(u8, String)], Fatal> {
        if let Some(tables) = self.tables.get() {
            return Ok(tables);
        }
        let tables = fetch_tables(&mut self.open(target)?)?;
        Ok(self.tables.get_or_init(|| tables))
    }

    /// A port by number or name.
    pub fn port_number(&self, target: &str, text: &str) -> Result<PortNo, Fatal> {
        if let Some(number) = Names::new().port(text) {
            return Ok(number);
        }
        let mut names = Names::new();
        for port in self.ports(target)? {
            names.add_port(port.number, &port.name);
        }
        names.port(text).ok_or_else(|| Fatal(format!("{target}: unknown port `{text}'")))
    }

    /// What is wrong with an argument: the original's words, or also the token and its column.
    pub fn wrong(&self, error: &TextError) -> Fatal {
        if self.as_original {
            Fatal(error.ovs_text().to_string())
        } else {
            Fatal(error.to_string())
        }
    }

    /// Prints an answer.
    pub fn show(&self, received: &Received, more: u32) {
        self.show_bytes(&received.bytes, more);
    }

    /// Prints the bytes of an answer.
    pub fn show_bytes(&self, bytes: &[u8], more: u32) {
        let text = super::show::message(bytes, self.options.verbosity + more, &Names::new());
        print(&text);
    }

    /// Ends the command when a change was refused; the refusal goes to standard error.
    pub fn refused(&self, answer: Option<Received>) -> Result<(), Refused> {
        match answer {
            None => Ok(()),
            Some(received) => {
                let text = super::show::message(&received.bytes, self.options.verbosity + 2, &Names::new());
                let _ = std::io::stderr().write_all(text.as_bytes());
                Err(Refused)
            }
        }
    }
}

/// A refusal that was told already.
pub struct Refused;

/// How a command ends without success.
pub enum Failure {
    /// With a line to print.
    Fatal(Fatal),
    /// With everything said.
    Silent(u8),
}

impl<T: Into<Fatal>> From<T> for Failure {
    fn from(fatal: T) -> Failure {
        Failure::Fatal(fatal.into())
    }
}

impl From<Refused> for Failure {
    fn from(_: Refused) -> Failure {
        Failure::Silent(1)
    }
}

/// Writes to standard output; a reader that has gone away ends the output, not the command.
pub fn print(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

fn fetch_ports(client: &mut Client) -> Result<Vec<Port>, Fatal> {
    if client.protocol.version < Version::V13 {
        let received = client.transact(&Message::FeaturesRequest)?;
        return match received.message {
            Ok(Message::FeaturesReply(features)) => Ok(features.ports),
            _ => Err(Fatal(format!("{}: received bad features reply", client.name()))),
        };
    }
    let mut ports = Vec::new();
    for reply in client.dump_replies(StatsRequest::PortDesc(PortNo::NONE))? {
        if let StatsReply::PortDesc { ports: part, .. } = reply {
            ports.extend(part);
        }
    }
    Ok(ports)
}

/// Bits of a table's configuration in 1.1 and 1.2 that say what happens on a miss: 0, 1 or 2.
const MISS: u32 = 3;

/// Tables with names; most switches have none.
fn fetch_tables(client: &mut Client) -> Result<Vec<(u8, String)>, Fatal> {
    if client.protocol.version >= Version::V13 {
        return fetch_table_features(client);
    }
    let mut tables = Vec::new();
    for reply in client.dump_replies(StatsRequest::Table)? {
        if let StatsReply::Table { tables: part, .. } = reply {
            let odd = part.iter().find(|t| client.protocol.version != Version::V10 && t.config & MISS == MISS);
            if let Some(t) = odd {
                super::warn::say("ofp_table", "WARN", &format!("bad table miss config {}", t.config & MISS));
            }
            tables.extend(part.into_iter().map(|t| (t.table, t.name)).filter(|(_, name)| !name.is_empty()));
        }
    }
    Ok(tables)
}

fn fetch_table_features(client: &mut Client) -> Result<Vec<(u8, String)>, Fatal> {
    let mut tables = Vec::new();
    for reply in client.dump_replies(StatsRequest::TableFeatures(Vec::new()))? {
        let StatsReply::TableFeatures { body, .. } = reply else { continue };
        let mut rest = &body[..];
        // Each begins with its length, its number, and at byte 8 a name of 32 bytes.
        while let (Some(&[high, low, table]), Some(name)) = (rest.first_chunk::<3>(), rest.get(8..40)) {
            let name = name.split(|b| *b == 0).next().unwrap_or(&[]);
            if !name.is_empty() {
                tables.push((table, String::from_utf8_lossy(name).into_owned()));
            }
            let length = usize::from(u16::from_be_bytes([high, low])).max(64);
            rest = rest.get(length..).unwrap_or(&[]);
        }
    }
    Ok(tables)
}
