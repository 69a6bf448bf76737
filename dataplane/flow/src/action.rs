//! What a rule does, lowered: the instructions that deciding executes.
//!
//! Purpose: the compiler's target language. One meaning per value; names, encodings and version
//! differences are gone.
//! Deliberately does not know: OpenFlow ids, text.

use std::sync::Arc;

use crate::group::GroupId;
use crate::decide::Paused;
use crate::key::Slot;
use crate::meter::MeterId;
use crate::spread::{Bundle, Multipath};

/// An OpenFlow port number of one bridge, 32 bits. Reserved ones never reach here but LOCAL.
pub type OfPort = u32;
/// The bridge's own device.
pub const LOCAL: OfPort = 0xffff_fffe;
/// No port: the input port of a packet that came from nowhere.
pub const NO_PORT: OfPort = 0xffff_ffff;

/// One instruction.
#[allow(missing_docs)] // the fields are named in each line above them
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// To a port of this bridge; nothing happens when it is the one the packet came in by.
    Output(OfPort),
    /// To a port, cut to `max_len` bytes.
    OutputTruncated { port: OfPort, max_len: u32 },
    /// To the port that a field names (reserved numbers included).
    OutputFrom(Slot),
    /// Back out of the port the packet came in by.
    InPort,
    /// Learning switch.
    Normal,
    /// Every port but the input one; `Flood` leaves out those that refuse floods.
    Flood,
    /// Every port but the input one.
    All,
    /// A copy to the controllers.
    Punt(Arc<Punt>),
    /// Writes bits of a field, where the packet has what `need` says; else nothing happens.
    /// `value` is zero outside of `mask`; both right-aligned.
    Set { slot: Slot, value: u128, mask: u128, need: Need },
    /// Copies between equally wide fields, where the packet has what both needs say.
    Move { src: Slot, src_need: Need, dst: Slot, dst_need: Need },
    /// Sets the VLAN id (0..=4095); pushes an 802.1Q tag where there is none and `push` says so.
    SetVlanVid { vid: u16, push: bool },
    /// Sets the VLAN priority (0..=7); pushes an 802.1Q tag where there is none and `push` says so.
    SetVlanPcp { pcp: u8, push: bool },
    /// Pushes a tag of this type with id and priority 0.
    PushVlan(u16),
    /// Removes the outer tag, where there is one.
    PopVlan,
    /// Decrements the TTL; an expired packet goes no further (and to these controllers).
    DecTtl(Arc<[u16]>),
    /// Pushes an MPLS label of this Ethernet type: a copy of the outermost, or one for what is there.
    PushMpls(u16),
    /// Removes the outermost label; what is left has this Ethernet type.
    PopMpls(u16),
    /// Gives a packet that has no Ethernet header one.
    EncapEthernet,
    /// Puts a network service header in front of the packet.
    EncapNsh(Arc<NewNsh>),
    /// Puts an MPLS label of this Ethernet type in front of the packet, its Ethernet header included.
    EncapMpls(u16),
    /// Takes the outermost header off; under a label is a packet of this type (name space and type).
    Decap { under_label: u32 },
    /// Decrements the TTL of a network service header; an expired packet goes no further, but to the controllers.
    DecNshTtl,
    /// Puts a backbone's Ethernet header and service instance tag in front of the frame.
    PushPbb,
    /// Takes those off again.
    PopPbb,
    /// Decrements the outermost label's TTL; an expired packet goes no further, but to the controllers.
    DecMplsTtl,
    /// Copies the TTL of the next header inwards to the outermost label.
    CopyTtlOut,
    /// Copies the TTL of the outermost label to the next header inwards.
    CopyTtlIn,
    /// Writes a link number chosen by a hash.
    Multipath(Arc<Multipath>),
    /// Sends to, or writes, a port chosen among those that live.
    Bundle(Arc<Bundle>),
    /// Writes whether the packet is longer; what follows in the list is done either way.
    IfLonger(Arc<LengthCheck>),
    /// Shortens the timeouts of the rule once a TCP connection ends; seconds, 0 for none.
    FinTimeout { idle: u16, hard: u16 },
    /// Looks up a table (of the current rule where `None`) as if the packet came in by `in_port`.
    Resubmit { in_port: Option<OfPort>, table: Option<u8> },
    /// The same, as if the packet had the addresses, protocol and ports of its connection's first packet as well.
    ResubmitByConnection { in_port: Option<OfPort>, table: Option<u8> },
    /// Hands the packet to a group of this bridge; one that does not exist does nothing.
    Group(GroupId),
    /// Goes on only within the rate of a meter of this bridge.
    Meter(MeterId),
    /// Goes on in a later table.
    Goto(u8),
    /// Adds to the action set.
    WriteActions(Arc<[Action]>),
    /// Empties the action set.
    ClearActions,
    /// Adds or refreshes a rule made from the packet.
    Learn(Arc<Learn>),
    /// Saves a field.
    StackPush(Slot),
    /// Restores a field.
    StackPop(Slot),
    /// Chooses a queue; `None` goes back to the default.
    SetQueue(Option<u32>),
    /// To a port on a queue.
    Enqueue { port: OfPort, queue: u32 },
    /// Executes on a copy of the packet and of its fields.
    Clone(Arc<[Action]>),
    /// Ends this lookup's actions and all that wait behind them.
    Exit,
    /// Connection tracking.
    Ct(Arc<crate::ct::Ct>),
    /// Forgets the connection state of the packet.
    CtClear,
    /// Does nothing to the packet (`note`, `sample`, `conjunction`).
    Nothing,
    /// Legal, loaded and shown, but not executed by this version: the packet drops with its own reason.
    Refused(&'static str),
}

