//! Groups, traced.
//!
//! Purpose: which bucket is chosen and why the others are not.
//! Invariant: buckets live as they do in the program; a choice by fields is the program's own.
//! Deliberately does not know: how a hash is computed.

use sluice_flow::group::{of_fields, score, Choice, Group, Kind as GroupKind};
use sluice_openflow::message::{Bucket, GroupDesc};
use sluice_openflow::PortNo;

use super::act::End;
use super::tree::Kind;
use super::walk::Walk;

/// Groups that watch groups: nesting that is followed.
const WATCH_DEPTH: u32 = 128;
const NO_GROUP: u32 = 0xffff_ffff;
const ALL: u8 = 0;
const SELECT: u8 = 1;
const INDIRECT: u8 = 2;

impl Walk<'_> {
    pub(super) fn group(&mut self, id: u32, last: bool) -> End {
        if !self.may_go_on() {
            return End::Action;
        }
        let Some(desc) = self.description(id) else {
            self.say(Kind::Warn, format!("output to nonexistent group {id}"));
            return End::List;
        };
        if matches!(desc.kind, ALL | INDIRECT) {
            let count = desc.buckets.len();
            for (i, bucket) in desc.buckets.iter().enumerate() {
                self.bucket(bucket, last && i + 1 == count);
            }
            return End::Action;
        }
        let chosen = if desc.kind == SELECT { self.select(id, &desc) } else { self.first_living(&desc, 0) };
        match chosen.and_then(|i| desc.buckets.get(i)) {
            Some(bucket) => {
                self.say(Kind::Detail, format!("using bucket {}", bucket.id));
                self.bucket(bucket, last);
            }
            None => self.say(Kind::Detail, "no live bucket"),
        }
        End::Action
    }

    fn description(&self, id: u32) -> Option<GroupDesc> {
        self.switch.rules.describe_groups(self.bridge, id).into_iter().find(|g| g.id == id)
    }

    fn select(&mut self, id: u32, desc: &GroupDesc) -> Option<usize> {
        if self.was_mpls {
            self.freeze();
            return None;
        }
        let program = self.switch.program().clone();
        let group = program.bridge(self.bridge).and_then(|b| b.referred.group(id))?;
        match &group.kind {
            GroupKind::Select(Choice::Fields { parameter, fields }) => {
                for field in fields.iter().filter(|f| sluice_flow::reads::satisfies(&self.packet.key, f.need)) {
                    self.wc.mark(field.slot, field.mask);
                }
                let basis = of_fields(&self.packet.key, *parameter, fields);
                self.best(group, desc, basis)
            }
            // Open vSwitch hashes such a packet in its datapath, and goes on when it comes back.
            _ if self.packet.get(sluice_flow::key::slot::DP_HASH) == 0 => {
                self.dp_hash = Some("hash(sym_l4(0))".to_string());
                self.freeze();
                None
            }
            GroupKind::Select(choice) => {
                self.wc.mark_all(sluice_flow::key::slot::DP_HASH);
                let live: Vec<usize> = (0..desc.buckets.len()).filter(|i| self.lives(desc, *i, 0)).collect();
                choice.choose(&self.packet.key, live.into_iter().filter_map(|i| Some((i, group.buckets.get(i)?))))
            }
            _ => None,
        }
    }

    /// The bucket with the highest score among those that live; of equals the last.
    fn best(&mut self, group: &Group, desc: &GroupDesc, basis: u32) -> Option<usize> {
        let mut best: Option<(u32, usize)> = None;
        for (i, bucket) in group.buckets.iter().enumerate() {
            if !self.lives(desc, i, 0) {
                self.say_dead(desc, i);
                continue;
            }
            let score = score(basis, bucket);
            self.say(Kind::Detail, format!("bucket {}: score {score}", bucket.id));
            if best.is_none_or(|(highest, _)| score >= highest) {
                best = Some((score, i));
            }
        }
        best.map(|(_, i)| i)
    }

    fn first_living(&mut self, desc: &GroupDesc, depth: u32) -> Option<usize> {
        for i in 0..desc.buckets.len() {
            if self.lives(desc, i, depth) {
                return Some(i);
            }
            self.say_dead(desc, i);
        }
        None
    }

    fn lives(&mut self, desc: &GroupDesc, i: usize, depth: u32) -> bool {
        let Some(bucket) = desc.buckets.get(i) else { return false };
        if depth >= WATCH_DEPTH {
            self.say(Kind::Error, format!("bucket chaining exceeded {WATCH_DEPTH} links"));
            return false;
        }
        if desc.kind == SELECT && bucket.weight == 0 {
            return false;
        }
        let (port, group) = (bucket.watch_port, bucket.watch_group);
        if port == PortNo::NONE && group == NO_GROUP {
            return true;
        }
        let by_port = port != PortNo::NONE && self.port(port).is_some_and(|p| p.link.up && p.link.carrier);
        by_port || group != NO_GROUP && self.description(group).is_some_and(|g| self.first_living(&g, depth + 1).is_some())
    }

    fn say_dead(&mut self, desc: &GroupDesc, i: usize) {
        let Some(bucket) = desc.buckets.get(i) else { return };
        let port = (bucket.watch_port != PortNo::NONE).then(|| {
            let mut name = String::new();
            sluice_openflow::text::Names::new().write_port(&mut name, bucket.watch_port);
            format!("port {name}")
        });
        let group = (bucket.watch_group != NO_GROUP).then(|| format!("port {}", bucket.watch_group));
        let why: Vec<String> = port.into_iter().chain(group).collect();
        self.say(Kind::Detail, format!("bucket {}: not live due to {}", bucket.id, why.join(" and ")));
    }

    fn bucket(&mut self, bucket: &Bucket, last: bool) {
        let outer = self.tree.at;
        self.tree.at = self.tree.add(Kind::Bucket, format!("bucket {}", bucket.id));
        let (packet, was_mpls) = (self.packet.clone(), self.was_mpls);
        let actions = super::action_set::ordered(&bucket.actions);
        self.deeper(|walk| walk.list(&actions, last, true));
        if self.freezing {
            self.finish_freezing();
        }
        (self.packet, self.was_mpls, self.exit) = (packet, was_mpls, false);
        if matches!(self.error, Some("Too many MPLS labels" | "Unsupported packet type")) {
            self.error = None;
        }
        self.tree.at = outer;
    }
}
