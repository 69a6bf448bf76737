//! Headers around whole packets: `encap` and `decap` of a traced packet, and what the datapath does for them.
//!
//! Purpose: the packet's fields behind each action, and `push_eth`, `pop_eth`, `push_nsh`, `pop_nsh` and
//! `add_mpls` when they are due.
//! Deliberately does not know: packets' bytes: what is under a service header is looked at in another pass.

use sluice_flow::extract::{nsh_of, set_nsh};
use sluice_flow::key::{slot, PACKET_WORDS, SERVICE_WORDS};
use sluice_openflow::action::Encap;
use sluice_wire::nsh;

use super::act::End;
use super::commit::{label_text, mac};
use super::odp::Odp;
use super::packet::Packet;
use super::tree::Kind;
use super::walk::Walk;

const PT_IPV4: u64 = 0x1_0800;
const PT_IPV6: u64 = 0x1_86dd;
const PT_NSH: u64 = 0x1_894f;
const NSH: u64 = 0x894f;
const BRIDGED: u64 = 0x6558;
const WRONG_TYPE: &str = "Unsupported packet type";
/// Class of the properties of a network service header, and two of them.
const CLASS_NSH: u16 = 4;
const MD_TYPE: u8 = 1;
const TLV: u8 = 2;
const METADATA_MAX: usize = 244;

/// What the datapath still has to do before anything else.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Due {
    /// Put the packet's outermost header on; context headers of a network service header of type 2.
    Encap(Vec<u8>),
    /// Take the outermost header off.
    Decap,
}

fn is_mpls(packet_type: u64) -> bool {
    matches!(packet_type, 0x1_8847 | 0x1_8848)
}

/// Name space and type, as remarks have them.
fn type_text(packet_type: u64) -> String {
    format!("({},0x{:x})", packet_type >> 16, packet_type & 0xffff)
}

impl Packet {
    /// Has it no Ethernet header?
    pub(super) fn is_bare(&self) -> bool {
        self.get(slot::PACKET_TYPE) != 0
    }

    fn forget_headers(&mut self) {
        let words = self.key.words.iter_mut().enumerate();
        for (_, word) in words.filter(|(i, _)| *i < PACKET_WORDS || SERVICE_WORDS.contains(i)) {
            *word = 0;
        }
        self.set_tags(&[]);
    }

    fn forget_addresses(&mut self) {
        self.set(slot::ETH_SRC, 0);
        self.set(slot::ETH_DST, 0);
    }
}

