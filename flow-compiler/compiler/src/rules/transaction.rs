//! Several changes of the rules that happen together or not at all.
//!
//! Purpose: each step is done at once and noted, so that it can be undone in reverse; removed rules
//! keep their place until the end, so that undoing restores every order.
//! Invariant: after [`Transaction::roll_back`] the rule set answers every question as before.
//! Deliberately does not know: messages.

use std::sync::Arc;

use sluice_flow::action as ir;
use sluice_flow::rule::MaskedKey;
use sluice_flow::{BridgeIdx, Change, Rule, RuleId};
use sluice_openflow::action::Learn;
use sluice_openflow::matching::Places;
use sluice_openflow::{Action, FlowMod, FlowModCommand, OfpError, Version};

use super::entry::{Entry, FlowStats, Removed, RemovedReason, NIL};
use super::groups::GroupEntry;
use super::order::Order;
use super::query::{concerns, Filter, VISIBLE_TABLES};
use super::table::{entry, entry_mut, Sought};
use super::{Applied, RuleSet};
use crate::check::check_flow_mod;
use crate::error::OfError;
use crate::lower::{lower, Lowered};

type Learns = [(u64, Arc<Learn>)];
/// Bridge, table and cookie of learned rules.
type LearnedKey = (BridgeIdx, u8, u64);

/// A step, and what it takes to undo it.
pub(super) enum Step {
    Inserted { id: RuleId },
    Hidden { id: RuleId, reason: RemovedReason },
    Group { at: (BridgeIdx, u32), old: Option<Box<GroupEntry>> },
    Replaced { id: RuleId, old: Box<Entry>, place: (RuleId, RuleId), by_add: bool },
}

/// Changes under way.
pub(crate) struct Transaction<'a> {
    pub(super) rules: &'a mut RuleSet,
    pub(super) bridge: BridgeIdx,
    pub(super) now: u64,
    pub(super) steps: Vec<Step>,
    pub(super) changes: Vec<Change>,
    /// Cookies whose last learning rule went.
    orphans: Vec<LearnedKey>,
    /// Tables whose order of subtables changed, and how it was.
    orders: Vec<(u8, Order)>,
}

/// What a rule shall do: the same for all rules that one flow-mod touches.
struct Doing {
    given: Arc<[Action]>,
    lowered: Lowered,
}

impl<'a> Transaction<'a> {
    pub fn new(rules: &'a mut RuleSet, bridge: BridgeIdx, now: u64) -> Self {
        Transaction { rules, bridge, now, steps: Vec::new(), changes: Vec::new(), orphans: Vec::new(), orders: Vec::new() }
    }

    /// Applies one flow-mod; on an error the caller must roll back.
    pub fn flow_mod(&mut self, fm: &FlowMod, version: Version) -> Result<(), OfError> {
        let (rules, bridge) = (&*self.rules, self.bridge);
        check_flow_mod(fm, version, &|what| rules.knows(bridge, what))?;
        self.execute(fm)
    }

    /// As [`Transaction::flow_mod`], for what the switch itself made.
    pub fn execute(&mut self, fm: &FlowMod) -> Result<(), OfError> {
        if matches!(&fm.matching.places, Places::Bridge(map) if !Arc::ptr_eq(map, self.rules.options(self.bridge))) {
            // It waited in a bundle while mappings changed.
            let matching = fm.matching.bound(self.rules.options(self.bridge));
            let gone = |code| OfError::new(code, "a tunnel option that it matches is mapped no longer");
            return self.execute(&FlowMod { matching: matching.map_err(gone)?, ..fm.clone() });
        }
        match fm.command {
            FlowModCommand::Add => self.add(fm),
            FlowModCommand::Modify | FlowModCommand::ModifyStrict => self.modify(fm),
            FlowModCommand::Delete | FlowModCommand::DeleteStrict => {
                for id in self.targets(fm) {
                    self.remove(id, RemovedReason::Delete);
                }
                Ok(())
            }
        }
    }

