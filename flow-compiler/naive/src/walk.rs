//! One packet's way through the tables, action by action.
//!
//! Purpose: what each action means, on the packet itself. Semantics are Open vSwitch's: rules that a
//! packet teaches count from the next packet on, or from where it enters their bridge once more; an expired TTL ends the list it occurs in; `exit`
//! ends everything, the action set included.
//! Deliberately does not know: anything of the compiled program.

use sluice_flow::key::{is_header, slot};
use sluice_flow::{Key, Slot, WORDS};
use sluice_openflow::action::{Encap, PortNo, SetField, WideValue};
use sluice_openflow::matching::Places;
use sluice_openflow::message::Bucket;
use sluice_openflow::wide::Wide;
use sluice_openflow::{Action, Field, FlowMod, Match, SubField};

use crate::cover::Covered;
use crate::frame::{Frame, Tag};
use crate::learn::learned;
use crate::pass::{Pass, Passes};
use crate::switch::NaiveBridge;
use crate::world::{options, Output};

const MAX_LOOKUPS: u32 = 4096;
const MAX_DEPTH: u32 = 64;

/// A packet under way.
pub(crate) struct Walk<'a> {
    pub bridges: &'a mut [NaiveBridge],
    pub bridge: usize,
    pub frame: Frame,
    /// Registers, metadata, tunnel, input port: everything that is not in the frame.
    pub meta: Key,
    pub now: u64,
    /// Bytes of the frame as it came in.
    pub len: u64,
    pub table: u8,
    pub outputs: Vec<Output>,
    /// Rules that the packet teaches, by bridge.
    pub taught: Vec<(usize, FlowMod)>,
    /// It met something that this interpreter does not execute.
    pub unsupported: Option<&'static str>,
    /// It met something whose outcome is nobody's promise.
    pub doubtful: Option<&'static str>,
    /// Rules that it met.
    pub way: Vec<(usize, u8, u16)>,
    /// It was flooded: the order of outputs is left open.
    pub flooded: bool,
    /// It entered a bridge again that it had taught something.
    pub learned_midway: bool,
    /// Mirrors of the present bridge that have a copy, one bit each.
    pub mirrored: u64,
    /// Most bytes of the copy under way.
    pub snaplen: Option<u32>,
    /// Bridges that wait for the packet to come back.
    above: Vec<usize>,
    came_back: bool,
    action_set: Vec<Action>,
    stack: Vec<u128>,
    exit: bool,
    failed: bool,
    /// More labels than are looked at, or a wrong type of packet: nothing more happens in this bridge.
    stopped: bool,
    passes: Passes,
    lookups: u32,
    depth: u32,
}

/// How a list of actions ended.
#[derive(PartialEq, Eq)]
enum End {
    Done,
    /// The TTL expired: nothing more of this list.
    Stop,
}

impl<'a> Walk<'a> {
    pub fn new(bridges: &'a mut [NaiveBridge], bridge: usize, port: u32, frame: Frame, len: usize, now: u64) -> Self {
        let mut meta = Key::ZERO;
        meta.set(slot::IN_PORT, u64::from(port));
        Walk {
            bridges,
            bridge,
            frame,
            meta,
            now,
            len: len as u64,
            table: 0,
            outputs: Vec::new(),
            taught: Vec::new(),
            unsupported: None,
            doubtful: None,
            way: Vec::new(),
            flooded: false,
            learned_midway: false,
            mirrored: 0,
            snaplen: None,
            above: Vec::new(),
            came_back: false,
            action_set: Vec::new(),
            stack: Vec::new(),
            exit: false,
            failed: false,
            stopped: false,
            passes: Passes::default(),
            lookups: 0,
            depth: 0,
        }
    }

    /// From the first table to the last output.
    pub fn run(&mut self) {
        let in_port = self.in_port();
        if self.is_mirror_output(in_port) {
            return;
        }
        self.mirror_incoming(in_port);
        self.whole_pipeline();
        if self.failed {
            self.outputs.clear();
        }
        self.outputs = self.passes.kept(std::mem::take(&mut self.outputs));
        if self.passes.undid_another() || self.failed && self.passes.several() {
            self.doubtful = Some("an error undoes what a packet under a header went through");
        }
        if self.came_back && (self.learned_midway || !self.taught.is_empty()) {
            // Which of the bridge's look-ups see what was learned depends on how they nest.
            self.doubtful = Some("a packet that learns and comes back to a bridge that it is in");
        }
    }

