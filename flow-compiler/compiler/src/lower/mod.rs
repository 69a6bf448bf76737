//! From actions as they were written to the instructions that deciding executes.
//!
//! Purpose: one meaning per instruction: names, versions and encodings end here.
//! Invariant: total. An action that this version cannot execute becomes `Refused`, so that
//! the rule loads, is shown, and a packet that meets it drops under a reason of its own.
//! Deliberately does not know: whether the actions are legal for their match (see `check`).

mod ct;
mod fields;
mod packet_type;
mod spread;

use std::sync::Arc;

use sluice_flow::action::{self as ir, Need, Punt, Source};
use sluice_flow::key::slot;
use sluice_flow::options::OptionMap;
use sluice_flow::rule::Conjunction;
use sluice_flow::Slot;
use sluice_openflow::action::{self as of, Action, LearnSource, PortNo, SetField, SetForm, WideValue};
use sluice_openflow::wide::Wide;
use sluice_openflow::{Field, SubField};

pub(crate) use fields::{read, write_match};
pub use fields::need_of;
pub(crate) use fields::single;
use fields::{is_short_in_port, pieces, place};

/// Reason code of a packet that an action sends to the controllers (`OFPR_ACTION`).
const REASON_ACTION: u8 = 1;

/// What a rule's actions became.
#[derive(Clone, Debug)]
pub struct Lowered {
    /// Instructions.
    pub actions: Arc<[ir::Action]>,
    /// Clauses that the rule contributes to.
    pub conjunctions: Box<[Conjunction]>,
    /// Learning actions as they were written, by the id in their instruction.
    pub learns: Vec<(u64, Arc<of::Learn>)>,
}

/// Lowers the actions of one rule of a bridge with these mappings. Each learning action gets the next id.
pub fn lower(actions: &[Action], map: &OptionMap, next_learn_id: &mut u64) -> Lowered {
    let mut l = Lowering { map, next_learn_id, learns: Vec::new(), conjunctions: Vec::new() };
    let actions = l.list(actions);
    Lowered { actions: actions.into(), conjunctions: l.conjunctions.into(), learns: l.learns }
}

struct Lowering<'a> {
    map: &'a OptionMap,
    next_learn_id: &'a mut u64,
    learns: Vec<(u64, Arc<of::Learn>)>,
    conjunctions: Vec<Conjunction>,
}

