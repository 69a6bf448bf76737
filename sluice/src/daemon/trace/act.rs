//! What each action does to a traced packet.
//!
//! Deliberately does not know: outputs (see `send`), NORMAL, connections.

use sluice_flow::key::slot;
use sluice_openflow::action::{LearnSource, LearnSpec, SetField, WideValue};
use sluice_openflow::text::{format_actions, format_subfield, format_value, Names};
use sluice_openflow::wide::Wide;
use sluice_openflow::{Action, Field, PortNo, SubField};

use super::odp::Odp;
use super::tree::Kind;
use super::walk::{Effect, How, Walk};

/// Where the labels of a packet are in the key.
const LABELS: [sluice_flow::Slot; 3] = [slot::MPLS_LSE0, slot::MPLS_LSE1, slot::MPLS_LSE2];

/// How the rest of a list fares after an action.
#[derive(PartialEq, Eq)]
pub(super) enum End {
    /// It goes on.
    Action,
    /// Nothing more of this list.
    List,
}

impl Walk<'_> {
    pub(super) fn one(&mut self, action: &Action, rest: &[Action], last: bool, in_bucket: bool) -> End {
        match action {
            Action::Output { port, max_len } => self.output(*port, *max_len, true, last, in_bucket),
            Action::OutputReg { src, max_len } => self.output_from(*src, *max_len, last, in_bucket),
            Action::OutputTrunc { port, max_len } => self.output_cut(*port, *max_len, last, in_bucket),
            Action::Enqueue { port, queue } => self.enqueue(*port, *queue, last, in_bucket),
            Action::Controller(c) if c.pause => self.freeze(),
            Action::Controller(c) => self.to_controller(c.max_len, c.reason, c.id),
            Action::Group(id) => return self.group(*id, last),
            Action::Bundle(b) => self.bundle(b, last, in_bucket),
            Action::Resubmit { in_port, table, with_ct_orig } => self.resubmit_action(*in_port, *table, *with_ct_orig, last),
            Action::GotoTable(table) => {
                let in_port = self.packet.in_port();
                self.resubmit(in_port, *table, true, true, last, How::Plain);
            }
            Action::Clone(inner) => self.on_copy(inner, last),
            Action::Ct(ct) => self.conntrack(ct, last),
            Action::CtClear => self.clear_connection(),
            Action::Nat(nat) => self.nat = Some((**nat).clone()),
            Action::CheckPktLarger { len, dst } => {
                self.check_length(*len, *dst, rest);
                return End::List;
            }
            Action::DecTtl { controllers, .. } => return self.dec_ttl(controllers),
            Action::DecMplsTtl => return self.dec_mpls_ttl(),
            Action::DecNshTtl => return self.dec_nsh_ttl(),
            Action::Encap(e) => self.encap(e),
            Action::Decap { new_packet_type } => self.decap(new_packet_type.unwrap_or(0xfffe)),
            Action::Learn(learn) => self.learn(learn),
            Action::Exit => self.exit = true,
            Action::DebugRecirc => self.freeze(),
            Action::DebugSlow => self.slow = true,
            Action::Conjunction { .. } => self.say(Kind::Error, "executing no-op conjunction action"),
            Action::FinTimeout { .. } => self.wc.mark_all(slot::NW_PROTO),
            Action::Meter(id) => self.meter(*id),
            Action::WriteActions(set) => self.write_actions(set),
            Action::ClearActions => {
                self.say_action_set("was");
                self.action_set.clear();
                self.packet.set(slot::ACTSET_OUTPUT, 0);
            }
            Action::WriteMetadata { value, mask } => {
                self.packet.key.set_masked(slot::METADATA, u128::from(*value), u128::from(*mask));
            }
            Action::SetQueue(queue) => {
                self.wc.mark_all(slot::SKB_PRIORITY);
                self.packet.set(slot::SKB_PRIORITY, u64::from(*queue));
            }
            Action::PopQueue => self.pop_queue(),
            Action::Multipath(m) => self.multipath(m),
            Action::Note(_) | Action::Sample(_) => {}
            Action::DeleteField(field) => {
                if let Some(n) = field.option_number() {
                    self.packet.set(slot::tun_option_present(n), 0);
                }
            }
            _ => self.write_action(action),
        }
        End::Action
    }

    /// An action that this version executes nowhere.
    fn unknown(&mut self) {
        self.say(Kind::Error, "this action is not supported, packets are dropped here");
        self.error = Some("Unsupported packet type");
    }

    /// Actions that only write to the packet.
    fn write_action(&mut self, action: &Action) {
        match action {
            Action::SetField(set) => self.set_field(set),
            Action::Move { src, dst } => {
                self.wc.mark_condition(dst.field, &self.packet);
                self.wc.mark_condition(src.field, &self.packet);
                if self.packet.has(src.field) && self.packet.has(dst.field) {
                    self.wc.mark_part(*src);
                    self.wc.mark_part(*dst);
                    let value = self.packet.read(*src);
                    self.packet.write(*dst, value);
                }
                self.say_now(*dst);
            }
            Action::StackPush(src) => {
                self.wc.mark_part(*src);
                self.stack.push(self.packet.read(*src));
            }
            Action::StackPop(dst) => match self.stack.pop() {
                Some(value) => {
                    self.wc.mark_part(*dst);
                    self.packet.write(*dst, value);
                    self.say_now(*dst);
                }
                None => self.say(Kind::Error, "stack underflow"),
            },
            Action::SetVlanVid { vid, push_vlan_if_needed } => self.vlan(*push_vlan_if_needed, 0xfff, *vid),
            Action::SetVlanPcp { pcp, push_vlan_if_needed } => self.vlan(*push_vlan_if_needed, 0xe000, u16::from(*pcp) << 13),
            Action::StripVlan { .. } => self.pop_vlan(),
            Action::PushVlan(tpid) => self.push_vlan(*tpid),
            Action::SetEthSrc(mac) => self.overwrite(Field::ETH_SRC, mac_value(mac)),
            Action::SetEthDst(mac) => self.overwrite(Field::ETH_DST, mac_value(mac)),
            Action::SetIpv4Src(ip) if self.packet.eth_type() == 0x0800 => self.write_ip(Field::IP_SRC, u128::from(*ip)),
            Action::SetIpv4Dst(ip) if self.packet.eth_type() == 0x0800 => self.write_ip(Field::IP_DST, u128::from(*ip)),
            Action::SetIpDscp(tos) if self.packet.is_ip() => self.write_ip(Field::NW_TOS, u128::from(*tos)),
            Action::SetIpEcn(ecn) if self.packet.is_ip() => self.write_ip(Field::NW_ECN, u128::from(*ecn)),
            Action::SetIpTtl(ttl) if self.packet.is_ip() => self.write_ip(Field::NW_TTL, u128::from(*ttl)),
            Action::SetL4Src(port) => self.write_port(Field::TCP_SRC, *port),
            Action::SetL4Dst(port) => self.write_port(Field::TCP_DST, *port),
            Action::SetTunnel { id, .. } => self.packet.set(slot::TUN_ID, *id),
            Action::PushMpls(eth_type) => self.push_mpls(*eth_type),
            Action::PopMpls(eth_type) => self.pop_mpls(*eth_type),
            Action::SetMplsLabel(label) => self.write_label(Field::MPLS_LABEL, u128::from(*label)),
            Action::SetMplsTc(tc) => self.write_label(Field::MPLS_TC, u128::from(*tc)),
            Action::SetMplsTtl(ttl) => self.write_label(Field::MPLS_TTL, u128::from(*ttl)),
            _ => {}
        }
    }

    fn set_field(&mut self, set: &SetField) {
        if let Some(n) = set.field.option_number() {
            let (value, mask) = (Wide::from(&set.value), Wide::from(&set.mask));
            self.wc.mark_option(n, &mask);
            self.packet.write_option(n, &value, &mask);
            return;
        }
        let (WideValue::Small(value), WideValue::Small(mask)) = (&set.value, &set.mask) else { return self.unknown() };
        let field = set.field;
        self.wc.mark_condition(field, &self.packet);
        if !self.packet.has(field) {
            let name = field.info().name;
            return self.say(Kind::Warn, format!("unmet prerequisites for {name}, set_field ignored"));
        }
        self.mark_layer(field);
        self.label_by_action |= field == Field::IPV6_LABEL;
        self.wc.mark_bits(field, *mask);
        if !self.packet.write_bits(field, *value, *mask) {
            self.unknown();
        }
    }

    /// Whoever writes into a network header looks at the protocol too.
    fn mark_layer(&mut self, field: Field) {
        let ip = [Field::IP_SRC, Field::IP_DST, Field::IPV6_SRC, Field::IPV6_DST, Field::IPV6_LABEL, Field::NW_TOS, Field::NW_ECN, Field::NW_TTL];
        let arp = [Field::ARP_OP, Field::ARP_SHA, Field::ARP_THA, Field::ARP_SPA, Field::ARP_TPA];
        let looked_at = self.packet.is_ip() && ip.contains(&field)
            || self.packet.eth_type() == 0x0806 && arp.contains(&field);
        if looked_at {
            self.wc.mark_all(slot::NW_PROTO);
        }
    }

    pub(super) fn say_now(&mut self, part: SubField) {
        let value = self.packet.read(part);
        let text = if part == part.field.whole() {
            format_value(part.field, value, &Names::new())
        } else if value == 0 {
            "0".to_string()
        } else {
            format!("0x{value:x}")
        };
        self.say(Kind::Detail, format!("{} is now {text}", format_subfield(part)));
    }

    fn overwrite(&mut self, field: Field, value: u128) {
        self.wc.mark_bits(field, field.ones());
        self.packet.write_bits(field, value, field.ones());
    }

    fn write_ip(&mut self, field: Field, value: u128) {
        self.wc.mark_all(slot::NW_PROTO);
        self.overwrite(field, value);
    }

    fn write_port(&mut self, field: Field, port: u16) {
        if self.packet.is_ip() && !self.packet.is_later_fragment() {
            self.wc.mark_all(slot::NW_PROTO);
            self.overwrite(field, u128::from(port));
        }
    }

    fn vlan(&mut self, push: bool, mask: u16, bits: u16) {
        self.wc.mark(slot::VLAN_TCI, u128::from(mask | 0x1000));
        let tci = self.packet.tci();
        if tci & 0x1000 == 0 && !push {
            return;
        }
        if self.packet.get(slot::VLAN_TPID) == 0 {
            self.packet.set(slot::VLAN_TPID, 0x8100);
        }
        self.packet.set(slot::VLAN_TCI, u64::from(tci & !mask | bits & mask | 0x1000));
    }

    fn pop_vlan(&mut self) {
        let mut tags = self.packet.tags();
        if tags.len() > 1 {
            self.wc.inner = (u16::MAX, u16::MAX);
        }
        if !tags.is_empty() {
            tags.remove(0);
        }
        self.packet.set_tags(&tags);
    }

    fn push_vlan(&mut self, tpid: u16) {
        let mut tags = self.packet.tags();
        if !tags.is_empty() {
            self.wc.mark_all(slot::VLAN_TCI);
        }
        if tags.len() > 1 {
            self.wc.inner = (u16::MAX, u16::MAX);
        }
        tags.insert(0, (tpid, 0x1000));
        self.packet.set_tags(&tags);
    }

    fn push_mpls(&mut self, eth_type: u16) {
        let mut labels = self.packet.labels();
        if labels.is_empty() {
            self.commit();
            let ttl = if self.packet.is_ip() { self.packet.get(slot::NW_TTL) } else { 64 };
            let tc = if self.packet.is_ip() { self.packet.get(slot::NW_TOS) >> 2 & 7 } else { 0 };
            if self.packet.is_ip() {
                self.wc.mark(slot::NW_TOS, 0xfc);
                self.wc.mark_all(slot::NW_TTL);
            }
            let ttl = if ttl == 0 { 64 } else { ttl };
            let label = if self.packet.eth_type() == 0x86dd { 2 << 12 } else { 0 };
            labels.push((label | tc << 9 | 0x100 | ttl) as u32);
            self.forget_network();
        } else if labels.len() >= 3 {
            LABELS.iter().for_each(|place| self.wc.mark(*place, 0x100));
            let why = "dropping packet on which an MPLS push action can't be performed as it would have more MPLS LSEs \
                       than the 3 supported.";
            self.say(Kind::Error, why);
            self.error = Some("Too many MPLS labels");
            return;
        } else {
            let top = labels.first().copied().unwrap_or(0);
            LABELS.iter().take(labels.len()).for_each(|place| self.wc.mark_all(*place));
            labels.insert(0, top & !0x100);
        }
        self.packet.set(slot::ETH_TYPE, u64::from(eth_type));
        self.packet.set_labels(&labels);
    }

    fn pop_mpls(&mut self, eth_type: u16) {
        let mut labels = self.packet.labels();
        if labels.is_empty() {
            return;
        }
        LABELS.iter().take(labels.len()).for_each(|place| self.wc.mark(*place, 0x100));
        LABELS.iter().take(labels.len()).skip(1).for_each(|place| self.wc.mark_all(*place));
        labels.remove(0);
        self.packet.set(slot::ETH_TYPE, u64::from(eth_type));
        self.packet.set_labels(&labels);
        if !matches!(eth_type, 0x8847 | 0x8848) {
            self.was_mpls = true;
        }
    }

    /// Behind labels nothing is known of the packet.
    fn forget_network(&mut self) {
        for place in [slot::NW_SRC, slot::NW_DST, slot::NW_PROTO, slot::NW_TOS, slot::NW_TTL, slot::NW_FRAG, slot::TP_SRC, slot::TP_DST] {
            self.packet.set(place, 0);
        }
        for place in [slot::TCP_FLAGS, slot::IPV6_LABEL, slot::ARP_SHA, slot::ARP_THA, slot::ND_RESERVED, slot::ND_OPTIONS_TYPE] {
            self.packet.set(place, 0);
        }
        for place in [slot::IPV6_SRC, slot::IPV6_DST, slot::ND_TARGET] {
            self.packet.key.set_wide(place, 0);
        }
    }

    fn write_label(&mut self, field: Field, value: u128) {
        if self.packet.is_mpls() {
            self.overwrite(field, value);
        }
    }

    fn dec_ttl(&mut self, controllers: &[u16]) -> End {
        self.wc.mark_all(slot::NW_TTL);
        self.wc.mark_all(slot::NW_PROTO);
        if !self.packet.is_ip() {
            return End::Action;
        }
        let ttl = self.packet.get(slot::NW_TTL);
        if ttl > 1 {
            self.packet.set(slot::NW_TTL, ttl - 1);
            return End::Action;
        }
        for id in controllers {
            self.to_controller(u16::MAX, 2, *id);
        }
        let version = if self.packet.eth_type() == 0x0800 { 4 } else { 6 };
        self.say(Kind::Warn, format!("IPv{version} decrement TTL exception"));
        End::List
    }

    fn dec_mpls_ttl(&mut self) -> End {
        if self.packet.is_mpls() {
            self.wc.mark_all(slot::MPLS_TTL);
            let ttl = self.packet.get(slot::MPLS_TTL);
            if ttl > 1 {
                self.packet.set(slot::MPLS_TTL, ttl - 1);
                return End::Action;
            }
            self.to_controller(u16::MAX, 2, 0);
        }
        self.say(Kind::Warn, "MPLS decrement TTL exception");
        End::List
    }

    fn resubmit_action(&mut self, in_port: Option<PortNo>, table: Option<u8>, with_ct_orig: bool, last: bool) {
        let in_port = in_port.filter(|p| *p != PortNo::IN_PORT).unwrap_or(self.packet.in_port());
        let table = table.unwrap_or(self.table);
        if !with_ct_orig {
            return self.resubmit(in_port, table, false, false, last, How::Plain);
        }
        if self.packet.get(slot::CT_NW_PROTO) == 0 || !self.packet.is_ip() {
            return self.say(Kind::Error, "resubmit(ct) with non-tracked or non-IP packet!");
        }
        self.resubmit_by_connection(in_port, table, last);
    }

    fn pop_queue(&mut self) {
        self.wc.mark_all(slot::SKB_PRIORITY);
        let original = self.origin.get(slot::SKB_PRIORITY);
        if self.packet.get(slot::SKB_PRIORITY) != original {
            self.packet.set(slot::SKB_PRIORITY, original);
            let text = if original == 0 { "0".to_string() } else { format!("0x{original:x}") };
            self.say(Kind::Detail, format!("queue = {text}"));
        }
    }

    fn learn(&mut self, learn: &sluice_openflow::action::Learn) {
        for spec in &learn.specs {
            let source = match spec {
                LearnSpec::Match { src, .. } | LearnSpec::Load { src, .. } => src.clone(),
                LearnSpec::Output(src) => LearnSource::Field(*src),
            };
            if let LearnSource::Field(part) = source {
                self.wc.mark_part(part);
            }
        }
        if !self.side_effects {
            return self.say(Kind::Warn, "suppressing side effects, so learn action ignored");
        }
        let fm = sluice_compiler::learn::learned_flow_mod(learn, &self.packet.key, self.switch.rules.options(self.bridge));
        let mut text = format!("table={} ", fm.table.unwrap_or(0));
        text += &sluice_openflow::text::format_match(&fm.matching, &Names::new());
        text += &format!(" priority={}", fm.priority);
        if let Some(cookie) = fm.new_cookie.filter(|c| *c != 0) {
            text += &format!(" cookie=0x{cookie:x}");
        }
        for (name, seconds) in [("idle", fm.idle_timeout), ("hard", fm.hard_timeout)] {
            if seconds != 0 {
                text += &format!(" {name}={seconds}");
            }
        }
        let actions = if fm.actions.is_empty() { "drop".to_string() } else { format_actions(&fm.actions, &Names::new()) };
        self.say(Kind::Detail, format!("{text} actions={actions}"));
        self.effects.push(Effect::Learn(self.bridge, Box::new(learn.clone()), Box::new(self.packet.clone())));
    }

    fn write_actions(&mut self, set: &[Action]) {
        for action in set {
            match action {
                Action::Group(_) => {
                    self.packet.set(slot::ACTSET_OUTPUT, 0);
                    break;
                }
                Action::Output { port, .. } if !self.action_set.iter().any(|a| matches!(a, Action::Group(_))) => {
                    self.packet.set(slot::ACTSET_OUTPUT, u64::from(port.0));
                }
                _ => {}
            }
        }
        self.action_set.extend(set.iter().cloned());
        self.say_action_set("is");
    }

    fn say_action_set(&mut self, verb: &str) {
        let list = super::action_set::ordered(&self.action_set);
        let text = match list.is_empty() {
            true => format!("action set {verb} empty"),
            false => format!("action set {verb}: {}", format_actions(&list, &Names::new())),
        };
        self.say(Kind::Detail, text);
    }

    fn check_length(&mut self, len: u16, dst: SubField, rest: &[Action]) {
        let saved = (self.packet.clone(), self.stack.clone(), self.action_set.clone());
        self.commit();
        let (base, was_mpls, conntracked) = (self.base.clone(), self.was_mpls, self.conntracked);
        let outer = std::mem::take(&mut self.out);
        let mut branches = [1, 0].into_iter().map(|larger| {
            self.packet.write(dst, larger);
            if !rest.is_empty() {
                self.list(rest, true, false);
            }
            self.end_of_list();
            (self.packet, self.stack, self.action_set) = saved.clone();
            (self.base, self.was_mpls, self.conntracked) = (base.clone(), was_mpls, conntracked);
            self.exit = false;
            std::mem::take(&mut self.out)
        });
        let (greater, else_) = (branches.next().unwrap_or_default(), branches.next().unwrap_or_default());
        drop(branches);
        self.out = outer;
        self.emit(Odp::CheckLength { size: len, greater, else_ });
    }
}

