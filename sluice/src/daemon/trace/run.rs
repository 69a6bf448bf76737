//! The whole text of a trace.
//!
//! Deliberately does not know: what happens inside a pass.

use std::collections::VecDeque;

use sluice_flow::key::slot;
use sluice_flow::BridgeIdx;
use sluice_openflow::action::Nat;
use sluice_openflow::text::{format_packet_match, Names};
use sluice_openflow::{Action, Version};

use super::odp;
use super::packet::Packet;
use super::ports::datapath_names;
use super::request::Request;
use super::spec::CT_STATES;
use super::walk::{is_tunneled, Effect, Recirculated, Walk};
use crate::daemon::switch::Switch;

/// Passes of one packet, at most.
const PASSES: usize = 64;

/// Follows the packet, and all that becomes of it; does what a real one does.
pub(super) fn run(switch: &mut Switch, request: &Request, actions: Option<&[Action]>, now_ms: u64) -> String {
    let mut ct_states: VecDeque<u32> = request.ct_states.iter().copied().collect();
    let mut pass = Pass { request, next_recirc: 1, effects: Vec::new(), waiting: VecDeque::new() };
    let mut out = pass.run(switch, request.bridge, &request.packet, actions, None);
    for _ in 0..PASSES {
        let Some(mut next) = pass.waiting.pop_front() else { break };
        out += &banner(&mut next, ct_states.pop_front());
        out += &pass.run(switch, request.bridge, &next.packet.clone(), None, Some(&next));
    }
    for effect in pass.effects {
        carry_out(switch, effect, now_ms);
    }
    out
}

struct Pass<'a> {
    request: &'a Request,
    next_recirc: u32,
    effects: Vec<Effect>,
    waiting: VecDeque<Recirculated>,
}

impl Pass<'_> {
    fn run(&mut self, switch: &Switch, bridge: BridgeIdx, packet: &Packet, actions: Option<&[Action]>, resume: Option<&Recirculated>) -> String {
        let mut packet = packet.clone();
        if packet.is_mpls() {
            // What is under labels is not looked at, also once they are gone.
            packet.key.hide_network();
        }
        let packet = &packet;
        let mut walk = Walk::new(switch, bridge, packet.clone());
        walk.with_names = self.request.names;
        walk.side_effects = self.request.real;
        walk.next_recirc = self.next_recirc;
        let names = walk.names();
        let mut out = format!("Flow: {}\n", flow_text(packet, &names));
        walk.run(actions, resume);
        out += &walk.tree.print();
        let unchanged = walk.packet == with_unset_output(packet);
        out += &match unchanged {
            true => "\nFinal flow: unchanged\n".to_string(),
            false => format!("\nFinal flow: {}\n", flow_text(&walk.packet, &names)),
        };
        out += &format!("Megaflow: {}\n", megaflow_text(packet, &walk.wc, walk.label_by_action && !walk.label_by_rule, &names));
        let ports = if self.request.names { datapath_names(switch) } else { Default::default() };
        out += &format!("Datapath actions: {}", odp::format(&walk.out, &ports));
        match walk.error {
            Some(error) => out += &format!("\nTranslation failed ({error}), packet is dropped.\n"),
            None if walk.slow => {
                out += "\nThis flow is handled by the userspace slow path because it:\n  - Uses action(s) not supported by datapath.";
            }
            None => {}
        }
        self.next_recirc = walk.next_recirc;
        self.effects.append(&mut walk.effects);
        self.waiting.extend(walk.recirculated);
        out
    }
}

fn with_unset_output(packet: &Packet) -> Packet {
    let mut packet = packet.clone();
    packet.set(slot::ACTSET_OUTPUT, 0);
    packet
}

/// What stands between two passes.
fn banner(next: &mut Recirculated, state: Option<u32>) -> String {
    let line = "=".repeat(79);
    let why = match state {
        Some(state) => {
            let names = CT_STATES.iter().enumerate().filter(|(i, _)| state & (1 << i) != 0);
            format!("resume conntrack with ct_state={}", names.map(|(_, n)| *n).collect::<Vec<_>>().join("|"))
        }
        None => "resume conntrack with default ct_state=trk|new (use --ct-next to customize)".to_string(),
    };
    next.packet.set(slot::CT_STATE, u64::from(state.unwrap_or(0x21)));
    let mut out = format!("\n\n{line}\nrecirc(0x{:x}) - {why}\n", next.id);
    if let Some(nat) = next.nat.take() {
        out += "Replacing src/dst IP/ports to simulate NAT:\n";
        out += &format!(" Initial flow: {}\n", addresses(&next.packet, &nat));
        translate(&mut next.packet, &nat);
        out += &format!(" Modified flow: {}\n", addresses(&next.packet, &nat));
    }
    out + &format!("{line}\n\n")
}

