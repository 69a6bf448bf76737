//! The meters of every bridge, with OpenFlow's semantics.
//!
//! Invariant: a refused meter-mod changes nothing; each definition of a meter has a serial of its
//! own; its place in the workers is given out again only with another serial.
//! Deliberately does not know: messages, token buckets.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use sluice_flow::hash::FoldBuild;
use sluice_flow::meter::{Band, Exceeded, Meter, CONTROLLER, SLOWPATH};
use sluice_flow::{BridgeIdx, Change};
use sluice_openflow::message::{
    MeterBand, MeterBandKind, MeterCommand, MeterConfig, MeterFeatures, MeterMod, MeterStats,
};
use sluice_openflow::OfpError;

use super::entry::RemovedReason;
use super::transaction::Transaction;
use super::users::Reference;
use super::{Applied, RuleSet};
use crate::error::OfError;

/// Highest meter number, but for the reserved ones.
const METER_MAX: u32 = 0xffff_0000;
/// All meters, in requests.
pub const METER_ALL: u32 = 0xffff_ffff;
/// Most meters of a bridge.
const METERS: u32 = 262_144;
/// Most bands of a meter.
const BANDS: u8 = 8;

const KBPS: u16 = 1;
const PKTPS: u16 = 2;
const BURST: u16 = 4;
const STATS: u16 = 8;

/// What meters there can be.
pub const METER_FEATURES: MeterFeatures = MeterFeatures {
    max_meters: METERS,
    band_types: 1 << 1 | 1 << 2,
    capabilities: (KBPS | PKTPS | BURST | STATS) as u32,
    max_bands: BANDS,
    max_color: 0,
};

#[derive(Debug)]
struct MeterEntry {
    config: MeterConfig,
    created: u64,
    packets: u64,
    bytes: u64,
    bands: Vec<(u64, u64)>,
    compiled: Arc<Meter>,
}

/// Meters of all bridges.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    all: BTreeMap<(BridgeIdx, u32), MeterEntry>,
    by_serial: HashMap<u32, (BridgeIdx, u32), FoldBuild>,
    last_serial: u32,
    free_places: BTreeSet<u32>,
    places: u32,
}

impl Meters {
    pub fn contains(&self, bridge: BridgeIdx, id: u32) -> bool {
        self.all.contains_key(&(bridge, id))
    }

    /// By number, the controllers' before the slow path's.
    fn of(&self, bridge: BridgeIdx) -> impl Iterator<Item = (u32, &MeterEntry)> {
        let ids = |from, to| self.all.range((bridge, from)..=(bridge, to)).map(|((_, id), m)| (*id, m));
        ids(0, METER_MAX).chain(ids(CONTROLLER, u32::MAX)).chain(ids(METER_MAX + 1, SLOWPATH))
    }

    fn next_serial(&mut self) -> u32 {
        loop {
            self.last_serial = self.last_serial.wrapping_add(1).max(1);
            if !self.by_serial.contains_key(&self.last_serial) {
                return self.last_serial;
            }
        }
    }

    fn next_place(&mut self) -> u32 {
        self.free_places.pop_first().unwrap_or_else(|| {
            self.places += 1;
            self.places - 1
        })
    }

    fn define(&mut self, at: (BridgeIdx, u32), config: &MeterConfig, now: u64) -> Arc<Meter> {
        let old = self.all.remove(&at);
        if let Some(old) = &old {
            self.by_serial.remove(&old.compiled.serial);
        }
        let place = old.as_ref().map_or_else(|| self.next_place(), |old| old.compiled.place);
        let compiled = Arc::new(Meter {
            serial: self.next_serial(),
            place,
            by_packets: config.flags & PKTPS != 0,
            bands: config.bands.iter().map(|b| band(config.flags, b)).collect(),
        });
        self.by_serial.insert(compiled.serial, at);
        let entry = MeterEntry {
            config: config.clone(),
            created: old.map_or(now, |old| old.created),
            packets: 0,
            bytes: 0,
            bands: vec![(0, 0); config.bands.len()],
            compiled: compiled.clone(),
        };
        self.all.insert(at, entry);
        compiled
    }

    fn remove(&mut self, at: (BridgeIdx, u32)) {
        if let Some(old) = self.all.remove(&at) {
            self.by_serial.remove(&old.compiled.serial);
            self.free_places.insert(old.compiled.place);
        }
    }
}

/// The longest frame, in kilobits: a segment that is cut only behind the switch.
const LONGEST_FRAME: u32 = 65_549 * 8 / 1000 + 1;

/// The burst of a band that names none: a tenth of a second's worth, because a whole second's, as Open vSwitch
/// takes it, is a fifth of what a measurement of five seconds sees. But a bucket that holds no whole frame would
/// never let one pass, so it holds one unless that is more than a second's worth.
fn own_burst(flags: u16, rate: u32) -> u32 {
    let least = if flags & PKTPS != 0 { 1 } else { LONGEST_FRAME };
    (rate / 10).max(least.min(rate))
}

