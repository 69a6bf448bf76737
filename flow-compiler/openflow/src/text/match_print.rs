//! Matches, printed.
//!
//! Purpose: the text of a [`Match`] as `ovs-ofctl dump-flows` has it: its order, its shorthands, its
//! choice of decimal and hexadecimal. Invariant: parsing the text gives the match back.
//! Deliberately does not know: priorities, tables and all else that is not a match.

use super::flags::FlagNames;
use super::names::Names;
use super::value_print as value;
use crate::field::{Field, Format};
use crate::matching::{Asked, Match};
use crate::PortNo;
use sluice_flow::key::{slot, PACKET_WORDS};
use std::fmt::Write;

const IPV4: u64 = 0x0800;
const ARP: u64 = 0x0806;
const RARP: u64 = 0x8035;
const IPV6: u64 = 0x86dd;
const NSH: u64 = 0x894f;
const PBB: u64 = 0x88e7;

/// Prints a match. Empty for one that takes every packet; no comma at the end.
pub fn format_match(m: &Match, names: &Names) -> String {
    format_packet_match(m, (0, 0), names)
}

/// As [`format_match`], with what is asked of a second VLAN tag: value and mask.
pub fn format_packet_match(m: &Match, inner_tag: (u16, u16), names: &Names) -> String {
    let mut p = Printer {
        m,
        asked: m.asked(),
        inner_tag,
        names,
        out: String::with_capacity(64),
    };
    p.state();
    p.connection();
    p.packet_type();
    let protocol_said = p.shorthand();
    for n in 0..16 {
        p.hex(Field::REG0.plus(n));
    }
    p.tunnel();
    p.hex(Field::METADATA);
    p.port("in_port", Field::IN_PORT);
    p.vlan();
    p.plain("dl_src", Field::ETH_SRC);
    p.plain("dl_dst", Field::ETH_DST);
    if !protocol_said.eth_type && p.says(Field::ETH_TYPE) {
        let eth_type = m.value.get(slot::ETH_TYPE);
        p.push(format_args!("dl_type=0x{eth_type:04x}"));
    }
    p.network(protocol_said.protocol);
    p.labels();
    p.fragment();
    p.transport();
    p.out.pop();
    p.out
}

/// What the shorthand at the front of a match has said already.
struct Said {
    eth_type: bool,
    protocol: bool,
}

struct Printer<'a> {
    m: &'a Match,
    asked: Asked,
    inner_tag: (u16, u16),
    names: &'a Names,
    out: String,
}