    fn whole_pipeline(&mut self) {
        let in_port = self.in_port();
        self.look_up(0, in_port);
        if !self.exit && !self.failed && !self.stopped {
            self.run_action_set();
        }
    }

    pub fn in_port(&self) -> u32 {
        self.meta.get(slot::IN_PORT) as u32
    }

    /// Every field of the packet.
    pub fn key(&self) -> Key {
        self.frame.key().or(&self.meta)
    }

    /// Looks up a table as if the packet had come in by `in_port`, and does what the rule says.
    fn look_up(&mut self, table: u8, in_port: u32) {
        self.lookups += 1;
        let deeper = u32::from(table <= self.table && self.lookups > 1);
        self.depth += deeper;
        if self.lookups > MAX_LOOKUPS || self.depth > MAX_DEPTH {
            self.failed = true;
            return;
        }
        let mut key = self.key();
        key.set(slot::IN_PORT, u64::from(in_port));
        if key.get(slot::NW_FRAG) != 0 {
            // The pieces of a packet meet the same rules: ports are hidden, also where the first has them.
            key.set(slot::TP_SRC, 0);
            key.set(slot::TP_DST, 0);
        }
        let rules = &mut self.bridges[self.bridge].rules;
        if let Some(i) = rules.find(table, &key) {
            let rule = &mut rules.list[i];
            self.way.push((self.bridge, table, rule.priority));
            rule.packets += 1;
            rule.bytes += self.len;
            rule.used = self.now;
            let actions = rule.actions.clone();
            let from = std::mem::replace(&mut self.table, table);
            self.list(&actions);
            self.table = from;
        }
        self.depth -= deeper;
    }

    fn list(&mut self, actions: &[Action]) -> End {
        for (i, action) in actions.iter().enumerate() {
            self.exit |= self.stopped;
            if self.exit || self.failed || self.unsupported.is_some() {
                return End::Done;
            }
            if let Action::CheckPktLarger { len, dst } = action {
                self.check_length(*len, *dst, &actions[i + 1..]);
                return End::Done;
            }
            if self.one(action) == End::Stop {
                return End::Stop;
            }
        }
        End::Done
    }

