//! Which tunnel options a bridge maps to `tun_metadata` fields.
//!
//! Invariant: a mapping that a rule uses stays, and with it the place of the option in the flow key; what groups do
//! with an option whose mapping goes, they no longer do.
//! Deliberately does not know: messages of a tunnel, frames.

use std::sync::Arc;

use sluice_flow::options::{MapError, OptionMap};
use sluice_flow::{BridgeIdx, Change};
use sluice_openflow::bind::options_in;
use sluice_openflow::message::{TlvMap, TlvTableCommand, TlvTableMod};
use sluice_openflow::OfpError;

use super::entry::Entry;
use super::RuleSet;
use crate::error::OfError;

/// The mappings of every bridge.
#[derive(Debug, Default)]
pub(crate) struct Options {
    maps: Vec<Arc<OptionMap>>,
    none: Arc<OptionMap>,
}

impl RuleSet {
    /// The mappings of a bridge.
    pub fn options(&self, bridge: BridgeIdx) -> &Arc<OptionMap> {
        self.options.maps.get(usize::from(bridge)).unwrap_or(&self.options.none)
    }

    /// The mappings of a bridge as messages have them, by rising number.
    pub fn describe_options(&self, bridge: BridgeIdx) -> Vec<TlvMap> {
        let map = |(n, m): (u8, &sluice_flow::options::Mapped)| TlvMap { class: m.class, kind: m.kind, len: m.len, index: n.into() };
        self.options(bridge).iter().map(map).collect()
    }

    /// Adds or removes mappings, all or none. What the program must do comes back.
    pub fn map_options(&mut self, bridge: BridgeIdx, asked: &TlvTableMod) -> Result<Vec<Change>, OfError> {
        let mut map = OptionMap::clone(self.options(bridge));
        let gone = match asked.command {
            TlvTableCommand::Add => {
                asked.maps.iter().try_for_each(|m| add(&mut map, m))?;
                0
            }
            TlvTableCommand::Delete => asked.maps.iter().filter_map(number).fold(0, |all, n| {
                map.remove(n);
                all | 1u64 << n
            }),
            TlvTableCommand::Clear => {
                map = OptionMap::new();
                u64::MAX
            }
        };
        let used = if gone == 0 { 0 } else { self.used_options(bridge) & gone };
        if used != 0 {
            let what = format!("a rule uses tun_metadata{}", used.trailing_zeros());
            return Err(OfError::new(OfpError::NXTTMFC_INVALID_TLV_DEL, what));
        }
        let maps = &mut self.options.maps;
        maps.resize_with(maps.len().max(usize::from(bridge) + 1), Arc::default);
        if let Some(place) = maps.get_mut(usize::from(bridge)) {
            *place = Arc::new(map);
        }
        Ok(self.recompile_groups(bridge, gone))
    }

    /// The options that rules of a bridge match or use in actions, one bit each.
    fn used_options(&self, bridge: BridgeIdx) -> u64 {
        self.entries.iter().flatten().filter(|e| e.bridge == bridge && !e.gone).fold(0, |all, e| all | options_of(e))
    }
}

fn options_of(e: &Entry) -> u64 {
    let present = sluice_flow::key::slot::TUN_OPTIONS_PRESENT.word;
    let matched = e.rule.matching.mask.words.iter().find(|(w, _)| *w == present).map_or(0, |(_, bits)| *bits);
    matched | options_in(&e.actions)
}

fn number(m: &TlvMap) -> Option<u8> {
    u8::try_from(m.index).ok().filter(|n| *n < sluice_flow::key::TUN_OPTIONS)
}

fn add(map: &mut OptionMap, m: &TlvMap) -> Result<(), OfError> {
    let refuse = |code, why: &str| Err(OfError::new(code, format!("tun_metadata{} {why}", m.index)));
    let Some(n) = number(m) else { return refuse(OfpError::NXTTMFC_BAD_FIELD_IDX, "is not the name of a field") };
    match map.add(n, m.class, m.kind, m.len) {
        Ok(()) => Ok(()),
        Err(MapError::AlreadyMapped) => refuse(OfpError::NXTTMFC_ALREADY_MAPPED, "has a mapping"),
        Err(MapError::Duplicate) => refuse(OfpError::NXTTMFC_DUP_ENTRY, "would be the second name of an option"),
        Err(MapError::Full) => refuse(OfpError::NXTTMFC_TABLE_FULL, "finds too little room: 256 bytes are for all"),
    }
}
