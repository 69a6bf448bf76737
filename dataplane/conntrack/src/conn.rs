//! One connection, as a plain value.
//!
//! Invariant: without NAT the reply tuple is the reverse of the original one.
//! Deliberately does not know: where it is kept (see `record`), which other connections there are.

use crate::packet::{Seen, Transported};
use crate::tcp::{self, Fit, Peer, State};
use crate::timeouts::Class;
use crate::tuple::{Tuple, TCP};

/// What NAT does to packets of the original direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NatKind {
    /// It replaces the source.
    pub src: bool,
    /// It replaces the destination.
    pub dst: bool,
}

impl NatKind {
    /// Does it do anything?
    pub fn any(self) -> bool {
        self.src || self.dst
    }

    /// What it does to packets of the reply direction.
    #[must_use]
    pub fn reversed(self) -> NatKind {
        NatKind { src: self.dst, dst: self.src }
    }
}

/// Application protocols whose control connections are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
#[repr(u8)]
pub enum Alg {
    /// None.
    #[default]
    None = 0,
    /// FTP's control connection.
    Ftp = 1,
    /// TFTP's first packet.
    Tftp = 2,
}

/// One connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conn {
    /// Its first packet's tuple.
    pub orig: Tuple,
    /// What an answer's tuple is.
    pub reply: Tuple,
    /// Mark.
    pub mark: u32,
    /// Label.
    pub label: u128,
    /// TCP peers: who opened it, and who answers.
    pub peers: [Peer; 2],
    /// Timeout class: for protocols other than TCP it is all their state.
    pub class: Class,
    /// Timeout policy.
    pub policy: u8,
    /// When a packet last renewed it, low 32 bits of milliseconds.
    pub last_ms: u32,
    /// What NAT does.
    pub nat: NatKind,
    /// Expected by the helper of another connection: that one's original tuple.
    pub parent: Option<Tuple>,
    /// Its payload is read by this helper.
    pub alg: Alg,
    /// Who opened it: the port that the packet came in by.
    pub owner: u32,
    /// It counts towards its zone's limit.
    pub counted: bool,
}

impl Conn {
    /// May this packet open a connection?
    #[inline]
    pub fn may_open(seen: &Seen) -> bool {
        beginning(seen).is_some()
    }

    /// A connection that this packet opens; `None` for one that cannot open any.
    #[inline(always)]
    pub fn open(seen: &Seen, orig: Tuple) -> Option<Conn> {
        let (class, peers) = beginning(seen)?;
        Some(Conn {
            orig,
            reply: orig.reversed(),
            mark: 0,
            label: 0,
            peers,
            class,
            policy: 0,
            last_ms: 0,
            nat: NatKind::default(),
            parent: None,
            alg: Alg::None,
            owner: 0,
            counted: false,
        })
    }

    /// Judges a packet of this connection, brings its state up to date and renews it.
    pub fn update(&mut self, seen: &Seen, is_reply: bool, strict: bool, now_ms: u32) -> Fit {
        let (fit, class) = match seen.transported {
            Transported::Tcp(s) => {
                let [first, second] = &mut self.peers;
                match is_reply {
                    false => tcp::judge(first, second, &s, strict),
                    true => tcp::judge(second, first, &s, strict),
                }
            }
            Transported::Icmp(_) => icmp(self.class, is_reply),
            Transported::Other => other(self.class, is_reply),
        };
        if let Some(class) = class {
            self.class = class;
            self.last_ms = now_ms;
        }
        fit
    }

    /// The state that Open vSwitch prints for a TCP connection.
    pub fn tcp_state(&self) -> Option<State> {
        (self.orig.proto == TCP).then(|| coalesced(self.peers[0].state, self.peers[1].state))
    }
}

/// Class and peers of a connection that this packet opens.
#[inline(always)]
fn beginning(seen: &Seen) -> Option<(Class, [Peer; 2])> {
    Some(match seen.transported {
        Transported::Tcp(s) if tcp::may_open(&s) => (Class::TcpFirst, tcp::open(&s)),
        Transported::Tcp(_) => return None,
        Transported::Icmp(8 | 13 | 15) if !seen.tuple.v6 => (Class::IcmpFirst, Default::default()),
        Transported::Icmp(128) if seen.tuple.v6 => (Class::IcmpFirst, Default::default()),
        Transported::Icmp(_) => return None,
        Transported::Other => (Class::OtherFirst, Default::default()),
    })
}

fn icmp(class: Class, is_reply: bool) -> (Fit, Option<Class>) {
    match (class, is_reply) {
        (Class::IcmpFirst, false) => (Fit::Opening, Some(Class::IcmpFirst)),
        _ => (Fit::Valid, Some(Class::IcmpReply)),
    }
}

fn other(class: Class, is_reply: bool) -> (Fit, Option<Class>) {
    match (class, is_reply) {
        (_, true) | (Class::OtherBoth, false) => (Fit::Valid, Some(Class::OtherBoth)),
        _ => (Fit::Opening, Some(Class::OtherMultiple)),
    }
}

/// One state for both peers: the one that is ahead tells.
fn coalesced(a: State, b: State) -> State {
    match a.max(b) {
        State::FinWait2 => State::TimeWait,
        ahead => ahead,
    }
}
