//! What was decided for a flow: a short program of operations on a frame, and why.
//!
//! Invariant: a verdict holds nothing that differs between the flows that share it, except what the
//! packet's own masked key fixes.
//! Deliberately does not know: frames (the engine applies operations), how the decision was made.

use std::net::IpAddr;
use std::sync::Arc;

use crate::action::{OfPort, Punt};
use crate::ct::{Continuation, Tracking};
use crate::drop::DropReason;
use crate::group::GroupId;
use crate::key::{Key, Slot};
use crate::meter::{Meter, MeterId};
use crate::rule::RuleId;

/// Index of a device that frames enter and leave by, dense over the whole switch.
pub type PortIdx = u16;
/// Index of a bridge.
pub type BridgeIdx = u16;

/// One operation on a frame. The last one that sends consumes the frame; earlier ones send a copy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the fields are named in the line above them
pub enum Op {
    /// Sends by a device.
    Output(PortIdx),
    /// Sends at most `max_len` bytes by a device.
    OutputTruncated { port: PortIdx, max_len: u32 },
    /// Does all of this to a copy.
    Branch(Arc<[Op]>),
    /// Does all of this to a copy that a mirror asked for: the packet's own fate is another.
    Copy(Arc<[Op]>),
    /// Writes bits of a header field that the frame has. Checksums follow.
    Set { slot: Slot, value: u128, mask: u128 },
    /// Copies one header field to another. Checksums follow.
    Move { src: Slot, dst: Slot },
    /// Pushes a VLAN tag.
    PushVlan { tpid: u16, tci: u16 },
    /// Removes the outer VLAN tag.
    PopVlan,
    /// Pushes an MPLS label in front of the network header or of other labels.
    PushMpls { eth_type: u16, entry: u32 },
    /// Removes the outermost MPLS label.
    PopMpls { eth_type: u16 },
    /// Takes the Ethernet header off. A packet without one travels behind a blank one: all addresses 0.
    DropEthernet,
    /// Puts a network service header in front of the frame, or (`bare`) of what is behind the blank header.
    PushNsh { header: Arc<[u8]>, bare: bool },
    /// Puts an MPLS label in front of the frame.
    PushLabelOnEthernet { eth_type: u16, entry: u32 },
    /// Puts a backbone's Ethernet header with the frame's own addresses and a service instance tag in front.
    PushPbb { tag: u32 },
    /// Takes the outermost header off; what is under it goes on there.
    Uncover { cover: Cover, at: Arc<Continuation> },
    /// Writes TTL or hop limit of the packet under the MPLS labels.
    SetTtlUnderLabels(u8),
    /// Does the one to a packet of more bytes, the other to the rest.
    IfLonger { than: u16, longer: Arc<[Op]>, other: Arc<[Op]> },
    /// Decrements TTL or hop limit (known to be above 1).
    DecTtl,
    /// Puts outer headers in front.
    Encap(Arc<Encap>),
    /// Removes outer headers; the inner frame is classified anew as from its tunnel port.
    Decap,
    /// Waits, as a piece of an outer packet, until that is whole; then as [`Op::Decap`].
    PutTogether,
    /// Copies to the controllers. `state` has the fields that are not in the frame: registers,
    /// metadata, tunnel, connection.
    Punt {
        punt: Arc<Punt>,
        bridge: BridgeIdx,
        in_port: OfPort,
        table: u8,
        rule: Option<RuleId>,
        state: Arc<Key>,
        meter: Option<Arc<Meter>>,
    },
    /// To the control side: a protocol of the switch itself (LACP), not for controllers.
    Protocol { bridge: BridgeIdx, port: OfPort },
    /// Does the first to a message of hosts that join or leave multicast groups, the second to one of
    /// routers, the third to anything else.
    Membership(Arc<[Arc<[Op]>; 3]>),
    /// Goes on only within the meter's rate.
    Meter(Arc<Meter>),
    /// Goes on only within what may be flooded of the frames that this device hands in; `unicast` to an address
    /// that nobody is known to have.
    Storm { from: PortIdx, unicast: bool },
    /// Chooses a queue for what follows.
    SetQueue(Option<u32>),
    /// Goes through the connection tracker.
    Track(Arc<Tracking>),
    /// Forgets the connection that the packet belongs to.
    Untrack,
}

