//! Why a packet was dropped: one closed list, every drop has one.

/// Why a packet was dropped.
macro_rules! reasons {
    ($($variant:ident, $name:literal, $text:literal;)*) => {
        /// Why a packet was dropped.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum DropReason { $(#[doc = $text] $variant,)* }

        impl DropReason {
            /// Every reason.
            pub const ALL: &'static [DropReason] = &[$(DropReason::$variant),*];
            /// Number of reasons.
            pub const COUNT: usize = Self::ALL.len();

            /// Stable name, as in JSON and metrics.
            pub const fn name(self) -> &'static str {
                match self { $(DropReason::$variant => $name,)* }
            }

            /// One sentence for a person.
            pub const fn text(self) -> &'static str {
                match self { $(DropReason::$variant => $text,)* }
            }
        }
    };
}

reasons! {
    NoRule, "no_rule", "no rule matched in the last table looked up, and the table's miss is drop";
    RuleDrop, "rule_drop", "the rule that matched has no output (drop)";
    NoOutput, "no_output", "actions ran, but none sent the packet anywhere";
    Runt, "runt", "shorter than an Ethernet header";
    InputPortDown, "input_port_down", "the port it came in by is administratively down or does not receive";
    PortGone, "port_gone", "the output port does not exist or has no device";
    PortDown, "port_down", "the output port is down or refuses to forward";
    SamePort, "same_port", "the only output is the port it came in by";
    TtlExpired, "ttl_expired", "dec_ttl met a TTL of 0 or 1";
    TooManyResubmits, "too_many_resubmits", "more than 4096 table look-ups for one packet";
    TooDeep, "too_deep", "resubmits or patch ports nested more than 64 deep";
    StackOverflow, "stack_overflow", "the action stack grew or shrank beyond its bounds";
    FragmentRefused, "fragment_refused", "a piece of an IP packet, which the bridge does not take (set-frags drop)";
    Metered, "metered", "above the rate of a meter";
    TooManyLabels, "too_many_labels", "MPLS: more than three labels to push or pop";
    PacketType, "packet_type", "encap or decap of a header that the packet does not have, or that does not go there";
    NotEthernet, "not_ethernet", "a packet without Ethernet header for a port that carries nothing else";
    NoLiveBucket, "no_live_bucket", "the group has no bucket that lives";
    FragmentsMissing, "fragments_missing", "a fragment waited in vain for the others of its datagram, to be tracked or to have its outer headers taken off";
    TooManyFragments, "too_many_fragments", "a fragment found no room to wait for the others, to be tracked or to have its outer headers taken off";
    ActionRefused, "action_refused", "met an action that this version loads and shows but does not execute";
    VlanNotAllowed, "vlan_not_allowed", "NORMAL: the VLAN is not allowed on the input port";
    ReservedAddress, "reserved_address", "NORMAL: sent to an address that bridges keep to themselves (01:80:c2:00:00:0x and some vendors')";
    MirrorPort, "mirror_port", "came in by a port that only sends the copies of a mirror";
    Protected, "protected", "from one protected port to another";
    Policed, "policed", "more than the port's ingress policing lets in";
    StormLimited, "storm_limited", "more broadcast or unknown unicast than the input port's storm limit lets the switch flood";
    QosQueueFull, "qos_queue_full", "the port's queue of its QoS was full, or too many frames waited in queues already";
    EgressPoliced, "egress_policed", "more than the policer of the output port's QoS lets out";
    NoMember, "no_member", "NORMAL: multicast that nobody wants, or only the port it came in by";
    BondRefused, "bond_refused", "came in by a member of a bond that does not receive";
    BondLoop, "bond_loop", "came back by a bond that it was sent out by";
    BondDown, "bond_down", "no member of the bond sends";
    NoTunnel, "no_tunnel", "encapsulated packet for which no tunnel port is configured";
    NotForTunnel, "not_for_tunnel", "put together from copies of fragments for an address where tunnels end, but for none of them: the host has the fragments";
    TunnelInvalid, "tunnel_invalid", "encapsulated packet with a malformed outer or VXLAN header";
    TunnelNoPeer, "tunnel_no_peer", "tunnel port without remote address and none set by a rule";
    NoRoute, "no_route", "no route to the tunnel's peer";
    NeighbourUnresolved, "neighbour_unresolved", "the next hop's hardware address is not known yet";
    EncapTooLong, "encap_too_long", "too long to be a UDP datagram after encapsulation";
    TunnelMtu, "tunnel_mtu", "with outer headers longer than the MTU of the device by which the tunnel leaves";
    NoHeadroom, "no_headroom", "no room left for another header";
    NoBuffer, "no_buffer", "the frame pool was empty when a copy was needed";
    TxQueueFull, "tx_queue_full", "the output port's queue was full";
    TxTooLong, "tx_too_long", "longer than the output port's MTU";
    TxError, "tx_error", "the output port refused the frame";
    StageLimit, "stage_limit", "too many distinct continuations (tunnel peers) at once";
    PuntQueueFull, "punt_queue_full", "the queue to the controllers was full";
    BadOffload, "bad_offload", "the frame's checksum or segmentation record contradicts its headers";
    Injected, "injected", "dropped on purpose by the fault port";
}
