//! Packed rings: one ring of descriptors that both sides mark.
//!
//! Invariant: see [`super::Ring`]; of everything that is published together, the first descriptor's
//! mark is written last.
//! Deliberately does not know: what is in the buffers.

use std::collections::VecDeque;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;

use super::event::{passed_packed, Place};
use super::shared::{self, fence};
use super::{Base, Batch, Broken, Chain, Desc, Ring, RingSpec, Stop, CHAIN_MAX, INDIRECT, NEXT, WRITE};
use crate::vhost::inflight::{InflightPacked, Saved};
use crate::vhost::prefetch::{self, LINE};
use crate::vhost::space::Space;

/// Bytes of a descriptor.
const DESC: usize = 16;
const AVAILABLE: u16 = 1 << 7;
const USED: u16 = 1 << 15;
/// Event suppression: always, never, at one descriptor.
const ENABLE: u16 = 0;
const DISABLE: u16 = 1;
const AT_DESC: u16 = 2;

/// A packed ring.
#[derive(Debug)]
pub(crate) struct PackedRing {
    spec: RingSpec,
    /// Next descriptor that may become available.
    next: Place,
    /// Where the next used one goes.
    used: Place,
    /// The first one that was given back and is not shown yet, with its flags.
    hidden: Option<(u16, u16)>,
    /// Where the guest was last told.
    told: Option<Place>,
    /// What was published last.
    published: Place,
    inflight: Option<InflightPacked>,
    /// Chains that were in flight when the switch died: given back before any other.
    again: VecDeque<Vec<Saved>>,
}

/// One entry of the ring, as it was read.
struct Entry {
    desc: Desc,
    id: u16,
}

impl PackedRing {
    /// A ring of any number of entries.
    pub(crate) fn new(spec: RingSpec, inflight: Option<InflightPacked>) -> Result<PackedRing, Broken> {
        let Base::Packed { available, used } = spec.base else { return Err(Broken::BadState) };
        if available.index >= spec.size || used.index >= spec.size {
            return Err(Broken::BadState);
        }
        let mut ring =
            PackedRing { spec, next: available, used, hidden: None, told: None, published: used, inflight: None, again: VecDeque::new() };
        if let Some(mut inflight) = inflight {
            if let Some((place, again)) = inflight.recover(used, &|index| ring.flags_of(index)) {
                (ring.next, ring.used, ring.published) = (place, place, place);
                for chain in &again {
                    ring.next = ring.next.after(chain.len() as u16, ring.spec.size);
                }
                ring.again = again;
            }
            ring.inflight = Some(inflight);
        }
        ring.disarm();
        Ok(ring)
    }

    /// Flags of a descriptor, for whoever checks the state of the ring.
    fn flags_of(&self, index: u16) -> u16 {
        if index < self.spec.size { self.flags(index, Ordering::Acquire) } else { 0 }
    }

    #[inline(always)]
    fn flags_at(&self, index: u16) -> NonNull<u8> {
        // SAFETY: `index` is below the ring's size, and all of the ring is mapped.
        unsafe { self.spec.desc.add(DESC * usize::from(index) + 14) }
    }

    #[inline(always)]
    fn flags(&self, index: u16, order: Ordering) -> u16 {
        // SAFETY: as above; rings are aligned.
        unsafe { shared::load(self.flags_at(index), order) }
    }

    #[inline(always)]
    fn show(&self, index: u16, flags: u16) {
        // SAFETY: as above.
        unsafe { shared::store(self.flags_at(index), flags, Ordering::Release) }
    }

    /// One of the two words by which the guest says when it wants to be told.
    #[inline(always)]
    fn wish(&self, n: usize) -> u16 {
        // SAFETY: event suppression is two words, mapped and aligned; `n` is 0 or 1.
        unsafe { shared::load(self.spec.driver.add(2 * n), Ordering::Relaxed) }
    }

    /// Says when we want to be told.
    #[inline(always)]
    fn say(&self, n: usize, value: u16, order: Ordering) {
        // SAFETY: as above.
        unsafe { shared::store(self.spec.device.add(2 * n), value, order) }
    }

