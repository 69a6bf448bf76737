//! Actions and instructions, read from text.
//!
//! Purpose: walk over a list and hand each word to its reader. Invariant: nesting is bounded, so that
//! no text exhausts the stack. Deliberately does not know: whether a list suits a match (see
//! [`crate::check`]).

use super::error::TextError;
use super::formats::Formats;
use super::names::Names;
use super::order;
use super::token::Token;
use super::{action_basic as basic, action_ct, action_field, action_learn, action_misc};
use crate::action::{Action, PortNo, CONTROLLER_WHOLE_PACKET};

/// Lists may be nested this deep.
const DEEPEST: u8 = 100;

/// Where a list of actions stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Inside {
    /// A rule: instructions are allowed.
    Rule,
    /// A packet-out or bucket: actions only.
    Actions,
    /// `write_actions(...)`.
    WriteActions,
    /// `ct(exec(...))`.
    Ct,
    /// `clone(...)`.
    Clone,
}

/// What readers of actions need to know, and the formats that can still carry what they read.
#[derive(Clone, Copy)]
pub(super) struct ActionText<'a> {
    pub names: &'a Names,
    pub formats: Formats,
    depth: u8,
}

impl<'a> ActionText<'a> {
    pub fn new(names: &'a Names) -> ActionText<'a> {
        ActionText {
            names,
            formats: Formats::ANY,
            depth: 0,
        }
    }

    /// Reads a list.
    pub fn list(&mut self, token: Token<'_>, inside: Inside) -> Result<Vec<Action>, TextError> {
        self.placed(token, inside).map(|(actions, _)| actions)
    }

    /// Reads a list; tells also where each action stands.
    pub fn placed<'t>(
        &mut self,
        token: Token<'t>,
        inside: Inside,
    ) -> Result<(Vec<Action>, Vec<Token<'t>>), TextError> {
        if self.depth >= DEEPEST {
            return Err(token.error("Action nested too deeply"));
        }
        self.depth += 1;
        let (mut actions, mut places, mut drop) = (Vec::new(), Vec::new(), None);
        for (key, value) in token.pairs() {
            if key.text().eq_ignore_ascii_case("drop") {
                drop = Some(key);
            } else {
                actions.push(self.one(key, value, inside)?);
                places.push(key.through(value));
            }
        }
        self.depth -= 1;
        if let Some(word) = drop.filter(|_| !actions.is_empty()) {
            return Err(
                word.error("\"drop\" must not be accompanied by any other action or instruction")
            );
        }
        order::verify(&actions, inside).map_err(|(index, message)| {
            places.get(index).copied().unwrap_or(token).error(message)
        })?;
        Ok((actions, places))
    }