impl Op {
    /// Does the packet leave, or is seen by someone, through this?
    pub fn sends(&self) -> bool {
        matches!(
            self,
            Op::Output(_)
                | Op::OutputTruncated { .. }
                | Op::Branch(_)
                | Op::Copy(_)
                | Op::Decap
                | Op::PutTogether
                | Op::Uncover { .. }
                | Op::Punt { .. }
                | Op::Protocol { .. }
                | Op::Track(_)
                | Op::IfLonger { .. }
                | Op::Membership(_)
        )
    }

    /// Would someone notice if this were left out at the end?
    pub fn matters(&self) -> bool {
        self.sends() || matches!(self, Op::Meter(_))
    }

    /// Does the packet leave through this, by a port or to be looked at again?
    pub fn leaves(&self) -> bool {
        match self {
            Op::Branch(ops) => ops.iter().any(Op::leaves),
            Op::Track(t) => t.leaves(),
            Op::Punt { .. } | Op::Protocol { .. } | Op::Copy(_) => false,
            Op::IfLonger { longer, other, .. } => longer.iter().chain(other.iter()).any(Op::leaves),
            Op::Membership(lists) => lists.iter().flat_map(|l| l.iter()).any(Op::leaves),
            op => op.sends(),
        }
    }

    /// Do the controllers get a copy through this?
    pub fn punts(&self) -> bool {
        match self {
            Op::Branch(ops) => ops.iter().any(Op::punts),
            Op::Track(t) => t.then.iter().any(Op::punts),
            op => matches!(op, Op::Punt { .. } | Op::Protocol { .. }),
        }
    }
}

/// A header with another packet under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cover {
    /// Network service header.
    Nsh,
    /// The last MPLS label.
    Label,
    /// Backbone's Ethernet header and service instance tag.
    Pbb,
    /// None: the packet itself goes on there, with what its headers say by then.
    Nothing,
}

/// Which buckets of a group a packet went to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Chosen {
    /// None: the group does not exist, or nothing in it lives.
    None,
    /// Every one.
    All,
    /// The one at this place.
    One(u16),
}

/// Something beside rules that a verdict depends on, and that may count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Use {
    /// A group; `serial` names its definition, 0 where it does not exist.
    Group { bridge: BridgeIdx, id: GroupId, serial: u32, chosen: Chosen },
    /// A meter, whether it exists or not.
    Meter { bridge: BridgeIdx, id: MeterId },
    /// Which ports of a bridge live.
    Liveness { bridge: BridgeIdx },
    /// A bucket of a bond that balances its load.
    Bond { bridge: BridgeIdx, bond: OfPort, bucket: u8 },
}

/// Where the outer TOS comes from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OuterTos {
    /// This value (DSCP); ECN follows RFC 6040.
    Set(u8),
    /// DSCP of the inner packet.
    Inherit,
}

/// Where the outer TTL comes from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OuterTtl {
    /// This value.
    Set(u8),
    /// TTL of the inner packet.
    Inherit,
}

