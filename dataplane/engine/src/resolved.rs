//! What outer headers mean: the stage at which the packet inside goes on.
//!
//! Purpose: the search among all tunnels is for the first packet of a peer.
//! Invariant: what is remembered was found under the present program.

use crate::encap::{Address, Outer};
use crate::store::Store;

/// Kinds of outer headers whose stage is remembered, of each family; a power of two.
const PLACES: usize = 256;

/// Stages by outer headers.
#[derive(Debug, Default)]
pub struct Resolutions {
    over4: Places<u32>,
    over6: Places<u128>,
}

/// Those of one family.
#[derive(Debug)]
pub struct Places<A> {
    all: Vec<Resolved<A>>,
    /// Something is remembered.
    any: bool,
}

impl<A> Default for Places<A> {
    fn default() -> Self {
        Places { all: Vec::new(), any: false }
    }
}

impl<A: Address> Places<A> {
    fn forget(&mut self) {
        self.all.clear();
        self.all.resize(PLACES, Resolved::default());
        self.any = false;
    }
}

/// What outer headers of one kind mean.
#[derive(Clone, Copy, Debug, Default)]
struct Resolved<A> {
    outer: Outer<A>,
    /// Where what is inside goes on; 0, a device, stands for nothing.
    stage: u32,
    /// The verdict that asked to take the headers off, 0 for none, and its tag.
    by: (u32, u64),
}

/// A family of outer addresses whose stages are remembered.
pub trait Remembered: Address {
    /// Its places.
    fn places(all: &Resolutions) -> &Places<Self>;
    /// Its places, to be written.
    fn places_mut(all: &mut Resolutions) -> &mut Places<Self>;
}

impl Remembered for u32 {
    #[inline(always)]
    fn places(all: &Resolutions) -> &Places<u32> {
        &all.over4
    }
    fn places_mut(all: &mut Resolutions) -> &mut Places<u32> {
        &mut all.over4
    }
}

impl Remembered for u128 {
    #[inline(always)]
    fn places(all: &Resolutions) -> &Places<u128> {
        &all.over6
    }
    fn places_mut(all: &mut Resolutions) -> &mut Places<u128> {
        &mut all.over6
    }
}

impl Resolutions {
    /// The stage that packets with these outer headers had last, if the program has not changed since and the
    /// same verdict asks.
    #[inline]
    pub fn of<A: Remembered>(&self, outer: &Outer<A>, by: (u32, u64)) -> Option<u32> {
        self.find(outer).filter(|r| r.by == by).map(|r| r.stage)
    }

    /// The same, with the verdict, for a packet that was not classified: if that verdict is what it was.
    #[inline(always)]
    pub fn known<A: Remembered>(&self, outer: &Outer<A>, store: &Store) -> Option<(u32, u32)> {
        let r = self.find(outer)?;
        (r.by.0 != 0 && store.tag(r.by.0) == r.by.1).then_some((r.stage, r.by.0))
    }

    #[inline(always)]
    fn find<A: Remembered>(&self, outer: &Outer<A>) -> Option<&Resolved<A>> {
        A::places(self).all.get(place(outer)).filter(|r| r.stage != 0 && r.outer == *outer)
    }

    /// May anything be known of this family?
    #[inline]
    pub fn has_any<A: Remembered>(&self) -> bool {
        A::places(self).any
    }

    /// Remembers a stage in place of what was there.
    pub fn remember<A: Remembered>(&mut self, outer: Outer<A>, stage: u32, by: (u32, u64)) {
        let places = A::places_mut(self);
        if let Some(at) = places.all.get_mut(place(&outer)) {
            *at = Resolved { outer, stage, by };
            places.any = true;
        }
    }

    /// Forgets what outer headers mean.
    pub fn forget(&mut self) {
        self.over4.forget();
        self.over6.forget();
    }
}

#[inline(always)]
fn place<A: Address>(outer: &Outer<A>) -> usize {
    let mixed = (outer.src.mixed() << 32 ^ outer.src.mixed() >> 32 ^ u64::from(outer.vni)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as usize % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_flow::{Op, Verdict};

    const STAGE: u32 = 0x1_0000;

    fn outer<A: Address>(src: A) -> Outer<A> {
        Outer { src, dst: src, dst_port: 4789, vni: 3, gbp: (0, 0) }
    }

    #[test]
    fn a_stage_is_remembered_of_each_family_until_it_is_forgotten() {
        let mut all = Resolutions::default();
        all.forget();
        assert_eq!((all.of(&outer(1u32), (0, 0)), all.has_any::<u32>()), (None, false));
        all.remember(outer(1u32), STAGE, (0, 0));
        all.remember(outer(1u128), STAGE + 1, (0, 0));
        assert_eq!(all.of(&outer(1u32), (0, 0)), Some(STAGE));
        assert_eq!(all.of(&outer(1u128), (0, 0)), Some(STAGE + 1));
        assert_eq!(all.of(&outer(1u32), (1, 0)), None);
        assert_eq!(all.of(&Outer { vni: 4, ..outer(1u32) }, (0, 0)), None);
        assert_eq!(all.of(&Outer { dst: 1 << 77, ..outer(1u128) }, (0, 0)), None);
        all.forget();
        assert_eq!((all.of(&outer(1u32), (0, 0)), all.of(&outer(1u128), (0, 0))), (None, None));
    }

    #[test]
    fn outer_headers_are_known_while_the_verdict_that_takes_them_off_is_what_it_was() {
        let mut all = Resolutions::default();
        all.forget();
        let mut store = Store::default();
        let verdict = Verdict { ops: Box::new([Op::Decap]), ..Verdict::default() };
        let id = store.intern(verdict.clone(), false, 1);
        all.remember(outer(1u128), STAGE, (id, store.tag(id)));
        assert_eq!(all.known(&outer(1u128), &store), Some((STAGE, id)));
        store.release(id);
        assert_eq!(store.intern(Verdict { ops: Box::new([Op::Output(1)]), ..verdict }, false, 1), id);
        assert_eq!(all.known(&outer(1u128), &store), None);
    }
}
