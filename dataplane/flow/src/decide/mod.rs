//! Deciding: walks the tables for one packet and writes down a verdict.
//!
//! Purpose: the answer to a cache miss, in the same worker. The walk executes each rule's actions on
//! a copy of the flow key and emits operations for the frame, in the order in which they happen.
//! Invariant: two packets that agree in the bridge's key set get equal verdicts.
//! Deliberately does not know: frames, the cache, OpenFlow's encoding, the clock.

mod act;
mod action_set;
mod alike;
mod bond;
mod ct;
mod mpls;
mod spread;
mod storm;
mod freeze;
mod group;
mod mirror;
mod multicast;
mod normal;
mod output;
mod packet_type;
mod tunnel;
mod walk;

pub(crate) use ct::tuple_fields;
pub use freeze::{Frozen, Paused};

use std::net::IpAddr;
use std::sync::Arc;

use crate::action::{Action, Learn, OfPort};
use crate::classifier::Soft;
use crate::drop::DropReason;
use crate::fdb::Deps;
use crate::key::{slot, Key, FRAG_LATER, NARROW_WORDS};
use crate::program::{Ingress, Program};
use crate::rule::RuleId;
use crate::verdict::{BridgeIdx, Op, Verdict};

/// Most rules that one packet may teach.
const EVENTS_MAX: usize = 64;

/// What deciding asks of the control side.
#[derive(Clone, Debug)]
pub enum Event {
    /// A rule is to be added or refreshed.
    Learned {
        /// Bridge.
        bridge: BridgeIdx,
        /// How to make the rule.
        learn: Arc<Learn>,
        /// Fields of the packet when it met the action.
        key: Box<Key>,
    },
    /// A rule's timeouts are to be shortened: its connection ends.
    ShortenTimeouts {
        /// The rule.
        rule: RuleId,
        /// Seconds, 0 to leave it.
        idle: u16,
        /// Seconds, 0 to leave it.
        hard: u16,
    },
    /// A neighbour's hardware address is wanted.
    Resolve {
        /// Index into the underlay's devices.
        device: usize,
        /// Whose.
        address: IpAddr,
    },
}

/// A verdict, and what came with it.
#[derive(Debug, Default)]
pub struct Decision {
    /// What happens to the frame.
    pub verdict: Verdict,
    /// Learned addresses that it depended on.
    pub deps: Deps,
    /// What deciding asks of the control side.
    pub events: Vec<Event>,
    /// It holds for this packet only: more was looked at than the key set has.
    pub unrepeatable: bool,
    /// Packets that agree in these bits, and come to the same stage, get this verdict; `None` where that is not known.
    pub rests_on: Option<[u64; NARROW_WORDS]>,
}

/// Scratch memory for deciding, one per worker.
#[derive(Debug, Default)]
pub struct Decider {
    soft: Soft,
}

impl Decider {
    fn soft(&mut self) -> &mut Soft {
        &mut self.soft
    }

    /// What happens to a packet that came in by a device. Learns addresses on the way.
    pub fn decide(&mut self, program: &Program, ingress: Option<Ingress>, key: &Key, now_ms: u64) -> Decision {
        match ingress {
            Some(Ingress::Bridge { bridge, port }) => self.from_port(program, bridge, port, key, now_ms),
            Some(Ingress::Underlay) => tunnel::from_underlay(program, key),
            None => dropped(DropReason::PortGone),
        }
    }

    /// What happens to a packet that came in by a port of a bridge.
    pub fn from_port(&mut self, program: &Program, bridge: BridgeIdx, port: OfPort, key: &Key, now_ms: u64) -> Decision {
        let mut walk = walk::Walk::new(program, &mut self.soft, bridge, port, key, now_ms);
        walk.count_tunnel_input();
        if walk.is_for_the_switch() {
            walk.hand_over();
        } else if walk.accepts_input() {
            walk.mirror_incoming();
            walk.run_bridge();
        }
        walk.finish()
    }

    /// What happens to a packet on which a controller wants these actions executed.
    pub fn execute(
        &mut self,
        program: &Program,
        bridge: BridgeIdx,
        in_port: OfPort,
        actions: &Arc<[Action]>,
        key: &Key,
        now_ms: u64,
    ) -> Decision {
        let mut walk = walk::Walk::new(program, &mut self.soft, bridge, in_port, key, now_ms);
        walk.in_packet_out = true;
        walk.mirror_incoming();
        walk.run_actions(actions);
        walk.finish()
    }
}

fn dropped(reason: DropReason) -> Decision {
    let verdict = Verdict { drop: Some(reason), ..Verdict::default() };
    Decision { verdict, ..Decision::default() }
}

const UDP: u64 = 17;
const FRAGMENT6: u64 = 44;

/// What a packet is to the tunnels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ForTunnels {
    /// It is for one of them.
    Whole,
    /// It may be a piece of one that is.
    Piece,
    /// Nothing.
    Nothing,
}

/// What the UDP packet with this key is to the tunnels.
fn for_tunnels(program: &Program, key: &Key) -> ForTunnels {
    let dst = match key.get(slot::ETH_TYPE) {
        0x0800 => IpAddr::V4((key.get(slot::NW_DST) as u32).into()),
        0x86dd => IpAddr::V6(key.get_wide(slot::IPV6_DST).into()),
        _ => return ForTunnels::Nothing,
    };
    let proto = key.get(slot::NW_PROTO);
    match key.get(slot::NW_FRAG) {
        // A later fragment of IPv6 does not say more than that it is one.
        frag if proto != UDP && !(proto == FRAGMENT6 && frag & FRAG_LATER != 0) => ForTunnels::Nothing,
        0 if program.terminates(dst, key.get(slot::TP_DST) as u16) => ForTunnels::Whole,
        frag if frag != 0 && program.ends_at(dst) => ForTunnels::Piece,
        _ => ForTunnels::Nothing,
    }
}

/// Removes what no one would see: operations behind the last that matters; a last branch needs no copy.
fn tidy(ops: Vec<Op>) -> Vec<Op> {
    let mut ops = ct::nest(ops);
    let end = ops.iter().rposition(Op::matters).map_or(0, |i| i + 1);
    ops.truncate(end);
    while let Some(Op::Branch(inner)) = ops.last() {
        let inner = inner.clone();
        ops.pop();
        ops.extend(inner.iter().cloned());
    }
    ops
}
