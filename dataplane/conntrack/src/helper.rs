//! Helpers: connections whose payload announces other connections (FTP, TFTP).
//!
//! A helper runs only for connections that a rule's `alg` opened. What it reads becomes an expectation; where
//! the connection is translated, the text is to be changed too, and with it sequence numbers.
//! Invariant: what is remembered here ends with its connection.
//! Deliberately does not know: how bytes of a packet are changed (it says what to).

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;

use crate::conn::{Alg, Conn, NatKind};
use crate::keep::{lock, Tracker};
use crate::nat::NatSpec;
use crate::packet::{Seen, Transported};
use crate::stats::count;
use crate::track::Known;
use crate::tuple::{Tuple, TCP, UDP};

pub mod expect;
pub mod ftp;
pub mod skew;

use expect::{Announcement, Expectations, Expected};
use ftp::{Announced, Said};
use skew::Skew;

/// The port behind the last one.
const FIRST_PORT: u16 = 1024;
/// Ports that are tried when another connection announced the same one.
const PORTS_TRIED: u16 = 64;

/// What helpers remember.
#[derive(Debug, Default)]
pub(crate) struct Helpers {
    expectations: Expectations,
    /// Of connections whose text was changed: both directions' numbers.
    skews: HashMap<u32, [Skew; 2]>,
}

/// What a helper may change in a packet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum May {
    /// Nothing: the packet is not being translated now.
    Read,
    /// Numbers in its header.
    Renumber,
    /// Its text as well.
    Rewrite,
}

/// What is to be done with a packet that a helper has read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Heard {
    /// Bytes of the payload, and what is to stand there.
    pub replace: Option<(Range<usize>, String)>,
    /// To be added to the sequence number.
    pub seq: u32,
    /// How the other side's numbers were moved: acknowledgements are to be moved back.
    pub acked: Skew,
    /// The packet is invalid: its text is malformed or names a stranger's address.
    pub invalid: bool,
}

impl Alg {
    /// Does this helper read packets of that protocol?
    pub(crate) fn reads(self, proto: u8) -> bool {
        matches!((self, proto), (Alg::Ftp, TCP) | (Alg::Tftp, UDP))
    }
}

impl Tracker {
    /// Reads a packet that [`Tracker::track`] named in [`crate::Metadata::helped`].
    ///
    /// `payload` is the beginning of what follows the transport header.
    pub fn help(&self, at: Known, seen: &Seen, payload: &[u8], may: May, now_ms: u64) -> Heard {
        let Some(c) = self.records.get(at.id).filter(|r| r.is_alive()).map(|r| r.load()) else { return Heard::default() };
        match (c.alg, seen.transported) {
            (Alg::Tftp, Transported::Other) if !at.is_reply => {
                self.announce_answer(at.id, &c, now_ms);
                Heard::default()
            }
            (Alg::Ftp, Transported::Tcp(s)) => {
                let mut heard = Heard::default();
                let change = match ftp::read(payload, at.is_reply) {
                    Said::Nothing => None,
                    Said::Malformed => return Heard { invalid: true, ..heard },
                    Said::Data(a) if !is_own(&c, &a, at.is_reply) => return Heard { invalid: true, ..heard },
                    Said::Data(a) => self.announce_data(at, &c, &a, may == May::Rewrite, now_ms).map(|text| (a.place, text)),
                };
                let change = change.filter(|(place, text)| payload.get(place.clone()) != Some(text.as_bytes()));
                if may >= May::Renumber {
                    self.move_numbers(at, s.seq, change, &mut heard);
                }
                heard
            }
            _ => Heard::default(),
        }
    }

    fn move_numbers(&self, at: Known, seq: u32, change: Option<(Range<usize>, String)>, heard: &mut Heard) {
        let mut helpers = lock(&self.helpers);
        let by = change.as_ref().map_or(0, |(place, text)| text.len() as i32 - place.len() as i32);
        heard.replace = change;
        if by == 0 && !helpers.skews.contains_key(&at.id) {
            return;
        }
        let [orig, reply] = helpers.skews.entry(at.id).or_default();
        let (own, other) = if at.is_reply { (reply, orig) } else { (orig, reply) };
        heard.acked = *other;
        heard.seq = own.shift(seq).wrapping_sub(seq);
        own.extend(seq, by);
    }

    /// A segment's numbers as their senders know them, for the state machine.
    pub(crate) fn unmoved(&self, id: u32, is_reply: bool, already: bool, seen: &Seen) -> Seen {
        let helpers = lock(&self.helpers);
        let (Some([orig, reply]), Transported::Tcp(mut s)) = (helpers.skews.get(&id), seen.transported) else { return *seen };
        let (own, other) = if is_reply { (reply, orig) } else { (orig, reply) };
        match already {
            true => s.seq = own.undo(s.seq),
            false => s.ack = other.undo(s.ack),
        }
        Seen { transported: Transported::Tcp(s), ..*seen }
    }

