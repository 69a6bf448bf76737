//! Rows of tables QoS and Queue.
//!
//! Invariant: a record that cannot be followed is refused as a whole, with a reason in the port's
//! status; a number that is none counts as not given.

use std::collections::BTreeMap;

use super::{Reader, Subject};
use crate::database::{Atom, Row};
use crate::state::{Discipline, PortKind, Qos, Queue, TwoRates};

/// Queues of one port.
const QUEUES_MAX: usize = 4096;
/// What a DSCP can be.
const DSCP_LAST: i64 = 63;

impl<'a> Reader<'a> {
    /// What a port's row says of the order in which packets leave by it.
    pub(super) fn quality(&mut self, name: &str, kind: &PortKind, row: &Row) -> Option<Qos> {
        let row = row.references("qos").find_map(|id| self.tables.row("QoS", id))?;
        if row.text("type").is_empty() {
            return None;
        }
        if matches!(kind, PortKind::Patch { .. } | PortKind::Vxlan(_)) {
            self.refuse(Subject::Port, name, "qos", "a patch or tunnel port has no queues; give the QoS to the port that packets leave the host by");
            return None;
        }
        match self.discipline(name, row) {
            Ok(discipline) => Some(Qos { discipline, dscp: self.markings(row) }),
            Err(why) => {
                self.refuse(Subject::Port, name, "qos", format!("{why}; packets leave in the order in which they came"));
                None
            }
        }
    }

    fn discipline(&mut self, name: &str, row: &Row) -> Result<Discipline, String> {
        let queues = self.queues(row);
        if queues.len() > QUEUES_MAX {
            return Err(format!("{} queues are too many, {QUEUES_MAX} are possible", queues.len()));
        }
        match row.text("type") {
            "linux-noop" => Ok(Discipline::Noop),
            "linux-htb" => {
                let max_rate = self.rate(row, name, "max-rate");
                let queues = queues.into_iter().map(|(number, row)| (number, self.queue(name, row))).collect();
                Ok(Discipline::Htb { max_rate, queues })
            }
            "egress-policer" => {
                let rates = self.two_rates(name, row);
                match (rates.cir, rates.cbs) {
                    (0, _) | (_, 0) => Err("egress-policer needs other_config:cir and other_config:cbs".to_string()),
                    (cir, cbs) => Ok(Discipline::Policer { cir, cbs }),
                }
            }
            "trtcm-policer" => {
                let all = usable(self.two_rates(name, row))?;
                let mut of_queues = BTreeMap::new();
                for (number, row) in queues {
                    let own = self.two_rates(name, row);
                    of_queues.insert(number, if number == 0 && own == TwoRates::default() { all } else { usable(own)? });
                }
                Ok(Discipline::TwoRate { all, queues: of_queues })
            }
            other => Err(format!("QoS type \"{other}\" is not supported; {} are", Discipline::TYPES.join(", "))),
        }
    }

    fn queues(&self, row: &Row) -> BTreeMap<u32, &'a Row> {
        let queue = |(number, id): (&Atom, &Atom)| match (number, id) {
            (Atom::Integer(number), Atom::Uuid(id)) => Some((u32::try_from(*number).ok()?, self.tables.row("Queue", *id)?)),
            _ => None,
        };
        row.pairs("queues").filter_map(queue).collect()
    }

    fn markings(&self, row: &Row) -> BTreeMap<u32, u8> {
        let marked = |(number, row): (u32, &Row)| {
            let dscp = row.integer("dscp").filter(|n| (0..=DSCP_LAST).contains(n))?;
            Some((number, dscp as u8))
        };
        self.queues(row).into_iter().filter_map(marked).collect()
    }

    fn queue(&mut self, name: &str, row: &Row) -> Queue {
        Queue {
            min_rate: self.rate(row, name, "min-rate"),
            max_rate: self.rate(row, name, "max-rate"),
            burst: self.rate(row, name, "burst"),
            priority: self.rate(row, name, "priority").map_or(0, |n| u32::try_from(n).unwrap_or(u32::MAX)),
        }
    }

    fn two_rates(&mut self, name: &str, row: &Row) -> TwoRates {
        let mut rate = |key| self.rate(row, name, key).unwrap_or(0);
        TwoRates { cir: rate("cir"), cbs: rate("cbs"), eir: rate("eir"), ebs: rate("ebs") }
    }

    fn rate(&mut self, row: &Row, name: &str, key: &str) -> Option<u64> {
        self.number(row, name, key, 0, i64::MAX as u64)
    }
}

/// A rate without a burst lets nothing through for ever.
fn usable(rates: TwoRates) -> Result<TwoRates, String> {
    let without = |rate: u64, burst: u64| rate != 0 && burst == 0;
    if without(rates.cir, rates.cbs) || without(rates.eir, rates.ebs) {
        return Err("trtcm-policer needs cbs where cir is given, and ebs where eir is".to_string());
    }
    Ok(rates)
}
