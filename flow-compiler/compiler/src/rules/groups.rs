//! The groups of every bridge, with OpenFlow's semantics.
//!
//! Invariant: a refused group-mod changes nothing; each definition of a group has a serial of its
//! own, so that what workers still count for an old one is not counted for the new one.
//! Deliberately does not know: messages, liveness. Groups may name groups that do not exist, and may
//! form loops, as in Open vSwitch: a packet that runs in circles is dropped.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sluice_flow::group::{Bucket as Compiled, Choice, Group, HashField, Kind};
use sluice_flow::hash::FoldBuild;
use sluice_flow::options::OptionMap;
use sluice_flow::{BridgeIdx, Change};
use sluice_openflow::bind::options_in;
use sluice_openflow::message::{Bucket, GroupCommand, GroupDesc, GroupMod, GroupStats, ANY_GROUP};
use sluice_openflow::wire::SelectionMethod;
use sluice_openflow::{OfpError, PortNo};

use super::entry::RemovedReason;
use super::transaction::{Step, Transaction};
use super::users::Reference;
use super::{Applied, RuleSet};
use crate::error::OfError;
use crate::lower::{lower, need_of, single};

/// Highest group number.
const GROUP_MAX: u32 = 0xffff_ff00;
/// All groups, in requests.
pub const GROUP_ALL: u32 = 0xffff_fffc;
/// Highest bucket number.
const BUCKET_MAX: u32 = 0xffff_ff00;
const BUCKET_FIRST: u32 = 0xffff_fffd;
const BUCKET_LAST: u32 = 0xffff_fffe;
const BUCKET_ALL: u32 = 0xffff_ffff;

const SELECT: u8 = 1;
const INDIRECT: u8 = 2;
const FAST_FAILOVER: u8 = 3;

/// One group as the control side keeps it.
#[derive(Clone, Debug)]
pub(crate) struct GroupEntry {
    desc: GroupDesc,
    created: u64,
    packets: u64,
    bytes: u64,
    buckets: Vec<(u64, u64)>,
    compiled: Arc<Group>,
}

/// Groups of all bridges.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    all: BTreeMap<(BridgeIdx, u32), GroupEntry>,
    by_serial: HashMap<u32, (BridgeIdx, u32), FoldBuild>,
    last_serial: u32,
}

impl Groups {
    pub fn contains(&self, bridge: BridgeIdx, id: u32) -> bool {
        self.all.contains_key(&(bridge, id))
    }

    fn of(&self, bridge: BridgeIdx) -> impl Iterator<Item = (u32, &GroupEntry)> {
        self.all.range((bridge, 0)..=(bridge, u32::MAX)).map(|((_, id), g)| (*id, g))
    }

    /// Puts a definition in the place of another; the one that was there comes back.
    pub fn put(&mut self, at: (BridgeIdx, u32), new: Option<GroupEntry>) -> Option<GroupEntry> {
        if let Some(new) = &new {
            self.by_serial.insert(new.compiled.serial, at);
        }
        let old = match new {
            Some(new) => self.all.insert(at, new),
            None => self.all.remove(&at),
        };
        if let Some(old) = &old {
            self.by_serial.remove(&old.compiled.serial);
        }
        old
    }

    fn next_serial(&mut self) -> u32 {
        loop {
            self.last_serial = self.last_serial.wrapping_add(1).max(1);
            if !self.by_serial.contains_key(&self.last_serial) {
                return self.last_serial;
            }
        }
    }
}

impl RuleSet {
    /// Applies one group-mod. Rules that use a group that goes, go with it.
    pub fn apply_group(&mut self, bridge: BridgeIdx, gm: &GroupMod, now: u64) -> Result<Applied, OfError> {
        self.grow(bridge);
        let mut t = Transaction::new(self, bridge, now);
        match t.group_mod(gm) {
            Ok(()) => Ok(t.finish()),
            Err(e) => {
                t.roll_back();
                Err(e)
            }
        }
    }