fn addresses(packet: &Packet, nat: &Nat) -> String {
    let (src, dst) = (packet.get(slot::TP_SRC), packet.get(slot::TP_DST));
    match nat.addresses {
        Some((std::net::IpAddr::V4(_), _)) => {
            let ip = |place| std::net::Ipv4Addr::from(packet.get(place) as u32);
            format!("nw_src={},tp_src={src},nw_dst={},tp_dst={dst}", ip(slot::NW_SRC), ip(slot::NW_DST))
        }
        Some((std::net::IpAddr::V6(_), _)) => {
            let ip = |place| std::net::Ipv6Addr::from(packet.key.get_wide(place));
            format!("ipv6_src=[{}],tp_src={src},ipv6_dst=[{}],tp_dst={dst}", ip(slot::IPV6_SRC), ip(slot::IPV6_DST))
        }
        None => String::new(),
    }
}

/// Translates to the first address and port of the range.
fn translate(packet: &mut Packet, nat: &Nat) {
    for (wanted, v4, v6, port) in
        [(nat.src, slot::NW_SRC, slot::IPV6_SRC, slot::TP_SRC), (nat.dst, slot::NW_DST, slot::IPV6_DST, slot::TP_DST)]
    {
        if !wanted {
            continue;
        }
        match nat.addresses {
            Some((std::net::IpAddr::V4(a), _)) => packet.set(v4, u64::from(u32::from(a))),
            Some((std::net::IpAddr::V6(a), _)) => packet.key.set_wide(v6, u128::from(a)),
            None => {}
        }
        if let Some((first, _)) = nat.ports.filter(|_| nat.addresses.is_some()) {
            packet.set(port, u64::from(first));
        }
    }
}

/// All fields of a packet that it has, or that say something.
fn flow_text(packet: &Packet, names: &Names) -> String {
    let mut mask = Packet::ZERO;
    let shown_when_set = [
        slot::SKB_PRIORITY, slot::PKT_MARK, slot::RECIRC_ID, slot::DP_HASH, slot::CT_STATE, slot::CT_ZONE, slot::CT_MARK, slot::CT_LABEL,
        slot::METADATA, slot::TUN_ID, slot::PACKET_TYPE,
    ];
    for place in shown_when_set.into_iter().chain((0..16).map(slot::reg)) {
        if packet.key.get_wide(place) != 0 {
            mask.mark_all(place);
        }
    }
    if packet.get(slot::IN_PORT) != 0 {
        mask.mark_all(slot::IN_PORT);
    }
    if is_tunneled(packet) {
        for place in [slot::TUN_ID, slot::TUN_SRC, slot::TUN_DST, slot::TUN_IPV6_SRC, slot::TUN_IPV6_DST, slot::TUN_TOS, slot::TUN_TTL, slot::TUN_FLAGS, slot::TUN_GBP_ID, slot::TUN_GBP_FLAGS] {
            mask.mark_all(place);
        }
        mask.options = packet.options.clone();
        mask.mark_options_of(packet);
    }
    mask_headers(packet, &mut mask);
    mask_connection(packet, &mut mask);
    let inner = if mask.inner.1 != 0 { (packet.inner.1, 0xffff) } else { (0, 0) };
    format_packet_match(&packet.matching(&mask), inner, names)
}