fn band(flags: u16, b: &MeterBand) -> Band {
    let burst = if flags & BURST != 0 && b.burst_size != 0 { b.burst_size } else { own_burst(flags, b.rate) };
    let exceeded = match b.kind {
        MeterBandKind::Drop => Exceeded::Drop,
        MeterBandKind::DscpRemark(by) => Exceeded::Remark(by),
    };
    Band { rate: b.rate, burst, exceeded }
}

impl RuleSet {
    /// Applies one meter-mod. Rules that use a meter that goes, go with it.
    pub fn apply_meter(&mut self, bridge: BridgeIdx, mm: &MeterMod, now: u64) -> Result<Applied, OfError> {
        self.grow(bridge);
        let id = mm.config.id;
        let there = self.meters.contains(bridge, id);
        match mm.command {
            MeterCommand::Delete => Ok(self.delete_meters(bridge, id, now)),
            MeterCommand::Add if there => refuse(OfpError::OFPMMFC_METER_EXISTS, id, "exists already"),
            MeterCommand::Modify if !there => refuse(OfpError::OFPMMFC_UNKNOWN_METER, id, "does not exist"),
            MeterCommand::Add | MeterCommand::Modify => {
                check(&mm.config)?;
                if !there && self.meters.of(bridge).count() >= METERS as usize {
                    return refuse(OfpError::OFPMMFC_OUT_OF_METERS, id, "is one too many");
                }
                let to = Some(self.meters.define((bridge, id), &mm.config, now));
                Ok(Applied { changes: vec![Change::SetMeter { bridge, id, to }], ..Applied::default() })
            }
        }
    }

    /// Removes a meter of a bridge ([`METER_ALL`]: all), and the rules that use it.
    pub fn delete_meters(&mut self, bridge: BridgeIdx, wanted: u32, now: u64) -> Applied {
        let ids: Vec<u32> = match wanted {
            METER_ALL => self.meters.of(bridge).map(|(id, _)| id).collect(),
            id if self.meters.contains(bridge, id) => vec![id],
            _ => Vec::new(),
        };
        let mut t = Transaction::new(self, bridge, now);
        for id in &ids {
            let users: Vec<_> = t.rules.users.of(bridge, Reference::Meter(*id)).collect();
            users.into_iter().for_each(|rule| t.remove(rule, RemovedReason::MeterDelete));
            t.changes.push(Change::SetMeter { bridge, id: *id, to: None });
        }
        let applied = t.finish();
        ids.into_iter().for_each(|id| self.meters.remove((bridge, id)));
        applied
    }

    /// A bridge's meters as they were given, by number; `None` when the one that is wanted does not exist.
    pub fn meter_configs(&self, bridge: BridgeIdx, wanted: u32) -> Option<Vec<MeterConfig>> {
        self.wanted_meters(bridge, wanted).map(|all| all.into_iter().map(|(_, m)| m.config.clone()).collect())
    }

    /// A bridge's meters with their counts, by number; `None` when the one that is wanted does not exist.
    pub fn meter_stats(&self, bridge: BridgeIdx, wanted: u32, now: u64) -> Option<Vec<MeterStats>> {
        let stats = |(id, m): (u32, &MeterEntry)| {
            let age = now.saturating_sub(m.created);
            MeterStats {
                id,
                flow_count: self.users.of(bridge, Reference::Meter(id)).count() as u32,
                packets: m.packets,
                bytes: m.bytes,
                duration_sec: u32::try_from(age / 1000).unwrap_or(u32::MAX),
                duration_nsec: (age % 1000) as u32 * 1_000_000,
                bands: m.bands.clone(),
            }
        };
        self.wanted_meters(bridge, wanted).map(|all| all.into_iter().map(stats).collect())
    }

    fn wanted_meters(&self, bridge: BridgeIdx, wanted: u32) -> Option<Vec<(u32, &MeterEntry)>> {
        match wanted {
            METER_ALL => Some(self.meters.of(bridge).collect()),
            id => self.meters.all.get(&(bridge, id)).map(|m| vec![(id, m)]),
        }
    }

    /// Adds what workers counted for a definition of a meter.
    pub fn fold_meter(&mut self, serial: u32, packets: u64, bytes: u64, bands: &[(u64, u64)]) {
        let Some(at) = self.meters.by_serial.get(&serial) else { return };
        let Some(m) = self.meters.all.get_mut(at) else { return };
        m.packets = m.packets.saturating_add(packets);
        m.bytes = m.bytes.saturating_add(bytes);
        for (b, used) in m.bands.iter_mut().zip(bands) {
            *b = (b.0.saturating_add(used.0), b.1.saturating_add(used.1));
        }
    }
}

fn check(config: &MeterConfig) -> Result<(), OfError> {
    let reserved = [CONTROLLER, SLOWPATH].contains(&config.id);
    if config.id == 0 || config.id > METER_MAX && !reserved {
        return refuse(OfpError::OFPMMFC_INVALID_METER, config.id, "is not a number for a meter").map(|_| ());
    }
    if config.bands.len() > usize::from(BANDS) {
        return refuse(OfpError::OFPMMFC_OUT_OF_BANDS, config.id, "has too many bands").map(|_| ());
    }
    Ok(())
}

fn refuse(code: OfpError, id: u32, why: &str) -> Result<Applied, OfError> {
    Err(OfError::new(code, format!("meter {id} {why}")))
}
