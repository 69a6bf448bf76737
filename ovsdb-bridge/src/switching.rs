//! What NORMAL does with ports: VLANs, bonds, mirrors, multicast; and what a port may hand in.
//!
//! Purpose: the part of the desired state that only learning switches care about, with the defaults
//! of Open vSwitch.
//! Deliberately does not know: columns of a database, words of a file.

/// How a port carries VLANs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VlanMode {
    /// The VLAN `tag`, untagged.
    Access,
    /// All VLANs or those of `trunks`, tagged.
    Trunk,
    /// As a trunk; frames without a tag belong to `tag`, and leave with it.
    NativeTagged,
    /// As a trunk; frames without a tag belong to `tag`, and leave without it.
    NativeUntagged,
    /// The customer's tags stay, inside the service VLAN `tag`.
    Dot1qTunnel,
}

/// When a frame without a VLAN leaves with a tag that has only a priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum PriorityTags {
    /// Never.
    #[default]
    Never,
    /// When the priority is not 0.
    IfNonzero,
    /// Whenever it came with a tag.
    Always,
}

/// VLANs and the like of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switching {
    /// How it carries VLANs; `None` makes it an access port where it has a tag, else a trunk.
    pub vlan_mode: Option<VlanMode>,
    /// VLANs of a trunk; empty for all.
    pub trunks: Vec<u16>,
    /// Customer VLANs of a dot1q-tunnel; empty for all.
    pub cvlans: Vec<u16>,
    /// Type of the service tag: 0x88a8 or 0x8100.
    pub qinq_ethtype: u16,
    /// Tags that have only a priority.
    pub priority_tags: PriorityTags,
    /// Sends nothing to other protected ports.
    pub protected: bool,
    /// Multicast of groups that nobody joined here comes too.
    pub mcast_flood: bool,
    /// Multicast reports of others come too.
    pub mcast_flood_reports: bool,
}

impl Default for Switching {
    fn default() -> Self {
        Switching {
            vlan_mode: None,
            trunks: Vec::new(),
            cvlans: Vec::new(),
            qinq_ethtype: 0x88a8,
            priority_tags: PriorityTags::Never,
            protected: false,
            mcast_flood: false,
            mcast_flood_reports: false,
        }
    }
}

/// What NORMAL does on a whole bridge.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Normal {
    /// VLANs in which nothing is learned: every frame goes everywhere.
    pub flood_vlans: Vec<u16>,
    /// Frames to reserved multicast addresses are forwarded.
    pub forward_bpdu: bool,
    /// Learns who wants which multicast group, and sends it nowhere else.
    pub mcast_snooping: Option<McastSnooping>,
}

/// Multicast snooping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct McastSnooping {
    /// Most groups.
    pub table_size: u32,
    /// Seconds after which a member or a router is forgotten.
    pub ageing: u32,
    /// Groups that nobody joined go everywhere.
    pub flood_unregistered: bool,
}

impl Default for McastSnooping {
    fn default() -> Self {
        McastSnooping { table_size: 2048, ageing: 300, flood_unregistered: true }
    }
}

/// What a device may hand in; 0 for no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Policing {
    /// Thousands of bits in a second.
    pub rate_kbps: u32,
    /// Thousands of bits at once; 0 for a default.
    pub burst_kbits: u32,
    /// Thousands of packets in a second.
    pub rate_kpps: u32,
    /// Thousands of packets at once; 0 for a default.
    pub burst_kpackets: u32,
    /// Packets to the broadcast address or a group that are flooded in a second.
    pub flood_broadcast_pps: u32,
    /// Packets to hosts at an unknown place that are flooded in a second.
    pub flood_unicast_pps: u32,
}

impl Policing {
    /// Is anything limited that the switch floods?
    pub fn limits_floods(&self) -> bool {
        self.flood_broadcast_pps != 0 || self.flood_unicast_pps != 0
    }
}

/// Which member of a bond a packet leaves by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum BondMode {
    /// The active one.
    #[default]
    ActiveBackup,
    /// By source address and VLAN.
    BalanceSlb,
    /// By addresses and ports.
    BalanceTcp,
}

/// Whether a bond speaks LACP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Lacp {
    /// No.
    #[default]
    Off,
    /// When asked.
    Passive,
    /// By itself.
    Active,
}

/// Several ports that are one for NORMAL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bond {
    /// Name, unique on the node.
    pub name: String,
    /// Names of its ports, two or more.
    pub members: Vec<String>,
    /// Which member a packet leaves by.
    pub mode: BondMode,
    /// Whether it speaks LACP.
    pub lacp: Lacp,
    /// The partner shall tell every second instead of every 30.
    pub lacp_fast: bool,
    /// Without a partner it works as active-backup.
    pub lacp_fallback_ab: bool,
    /// LACP system id; `None` for the bridge's MAC address.
    pub lacp_system_id: Option<[u8; 6]>,
    /// LACP system priority.
    pub lacp_system_priority: u16,
    /// Milliseconds that a link must be up to be used.
    pub updelay_ms: u32,
    /// Milliseconds that a link must be down to be left.
    pub downdelay_ms: u32,
    /// Milliseconds between two looks at the balance; 0 for none.
    pub rebalance_ms: u32,
    /// The member that is active whenever it works.
    pub primary: Option<String>,
    /// Changes which flow takes which member.
    pub hash_basis: u32,
}

impl Bond {
    /// A bond with the defaults of Open vSwitch.
    pub fn new(name: impl Into<String>, members: Vec<String>) -> Bond {
        Bond {
            name: name.into(),
            members,
            mode: BondMode::ActiveBackup,
            lacp: Lacp::Off,
            lacp_fast: false,
            lacp_fallback_ab: false,
            lacp_system_id: None,
            lacp_system_priority: 0xffff,
            updelay_ms: 0,
            downdelay_ms: 0,
            rebalance_ms: 10_000,
            primary: None,
            hash_basis: 0,
        }
    }
}

/// How a port takes part in LACP; `None` for what follows from its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct LacpPort {
    /// Port number, 1 to 65535.
    pub id: Option<u16>,
    /// Port priority, 1 to 65535.
    pub priority: Option<u16>,
    /// Aggregation key, 1 to 65535.
    pub key: Option<u16>,
}

/// Copies of packets for someone who watches.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Mirror {
    /// Name, unique on the bridge.
    pub name: String,
    /// Every packet.
    pub select_all: bool,
    /// Packets that came in by these ports or bonds.
    pub select_src: Vec<String>,
    /// Packets that leave by these ports or bonds.
    pub select_dst: Vec<String>,
    /// Of those only packets in these VLANs; empty for all.
    pub select_vlans: Vec<u16>,
    /// The port or bond that copies leave by.
    pub output_port: Option<String>,
    /// The VLAN that copies are put into, where there is no `output_port`.
    pub output_vlan: Option<u16>,
    /// Most bytes of each copy.
    pub snaplen: Option<u16>,
}