impl Lowering<'_> {
    fn list(&mut self, actions: &[Action]) -> Vec<ir::Action> {
        let mut out = Vec::with_capacity(actions.len());
        for action in actions {
            self.one(action, &mut out);
        }
        out
    }

    fn one(&mut self, action: &Action, out: &mut Vec<ir::Action>) {
        match action {
            Action::Conjunction { id, clause, n_clauses } => {
                self.conjunctions.push(Conjunction { id: *id, clause: *clause, n_clauses: *n_clauses });
            }
            Action::Learn(learn) => out.push(self.learn(learn)),
            Action::Clone(inner) => out.push(ir::Action::Clone(self.list(inner).into())),
            Action::WriteActions(inner) => out.push(ir::Action::WriteActions(self.list(inner).into())),
            Action::Note(_) | Action::Nat(_) | Action::Sample(_) => {}
            Action::DebugRecirc | Action::DebugSlow => {}
            Action::SetField(set) => {
                set_field(set, self.map, out);
                out.extend(has_option(set.field, self.map));
            }
            Action::Move { src, dst } => {
                move_bits(*src, *dst, self.map, out);
                out.extend(has_option(dst.field, self.map));
            }
            Action::Output { .. }
            | Action::OutputTrunc { .. }
            | Action::OutputReg { .. }
            | Action::Controller(_)
            | Action::Enqueue { .. }
            | Action::SetQueue(_)
            | Action::PopQueue => output(action, self.map, out),
            Action::SetVlanVid { .. } | Action::SetVlanPcp { .. } => out.push(vlan(action)),
            Action::StripVlan { .. } => out.push(ir::Action::PopVlan),
            Action::PushVlan(tpid) => out.push(ir::Action::PushVlan(*tpid)),
            Action::SetEthSrc(mac) => out.push(write(slot::ETH_SRC, mac_value(mac), Need::Ethernet)),
            Action::SetEthDst(mac) => out.push(write(slot::ETH_DST, mac_value(mac), Need::Ethernet)),
            Action::SetIpv4Src(ip) => out.push(write(slot::NW_SRC, u128::from(*ip), Need::Ipv4)),
            Action::SetIpv4Dst(ip) => out.push(write(slot::NW_DST, u128::from(*ip), Need::Ipv4)),
            Action::SetIpDscp(tos) => out.push(write(slot::NW_DSCP, u128::from(tos >> 2), Need::Ip)),
            Action::SetIpEcn(ecn) => out.push(write(slot::NW_ECN, u128::from(ecn & 3), Need::Ip)),
            Action::SetIpTtl(ttl) => out.push(write(slot::NW_TTL, u128::from(*ttl), Need::Ip)),
            Action::SetL4Src(port) => out.push(write(slot::TP_SRC, u128::from(*port), Need::L4)),
            Action::SetL4Dst(port) => out.push(write(slot::TP_DST, u128::from(*port), Need::L4)),
            Action::SetTunnel { id, .. } => out.push(write(slot::TUN_ID, u128::from(*id), Need::Nothing)),
            Action::WriteMetadata { value, mask } => out.push(ir::Action::Set {
                slot: slot::METADATA,
                value: u128::from(value & mask),
                mask: u128::from(*mask),
                need: Need::Nothing,
            }),
            Action::StackPush(part) => out.push(stack(*part, self.map, ir::Action::StackPush)),
            Action::StackPop(part) => {
                out.push(stack(*part, self.map, ir::Action::StackPop));
                out.extend(has_option(part.field, self.map));
            }
            Action::DecTtl { controllers, .. } => out.push(ir::Action::DecTtl(controllers.as_slice().into())),
            Action::Resubmit { in_port, table, with_ct_orig } => {
                let (in_port, table) = (in_port.filter(|p| *p != PortNo::IN_PORT).map(|p| p.0), *table);
                out.push(match with_ct_orig {
                    true => ir::Action::ResubmitByConnection { in_port, table },
                    false => ir::Action::Resubmit { in_port, table },
                });
            }
            Action::Group(id) => out.push(ir::Action::Group(*id)),
            Action::Meter(id) => out.push(ir::Action::Meter(*id)),
            Action::GotoTable(table) => out.push(ir::Action::Goto(*table)),
            Action::ClearActions => out.push(ir::Action::ClearActions),
            Action::Exit => out.push(ir::Action::Exit),
            Action::Ct(ct) => {
                let exec = self.list(&ct.actions);
                out.push(ct::lower(ct, exec, self.map));
            }
            Action::CtClear => out.push(ir::Action::CtClear),
            Action::SetMplsLabel(label) => out.push(write(slot::MPLS_LABEL, u128::from(*label), Need::Mpls)),
            Action::SetMplsTc(tc) => out.push(write(slot::MPLS_TC, u128::from(*tc), Need::Mpls)),
            Action::SetMplsTtl(ttl) => out.push(write(slot::MPLS_TTL, u128::from(*ttl), Need::Mpls)),
            Action::DecMplsTtl => out.push(ir::Action::DecMplsTtl),
            Action::CopyTtlOut => out.push(ir::Action::CopyTtlOut),
            Action::CopyTtlIn => out.push(ir::Action::CopyTtlIn),
            Action::PushMpls(eth_type) => out.push(ir::Action::PushMpls(*eth_type)),
            Action::PushPbb => out.push(ir::Action::PushPbb),
            Action::PopPbb => out.push(ir::Action::PopPbb),
            Action::PopMpls(eth_type) => out.push(ir::Action::PopMpls(*eth_type)),
            Action::Encap(encap) => out.push(packet_type::encap(encap)),
            Action::Decap { new_packet_type } => {
                out.push(ir::Action::Decap { under_label: new_packet_type.unwrap_or(packet_type::USE_NEXT) });
            }
            Action::DecNshTtl => out.push(ir::Action::DecNshTtl),
            Action::FinTimeout { idle, hard } => out.push(ir::Action::FinTimeout { idle: *idle, hard: *hard }),
            Action::Multipath(m) => {
                out.push(spread::multipath(m, self.map));
                out.extend(has_option(m.dst.field, self.map));
            }
            Action::Bundle(b) => {
                out.push(spread::bundle(b, self.map));
                out.extend(b.dst.and_then(|dst| has_option(dst.field, self.map)));
            }
            Action::CheckPktLarger { len, dst } => {
                out.extend(has_option(dst.field, self.map));
                out.push(match spread::target(*dst, self.map) {
                    Some(dst) => ir::Action::IfLonger(Arc::new(ir::LengthCheck { than: *len, dst })),
                    None => ir::Action::Refused("check_pkt_larger into a field that is not kept"),
                });
            }
            // The bytes stay, as in Open vSwitch: a partial write later finds them.
            Action::DeleteField(field) => {
                out.extend(field.option_number().map(|n| write(slot::tun_option_present(n), 0, Need::Nothing)));
            }
        }
    }

    fn learn(&mut self, learn: &of::Learn) -> ir::Action {
        let Some(specs) = learn_specs(&learn.specs, self.map) else {
            return ir::Action::Refused("learn with a field that is not kept");
        };
        let id = *self.next_learn_id;
        *self.next_learn_id = id.wrapping_add(1);
        self.learns.push((id, Arc::new(learn.clone())));
        ir::Action::Learn(Arc::new(ir::Learn {
            table: learn.table,
            priority: learn.priority,
            cookie: learn.cookie,
            idle_timeout: learn.idle_timeout,
            hard_timeout: learn.hard_timeout,
            fin_idle_timeout: learn.fin_idle_timeout,
            fin_hard_timeout: learn.fin_hard_timeout,
            send_flow_rem: learn.send_flow_rem,
            delete_learned: learn.delete_learned,
            limit: learn.limit,
            result_dst: learn.result_dst.and_then(|dst| single(dst, self.map)),
            specs,
            id,
        }))
    }
}