    fn one(&mut self, action: &Action) -> End {
        match action {
            Action::Output { port, .. } => self.output(*port, None),
            Action::OutputTrunc { port, max_len } => self.output(*port, Some(*max_len)),
            Action::OutputReg { src, .. } => {
                if let Ok(port) = u16::try_from(self.read(*src)) {
                    self.output(PortNo::from_u16(port), None);
                }
            }
            Action::Enqueue { port, .. } => self.output(*port, None),
            Action::SetQueue(_) | Action::PopQueue | Action::Note(_) | Action::Controller(_) => {}
            Action::SetVlanVid { vid, push_vlan_if_needed } => self.vlan(*push_vlan_if_needed, 0xfff, *vid),
            Action::SetVlanPcp { pcp, push_vlan_if_needed } => {
                self.vlan(*push_vlan_if_needed, 0xe000, u16::from(*pcp) << 13);
            }
            Action::StripVlan { .. } => {
                if !self.frame.tags.is_empty() {
                    self.frame.tags.remove(0);
                }
            }
            Action::PushVlan(_) | Action::PushMpls(_) | Action::PopMpls(_) if self.frame.packet_type != 0 => {
                self.doubtful = Some("a tag or label in front of a packet without Ethernet header");
            }
            Action::PushVlan(tpid) => self.frame.tags.insert(0, Tag { tpid: *tpid, tci: 0x1000 }),
            Action::SetEthSrc(mac) => self.frame.write(slot::ETH_SRC, mac_value(mac)),
            Action::SetEthDst(mac) => self.frame.write(slot::ETH_DST, mac_value(mac)),
            Action::SetIpv4Src(ip) => self.write_if(&[0x0800], slot::NW_SRC, u128::from(*ip)),
            Action::SetIpv4Dst(ip) => self.write_if(&[0x0800], slot::NW_DST, u128::from(*ip)),
            Action::SetIpDscp(tos) => self.set_bits(Field::NW_TOS, u128::from(*tos), 0xfc),
            Action::SetIpEcn(ecn) => self.set_bits(Field::NW_ECN, u128::from(*ecn), 3),
            Action::SetIpTtl(ttl) => self.write_if(&[0x0800, 0x86dd], slot::NW_TTL, u128::from(*ttl)),
            Action::SetL4Src(port) => self.port(slot::TP_SRC, *port),
            Action::SetL4Dst(port) => self.port(slot::TP_DST, *port),
            Action::SetField(set) => self.set_field(set),
            Action::Move { src, dst } => self.move_bits(*src, *dst),
            Action::StackPush(src) => {
                let value = self.read(*src);
                self.stack.push(value);
            }
            Action::StackPop(dst) => {
                if let Some(value) = self.stack.pop() {
                    self.write_part(*dst, value);
                }
            }
            Action::DecTtl { .. } => return self.dec_ttl(),
            Action::SetTunnel { id, .. } => self.meta.set(slot::TUN_ID, *id),
            Action::WriteMetadata { value, mask } => {
                self.meta.set_masked(slot::METADATA, u128::from(*value), u128::from(*mask));
            }
            // No packet here has been tracked: there is no other tuple to look up.
            Action::Resubmit { with_ct_orig: true, .. } => {}
            Action::Resubmit { in_port, table, with_ct_orig: false } => {
                let in_port = in_port.filter(|p| *p != PortNo::IN_PORT).map_or(self.in_port(), |p| p.0);
                self.look_up(table.unwrap_or(self.table), in_port);
            }
            Action::GotoTable(table) => {
                let in_port = self.in_port();
                self.look_up(*table, in_port);
            }
            Action::Learn(l) => {
                let fm = learned(l, &|part| self.read(part));
                self.taught.push((self.bridge, fm));
            }
            Action::Exit => self.exit = true,
            Action::Clone(inner) => self.clone_of_packet(inner),
            Action::WriteActions(inner) => self.action_set.extend(inner.iter().cloned()),
            Action::ClearActions => self.action_set.clear(),
            Action::CopyTtlOut => self.frame.copy_ttl(true),
            Action::CopyTtlIn => self.frame.copy_ttl(false),
            Action::CtClear | Action::Conjunction { .. } | Action::FinTimeout { .. } => {}
            Action::PushMpls(eth_type) => {
                if !self.frame.push_label(*eth_type) {
                    self.stop();
                }
            }
            Action::PopMpls(eth_type) => {
                if !self.frame.pop_label(*eth_type) {
                    self.stop();
                }
                if self.frame.odd_pop {
                    self.doubtful = Some("labels popped to another type than they were pushed on");
                }
            }
            Action::SetMplsLabel(label) => self.set_bits(Field::MPLS_LABEL, u128::from(*label), 0xfffff),
            Action::SetMplsTc(tc) => self.set_bits(Field::MPLS_TC, u128::from(*tc), 7),
            Action::SetMplsTtl(ttl) => self.set_bits(Field::MPLS_TTL, u128::from(*ttl), 0xff),
            Action::DecMplsTtl => return self.dec_mpls_ttl(),
            Action::Multipath(m) => {
                let link = crate::spread::link(&self.key(), m);
                self.write_part(m.dst, u128::from(link));
            }
            Action::Bundle(b) => {
                let ports = &self.bridges[self.bridge];
                let port = crate::spread::member(&self.key(), b, &|p| ports.port(p.0).is_some());
                match b.dst {
                    Some(dst) => self.write_part(dst, u128::from(port.0 & 0xffff)),
                    None => self.output(port, None),
                }
            }
            Action::Group(id) => self.group(*id),
            Action::DeleteField(field) => {
                if let Some(n) = field.option_number() {
                    self.meta.set(slot::tun_option_present(n), 0);
                }
            }
            Action::Encap(e) => {
                let done = self.encap(e);
                self.covered(done);
            }
            Action::Decap { new_packet_type } => {
                let done = self.frame.decap(new_packet_type.unwrap_or(0xfffe));
                self.covered(done);
            }
            Action::PushPbb => {
                let done = self.frame.push_pbb();
                self.covered(done);
            }
            Action::PopPbb => {
                let done = self.frame.pop_pbb();
                self.covered(done);
            }
            Action::DecNshTtl => return self.dec_nsh_ttl(),
            _ => self.unsupported = Some("an action that the naive interpreter does not know"),
        }
        End::Done
    }

