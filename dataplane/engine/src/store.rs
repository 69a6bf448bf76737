//! The verdicts of one worker, shared by the flows that were decided alike.
//!
//! Purpose: interning, use counts, and knowing which verdicts a change of the program may touch.
//! Invariant: a verdict's id is used again only when no cached flow names it and its counts were folded.
//! Deliberately does not know: frames, the cache.

use std::collections::HashMap;
use std::sync::Arc;

use sluice_flow::hash::{FoldBuild, KeyedBuild, Seeds};
use sluice_flow::program::Note;
use sluice_flow::group::GroupId;
use sluice_flow::meter::MeterId;
use sluice_flow::verdict::{Chosen, Effect, Step, Use};
use sluice_flow::{BridgeIdx, Op, PortIdx, Program, Verdict};

use crate::count::{Report, RuleUse, TableUse};
use crate::encap::Template;
use crate::writes::Writes;

/// Part of a stored verdict that every hit touches.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hot {
    /// Newest epoch that may have changed this verdict for some flow.
    pub touched: u32,
    /// Neither learned addresses nor effects to look after.
    pub plain: bool,
    /// Flows must check learned addresses.
    pub on_fdb: bool,
    /// Flows must run effects once a second.
    pub has_effects: bool,
    /// It tracks: a connection that it opens has a way of its own from then on.
    pub tracks: bool,
    /// Packets since the last fold.
    pub packets: u64,
    /// Bytes since the last fold.
    pub bytes: u64,
    /// Last use, milliseconds.
    pub last_ms: u64,
}

/// What an id that was never given stands for: never good.
static COLD: Hot = Hot { touched: u32::MAX, plain: false, on_fdb: false, has_effects: false, tracks: false, packets: 0, bytes: 0, last_ms: 0 };

/// How frames of a verdict are worked on: the commonest lists of operations have a way of their own.
#[derive(Debug, Default)]
pub enum Plan {
    /// Sent by this device, and nothing else.
    Send(PortIdx),
    /// Outer headers in front, then sent by this device.
    Wrap(Box<Template>, PortIdx),
    /// Header fields written, all at once, then the rest.
    Write(Box<Written>),
    /// Outer headers off.
    Unwrap,
    /// A connection is opened, where that can be; then the operations, or sent by this device where that is all.
    Open(Option<PortIdx>),
    /// The operations one by one.
    #[default]
    Any,
}

impl Plan {
    fn of(verdict: &Verdict) -> Plan {
        match &*verdict.ops {
            [Op::Output(port)] if verdict.opens.is_some() => Plan::Open(Some(*port)),
            _ if verdict.opens.is_some() => Plan::Open(None),
            [Op::Output(port)] => Plan::Send(*port),
            [Op::Encap(e), Op::Output(port)] => Plan::Wrap(Box::new(Template::new(e)), *port),
            [Op::Decap] => Plan::Unwrap,
            ops => match Writes::leading(ops) {
                Some((writes, taken)) => Plan::Write(Box::new(Written { writes, taken, then: Then::of(ops.get(taken..)) })),
                None => Plan::Any,
            },
        }
    }
}

/// Operations that begin with writes.
#[derive(Debug)]
pub struct Written {
    /// The writes.
    pub writes: Writes,
    /// How many operations they are.
    pub taken: usize,
    /// What follows them.
    pub then: Then,
}

/// What follows the writes.
#[derive(Debug)]
pub enum Then {
    /// Sent by this device.
    Send(PortIdx),
    /// Outer headers in front, then sent by this device.
    Wrap(Template, PortIdx),
    /// The operations one by one.
    Any,
}

impl Then {
    fn of(ops: Option<&[Op]>) -> Then {
        match ops {
            Some([Op::Output(port)]) => Then::Send(*port),
            Some([Op::Encap(e), Op::Output(port)]) => Then::Wrap(Template::new(e), *port),
            _ => Then::Any,
        }
    }
}