fn mask_headers(packet: &Packet, mask: &mut Packet) {
    if packet.get(slot::PACKET_TYPE) == 0 {
        for place in [slot::ETH_DST, slot::ETH_SRC, slot::ETH_TYPE, slot::VLAN_TCI] {
            mask.mark_all(place);
        }
        if packet.tci() != 0 {
            mask.inner = (0xffff, 0xffff);
        }
    }
    let ip = |mask: &mut Packet| {
        for place in [slot::NW_FRAG, slot::NW_TOS, slot::NW_TTL, slot::NW_PROTO] {
            mask.mark_all(place);
        }
        if packet.is_later_fragment() || !matches!(packet.protocol(), 1 | 2 | 6 | 17 | 58 | 132) {
            return;
        }
        mask.mark_all(slot::TP_SRC);
        mask.mark_all(slot::TP_DST);
        if packet.protocol() == 6 {
            mask.mark_all(slot::TCP_FLAGS);
        }
    };
    match packet.eth_type() {
        0x0800 => {
            mask.mark_all(slot::NW_SRC);
            mask.mark_all(slot::NW_DST);
            ip(mask);
        }
        0x86dd => {
            for place in [slot::IPV6_SRC, slot::IPV6_DST, slot::IPV6_LABEL] {
                mask.mark_all(place);
            }
            ip(mask);
            let kind = packet.get(slot::TP_SRC);
            if packet.protocol() == 58 && packet.get(slot::TP_DST) == 0 && matches!(kind, 135 | 136) {
                for place in [slot::ND_TARGET, slot::ARP_SHA, slot::ARP_THA] {
                    mask.mark_all(place);
                }
            }
        }
        0x0806 | 0x8035 => {
            for place in [slot::NW_SRC, slot::NW_DST, slot::NW_PROTO, slot::ARP_SHA, slot::ARP_THA] {
                mask.mark_all(place);
            }
        }
        0x8847 | 0x8848 => {
            for (place, _) in [slot::MPLS_LSE0, slot::MPLS_LSE1, slot::MPLS_LSE2].into_iter().zip(packet.labels()) {
                mask.mark_all(place);
            }
        }
        0x894f => {
            for place in [slot::NSH_FLAGS, slot::NSH_TTL, slot::NSH_MDTYPE, slot::NSH_NP, slot::NSH_SPI, slot::NSH_SI] {
                mask.mark_all(place);
            }
            (1..=4).for_each(|n| mask.mark_all(slot::nsh_c(n)));
            ip(mask);
        }
        _ => {}
    }
}

/// The connection's first packet, where one is known.
fn mask_connection(packet: &Packet, mask: &mut Packet) {
    if packet.get(slot::CT_STATE) == 0 || packet.get(slot::CT_NW_PROTO) == 0 {
        return;
    }
    for place in [slot::CT_NW_PROTO, slot::CT_TP_SRC, slot::CT_TP_DST] {
        mask.mark_all(place);
    }
    let addresses = if packet.eth_type() == 0x0800 { [slot::CT_NW_SRC, slot::CT_NW_DST] } else { [slot::CT_IPV6_SRC, slot::CT_IPV6_DST] };
    addresses.into_iter().for_each(|place| mask.mark_all(place));
}

/// What had to be looked at.
pub(super) fn megaflow_text(packet: &Packet, wc: &Packet, label_by_action: bool, names: &Names) -> String {
    let mut mask = wc.clone();
    mask.set(slot::STAGE, 0);
    mask.set(slot::TTL_EXPIRING, 0);
    mask.set(slot::PACKET_TYPE, 0);
    mask.set(slot::VLAN_TPID, 0);
    mask.key.clear_tunnel_options();
    if is_tunneled(packet) {
        mask.mark_options_of(packet);
    }
    let inner = (packet.inner.1 & wc.inner.1, wc.inner.1);
    let text = format_packet_match(&packet.matching(&mask), inner, names);
    let label = format!("ipv6_label=0x{:05x}", packet.get(slot::IPV6_LABEL));
    if label_by_action { text.replacen(&label, &format!("{label}/0xfffff"), 1) } else { text }
}

fn carry_out(switch: &mut Switch, effect: Effect, now_ms: u64) {
    match effect {
        Effect::Learn(bridge, learn, packet) => {
            let fm = sluice_compiler::learn::learned_flow_mod(&learn, &packet.key, switch.rules.options(bridge));
            if let Err(e) = switch.flow_mod(bridge, &fm, Version::V13, now_ms) {
                crate::log!(Warn, "", "a traced packet could not teach its rule: {e}");
            }
        }
        Effect::Seen { bridge, vlan, mac, port } => {
            if let Some(bridge) = switch.bridge(bridge) {
                bridge.fdb.learn(vlan, mac, port.0, now_ms);
            }
        }
    }
}