    fn encap(&mut self, e: &Encap) -> Covered {
        let properties = || e.properties.iter().filter(|(class, _, _)| *class == 4);
        let md_type = properties().rfind(|(_, kind, _)| *kind == 1).map_or(1, |(_, _, value)| value[0]);
        let mut metadata: Vec<u8> = Vec::new();
        for (_, _, value) in properties().filter(|(_, kind, _)| *kind == 2) {
            metadata.extend(value);
            metadata.resize(metadata.len().div_ceil(4) * 4, 0);
        }
        match e.new_packet_type {
            0 => self.frame.encap_ethernet(),
            0x1_894f => self.frame.encap_nsh(md_type, &metadata),
            label => self.frame.encap_mpls(label as u16),
        }
    }

    /// Nothing more happens in this bridge, or at all.
    fn stop(&mut self) {
        self.stopped = true;
        self.passes.fail(self.above.len());
    }

    /// A copy is done: what went wrong with it in a pass of its own is no matter of the packet's.
    fn back_to(&mut self, pass: Pass) {
        self.stopped &= self.passes.now == pass;
        self.passes.now = pass;
    }

    fn covered(&mut self, done: Covered) {
        match done {
            Covered::Done => {}
            Covered::Wrong => self.stop(),
            Covered::Uncovered => {
                self.passes.begin(self.above.len());
                // What leaves by itself may overtake the rest.
                self.flooded = true;
            }
            Covered::Odd(why) => self.doubtful = Some(why),
        }
    }

    fn dec_nsh_ttl(&mut self) -> End {
        let ttl = self.key().get(slot::NSH_TTL);
        if self.frame.eth_type != 0x894f || ttl <= 1 {
            return End::Stop;
        }
        self.frame.write(slot::NSH_TTL, u128::from(ttl - 1));
        End::Done
    }

    // --- fields ---------------------------------------------------------------------------------

    fn as_match(&self) -> Match {
        Match { value: self.key(), mask: Key { words: [u64::MAX; WORDS] }, places: Places::None }
    }

    fn has(&self, field: Field) -> bool {
        field.prereqs_met(&self.as_match())
    }

    fn read(&self, part: SubField) -> u128 {
        if let Some(n) = part.field.option_number() {
            return self.option(n).bits(part.start, part.width);
        }
        let (value, _) = self.as_match().field(part.field);
        (value >> part.start) & ones(part.width)
    }

    fn option(&self, n: u8) -> Wide {
        Wide::from_bytes(&options().read(&self.meta, n))
    }

    fn write_option(&mut self, n: u8, value: &Wide) {
        let map = options();
        let len = map.get(n).map_or(0, |m| usize::from(m.len));
        map.write(&mut self.meta, n, value.tail(len));
        self.meta.set(slot::tun_option_present(n), 1);
    }

    fn write_part(&mut self, part: SubField, value: u128) {
        if let Some(n) = part.field.option_number() {
            let mut whole = self.option(n);
            whole.set_bits(part.start, part.width, value);
            return self.write_option(n, &whole);
        }
        let mask = ones(part.width) << part.start;
        self.set_bits(part.field, (value << part.start) & mask, mask);
    }

    fn set_field(&mut self, set: &SetField) {
        if let Some(n) = set.field.option_number() {
            let (value, mask) = (Wide::from(&set.value), Wide::from(&set.mask));
            let whole = self.option(n).without(&mask).or(&value.and(&mask));
            return self.write_option(n, &whole);
        }
        match (&set.value, &set.mask) {
            (WideValue::Small(value), WideValue::Small(mask)) => self.set_bits(set.field, *value, *mask),
            _ => self.unsupported = Some("a field of more than 128 bits"),
        }
    }