#[derive(Debug)]
struct Stored {
    verdict: Arc<Verdict>,
    flows: u32,
    /// What it depends on, in order, and its place in the list of each.
    topics: Box<[(Topic, u32)]>,
    /// Packets and bytes that were folded.
    folded: (u64, u64),
}

/// Something whose change may change a verdict.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
enum Topic {
    Table(BridgeIdx, u8),
    Group(BridgeIdx, GroupId),
    Meter(BridgeIdx, MeterId),
    Liveness(BridgeIdx),
}

/// The verdicts of one worker. Id 0 is never given.
#[derive(Debug)]
pub struct Store {
    hot: Vec<Hot>,
    plans: Vec<Plan>,
    /// How often each id was given anew.
    lives: Vec<u32>,
    cold: Vec<Option<Stored>>,
    ids: HashMap<Arc<Verdict>, u32, KeyedBuild>,
    free: Vec<u32>,
    /// Verdicts that each table, group, meter and bridge's links had a part in.
    by_topic: HashMap<Topic, Vec<u32>, FoldBuild>,
    folded: Report,
}

impl Default for Store {
    fn default() -> Self {
        Store::new(Seeds::FIXED)
    }
}

impl Store {
    /// An empty one. The seeds keep traffic from choosing verdicts that are hard to tell apart.
    pub fn new(seeds: Seeds) -> Self {
        Store {
            hot: vec![Hot::default()],
            plans: vec![Plan::Any],
            lives: vec![0],
            cold: vec![None],
            ids: HashMap::with_hasher(KeyedBuild::new(seeds)),
            free: Vec::new(),
            by_topic: HashMap::default(),
            folded: Report::default(),
        }
    }

    /// Part that every hit touches.
    #[inline(always)]
    pub fn hot(&self, id: u32) -> &Hot {
        self.hot.get(id as usize).unwrap_or(&COLD)
    }

    /// How its frames are worked on.
    #[inline(always)]
    pub fn plan(&self, id: u32) -> &Plan {
        self.plans.get(id as usize).unwrap_or(&Plan::Any)
    }

    /// Changes whenever the verdict with this id may be another one, or may no longer hold for some flow.
    #[inline(always)]
    pub fn tag(&self, id: u32) -> u64 {
        u64::from(self.lives.get(id as usize).copied().unwrap_or(0)) << 32 | u64::from(self.hot(id).touched)
    }

    /// The verdict itself.
    #[inline]
    pub fn verdict(&self, id: u32) -> Option<&Arc<Verdict>> {
        self.cold.get(id as usize)?.as_ref().map(|s| &s.verdict)
    }

    /// Counts packets that met this verdict.
    #[inline(always)]
    pub fn count(&mut self, id: u32, packets: u64, bytes: u64, now_ms: u64) {
        if let Some(h) = self.hot.get_mut(id as usize) {
            h.packets += packets;
            h.bytes += bytes;
            h.last_ms = now_ms;
        }
    }

    /// Packets and bytes that met a verdict since it was made, and when the last one did.
    pub fn total(&self, id: u32) -> (u64, u64, u64) {
        let hot = self.hot(id);
        let (packets, bytes) = self.cold.get(id as usize).and_then(Option::as_ref).map_or((0, 0), |s| s.folded);
        (packets + hot.packets, bytes + hot.bytes, hot.last_ms)
    }