impl Printer<'_> {
    fn push(&mut self, part: std::fmt::Arguments<'_>) {
        let _ = self.out.write_fmt(part);
        self.out.push(',');
    }

    /// What is said of a field.
    #[inline]
    fn field(&self, field: Field) -> (u128, u128) {
        match self.asked.has(field) {
            true => self.m.field(field),
            false => (0, 0),
        }
    }

    fn says(&self, field: Field) -> bool {
        self.field(field).1 != 0
    }

    /// Is anything asked of the frame's own headers?
    fn says_header(&self) -> bool {
        self.m.mask.words.iter().take(PACKET_WORDS).any(|w| *w != 0)
    }

    fn eth_type(&self) -> u64 {
        crate::field::eth_type(self.m)
    }

    fn protocol(&self) -> u64 {
        self.m.value.get(slot::NW_PROTO)
    }

    /// `name=0x1/0xff`
    fn hex(&mut self, field: Field) {
        self.integer(field.info().name, field, true);
    }

    /// `name=5`, under a mask `name=0x5/0xff`.
    fn decimal(&mut self, name: &str, field: Field) {
        self.integer(name, field, false);
    }

    fn integer(&mut self, name: &str, field: Field, hex: bool) {
        let (v, mask) = self.field(field);
        let ones = field.ones();
        if mask == 0 {
            return;
        }
        let _ = write!(self.out, "{name}=");
        if hex || mask != ones {
            if !hex && v == 0 {
                self.out.push_str("0x0");
            } else {
                value::hexadecimal(&mut self.out, v);
            }
        } else {
            let _ = write!(self.out, "{v}");
        }
        if mask != ones {
            let _ = write!(self.out, "/0x{mask:x}");
        }
        self.out.push(',');
    }

    /// `name=` and the value in the field's own way.
    fn plain(&mut self, name: &str, field: Field) {
        let (v, mask) = self.field(field);
        if mask == 0 {
            return;
        }
        let _ = write!(self.out, "{name}=");
        value::write(&mut self.out, field, v, mask, self.names);
        self.out.push(',');
    }

    fn port(&mut self, name: &str, field: Field) {
        let (v, mask) = self.field(field);
        if mask != 0 {
            let _ = write!(self.out, "{name}=");
            self.names.write_port(&mut self.out, PortNo(v as u32));
            self.out.push(',');
        }
    }

    fn flags(&mut self, field: Field, full: u32) {
        let (v, mask) = self.field(field);
        if let Some(names) = FlagNames::of(field.info().format).filter(|_| mask != 0) {
            let _ = write!(self.out, "{}=", field.info().name);
            names.write(&mut self.out, v as u32, mask as u32, full);
            self.out.push(',');
        }
    }

    fn state(&mut self) {
        self.hex(Field::PKT_MARK);
        self.hex(Field::RECIRC_ID);
        self.hex(Field::DP_HASH);
        self.decimal("conj_id", Field::CONJ_ID);
        self.hex(Field::SKB_PRIORITY);
        self.port("actset_output", Field::ACTSET_OUTPUT);
    }

    fn connection(&mut self) {
        self.flags(Field::CT_STATE, u32::MAX);
        self.decimal("ct_zone", Field::CT_ZONE);
        self.hex(Field::CT_MARK);
        self.hex(Field::CT_LABEL);
        for field in [
            Field::CT_NW_SRC,
            Field::CT_IPV6_SRC,
            Field::CT_NW_DST,
            Field::CT_IPV6_DST,
        ] {
            self.plain(field.info().name, field);
        }
        self.decimal("ct_nw_proto", Field::CT_NW_PROTO);
        self.decimal("ct_tp_src", Field::CT_TP_SRC);
        self.decimal("ct_tp_dst", Field::CT_TP_DST);
    }

    fn packet_type(&mut self) {
        let (v, mask) = self.field(Field::PACKET_TYPE);
        if mask != 0 {
            self.out.push_str("packet_type=");
            value::packet_type(&mut self.out, v as u32);
            self.out.push(',');
        } else if self.says(Field::RECIRC_ID) && self.says_header() {
            // Only beside a recirculation id is it said that a frame is Ethernet.
            self.out.push_str("eth,");
        }
    }

    fn shorthand(&mut self) -> Said {
        let by_packet_type = self.m.value.get(slot::PACKET_TYPE) >> 16 == 1;
        if !by_packet_type && !self.says(Field::ETH_TYPE) {
            return Said {
                eth_type: false,
                protocol: false,
            };
        }
        if !self.says(Field::ETH_TYPE) {
            return Said {
                eth_type: true,
                protocol: false,
            };
        }
        let protocol = if self.says(Field::NW_PROTO) {
            self.protocol()
        } else {
            256
        };
        let (word, said_protocol) = match (self.eth_type(), protocol) {
            (IPV4, 1) => ("icmp", true),
            (IPV4, 6) => ("tcp", true),
            (IPV4, 17) => ("udp", true),
            (IPV4, 132) => ("sctp", true),
            (IPV4, _) => ("ip", false),
            (IPV6, 58) => ("icmp6", true),
            (IPV6, 6) => ("tcp6", true),
            (IPV6, 17) => ("udp6", true),
            (IPV6, 132) => ("sctp6", true),
            (IPV6, _) => ("ipv6", false),
            (ARP, _) => ("arp", false),
            (RARP, _) => ("rarp", false),
            (0x8847, _) => ("mpls", false),
            (0x8848, _) => ("mplsm", false),
            _ => {
                return Said {
                    eth_type: false,
                    protocol: false,
                }
            }
        };
        self.push(format_args!("{word}"));
        Said {
            eth_type: true,
            protocol: said_protocol,
        }
    }

    fn tunnel(&mut self) {
        self.hex(Field::TUN_ID);
        for field in [
            Field::TUN_SRC,
            Field::TUN_DST,
            Field::TUN_IPV6_SRC,
            Field::TUN_IPV6_DST,
        ] {
            self.plain(field.info().name, field);
        }
        self.decimal("tun_gbp_id", Field::TUN_GBP_ID);
        // Open vSwitch prints no mask here.
        let (flags, mask) = self.field(Field::TUN_GBP_FLAGS);
        if mask != 0 {
            self.out.push_str("tun_gbp_flags=");
            value::hexadecimal(&mut self.out, flags);
            self.out.push(',');
        }
        let (tos, mask) = self.field(Field::TUN_TOS);
        if mask != 0 {
            self.push(format_args!("tun_tos={tos:x}"));
        }
        self.decimal("tun_ttl", Field::TUN_TTL);
        self.tunnel_flags();
        self.m.options().for_each(|n| self.option(n));
    }

    fn option(&mut self, n: u8) {
        let Some(said) = self.m.option(n) else { return };
        let _ = write!(self.out, "tun_metadata{n}");
        if !said.present {
            self.out.push_str("=NP");
        } else if !(said.masked && said.mask.is_zero()) {
            let _ = write!(self.out, "={}", said.value.hex());
            if !said.mask.covers(said.len) {
                let _ = write!(self.out, "/{}", said.mask.hex());
            }
        }
        self.out.push(',');
    }

    fn tunnel_flags(&mut self) {
        // One bit is all there is: it is printed with its sign.
        self.flags(Field::TUN_FLAGS, 0);
    }

    fn vlan(&mut self) {
        let (tci, mask) = self.field(Field::VLAN_TCI);
        if mask == 0 {
            return;
        }
        self.tag("", tci, mask);
        let (tci, mask) = self.inner_tag;
        if mask != 0 {
            self.tag("1", tci.into(), mask.into());
        }
    }

    /// One VLAN tag; `n` is nothing for the outer one.
    fn tag(&mut self, n: &str, tci: u128, mask: u128) {
        let all_or_nothing = |bits: u128| mask & bits == 0 || mask & bits == bits;
        let tagged = tci & mask & 0x1000 != 0 && mask & 0xefff != 0;
        if tagged && all_or_nothing(0xfff) && all_or_nothing(0xe000) {
            if mask & 0xfff != 0 {
                self.push(format_args!("dl_vlan{n}={}", tci & 0xfff));
            }
            if mask & 0xe000 != 0 {
                self.push(format_args!("dl_vlan_pcp{n}={}", tci >> 13));
            }
        } else if mask == 0xffff {
            self.push(format_args!("vlan_tci{n}=0x{tci:04x}"));
        } else {
            self.push(format_args!("vlan_tci{n}=0x{tci:04x}/0x{mask:04x}"));
        }
    }

    fn network(&mut self, protocol_said: bool) {
        let eth_type = self.eth_type();
        let arp = eth_type == ARP || eth_type == RARP;
        match eth_type {
            IPV6 => {
                self.plain("ipv6_src", Field::IPV6_SRC);
                self.plain("ipv6_dst", Field::IPV6_DST);
                self.flow_label();
                self.plain("ipv6_exthdr", Field::IPV6_EXTHDR);
            }
            NSH => self.service(),
            PBB => {
                self.decimal("pbb_isid", Field::PBB_ISID);
                self.decimal("pbb_uca", Field::PBB_UCA);
            }
            _ => {
                self.plain(if arp { "arp_spa" } else { "nw_src" }, Field::IP_SRC);
                self.plain(if arp { "arp_tpa" } else { "nw_dst" }, Field::IP_DST);
            }
        }
        if !protocol_said {
            self.decimal(if arp { "arp_op" } else { "nw_proto" }, Field::NW_PROTO);
        }
        if arp {
            self.plain("arp_sha", Field::ARP_SHA);
            self.plain("arp_tha", Field::ARP_THA);
        }
        let (tos, mask) = self.field(Field::NW_TOS);
        if mask != 0 {
            self.push(format_args!("nw_tos={tos}"));
        }
        if self.says(Field::NW_ECN) {
            let ecn = self.field(Field::NW_ECN).0;
            self.push(format_args!("nw_ecn={ecn}"));
        }
        self.decimal("nw_ttl", Field::NW_TTL);
    }

    fn flow_label(&mut self) {
        let (label, mask) = self.field(Field::IPV6_LABEL);
        if mask == Field::IPV6_LABEL.ones() {
            self.push(format_args!("ipv6_label=0x{label:05x}"));
        } else if mask != 0 {
            self.push(format_args!("ipv6_label=0x{label:05x}/0x{mask:05x}"));
        }
    }

    fn service(&mut self) {
        let (flags, mask) = self.field(Field::NSH_FLAGS);
        if mask == 0xff {
            self.push(format_args!("nsh_flags={flags}"));
        } else if mask != 0 {
            self.push(format_args!("nsh_flags=0x{flags:02x}/0x{mask:02x}"));
        }
        self.decimal("nsh_ttl", Field::NSH_TTL);
        self.decimal("nsh_mdtype", Field::NSH_MDTYPE);
        self.decimal("nsh_np", Field::NSH_NP);
        let (spi, mask) = self.field(Field::NSH_SPI);
        if mask != 0 {
            self.push(format_args!("nsh_spi=0x{spi:x}"));
        }
        self.decimal("nsh_si", Field::NSH_SI);
        for field in (0..4).map(|n| Field::NSH_C1.plus(n)) {
            let (context, mask) = self.m.field(field);
            let name = field.info().name;
            if mask == field.ones() {
                self.push(format_args!("{name}=0x{context:x}"));
            } else if mask != 0 {
                self.push(format_args!("{name}=0x{context:x}/0x{mask:x}"));
            }
        }
    }

    fn labels(&mut self) {
        self.decimal("mpls_label", Field::MPLS_LABEL);
        self.decimal("mpls_tc", Field::MPLS_TC);
        self.decimal("mpls_ttl", Field::MPLS_TTL);
        self.decimal("mpls_bos", Field::MPLS_BOS);
        for (name, place) in [("mpls_lse1", slot::MPLS_LSE1), ("mpls_lse2", slot::MPLS_LSE2)] {
            let (value, mask) = (self.m.value.get(place), self.m.mask.get(place));
            if mask == place.ones() as u64 {
                self.push(format_args!("{name}={value}"));
            } else if mask != 0 {
                self.push(format_args!("{name}=0x{value:08x}/0x{mask:08x}"));
            }
        }
    }

    fn fragment(&mut self) {
        let (v, mask) = self.field(Field::IP_FRAG);
        if mask != 0 {
            let word = value::fragment_name(v as u8, mask as u8);
            self.push(format_args!("nw_frag={word}"));
        }
    }

    fn transport(&mut self) {
        let (src, dst) = match (self.eth_type(), self.protocol()) {
            (IPV4, 1) | (IPV6, 58) => ("icmp_type", "icmp_code"),
            _ => ("tp_src", "tp_dst"),
        };
        self.decimal(src, Field::TCP_SRC);
        self.decimal(dst, Field::TCP_DST);
        if self.eth_type() == IPV6 && self.protocol() == 58 {
            self.plain("nd_target", Field::ND_TARGET);
            self.plain("nd_sll", Field::ND_SLL);
            self.plain("nd_tll", Field::ND_TLL);
            self.decimal("nd_reserved", Field::ND_RESERVED);
            self.decimal("nd_options_type", Field::ND_OPTIONS_TYPE);
        }
        let ip = matches!(self.eth_type(), IPV4 | IPV6);
        if ip && self.protocol() == 6 && Field::TCP_FLAGS.info().format == Format::TcpFlags {
            self.flags(Field::TCP_FLAGS, 0xfff);
        }
    }
}