    fn add(&mut self, fm: &FlowMod) -> Result<(), OfError> {
        let table = fm.table.unwrap_or(0);
        let doing = self.doing(&fm.actions);
        let sought = Sought::new(&fm.matching);
        let Some((t, entries)) = self.rules.table_mut(self.bridge, table) else {
            return Err(OfError::new(OfpError::OFPBRC_BAD_TABLE_ID, format!("there is no table {table}")));
        };
        if let Some(old) = t.find(entries, &sought, fm.priority) {
            self.replace_by_add(old, fm, doing);
            return Ok(());
        }
        if fm.flags.check_overlap && t.overlaps(entries, &fm.matching, fm.priority) {
            let what = format!("table {table} has a rule of priority {} that overlaps", fm.priority);
            return Err(OfError::new(OfpError::OFPFMFC_OVERLAP, what));
        }
        let matching = t.masked(&sought);
        if t.overflow().limit.is_some_and(|most| t.count >= most) {
            let Some(id) = t.victim(entries) else {
                let what = format!("table {table} holds {} rules", t.count);
                return Err(OfError::new(OfpError::OFPFMFC_TABLE_FULL, what));
            };
            self.remove(id, RemovedReason::Eviction);
        }
        let learns = doing.lowered.learns.clone();
        self.insert(self.new_entry(table, fm, matching, doing), &learns)
    }

    /// Lets rules go until a table is within its limit, where any may.
    pub fn shrink(&mut self, table: u8) {
        while let Some((t, entries)) = self.rules.table_mut(self.bridge, table) {
            let full = t.overflow().limit.is_some_and(|most| t.count > most);
            let Some(id) = full.then(|| t.victim(entries)).flatten() else { return };
            self.remove(id, RemovedReason::Eviction);
        }
    }

    fn modify(&mut self, fm: &FlowMod) -> Result<(), OfError> {
        let targets = self.targets(fm);
        if targets.is_empty() && fm.cookie_mask == 0 && fm.new_cookie.is_some() {
            return self.add(fm);
        }
        let doing = self.doing(&fm.actions);
        for id in targets {
            self.replace_by_modify(id, fm, &doing);
        }
        Ok(())
    }

    /// Rules that a modify or delete is about.
    fn targets(&self, fm: &FlowMod) -> Vec<RuleId> {
        if !matches!(fm.command, FlowModCommand::ModifyStrict | FlowModCommand::DeleteStrict) {
            return self.rules.select(self.bridge, &Filter::of(fm));
        }
        let sought = Sought::new(&fm.matching);
        let tables = self.rules.tables(self.bridge);
        let visible = tables.get(..usize::from(VISIBLE_TABLES)).unwrap_or(tables);
        let looked_in = match fm.table {
            Some(table) => visible.get(usize::from(table)..=usize::from(table)).unwrap_or_default(),
            None => visible,
        };
        let found = looked_in.iter().filter_map(|t| t.find(&self.rules.entries, &sought, fm.priority));
        found.filter(|id| entry(&self.rules.entries, *id).is_some_and(|e| concerns(fm, e))).collect()
    }

    fn doing(&mut self, actions: &[Action]) -> Doing {
        if let Some((given, actions)) = self.rules.recent.find(actions) {
            return Doing { given, lowered: Lowered { actions, conjunctions: Box::new([]), learns: Vec::new() } };
        }
        let map = self.rules.options(self.bridge).clone();
        let lowered = lower(actions, &map, &mut self.rules.next_learn_id);
        let given: Arc<[Action]> = actions.into();
        self.rules.recent.keep(&given, &lowered);
        Doing { given, lowered }
    }

    fn new_entry(&self, table: u8, fm: &FlowMod, matching: MaskedKey, doing: Doing) -> Entry {
        let rule = Rule {
            id: NIL,
            priority: fm.priority,
            matching,
            actions: doing.lowered.actions,
            conjunctions: doing.lowered.conjunctions,
        };
        Entry {
            rule: Arc::new(rule),
            actions: doing.given,
            cookie: fm.new_cookie.unwrap_or(0),
            created: self.now,
            modified: self.now,
            used: self.now,
            scheduled: 0,
            packets: 0,
            bytes: 0,
            idle_timeout: fm.idle_timeout,
            hard_timeout: fm.hard_timeout,
            importance: fm.importance,
            flags: fm.flags,
            bridge: self.bridge,
            table,
            gone: false,
            subtable: 0,
            prev: NIL,
            next: NIL,
            chain: NIL,
        }
    }

