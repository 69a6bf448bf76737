//! Actions and instructions, as a person or a controller wrote them.
//!
//! Purpose: one value per action that keeps what is needed to print it and to send it again exactly
//! as Open vSwitch would. Meaning is given elsewhere (the compiler lowers it).
//! Deliberately does not know: wire form, text form (see `wire/` and `text/`), packets.

use crate::field::{Field, SubField};
use crate::wide::Wide;
use crate::matching::Match;

/// An OpenFlow port number in its 32-bit form; reserved ports are `0xffff_ffxx`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct PortNo(pub u32);

impl PortNo {
    /// Highest number of an ordinary port in OpenFlow 1.0 numbering.
    pub const MAX: PortNo = PortNo(0xffff_ff00);
    /// No port: wildcard in requests.
    pub const NONE: PortNo = PortNo(0xffff_ffff);
    /// Back out of the port the packet came in by.
    pub const IN_PORT: PortNo = PortNo(0xffff_fff8);
    /// Submit to the tables (packet-out only).
    pub const TABLE: PortNo = PortNo(0xffff_fff9);
    /// Ordinary learning switch behaviour.
    pub const NORMAL: PortNo = PortNo(0xffff_fffa);
    /// Every port that does not refuse floods, but the one it came in by.
    pub const FLOOD: PortNo = PortNo(0xffff_fffb);
    /// Every port but the one it came in by.
    pub const ALL: PortNo = PortNo(0xffff_fffc);
    /// To the controllers.
    pub const CONTROLLER: PortNo = PortNo(0xffff_fffd);
    /// The bridge's own device.
    pub const LOCAL: PortNo = PortNo(0xffff_fffe);

    /// From OpenFlow 1.0's 16 bits: `0xff00..` become reserved ports.
    pub const fn from_u16(n: u16) -> PortNo {
        if n >= 0xff00 {
            PortNo(0xffff_0000 | n as u32)
        } else {
            PortNo(n as u32)
        }
    }

    /// To OpenFlow 1.0's 16 bits, or `None` when it does not fit.
    pub const fn to_u16(self) -> Option<u16> {
        if self.0 < 0xff00 || self.0 >= 0xffff_ff00 {
            Some(self.0 as u16)
        } else {
            None
        }
    }
}

/// `len` of a controller action that asks for the whole packet.
pub const CONTROLLER_WHOLE_PACKET: u16 = 0xffff;