    /// Compiles those groups of a bridge anew whose buckets use any of these tunnel options (one bit each).
    pub(super) fn recompile_groups(&mut self, bridge: BridgeIdx, options: u64) -> Vec<Change> {
        let map = self.options(bridge).clone();
        let uses = |g: &GroupEntry| g.desc.buckets.iter().any(|b| options_in(&b.actions) & options != 0);
        let ids: Vec<u32> = self.groups.of(bridge).filter(|(_, g)| uses(g)).map(|(id, _)| id).collect();
        let mut changes = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(g) = self.groups.all.get_mut(&(bridge, id)) else { continue };
            g.compiled = Arc::new(compile(g.compiled.serial, &g.desc, &map, &mut self.next_learn_id));
            changes.push(Change::SetGroup { bridge, id, to: Some(g.compiled.clone()) });
        }
        changes
    }

    /// A bridge's groups as they were given, by number; one of them, or all for [`GROUP_ALL`].
    pub fn describe_groups(&self, bridge: BridgeIdx, wanted: u32) -> Vec<GroupDesc> {
        let chosen = |(id, _): &(u32, &GroupEntry)| wanted == GROUP_ALL || wanted == *id;
        self.groups.of(bridge).filter(chosen).map(|(_, g)| g.desc.clone()).collect()
    }

    /// A bridge's groups with their counts, by number; one of them, or all for [`GROUP_ALL`].
    pub fn group_stats(&self, bridge: BridgeIdx, wanted: u32, now: u64) -> Vec<GroupStats> {
        let chosen = |(id, _): &(u32, &GroupEntry)| wanted == GROUP_ALL || wanted == *id;
        let stats = |(id, g): (u32, &GroupEntry)| {
            let age = now.saturating_sub(g.created);
            GroupStats {
                id,
                ref_count: self.users.of(bridge, Reference::Group(id)).count() as u32,
                packets: g.packets,
                bytes: g.bytes,
                duration_sec: u32::try_from(age / 1000).unwrap_or(u32::MAX),
                duration_nsec: (age % 1000) as u32 * 1_000_000,
                buckets: g.buckets.clone(),
            }
        };
        self.groups.of(bridge).filter(chosen).map(stats).collect()
    }

    /// Adds what workers counted for a definition of a group: for one bucket, or (`None`) for all.
    pub fn fold_group(&mut self, serial: u32, bucket: Option<u16>, packets: u64, bytes: u64) {
        let Some(at) = self.groups.by_serial.get(&serial) else { return };
        let Some(g) = self.groups.all.get_mut(at) else { return };
        g.packets = g.packets.saturating_add(packets);
        g.bytes = g.bytes.saturating_add(bytes);
        let counted = g.buckets.iter_mut().enumerate().filter(|(i, _)| bucket.is_none_or(|b| usize::from(b) == *i));
        for (_, b) in counted {
            *b = (b.0.saturating_add(packets), b.1.saturating_add(bytes));
        }
    }

    /// Removes all groups of a bridge, and the rules that use them.
    pub fn clear_groups(&mut self, bridge: BridgeIdx, now: u64) -> Applied {
        let mut t = Transaction::new(self, bridge, now);
        t.delete_groups(GROUP_ALL);
        t.finish()
    }
}

impl Transaction<'_> {
    /// Applies one group-mod; on an error the caller must roll back.
    pub fn group_mod(&mut self, gm: &GroupMod) -> Result<(), OfError> {
        match gm.command {
            GroupCommand::Delete => self.delete_groups(gm.id),
            GroupCommand::Add if self.has_group(gm.id) => {
                return refuse(OfpError::OFPGMFC_GROUP_EXISTS, gm.id, "exists already");
            }
            GroupCommand::Modify | GroupCommand::InsertBucket | GroupCommand::RemoveBucket if !self.has_group(gm.id) => {
                return refuse(OfpError::OFPGMFC_UNKNOWN_GROUP, gm.id, "does not exist");
            }
            GroupCommand::Add | GroupCommand::Modify | GroupCommand::AddOrModify => {
                let (buckets, properties) = (gm.buckets.clone(), gm.properties.clone());
                self.define(GroupDesc { id: gm.id, kind: gm.kind, buckets, properties })?;
            }
            GroupCommand::InsertBucket | GroupCommand::RemoveBucket => {
                let old = self.rules.groups.all.get(&(self.bridge, gm.id)).map(|g| g.desc.clone());
                let Some(mut desc) = old else { return Ok(()) };
                desc.buckets = match gm.command {
                    GroupCommand::InsertBucket => inserted(desc.buckets, gm)?,
                    _ => without(desc.buckets, gm)?,
                };
                self.define(desc)?;
            }
        }
        Ok(())
    }

    fn has_group(&self, id: u32) -> bool {
        self.rules.groups.contains(self.bridge, id)
    }

    fn define(&mut self, desc: GroupDesc) -> Result<(), OfError> {
        if desc.id > GROUP_MAX {
            return refuse(OfpError::OFPGMFC_INVALID_GROUP, desc.id, "is not a number for a group");
        }
        let at = (self.bridge, desc.id);
        let serial = self.rules.groups.next_serial();
        let map = self.rules.options(self.bridge).clone();
        let compiled = Arc::new(compile(serial, &desc, &map, &mut self.rules.next_learn_id));
        let created = self.rules.groups.all.get(&at).map_or(self.now, |old| old.created);
        let buckets = vec![(0, 0); desc.buckets.len()];
        let new = GroupEntry { desc, created, packets: 0, bytes: 0, buckets, compiled: compiled.clone() };
        let old = self.rules.groups.put(at, Some(new));
        self.steps.push(Step::Group { at, old: old.map(Box::new) });
        self.changes.push(Change::SetGroup { bridge: at.0, id: at.1, to: Some(compiled) });
        Ok(())
    }

    fn delete_groups(&mut self, wanted: u32) {
        let ids: Vec<u32> = match wanted {
            GROUP_ALL => self.rules.groups.of(self.bridge).map(|(id, _)| id).collect(),
            id if self.has_group(id) => vec![id],
            _ => Vec::new(),
        };
        for id in ids {
            let users: Vec<_> = self.rules.users.of(self.bridge, Reference::Group(id)).collect();
            users.into_iter().for_each(|rule| self.remove(rule, RemovedReason::GroupDelete));
            let at = (self.bridge, id);
            let old = self.rules.groups.put(at, None);
            self.steps.push(Step::Group { at, old: old.map(Box::new) });
            self.changes.push(Change::SetGroup { bridge: at.0, id, to: None });
        }
    }
}