    fn one(&mut self, key: Token<'_>, v: Token<'_>, inside: Inside) -> Result<Action, TextError> {
        let word = key.text().to_ascii_lowercase();
        match word.as_str() {
            "output" | "output_reg" => basic::output(v, self.names),
            "controller" => action_misc::controller(v),
            "group" => super::number::u32(v).map(Action::Group),
            "enqueue" => basic::enqueue(v, self.names),
            "set_queue" => super::number::u32(v).map(Action::SetQueue),
            "pop_queue" => Ok(Action::PopQueue),
            "set_vlan_vid" => basic::vlan_vid(v, false),
            "mod_vlan_vid" => basic::vlan_vid(v, true),
            "set_vlan_pcp" => basic::vlan_pcp(v, false),
            "mod_vlan_pcp" => basic::vlan_pcp(v, true),
            "strip_vlan" => Ok(Action::StripVlan { pop: false }),
            "pop_vlan" => Ok(Action::StripVlan { pop: true }),
            "push_vlan" => {
                self.formats &= Formats::FROM_11;
                basic::push_vlan(v)
            }
            "mod_dl_src" => basic::mac(v).map(Action::SetEthSrc),
            "mod_dl_dst" => basic::mac(v).map(Action::SetEthDst),
            "mod_nw_src" => super::value::one_ipv4(v).map(Action::SetIpv4Src),
            "mod_nw_dst" => super::value::one_ipv4(v).map(Action::SetIpv4Dst),
            "mod_nw_tos" => basic::tos(v),
            "mod_nw_ecn" => basic::ecn(v),
            "mod_nw_ttl" | "set_nw_ttl" => super::number::u8(v, "TTL").map(Action::SetIpTtl),
            "mod_tp_src" => super::number::u16(v, "source port").map(Action::SetL4Src),
            "mod_tp_dst" => super::number::u16(v, "destination port").map(Action::SetL4Dst),
            "set_field" => action_field::set_field(v, self),
            "load" => action_field::load(v),
            "move" => action_field::move_slice(v),
            "push" => super::subfield::parse(v).map(Action::StackPush),
            "pop" => super::subfield::parse(v).map(Action::StackPop),
            "delete_field" => action_field::delete_field(v),
            "dec_ttl" => basic::dec_ttl(v),
            "set_mpls_label" => basic::mpls_label(v),
            "set_mpls_tc" => basic::mpls_tc(v),
            "set_mpls_ttl" => basic::mpls_ttl(v),
            "dec_mpls_ttl" => Ok(Action::DecMplsTtl),
            "copy_ttl_out" => Ok(Action::CopyTtlOut),
            "copy_ttl_in" => Ok(Action::CopyTtlIn),
            "push_mpls" => super::number::u16(v, "push_mpls").map(Action::PushMpls),
            "push_pbb" => match super::number::u16(v, "push_pbb")? {
                0x88e7 => Ok(Action::PushPbb),
                other => Err(v.error(format!("0x{other:04x}: the type of a service instance tag is 0x88e7"))),
            },
            "pop_pbb" => Ok(Action::PopPbb),
            "pop_mpls" => super::number::u16(v, "pop_mpls").map(Action::PopMpls),
            "set_tunnel" => basic::set_tunnel(v, false),
            "set_tunnel64" => basic::set_tunnel(v, true),
            "resubmit" => basic::resubmit(v, self.names),
            "learn" => action_learn::learn(v, self.names),
            "conjunction" => action_misc::conjunction(v),
            "multipath" => action_misc::multipath(v),
            "bundle" => action_misc::bundle(v, false, self.names),
            "bundle_load" => action_misc::bundle(v, true, self.names),
            "note" => action_misc::note(v),
            "exit" => Ok(Action::Exit),
            "fin_timeout" => action_misc::fin_timeout(v),
            "sample" => action_misc::sample(v, self.names),
            "ct" => action_ct::ct(v, self),
            "nat" => action_ct::nat(v).map(|nat| Action::Nat(Box::new(nat))),
            "ct_clear" => Ok(Action::CtClear),
            "clone" => self.list(v, Inside::Clone).map(Action::Clone),
            "encap" => {
                self.formats &= Formats::FROM_13;
                action_misc::encap(v)
            }
            "decap" => action_misc::decap(v),
            "dec_nsh_ttl" => Ok(Action::DecNshTtl),
            "check_pkt_larger" => action_field::check_pkt_larger(v),
            "debug_recirc" => Ok(Action::DebugRecirc),
            "debug_slow" => Ok(Action::DebugSlow),
            "meter" => {
                self.formats &= if inside == Inside::Rule {
                    Formats::FROM_13
                } else {
                    Formats::OXM15
                };
                super::number::u32(v).map(Action::Meter)
            }
            "clear_actions" => Ok(Action::ClearActions),
            "write_actions" => self.list(v, Inside::WriteActions).map(Action::WriteActions),
            "write_metadata" => {
                self.formats &= Formats::FROM_11 | Formats::NXM | Formats::NXM_TABLE_ID;
                basic::write_metadata(v)
            }
            "goto_table" => basic::goto_table(v, self.names),
            "apply_actions" => Err(key.error("apply_actions is the default instruction")),
            _ => match self.names.port(key.text()) {
                Some(port) => Ok(output_to(port)),
                None => Err(key.error(format!("unknown action {}", key.text()))),
            },
        }
    }
}

/// `output` to a port, with the length that a controller gets.
pub(super) fn output_to(port: PortNo) -> Action {
    let max_len = if port == PortNo::CONTROLLER {
        CONTROLLER_WHOLE_PACKET
    } else {
        0
    };
    Action::Output { port, max_len }
}