/// A network service header to be put on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewNsh {
    /// Metadata type, 1 or 2.
    pub md_type: u8,
    /// Context headers of type 2, whole words.
    pub metadata: Box<[u8]>,
}

/// Bits of a field that a computed value goes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// Where, and which bit of the value is the lowest there.
    pub parts: Box<[(Slot, u8)]>,
    /// What the packet must be.
    pub need: Need,
}

/// A question about the packet's length.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LengthCheck {
    /// More bytes than this?
    pub than: u16,
    /// Where the answer goes.
    pub dst: Target,
}

/// What a packet must be for a field of it to be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Need {
    /// Nothing: VLAN tag (written only where present), registers, tunnel.
    Nothing,
    /// An Ethernet header.
    Ethernet,
    /// A VLAN tag.
    Vlan,
    Mpls,
    Ipv4,
    Ipv6,
    /// IPv4 or IPv6.
    Ip,
    Arp,
    Tcp,
    Udp,
    Sctp,
    /// TCP, UDP or SCTP.
    L4,
    Icmp4,
    Icmp6,
    /// ICMPv6 neighbour solicitation or advertisement.
    Nd,
    /// ICMPv6 neighbour solicitation.
    NdSolicit,
    /// ICMPv6 neighbour advertisement.
    NdAdvert,
    Nsh,
    /// A service instance tag of provider backbone bridges.
    Pbb,
}

/// A copy to the controllers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Punt {
    /// Bytes of the packet, at most.
    pub max_len: u16,
    /// Why (`OFPR_*`).
    pub reason: u8,
    /// Which controller connection.
    pub controller_id: u16,
    /// Opaque bytes.
    pub userdata: Vec<u8>,
    /// Meter of these copies; the controllers' own where `None`.
    pub meter: Option<MeterId>,
    /// Output to the reserved port: the reason depends on where it is met.
    pub plain: bool,
    /// The packet waits until the controller gives it back.
    pub pause: bool,
    /// What is still to be done, once it waits.
    pub paused: Option<Paused>,
}

/// A rule to be made from the packet that meets it.
#[derive(Clone, Debug, PartialEq)]
pub struct Learn {
    /// Table of the new rule.
    pub table: u8,
    /// Priority of the new rule.
    pub priority: u16,
    /// Cookie of the new rule.
    pub cookie: u64,
    /// Seconds, 0 for none.
    pub idle_timeout: u16,
    /// Seconds, 0 for none.
    pub hard_timeout: u16,
    /// Shortened timeouts once a FIN or RST was seen, seconds, 0 for none.
    pub fin_idle_timeout: u16,
    /// Shortened timeouts once a FIN or RST was seen, seconds, 0 for none.
    pub fin_hard_timeout: u16,
    /// Tell the controllers when it goes.
    pub send_flow_rem: bool,
    /// Delete the learned rules when the learning rule goes.
    pub delete_learned: bool,
    /// Most rules to keep, 0 for no limit.
    pub limit: u32,
    /// Bit that tells whether learning succeeded.
    pub result_dst: Option<Slot>,
    /// What the new rule matches and does.
    pub specs: Vec<LearnSpec>,
    /// The learning action as its rule was written: lets the control side render the new rule's
    /// actions in its own terms (see `LearnedRule::loads`).
    pub id: u64,
}

/// Where a learned value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A field of the packet that learns.
    Field(Slot),
    /// A constant.
    Value(u128),
}

/// One part of a learned rule.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LearnSpec {
    /// Matches `dst` exactly.
    Match { src: Source, dst: Slot },
    /// Writes `dst`, where the packet has what `need` says.
    Load { src: Source, dst: Slot, need: Need },
    /// Outputs to the port that `src` names.
    Output(Slot),
}
