//! Split rings: a table of descriptors, a ring of available and a ring of used ones.
//!
//! Invariant: see [`super::Ring`]; the used index is written after everything it covers.
//! Deliberately does not know: what is in the buffers.

use std::collections::VecDeque;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;

use super::event::passed;
use super::shared::{self, fence};
use super::{Base, Batch, Broken, Chain, Desc, Ring, RingSpec, Stop, CHAIN_MAX, INDIRECT, NEXT};
use crate::vhost::inflight::InflightSplit;
use crate::vhost::prefetch::{self, LINE};
use crate::vhost::space::Space;

/// Bytes of a descriptor.
pub(crate) const DESC: usize = 16;
/// In `avail.flags`: do not interrupt.
const NO_INTERRUPT: u16 = 1;
/// In `used.flags`: do not kick.
const NO_NOTIFY: u16 = 1;

/// Bytes of the available ring of `size` entries.
pub(crate) fn available_len(size: u16) -> u64 {
    6 + 2 * u64::from(size)
}

/// Bytes of the used ring of `size` entries.
pub(crate) fn used_len(size: u16) -> u64 {
    6 + 8 * u64::from(size)
}

/// A split ring.
#[derive(Debug)]
pub(crate) struct SplitRing {
    spec: RingSpec,
    mask: u16,
    /// Next entry of the available ring.
    next: u16,
    /// Next entry of the used ring.
    used: u16,
    /// The used index as the guest sees it.
    published: u16,
    /// The used index when the guest was last told; none before the first time.
    told: Option<u16>,
    inflight: Option<InflightSplit>,
    /// Chains that were in flight when the switch died: given back before any other.
    again: VecDeque<u16>,
}

impl SplitRing {
    /// A ring of a power of two of entries.
    pub(crate) fn new(spec: RingSpec, inflight: Option<InflightSplit>) -> Result<SplitRing, Broken> {
        if !matches!(spec.base, Base::Split { .. }) {
            return Err(Broken::BadState);
        }
        if !spec.size.is_power_of_two() {
            return Err(Broken::BadState);
        }
        let mask = spec.size - 1;
        let mut ring = SplitRing {
            mask,
            next: 0,
            used: 0,
            published: 0,
            told: None,
            spec,
            inflight: None,
            again: VecDeque::new(),
        };
        // Chains are given back in their order and at once, so what the guest's memory shows as used is
        // where to go on, whatever the front remembers of it.
        ring.used = ring.word(ring.spec.device, 1, Ordering::Acquire);
        ring.published = ring.used;
        ring.next = ring.used;
        if let Some(mut inflight) = inflight {
            ring.again = inflight.recover(ring.used, ring.spec.size);
            if !ring.again.is_empty() {
                ring.next = ring.used.wrapping_add(ring.again.len() as u16);
            }
            ring.inflight = Some(inflight);
        }
        ring.disarm();
        Ok(ring)
    }

    /// Reads the `n`th 16-bit word of a part of the ring.
    #[inline(always)]
    fn word(&self, part: NonNull<u8>, n: usize, order: Ordering) -> u16 {
        // SAFETY: callers stay inside of the part, which was checked to be mapped whole and aligned.
        unsafe { shared::load(part.add(2 * n), order) }
    }

    /// Writes the `n`th 16-bit word of the part that is ours.
    #[inline(always)]
    fn say(&self, n: usize, value: u16, order: Ordering) {
        // SAFETY: as above.
        unsafe { shared::store(self.spec.device.add(2 * n), value, order) }
    }

    /// Entries made available and not taken.
    #[inline]
    fn waiting(&self) -> Result<u16, Broken> {
        let n = self.word(self.spec.driver, 1, Ordering::Acquire).wrapping_sub(self.next);
        if n > self.spec.size { Err(Broken::Overrun) } else { Ok(n) }
    }

    #[inline(always)]
    fn entry(&self, at: u16) -> u16 {
        self.word(self.spec.driver, 2 + usize::from(at & self.mask), Ordering::Relaxed)
    }

    /// Reads a chain into the batch; nothing is left of it on error.
    #[inline]
    fn collect(&self, head: u16, slots: u16, space: &mut Space, batch: &mut Batch) -> Result<(), Stop> {
        let first = batch.descs.len();
        let result = self.follow(head, first, space, batch);
        match result {
            Ok(()) => batch.close(first, head, slots, space),
            Err(_) => batch.descs.truncate(first),
        }
        result
    }

    #[inline]
    fn follow(&self, head: u16, first: usize, space: &mut Space, batch: &mut Batch) -> Result<(), Stop> {
        let limit = CHAIN_MAX.min(usize::from(self.spec.size));
        let mut at = head;
        loop {
            if at >= self.spec.size {
                return Err(Broken::BadIndex.into());
            }
            let (desc, next) = read(self.spec.desc, usize::from(at));
            if desc.flags & INDIRECT != 0 {
                return self.follow_table(desc, first, space, batch);
            }
            if batch.descs.len() - first >= limit {
                return Err(Broken::LongChain.into());
            }
            batch.descs.push(desc);
            if desc.flags & NEXT == 0 {
                return Ok(());
            }
            at = next;
        }
    }

