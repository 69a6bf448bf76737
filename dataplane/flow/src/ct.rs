//! Connection tracking as rules ask for it and as verdicts carry it.
//!
//! A `ct` with a table forks: a copy of the packet goes through the tracker and resumes in that table, in
//! a [`Continuation`]; what follows in the list happens to the original. A packet from under a header that
//! was taken off resumes likewise.
//! Deliberately does not know: connections (the tracker does), frames.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use sluice_conntrack::{Alg, NatSpec};

use crate::action::Action;
use crate::key::{slot, Key, Slot, PACKET_WORDS, SERVICE_WORDS, WORDS};
use crate::rule::RuleId;
use crate::verdict::{BridgeIdx, Op};

/// Words of a key that do not come from the packet's headers.
pub const STATE_WORDS: usize = WORDS - PACKET_WORDS;
/// First and last-but-one word of connection state.
pub const CT_WORDS: std::ops::Range<u8> = slot::CT_STATE.word..slot::CONJ_ID.word;

/// Where the zone comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Zone {
    /// This number.
    Number(u16),
    /// Bits of a field.
    Field(Slot),
}

/// A `ct` action.
#[derive(Clone, PartialEq, Debug)]
pub struct Ct {
    /// Opens a connection for a packet that has none.
    pub commit: bool,
    /// Ends a connection that the packet answers, and opens one in its direction.
    pub force: bool,
    /// Zone.
    pub zone: Zone,
    /// Where the tracked copy resumes.
    pub table: Option<u8>,
    /// Helper.
    pub alg: Alg,
    /// Translation.
    pub nat: Option<Arc<NatSpec>>,
    /// Writes to mark and label.
    pub exec: Arc<[Action]>,
}

/// What a verdict asks of the tracker, and what happens then. Always the last operation of its list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tracking {
    /// Zone.
    pub zone: u16,
    /// Opens a connection for a packet that has none.
    pub commit: bool,
    /// Ends a connection that the packet answers.
    pub force: bool,
    /// Helper.
    pub alg: Alg,
    /// Translation.
    pub nat: Option<Arc<NatSpec>>,
    /// Mark: value and mask.
    pub mark: Option<(u32, u32)>,
    /// Label: value and mask.
    pub label: Option<(u128, u128)>,
    /// Whom a new connection counts for.
    pub owner: u32,
    /// Where a copy goes on.
    pub fork: Option<Arc<Continuation>>,
    /// What happens to the packet itself.
    pub then: Box<[Op]>,
}

impl Tracking {
    /// Does the packet leave by any of this?
    pub fn leaves(&self) -> bool {
        self.fork.is_some() || self.then.iter().any(Op::leaves)
    }
}

/// Where a packet goes on.
#[derive(Clone, Debug, PartialEq)]
pub enum Resume {
    /// In this table.
    Table(u8),
    /// With what its rules still had to do, innermost first.
    Rests(Box<[Rest]>),
}

/// The rest of one rule's actions.
#[derive(Clone, Debug)]
pub struct Rest {
    /// All actions of the rule.
    pub actions: Arc<[Action]>,
    /// The first one that is still to be done.
    pub from: usize,
    /// Table of the rule.
    pub table: u8,
    /// The rule.
    pub rule: Option<RuleId>,
}

impl PartialEq for Rest {
    fn eq(&self, o: &Self) -> bool {
        (self.from, self.table, self.rule) == (o.from, o.table, o.rule)
            && (Arc::ptr_eq(&self.actions, &o.actions) || self.actions == o.actions)
    }
}

/// A packet's way through the tables, interrupted.
#[derive(Clone, Debug)]
pub struct Continuation {
    /// Bridge.
    pub bridge: BridgeIdx,
    /// What is still to be done there.
    pub resume: Resume,
    /// Input port, registers, metadata, tunnel: every word of the key that is not the packet's own.
    pub words: [u64; STATE_WORDS],
    /// Saved fields.
    pub stack: Box<[u128]>,
    /// Action set.
    pub action_set: Box<[Action]>,
    /// Whom new connections count for.
    pub owner: u32,
    /// Of all but the action set: continuations are compared often.
    digest: u64,
}

impl Continuation {
    /// With the state of a key; connection state and the packet's own headers left out.
    pub fn new(bridge: BridgeIdx, resume: Resume, key: &Key, stack: &[u128], action_set: &[Action], owner: u32) -> Continuation {
        let mut words = [0; STATE_WORDS];
        for (i, w) in words.iter_mut().enumerate() {
            let at = PACKET_WORDS + i;
            let left_out = CT_WORDS.contains(&(at as u8)) || SERVICE_WORDS.contains(&at);
            *w = if left_out { 0 } else { key.words[at] };
        }
        let mut hasher = crate::hash::FoldHasher::default();
        (bridge, owner).hash(&mut hasher);
        match &resume {
            Resume::Table(table) => table.hash(&mut hasher),
            Resume::Rests(rests) => rests.iter().for_each(|r| (r.from, r.table, r.rule).hash(&mut hasher)),
        }
        words.hash(&mut hasher);
        stack.hash(&mut hasher);
        Continuation { bridge, resume, words, stack: stack.into(), action_set: action_set.into(), owner, digest: hasher.finish() }
    }

    /// The key of a packet that resumes here, but for its own headers and its connection state.
    pub fn key(&self) -> Key {
        let mut key = Key::ZERO;
        for (to, from) in key.words.iter_mut().skip(PACKET_WORDS).zip(self.words) {
            *to = from;
        }
        key
    }
}

impl PartialEq for Continuation {
    fn eq(&self, o: &Self) -> bool {
        self.digest == o.digest
            && (self.bridge, self.owner) == (o.bridge, o.owner)
            && self.resume == o.resume
            && self.words == o.words
            && self.stack == o.stack
            && self.action_set == o.action_set
    }
}

impl Eq for Continuation {}

impl Hash for Continuation {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.digest);
    }
}