    /// Gives the entry an id and a place.
    fn insert(&mut self, mut e: Entry, learns: &Learns) -> Result<(), OfError> {
        let Some(id) = self.rules.new_id() else {
            return Err(OfError::new(OfpError::OFPFMFC_TABLE_FULL, "no more rule ids: too many rules in this switch"));
        };
        Arc::make_mut(&mut e.rule).id = id;
        let (bridge, table, rule) = (e.bridge, e.table, e.rule.clone());
        self.rules.entries[id as usize] = Some(Box::new(e));
        self.keep_order(table, &rule);
        if let Some((t, entries)) = self.rules.table_mut(bridge, table) {
            t.insert(entries, id);
        }
        self.rules.keep_learns(learns);
        self.account(id, &rule.actions, 1);
        self.rules.schedule(id);
        self.steps.push(Step::Inserted { id });
        self.changes.push(Change::Add { bridge, table, rule });
        Ok(())
    }

    /// Remembers the order of a table's subtables before a rule changes it.
    fn keep_order(&mut self, table: u8, rule: &Rule) {
        let Some((t, _)) = self.rules.table_mut(self.bridge, table) else { return };
        if t.reorders(&rule.matching.mask, rule.priority) && !self.orders.iter().any(|(of, _)| *of == table) {
            self.orders.push((table, t.order.clone()));
        }
    }

    fn replace_by_add(&mut self, id: RuleId, fm: &FlowMod, doing: Doing) {
        let Some(old) = entry(&self.rules.entries, id).cloned() else { return };
        let mut new = old.clone();
        (new.created, new.modified) = (self.now, self.now);
        (new.idle_timeout, new.hard_timeout) = (fm.idle_timeout, fm.hard_timeout);
        (new.importance, new.flags) = (fm.importance, fm.flags);
        self.replace(id, old, new, fm, &doing);
    }

    fn replace_by_modify(&mut self, id: RuleId, fm: &FlowMod, doing: &Doing) {
        let Some(old) = entry(&self.rules.entries, id).cloned() else { return };
        let mut new = old.clone();
        new.modified = self.now;
        self.replace(id, old, new, fm, doing);
    }

    fn replace(&mut self, id: RuleId, old: Entry, mut new: Entry, fm: &FlowMod, doing: &Doing) {
        if let Some(cookie) = fm.new_cookie {
            new.cookie = cookie;
        }
        if fm.flags.reset_counts {
            return self.start_over(id, new, doing);
        }
        let same = *old.actions == *doing.given;
        if !same {
            new.actions = doing.given.clone();
            let compiled = Rule {
                id,
                priority: old.rule.priority,
                matching: old.rule.matching.clone(),
                actions: doing.lowered.actions.clone(),
                conjunctions: doing.lowered.conjunctions.clone(),
            };
            new.rule = Arc::new(compiled);
            self.rules.keep_learns(&doing.lowered.learns);
            let (bridge, table, rule) = (new.bridge, new.table, new.rule.clone());
            self.account(id, &rule.actions, 1);
            self.account(id, &old.rule.actions, -1);
            self.changes.push(Change::Replace { bridge, table, rule });
        }
        let (bridge, table) = (new.bridge, new.table);
        if let Some(e) = entry_mut(&mut self.rules.entries, id) {
            *e = new;
        }
        let mut place = (NIL, NIL);
        if let Some((t, entries)) = self.rules.table_mut(bridge, table) {
            place = t.move_last(entries, id);
            t.rank_again(entries, id);
        }
        self.rules.schedule(id);
        let by_add = fm.command == FlowModCommand::Add;
        self.steps.push(Step::Replaced { id, old: Box::new(old), place, by_add });
    }