    /// Asks for the lines of the next descriptors: each is read and then written.
    #[inline]
    fn own(&self, at: Place, want: u16) {
        for ahead in (0..want.min(self.spec.size)).step_by(LINE / DESC) {
            prefetch::to_write(self.spec.desc, DESC * usize::from(at.after(ahead, self.spec.size).index));
        }
    }

    /// Is the descriptor at a place available?
    #[inline(always)]
    fn is_available(&self, place: Place) -> Option<u16> {
        let flags = self.flags(place.index, Ordering::Acquire);
        let (available, used) = (flags & AVAILABLE != 0, flags & USED != 0);
        (available == place.wrap && used != place.wrap).then_some(flags)
    }

    #[inline]
    fn collect(&self, at: Place, flags: u16, space: &mut Space, batch: &mut Batch) -> Result<u16, Stop> {
        let first = batch.descs.len();
        let result = self.follow(at, flags, first, space, batch);
        match result {
            Ok((id, slots)) => batch.close(first, id, slots, space),
            Err(_) => batch.descs.truncate(first),
        }
        result.map(|(_, slots)| slots)
    }

    /// The chain's id and how many places it takes.
    #[inline]
    fn follow(&self, start: Place, flags: u16, first: usize, space: &mut Space, batch: &mut Batch) -> Result<(u16, u16), Stop> {
        let limit = CHAIN_MAX.min(usize::from(self.spec.size)) as u16;
        let (mut at, mut flags, mut slots) = (start, flags, 0);
        loop {
            if slots >= limit {
                return Err(Broken::LongChain.into());
            }
            let entry = read(self.spec.desc, usize::from(at.index), Some(flags));
            slots += 1;
            if flags & INDIRECT != 0 {
                self.follow_table(entry.desc, first, space, batch)?;
                return Ok((entry.id, slots));
            }
            batch.descs.push(entry.desc);
            if flags & NEXT == 0 {
                return Ok((entry.id, slots));
            }
            at = at.after(1, self.spec.size);
            flags = self.flags(at.index, Ordering::Relaxed);
        }
    }

    #[inline(never)]
    fn follow_table(&self, table: Desc, first: usize, space: &mut Space, batch: &mut Batch) -> Result<(), Stop> {
        let count = table.len as usize / DESC;
        if !self.spec.indirect || table.flags & NEXT != 0 || table.len as usize % DESC != 0 || count == 0 {
            return Err(Broken::BadTable.into());
        }
        if batch.descs.len() - first + count > CHAIN_MAX {
            return Err(Broken::LongChain.into());
        }
        let host = space.whole(table.address, table.len, false)?;
        for n in 0..count {
            let desc = read(host, n, None).desc;
            if desc.flags & INDIRECT != 0 {
                return Err(Broken::BadTable.into());
            }
            batch.descs.push(desc);
        }
        Ok(())
    }

    /// Reads a saved chain into the batch.
    fn collect_again(&self, saved: &[Saved], space: &mut Space, batch: &mut Batch) -> Result<(), Stop> {
        let first = batch.descs.len();
        let Some(last) = saved.last() else { return Err(Broken::BadState.into()) };
        for s in saved {
            let desc = Desc { address: s.address, len: s.len, flags: s.flags };
            if s.flags & INDIRECT != 0 {
                if let Err(e) = self.follow_table(desc, first, space, batch) {
                    batch.descs.truncate(first);
                    return Err(e);
                }
                break;
            }
            batch.descs.push(desc);
        }
        batch.close(first, last.id, 0, space);
        Ok(())
    }

    /// The places of the next chain to be given back, for the record.
    fn save(&self, slots: u16) -> Vec<Saved> {
        let mut at = self.used;
        let mut out = Vec::with_capacity(usize::from(slots));
        for _ in 0..slots {
            let flags = self.flags(at.index, Ordering::Relaxed);
            let e = read(self.spec.desc, usize::from(at.index), Some(flags));
            out.push(Saved { address: e.desc.address, len: e.desc.len, id: e.id, flags });
            at = at.after(1, self.spec.size);
        }
        out
    }

    /// Writes the next chain to be given back into the record.
    fn remember(&mut self, slots: u16, again: Option<Vec<Saved>>) {
        let saved = match (&self.inflight, again) {
            (None, _) => return,
            (_, Some(saved)) => saved,
            (_, None) => self.save(slots),
        };
        let end = self.used.after(slots, self.spec.size);
        if let Some(inflight) = &mut self.inflight {
            inflight.mark(saved.into_iter(), end);
        }
    }

