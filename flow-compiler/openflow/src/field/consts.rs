//! A constant for each field.
//!
//! Purpose: name fields in code. Invariant: the numbers are places in the table of fields; a test
//! compares the names. Deliberately does not know: anything else of a field.

use super::Field;

impl Field {
    /// `dp_hash`.
    pub const DP_HASH: Field = Field(0);
    /// `recirc_id`.
    pub const RECIRC_ID: Field = Field(1);
    /// `packet_type`.
    pub const PACKET_TYPE: Field = Field(2);
    /// `conj_id`.
    pub const CONJ_ID: Field = Field(3);
    /// `tun_id`.
    pub const TUN_ID: Field = Field(4);
    /// `tun_src`.
    pub const TUN_SRC: Field = Field(5);
    /// `tun_dst`.
    pub const TUN_DST: Field = Field(6);
    /// `tun_ipv6_src`.
    pub const TUN_IPV6_SRC: Field = Field(7);
    /// `tun_ipv6_dst`.
    pub const TUN_IPV6_DST: Field = Field(8);
    /// `tun_flags`.
    pub const TUN_FLAGS: Field = Field(9);
    /// `tun_ttl`.
    pub const TUN_TTL: Field = Field(10);
    /// `tun_tos`.
    pub const TUN_TOS: Field = Field(11);
    /// `tun_gbp_id`.
    pub const TUN_GBP_ID: Field = Field(12);
    /// `tun_gbp_flags`.
    pub const TUN_GBP_FLAGS: Field = Field(13);
    /// `tun_erspan_idx`.
    pub const TUN_ERSPAN_IDX: Field = Field(14);
    /// `tun_erspan_ver`.
    pub const TUN_ERSPAN_VER: Field = Field(15);
    /// `tun_erspan_dir`.
    pub const TUN_ERSPAN_DIR: Field = Field(16);
    /// `tun_erspan_hwid`.
    pub const TUN_ERSPAN_HWID: Field = Field(17);
    /// `tun_gtpu_flags`.
    pub const TUN_GTPU_FLAGS: Field = Field(18);
    /// `tun_gtpu_msgtype`.
    pub const TUN_GTPU_MSGTYPE: Field = Field(19);
    /// `tun_metadata0`; `tun_metadataN` is N fields further.
    pub const TUN_METADATA0: Field = Field(20);
    /// `metadata`.
    pub const METADATA: Field = Field(84);
    /// `in_port`.
    pub const IN_PORT: Field = Field(85);
    /// `in_port_oxm`.
    pub const IN_PORT_OXM: Field = Field(86);
    /// `actset_output`.
    pub const ACTSET_OUTPUT: Field = Field(87);
    /// `skb_priority`.
    pub const SKB_PRIORITY: Field = Field(88);
    /// `pkt_mark`.
    pub const PKT_MARK: Field = Field(89);
    /// `ct_state`.
    pub const CT_STATE: Field = Field(90);
    /// `ct_zone`.
    pub const CT_ZONE: Field = Field(91);
    /// `ct_mark`.
    pub const CT_MARK: Field = Field(92);
    /// `ct_label`.
    pub const CT_LABEL: Field = Field(93);
    /// `ct_nw_proto`.
    pub const CT_NW_PROTO: Field = Field(94);
    /// `ct_nw_src`.
    pub const CT_NW_SRC: Field = Field(95);
    /// `ct_nw_dst`.
    pub const CT_NW_DST: Field = Field(96);
    /// `ct_ipv6_src`.
    pub const CT_IPV6_SRC: Field = Field(97);
    /// `ct_ipv6_dst`.
    pub const CT_IPV6_DST: Field = Field(98);
    /// `ct_tp_src`.
    pub const CT_TP_SRC: Field = Field(99);
    /// `ct_tp_dst`.
    pub const CT_TP_DST: Field = Field(100);
    /// `reg0`; the others follow it.
    pub const REG0: Field = Field(101);
    /// `xreg0`; the others follow it.
    pub const XREG0: Field = Field(117);
    /// `xxreg0`; the others follow it.
    pub const XXREG0: Field = Field(125);
    /// `eth_src`.
    pub const ETH_SRC: Field = Field(129);
    /// `eth_dst`.
    pub const ETH_DST: Field = Field(130);
    /// `eth_type`.
    pub const ETH_TYPE: Field = Field(131);
    /// `vlan_tci`.
    pub const VLAN_TCI: Field = Field(132);
    /// `dl_vlan`.
    pub const DL_VLAN: Field = Field(133);
    /// `vlan_vid`.
    pub const VLAN_VID: Field = Field(134);
    /// `dl_vlan_pcp`.
    pub const DL_VLAN_PCP: Field = Field(135);
    /// `vlan_pcp`.
    pub const VLAN_PCP: Field = Field(136);
    /// `mpls_label`.
    pub const MPLS_LABEL: Field = Field(137);
    /// `mpls_tc`.
    pub const MPLS_TC: Field = Field(138);
    /// `mpls_bos`.
    pub const MPLS_BOS: Field = Field(139);
    /// `mpls_ttl`.
    pub const MPLS_TTL: Field = Field(140);
    /// `ip_src`.
    pub const IP_SRC: Field = Field(141);
    /// `ip_dst`.
    pub const IP_DST: Field = Field(142);
    /// `ipv6_src`.
    pub const IPV6_SRC: Field = Field(143);
    /// `ipv6_dst`.
    pub const IPV6_DST: Field = Field(144);
    /// `ipv6_label`.
    pub const IPV6_LABEL: Field = Field(145);
    /// `nw_proto`.
    pub const NW_PROTO: Field = Field(146);
    /// `nw_tos`.
    pub const NW_TOS: Field = Field(147);
    /// `ip_dscp`.
    pub const IP_DSCP: Field = Field(148);
    /// `nw_ecn`.
    pub const NW_ECN: Field = Field(149);
    /// `nw_ttl`.
    pub const NW_TTL: Field = Field(150);
    /// `ip_frag`.
    pub const IP_FRAG: Field = Field(151);
    /// `arp_op`.
    pub const ARP_OP: Field = Field(152);
    /// `arp_spa`.
    pub const ARP_SPA: Field = Field(153);
    /// `arp_tpa`.
    pub const ARP_TPA: Field = Field(154);
    /// `arp_sha`.
    pub const ARP_SHA: Field = Field(155);
    /// `arp_tha`.
    pub const ARP_THA: Field = Field(156);
    /// `tcp_src`.
    pub const TCP_SRC: Field = Field(157);
    /// `tcp_dst`.
    pub const TCP_DST: Field = Field(158);
    /// `tcp_flags`.
    pub const TCP_FLAGS: Field = Field(159);
    /// `udp_src`.
    pub const UDP_SRC: Field = Field(160);
    /// `udp_dst`.
    pub const UDP_DST: Field = Field(161);
    /// `sctp_src`.
    pub const SCTP_SRC: Field = Field(162);
    /// `sctp_dst`.
    pub const SCTP_DST: Field = Field(163);
    /// `icmp_type`.
    pub const ICMP_TYPE: Field = Field(164);
    /// `icmp_code`.
    pub const ICMP_CODE: Field = Field(165);
    /// `icmpv6_type`.
    pub const ICMPV6_TYPE: Field = Field(166);
    /// `icmpv6_code`.
    pub const ICMPV6_CODE: Field = Field(167);
    /// `nd_target`.
    pub const ND_TARGET: Field = Field(168);
    /// `nd_sll`.
    pub const ND_SLL: Field = Field(169);
    /// `nd_tll`.
    pub const ND_TLL: Field = Field(170);
    /// `nd_reserved`.
    pub const ND_RESERVED: Field = Field(171);
    /// `nd_options_type`.
    pub const ND_OPTIONS_TYPE: Field = Field(172);
    /// `nsh_flags`.
    pub const NSH_FLAGS: Field = Field(173);
    /// `nsh_mdtype`.
    pub const NSH_MDTYPE: Field = Field(174);
    /// `nsh_np`.
    pub const NSH_NP: Field = Field(175);
    /// `nsh_spi`.
    pub const NSH_SPI: Field = Field(176);
    /// `nsh_si`.
    pub const NSH_SI: Field = Field(177);
    /// `nsh_c1`.
    pub const NSH_C1: Field = Field(178);
    /// `nsh_c2`.
    pub const NSH_C2: Field = Field(179);
    /// `nsh_c3`.
    pub const NSH_C3: Field = Field(180);
    /// `nsh_c4`.
    pub const NSH_C4: Field = Field(181);
    /// `nsh_ttl`.
    pub const NSH_TTL: Field = Field(182);
    /// `pbb_isid`.
    pub const PBB_ISID: Field = Field(183);
    /// `pbb_uca`.
    pub const PBB_UCA: Field = Field(184);
    /// `ipv6_exthdr`.
    pub const IPV6_EXTHDR: Field = Field(185);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_name_the_rows_that_they_say() {
        let pairs = [
            (Field::DP_HASH, "dp_hash"),
            (Field::TUN_METADATA0.plus(63), "tun_metadata63"),
            (Field::METADATA, "metadata"),
            (Field::REG0.plus(15), "reg15"),
            (Field::XREG0.plus(7), "xreg7"),
            (Field::XXREG0.plus(3), "xxreg3"),
            (Field::ETH_SRC, "eth_src"),
            (Field::IP_DSCP, "ip_dscp"),
            (Field::ICMPV6_CODE, "icmpv6_code"),
            (Field::NSH_TTL, "nsh_ttl"),
            (Field::PBB_UCA, "pbb_uca"),
            (Field::IPV6_EXTHDR, "ipv6_exthdr"),
        ];
        for (field, name) in pairs {
            assert_eq!(field.info().name, name);
        }
    }
}