    /// Number of verdicts.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The id of a verdict decided in `epoch`; one more flow uses it.
    pub fn intern(&mut self, verdict: Verdict, on_fdb: bool, epoch: u64) -> u32 {
        if let Some(&id) = self.ids.get(&verdict) {
            if let Some(s) = self.cold.get_mut(id as usize).and_then(Option::as_mut) {
                s.flows += 1;
            }
            if let Some(h) = self.hot.get_mut(id as usize) {
                h.on_fdb |= on_fdb;
                h.plain &= !on_fdb;
            }
            return id;
        }
        let hot = Hot {
            touched: epoch as u32,
            plain: !on_fdb && verdict.effects.is_empty(),
            on_fdb,
            has_effects: !verdict.effects.is_empty(),
            tracks: verdict.ops.iter().any(|op| matches!(op, Op::Track(_))),
            ..Hot::default()
        };
        let verdict = Arc::new(verdict);
        let id = match self.free.pop() {
            Some(id) => id,
            None => {
                self.hot.push(Hot::default());
                self.plans.push(Plan::Any);
                self.lives.push(0);
                self.cold.push(None);
                self.hot.len() as u32 - 1
            }
        };
        let topics = topics_of(&verdict).into_iter().map(|topic| {
            let list = self.by_topic.entry(topic).or_default();
            list.push(id);
            (topic, list.len() as u32 - 1)
        });
        let stored = Stored { verdict: verdict.clone(), flows: 1, topics: topics.collect(), folded: (0, 0) };
        let at = id as usize;
        if let (Some(h), Some(p), Some(c)) = (self.hot.get_mut(at), self.plans.get_mut(at), self.cold.get_mut(at)) {
            *h = hot;
            *p = Plan::of(&stored.verdict);
            *c = Some(stored);
        }
        self.ids.insert(verdict, id);
        id
    }

    /// The id of a verdict that someone holds; one more flow uses it.
    pub fn intern_shared(&mut self, verdict: &Arc<Verdict>, epoch: u64) -> u32 {
        if let Some(&id) = self.ids.get(verdict) {
            if let Some(s) = self.cold.get_mut(id as usize).and_then(Option::as_mut) {
                s.flows += 1;
                return id;
            }
        }
        self.intern((**verdict).clone(), false, epoch)
    }

    /// One more flow uses a verdict that is stored.
    pub fn again(&mut self, id: u32) {
        if let Some(Some(s)) = self.cold.get_mut(id as usize) {
            s.flows += 1;
        }
    }

    /// One flow less uses this verdict.
    pub fn release(&mut self, id: u32) {
        let Some(slot) = self.cold.get_mut(id as usize) else { return };
        let Some(stored) = slot.as_mut() else { return };
        stored.flows = stored.flows.saturating_sub(1);
        if stored.flows == 0 {
            self.retire(id);
        }
    }

    /// Lets go of every verdict: the cache was emptied.
    pub fn release_all(&mut self) {
        // At once: no list need be kept in order.
        self.by_topic.clear();
        for id in 1..self.cold.len() as u32 {
            if self.cold.get(id as usize).is_some_and(Option::is_some) {
                self.retire(id);
            }
        }
    }

    fn retire(&mut self, id: u32) {
        self.fold(id);
        let Some(stored) = self.cold.get_mut(id as usize).and_then(Option::take) else { return };
        self.ids.remove(&stored.verdict);
        if let Some(lives) = self.lives.get_mut(id as usize) {
            *lives = lives.wrapping_add(1);
        }
        for &(topic, at) in &stored.topics {
            self.take_out(topic, at);
        }
        self.free.push(id);
    }

    /// Takes a verdict out of a topic's list; the last one of the list moves to its place.
    fn take_out(&mut self, topic: Topic, at: u32) {
        let Some(list) = self.by_topic.get_mut(&topic).filter(|l| (at as usize) < l.len()) else { return };
        list.swap_remove(at as usize);
        let Some(&moved) = list.get(at as usize) else { return };
        let Some(Some(stored)) = self.cold.get_mut(moved as usize) else { return };
        if let Ok(i) = stored.topics.binary_search_by_key(&topic, |(t, _)| *t) {
            stored.topics[i].1 = at;
        }
    }

    /// Adds a verdict's counts to its rules, tables and crossings.
    fn fold(&mut self, id: u32) {
        let Some(hot) = self.hot.get_mut(id as usize) else { return };
        let used = RuleUse { packets: hot.packets, bytes: hot.bytes, last_ms: hot.last_ms };
        (hot.packets, hot.bytes) = (0, 0);
        let Some(Some(stored)) = self.cold.get_mut(id as usize) else { return };
        stored.folded = (stored.folded.0 + used.packets, stored.folded.1 + used.bytes);
        fold_into(&mut self.folded, &stored.verdict, used);
    }

