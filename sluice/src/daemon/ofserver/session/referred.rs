//! Questions about groups and meters.
//!
//! Deliberately does not know: how either works.

use sluice_compiler::rules::METER_FEATURES;
use sluice_openflow::message::{GroupFeatures, StatsReply, StatsRequest};
use sluice_openflow::{Message, OfpError, Version};

use super::{Effect, Session, Turn};

/// All, select, indirect and fast failover.
const GROUP_TYPES: u32 = 0xf;
/// Weights, liveness and chaining.
const GROUP_CAPABILITIES: u32 = 0x7;
const GROUPS: u32 = 0xffff_ff00;
/// Actions of OpenFlow 1.1 and later that buckets may hold, by number: output; TTL of MPLS set and
/// decremented; VLAN and MPLS tags pushed and popped; queue, group, TTL set and decremented, set_field.
const BUCKET_ACTIONS: u32 = 1
    | 1 << 15
    | 1 << 16
    | 1 << 17
    | 1 << 18
    | 1 << 19
    | 1 << 20
    | 1 << 21
    | 1 << 22
    | 1 << 23
    | 1 << 24
    | 1 << 25;

impl Session {
    pub(super) fn describe_referred(&mut self, request: &StatsRequest, xid: u32, turn: &mut Turn<'_>) -> Result<Effect, OfpError> {
        let rules = &turn.switch.rules;
        let reply = match request {
            StatsRequest::GroupDesc(id) => {
                // Only OpenFlow 1.5 (and 1.0, which borrows it) asks for one group.
                let one = matches!(self.protocol.version, Version::V10 | Version::V15);
                let wanted = if one { *id } else { sluice_compiler::rules::GROUP_ALL };
                StatsReply::GroupDesc { more: false, groups: rules.describe_groups(self.bridge, wanted) }
            }
            StatsRequest::GroupFeatures => StatsReply::GroupFeatures(GroupFeatures {
                types: GROUP_TYPES,
                capabilities: GROUP_CAPABILITIES,
                max_groups: [GROUPS; 4],
                actions: [BUCKET_ACTIONS; 4],
            }),
            StatsRequest::MeterConfig(id) => {
                let meters = rules.meter_configs(self.bridge, *id).ok_or(OfpError::OFPMMFC_UNKNOWN_METER)?;
                StatsReply::MeterConfig { more: false, meters }
            }
            _ => StatsReply::MeterFeatures(METER_FEATURES),
        };
        self.answer_stats(reply, xid, turn)
    }

    pub(super) fn group_counts(&mut self, id: u32, xid: u32, turn: &mut Turn<'_>) {
        let groups = turn.switch.rules.group_stats(self.bridge, id, turn.now_ms);
        self.reply(&Message::StatsReply(StatsReply::Group { more: false, groups }), xid, turn);
    }

    pub(super) fn meter_counts(&mut self, id: u32, xid: u32, turn: &mut Turn<'_>) {
        let meters = turn.switch.rules.meter_stats(self.bridge, id, turn.now_ms).unwrap_or_default();
        self.reply(&Message::StatsReply(StatsReply::Meter { more: false, meters }), xid, turn);
    }
}
