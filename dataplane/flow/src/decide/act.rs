//! Executing one rule's actions.

use std::sync::Arc;

use super::walk::Walk;
use super::Event;
use crate::action::{Action, Learn, Need, OfPort, Punt};
use crate::drop::DropReason;
use crate::program::Bridge;
use crate::key::{is_header, slot, Slot, VLAN_PRESENT};
use crate::reads::{satisfies, touches_ttl};
use crate::verdict::{Effect, Op};

/// Entries on the action stack, as many as Open vSwitch allows per packet at 1 KiB each.
const STACK_MAX: usize = 1024;
/// `OFPR_INVALID_TTL`.
pub(super) const REASON_INVALID_TTL: u8 = 2;
const TPID_8021Q: u16 = 0x8100;

impl Walk<'_> {
    /// Executes a list of actions; answers the table that a `goto_table` names.
    pub(super) fn execute(&mut self, actions: &Arc<[Action]>) -> Option<u8> {
        self.rests_on(actions);
        for (i, action) in actions.iter().enumerate() {
            if self.exit {
                self.keep_rest(actions, i);
                return None;
            }
            match action {
                Action::Goto(table) => return Some(*table),
                Action::DecTtl(controllers) if !self.dec_ttl(controllers) => return None,
                Action::DecMplsTtl if !self.dec_mpls_ttl() => return None,
                Action::DecNshTtl if !self.dec_nsh_ttl() => return None,
                Action::IfLonger(check) => {
                    let rest = actions.get(i + 1..).unwrap_or(&[]).into();
                    self.split_by_length(check, rest);
                    return None;
                }
                other => self.act(other),
            }
        }
        None
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Output(port) => self.output(*port, None),
            Action::OutputTruncated { port, max_len } => self.output(*port, Some(*max_len)),
            Action::OutputFrom(slot) => self.output_from(*slot),
            Action::InPort => self.compose(self.in_port(), None),
            Action::Normal => self.normal(),
            Action::Flood => self.flood(true),
            Action::All => self.flood(false),
            Action::Punt(punt) if punt.pause => self.pause(punt),
            Action::Punt(punt) => self.punt(punt),
            Action::Set { slot, value, mask, need } => self.set(*slot, *value, *mask, *need),
            Action::Move { src, src_need, dst, dst_need } => self.move_field(*src, *src_need, *dst, *dst_need),
            Action::SetVlanVid { vid, push } => self.set_vlan(slot::VLAN_VID, *vid as u64, *push),
            Action::SetVlanPcp { pcp, push } => self.set_vlan(slot::VLAN_PCP, *pcp as u64, *push),
            Action::PushVlan(tpid) => self.push_vlan(*tpid, VLAN_PRESENT),
            Action::PopVlan => self.pop_vlan(),
            Action::Resubmit { in_port, table } => self.resubmit(table.unwrap_or(self.view.table), *in_port),
            Action::ResubmitByConnection { in_port, table } => {
                self.resubmit_by_connection(table.unwrap_or(self.view.table), *in_port);
            }
            Action::WriteActions(actions) => self.action_set.extend(actions.iter().cloned()),
            Action::ClearActions => self.action_set.clear(),
            Action::Group(id) => self.group(*id),
            Action::Meter(id) => self.meter(*id),
            Action::PushMpls(_) | Action::PopMpls(_) if self.is_bare() => self.stop(DropReason::PacketType),
            Action::PushMpls(eth_type) => self.push_mpls(*eth_type),
            Action::PopMpls(eth_type) => self.pop_mpls(*eth_type),
            Action::EncapEthernet => self.encap_ethernet(),
            Action::EncapNsh(new) => self.encap_nsh(new),
            Action::EncapMpls(eth_type) => self.encap_mpls(*eth_type),
            Action::Decap { under_label } => self.decap(*under_label),
            Action::PushPbb => self.push_pbb(),
            Action::PopPbb => self.pop_pbb(),
            Action::CopyTtlOut => self.copy_ttl_out(),
            Action::CopyTtlIn => self.copy_ttl_in(),
            Action::Multipath(m) => self.multipath(m),
            Action::Bundle(b) => self.bundle(b),
            Action::FinTimeout { idle, hard } => self.fin_timeout(*idle, *hard),
            Action::Learn(learn) => self.learn(learn),
            Action::StackPush(slot) => self.stack_push(*slot),
            Action::StackPop(slot) => self.stack_pop(*slot),
            Action::SetQueue(queue) => self.set_queue(*queue),
            Action::Enqueue { port, queue } => self.enqueue(*port, *queue),
            Action::Clone(actions) => self.clone_action(actions),
            Action::Exit => self.exit = true,
            Action::Ct(ct) => self.track(ct),
            Action::CtClear => self.clear_tracking(),
            Action::Refused(_) => self.stop(DropReason::ActionRefused),
            Action::Nothing
            | Action::Goto(_)
            | Action::DecTtl(_)
            | Action::DecMplsTtl
            | Action::DecNshTtl
            | Action::IfLonger(_) => {}
        }
    }

    pub(super) fn wrote(&mut self, s: Slot) {
        self.view.written |= written(s.word);
        self.view.source_written |= s.word == slot::ETH_SRC.word && s.shift + s.width > slot::ETH_SRC.shift;
        if s.width > 64 {
            self.view.written |= written(s.word + 1);
        }
    }

    pub(super) fn clear_words(&mut self, words: std::ops::Range<u8>) {
        self.view.written |= written(words.end).wrapping_sub(written(words.start));
        if let Some(words) = self.view.key.words.get_mut(usize::from(words.start)..usize::from(words.end)) {
            words.fill(0);
        }
    }

    /// Writes bits of a field, in the key and (for a header field) in the frame.
    pub(super) fn set(&mut self, s: Slot, value: u128, mask: u128, need: Need) {
        if !satisfies(&self.view.key, need) {
            return;
        }
        if is_vlan(s) {
            return self.set_tci_bits(s, value as u64, mask as u64);
        }
        self.view.key.set_masked(s, value, mask);
        self.wrote(s);
        if is_header(s) {
            self.after_header_write(s);
            self.pending.push(Op::Set { slot: s, value: value & mask, mask: mask & s.ones() });
        }
    }

    /// Keeps derived bits of the key true.
    fn after_header_write(&mut self, s: Slot) {
        if touches_ttl(s) {
            self.view.decremented = false;
            let expiring = self.view.key.get(slot::NW_TTL) <= 1;
            self.view.key.set(slot::TTL_EXPIRING, expiring as u64);
        }
    }

    fn move_field(&mut self, src: Slot, src_need: Need, dst: Slot, dst_need: Need) {
        if !satisfies(&self.view.key, src_need) || !satisfies(&self.view.key, dst_need) {
            return;
        }
        let value = self.view.key.get_wide(src);
        let both_headers = is_header(src) && is_header(dst);
        if !both_headers || is_vlan(dst) || is_vlan(src) {
            return self.set(dst, value, dst.ones(), Need::Nothing);
        }
        self.view.key.set_wide(dst, value);
        self.wrote(dst);
        self.after_header_write(dst);
        self.pending.push(Op::Move { src, dst });
    }

    /// `mod_vlan_vid`, `mod_vlan_pcp`: pushes a tag only where asked to.
    fn set_vlan(&mut self, s: Slot, value: u64, push: bool) {
        if push || self.view.key.get(slot::VLAN_PRESENT) != 0 {
            self.set_tci_bits(s, value, u64::MAX);
        }
    }

    /// Writes bits of the tag; writing id or priority implies a tag, clearing the present bit removes it.
    fn set_tci_bits(&mut self, s: Slot, value: u64, mask: u64) {
        if self.is_bare() {
            return;
        }
        let key = &mut self.view.key;
        let had = key.get(slot::VLAN_PRESENT) != 0;
        key.set_masked(s, value as u128, mask as u128);
        if s == slot::VLAN_VID || s == slot::VLAN_PCP {
            key.set(slot::VLAN_PRESENT, 1);
        }
        let has = key.get(slot::VLAN_PRESENT) != 0;
        let tci = key.get(slot::VLAN_TCI);
        self.wrote(s);
        match (had, has) {
            (true, true) => {
                self.pending.push(Op::Set { slot: s, value: value as u128 & mask as u128, mask: mask as u128 & s.ones() })
            }
            (true, false) => {
                self.view.key.set(slot::VLAN_TCI, 0);
                self.view.key.set(slot::VLAN_TPID, 0);
                self.restore_inner_vlan();
                self.pending.push(Op::PopVlan);
            }
            (false, true) => {
                self.view.key.set(slot::VLAN_TPID, TPID_8021Q as u64);
                self.pending.push(Op::PushVlan { tpid: TPID_8021Q, tci: tci as u16 });
            }
            (false, false) => self.view.key.set(slot::VLAN_TCI, 0),
        }
    }

    pub(super) fn push_vlan(&mut self, tpid: u16, tci: u64) {
        if self.is_bare() {
            return;
        }
        let key = &mut self.view.key;
        if key.get(slot::VLAN_PRESENT) != 0 {
            self.view.inner_vlans.push((key.get(slot::VLAN_TPID), key.get(slot::VLAN_TCI)));
        }
        key.set(slot::VLAN_TPID, tpid as u64);
        key.set(slot::VLAN_TCI, tci);
        self.wrote(slot::VLAN_TCI);
        self.pending.push(Op::PushVlan { tpid, tci: tci as u16 });
    }

    pub(super) fn pop_vlan(&mut self) {
        if self.view.key.get(slot::VLAN_PRESENT) == 0 {
            return;
        }
        self.view.key.set(slot::VLAN_TCI, 0);
        self.view.key.set(slot::VLAN_TPID, 0);
        self.restore_inner_vlan();
        self.wrote(slot::VLAN_TCI);
        self.pending.push(Op::PopVlan);
    }

    fn restore_inner_vlan(&mut self) {
        if let Some((tpid, tci)) = self.view.inner_vlans.pop() {
            self.view.key.set(slot::VLAN_TPID, tpid);
            self.view.key.set(slot::VLAN_TCI, tci);
        }
    }

    /// False when the packet's time is up.
    fn dec_ttl(&mut self, controllers: &Arc<[u16]>) -> bool {
        if !satisfies(&self.view.key, Need::Ip) {
            return true;
        }
        // Once decremented, "at most 1" is not enough to know of the TTL that the packet came with.
        let known = |b: &Bridge| b.key_set().covers(slot::NW_TTL);
        self.unrepeatable |= self.view.decremented && !self.bridge().is_some_and(known);
        if self.view.key.get(slot::TTL_EXPIRING) != 0 {
            for id in controllers.iter() {
                self.punt(&Arc::new(Punt {
                    max_len: u16::MAX,
                    reason: REASON_INVALID_TTL,
                    controller_id: *id,
                    ..Punt::default()
                }));
            }
            self.hint(DropReason::TtlExpired);
            return false;
        }
        let ttl = self.view.key.get(slot::NW_TTL).saturating_sub(1);
        self.view.key.set(slot::NW_TTL, ttl);
        self.view.key.set(slot::TTL_EXPIRING, (ttl <= 1) as u64);
        self.view.decremented = true;
        self.wrote(slot::NW_TTL);
        self.pending.push(Op::DecTtl);
        true
    }

    fn learn(&mut self, learn: &Arc<Learn>) {
        let mut key = Box::new(self.view.key);
        if satisfies(&key, Need::Mpls) {
            key.hide_network();
        }
        self.event(Event::Learned { bridge: self.view.bridge, learn: learn.clone(), key });
        self.effect(Effect::DecideAgain);
        if let Some(result) = learn.result_dst {
            self.set(result, 1, 1, Need::Nothing);
        }
    }

    fn stack_push(&mut self, s: Slot) {
        if self.stack.len() >= STACK_MAX {
            return self.stop(DropReason::StackOverflow);
        }
        let mut key = self.view.key;
        if satisfies(&key, Need::Mpls) {
            key.hide_network();
        }
        self.stack.push(key.get_wide(s));
    }

    fn fin_timeout(&mut self, idle: u16, hard: u16) {
        const FIN_OR_RST: u64 = 0x5;
        let ends = satisfies(&self.view.key, Need::Tcp) && self.view.key.get(slot::TCP_FLAGS) & FIN_OR_RST != 0;
        if let Some(rule) = self.view.rule.filter(|_| ends) {
            self.event(Event::ShortenTimeouts { rule, idle, hard });
        }
    }

    /// An empty stack pops nothing, as in Open vSwitch.
    fn stack_pop(&mut self, s: Slot) {
        if let Some(value) = self.stack.pop() {
            self.set(s, value, s.ones(), Need::Nothing);
        }
    }

    fn set_queue(&mut self, queue: Option<u32>) {
        self.view.key.set(slot::SKB_PRIORITY, queue.map_or(0, |q| q as u64 + 1));
        self.pending.push(Op::SetQueue(queue));
    }

    fn enqueue(&mut self, port: OfPort, queue: u32) {
        let old = self.view.key.get(slot::SKB_PRIORITY);
        self.set_queue(Some(queue));
        self.output(port, None);
        self.set_queue(old.checked_sub(1).map(|q| q as u32));
    }

    fn clone_action(&mut self, actions: &Arc<[Action]>) {
        let (set, stack) = (self.action_set.clone(), self.stack.clone());
        self.branch(|w| {
            w.stack = stack;
            w.action_set = set;
            w.execute(actions);
            // The copy takes the action set along and executes it at its end, as in Open vSwitch.
            w.run_action_set();
        });
        self.resume_after_copy();
    }
}

/// The bit of a word in `View::written`; tunnel options, which no frame's header holds, have none.
pub(super) fn written(word: u8) -> u64 {
    1u64.checked_shl(u32::from(word)).unwrap_or(0)
}

fn is_vlan(s: Slot) -> bool {
    s.word == slot::VLAN_TCI.word && s.shift < 16
}
