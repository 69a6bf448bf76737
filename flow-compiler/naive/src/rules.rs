//! Rules in plain lists, changed by flow-mods.
//!
//! Purpose: OpenFlow's semantics, spelled out: every request looks at every rule.
//! Deliberately does not know: packets.

use sluice_flow::key::{slot, PACKET_WORDS, SERVICE_WORDS};
use sluice_flow::Key;
use sluice_openflow::{Action, FlowMod, FlowModCommand, Match};

/// A rule.
#[derive(Clone, Debug)]
pub struct NaiveRule {
    /// Table.
    pub table: u8,
    /// Priority.
    pub priority: u16,
    /// Match.
    pub matching: Match,
    /// Actions as given.
    pub actions: Vec<Action>,
    /// Cookie.
    pub cookie: u64,
    /// Seconds, 0 for none.
    pub idle_timeout: u16,
    /// Seconds, 0 for none.
    pub hard_timeout: u16,
    /// Milliseconds.
    pub modified: u64,
    /// Milliseconds.
    pub used: u64,
    /// Packets that hit it.
    pub packets: u64,
    /// Bytes of those packets.
    pub bytes: u64,
}

impl NaiveRule {
    fn is(&self, fm: &FlowMod) -> bool {
        self.in_table(fm) && self.priority == fm.priority && self.matching == fm.matching
    }

    fn in_table(&self, fm: &FlowMod) -> bool {
        fm.table.is_none_or(|t| t == self.table)
    }

    /// Does every packet that this rule matches match the flow-mod's match too?
    fn inside(&self, fm: &FlowMod) -> bool {
        self.in_table(fm)
            && fm.matching.mask.and(&self.matching.mask) == fm.matching.mask
            && self.matching.value.and(&fm.matching.mask) == fm.matching.value
    }

    /// Does a packet with this key match? Without a word on the type of packets a rule that looks at headers
    /// is about Ethernet frames.
    fn sees(&self, key: &Key) -> bool {
        let mask = &self.matching.mask;
        let headers = (0..PACKET_WORDS).chain(SERVICE_WORDS).any(|w| mask.words[w] != 0);
        let ethernet = headers && mask.get(slot::PACKET_TYPE) == 0;
        self.matching.matches(key) && !(ethernet && key.get(slot::PACKET_TYPE) != 0)
    }

    fn conjunctions(&self) -> impl Iterator<Item = (u32, u8, u8)> + '_ {
        self.actions.iter().filter_map(|a| match a {
            Action::Conjunction { id, clause, n_clauses } => Some((*id, *clause, *n_clauses)),
            _ => None,
        })
    }

    fn is_conjunctive(&self) -> bool {
        self.conjunctions().next().is_some()
    }
}

/// All rules of one bridge.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// In the order of adding.
    pub list: Vec<NaiveRule>,
}

impl Rules {
    /// Applies a flow-mod that is known to be legal.
    pub fn apply(&mut self, fm: &FlowMod, now: u64) {
        let cookie_fits = |r: &NaiveRule| (r.cookie ^ fm.cookie) & fm.cookie_mask == 0;
        match fm.command {
            FlowModCommand::Add => self.add(fm, now),
            FlowModCommand::Modify | FlowModCommand::ModifyStrict => {
                let strict = fm.command == FlowModCommand::ModifyStrict;
                let mut any = false;
                for r in &mut self.list {
                    if (if strict { r.is(fm) } else { r.inside(fm) }) && cookie_fits(r) {
                        any = true;
                        r.actions = fm.actions.clone();
                        r.cookie = fm.new_cookie.unwrap_or(r.cookie);
                        r.modified = now;
                    }
                }
                if !any && fm.cookie_mask == 0 && fm.new_cookie.is_some() {
                    self.add(fm, now);
                }
            }
            FlowModCommand::Delete => self.list.retain(|r| !(r.inside(fm) && cookie_fits(r))),
            FlowModCommand::DeleteStrict => self.list.retain(|r| !(r.is(fm) && cookie_fits(r))),
        }
    }

    fn add(&mut self, fm: &FlowMod, now: u64) {
        let mut rule = NaiveRule {
            table: fm.table.unwrap_or(0),
            priority: fm.priority,
            matching: fm.matching.clone(),
            actions: fm.actions.clone(),
            cookie: fm.new_cookie.unwrap_or(0),
            idle_timeout: fm.idle_timeout,
            hard_timeout: fm.hard_timeout,
            modified: now,
            used: now,
            packets: 0,
            bytes: 0,
        };
        if let Some(old) = self.list.iter_mut().find(|r| r.table == rule.table && r.is(fm)) {
            if !fm.flags.reset_counts {
                (rule.packets, rule.bytes) = (old.packets, old.bytes);
            }
            rule.used = old.used;
            *old = rule;
        } else {
            self.list.push(rule);
        }
    }

    /// Removes what has timed out.
    pub fn expire(&mut self, now: u64) {
        let over = |since: u64, seconds: u16| seconds != 0 && now > since + u64::from(seconds) * 1000;
        self.list.retain(|r| !over(r.modified, r.hard_timeout) && !over(r.used, r.idle_timeout));
    }

    /// Position of the rule that a packet with this key meets in a table.
    ///
    /// From the highest priority down: a plain rule that matches wins; where rules with clauses match
    /// and together fulfil a conjunction, the best plain rule for a packet with that `conj_id` wins.
    pub fn find(&self, table: u8, key: &Key) -> Option<usize> {
        let matching = |key: &Key| {
            let mut all: Vec<usize> = (0..self.list.len())
                .filter(|i| self.list[*i].table == table && self.list[*i].sees(key))
                .collect();
            all.sort_by_key(|i| std::cmp::Reverse(self.list[*i].priority));
            all
        };
        let plain = |all: &[usize]| all.iter().copied().find(|i| !self.list[*i].is_conjunctive());
        let all = matching(key);
        let best = plain(&all);
        let floor = best.map(|i| self.list[i].priority);
        let mut priorities: Vec<u16> = all.iter().map(|i| self.list[*i].priority).collect();
        priorities.dedup();
        for p in priorities {
            if floor.is_some_and(|f| f >= p) {
                break;
            }
            let clauses: Vec<(u32, u8, u8)> = all
                .iter()
                .filter(|i| self.list[**i].priority == p)
                .flat_map(|i| self.list[*i].conjunctions())
                .collect();
            for (id, _, n) in &clauses {
                if (0..*n).all(|k| clauses.contains(&(*id, k, *n))) {
                    let mut with_id = *key;
                    with_id.set(sluice_flow::key::slot::CONJ_ID, u64::from(*id));
                    if let Some(i) = plain(&matching(&with_id)) {
                        return Some(i);
                    }
                }
            }
        }
        best
    }
}