fn refuse(code: OfpError, id: u32, why: &str) -> Result<(), OfError> {
    Err(OfError::new(code, format!("group {id} {why}")))
}

fn bucket_error(code: OfpError, gm: &GroupMod, why: &str) -> OfError {
    OfError::new(code, format!("group {}: bucket {} {why}", gm.id, gm.command_bucket_id))
}

fn inserted(mut buckets: Vec<Bucket>, gm: &GroupMod) -> Result<Vec<Bucket>, OfError> {
    let at = match gm.command_bucket_id {
        BUCKET_FIRST => 0,
        id if id <= BUCKET_MAX => {
            let found = buckets.iter().position(|b| b.id == id);
            found.ok_or_else(|| bucket_error(OfpError::OFPGMFC_UNKNOWN_BUCKET, gm, "does not exist"))? + 1
        }
        _ => buckets.len(),
    };
    if gm.buckets.iter().any(|new| buckets.iter().any(|b| b.id == new.id)) {
        return Err(bucket_error(OfpError::OFPGMFC_BUCKET_EXISTS, gm, "is followed by one that exists already"));
    }
    buckets.splice(at..at, gm.buckets.iter().cloned());
    Ok(buckets)
}

fn without(mut buckets: Vec<Bucket>, gm: &GroupMod) -> Result<Vec<Bucket>, OfError> {
    match gm.command_bucket_id {
        BUCKET_ALL => buckets.clear(),
        BUCKET_LAST => drop(buckets.pop()),
        BUCKET_FIRST if buckets.is_empty() => {}
        BUCKET_FIRST => drop(buckets.remove(0)),
        id => {
            let found = buckets.iter().position(|b| b.id == id);
            let at = found.ok_or_else(|| bucket_error(OfpError::OFPGMFC_UNKNOWN_BUCKET, gm, "does not exist"))?;
            buckets.remove(at);
        }
    }
    Ok(buckets)
}

/// A group as the program holds it. What buckets would learn is not done: an action set has no `learn`.
fn compile(serial: u32, desc: &GroupDesc, map: &OptionMap, next_learn_id: &mut u64) -> Group {
    let kind = match desc.kind {
        SELECT => Kind::Select(choice(&desc.properties, map)),
        INDIRECT => Kind::Indirect,
        FAST_FAILOVER => Kind::FastFailover,
        _ => Kind::All,
    };
    let bucket = |b: &Bucket| Compiled {
        id: b.id,
        weight: b.weight,
        watch_port: (b.watch_port != PortNo::NONE).then_some(b.watch_port.0),
        watch_group: (b.watch_group != ANY_GROUP).then_some(b.watch_group),
        actions: lower(&b.actions, map, next_learn_id).actions,
    };
    Group::new(serial, kind, desc.buckets.iter().map(bucket).collect())
}

fn choice(properties: &[(u16, Vec<u8>)], map: &OptionMap) -> Choice {
    let named = SelectionMethod::find(properties).filter(|s| s.method == "hash" && !s.fields.is_empty());
    let Some(method) = named else { return Choice::AnyHeader };
    let field = |(field, mask): &(sluice_openflow::Field, u128)| {
        Some(HashField {
            slot: single(field.whole(), map)?,
            bytes: u8::try_from(field.info().n_bits.div_ceil(8)).ok()?,
            mask: *mask,
            need: need_of(*field),
        })
    };
    Choice::Fields { parameter: method.parameter, fields: method.fields.iter().filter_map(field).collect() }
}
