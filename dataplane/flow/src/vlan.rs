//! VLANs as a port treats them (IEEE 802.1Q): which frames may enter, in which VLAN they are then, and
//! with what tags they leave.
//!
//! Invariant: pure functions of a port's mode and at most two tags; as Open vSwitch does it.
//! Deliberately does not know: frames, ports, learning.

use std::sync::Arc;

/// Bits of a tag's priority inside its control information.
pub const PCP_BITS: u16 = 0xe000;
const VID_BITS: u16 = 0xfff;
const PRESENT: u16 = 0x1000;
const TPID_8021Q: u16 = 0x8100;

/// A set of VLAN ids.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Vlans(Option<Arc<[u64; 64]>>);

impl FromIterator<u16> for Vlans {
    fn from_iter<I: IntoIterator<Item = u16>>(ids: I) -> Self {
        let mut all = Vlans::default();
        ids.into_iter().for_each(|id| all.put(id, true));
        all
    }
}

impl Vlans {
    /// All 4096.
    pub fn all() -> Self {
        Vlans(Some(Arc::new([u64::MAX; 64])))
    }

    /// Is this one in it?
    pub fn has(&self, id: u16) -> bool {
        let word = self.0.as_ref().and_then(|w| w.get(usize::from(id / 64)));
        word.is_some_and(|w| w >> (id % 64) & 1 != 0)
    }

    /// Puts one in or takes it out; ids above 4095 are nobody's.
    pub fn put(&mut self, id: u16, present: bool) {
        let words = Arc::make_mut(self.0.get_or_insert_with(|| Arc::new([0; 64])));
        if let Some(word) = words.get_mut(usize::from(id / 64)) {
            let bit = 1 << (id % 64);
            *word = if present { *word | bit } else { *word & !bit };
        }
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|w| w.iter().all(|w| *w == 0))
    }
}

/// VLAN mode of a port, for NORMAL.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum VlanMode {
    /// Carries all VLANs tagged, or these, and untagged frames as VLAN 0.
    Trunk(Option<Vlans>),
    /// One VLAN, untagged.
    Access(u16),
    /// A trunk whose untagged frames belong to a VLAN of their own. Made by [`VlanMode::native`].
    Native {
        /// That VLAN.
        vlan: u16,
        /// What it carries, that VLAN included.
        trunks: Option<Vlans>,
        /// Frames of that VLAN leave with its tag.
        tagged: bool,
    },
    /// All that enters gets a tag of the service VLAN in front of its own.
    Dot1qTunnel {
        /// The service VLAN.
        service: u16,
        /// Customer VLANs that may pass; `None` for all.
        customers: Option<Vlans>,
        /// Type of the service tag.
        tpid: u16,
    },
}

/// When a port sends a tag without a VLAN id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PriorityTags {
    /// Never: a frame outside of all VLANs leaves with the tags it has otherwise.
    #[default]
    Never,
    /// When the priority is not 0.
    IfNonzero,
    /// Whenever there is one.
    Always,
}

/// A tag, or none yet: type 0, id 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tag {
    /// Type.
    pub tpid: u16,
    /// VLAN id.
    pub vid: u16,
    /// Priority, in its place in the control information.
    pub pcp: u16,
    /// Its type is that of a tag that the frame has already.
    pub own: bool,
}

impl Tag {
    /// A tag that the frame has, from type and control information.
    pub fn new(tpid: u16, tci: u16) -> Tag {
        Tag { tpid, vid: tci & VID_BITS, pcp: tci & PCP_BITS, own: true }
    }

    /// Control information, with the bit that says that there is a tag.
    pub fn tci(&self) -> u16 {
        self.vid | self.pcp | PRESENT
    }
}

/// The outer tag and the one behind it.
pub type Tags = [Tag; 2];

impl VlanMode {
    /// A trunk with a native VLAN, which it always carries; unless that is 0, VLAN 0 is never trunked.
    pub fn native(vlan: u16, trunks: Option<Vlans>, tagged: bool) -> Self {
        let mut trunks = trunks;
        if vlan != 0 {
            let set = trunks.get_or_insert_with(Vlans::all);
            set.put(vlan, true);
            set.put(0, false);
        }
        VlanMode::Native { vlan, trunks, tagged }
    }

    /// May a frame whose outer tag (if any) has this id enter?
    pub fn admits(&self, vid: u16) -> bool {
        match self {
            VlanMode::Access(_) => vid == 0,
            VlanMode::Trunk(list) => among(list, vid),
            VlanMode::Native { trunks, .. } => vid == 0 || among(trunks, vid),
            VlanMode::Dot1qTunnel { customers, .. } => among(customers, vid),
        }
    }

