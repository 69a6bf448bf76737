//! What structure a table has come to, and why, for people.

use super::Classifier;

/// A table's structure.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Shape {
    /// Rules.
    pub rules: usize,
    /// Different masks of theirs.
    pub masks: usize,
    /// Hash tables that a look-up probes at most; a list of few rules counts as one.
    pub tables: usize,
    /// Rules in the list that is compared one by one.
    pub listed: usize,
    /// Rules that share the bits that their table is hashed by with others, at most.
    pub longest: usize,
    /// Mean number of rules compared for a key that finds a chain.
    pub mean: f64,
}

impl Shape {
    /// Name of the structure.
    pub fn name(&self) -> &'static str {
        match (self.tables, self.listed) {
            (0, _) => "empty",
            (1, listed) if listed > 0 => "list",
            _ if self.tables >= self.masks => "hash per mask",
            _ => "merged masks",
        }
    }

    /// Why it has that structure.
    pub fn reason(&self) -> String {
        match self.name() {
            "empty" => "no rules".to_string(),
            "list" => "so few are compared faster than hashed".to_string(),
            "hash per mask" => format!("{} masks tell their rules apart", self.masks),
            _ => format!("{} masks share {} hash tables, at most {} rules in a chain", self.masks, self.tables, self.longest),
        }
    }
}

pub(super) fn of(c: &Classifier) -> Shape {
    let mut shape = Shape { rules: c.len(), masks: c.masks.iter().count(), tables: c.order.len(), ..Shape::default() };
    let mut chains = 0;
    for probe in &c.order {
        let Some(group) = c.group(probe.group) else { continue };
        let (rules, of_group) = group.size();
        chains += of_group;
        if group.bits == 0 {
            shape.listed = rules;
        }
        let longest = group.chains().map(|first| c.entries.chain(first).count()).max().unwrap_or(0);
        shape.longest = shape.longest.max(longest);
    }
    shape.mean = shape.rules as f64 / chains.max(1) as f64;
    shape
}