    fn log(&self, guest_offset: u64, len: u64) {
        if let Some((log, guest)) = &self.spec.log {
            log.mark(guest + guest_offset, len);
        }
    }
}

/// Reads a descriptor once; its flags too, unless they were read already.
#[inline(always)]
fn read(table: NonNull<u8>, n: usize, flags: Option<u16>) -> Entry {
    // SAFETY: callers checked that the table has more than `n` descriptors.
    let (address, len, id, seen) = unsafe { shared::take_desc(table.add(DESC * n)) };
    Entry { desc: Desc { address, len, flags: flags.unwrap_or(seen) }, id }
}

impl Ring for PackedRing {
    #[inline]
    fn fetch(&mut self, space: &mut Space, batch: &mut Batch, want: usize) -> Result<(), Stop> {
        batch.clear();
        for saved in self.again.iter().take(want) {
            match self.collect_again(saved, space, batch) {
                Err(stop) if batch.chains.is_empty() => return Err(stop),
                Err(_) => return Ok(()),
                Ok(()) if batch.is_full() => return Ok(()),
                Ok(()) => {}
            }
        }
        if !self.again.is_empty() {
            return Ok(());
        }
        let (mut at, mut slots) = (self.next, 0);
        if want > 1 && self.is_available(at).is_some() {
            self.own(at, want as u16);
        }
        while batch.chains.len() < want && !batch.is_full() {
            let Some(flags) = self.is_available(at) else { break };
            match self.collect(at, flags, space, batch) {
                Ok(n) => {
                    // More than a ring cannot be available: the same descriptors would come again.
                    slots += u32::from(n);
                    if slots > u32::from(self.spec.size) {
                        batch.chains.pop();
                        break;
                    }
                    at = at.after(n, self.spec.size);
                }
                Err(stop) if batch.chains.is_empty() => return Err(stop),
                Err(_) => break,
            }
        }
        Ok(())
    }

    #[inline]
    fn complete(&mut self, chain: &Chain, written: u32) {
        // A chain that was in flight takes as many places as it did then, which were passed already.
        let again = if chain.slots == 0 { self.again.pop_front() } else { None };
        let slots = again.as_ref().map_or(chain.slots, |a| a.len() as u16);
        if self.inflight.is_some() {
            self.remember(slots, again);
        }
        let wrap = if self.used.wrap { AVAILABLE | USED } else { 0 };
        let flags = wrap | if written > 0 { WRITE } else { 0 };
        let index = self.used.index;
        // SAFETY: `index` is below the ring's size.
        unsafe { shared::store_len_id(self.spec.desc.add(DESC * usize::from(index)), written, chain.id) };
        match self.hidden {
            None => self.hidden = Some((index, flags)),
            Some(_) => self.show(index, flags),
        }
        self.log(DESC as u64 * u64::from(index), DESC as u64);
        self.used = self.used.after(slots, self.spec.size);
        self.next = self.next.after(chain.slots, self.spec.size);
    }

    #[inline]
    fn publish(&mut self) {
        if let Some((index, flags)) = self.hidden.take() {
            self.show(index, flags);
            if let Some(inflight) = &mut self.inflight {
                inflight.settle(self.used);
            }
            self.published = self.used;
        }
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
        match self.wish(1) & 3 {
            DISABLE => false,
            AT_DESC if self.spec.event_index => {
                let event = Place::from_word(self.wish(0));
                old.is_none_or(|old| passed_packed(event, new, old, self.spec.size))
            }
            _ => true,
        }
    }

    fn arm(&mut self) -> bool {
        if self.spec.event_index {
            self.say(0, self.next.word(), Ordering::Relaxed);
            self.say(1, AT_DESC, Ordering::Release);
        } else {
            self.say(1, ENABLE, Ordering::Relaxed);
        }
        // The guest either sees the wish or has made available what is seen here.
        fence(Ordering::SeqCst);
        self.again.is_empty() && self.is_available(self.next).is_none()
    }

    fn disarm(&mut self) {
        self.say(1, DISABLE, Ordering::Relaxed);
    }

    fn base(&self) -> Base {
        Base::Packed { available: self.next, used: self.used }
    }
}