/// One action or instruction, in the order in which it was given.
///
/// Instructions of OpenFlow 1.1+ (`goto_table`, `write_actions`, `meter`, …) are values of the same
/// type, as in `ovs-ofctl`'s text: a rule has one list, and `wire` splits it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub enum Action {
    /// `output:PORT`. `max_len` only matters for CONTROLLER.
    Output { port: PortNo, max_len: u16 },
    /// `output(port=PORT,max_len=N)`.
    OutputTrunc { port: PortNo, max_len: u32 },
    /// `output:SRC[..]`.
    OutputReg { src: SubField, max_len: u16 },
    /// `controller(...)` with options beyond `max_len`.
    Controller(Box<Controller>),
    /// `enqueue:PORT:QUEUE`.
    Enqueue { port: PortNo, queue: u32 },
    /// `set_queue:Q`.
    SetQueue(u32),
    /// `pop_queue`.
    PopQueue,
    /// `group:ID`.
    Group(u32),
    /// `mod_vlan_vid:VID` / `set_vlan_vid`. The flags are OVS's: whether it may push a tag, and
    /// whether a tag was certain when it was parsed (set by check).
    SetVlanVid { vid: u16, push_vlan_if_needed: bool },
    /// `mod_vlan_pcp:PCP` / `set_vlan_pcp`.
    SetVlanPcp { pcp: u8, push_vlan_if_needed: bool },
    /// `strip_vlan` and `pop_vlan`: `pop` tells which word was used where it matters.
    StripVlan { pop: bool },
    /// `push_vlan:ETHERTYPE`.
    PushVlan(u16),
    /// `mod_dl_src:MAC`.
    SetEthSrc([u8; 6]),
    /// `mod_dl_dst:MAC`.
    SetEthDst([u8; 6]),
    /// `mod_nw_src:IP`.
    SetIpv4Src(u32),
    /// `mod_nw_dst:IP`.
    SetIpv4Dst(u32),
    /// `mod_nw_tos:TOS` (the DSCP in its high six bits).
    SetIpDscp(u8),
    /// `mod_nw_ecn:ECN`.
    SetIpEcn(u8),
    /// `mod_nw_ttl:TTL`.
    SetIpTtl(u8),
    /// `mod_tp_src:PORT`.
    SetL4Src(u16),
    /// `mod_tp_dst:PORT`.
    SetL4Dst(u16),
    /// `set_field:VALUE[/MASK]->FIELD`, and `load:` where the whole field or a mask is given (see `form`).
    SetField(Box<SetField>),
    /// `move:SRC[..]->DST[..]`.
    Move { src: SubField, dst: SubField },
    /// `push:SRC[..]`.
    StackPush(SubField),
    /// `pop:DST[..]`.
    StackPop(SubField),
    /// `dec_ttl` or `dec_ttl(ID,...)`: controllers that hear of an expired one.
    DecTtl { controllers: Vec<u16>, with_ids: bool },
    /// `set_mpls_label:L`.
    SetMplsLabel(u32),
    /// `set_mpls_tc:TC`.
    SetMplsTc(u8),
    /// `set_mpls_ttl:TTL`.
    SetMplsTtl(u8),
    /// `dec_mpls_ttl`.
    DecMplsTtl,
    /// `copy_ttl_out`: the TTL of the next header inwards to the outermost (not in Open vSwitch).
    CopyTtlOut,
    /// `copy_ttl_in`: the outermost TTL to the next header inwards (not in Open vSwitch).
    CopyTtlIn,
    /// `push_mpls:ETHERTYPE`.
    PushMpls(u16),
    /// `pop_mpls:ETHERTYPE`.
    PopMpls(u16),
    /// `push_pbb:0x88e7`.
    PushPbb,
    /// `pop_pbb`.
    PopPbb,
    /// `set_tunnel:ID` / `set_tunnel64:ID`.
    SetTunnel { id: u64, wide: bool },
    /// `resubmit:PORT`, `resubmit([PORT],[TABLE][,ct])`.
    Resubmit { in_port: Option<PortNo>, table: Option<u8>, with_ct_orig: bool },
    /// `learn(...)`.
    Learn(Box<Learn>),
    /// `conjunction(ID,K/N)`; `clause` counts from 0.
    Conjunction { id: u32, clause: u8, n_clauses: u8 },
    /// `multipath(...)`.
    Multipath(Box<Multipath>),
    /// `bundle(...)` / `bundle_load(...)`.
    Bundle(Box<Bundle>),
    /// `note:HEX.HEX...`, without padding.
    Note(Vec<u8>),
    /// `exit`.
    Exit,
    /// `fin_timeout(idle_timeout=,hard_timeout=)`, seconds.
    FinTimeout { idle: u16, hard: u16 },
    /// `sample(...)`.
    Sample(Box<Sample>),
    /// `ct(...)`.
    Ct(Box<Ct>),
    /// `nat(...)`: only inside `ct(...)`.
    Nat(Box<Nat>),
    /// `ct_clear`.
    CtClear,
    /// `clone(ACTIONS)`.
    Clone(Vec<Action>),
    /// `encap(...)`.
    Encap(Box<Encap>),
    /// `decap()` / `decap(packet_type(ns=,type=))`.
    Decap { new_packet_type: Option<u32> },
    /// `dec_nsh_ttl`.
    DecNshTtl,
    /// `check_pkt_larger(N)->DST[..]`.
    CheckPktLarger { len: u16, dst: SubField },
    /// `delete_field:FIELD`.
    DeleteField(Field),
    /// `debug_recirc`.
    DebugRecirc,
    /// `debug_slow`.
    DebugSlow,
    /// Instruction `meter:ID`.
    Meter(u32),
    /// Instruction `clear_actions`.
    ClearActions,
    /// Instruction `write_actions(ACTIONS)`.
    WriteActions(Vec<Action>),
    /// Instruction `write_metadata:VALUE[/MASK]`.
    WriteMetadata { value: u64, mask: u64 },
    /// Instruction `goto_table:TABLE`.
    GotoTable(u8),
}

/// Options of `controller(...)`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Controller {
    /// Bytes of the packet to send, at most.
    pub max_len: u16,
    /// Reason code (`OFPR_*`).
    pub reason: u8,
    /// Controller connection id.
    pub id: u16,
    /// Opaque bytes that come back with the packet.
    pub userdata: Vec<u8>,
    /// Whether the pipeline waits for a resume.
    pub pause: bool,
    /// Meter for this packet-in, 0 for none.
    pub meter_id: Option<u32>,
}

