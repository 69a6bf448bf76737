//! Connections, as far as a trace follows them.
//!
//! Purpose: what `ct(...)` does to the packet, its copy that goes on in another table.
//! Deliberately does not know: which connections there are; the one who asks says what state the
//! copy is in.

use sluice_flow::key::slot;
use sluice_openflow::action::{Ct, CtZone, Nat};
use sluice_openflow::PortNo;

use super::odp::Odp;
use super::tree::Kind;
use super::walk::{How, Recirculated, Walk};

impl Walk<'_> {
    pub(super) fn conntrack(&mut self, ct: &Ct, last: bool) {
        let zone = match &ct.zone {
            CtZone::Number(zone) => *zone,
            CtZone::Field(part) => {
                let of_pipeline = sluice_flow::key::PACKET_WORDS <= part.field.info().slot.map_or(0, |s| usize::from(s.word));
                if !(self.resumed && of_pipeline) {
                    self.wc.mark_part(*part);
                }
                self.packet.read(*part) as u16
            }
        };
        let masks = (self.wc.get(slot::CT_MARK), self.wc.key.get_wide(slot::CT_LABEL));
        self.commit();
        self.nat = None;
        self.wc.set(slot::CT_MARK, 0);
        self.wc.key.set_wide(slot::CT_LABEL, 0);
        self.list(&ct.actions, last, false);
        let text = self.action_text(ct, zone);
        self.emit(Odp::Text(text));
        self.wc.set(slot::CT_MARK, masks.0);
        self.wc.key.set_wide(slot::CT_LABEL, masks.1);
        if let Some(table) = ct.table {
            self.conntracked = true;
            self.fork(table, zone);
        }
        self.nat = None;
        self.clear_state();
        self.say(Kind::Detail, "Sets the packet to an untracked state, and clears all the conntrack fields.");
    }

    fn action_text(&self, ct: &Ct, zone: u16) -> String {
        let mut parts = Vec::new();
        if ct.commit {
            parts.push(if ct.force { "force_commit" } else { "commit" }.to_string());
        }
        if zone != 0 {
            parts.push(format!("zone={zone}"));
        }
        let mask = self.wc.get(slot::CT_MARK);
        if mask != 0 {
            parts.push(format!("mark={}/0x{mask:x}", hex(u128::from(self.packet.get(slot::CT_MARK) & mask))));
        }
        let mask = self.wc.key.get_wide(slot::CT_LABEL);
        if mask != 0 {
            parts.push(format!("label={}/0x{mask:x}", hex(self.packet.key.get_wide(slot::CT_LABEL) & mask)));
        }
        match ct.alg {
            21 => parts.push("helper=ftp".to_string()),
            69 => parts.push("helper=tftp".to_string()),
            _ => {}
        }
        if let Some(nat) = &self.nat {
            parts.push(nat_text(nat));
        }
        if parts.is_empty() { "ct".to_string() } else { format!("ct({})", parts.join(",")) }
    }

    fn fork(&mut self, table: u8, zone: u16) {
        let id = self.recirc_id();
        self.emit(Odp::Text(format!("recirc(0x{id:x})")));
        let mut packet = self.packet.clone();
        packet.set(slot::RECIRC_ID, u64::from(id));
        packet.set(slot::CT_ZONE, u64::from(zone));
        self.recirculated.push(Recirculated {
            id,
            packet,
            bridge: self.bridge,
            table,
            stack: self.stack.clone(),
            action_set: self.action_set.clone(),
            nat: self.nat.clone(),
        });
        self.say(
            Kind::Detail,
            format!("A clone of the packet is forked to recirculate. The forked pipeline will be resumed at table {table}."),
        );
    }

    pub(super) fn clear_connection(&mut self) {
        if self.conntracked {
            self.clear_state();
            self.emit(Odp::Text("ct_clear".to_string()));
        }
    }

    /// A look-up with the addresses and ports of the connection's first packet.
    pub(super) fn resubmit_by_connection(&mut self, in_port: PortNo, table: u8, last: bool) {
        self.by_connection = true;
        self.resubmit(in_port, table, false, false, last, How::Plain);
        self.by_connection = false;
    }

    pub(super) fn swap_tuples(&mut self) {
        let v4 = [(slot::NW_SRC, slot::CT_NW_SRC), (slot::NW_DST, slot::CT_NW_DST)];
        let v6 = [(slot::IPV6_SRC, slot::CT_IPV6_SRC), (slot::IPV6_DST, slot::CT_IPV6_DST)];
        let addresses = if self.packet.eth_type() == 0x0800 { v4 } else { v6 };
        let rest = [(slot::NW_PROTO, slot::CT_NW_PROTO), (slot::TP_SRC, slot::CT_TP_SRC), (slot::TP_DST, slot::CT_TP_DST)];
        for key in [&mut self.packet.key, &mut self.wc.key] {
            for (a, b) in addresses.into_iter().chain(rest) {
                let (x, y) = (key.get_wide(a), key.get_wide(b));
                key.set_wide(a, y);
                key.set_wide(b, x);
            }
        }
    }
}

fn nat_text(nat: &Nat) -> String {
    let mut text = if nat.src { "nat(src" } else if nat.dst { "nat(dst" } else { return "nat".to_string() }.to_string();
    if let Some((from, to)) = nat.addresses {
        let v6 = from.is_ipv6() && nat.ports.is_some();
        let one = |a: std::net::IpAddr| if v6 { format!("[{a}]") } else { a.to_string() };
        text += &format!("={}", one(from));
        if let Some(to) = to.filter(|t| *t > from) {
            text += &format!("-{}", one(to));
        }
    }
    if let Some((from, to)) = nat.ports {
        text += &format!("{}{from}", if nat.addresses.is_some() { ":" } else { "=:" });
        if let Some(to) = to.filter(|t| *t > from) {
            text += &format!("-{to}");
        }
    }
    for (word, said) in [("persistent", nat.persistent), ("hash", nat.hash), ("random", nat.random)] {
        if said {
            text += &format!(",{word}");
        }
    }
    text + ")"
}

fn hex(value: u128) -> String {
    if value == 0 { "0".to_string() } else { format!("0x{value:x}") }
}

