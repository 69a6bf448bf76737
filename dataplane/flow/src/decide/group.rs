//! Groups, meters, and copies to the controllers.
//!
//! Invariant: whatever a choice looked at beside the key (groups, meters, links) is noted in the
//! verdict's uses.

use std::sync::Arc;

use super::walk::Walk;
use crate::action::{Need, Punt};
use crate::drop::DropReason;
use crate::group::{Bucket, Group, GroupId, Kind};
use crate::key::{slot, PACKET_WORDS, SERVICE_WORDS};
use crate::meter::{self, Exceeded, Meter, MeterId};
use crate::reads::satisfies;
use crate::verdict::{Chosen, Cover, Op, Use};

/// Groups that watch groups: nesting that is followed, as in Open vSwitch.
const WATCH_DEPTH: usize = 128;
/// Groups that are asked for their lives on behalf of one bucket.
const WATCH_BREADTH: usize = 4096;

/// Why a packet goes to the controllers, where it is the place that tells (`OFPR_*`).
mod reason {
    pub const ACTION: u8 = 1;
    pub const ACTION_SET: u8 = 3;
    pub const GROUP: u8 = 4;
    pub const PACKET_OUT: u8 = 5;
}

impl Walk<'_> {
    pub(super) fn group(&mut self, id: GroupId) {
        let bridge = self.view.bridge;
        let group = self.bridge().and_then(|b| b.referred.group(id)).cloned();
        let Some(group) = group else {
            return self.depends(Use::Group { bridge, id, serial: 0, chosen: Chosen::None });
        };
        // Groups that name groups twice over would double with each step.
        if !self.may_look_up() {
            return;
        }
        let outside = std::mem::replace(&mut self.in_group, true);
        let chosen = match &group.kind {
            Kind::All | Kind::Indirect => Chosen::All,
            Kind::Select(choice) => {
                let live = self.living(&group);
                let live = live.into_iter().filter_map(|i| Some((i, group.buckets.get(i)?)));
                choice.choose(&self.view.key, live).map_or(Chosen::None, |i| Chosen::One(i as u16))
            }
            Kind::FastFailover => self.first_living(&group).map_or(Chosen::None, |i| Chosen::One(i as u16)),
        };
        self.counts(Use::Group { bridge, id, serial: group.serial, chosen });
        match chosen {
            Chosen::None => self.hint(DropReason::NoLiveBucket),
            Chosen::All => group.buckets.iter().for_each(|b| self.bucket(b)),
            Chosen::One(i) => group.buckets.get(usize::from(i)).into_iter().for_each(|b| self.bucket(b)),
        }
        self.in_group = outside;
    }

    fn bucket(&mut self, bucket: &Bucket) {
        if self.exit {
            return;
        }
        let actions = super::action_set::ordered(&bucket.actions).into();
        self.branch_bucket(|w| {
            w.execute(&actions);
        });
        self.resume_after_copy();
    }

    fn living(&mut self, group: &Group) -> Vec<usize> {
        (0..group.buckets.len()).filter(|i| self.bucket_lives(group, *i)).collect()
    }

    fn first_living(&mut self, group: &Group) -> Option<usize> {
        (0..group.buckets.len()).find(|i| self.bucket_lives(group, *i))
    }

    fn bucket_lives(&mut self, group: &Group, i: usize) -> bool {
        let mut budget = WATCH_BREADTH;
        group.buckets.get(i).is_some_and(|b| self.lives(b, 0, &mut budget))
    }

    fn lives(&mut self, bucket: &Bucket, depth: usize, budget: &mut usize) -> bool {
        if depth >= WATCH_DEPTH || *budget == 0 {
            return false;
        }
        *budget -= 1;
        if bucket.watch_port.is_none() && bucket.watch_group.is_none() {
            return true;
        }
        let bridge = self.view.bridge;
        if let Some(port) = bucket.watch_port {
            self.depends(Use::Liveness { bridge });
            if self.bridge().and_then(|b| b.ports.get(&port)).is_some_and(|p| p.live) {
                return true;
            }
        }
        let Some(id) = bucket.watch_group else { return false };
        self.depends(Use::Group { bridge, id, serial: 0, chosen: Chosen::None });
        let Some(group) = self.bridge().and_then(|b| b.referred.group(id)).cloned() else { return false };
        group.buckets.iter().any(|b| self.lives(b, depth + 1, budget))
    }

    fn find_meter(&mut self, id: MeterId) -> Option<Arc<Meter>> {
        self.depends(Use::Meter { bridge: self.view.bridge, id });
        self.bridge()?.referred.meter(id).cloned()
    }

    pub(super) fn meter(&mut self, id: MeterId) {
        let Some(meter) = self.find_meter(id) else { return };
        let remarks = meter.bands.iter().any(|b| matches!(b.exceeded, Exceeded::Remark(_)));
        self.emit(Op::Meter(meter));
        let looked_at = self.bridge().is_some_and(|b| b.key_set().get(slot::NW_DSCP) != 0);
        if remarks && looked_at && satisfies(&self.view.key, Need::Ip) {
            // Only the packet's own bytes tell which DSCP it has from here on.
            self.uncover(Cover::Nothing);
        }
    }

    pub(super) fn punt(&mut self, punt: &Arc<Punt>) {
        let meter = self.find_meter(punt.meter.unwrap_or(meter::CONTROLLER));
        let mut state = self.view.key;
        state.words[..PACKET_WORDS].fill(0);
        state.words[SERVICE_WORDS].fill(0);
        let op = Op::Punt {
            punt: self.with_reason(punt),
            bridge: self.view.bridge,
            in_port: self.in_port(),
            table: self.view.table,
            rule: self.view.rule,
            state: Arc::new(state),
            meter,
        };
        self.emit(op);
    }

    fn with_reason(&self, punt: &Arc<Punt>) -> Arc<Punt> {
        let reason = match (self.in_packet_out, self.in_group, self.in_action_set) {
            (true, _, _) => reason::PACKET_OUT,
            (_, true, _) => reason::GROUP,
            (_, _, true) => reason::ACTION_SET,
            _ => reason::ACTION,
        };
        if !punt.plain || punt.reason == reason {
            return punt.clone();
        }
        Arc::new(Punt { reason, ..Punt::clone(punt) })
    }
}