/// Sends, and the queue to send by.
fn output(action: &Action, map: &OptionMap, out: &mut Vec<ir::Action>) {
    match action {
        Action::Output { port, max_len } => out.push(output_port(*port, *max_len)),
        Action::OutputTrunc { port, max_len } => out.push(match *port {
            p if p == PortNo::IN_PORT || p == PortNo::LOCAL || p < PortNo::MAX => ir::Action::OutputTruncated { port: p.0, max_len: *max_len },
            _ => ir::Action::Nothing,
        }),
        Action::OutputReg { src, .. } => out.push(match single(*src, map) {
            Some(s) => ir::Action::OutputFrom(s),
            None => ir::Action::Refused("output to a field that is not kept"),
        }),
        Action::Controller(c) => out.push(ir::Action::Punt(Arc::new(Punt {
            max_len: c.max_len,
            reason: c.reason,
            controller_id: c.id,
            userdata: c.userdata.clone(),
            meter: c.meter_id,
            pause: c.pause,
            ..Punt::default()
        }))),
        Action::Enqueue { port: PortNo::IN_PORT, queue } => {
            out.push(ir::Action::SetQueue(Some(*queue)));
            out.push(ir::Action::InPort);
            out.push(ir::Action::SetQueue(None));
        }
        Action::Enqueue { port, queue } => out.push(ir::Action::Enqueue { port: port.0, queue: *queue }),
        Action::SetQueue(queue) => out.push(ir::Action::SetQueue(Some(*queue))),
        Action::PopQueue => out.push(ir::Action::SetQueue(None)),
        _ => {}
    }
}

fn output_port(port: PortNo, max_len: u16) -> ir::Action {
    match port {
        PortNo::IN_PORT => ir::Action::InPort,
        PortNo::TABLE => ir::Action::Resubmit { in_port: None, table: Some(0) },
        PortNo::NORMAL => ir::Action::Normal,
        PortNo::FLOOD => ir::Action::Flood,
        PortNo::ALL => ir::Action::All,
        PortNo::NONE => ir::Action::Nothing,
        PortNo::CONTROLLER => ir::Action::Punt(Arc::new(Punt {
            max_len,
            reason: REASON_ACTION,
            plain: true,
            ..Punt::default()
        })),
        other => ir::Action::Output(other.0),
    }
}

fn vlan(action: &Action) -> ir::Action {
    match action {
        Action::SetVlanVid { vid, push_vlan_if_needed } => {
            ir::Action::SetVlanVid { vid: vid & 0xfff, push: *push_vlan_if_needed }
        }
        Action::SetVlanPcp { pcp, push_vlan_if_needed } => {
            ir::Action::SetVlanPcp { pcp: pcp & 7, push: *push_vlan_if_needed }
        }
        _ => ir::Action::Nothing,
    }
}

/// Writes a whole slot.
fn write(slot: Slot, value: u128, need: Need) -> ir::Action {
    ir::Action::Set { slot, value: value & slot.ones(), mask: slot.ones(), need }
}

fn mac_value(mac: &[u8; 6]) -> u128 {
    mac.iter().fold(0, |v, b| v << 8 | u128::from(*b))
}

fn ones(width: u16) -> u128 {
    1u128.checked_shl(u32::from(width)).map_or(u128::MAX, |x| x - 1)
}

/// The value and mask of a `set_field` as the flow key keeps the field, with the sub-field they fill.
pub(crate) fn set_bits(set: &SetField) -> Option<(SubField, u128, u128)> {
    let (&WideValue::Small(value), &WideValue::Small(mask)) = (&set.value, &set.mask) else { return None };
    let whole = set.field.whole();
    if is_short_in_port(whole) && mask & 0xffff == 0xffff {
        let port = PortNo::from_u16(value as u16);
        return Some((SubField { width: 32, ..whole }, u128::from(port.0), 0xffff_ffff));
    }
    if set.field == Field::VLAN_VID && set.form == SetForm::SetField {
        let mask = if mask & 0xfff == 0xfff { 0x1fff } else { mask };
        return Some((SubField { width: 13, ..whole }, value | 0x1000, mask | 0x1000));
    }
    if set.field == Field::DL_VLAN {
        let whole = Field::VLAN_VID.whole();
        return Some((SubField { width: 13, ..whole }, value | 0x1000, 0x1fff));
    }
    Some((whole, value, mask & ones(whole.width)))
}

