//! One pass of a packet through the tables.
//!
//! Purpose: what each rule and action does, with the remarks that Open vSwitch makes, and the bits
//! that it would have looked at.
//! Invariant: nothing is changed: what the packet would teach is collected, and done by the caller
//! where that is wanted. Depth and number of look-ups are bounded.
//! Deliberately does not know: text forms, workers.

use sluice_compiler::rules::Shown;
use sluice_flow::key::slot;
use sluice_flow::program::{Miss, OWN_TABLE};
use sluice_flow::BridgeIdx;
use sluice_openflow::action::{Learn, Nat};
use sluice_openflow::text::{format_actions, Names};
use sluice_openflow::{Action, PortNo};

use super::commit::commit;
use super::cover::Due;
use super::lookup::{look_up, PREFIX_FIELDS};
use super::odp::Odp;
use super::packet::{Packet, TUNNEL_WORDS};
use super::tree::{Kind, Tree};
use crate::daemon::switch::bridge::{Bridge, PortState};
use crate::daemon::switch::own::shown_priority;
use crate::daemon::switch::Switch;

const MAX_DEPTH: u32 = 64;
const MAX_LOOKUPS: u32 = 4096;
/// Values on the stack.
const MAX_STACK: usize = 4096;
/// Actions of the datapath, all nesting together.
const MAX_OUT: usize = 4096;

/// A packet that goes on later.
pub(super) struct Recirculated {
    pub id: u32,
    pub packet: Packet,
    pub bridge: BridgeIdx,
    pub table: u8,
    pub stack: Vec<u128>,
    pub action_set: Vec<Action>,
    pub nat: Option<Nat>,
}

/// What a packet with side effects does.
pub(super) enum Effect {
    /// It teaches a rule.
    Learn(BridgeIdx, Box<Learn>, Box<Packet>),
    /// Its source is seen.
    Seen { bridge: BridgeIdx, vlan: u16, mac: u64, port: PortNo },
}

/// The rule whose actions are executed.
#[derive(Clone, Copy, Default)]
pub(super) struct Current {
    pub cookie: Option<u64>,
    pub is_table_miss: bool,
}

/// A packet under way.
pub(super) struct Walk<'a> {
    pub switch: &'a Switch,
    pub with_names: bool,
    pub side_effects: bool,
    pub bridge: BridgeIdx,
    /// The packet as actions have changed it, as the datapath has it, and as it came.
    pub packet: Packet,
    pub base: Packet,
    pub origin: Packet,
    pub wc: Packet,
    pub table: u8,
    pub rule: Current,
    pub stack: Vec<u128>,
    pub action_set: Vec<Action>,
    pub out: Vec<Odp>,
    pub tree: Tree,
    pub exit: bool,
    pub freezing: bool,
    pub dp_hash: Option<String>,
    pub error: Option<&'static str>,
    pub slow: bool,
    pub conntracked: bool,
    pub was_mpls: bool,
    /// A header that is to be put on or taken off at the next commit.
    pub due: Option<Due>,
    pub in_action_set: bool,
    pub in_packet_out: bool,
    pub nat: Option<Nat>,
    pub resumed: bool,
    pub recirculated: Vec<Recirculated>,
    pub next_recirc: u32,
    pub effects: Vec<Effect>,
    /// The next look-up is by the connection's first packet.
    pub by_connection: bool,
    /// An action wrote the flow label: its 20 bits are then shown as a part of 32.
    pub label_by_action: bool,
    /// A rule looked at the whole flow label: then it is shown as a whole, whoever wrote it.
    pub label_by_rule: bool,
    depth: u32,
    lookups: u32,
}

/// A function that executes a list: plainly, or on a copy.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Plain,
    OnCopy,
}