impl Walk<'_> {
    pub(super) fn encap(&mut self, e: &Encap) {
        self.commit();
        self.wc.mark_all(slot::PACKET_TYPE);
        match u64::from(e.new_packet_type) {
            0 => self.encap_ethernet(),
            PT_NSH => self.encap_nsh(e),
            label => self.encap_mpls(label),
        }
    }

    fn refuse(&mut self, remark: String) {
        self.say(Kind::Action, remark);
        self.error = Some(WRONG_TYPE);
    }

    fn encap_ethernet(&mut self) {
        if self.packet.get(slot::PACKET_TYPE) >> 16 != 1 {
            let remark = "Dropping packet as encap(ethernet) is not supported for packet type ethernet.";
            return self.refuse(remark.to_string());
        }
        self.packet.set(slot::PACKET_TYPE, 0);
        self.packet.forget_addresses();
        self.due = Some(Due::Encap(Vec::new()));
    }

    fn encap_nsh(&mut self, e: &Encap) {
        let packet_type = self.packet.get(slot::PACKET_TYPE);
        let next = match packet_type {
            0 => nsh::next::ETHERNET,
            PT_IPV4 => nsh::next::IPV4,
            PT_IPV6 => nsh::next::IPV6,
            PT_NSH => nsh::next::NSH,
            t => return self.refuse(format!("Dropping packet as encap(nsh) is not supported for packet type {}", type_text(t))),
        };
        let (md_type, metadata) = metadata_of(e);
        self.packet.forget_headers();
        self.packet.set(slot::PACKET_TYPE, PT_NSH);
        self.packet.set(slot::ETH_TYPE, NSH);
        set_nsh(&mut self.packet.key, &nsh::Header { md_type, next, ttl: 63, path: 255, ..nsh::Header::default() });
        self.due = Some(Due::Encap(metadata));
    }

    fn encap_mpls(&mut self, packet_type: u64) {
        let mut labels = self.packet.labels();
        if labels.len() >= 3 {
            self.error = Some("Too many MPLS labels");
            return;
        }
        if !self.packet.is_bare() {
            labels.clear();
        }
        let entry = match labels.first() {
            Some(top) => top & !0x100,
            None if self.packet.get(slot::ETH_TYPE) == 0x86dd => 0x2140,
            None => 0x0140,
        };
        labels.insert(0, entry);
        if labels.len() == 1 {
            self.packet.forget_headers();
        }
        self.packet.forget_addresses();
        self.packet.set(slot::PACKET_TYPE, packet_type);
        self.packet.set(slot::ETH_TYPE, packet_type & 0xffff);
        self.packet.set_labels(&labels);
        self.due = Some(Due::Encap(Vec::new()));
    }

    pub(super) fn decap(&mut self, under_label: u32) {
        self.commit();
        match self.packet.get(slot::PACKET_TYPE) {
            0 if self.packet.tci() & 0x1000 != 0 => {
                self.refuse("Dropping packet, cannot decap Ethernet if VLAN is present.".to_string());
            }
            0 => {
                let eth_type = self.packet.get(slot::ETH_TYPE);
                self.packet.set(slot::PACKET_TYPE, 0x1_0000 | eth_type);
                self.packet.forget_addresses();
                self.wc.mark_all(slot::ETH_TYPE);
            }
            PT_NSH => self.decap_nsh(),
            t if is_mpls(t) => self.decap_label(u64::from(under_label)),
            t => self.refuse(format!("Dropping packet as the decap() does not support packet type {}", type_text(t))),
        }
    }

    fn decap_nsh(&mut self) {
        let under = match self.packet.get(slot::NSH_NP) as u8 {
            nsh::next::ETHERNET => 0,
            nsh::next::IPV4 => PT_IPV4,
            nsh::next::IPV6 => PT_IPV6,
            nsh::next::NSH => PT_NSH,
            next => return self.refuse(format!("Dropping packet as NSH next protocol {next} is not supported")),
        };
        self.packet.set(slot::PACKET_TYPE, under);
        self.wc.mark_all(slot::NSH_NP);
        self.due = Some(Due::Decap);
        self.freeze();
    }

    fn decap_label(&mut self, under: u64) {
        let mut labels = self.packet.labels();
        match labels.as_slice() {
            [] => return,
            [_, _, third] if third & 0x100 == 0 => {
                self.error = Some("Too many MPLS labels");
                return;
            }
            _ => {}
        }
        let eth_type = if under & 0xffff == 0 { BRIDGED } else { under & 0xffff };
        let last = labels.len() == 1;
        labels.remove(0);
        self.packet.set(slot::PACKET_TYPE, under);
        self.packet.set(slot::ETH_TYPE, eth_type);
        self.packet.set_labels(&labels);
        self.due = Some(Due::Decap);
        if last {
            self.freeze();
        }
    }

    pub(super) fn dec_nsh_ttl(&mut self) -> End {
        if self.packet.get(slot::ETH_TYPE) == NSH {
            self.wc.mark_all(slot::NSH_TTL);
            let ttl = self.packet.get(slot::NSH_TTL);
            if ttl > 1 {
                self.packet.set(slot::NSH_TTL, ttl - 1);
                return End::Action;
            }
            self.to_controller(u16::MAX, 2, 0);
        }
        self.say(Kind::Warn, "NSH decrement TTL exception");
        End::List
    }

    /// Puts on or takes off what is due; the rest of the packet is brought up to date behind it.
    pub(super) fn cover(&mut self) {
        let due = self.due.take();
        let (now, was) = (self.packet.get(slot::PACKET_TYPE), self.base.get(slot::PACKET_TYPE));
        match due {
            Some(Due::Encap(metadata)) => self.put_on(now, &metadata),
            None if now == was => {}
            _ if now >> 16 == 1 && was == 0 => {
                self.emit(Odp::Text("pop_eth".to_string()));
                self.base.set(slot::PACKET_TYPE, now);
                self.base.forget_addresses();
            }
            _ if was == PT_NSH => self.emit(Odp::Text("pop_nsh()".to_string())),
            // Labels are taken off like any others.
            _ => {}
        }
    }

    fn put_on(&mut self, packet_type: u64, metadata: &[u8]) {
        let text = match packet_type {
            0 => {
                let address = |place| mac(self.packet.get(place));
                format!("push_eth(src={},dst={})", address(slot::ETH_SRC), address(slot::ETH_DST))
            }
            PT_NSH => push_nsh_text(&self.packet, metadata),
            _ => {
                let entry = self.packet.get(slot::MPLS_LSE0) as u32;
                format!("add_mpls({},eth_type=0x{:x})", label_text(entry), self.packet.get(slot::ETH_TYPE))
            }
        };
        self.emit(Odp::Text(text));
        self.base = self.packet.clone();
    }
}

fn push_nsh_text(packet: &Packet, metadata: &[u8]) -> String {
    let h = nsh_of(&packet.key);
    let mut text = format!(
        "push_nsh(flags={},ttl={},mdtype={},np={},spi=0x{:x},si={}",
        h.flags,
        h.ttl,
        h.md_type,
        h.next,
        h.path >> 8,
        h.path & 0xff
    );
    if h.md_type == nsh::TYPE1 {
        for (n, value) in (1..).zip(h.context) {
            text += &format!(",c{n}=0x{value:x}");
        }
    } else if metadata.is_empty() {
        text += ",md2=0";
    } else {
        text += ",md2=0x";
        metadata.iter().for_each(|b| text += &format!("{b:02x}"));
    }
    text + ")"
}

fn metadata_of(e: &Encap) -> (u8, Vec<u8>) {
    let (mut md_type, mut metadata) = (1, Vec::new());
    for (class, kind, value) in &e.properties {
        match (*class, *kind, value.as_slice()) {
            (CLASS_NSH, MD_TYPE, [t]) => md_type = *t,
            (CLASS_NSH, TLV, value) => {
                metadata.extend(value);
                metadata.resize(metadata.len().next_multiple_of(4), 0);
            }
            _ => {}
        }
    }
    if md_type == 1 || metadata.len() > METADATA_MAX {
        metadata.clear();
    }
    (md_type, metadata)
}
