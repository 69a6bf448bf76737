//! What the switch is, and how a connection is set up.

use super::Port;
use crate::version::VersionSet;

/// First message of both ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hello {
    /// Versions that the sender speaks.
    pub versions: VersionSet,
}

/// Bits of [`Features::capabilities`]. STP and group statistics share a bit on the wire, by version.
#[allow(missing_docs)]
pub mod capabilities {
    pub const FLOW_STATS: u32 = 1 << 0;
    pub const TABLE_STATS: u32 = 1 << 1;
    pub const PORT_STATS: u32 = 1 << 2;
    pub const IP_REASM: u32 = 1 << 5;
    pub const QUEUE_STATS: u32 = 1 << 6;
    /// 1.0 to 1.1.
    pub const ARP_MATCH_IP: u32 = 1 << 7;
    /// 1.0 only.
    pub const STP: u32 = 1 << 3;
    /// 1.2 and later.
    pub const PORT_BLOCKED: u32 = 1 << 8;
    /// 1.4 and later.
    pub const BUNDLES: u32 = 1 << 9;
    /// 1.4 and later.
    pub const FLOW_MONITORING: u32 = 1 << 10;
    /// 1.1 and later; not the wire's bit, which 1.0 uses for STP.
    pub const GROUP_STATS: u32 = 1 << 31;
}

/// What the switch is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Features {
    /// Datapath id.
    pub datapath_id: u64,
    /// Packets it can hold.
    pub n_buffers: u32,
    /// Tables.
    pub n_tables: u8,
    /// Which connection of the controller this is (1.3+).
    pub auxiliary_id: u8,
    /// Bits of [`capabilities`].
    pub capabilities: u32,
    /// Bitmap of supported action types (1.0): bit `n` for wire action `n`.
    pub actions: u32,
    /// Ports (1.0 to 1.2).
    pub ports: Vec<Port>,
}

/// What becomes of IP fragments.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum FragMode {
    /// They match with ports 0.
    #[default]
    Normal,
    /// They are dropped.
    Drop,
    /// They are put together first.
    Reassemble,
    /// First fragments match with their ports (Nicira).
    NxMatch,
}

/// Configuration of the switch as a controller sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SwitchConfig {
    /// IP fragments.
    pub frags: FragMode,
    /// Packets whose TTL expires go to the controller (up to 1.2).
    pub invalid_ttl_to_controller: bool,
    /// Bytes of a packet-in for a table miss.
    pub miss_send_len: u16,
}

/// A controller's role.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Only ask.
    NoChange,
    /// May change everything, as others may.
    Equal,
    /// The one that may change things.
    Primary,
    /// May only look.
    Secondary,
}

/// Claim or ask for a role; also the reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RoleRequest {
    /// The role.
    pub role: Role,
    /// Guards against stale claims (1.2+).
    pub generation_id: Option<u64>,
    /// OpenFlow 1.0 and 1.1, or by choice: the `NXT` form.
    pub nicira: bool,
}

/// Bitmaps of reasons, by kind of unasked message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AsyncMasks {
    /// `OFPR_*` of packet-in.
    pub packet_in: u32,
    /// `OFPPR_*` of port status.
    pub port_status: u32,
    /// `OFPRR_*` of flow-removed.
    pub flow_removed: u32,
    /// Role status (1.4+).
    pub role_status: u32,
    /// Table status (1.4+).
    pub table_status: u32,
    /// Request forward (1.4+).
    pub request_forward: u32,
}

/// What the switch may send unasked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AsyncConfig {
    /// While the controller is primary or equal.
    pub primary: AsyncMasks,
    /// While it is secondary.
    pub secondary: AsyncMasks,
    /// Was in the `NXT_SET_ASYNC_CONFIG` form.
    pub nicira: bool,
    /// 1.4: the masks that it names, bit `n` for the property of type `n`; `None` for all.
    pub parts: Option<u16>,
}

/// What a bundle control message says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum BundleKind {
    OpenRequest,
    OpenReply,
    CloseRequest,
    CloseReply,
    CommitRequest,
    CommitReply,
    DiscardRequest,
    DiscardReply,
}

/// Open, close, commit or discard a bundle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BundleControl {
    /// Which bundle.
    pub id: u32,
    /// What to do.
    pub kind: BundleKind,
    /// 1 atomic, 2 ordered.
    pub flags: u16,
}

/// Add a message to a bundle.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BundleAdd {
    /// Which bundle.
    pub id: u32,
    /// 1 atomic, 2 ordered.
    pub flags: u16,
    /// The message, with its own header, whole: decode it as any other.
    pub message: Vec<u8>,
}

/// One `tun_metadata` mapping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TlvMap {
    /// Option class.
    pub class: u16,
    /// Option type.
    pub kind: u8,
    /// Option length in bytes.
    pub len: u8,
    /// Index of the `tun_metadata` field.
    pub index: u16,
}

/// What `NXT_TLV_TABLE_MOD` does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TlvTableCommand {
    /// Add mappings.
    Add,
    /// Delete mappings.
    Delete,
    /// Delete all.
    Clear,
}

/// A change of the `tun_metadata` mappings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlvTableMod {
    /// What to do.
    pub command: TlvTableCommand,
    /// The mappings.
    pub maps: Vec<TlvMap>,
}

/// The `tun_metadata` mappings.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TlvTable {
    /// Bytes of options there is room for.
    pub max_option_space: u32,
    /// Fields there are.
    pub max_fields: u16,
    /// The mappings.
    pub maps: Vec<TlvMap>,
}