impl<'a> Walk<'a> {
    pub fn new(switch: &'a Switch, bridge: BridgeIdx, packet: Packet) -> Walk<'a> {
        let options = Some(switch.rules.options(bridge).clone());
        let packet = Packet { options: options.clone(), ..packet };
        let mut base = packet.clone();
        base.forget_tunnel();
        let mut walk = Walk {
            switch,
            with_names: false,
            side_effects: false,
            bridge,
            base,
            origin: packet.clone(),
            packet,
            wc: Packet { options, ..Packet::ZERO },
            table: 0,
            rule: Current::default(),
            stack: Vec::new(),
            action_set: Vec::new(),
            out: Vec::new(),
            tree: Tree::new(),
            exit: false,
            freezing: false,
            dp_hash: None,
            error: None,
            slow: false,
            conntracked: false,
            was_mpls: false,
            due: None,
            in_action_set: false,
            in_packet_out: false,
            nat: None,
            resumed: false,
            recirculated: Vec::new(),
            next_recirc: 1,
            effects: Vec::new(),
            by_connection: false,
            label_by_action: false,
            label_by_rule: false,
            depth: 0,
            lookups: 0,
        };
        walk.packet.set(slot::ACTSET_OUTPUT, 0);
        walk.always_looked_at();
        walk
    }

    fn always_looked_at(&mut self) {
        for place in [slot::PACKET_TYPE, slot::IN_PORT, slot::ETH_TYPE, slot::RECIRC_ID] {
            self.wc.mark_all(place);
        }
        if self.packet.is_ip() {
            self.wc.mark_all(slot::NW_FRAG);
        }
        if is_tunneled(&self.packet) {
            for word in TUNNEL_WORDS {
                if let Some(w) = self.wc.key.words.get_mut(word) {
                    *w = u64::MAX;
                }
            }
        }
    }

    /// The packet is in this bridge from now on, and its options are called as there.
    pub fn in_bridge(&mut self, bridge: BridgeIdx) {
        let options = Some(self.switch.rules.options(bridge).clone());
        self.bridge = bridge;
        self.wc.options.clone_from(&options);
        self.packet.options = options;
    }

    pub fn bridge(&self) -> Option<&'a Bridge> {
        self.switch.bridge(self.bridge)
    }