    fn move_bits(&mut self, src: SubField, dst: SubField) {
        if self.has(src.field) && self.has(dst.field) {
            let value = self.read(src);
            self.write_part(dst, value);
        }
    }

    /// Writes bits of a field, where the packet has it.
    fn set_bits(&mut self, field: Field, value: u128, mask: u128) {
        let Some(place) = field.info().slot else {
            self.unsupported = Some("a field that the flow key does not hold");
            return;
        };
        if !self.has(field) {
            return;
        }
        let mask = mask & field.ones();
        let (old, _) = self.as_match().field(field);
        let new = (old & !mask) | (value & mask);
        if field == Field::IN_PORT {
            self.meta.set(slot::IN_PORT, u64::from(PortNo::from_u16(new as u16).0));
        } else if !is_header(place) {
            self.meta.set_wide(place, new);
        } else {
            let mut key = self.key();
            let keep = if field == Field::NW_TOS { key.get_wide(place) & 3 } else { 0 };
            key.set_wide(place, new | keep);
            let whole = enclosing(place);
            self.frame.write(whole, key.get_wide(whole));
            if self.frame.odd_service {
                self.doubtful = Some("a header that contradicts itself");
            }
            if self.frame.odd_tag_cleared {
                self.doubtful = Some("the type of a tag that was cleared, not popped");
            }
        }
    }

    fn write_if(&mut self, eth_types: &[u16], place: Slot, value: u128) {
        if eth_types.contains(&self.frame.eth_type) {
            self.frame.write(place, value);
        }
    }

    fn port(&mut self, place: Slot, port: u16) {
        let key = self.key();
        let ip = matches!(self.frame.eth_type, 0x0800 | 0x86dd);
        let transport = matches!(key.get(slot::NW_PROTO), 6 | 17 | 132);
        if ip && transport && key.get(slot::NW_FRAG) & 2 == 0 {
            self.frame.write(place, u128::from(port));
        }
    }

    fn vlan(&mut self, push: bool, mask: u16, bits: u16) {
        if self.frame.packet_type != 0 {
            return;
        }
        if self.frame.tags.is_empty() && push {
            self.frame.tags.push(Tag { tpid: 0x8100, tci: 0x1000 });
        }
        if let Some(tag) = self.frame.tags.first_mut() {
            tag.tci = (tag.tci & !mask) | (bits & mask) | 0x1000;
        }
    }

    fn dec_ttl(&mut self) -> End {
        if !matches!(self.frame.eth_type, 0x0800 | 0x86dd) {
            return End::Done;
        }
        let ttl = self.key().get(slot::NW_TTL);
        if ttl <= 1 {
            return End::Stop;
        }
        self.frame.write(slot::NW_TTL, u128::from(ttl - 1));
        End::Done
    }

    fn dec_mpls_ttl(&mut self) -> End {
        let ttl = self.key().get(slot::MPLS_TTL);
        if !matches!(self.frame.eth_type, 0x8847 | 0x8848) || ttl <= 1 {
            return End::Stop;
        }
        self.set_bits(Field::MPLS_TTL, u128::from(ttl - 1), 0xff);
        End::Done
    }

    /// What follows happens to a copy, its action set included.
    fn check_length(&mut self, len: u16, dst: SubField, rest: &[Action]) {
        if rest.is_empty() {
            return;
        }
        let longer = self.frame.own_len() > usize::from(len);
        // Both halves are gone through, counted and learned from; one of them sends. The first half uses
        // the action set up: the second finds it empty, as in Open vSwitch.
        let before = (self.action_set.clone(), self.stack.clone());
        let pass = self.passes.now;
        for half in [true, false] {
            let saved = (self.frame.clone(), self.meta);
            let sent = self.outputs.len();
            self.write_part(dst, u128::from(half));
            self.list(rest);
            if !self.exit && !self.failed && !self.stopped {
                self.run_action_set();
            }
            self.action_set.clear();
            if half != longer {
                self.outputs.truncate(sent);
            }
            (self.frame, self.meta) = saved;
            self.back_to(pass);
            self.exit = self.stopped;
        }
        (self.action_set, self.stack) = before;
    }

