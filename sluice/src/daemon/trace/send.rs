//! Where a traced packet leaves: ports, patch ports, tunnels, controllers, groups.
//!
//! Deliberately does not know: which VLANs NORMAL allows (see `normal`).

use sluice_flow::key::{slot, TUN_OPTION_WORDS};
use sluice_openflow::message::port_config;
use sluice_openflow::action::{Bundle, HashFields, Multipath};
use sluice_openflow::text::Names;
use sluice_openflow::{Action, PortNo, SubField};
use sluice_ovsdb_bridge as desired;

use super::odp::Odp;
use super::packet::Packet;
use super::ports::{datapath_number, is_floodable, is_patch, other_half};
use super::tree::Kind;
use super::walk::{no_receive, How, Walk};
use crate::daemon::switch::bridge::PortState;

/// Reasons for which controllers get packets.
mod reason {
    pub const ACTION: u8 = 1;
    pub const EXPLICIT_MISS: u8 = 6;
    pub const ACTION_SET: u8 = 3;
    pub const GROUP: u8 = 4;
    pub const PACKET_OUT: u8 = 5;
}

impl Walk<'_> {
    pub(super) fn output(&mut self, port: PortNo, max_len: u16, may_punt: bool, last: bool, in_bucket: bool) {
        let in_port = self.packet.in_port();
        match port {
            PortNo::IN_PORT => self.send(in_port, last),
            PortNo::TABLE => self.resubmit(in_port, 0, may_punt, true, false, How::Plain),
            PortNo::NORMAL => self.normal(),
            PortNo::FLOOD => self.flood(false, last),
            PortNo::ALL => self.flood(true, last),
            PortNo::CONTROLLER => {
                let reason = match (self.in_packet_out, in_bucket, self.in_action_set) {
                    (true, _, _) => reason::PACKET_OUT,
                    (_, true, _) => reason::GROUP,
                    (_, _, true) => reason::ACTION_SET,
                    _ => reason::ACTION,
                };
                self.to_controller(max_len, reason, 0);
            }
            PortNo::NONE => {}
            _ if port == in_port => self.say(Kind::Warn, "skipping output to input port"),
            _ => self.send(port, last),
        }
    }

    pub(super) fn output_from(&mut self, src: SubField, max_len: u16, last: bool, in_bucket: bool) {
        let port = self.packet.read(src);
        match u16::try_from(port) {
            Ok(number) => {
                self.say(Kind::Detail, format!("output port is {number}"));
                self.wc.mark_part(src);
                self.output(PortNo::from_u16(number), max_len, false, last, in_bucket);
            }
            Err(_) => self.say(Kind::Warn, format!("output port {port} is out of range")),
        }
    }

    pub(super) fn output_cut(&mut self, port: PortNo, max_len: u32, last: bool, in_bucket: bool) {
        let mut name = String::new();
        Names::new().write_port(&mut name, port);
        match port {
            PortNo::TABLE | PortNo::NORMAL | PortNo::FLOOD | PortNo::ALL | PortNo::CONTROLLER | PortNo::NONE => {
                self.say(Kind::Warn, format!("output_trunc does not support port: {name}"));
            }
            _ if port == self.packet.in_port() => self.say(Kind::Warn, "skipping output to input port"),
            _ if self.port(port).is_none_or(is_patch) => {
                self.say(Kind::Error, format!("output_trunc does not support patch port {name}"));
            }
            _ => {
                self.emit(Odp::Text(format!("trunc({max_len})")));
                self.output(port, 0, false, last, in_bucket);
            }
        }
    }

    pub(super) fn enqueue(&mut self, port: PortNo, queue: u32, last: bool, in_bucket: bool) {
        self.wc.mark_all(slot::SKB_PRIORITY);
        let port = if port == PortNo::IN_PORT { self.packet.in_port() } else { port };
        if port == self.packet.in_port() && port != PortNo::LOCAL {
            return;
        }
        let before = self.packet.get(slot::SKB_PRIORITY);
        self.packet.set(slot::SKB_PRIORITY, u64::from(queue));
        let _ = in_bucket;
        self.send(port, last);
        self.packet.set(slot::SKB_PRIORITY, before);
    }

    fn flood(&mut self, all: bool, last: bool) {
        let in_port = self.packet.in_port();
        let Some(bridge) = self.bridge() else { return };
        let to: Vec<PortNo> = bridge.ports.values().filter(|p| p.number != in_port && (all || is_floodable(p))).map(|p| p.number).collect();
        // Ports without a number of the datapath, LOCAL first, as a switch of its own would list them.
        for (i, port) in to.iter().enumerate() {
            self.send(*port, last && i + 1 == to.len());
        }
    }

    /// To a port, even to the one that the packet came in by.
    pub(super) fn send(&mut self, number: PortNo, last: bool) {
        let Some(port) = self.port(number).filter(|p| datapath_number(p).is_some() || is_virtual(p)) else {
            return self.say(Kind::Warn, "Nonexistent output port");
        };
        if port.config & port_config::NO_FWD != 0 {
            return self.say(Kind::Detail, "OFPPC_NO_FWD set, skipping output");
        }
        if self.both_protected(port) {
            return self.say(Kind::Warn, "Flow is between protected ports, skipping output.");
        }
        if is_patch(port) {
            return self.cross(port, last);
        }
        if self.packet.is_bare() {
            return self.say(Kind::Warn, "Trying to send non-Ethernet packet through legacy L2 port. Dropping packet.");
        }
        if let Some(desired::PortKind::Vxlan(vxlan)) = port.wanted.as_ref().map(|w| &w.kind) {
            return self.by_tunnel(vxlan, last);
        }
        let Some(number) = datapath_number(port) else { return };
        self.commit();
        self.emit(Odp::Output(number));
    }

    fn both_protected(&self, port: &PortState) -> bool {
        let protected = |p: &PortState| p.wanted.as_ref().is_some_and(|w| w.switching.protected);
        protected(port) && self.port(self.packet.in_port()).is_some_and(protected)
    }

    /// Into another bridge, with nothing of this one's state.
    fn cross(&mut self, port: &PortState, last: bool) {
        let Some((bridge, number)) = other_half(self.switch, port) else {
            return self.say(Kind::Warn, "Nonexistent output port");
        };
        let saved = (self.packet.clone(), self.bridge, self.conntracked, self.was_mpls, self.tree.at);
        let (stack, action_set) = (std::mem::take(&mut self.stack), std::mem::take(&mut self.action_set));
        let tunnel = self.wc.clone();
        self.wc.forget_tunnel();
        self.packet.set(slot::IN_PORT, u64::from(number.0));
        self.packet.set(slot::METADATA, 0);
        self.packet.forget_tunnel();
        (0..8).for_each(|n| self.packet.set(slot::xreg(n), 0));
        self.packet.set(slot::ACTSET_OUTPUT, 0);
        self.clear_state();
        self.tree.at = self.tree.add(Kind::Bridge, format!("bridge(\"{}\")", bridge.name));
        self.in_bridge(bridge.index);
        if bridge.ports.get(&number).is_some_and(|p| !no_receive(p)) {
            self.resubmit(number, 0, true, true, last, How::OnCopy);
            self.end_of_list();
        }
        (self.packet, self.bridge, self.conntracked, self.was_mpls, self.tree.at) = saved;
        (self.stack, self.action_set) = (stack, action_set);
        copy_tunnel(&tunnel, &mut self.wc);
        self.wc.options.clone_from(&self.packet.options);
        self.exit = false;
        self.error = None;
    }

    pub(super) fn clear_state(&mut self) {
        self.conntracked = false;
        self.packet.forget_connection();
    }

    pub(super) fn to_controller(&mut self, max_len: u16, why: u8, id: u16) {
        self.commit();
        let why = if why == reason::ACTION && self.rule.is_table_miss { reason::EXPLICIT_MISS } else { why };
        let recirc = self.recirc_id();
        let cookie = self.rule.cookie.unwrap_or(u64::MAX);
        let cookie = if cookie == 0 { "0".to_string() } else { format!("0x{cookie:x}") };
        let silent = u8::from(!self.side_effects);
        self.emit(Odp::Text(format!(
            "userspace(pid=0,controller(reason={why},dont_send={silent},continuation=0,recirc_id={recirc},rule_cookie={cookie},controller_id={id},max_len={max_len}))"
        )));
    }

    pub(super) fn meter(&mut self, id: u32) {
        let found = self.switch.program().bridge(self.bridge).and_then(|b| b.referred.meter(id)).map(|m| m.place);
        if let Some(place) = found {
            self.emit(Odp::Text(format!("meter({place})")));
        }
    }

    pub(super) fn bundle(&mut self, bundle: &Bundle, last: bool, in_bucket: bool) {
        let lowered = self.lower_one(&Action::Bundle(Box::new(bundle.clone())));
        let Some(sluice_flow::action::Action::Bundle(compiled)) = lowered.first() else { return };
        if compiled.by.is_some() {
            self.mark_hashed(bundle.fields);
        }
        let lives = |i: usize| bundle.members.get(i).and_then(|n| self.port(*n)).is_some_and(|p| p.link.up && p.link.carrier);
        let chosen = compiled.choose(&self.packet.key, lives);
        let port = chosen.and_then(|i| bundle.members.get(i).copied()).unwrap_or(PortNo::NONE);
        match bundle.dst {
            Some(dst) => {
                self.wc.mark_part(dst);
                self.packet.write(dst, u128::from(port.to_u16().unwrap_or(u16::MAX)));
                self.say_now(dst);
            }
            None => self.output(port, 0, false, last, in_bucket),
        }
    }

    pub(super) fn multipath(&mut self, m: &Multipath) {
        let lowered = self.lower_one(&Action::Multipath(Box::new(m.clone())));
        let Some(sluice_flow::action::Action::Multipath(compiled)) = lowered.first() else { return };
        self.mark_hashed(m.fields);
        let hash = compiled.headers.hash(&self.packet.key, compiled.basis);
        let link = compiled.algorithm.link(hash, compiled.links);
        self.wc.mark_part(m.dst);
        self.packet.write(m.dst, u128::from(link));
        self.say_now(m.dst);
    }

    /// What a hash is made of.
    fn mark_hashed(&mut self, fields: HashFields) {
        let (v4, v6) = (self.packet.eth_type() == 0x0800, self.packet.eth_type() == 0x86dd);
        let protocol = self.packet.protocol();
        let mut marks = Vec::new();
        let addresses: &[sluice_flow::Slot] = match (v4, v6) {
            (true, _) => &[slot::NW_SRC, slot::NW_DST],
            (_, true) => &[slot::IPV6_SRC, slot::IPV6_DST],
            _ => &[],
        };
        match fields {
            HashFields::EthSrc => marks.push(slot::ETH_SRC),
            HashFields::NwSrc => marks.extend(addresses.first()),
            HashFields::NwDst => marks.extend(addresses.last()),
            HashFields::SymmetricL3 => marks.extend(addresses),
            HashFields::SymmetricL4 => {
                marks.extend([slot::ETH_SRC, slot::ETH_DST]);
                marks.extend(addresses);
                if v4 || v6 {
                    marks.push(slot::NW_PROTO);
                    if protocol != 17 {
                        marks.extend([slot::TP_SRC, slot::TP_DST]);
                    }
                }
                self.wc.mark(slot::VLAN_TCI, 0x1fff);
            }
            HashFields::SymmetricL3L4 | HashFields::SymmetricL3L4Udp if v4 || v6 => {
                marks.extend(addresses);
                marks.push(slot::NW_PROTO);
                let counted = matches!(protocol, 6 | 132) || protocol == 17 && fields == HashFields::SymmetricL3L4Udp;
                if counted && !self.packet.is_later_fragment() {
                    marks.extend([slot::TP_SRC, slot::TP_DST]);
                }
            }
            _ => {}
        }
        marks.into_iter().for_each(|place| self.wc.mark_all(place));
    }

    /// One action as the program has it.
    fn lower_one(&self, action: &Action) -> std::sync::Arc<[sluice_flow::action::Action]> {
        let mut learns = 0;
        let options = self.switch.rules.options(self.bridge);
        sluice_compiler::lower::lower(std::slice::from_ref(action), options, &mut learns).actions
    }
}

/// Ports that need no device.
fn is_virtual(port: &PortState) -> bool {
    matches!(port.wanted.as_ref().map(|w| &w.kind), Some(desired::PortKind::Patch { .. } | desired::PortKind::Vxlan(_)))
}

fn copy_tunnel(from: &Packet, to: &mut Packet) {
    let options = TUN_OPTION_WORDS.map(usize::from);
    for word in super::packet::TUNNEL_WORDS.chain(options) {
        if let (Some(from), Some(to)) = (from.key.words.get(word), to.key.words.get_mut(word)) {
            *to = *from;
        }
    }
}