    pub fn port(&self, number: PortNo) -> Option<&'a PortState> {
        self.bridge()?.ports.get(&number)
    }

    /// Names of the bridge's ports, where they are wanted.
    pub fn names(&self) -> Names {
        let mut names = Names::new();
        if let Some(bridge) = self.bridge().filter(|_| self.with_names) {
            bridge.ports.values().for_each(|p| names.add_port(p.number, &p.name));
        }
        names
    }

    pub fn say(&mut self, kind: Kind, text: impl Into<String>) {
        self.tree.add(kind, text);
    }

    /// From the first table, or from where it goes on, to the end.
    pub fn run(&mut self, actions: Option<&[Action]>, resume: Option<&Recirculated>) {
        let name = self.bridge().map_or("", |b| &b.name);
        self.tree.at = self.tree.add(Kind::Bridge, format!("bridge(\"{name}\")"));
        if let Some(resume) = resume {
            self.thaw(resume);
        } else if self.packet.get(slot::CT_STATE) & 0x20 != 0 {
            self.conntracked = true;
        }
        self.in_packet_out = actions.is_some();
        let receives = self.port(self.packet.in_port()).is_none_or(|p| !no_receive(p));
        match actions {
            Some(actions) => {
                let actions = actions.to_vec();
                self.list(&actions, true, false);
            }
            None => {
                let in_port = self.packet.in_port();
                let table = self.table;
                let found = match self.find_own(in_port) {
                    Some(actions) => actions,
                    None => self.find(table, in_port, true, true),
                };
                if receives {
                    self.list(&found, true, false);
                }
            }
        }
        if self.error.is_some() {
            self.out.clear();
            return;
        }
        self.end_of_list();
        self.unneeded_bits();
        // A copy that nothing follows need not be one.
        if let Some(Odp::Clone(_)) = self.out.last() {
            if let Some(Odp::Clone(inner)) = self.out.pop() {
                self.out.extend(inner);
            }
        }
    }

    fn thaw(&mut self, resume: &Recirculated) {
        self.resumed = true;
        let top = self.tree.at;
        self.tree.at = self.tree.add(Kind::Thaw, "thaw");
        self.in_bridge(resume.bridge);
        self.table = resume.table;
        self.say(Kind::Thaw, format!("Resuming from table {}", resume.table));
        self.conntracked = true;
        self.stack.clone_from(&resume.stack);
        if !resume.action_set.is_empty() {
            let text = format_actions(&resume.action_set, &Names::new());
            self.say(Kind::Thaw, format!("Restoring action set: {text}"));
            self.action_set.clone_from(&resume.action_set);
        }
        self.tree.at = top;
    }

    /// What a list leaves to be done: the action set, or going on later.
    pub fn end_of_list(&mut self) {
        if !self.freezing {
            self.run_action_set();
        }
        if self.freezing {
            self.finish_freezing();
        }
    }

    fn run_action_set(&mut self) {
        let list = super::action_set::ordered(&std::mem::take(&mut self.action_set));
        if list.is_empty() {
            return;
        }
        self.in_action_set = true;
        let outer = self.tree.at;
        self.tree.at = self.tree.add(Kind::Table, "--. Executing action set:");
        self.list(&list, true, false);
        self.tree.at = outer;
        self.in_action_set = false;
    }

    /// The packet goes on later, from here.
    pub fn freeze(&mut self) {
        self.exit = true;
        self.freezing = true;
    }

    pub fn finish_freezing(&mut self) {
        self.commit();
        if let Some(hash) = self.dp_hash.take() {
            self.emit(Odp::Text(hash));
        }
        let id = self.recirc_id();
        self.emit(Odp::Text(format!("recirc(0x{id:x})")));
        self.freezing = false;
    }

    pub fn recirc_id(&mut self) -> u32 {
        let id = self.next_recirc;
        self.next_recirc += 1;
        id
    }

    pub fn emit(&mut self, action: Odp) {
        if self.out.len() < MAX_OUT {
            self.out.push(action);
        }
    }

    pub fn commit(&mut self) {
        self.cover();
        self.slow |= commit(&self.packet, &mut self.base, &mut self.wc, &mut self.out);
    }

    /// Looks up a table, says what was found, and gives its actions; what is said from now on is said
    /// inside that rule.
    fn find(&mut self, table: u8, in_port: PortNo, may_punt: bool, honour_miss: bool) -> Vec<Action> {
        let mut key = self.packet.key;
        key.set(slot::IN_PORT, u64::from(in_port.0));
        if key.get(slot::NW_FRAG) != 0 {
            key.set(slot::TP_SRC, 0);
            key.set(slot::TP_DST, 0);
        }
        let mut at = table;
        let mut miss = Miss::Drop;
        let found = loop {
            self.table = at;
            let prefixes = self.prefix_fields(at);
            if self.packet.is_bare() {
                // Rules see no Ethernet header.
                key.words.iter_mut().take(2).for_each(|w| *w = 0);
            }
            let label = self.wc.get(slot::IPV6_LABEL);
            self.wc.key.set(slot::IPV6_LABEL, 0);
            let found = look_up(&self.switch.rules, self.bridge, at, &prefixes, &key, &mut self.wc.key);
            let by_rule = self.wc.get(slot::IPV6_LABEL);
            self.label_by_rule |= u128::from(by_rule) == slot::IPV6_LABEL.ones();
            self.wc.key.set(slot::IPV6_LABEL, label | by_rule);
            if found.is_some() {
                break found;
            }
            miss = if honour_miss { self.switch.miss_of(self.bridge, at) } else { Miss::Drop };
            match at.checked_add(1).filter(|next| miss == Miss::Continue && *next < 254) {
                Some(next) => at = next,
                None => break None,
            }
        };
        let punt = may_punt && miss != Miss::Drop;
        self.say_table(table, found.as_ref(), punt);
        self.rule = found.as_ref().map_or(Current { cookie: Some(0), is_table_miss: false }, current);
        match found {
            Some(rule) => rule.actions.to_vec(),
            None if punt => vec![Action::Output { port: PortNo::CONTROLLER, max_len: u16::MAX }],
            None => Vec::new(),
        }
    }

    /// What the switch's own rules say, where the bridge has any; shown as Open vSwitch shows them.
    fn find_own(&mut self, in_port: PortNo) -> Option<Vec<Action>> {
        if !self.bridge().is_some_and(|b| !b.own_rules.is_empty()) {
            return None;
        }
        let mut key = self.packet.key;
        key.set(slot::IN_PORT, u64::from(in_port.0));
        let prefixes = self.prefix_fields(OWN_TABLE);
        let found = look_up(&self.switch.rules, self.bridge, OWN_TABLE, &prefixes, &key, &mut self.wc.key)?;
        let table = std::mem::replace(&mut self.table, OWN_TABLE);
        self.say_table(0, Some(&found), false);
        self.table = table;
        self.rule = current(&found);
        Some(found.actions.to_vec())
    }

    fn prefix_fields(&self, table: u8) -> Vec<sluice_flow::Slot> {
        let named = self.bridge().and_then(|b| super::ports::prefixes_of(b, table));
        named.unwrap_or_else(|| PREFIX_FIELDS.to_vec())
    }

    fn say_table(&mut self, table: u8, found: Option<&Shown<'_>>, punt: bool) {
        let text = match found {
            None if punt => "No match, and a \"packet-in\" is called for.".to_string(),
            None => "No match.".to_string(),
            Some(rule) => {
                let m = &rule.rule.matching;
                let options = self.switch.rules.options(self.bridge);
                let matching = sluice_openflow::Match::of_bridge(m.value_key(), m.mask.to_key(), options);
                let mut text = sluice_openflow::text::format_match(&matching, &self.names());
                if !text.is_empty() {
                    text.push_str(", ");
                }
                let own = self.table == OWN_TABLE;
                let priority = if own { shown_priority(rule.rule.priority) } else { u32::from(rule.rule.priority) };
                text += &format!("priority {priority}");
                if rule.cookie != 0 {
                    text += &format!(", cookie 0x{:x}", rule.cookie);
                }
                text
            }
        };
        self.tree.at = self.tree.add(Kind::Table, format!("{table:2}. {text}"));
    }

    /// Looks up a table and does what the rule says.
    pub fn resubmit(&mut self, in_port: PortNo, table: u8, may_punt: bool, honour_miss: bool, last: bool, how: How) {
        if self.was_mpls {
            return self.freeze();
        }
        if !self.may_go_on() {
            return;
        }
        let (outer, old_table, old_rule) = (self.tree.at, self.table, self.rule);
        let deeper = u32::from(table <= old_table);
        let swapped = std::mem::take(&mut self.by_connection);
        if swapped {
            self.swap_tuples();
        }
        let actions = self.find(table, in_port, may_punt, honour_miss);
        if swapped {
            self.swap_tuples();
        }
        self.lookups += 1;
        self.depth += deeper;
        match how {
            How::Plain => self.list(&actions, last, false),
            How::OnCopy => self.on_copy(&actions, last),
        }
        self.depth -= deeper;
        (self.tree.at, self.table, self.rule) = (outer, old_table, old_rule);
    }

    /// Whether the packet has been through few enough tables.
    pub fn may_go_on(&mut self) -> bool {
        let (text, error) = if self.depth >= MAX_DEPTH {
            (format!("over max translation depth {MAX_DEPTH}"), "Recursion too deep")
        } else if self.lookups >= MAX_LOOKUPS {
            (format!("over {MAX_LOOKUPS} resubmit actions"), "Too many resubmits")
        } else if self.stack.len() >= MAX_STACK {
            ("resubmits yielded over 64 kB of stack".to_string(), "Stack too deep")
        } else {
            return true;
        };
        self.say(Kind::Error, text);
        self.error = Some(error);
        false
    }

    /// One level further down, for buckets.
    pub fn deeper(&mut self, inside: impl FnOnce(&mut Self)) {
        self.depth += 1;
        inside(self);
        self.depth -= 1;
    }

    /// Executes a list of actions. `last`: nothing follows it.
    pub fn list(&mut self, actions: &[Action], last: bool, in_bucket: bool) {
        if actions.is_empty() {
            return self.say(Kind::Action, "drop");
        }
        for (i, action) in actions.iter().enumerate() {
            if self.error.is_some() {
                return;
            }
            if self.was_mpls && !self.exit && super::act::needs_inner_headers(action) {
                self.freeze();
            }
            if self.exit {
                return;
            }
            let text = format_actions(std::slice::from_ref(action), &self.names());
            self.say(Kind::Action, text);
            let rest = actions.get(i + 1..).unwrap_or(&[]);
            let last = last && rest.is_empty() && self.action_set.is_empty();
            if self.one(action, rest, last, in_bucket) == super::act::End::List {
                return;
            }
        }
    }

    /// A copy of the packet, as cheap as the actions on it allow.
    pub fn on_copy(&mut self, actions: &[Action], last: bool) {
        let saved = (self.stack.clone(), self.action_set.clone(), self.packet.clone());
        if last || actions.iter().all(super::act::is_reversible) {
            self.list(actions, last, false);
            self.end_of_list();
        } else {
            self.commit();
            let (base, was_mpls, conntracked) = (self.base.clone(), self.was_mpls, self.conntracked);
            let outer = std::mem::take(&mut self.out);
            self.list(actions, true, false);
            self.end_of_list();
            let inner = std::mem::replace(&mut self.out, outer);
            if !inner.is_empty() {
                self.emit(Odp::Clone(inner));
            }
            (self.base, self.was_mpls, self.conntracked) = (base, was_mpls, conntracked);
        }
        (self.stack, self.action_set, self.packet) = saved;
    }

    /// Takes bits out of the mask that the packet does not have, or that are not the packet's.
    fn unneeded_bits(&mut self) {
        self.wc.set(slot::METADATA, 0);
        (0..8).for_each(|n| self.wc.set(slot::xreg(n), 0));
        self.wc.set(slot::ACTSET_OUTPUT, 0);
        self.wc.set(slot::CONJ_ID, 0);
        let icmp = matches!((self.packet.eth_type(), self.packet.protocol()), (0x0800, 1) | (0x86dd, 58));
        for place in [slot::TP_SRC, slot::TP_DST] {
            let bits = self.wc.get(place);
            let keep = if self.packet.is_later_fragment() { 0 } else if icmp { bits & 0xff } else { bits };
            self.wc.set(place, keep);
        }
        if self.wc.get(slot::VLAN_TCI) != 0 {
            self.wc.mark(slot::VLAN_PRESENT, 1);
        }
        if self.wc.inner.1 != 0 {
            self.wc.inner.1 |= super::packet::PRESENT;
        }
        if !self.origin.is_mpls() {
            self.wc.set_labels(&[]);
        }
        if !is_vlan_type(self.origin.get(slot::VLAN_TPID) as u16) {
            self.wc.set(slot::VLAN_TCI, 0);
            self.wc.set(slot::VLAN_TPID, 0);
        }
        if !is_vlan_type(self.origin.inner.0) {
            self.wc.inner = (0, 0);
        }
        if !is_tunneled(&self.origin) {
            self.wc.forget_tunnel();
        }
    }
}

fn current(rule: &Shown<'_>) -> Current {
    Current { cookie: Some(rule.cookie), is_table_miss: rule.rule.priority == 0 && rule.rule.matching.mask.words.is_empty() }
}

pub(super) fn no_receive(port: &PortState) -> bool {
    port.config & sluice_openflow::message::port_config::NO_RECV != 0
}

fn is_vlan_type(tpid: u16) -> bool {
    matches!(tpid, 0x8100 | 0x88a8)
}

/// Whether the packet came out of a tunnel.
pub(super) fn is_tunneled(packet: &Packet) -> bool {
    packet.get(slot::TUN_DST) != 0 || packet.key.get_wide(slot::TUN_IPV6_DST) != 0
}