    fn group(&mut self, id: u32) {
        self.depth += 1;
        let group = self.bridges[self.bridge].groups.iter().find(|g| g.id == id).cloned();
        self.failed |= self.depth > MAX_DEPTH;
        if let Some(group) = group.filter(|_| !self.failed) {
            let bridge = &self.bridges[self.bridge];
            let lives = |b: &Bucket| b.watch_port == PortNo::NONE || bridge.port(b.watch_port.0).is_some();
            let buckets: Vec<Bucket> = match group.kind {
                1 => crate::spread::bucket(&self.as_match(), &group).into_iter().collect(),
                3 => group.buckets.iter().find(|b| lives(b)).cloned().into_iter().collect(),
                _ => group.buckets.clone(),
            };
            for bucket in buckets {
                let saved = (self.frame.clone(), self.meta);
                let list = ordered(&bucket.actions);
                let pass = self.passes.now;
                self.list(&list);
                (self.frame, self.meta) = saved;
                self.back_to(pass);
                self.exit = self.stopped;
            }
        }
        self.depth -= 1;
    }

    // --- lists inside lists ---------------------------------------------------------------------

    /// The copy takes the action set along and executes it at its end.
    fn clone_of_packet(&mut self, inner: &[Action]) {
        let saved = (self.frame.clone(), self.meta, self.action_set.clone(), self.stack.clone(), self.exit);
        let pass = self.passes.now;
        self.list(inner);
        if !self.exit && !self.failed && !self.stopped {
            self.run_action_set();
        }
        (self.frame, self.meta, self.action_set, self.stack, self.exit) = saved;
        self.back_to(pass);
        self.exit |= self.stopped;
    }

    /// The action set, in the order of the specification, if it sends the packet anywhere.
    fn run_action_set(&mut self) {
        let set = std::mem::take(&mut self.action_set);
        self.list(&ordered(&set));
    }

    // --- sending --------------------------------------------------------------------------------

    fn output(&mut self, port: PortNo, max_len: Option<u32>) {
        let in_port = self.in_port();
        match port {
            PortNo::IN_PORT => self.send(in_port, max_len),
            PortNo::NORMAL => self.normal(),
            PortNo::FLOOD => self.flood(in_port, true),
            PortNo::ALL => self.flood(in_port, false),
            PortNo::TABLE => self.look_up(0, in_port),
            PortNo::CONTROLLER | PortNo::NONE => {}
            p if p.0 != in_port => self.send(p.0, max_len),
            _ => {}
        }
    }

    fn flood(&mut self, in_port: u32, honour_no_flood: bool) {
        self.flooded = true;
        for port in self.bridges[self.bridge].ports.clone() {
            if port.number != in_port && !(honour_no_flood && port.settings.no_flood) {
                self.send(port.number, None);
            }
        }
    }

    /// Out of a port, or on into the bridge behind it.
    pub fn send(&mut self, port: u32, max_len: Option<u32>) {
        let protected = |n: u32| self.bridges[self.bridge].port(n).is_some_and(|p| p.settings.protected);
        let Some(peer) = self.bridges[self.bridge].port(port).map(|p| p.peer) else { return };
        let snaplen = self.snaplen;
        if self.frame.packet_type != 0 && peer.is_none() {
            return;
        }
        // Copies are not cut on their way to another bridge, they are not sent at all.
        if protected(port) && protected(self.in_port()) || snaplen.is_some() && peer.is_some() {
            return;
        }
        if peer.is_none() {
            self.mirror_leaving(port);
            self.snaplen = snaplen;
        }
        match peer {
            Some((bridge, peer)) => self.cross(bridge, peer),
            None => {
                let mut bytes = self.frame.bytes();
                if let Some(max) = max_len.or(snaplen) {
                    bytes.truncate(max as usize);
                }
                self.passes.sent(self.outputs.len());
                self.outputs.push(Output { bridge: self.bridge, port, bytes });
            }
        }
    }