    /// Counts one packet of a verdict that is not stored.
    pub fn count_once(&mut self, verdict: &Verdict, used: RuleUse) {
        fold_into(&mut self.folded, verdict, used);
    }

    /// What was counted since the last time.
    pub fn take_folded(&mut self) -> Report {
        for id in 1..self.hot.len() as u32 {
            self.fold(id);
        }
        std::mem::take(&mut self.folded)
    }

    /// Marks every verdict that the changes after `since` may touch; all of them when that is not known.
    pub fn touch(&mut self, program: &Program, since: u64) {
        let now = program.epoch() as u32;
        let Some(notes) = program.notes_since(since) else { return self.touch_all(now) };
        for (_, note) in notes {
            match note {
                Note::Everything => return self.touch_all(now),
                Note::Underlay => self.touch_where(now, |v| v.uses_underlay),
                Note::Rule { bridge, table, .. } => {
                    self.touch_topic(now, Topic::Table(*bridge, *table), |v| v.steps.iter().any(|step| may_change(note, step)));
                }
                Note::Group { bridge, id } => self.touch_topic(now, Topic::Group(*bridge, *id), |_| true),
                Note::Meter { bridge, id } => self.touch_topic(now, Topic::Meter(*bridge, *id), |_| true),
                Note::Liveness { bridge } => self.touch_topic(now, Topic::Liveness(*bridge), |_| true),
            }
        }
    }

    fn touch_topic(&mut self, now: u32, topic: Topic, may_change: impl Fn(&Verdict) -> bool) {
        for &id in self.by_topic.get(&topic).map_or(&[][..], Vec::as_slice) {
            let Some(Some(s)) = self.cold.get(id as usize) else { continue };
            if may_change(&s.verdict) {
                if let Some(h) = self.hot.get_mut(id as usize) {
                    h.touched = now;
                }
            }
        }
    }

    fn touch_all(&mut self, now: u32) {
        for h in &mut self.hot {
            h.touched = now;
        }
    }

    fn touch_where(&mut self, now: u32, wanted: impl Fn(&Verdict) -> bool) {
        for (h, s) in self.hot.iter_mut().zip(&self.cold) {
            if s.as_ref().is_some_and(|s| wanted(&s.verdict)) {
                h.touched = now;
            }
        }
    }
}

/// May this change what this look-up found, for some packet?
pub fn may_change(note: &Note, step: &Step) -> bool {
    let Note::Rule { bridge, table, rule, added } = note else { return true };
    if step.bridge != *bridge || step.table != *table {
        return false;
    }
    let could_win = step.priority.is_none_or(|p| p <= rule.priority);
    if rule.conjunctions.is_empty() {
        // A conjunction's own rule may have any priority: what is new must beat its clauses only.
        return if *added { could_win || step.by_conjunction } else { step.rule == Some(rule.id) };
    }
    could_win || step.by_conjunction
}

