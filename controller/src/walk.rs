//! A packet's way through rules, rule by rule.
//!
//! Purpose: tell which rules a packet meets and by which ports it leaves; for explanations and for
//! comparing rules with what they mean. Knows the actions that the controller's own rules use.
//! Invariant: ends on any rules (a bound on depth and on steps).
//! Deliberately does not know: bytes, what traffic taught.

use crate::rules::{Rule, RuleSet};
use sluice_openflow::action::WideValue;
use sluice_openflow::{Action, Field, Match, PortNo};
use std::collections::{BTreeMap, BTreeSet};

const MAX_DEPTH: usize = 64;
const MAX_STEPS: usize = 4096;
/// State of a packet that opens a connection.
const TRACKED_NEW: u128 = 0x21;

/// The fields of a packet, written as a match on all of them.
pub type Fields = Match;

/// Sets a field of a packet.
pub fn put(fields: &mut Fields, field: Field, value: u128) {
    fields.set_field(field, value, u128::MAX);
}

/// A table that a packet came to.
#[derive(Clone, Debug)]
pub struct Step<'a> {
    /// Table.
    pub table: u8,
    /// The rule that it met there; `None` for a miss.
    pub rule: Option<&'a Rule>,
}

/// What becomes of a packet.
#[derive(Clone, Debug, Default)]
pub struct Outcome<'a> {
    /// Tables, in order.
    pub steps: Vec<Step<'a>>,
    /// Ports that it leaves by, in order, with its fields at that moment.
    pub outputs: Vec<(u32, Fields)>,
}

/// Follows a packet with these fields (the port it came in by among them) from table 0.
pub fn walk<'a>(rules: &'a RuleSet, mut fields: Fields) -> Outcome<'a> {
    let in_port = fields.field(Field::IN_PORT_OXM).0 as u32;
    let mut outcome = Outcome::default();
    Walker { rules, in_port }.table(0, &mut fields, &mut outcome, 0);
    outcome
}

struct Walker<'a> {
    rules: &'a RuleSet,
    in_port: u32,
}

impl<'a> Walker<'a> {
    fn table(&self, table: u8, fields: &mut Fields, outcome: &mut Outcome<'a>, depth: usize) {
        if depth > MAX_DEPTH || outcome.steps.len() > MAX_STEPS {
            return;
        }
        let rule = lookup(self.rules, table, fields);
        outcome.steps.push(Step { table, rule });
        for action in rule.map(|r| r.actions.as_slice()).unwrap_or_default() {
            match action {
                Action::GotoTable(next) | Action::Resubmit { table: Some(next), .. } => {
                    self.table(*next, fields, outcome, depth + 1);
                }
                // What is asked about opens its connection.
                Action::Ct(ct) => {
                    if let Some(next) = ct.table {
                        let mut resumed = fields.clone();
                        put(&mut resumed, Field::CT_STATE, TRACKED_NEW);
                        self.table(next, &mut resumed, outcome, depth + 1);
                    }
                }
                // A packet never leaves by the port it came in by, unless that is asked for by name.
                Action::Output { port, .. } if port.0 != self.in_port => outcome.outputs.push((port.0, fields.clone())),
                other => rewrite(fields, other),
            }
        }
    }
}

fn rewrite(fields: &mut Fields, action: &Action) {
    match action {
        Action::SetField(set) => {
            if let WideValue::Small(value) = set.value {
                put(fields, set.field, value);
            }
        }
        Action::StripVlan { .. } => put(fields, Field::VLAN_TCI, 0),
        Action::PushVlan(_) => put(fields, Field::VLAN_TCI, 0x1000),
        Action::Move { src, dst } => {
            let (value, _) = fields.field(src.field);
            put(fields, dst.field, value);
        }
        _ => {}
    }
}

/// The rule of highest priority that a packet meets in a table, conjunctions included.
fn lookup<'a>(rules: &'a RuleSet, table: u8, fields: &Fields) -> Option<&'a Rule> {
    let mut by_priority: BTreeMap<u16, Vec<&Rule>> = BTreeMap::new();
    for rule in rules.iter().filter(|r| r.table == table && r.matching.matches(&fields.value)) {
        by_priority.entry(rule.priority).or_default().push(rule);
    }
    for (priority, hits) in by_priority.into_iter().rev() {
        if let Some(rule) = hits.iter().find(|r| !is_clause(r)) {
            return Some(rule);
        }
        for id in satisfied(&hits) {
            let mut with = fields.clone();
            put(&mut with, Field::CONJ_ID, u128::from(id));
            let mut met = rules.iter().filter(|r| (r.table, r.priority) == (table, priority) && !is_clause(r));
            if let Some(rule) = met.find(|r| r.matching.matches(&with.value)) {
                return Some(rule);
            }
        }
    }
    None
}

fn is_clause(rule: &Rule) -> bool {
    matches!(rule.actions.first(), Some(Action::Conjunction { .. }))
}

/// Conjunctions of which every clause is among `rules`.
fn satisfied(rules: &[&Rule]) -> Vec<u32> {
    let mut met: BTreeMap<(u32, u8), BTreeSet<u8>> = BTreeMap::new();
    for action in rules.iter().flat_map(|r| &r.actions) {
        if let Action::Conjunction { id, clause, n_clauses } = action {
            met.entry((*id, *n_clauses)).or_default().insert(*clause);
        }
    }
    met.into_iter().filter(|((_, n), clauses)| clauses.len() == usize::from(*n)).map(|((id, _), _)| id).collect()
}

/// Does this port number mean "back where it came from"?
pub fn is_back(port: u32) -> bool {
    port == PortNo::IN_PORT.0
}
