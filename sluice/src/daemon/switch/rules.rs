//! Rules: from flow-mods to changes of the program.
//!
//! Purpose: apply, expire, learn; remember what went until the workers have let go of it.
//! Deliberately does not know: how a flow-mod was spelled.

use sluice_compiler::{Applied, BundleError, Mod, OfError};
use sluice_flow::program::{Fragments, Miss};
use sluice_flow::{BridgeIdx, Change, Key};
use sluice_openflow::action::FlowFlags;
use sluice_openflow::message::FragMode;
use sluice_openflow::message::{GroupMod, MeterMod, TlvTableMod};
use sluice_openflow::{Action, FlowMod, FlowModCommand, Match, PortNo, Version};
use sluice_ovsdb_bridge::{Bridge, Controller, ControllerTarget, FailMode};

use super::Switch;

/// Last table that controllers see.
const LAST_TABLE: u8 = 253;

impl Switch {
    /// Applies one flow-mod.
    pub fn flow_mod(&mut self, bridge: BridgeIdx, fm: &FlowMod, version: Version, now_ms: u64) -> Result<(), OfError> {
        let applied = self.rules.apply(bridge, fm, version, now_ms)?;
        self.take_applied(applied);
        Ok(())
    }

    /// Applies one group-mod.
    pub fn group_mod(&mut self, bridge: BridgeIdx, gm: &GroupMod, now_ms: u64) -> Result<(), OfError> {
        let applied = self.rules.apply_group(bridge, gm, now_ms)?;
        self.take_applied(applied);
        Ok(())
    }

    /// Maps tunnel options to `tun_metadata` fields, or no longer.
    pub fn map_options(&mut self, bridge: BridgeIdx, tm: &TlvTableMod) -> Result<(), OfError> {
        let changes = self.rules.map_options(bridge, tm)?;
        self.publisher.submit(changes);
        Ok(())
    }

    /// Applies one meter-mod.
    pub fn meter_mod(&mut self, bridge: BridgeIdx, mm: &MeterMod, now_ms: u64) -> Result<(), OfError> {
        let applied = self.rules.apply_meter(bridge, mm, now_ms)?;
        self.take_applied(applied);
        Ok(())
    }

    /// Applies changes of rules and groups in order, all or none, visible together.
    pub fn bundle<'a>(&mut self, bridge: BridgeIdx, mods: impl IntoIterator<Item = Mod<'a>>, version: Version, now_ms: u64) -> Result<(), BundleError> {
        let applied = self.rules.commit_mods(bridge, mods, version, now_ms)?;
        self.take_applied(applied);
        Ok(())
    }

    /// Adds or refreshes what a packet taught.
    pub fn learn(&mut self, bridge: BridgeIdx, learn: &sluice_flow::action::Learn, key: &Key, now_ms: u64) {
        let applied = self.rules.learn(bridge, learn, key, now_ms);
        self.take_applied(applied);
    }

    /// Removes what has timed out. Counts should be fresh.
    pub fn expire(&mut self, now_ms: u64) {
        let applied = self.rules.expire(now_ms);
        if !applied.changes.is_empty() {
            self.take_applied(applied);
        }
    }

    /// Sets what happens to packets that no rule of a table (of every table for `None`) matches.
    pub fn set_miss(&mut self, bridge: BridgeIdx, table: Option<u8>, miss: Miss) {
        let tables = table.map_or(0..=LAST_TABLE, |t| t..=t);
        if let Some(bridge) = self.bridge_mut(bridge) {
            bridge.misses.extend(tables.clone().map(|table| (table, miss)));
        }
        let changes: Vec<Change> = tables.map(|table| Change::SetMiss { bridge, table, miss }).collect();
        self.publisher.submit(changes);
    }

    /// Sets what becomes of the pieces of IP packets.
    pub fn set_fragments(&mut self, bridge: BridgeIdx, mode: FragMode) {
        let to = match mode {
            FragMode::Drop => Fragments::Dropped,
            FragMode::NxMatch => Fragments::FirstShows,
            FragMode::Normal | FragMode::Reassemble => Fragments::Alike,
        };
        self.publisher.submit([Change::SetFragments { bridge, to }]);
    }

    /// Whether a claim to a role is older than one that was granted.
    pub fn is_stale(&self, bridge: BridgeIdx, generation: u64) -> bool {
        let granted = self.bridge(bridge).and_then(|b| b.generation);
        granted.is_some_and(|g| (generation.wrapping_sub(g) as i64) < 0)
    }

    /// Remembers the newest granted claim.
    pub fn set_generation(&mut self, bridge: BridgeIdx, generation: u64) {
        if let Some(bridge) = self.bridge_mut(bridge) {
            bridge.generation = Some(generation);
        }
    }

    /// The newest granted claim.
    pub fn generation(&self, bridge: BridgeIdx) -> Option<u64> {
        self.bridge(bridge)?.generation
    }

    pub(super) fn take_applied(&mut self, mut applied: Applied) {
        self.note_changes(&mut applied);
        self.publisher.submit(applied.changes);
        let epoch = self.publisher.target_epoch();
        self.retiring.add(epoch, applied.removed);
        self.watch_vacancy();
    }

    /// A bridge that nobody controls behaves like a learning switch, unless it shall not.
    pub(super) fn set_default_rule(&mut self, index: BridgeIdx, wanted: bool, now_ms: u64) {
        let command = if wanted { FlowModCommand::Add } else { FlowModCommand::DeleteStrict };
        // It has neither ports nor groups to refuse.
        let _ = self.flow_mod(index, &normal_rule(command), Version::V13, now_ms);
    }
}

/// Whether a bridge is to be a learning switch as long as no rule says otherwise.
pub(super) fn is_on_its_own(wanted: &Bridge) -> bool {
    use ControllerTarget as T;
    let leads = |c: &Controller| !c.service && matches!(c.target, T::Tcp(_) | T::Ssl(_) | T::Unix(_));
    wanted.fail_mode == FailMode::Standalone && !wanted.controllers.iter().any(leads)
}

fn normal_rule(command: FlowModCommand) -> FlowMod {
    FlowMod {
        command,
        table: Some(0),
        priority: 0,
        matching: Match::ANY,
        cookie: 0,
        cookie_mask: 0,
        new_cookie: Some(0),
        idle_timeout: 0,
        hard_timeout: 0,
        importance: 0,
        buffer_id: u32::MAX,
        out_port: PortNo::NONE,
        out_group: u32::MAX,
        flags: FlowFlags::default(),
        actions: vec![Action::Output { port: PortNo::NORMAL, max_len: 0 }],
    }
}