/// Which word a `set_field` was written with: it decides how it is printed and encoded.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SetForm {
    /// `set_field:V[/M]->F`, OXM set-field or its NX equivalent.
    SetField,
    /// `load:V->F[a..b]` (NXAST_REG_LOAD).
    Load,
    /// Printed as `set_field`, but sent as NXAST_REG_LOAD2, as it came.
    Load2,
}

/// `set_field` / `load`. `value` and `mask` are right-aligned in the field's width.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SetField {
    /// Field that is written.
    pub field: Field,
    /// Bits to write.
    pub value: WideValue,
    /// Which bits; all ones for the whole field.
    pub mask: WideValue,
    /// Which word it was written with.
    pub form: SetForm,
}

impl SetField {
    /// A load into bits of a tunnel option; of the value as many bits count as they are.
    pub fn load_option(dst: SubField, value: &Wide) -> SetField {
        let mask = Wide::ones(dst.start, dst.width);
        let bits = value.shifted(dst.start).and(&mask);
        let bytes = |w: &Wide| WideValue::Large(w.tail(mask.significant()).to_vec());
        let whole = mask == Wide::ONES;
        let value = if whole { WideValue::Large(bits.tail(bits.significant()).to_vec()) } else { bytes(&bits) };
        let mask = if whole { WideValue::whole_option() } else { bytes(&mask) };
        SetField { field: dst.field, value, mask, form: SetForm::Load }
    }
}

/// Up to 1024 bits, right-aligned, big-endian bytes: large enough for `tun_metadata`.
/// The common case (at most 128 bits) is kept in place.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum WideValue {
    /// At most 128 bits.
    Small(u128),
    /// Big-endian: the value of a tunnel option, with as many bytes as were given.
    Large(Vec<u8>),
}

impl WideValue {
    /// The mask of a write to all of a tunnel option, whatever its length.
    pub fn whole_option() -> WideValue {
        WideValue::Large(vec![0xff; crate::wide::WIDEST])
    }
}

/// `learn(...)`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Learn {
    /// Seconds, 0 for none.
    pub idle_timeout: u16,
    /// Seconds, 0 for none.
    pub hard_timeout: u16,
    /// Priority of the learned rule.
    pub priority: u16,
    /// Cookie of the learned rule.
    pub cookie: u64,
    /// Table of the learned rule.
    pub table: u8,
    /// `send_flow_rem`.
    pub send_flow_rem: bool,
    /// `delete_learned`.
    pub delete_learned: bool,
    /// Seconds, 0 for none.
    pub fin_idle_timeout: u16,
    /// Seconds, 0 for none.
    pub fin_hard_timeout: u16,
    /// Most rules that this action may keep, 0 for no limit.
    pub limit: u32,
    /// Bit that tells whether learning succeeded.
    pub result_dst: Option<SubField>,
    /// What to match and do, in order.
    pub specs: Vec<LearnSpec>,
}

/// Where a learned value comes from.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub enum LearnSource {
    /// A field of the packet that learns.
    Field(SubField),
    /// A constant of `n_bits` bits, right-aligned.
    Value { n_bits: u16, value: u128 },
}

/// One part of `learn(...)`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub enum LearnSpec {
    /// `DST=SRC`, `DST=VALUE`, or just `FIELD`.
    Match { src: LearnSource, dst: SubField },
    /// `load:SRC->DST`.
    Load { src: LearnSource, dst: SubField },
    /// `output:SRC`.
    Output(SubField),
}

/// Fields that a hash is made of (`multipath`, `bundle`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum HashFields {
    /// `eth_src`.
    EthSrc,
    /// `symmetric_l4`.
    SymmetricL4,
    /// `symmetric_l3l4`.
    SymmetricL3L4,
    /// `symmetric_l3l4+udp`.
    SymmetricL3L4Udp,
    /// `nw_src`.
    NwSrc,
    /// `nw_dst`.
    NwDst,
    /// `symmetric_l3`.
    SymmetricL3,
}

/// `multipath(fields, basis, algorithm, n_links, arg, dst)`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Multipath {
    /// What is hashed.
    pub fields: HashFields,
    /// Hash basis.
    pub basis: u16,
    /// 0 modulo_n, 1 hash_threshold, 2 hrw, 3 iter_hash.
    pub algorithm: u16,
    /// Number of links (at least 1).
    pub n_links: u32,
    /// Argument of the algorithm.
    pub arg: u32,
    /// Where the link number goes.
    pub dst: SubField,
}