    /// Through a patch port: a new pipeline, which knows nothing of this one's state.
    fn cross(&mut self, bridge: usize, port: u32) {
        if self.depth >= MAX_DEPTH {
            self.failed = true;
            return;
        }
        let saved = (
            self.frame.clone(),
            self.meta,
            self.bridge,
            self.table,
            self.exit,
            std::mem::take(&mut self.action_set),
            std::mem::take(&mut self.stack),
            std::mem::take(&mut self.mirrored),
        );
        self.above.push(self.bridge);
        self.came_back |= self.above.contains(&bridge);
        self.learn_before_entering(bridge);
        let mark = self.meta.get(slot::PKT_MARK);
        self.meta = Key::ZERO;
        self.meta.set(slot::IN_PORT, u64::from(port));
        self.meta.set(slot::PKT_MARK, mark);
        self.bridge = bridge;
        self.table = 0;
        self.depth += 1;
        let pass = self.passes.now;
        self.whole_pipeline();
        self.back_to(pass);
        self.stopped = false;
        self.depth -= 1;
        self.above.pop();
        (self.frame, self.meta, self.bridge, self.table, self.exit, self.action_set, self.stack, self.mirrored) = saved;
    }
}

impl Walk<'_> {
    fn learn_before_entering(&mut self, bridge: usize) {
        let (now, all) = (self.now, std::mem::take(&mut self.taught));
        for (to, fm) in all {
            if to == bridge {
                self.bridges[to].rules.apply(&fm, now);
                self.learned_midway = true;
            } else {
                self.taught.push((to, fm));
            }
        }
    }
}

/// An action set in the order of the specification; empty when nothing in it sends the packet anywhere.
fn ordered(set: &[Action]) -> Vec<Action> {
    let last = |wanted: fn(&Action) -> bool| set.iter().rfind(|a| wanted(a)).cloned();
    let end = last(|a| matches!(a, Action::Group(_)))
        .or_else(|| last(|a| matches!(a, Action::Output { .. })))
        .or_else(|| last(|a| matches!(a, Action::Resubmit { .. })));
    let Some(end) = end else { return Vec::new() };
    let mut list = Vec::new();
    list.extend(last(|a| matches!(a, Action::StripVlan { .. })));
    list.extend(last(|a| matches!(a, Action::PopMpls(_))));
    list.extend(last(|a| matches!(a, Action::PushMpls(_))));
    list.extend(last(|a| matches!(a, Action::PushVlan(_))));
    list.extend(last(|a| matches!(a, Action::DecTtl { .. })));
    list.extend(last(|a| matches!(a, Action::DecMplsTtl)));
    list.extend(set.iter().filter(|a| writes(a)).cloned());
    list.extend(last(|a| matches!(a, Action::SetQueue(_))));
    list.push(end);
    list
}

/// The field that a part of the VLAN tag or of the TOS belongs to.
fn enclosing(place: Slot) -> Slot {
    [slot::VLAN_TCI, slot::NW_TOS, slot::MPLS_LSE0]
        .into_iter()
        .find(|w| w.word == place.word && w.shift <= place.shift && place.shift + place.width <= w.shift + w.width)
        .unwrap_or(place)
}

fn writes(action: &Action) -> bool {
    matches!(
        action,
        Action::SetField(_)
            | Action::Move { .. }
            | Action::SetEthSrc(_)
            | Action::SetEthDst(_)
            | Action::SetIpv4Src(_)
            | Action::SetIpv4Dst(_)
            | Action::SetIpDscp(_)
            | Action::SetIpEcn(_)
            | Action::SetIpTtl(_)
            | Action::SetL4Src(_)
            | Action::SetL4Dst(_)
            | Action::SetVlanVid { .. }
            | Action::SetVlanPcp { .. }
            | Action::SetTunnel { .. }
            | Action::SetMplsLabel(_)
            | Action::SetMplsTc(_)
            | Action::SetMplsTtl(_)
    )
}

fn mac_value(mac: &[u8; 6]) -> u128 {
    mac.iter().fold(0, |v, b| v << 8 | u128::from(*b))
}

fn ones(width: u16) -> u128 {
    1u128.checked_shl(u32::from(width)).map_or(u128::MAX, |x| x - 1)
}