/// A packet that an option is written to has it.
fn has_option(field: Field, map: &OptionMap) -> Option<ir::Action> {
    field.option_number().filter(|n| map.get(*n).is_some()).map(|n| write(slot::tun_option_present(n), 1, Need::Nothing))
}

/// Writes bits of a tunnel option.
fn set_option(set: &SetField, map: &OptionMap, out: &mut Vec<ir::Action>) {
    let (value, mask) = (Wide::from(&set.value), Wide::from(&set.mask));
    let pieces = set.field.option_number().map(|n| map.pieces(n)).unwrap_or_default();
    for p in pieces {
        let bits = |w: &Wide| w.bits(p.lowest, p.slot.width.into());
        let mask = bits(&mask);
        if mask != 0 {
            out.push(ir::Action::Set { slot: p.slot, value: bits(&value) & mask, mask, need: Need::Nothing });
        }
    }
}

fn set_field(set: &SetField, map: &OptionMap, out: &mut Vec<ir::Action>) {
    if set.field.option_number().is_some() {
        return set_option(set, map, out);
    }
    let Some((whole, value, mask)) = set_bits(set) else {
        return out.push(ir::Action::Refused("set_field of a field that is not kept"));
    };
    let Some(cut) = pieces(&[whole], map) else {
        return out.push(ir::Action::Refused("set_field of a field that is not kept"));
    };
    let need = need_of(set.field);
    for piece in cut {
        let Some(slot) = place(whole, piece, map) else { continue };
        let mask = (mask >> piece.offset) & slot.ones();
        if mask != 0 {
            out.push(ir::Action::Set { slot, value: (value >> piece.offset) & mask, mask, need });
        }
    }
}

fn move_bits(src: SubField, dst: SubField, map: &OptionMap, out: &mut Vec<ir::Action>) {
    let unmapped = |part: SubField| part.field.option_number().is_some_and(|n| map.get(n).is_none());
    if unmapped(dst) || unmapped(src) {
        // Only a bucket can speak of such an option: there it is not there, and stays so.
        return;
    }
    let Some(cut) = pieces(&[src, dst], map) else {
        return out.push(ir::Action::Refused("move of a field that is not kept"));
    };
    let (src_need, dst_need) = (need_of(src.field), need_of(dst.field));
    if is_short_in_port(dst) && dst.width == 16 {
        out.push(write(slot::IN_PORT, 0, Need::Nothing));
    }
    for piece in cut {
        match (place(src, piece, map), place(dst, piece, map)) {
            (Some(s), Some(d)) => out.push(ir::Action::Move { src: s, src_need, dst: d, dst_need }),
            (None, Some(d)) => out.push(write(d, 0, dst_need)),
            (_, None) => {}
        }
    }
}

fn stack(part: SubField, map: &OptionMap, make: fn(Slot) -> ir::Action) -> ir::Action {
    match single(part, map) {
        Some(s) => make(s),
        None => ir::Action::Refused("push or pop of a field that is not kept in one piece"),
    }
}

fn learn_specs(specs: &[of::LearnSpec], map: &OptionMap) -> Option<Vec<ir::LearnSpec>> {
    let mut out = Vec::with_capacity(specs.len());
    for spec in specs {
        match spec {
            of::LearnSpec::Output(src) => out.push(ir::LearnSpec::Output(single(*src, map)?)),
            of::LearnSpec::Match { src, dst } => {
                for (src, dst) in learn_pieces(src, *dst, map)? {
                    out.push(ir::LearnSpec::Match { src, dst });
                }
            }
            of::LearnSpec::Load { src, dst } => {
                let need = need_of(dst.field);
                for (src, dst) in learn_pieces(src, *dst, map)? {
                    out.push(ir::LearnSpec::Load { src, dst, need });
                }
            }
        }
    }
    Some(out)
}

fn learn_pieces(src: &LearnSource, dst: SubField, map: &OptionMap) -> Option<Vec<(Source, Slot)>> {
    let cut = match src {
        LearnSource::Field(src) => pieces(&[*src, dst], map)?,
        LearnSource::Value { .. } => pieces(&[dst], map)?,
    };
    let mut out = Vec::with_capacity(cut.len());
    for piece in cut {
        let Some(d) = place(dst, piece, map) else { continue };
        let s = match src {
            LearnSource::Field(src) => place(*src, piece, map).map_or(Source::Value(0), Source::Field),
            LearnSource::Value { value, .. } => Source::Value((value >> piece.offset) & d.ones()),
        };
        out.push((s, d));
    }
    Some(out)
}