    /// Replaces a rule by one that counts from zero: a new id, so that nothing that workers still
    /// hold of the old one is counted for the new one.
    fn start_over(&mut self, id: RuleId, mut new: Entry, doing: &Doing) {
        new.actions = doing.given.clone();
        (new.packets, new.bytes, new.scheduled) = (0, 0, 0);
        let mut rule = (*new.rule).clone();
        rule.actions = doing.lowered.actions.clone();
        rule.conjunctions = doing.lowered.conjunctions.clone();
        new.rule = Arc::new(rule);
        self.remove(id, RemovedReason::Replaced);
        // Ids cannot run out here: there are as many rules as before.
        let _ = self.insert(new, &doing.lowered.learns);
    }

    /// Takes a rule out of sight.
    pub fn remove(&mut self, id: RuleId, reason: RemovedReason) {
        let Some(e) = entry(&self.rules.entries, id).filter(|e| !e.gone) else { return };
        let (bridge, table, rule) = (e.bridge, e.table, e.rule.clone());
        if let Some((t, entries)) = self.rules.table_mut(bridge, table) {
            t.hide(entries, id);
        }
        self.account(id, &rule.actions, -1);
        self.steps.push(Step::Hidden { id, reason });
        self.changes.push(Change::Remove { bridge, table, id });
    }

    /// Makes all of it final.
    pub fn finish(mut self) -> Applied {
        self.rules.publish(self.bridge, self.orders.iter().map(|(table, _)| *table));
        self.remove_orphans();
        let Transaction { rules, bridge, steps, changes, .. } = self;
        let mut applied = Applied { changes, ..Applied::default() };
        let mut emptied = Vec::new();
        for step in steps {
            match step {
                Step::Group { .. } => {}
                Step::Inserted { id } => applied.news.extend(rules.news_of_new(id)),
                Step::Replaced { id, old, by_add, .. } => {
                    applied.news.extend(rules.news_of_change(id, &old, by_add));
                    if !entry(&rules.entries, id).is_some_and(|e| Arc::ptr_eq(&e.rule, &old.rule)) {
                        rules.forget_learns(&old.rule.actions);
                    }
                }
                Step::Hidden { id, reason } => {
                    if let Some(e) = rules.take_out(id) {
                        if emptied.last() != Some(&e.table) {
                            emptied.push(e.table);
                        }
                        rules.forget_learns(&e.rule.actions);
                        rules.retired.insert(id);
                        applied.removed.push(Removed { reason, flow: FlowStats::of(&e, rules.options(bridge)) });
                    }
                }
            }
        }
        rules.publish(bridge, emptied.into_iter());
        applied
    }

    /// Removes what was learned by rules that went and asked for it.
    fn remove_orphans(&mut self) {
        while let Some(key) = self.orphans.pop() {
            if self.rules.learned_cookies.get(&key).is_some_and(|n| *n > 0) {
                continue;
            }
            self.rules.learned_cookies.remove(&key);
            let (bridge, table, cookie) = key;
            let filter = Filter { table: Some(table), cookie, cookie_mask: u64::MAX, ..Filter::default() };
            for id in self.rules.select(bridge, &filter) {
                self.remove(id, RemovedReason::Delete);
            }
        }
    }

    /// Counts the learning actions that want what they learned to go with them, and the groups and
    /// meters that the rule uses.
    fn account(&mut self, id: RuleId, actions: &[ir::Action], by: i32) {
        self.rules.users.count(self.bridge, id, actions, by);
        let mut all = Vec::new();
        learned_by(actions, &mut all);
        for (table, cookie) in all {
            let key = (self.bridge, table, cookie);
            let n = self.rules.learned_cookies.entry(key).or_insert(0);
            *n += by;
            if *n <= 0 {
                self.orphans.push(key);
            }
        }
    }

    /// Undoes all of it.
    pub fn roll_back(mut self) {
        while let Some(step) = self.steps.pop() {
            self.undo(step);
        }
        for (table, order) in self.orders {
            if let Some((t, _)) = self.rules.table_mut(self.bridge, table) {
                t.order = order;
            }
        }
    }