fn topics_of(verdict: &Verdict) -> Vec<Topic> {
    let tables = verdict.steps.iter().map(|s| Topic::Table(s.bridge, s.table));
    let uses = verdict.uses.iter().filter_map(|u| match *u {
        Use::Group { bridge, id, .. } => Some(Topic::Group(bridge, id)),
        Use::Meter { bridge, id } => Some(Topic::Meter(bridge, id)),
        Use::Liveness { bridge } => Some(Topic::Liveness(bridge)),
        // A bond that changes changes everything.
        Use::Bond { .. } => None,
    });
    let mut all: Vec<_> = tables.chain(uses).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Did this verdict look at what this note is about, other than rules?
pub fn concerns(note: &Note, verdict: &Verdict) -> bool {
    verdict.uses.iter().any(|u| match (note, u) {
        (Note::Group { bridge, id }, Use::Group { bridge: b, id: i, .. }) => (bridge, id) == (b, i),
        (Note::Meter { bridge, id }, Use::Meter { bridge: b, id: i }) => (bridge, id) == (b, i),
        (Note::Liveness { bridge }, Use::Liveness { bridge: b }) => bridge == b,
        _ => false,
    })
}

fn add(to: &mut RuleUse, used: RuleUse) {
    to.packets += used.packets;
    to.bytes += used.bytes;
    to.last_ms = to.last_ms.max(used.last_ms);
}

fn fold_into(report: &mut Report, verdict: &Verdict, used: RuleUse) {
    if used.packets == 0 {
        return;
    }
    for step in &verdict.steps {
        let table: &mut TableUse = report.tables.entry((step.bridge, step.table)).or_default();
        table.lookups += used.packets;
        if let Some(rule) = step.rule {
            table.matched += used.packets;
            add(report.rules.entry(rule).or_default(), used);
        }
    }
    for u in &verdict.uses {
        let bucket = match *u {
            Use::Group { serial, chosen: Chosen::All, .. } => (serial, None),
            Use::Group { serial, chosen: Chosen::One(i), .. } => (serial, Some(i)),
            Use::Bond { bridge, bond, bucket } => {
                add(report.bonds.entry((bridge, bond, bucket)).or_default(), used);
                continue;
            }
            _ => continue,
        };
        add(report.groups.entry(bucket).or_default(), used);
    }
    for c in &verdict.crossings {
        let both = report.crossings.entry((c.bridge, c.port)).or_default();
        add(&mut both[usize::from(!c.received)], used);
    }
    for mirror in &verdict.mirrors {
        add(report.mirrors.entry(*mirror).or_default(), used);
    }
}

/// Does the verdict ask for more than the once-a-second note that an address was seen?
pub fn decides_again(verdict: &Verdict) -> bool {
    verdict.effects.contains(&Effect::DecideAgain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_flow::RuleId;

    fn verdict(rule: RuleId, out: PortIdx) -> Verdict {
        let step = Step { bridge: 0, table: 3, priority: Some(10), rule: Some(rule), by_conjunction: false, written: 0 };
        Verdict { ops: Box::new([Op::Output(out)]), steps: Box::new([step]), ..Verdict::default() }
    }

    #[test]
    fn equal_verdicts_share_an_id_until_the_last_flow_lets_go() {
        let mut s = Store::default();
        let a = s.intern(verdict(1, 2), false, 1);
        assert_eq!(s.intern(verdict(1, 2), false, 1), a);
        assert_ne!(s.intern(verdict(1, 3), false, 1), a);
        assert!(matches!(s.plan(a), Plan::Send(2)));
        s.release(a);
        assert!(s.verdict(a).is_some());
        s.count(a, 5, 300, 77);
        s.release(a);
        assert!(s.verdict(a).is_none());
        assert_eq!(s.take_folded().rules[&1], RuleUse { packets: 5, bytes: 300, last_ms: 77 });
    }

    #[test]
    fn very_many_verdicts_of_one_table_go_at_once_and_their_counts_stay() {
        let mut s = Store::default();
        for rule in 1..=100_000 {
            let id = s.intern(verdict(rule, 2), false, 1);
            s.count(id, 1, 60, 5);
        }
        s.release_all();
        assert!(s.is_empty());
        assert_eq!(s.take_folded().rules.len(), 100_000);
        // One by one, from the middle outwards, costs no more.
        let ids: Vec<u32> = (1..=100_000).map(|rule| s.intern(verdict(rule, 2), false, 1)).collect();
        let (low, high) = ids.split_at(50_000);
        low.iter().rev().zip(high).for_each(|(a, b)| {
            s.release(*a);
            s.release(*b);
        });
        assert!(s.is_empty() && s.by_topic.values().all(Vec::is_empty));
        let id = s.intern(verdict(1, 2), false, 1);
        assert!(s.verdict(id).is_some() && s.len() == 1);
    }
}