    #[inline(never)]
    fn follow_table(&self, table: Desc, first: usize, space: &mut Space, batch: &mut Batch) -> Result<(), Stop> {
        let count = table.len as usize / DESC;
        if !self.spec.indirect || table.flags & NEXT != 0 || table.len as usize % DESC != 0 || count == 0 {
            return Err(Broken::BadTable.into());
        }
        let host = space.whole(table.address, table.len, false)?;
        let mut at = 0;
        for _ in 0..count {
            if batch.descs.len() - first >= CHAIN_MAX {
                return Err(Broken::LongChain.into());
            }
            if at >= count {
                return Err(Broken::BadIndex.into());
            }
            let (desc, next) = read(host, at);
            if desc.flags & INDIRECT != 0 {
                return Err(Broken::BadTable.into());
            }
            batch.descs.push(desc);
            if desc.flags & NEXT == 0 {
                return Ok(());
            }
            at = usize::from(next);
        }
        Err(Broken::LongChain.into())
    }

    /// Asks for the lines of the next `n` used entries, which the guest read last.
    #[inline]
    fn own_used(&self, n: u16) {
        for ahead in (0..n).step_by(LINE / 8) {
            prefetch::to_write(self.spec.device, 4 + 8 * usize::from(self.used.wrapping_add(ahead) & self.mask));
        }
    }

    fn log_used(&self, offset: u64, len: u64) {
        if let Some((log, guest)) = &self.spec.log {
            log.mark(guest + offset, len);
        }
    }
}

/// Reads the `n`th descriptor of a table, once, and the number of the one that follows.
#[inline(always)]
fn read(table: NonNull<u8>, n: usize) -> (Desc, u16) {
    // SAFETY: callers checked that the table has more than `n` descriptors.
    let (address, len, flags, next) = unsafe { shared::take_desc(table.add(DESC * n)) };
    (Desc { address, len, flags }, next)
}

impl Ring for SplitRing {
    #[inline]
    fn fetch(&mut self, space: &mut Space, batch: &mut Batch, want: usize) -> Result<(), Stop> {
        batch.clear();
        for i in 0..self.again.len().min(want) {
            let Some(&head) = self.again.get(i) else { break };
            match self.collect(head, 0, space, batch) {
                Err(stop) if batch.chains.is_empty() => return Err(stop),
                Err(_) => return Ok(()),
                Ok(()) if batch.is_full() => return Ok(()),
                Ok(()) => {}
            }
        }
        if !self.again.is_empty() {
            return Ok(());
        }
        let n = usize::from(self.waiting()?).min(want) as u16;
        self.own_used(n);
        for i in 0..n {
            match self.collect(self.entry(self.next.wrapping_add(i)), 1, space, batch) {
                Err(stop) if batch.chains.is_empty() => return Err(stop),
                Err(_) => break,
                Ok(()) if batch.is_full() => break,
                Ok(()) => {}
            }
        }
        Ok(())
    }

    #[inline]
    fn complete(&mut self, chain: &Chain, written: u32) {
        if let Some(inflight) = &mut self.inflight {
            inflight.mark(chain.id);
        }
        let slot = usize::from(self.used & self.mask);
        // SAFETY: `slot` is inside of the used ring, whose elements lie 4 bytes behind its start.
        unsafe { shared::store_element(self.spec.device.add(4 + 8 * slot), u32::from(chain.id), written) };
        self.log_used(4 + 8 * slot as u64, 8);
        self.used = self.used.wrapping_add(1);
        if chain.slots == 0 {
            self.again.pop_front();
        }
        self.next = self.next.wrapping_add(chain.slots);
    }

    #[inline]
    fn publish(&mut self) {
        if self.published == self.used {
            return;
        }
        self.say(1, self.used, Ordering::Release);
        self.log_used(2, 2);
        if let Some(inflight) = &mut self.inflight {
            inflight.settle(self.used);
        }
        self.published = self.used;
    }

    #[inline]
    fn wants_call(&mut self) -> bool {
        let new = self.published;
        if self.told == Some(new) {
            return false;
        }
        // What was published must be seen before we ask whether anyone waits for it.
        fence(Ordering::SeqCst);
        let old = self.told.replace(new);
        if !self.spec.event_index {
            return self.word(self.spec.driver, 0, Ordering::Relaxed) & NO_INTERRUPT == 0;
        }
        let event = self.word(self.spec.driver, 2 + usize::from(self.spec.size), Ordering::Relaxed);
        old.is_none_or(|old| passed(event, new, old))
    }

    fn arm(&mut self) -> bool {
        if self.spec.event_index {
            let at = 2 + 4 * usize::from(self.spec.size);
            self.say(at, self.next, Ordering::Relaxed);
            self.log_used(2 * at as u64, 2);
        } else {
            self.say(0, 0, Ordering::Relaxed);
            self.log_used(0, 2);
        }
        // The guest either sees the wish or has made available what is seen here.
        fence(Ordering::SeqCst);
        self.again.is_empty() && self.waiting() == Ok(0)
    }

    fn disarm(&mut self) {
        // With the event index, an index that was passed long ago is silence enough.
        if !self.spec.event_index {
            self.say(0, NO_NOTIFY, Ordering::Relaxed);
            self.log_used(0, 2);
        }
    }

    fn base(&self) -> Base {
        Base::Split { available: self.next, used: self.used }
    }
}