/// `bundle(...)` and, with `dst`, `bundle_load(...)`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Bundle {
    /// What is hashed.
    pub fields: HashFields,
    /// Hash basis.
    pub basis: u16,
    /// 0 active_backup, 1 hrw.
    pub algorithm: u16,
    /// Where the port number goes instead of an output.
    pub dst: Option<SubField>,
    /// Candidate ports.
    pub members: Vec<PortNo>,
}

/// Direction of a `sample`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SampleDirection {
    /// Not given.
    Default,
    /// `ingress`.
    Ingress,
    /// `egress`.
    Egress,
}

/// `sample(...)`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Sample {
    /// Out of 65535.
    pub probability: u16,
    /// Collector set.
    pub collector_set_id: u32,
    /// Observation domain.
    pub obs_domain_id: u32,
    /// Observation point.
    pub obs_point_id: u32,
    /// Sampling port.
    pub sampling_port: Option<PortNo>,
    /// Direction.
    pub direction: SampleDirection,
}

/// The zone of a `ct`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum CtZone {
    /// A number.
    Number(u16),
    /// A register slice.
    Field(SubField),
}

/// `ct(...)`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Ct {
    /// `commit`.
    pub commit: bool,
    /// `force`.
    pub force: bool,
    /// `zone=`.
    pub zone: CtZone,
    /// `table=`.
    pub table: Option<u8>,
    /// `alg=`: 0 none, 21 ftp, 69 tftp.
    pub alg: u16,
    /// `nat`, then `exec(...)`, in the order given.
    pub actions: Vec<Action>,
}

/// `nat(...)`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Nat {
    /// `src`.
    pub src: bool,
    /// `dst`.
    pub dst: bool,
    /// `persistent`.
    pub persistent: bool,
    /// `hash`.
    pub hash: bool,
    /// `random`.
    pub random: bool,
    /// Lowest and, where a range, highest address.
    pub addresses: Option<(std::net::IpAddr, Option<std::net::IpAddr>)>,
    /// Lowest and, where a range, highest port.
    pub ports: Option<(u16, Option<u16>)>,
}

/// `encap(...)`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Encap {
    /// Name space and type, as in the `packet_type` field.
    pub new_packet_type: u32,
    /// Header size hint.
    pub hdr_size: u16,
    /// Properties: class, type, value.
    pub properties: Vec<(u16, u8, Vec<u8>)>,
}

/// Where an action list came from: some actions are only legal in one place.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Place {
    /// A rule.
    Rule,
    /// A packet-out.
    PacketOut,
    /// A group bucket.
    Bucket,
}

/// What a flow-mod does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FlowModCommand {
    /// Add, replacing one with the same match and priority.
    Add,
    /// Modify all that the match contains.
    Modify,
    /// Modify the one with the same match and priority.
    ModifyStrict,
    /// Delete all that the match contains.
    Delete,
    /// Delete the one with the same match and priority.
    DeleteStrict,
}

/// Flags of a rule.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct FlowFlags {
    /// `send_flow_rem`.
    pub send_flow_rem: bool,
    /// `check_overlap`.
    pub check_overlap: bool,
    /// `reset_counts`.
    pub reset_counts: bool,
    /// `no_packet_counts`.
    pub no_packet_counts: bool,
    /// `no_byte_counts`.
    pub no_byte_counts: bool,
    /// `emerg` of OpenFlow 1.0: always refused.
    pub emergency: bool,
}

/// A change of the rules, in any version; `M` is how its match is kept.
#[derive(Clone, PartialEq, Debug)]
pub struct FlowMod<M = Match> {
    /// What to do.
    pub command: FlowModCommand,
    /// Table; `None` for OFPTT_ALL (0xff).
    pub table: Option<u8>,
    /// Priority.
    pub priority: u16,
    /// What packets.
    pub matching: M,
    /// Cookie to match, and its mask (delete and modify); 0/0 for any.
    pub cookie: u64,
    /// Mask for `cookie`.
    pub cookie_mask: u64,
    /// Cookie of the rule; `None` keeps the one it has (modify).
    pub new_cookie: Option<u64>,
    /// Seconds, 0 for none.
    pub idle_timeout: u16,
    /// Seconds, 0 for none.
    pub hard_timeout: u16,
    /// Eviction importance.
    pub importance: u16,
    /// Buffer of a packet to run through it; `0xffff_ffff` for none.
    pub buffer_id: u32,
    /// Delete only rules that output here; NONE for any.
    pub out_port: PortNo,
    /// Delete only rules that use this group; `0xffff_ffff` for any.
    pub out_group: u32,
    /// Flags.
    pub flags: FlowFlags,
    /// Actions and instructions.
    pub actions: Vec<Action>,
}