    /// The tags that an admitted frame has inside the switch.
    pub fn entering(&self, came: Tags) -> Tags {
        let tpid = if came[0].tpid == 0 { TPID_8021Q } else { came[0].tpid };
        match self {
            VlanMode::Access(vlan) => [Tag { tpid, vid: *vlan, ..came[0] }, Tag::default()],
            VlanMode::Native { vlan, .. } if came[0].vid == 0 => [Tag { tpid, vid: *vlan, ..came[0] }, came[1]],
            VlanMode::Trunk(_) | VlanMode::Native { .. } => came,
            VlanMode::Dot1qTunnel { service, tpid, .. } => [Tag { tpid: *tpid, vid: *service, pcp: 0, own: false }, came[0]],
        }
    }

    /// Does a port like this carry frames with these tags?
    pub fn carries(&self, tags: &Tags) -> bool {
        match self {
            VlanMode::Access(vlan) => tags[0].vid == *vlan && tags[1].vid == 0,
            VlanMode::Trunk(list) | VlanMode::Native { trunks: list, .. } => among(list, tags[0].vid),
            VlanMode::Dot1qTunnel { service, customers, .. } => tags[0].vid == *service && among(customers, tags[1].vid),
        }
    }

    /// The tags that a frame leaves with, those that say nothing left out. `came` is the frame's own outer tag.
    pub fn leaving(&self, tags: Tags, priority: PriorityTags, came: Tag) -> ([Tag; 2], usize) {
        let mut out = match self {
            VlanMode::Access(_) => Tags::default(),
            VlanMode::Dot1qTunnel { .. } => [tags[1], Tag::default()],
            VlanMode::Native { vlan, tagged: false, .. } if tags[0].vid == *vlan => [tags[1], Tag::default()],
            VlanMode::Trunk(_) | VlanMode::Native { .. } => tags,
        };
        if priority != PriorityTags::Never {
            out[0].pcp = came.pcp;
        }
        let says = |t: &Tag| t.vid | t.pcp != 0 || priority == PriorityTags::Always && t.tpid != 0;
        let n = out.iter().take_while(|t| says(t)).count();
        for t in &mut out {
            t.tpid = if t.tpid == 0 { TPID_8021Q } else { t.tpid };
        }
        (out, n)
    }
}

fn among(list: &Option<Vlans>, vid: u16) -> bool {
    list.as_ref().is_none_or(|l| l.has(vid))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(vid: u16) -> Tag {
        Tag { tpid: 0x8100, vid, pcp: 0, own: true }
    }

    #[test]
    fn a_native_port_carries_its_own_vlan_and_never_vlan_0() {
        let port = VlanMode::native(5, Some(Vlans::from_iter([0, 7])), false);
        assert!(port.admits(0) && port.admits(5) && port.admits(7) && !port.admits(6));
        assert_eq!(port.entering(Tags::default())[0].vid, 5);
        assert!(!port.carries(&[tag(0), Tag::default()]));
        assert_eq!(port.leaving([tag(5), Tag::default()], PriorityTags::Never, Tag::default()).1, 0);
        assert_eq!(port.leaving([tag(7), Tag::default()], PriorityTags::Never, Tag::default()).1, 1);
    }

    #[test]
    fn a_service_tag_goes_on_in_front_and_off_again() {
        let port = VlanMode::Dot1qTunnel { service: 100, customers: Some(Vlans::from_iter([3])), tpid: 0x88a8 };
        assert!(port.admits(3) && !port.admits(4) && !port.admits(0));
        let inside = port.entering([tag(3), Tag::default()]);
        assert_eq!(inside, [Tag { tpid: 0x88a8, vid: 100, pcp: 0, own: false }, tag(3)]);
        assert!(port.carries(&inside));
        let (tags, n) = port.leaving(inside, PriorityTags::Never, Tag::default());
        assert_eq!(tags.get(..n), Some(&[tag(3)][..]));
    }

    #[test]
    fn sets_hold_what_was_put_in() {
        let mut set = Vlans::from_iter([1, 4095, 5000]);
        assert!(set.has(1) && set.has(4095) && !set.has(0) && !set.has(5000));
        set.put(1, false);
        set.put(4095, false);
        assert!(set.is_empty() && Vlans::all().has(4095));
    }
}