    fn undo(&mut self, step: Step) {
        match step {
            Step::Group { at, old } => {
                self.rules.groups.put(at, old.map(|old| *old));
            }
            Step::Hidden { id, .. } => {
                let Some(e) = entry(&self.rules.entries, id) else { return };
                let (bridge, table, rule) = (e.bridge, e.table, e.rule.clone());
                if let Some((t, entries)) = self.rules.table_mut(bridge, table) {
                    t.show(entries, id);
                }
                self.account(id, &rule.actions, 1);
            }
            Step::Inserted { id } => {
                let Some((bridge, table)) = entry(&self.rules.entries, id).map(|e| (e.bridge, e.table)) else { return };
                if let Some((t, entries)) = self.rules.table_mut(bridge, table) {
                    t.hide(entries, id);
                }
                if let Some(e) = self.rules.take_out(id) {
                    self.account(id, &e.rule.actions, -1);
                    self.rules.forget_learns(&e.rule.actions);
                    self.rules.free.push(id);
                }
            }
            Step::Replaced { id, old, place, .. } => {
                let (bridge, table) = (old.bridge, old.table);
                if let Some((t, entries)) = self.rules.table_mut(bridge, table) {
                    t.move_back(entries, id, place);
                }
                let Some(e) = entry_mut(&mut self.rules.entries, id) else { return };
                let links = (e.prev, e.next, e.chain, e.scheduled);
                let new = std::mem::replace(e, *old);
                (e.prev, e.next, e.chain, e.scheduled) = links;
                let old = e.rule.clone();
                if !Arc::ptr_eq(&new.rule, &old) {
                    self.account(id, &old.actions, 1);
                    self.account(id, &new.rule.actions, -1);
                    self.rules.forget_learns(&new.rule.actions);
                }
                if let Some((t, entries)) = self.rules.table_mut(bridge, table) {
                    t.rank_again(entries, id);
                }
            }
        }
    }
}

impl RuleSet {
    /// Makes what changed in the order of these tables' subtables seen.
    fn publish(&mut self, bridge: BridgeIdx, tables: impl Iterator<Item = u8>) {
        for table in tables {
            if let Some((t, _)) = self.table_mut(bridge, table) {
                t.order.publish();
            }
        }
    }

    fn new_id(&mut self) -> Option<RuleId> {
        if let Some(id) = self.free.pop() {
            return Some(id);
        }
        let id = RuleId::try_from(self.entries.len()).ok().filter(|id| *id != NIL)?;
        self.entries.push(None);
        Some(id)
    }

    /// Takes a hidden rule out of its table and out of the rule set.
    fn take_out(&mut self, id: RuleId) -> Option<Box<Entry>> {
        let (bridge, table) = entry(&self.entries, id).map(|e| (e.bridge, e.table))?;
        if let Some((t, entries)) = self.table_mut(bridge, table) {
            t.drop_out(entries, id);
        }
        self.entries.get_mut(id as usize)?.take()
    }
}

impl RuleSet {
    /// Remembers learning actions as they were written, once per rule that has them.
    fn keep_learns(&mut self, learns: &Learns) {
        for (id, learn) in learns {
            self.learns.entry(*id).or_insert_with(|| (learn.clone(), 0)).1 += 1;
        }
    }

    fn forget_learns(&mut self, actions: &[ir::Action]) {
        let mut ids = Vec::new();
        learn_ids(actions, &mut ids);
        for id in ids {
            if let Some(known) = self.learns.get_mut(&id) {
                known.1 -= 1;
                if known.1 == 0 {
                    self.learns.remove(&id);
                }
            }
        }
    }
}

/// Ids of the learning instructions in a list, nested ones included.
fn learn_ids(actions: &[ir::Action], out: &mut Vec<u64>) {
    each_learn(actions, &mut |l| out.push(l.id));
}

/// Table and cookie of the learning instructions that ask for `delete_learned`.
fn learned_by(actions: &[ir::Action], out: &mut Vec<(u8, u64)>) {
    each_learn(actions, &mut |l| {
        if l.delete_learned {
            out.push((l.table, l.cookie));
        }
    });
}

fn each_learn(actions: &[ir::Action], visit: &mut dyn FnMut(&ir::Learn)) {
    for a in actions {
        match a {
            ir::Action::Learn(l) => visit(l),
            ir::Action::Clone(inner) | ir::Action::WriteActions(inner) => each_learn(inner, visit),
            _ => {}
        }
    }
}