/// Outer headers of a VXLAN packet (RFC 7348), all but what depends on the frame.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Encap {
    /// VXLAN network identifier, 24 bits.
    pub vni: u32,
    /// Outer source address.
    pub src: IpAddr,
    /// Outer destination address, of the same family.
    pub dst: IpAddr,
    /// Outer Ethernet source.
    pub src_mac: [u8; 6],
    /// Outer Ethernet destination.
    pub dst_mac: [u8; 6],
    /// UDP destination port.
    pub dst_port: u16,
    /// Outer TOS.
    pub tos: OuterTos,
    /// Outer TTL.
    pub ttl: OuterTtl,
    /// "Don't fragment" in the outer header, where that is IPv4's.
    pub df: bool,
    /// Fill the outer UDP checksum (else it is 0).
    pub csum: bool,
    /// Group policy id and flags (draft-smith-vxlan-group-policy), where the tunnel uses them.
    pub gbp: Option<(u16, u8)>,
    /// Longest frame, in bytes, that the way can carry with these headers around it.
    pub longest: u32,
    /// The device whose peer is to hear that a frame was longer; `None` when it would not know the packet again.
    pub back: Option<PortIdx>,
}

/// One table look-up on the way to a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Step {
    /// Bridge.
    pub bridge: BridgeIdx,
    /// Table.
    pub table: u8,
    /// Priority of the rule that matched; `None` on a miss.
    pub priority: Option<u16>,
    /// The rule that matched.
    pub rule: Option<RuleId>,
    /// It matched by way of a conjunction.
    pub by_conjunction: bool,
    /// Words of the flow key that had been written before this look-up, one bit each, but for tunnel options.
    pub written: u64,
}

/// What a hit must do beside moving the frame, at most once a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Effect {
    /// The frame's own source address was seen on this port of this bridge.
    Seen { bridge: BridgeIdx, vlan: u16, port: OfPort },
    /// Decide again for the sake of what deciding teaches (learn).
    DecideAgain,
}

/// A port that the packet crossed without being queued there (patch and tunnel ports).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Crossing {
    /// Bridge.
    pub bridge: BridgeIdx,
    /// Port.
    pub port: OfPort,
    /// Received (else sent).
    pub received: bool,
}

/// What was decided for a flow.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Verdict {
    /// What happens to the frame.
    pub ops: Box<[Op]>,
    /// The look-ups that led here, in order.
    pub steps: Box<[Step]>,
    /// What a hit must do once a second.
    pub effects: Box<[Effect]>,
    /// Groups, meters and liveness that it depends on.
    pub uses: Box<[Use]>,
    /// Patch and tunnel ports on the way.
    pub crossings: Box<[Crossing]>,
    /// Mirrors that got a copy, by bridge and place.
    pub mirrors: Box<[(BridgeIdx, u8)]>,
    /// Why the packet goes nowhere, when it does.
    pub drop: Option<DropReason>,
    /// Made with routes and neighbours of the host.
    pub uses_underlay: bool,
    /// It holds only for packets of which the tracker says this.
    pub expected: Option<Arc<Expected>>,
    /// It holds only for packets that open this connection.
    pub opens: Option<Arc<Opening>>,
}

/// What a packet opens that the tracker has not seen, where that was decided before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Zone.
    pub zone: u16,
    /// Mark: value and mask.
    pub mark: Option<(u32, u32)>,
    /// Label: value and mask.
    pub label: Option<(u128, u128)>,
    /// Whom the connection counts for.
    pub owner: u32,
    /// What happens to a packet that opens nothing.
    pub otherwise: Arc<Verdict>,
}

impl std::hash::Hash for Opening {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.zone, self.mark, self.label, self.owner).hash(state);
    }
}

/// What the tracker said of the packets of a flow that remembers its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Zone.
    pub zone: u16,
    /// State bits.
    pub state: u8,
    /// Mark, as far as it matters.
    pub mark: u32,
    /// Bits of the mark that matter.
    pub mark_mask: u32,
    /// Label, as far as it matters.
    pub label: u128,
    /// Bits of the label that matter.
    pub label_mask: u128,
    /// What happens to a packet of which the tracker says anything else.
    pub otherwise: Arc<Verdict>,
}

impl std::hash::Hash for Expected {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.zone, self.state, self.mark, self.label).hash(state);
    }
}