    /// What is expected of a packet that has no connection.
    pub(crate) fn expected(&self, tuple: &Tuple, now_ms: u64) -> Option<Expected> {
        if self.expecting.load(Relaxed) == 0 {
            return None;
        }
        lock(&self.helpers).expectations.of(tuple, now_ms)
    }

    /// Announcements that are waited for, and connections whose numbers are moved.
    pub fn helped(&self) -> usize {
        let helpers = lock(&self.helpers);
        helpers.expectations.len() + helpers.skews.len()
    }

    /// An expected connection was opened.
    pub(crate) fn arrived(&self, tuple: &Tuple) {
        let mut helpers = lock(&self.helpers);
        helpers.expectations.take(tuple);
        self.expecting.store(helpers.expectations.len(), Relaxed);
    }

    /// A connection that had a helper is gone.
    pub(crate) fn unhelped(&self, id: u32) {
        let mut helpers = lock(&self.helpers);
        helpers.skews.remove(&id);
        helpers.expectations.orphan(id);
        self.expecting.store(helpers.expectations.len(), Relaxed);
    }

    fn announce(&self, tuple: &Tuple, expected: Expected, now_ms: u64) -> Announcement {
        let said = {
            let mut helpers = lock(&self.helpers);
            let said = helpers.expectations.announce(tuple, expected, now_ms);
            self.expecting.store(helpers.expectations.len(), Relaxed);
            said
        };
        // It may have ended while it was read.
        if !self.records.get(expected.parent).is_some_and(|r| r.is_alive() && r.orig() == expected.tuple) {
            self.unhelped(expected.parent);
        }
        said
    }

    /// TFTP's server answers from a port of its own choice.
    fn announce_answer(&self, id: u32, c: &Conn, now_ms: u64) {
        let tuple = expected_tuple(c, false, c.reply.dport());
        let port = (c.orig.sport() != c.reply.dport()).then_some(c.orig.sport());
        if self.announce(&tuple, expectation(id, c, false, port), now_ms) == Announcement::NoRoom {
            count(&self.stats.refused_expected);
        }
    }

    /// FTP's data connection. Answers what is to stand in the text when that may be changed.
    fn announce_data(&self, at: Known, c: &Conn, a: &Announced, rewrite: bool, now_ms: u64) -> Option<String> {
        let (mut port, mut said) = (a.port, Announcement::Taken);
        for _ in 0..if rewrite { PORTS_TRIED } else { 1 } {
            let inner = (port != a.port).then_some(a.port);
            let tuple = expected_tuple(c, at.is_reply, port);
            // A server's end is the port below its control port: it cannot have the same connection twice.
            let usual = Tuple { ports: tuple.ports.wrapping_sub(1 << 16), ..tuple };
            if !rewrite || !self.is_taken(&usual, now_ms) {
                said = self.announce(&tuple, expectation(at.id, c, at.is_reply, inner), now_ms);
            }
            if said != Announcement::Taken {
                break;
            }
            port = port.checked_add(1).unwrap_or(FIRST_PORT);
        }
        if said == Announcement::NoRoom || said == Announcement::Taken && rewrite {
            count(&self.stats.refused_expected);
            port = a.port;
        }
        let shown = if at.is_reply { c.orig.dst() } else { c.reply.dst() };
        rewrite.then(|| a.text(shown, port))
    }
}

/// Does the text name its sender, and no one else whom the other side could be sent to attack?
fn is_own(c: &Conn, a: &Announced, is_reply: bool) -> bool {
    let (own, seen_as) = match is_reply {
        false => (c.orig.src(), c.reply.dst()),
        true => (c.reply.src(), c.orig.dst()),
    };
    a.address.is_none_or(|address| address == own || address == seen_as)
}

/// The first packet's tuple: towards the client's port, or the server's.
fn expected_tuple(c: &Conn, is_reply: bool, port: u16) -> Tuple {
    let mut tuple = if is_reply { c.orig } else { c.reply };
    tuple.set_dport(port);
    tuple
}

/// An expected connection is translated as the one that announced it.
fn expectation(parent: u32, c: &Conn, is_reply: bool, port: Option<u16>) -> Expected {
    let (src, dst) = (NatKind { src: true, dst: false }, NatKind { src: false, dst: true });
    let nat = match (is_reply, c.nat) {
        (_, n) if !n.any() => None,
        (false, n) if n.dst => Some((src, c.orig.dst(), None)),
        (false, _) => Some((dst, c.orig.src(), port)),
        (true, n) if n.dst => Some((dst, c.reply.src(), port)),
        (true, _) => Some((src, c.reply.dst(), None)),
    };
    Expected { parent, tuple: c.orig, mark: c.mark, label: c.label, owner: c.owner, nat }
}

/// How the first packet of an expected connection is translated.
pub(crate) fn translation(e: &Expected) -> NatSpec {
    let Some((kind, address, port)) = e.nat else { return NatSpec::default() };
    let addresses: Option<(IpAddr, IpAddr)> = Some((address, address));
    NatSpec { kind, addresses, ports: port.map(|p| (p, p)), ..NatSpec::default() }
}
