//! From what the front said of a ring to a queue that can be used.
//!
//! Invariant: all parts of a ring lie in the guest's memory whole and aligned, or there is no queue.
//! Deliberately does not know: when queues are handed out.

use std::ptr::NonNull;
use std::sync::Arc;

use super::super::dirty::DirtyLog;
use super::super::protocol::{feature, RingAddresses};
use super::super::queue::{AnyRing, Queue};
use super::super::record::{LONG, SHORT};
use super::super::ring::event::Place;
use super::super::ring::packed::PackedRing;
use super::super::ring::split::{available_len, used_len, SplitRing};
use super::super::ring::{Base, Broken, RingSpec, Stop};
use super::super::space::{Fault, Space};
use super::super::transfer::Transfer;
use super::{Device, RingState};

/// Why a ring is not used.
pub(super) enum Unready {
    /// The front has not said all of it yet.
    Incomplete,
    /// A translation is missing.
    Miss(u64, bool),
    /// What it said is wrong.
    Bad(String),
}

impl From<Stop> for Unready {
    fn from(stop: Stop) -> Unready {
        match stop {
            Stop::Broken(b) => Unready::Bad(b.to_string()),
            Stop::Miss { address, write } => Unready::Miss(address, write),
        }
    }
}

impl Device {
    pub(super) fn make_queue(&mut self, index: usize) -> Result<Queue, Unready> {
        let packed = self.has(feature::PACKED);
        let iotlb = self.has(feature::IOMMU).then(|| Arc::new(self.iotlb.clone()));
        let Some(ring) = self.rings.get(index) else { return Err(Unready::Incomplete) };
        let at = ring.at.filter(|_| ring.started && ring.enabled && ring.size > 0).ok_or(Unready::Incomplete)?;
        let mut space = Space::new(self.memory.clone(), iotlb);
        let spec = self.ring_spec(ring, at, packed, &mut space)?;
        let (size, call, has_kick) = (ring.size, ring.call.clone(), ring.kick.is_some());
        let broken = |b: Broken| Unready::Bad(b.to_string());
        let inflight = self.inflight.as_ref();
        let ring = if packed {
            AnyRing::Packed(PackedRing::new(spec, inflight.and_then(|m| m.packed(index, size))).map_err(broken)?)
        } else {
            AnyRing::Split(SplitRing::new(spec, inflight.and_then(|m| m.split(index, size))).map_err(broken)?)
        };
        let mergeable = self.has(feature::MRG_RXBUF);
        let header = if mergeable || self.has(feature::VERSION_1) { LONG } else { SHORT };
        let may = self.undone([feature::CSUM, feature::HOST_TSO4, feature::HOST_TSO6, feature::HOST_USO, feature::HOST_ECN]);
        let transfer = Transfer::new(space, header, mergeable, may, self.has(feature::GUEST_CSUM), self.active_log());
        Ok(Queue::new(index, ring, transfer, call, has_kick))
    }

    fn active_log(&self) -> Option<Arc<DirtyLog>> {
        self.log.clone().filter(|_| self.has(feature::LOG_ALL))
    }

    fn ring_spec(&self, ring: &RingState, at: RingAddresses, packed: bool, space: &mut Space) -> Result<RingSpec, Unready> {
        let size = u64::from(ring.size);
        let (driver_len, device_len) = if packed { (4, 4) } else { (available_len(ring.size), used_len(ring.size)) };
        let mut part = |address: u64, len: u64, align: u64, write: bool| -> Result<NonNull<u8>, Unready> {
            if address % align != 0 {
                return Err(Unready::Bad(format!("address {address:#x} is not aligned")));
            }
            self.part(address, len, write, space)
        };
        let driver = part(at.driver, driver_len, if packed { 4 } else { 2 }, false)?;
        let device = part(at.device, device_len, 4, true)?;
        let desc = part(at.desc, 16 * size, 16, packed)?;
        let base = if packed {
            let place = Place::from_word(ring.base as u16);
            Base::Packed { available: place, used: place }
        } else {
            Base::Split { available: ring.base as u16, used: ring.base as u16 }
        };
        let log = self.active_log().zip(at.log);
        Ok(RingSpec {
            size: ring.size,
            desc,
            driver,
            device,
            event_index: self.has(feature::EVENT_INDEX),
            indirect: self.has(feature::INDIRECT),
            base,
            log,
        })
    }

    /// A part of a ring, in addresses of the VMM or, with an IOMMU, of the device.
    fn part(&self, address: u64, len: u64, write: bool, space: &mut Space) -> Result<NonNull<u8>, Unready> {
        let outside = || Unready::Bad(format!("{len} bytes at {address:#x} are not in the guest's memory"));
        if !self.has(feature::IOMMU) {
            return self.memory.by_user(address).and_then(|w| w.find(address, len)).ok_or_else(outside);
        }
        let len = u32::try_from(len).map_err(|_| outside())?;
        match space.whole(address, len, write) {
            Ok(host) => Ok(host),
            Err(Fault::Miss { address, write }) => Err(Unready::Miss(address, write)),
            Err(Fault::Outside { .. }) => Err(outside()),
        }
    }
}