/// Actions on a copy that leave nothing behind which the original would feel.
pub(super) fn is_reversible(action: &Action) -> bool {
    !matches!(
        action,
        Action::Ct(_) | Action::Meter(_) | Action::Nat(_) | Action::OutputTrunc { .. } | Action::Encap(_) | Action::Decap { .. } | Action::DecNshTtl
    )
}

/// Whether an action looks behind labels that were just popped.
pub(super) fn needs_inner_headers(action: &Action) -> bool {
    match action {
        Action::Output { .. } | Action::OutputTrunc { .. } | Action::Enqueue { .. } | Action::OutputReg { .. } => false,
        Action::SetVlanVid { .. } | Action::SetVlanPcp { .. } | Action::SetEthSrc(_) | Action::SetEthDst(_) => false,
        Action::SetTunnel { .. } | Action::SetQueue(_) | Action::Group(_) => false,
        Action::SetField(set) => {
            use sluice_openflow::field::Prereq;
            !matches!(set.field.info().prereq, Prereq::None | Prereq::Ethernet | Prereq::VlanVid | Prereq::Mpls | Prereq::Ct)
        }
        _ => true,
    }
}

fn mac_value(mac: &[u8; 6]) -> u128 {
    mac.iter().fold(0, |v, b| v << 8 | u128::from(*b))
}

