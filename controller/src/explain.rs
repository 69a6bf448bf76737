//! The way of a packet between two ports, in words.
//!
//! Purpose: follow a packet through the rules of every host on its way and say, table by table,
//! what is decided and why.
//! Deliberately does not know: counters, what a switch really holds (the controller keeps it equal).

use crate::desired::{desired_state, DesiredState};
use crate::model::address::to_bits;
use crate::model::{protocol, Cloud, EtherType, Host, Place, Port};
use crate::rules::build::{PORT_REGISTER, VLAN_REGISTER};
use crate::rules::cookie::Purpose;
use crate::rules::{
    node_rules, tunnel_port_name, NodeRules, PortNumbers, Rule, SwitchPorts, INTEGRATION, TO_INTEGRATION,
    TO_TUNNEL, TUNNEL,
};
use crate::walk::{is_back, put, walk, Fields, Step};
use sluice_openflow::{Action, Field, Match};

/// What packet is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Name of the sending port.
    pub from: &'a str,
    /// Name of the receiving port.
    pub to: &'a str,
    /// `icmp`, `tcp` or `udp`.
    pub protocol: &'a str,
    /// Destination port of TCP and UDP.
    pub tp_dst: u16,
}

/// One host on the way.
struct Node<'a> {
    host: &'a Host,
    ports: SwitchPorts,
    rules: NodeRules,
}

/// The way of the packet, one line per table, then the verdict. `ports_of` numbers a host's ports.
pub fn path(
    cloud: &Cloud,
    question: &Question<'_>,
    ports_of: impl Fn(&DesiredState) -> SwitchPorts,
) -> Result<Vec<String>, String> {
    let (from, to) = (find_port(cloud, question.from)?, find_port(cloud, question.to)?);
    if from.network != to.network {
        return Err(format!("'{}' and '{}' are on different networks", from.name, to.name));
    }
    let network = cloud.networks.iter().find(|n| n.name == from.network).ok_or("no such network")?;
    let node = |port: &Port| -> Result<Node<'_>, String> {
        let host = cloud.hosts.iter().find(|h| h.name == port.host).ok_or("no such host")?;
        let state = desired_state(cloud, &host.name).map_err(|e| e.to_string())?;
        let ports = ports_of(&state);
        Ok(Node { host, rules: node_rules(&state, &ports), ports })
    };
    let mut fields = packet(from, to, question)?;
    let mut lines = Vec::new();
    let sender = node(from)?;
    let in_port = number(&sender.ports.integration, from).ok_or(format!("'{}' has no port number", from.name))?;
    put(&mut fields, Field::IN_PORT_OXM, u128::from(in_port));
    let Some((out, mut fields)) = sender.on_integration(fields, &mut lines) else {
        lines.push(format!("=> dropped on {}", sender.host.name));
        return Ok(lines);
    };
    if out != TO_TUNNEL {
        lines.push(format!("=> delivered to '{out}' on {}, without leaving the host", sender.host.name));
        return Ok(lines);
    }
    clear_registers(&mut fields);
    let receiver = node(to)?;
    let Some(out) = sender.on_tunnel_outward(&mut fields, &mut lines) else {
        lines.push(format!("=> ends on {}", sender.host.name));
        return Ok(lines);
    };
    lines.push(format!(
        "underlay: VXLAN, VNI {}, from {} to {} (by {out})",
        network.vni, sender.host.tunnel_ip, receiver.host.tunnel_ip
    ));
    let arrived = receiver.on_tunnel_inward(&mut fields, sender.host, &mut lines);
    let delivered = arrived.then(|| receiver.on_integration(fields, &mut lines)).flatten();
    lines.push(match delivered {
        Some((port, _)) => format!("=> delivered to '{port}' on {}", receiver.host.name),
        None => format!("=> dropped on {}", receiver.host.name),
    });
    Ok(lines)
}

fn find_port<'a>(cloud: &'a Cloud, name: &str) -> Result<&'a Port, String> {
    cloud.ports.iter().find(|p| p.name == name).ok_or_else(|| format!("no port '{name}' in the source"))
}

fn number(numbers: &PortNumbers, port: &Port) -> Option<u32> {
    match &port.place {
        Place::Number(number) => Some(*number),
        Place::Device(device) => numbers.get(device).copied(),
    }
}

fn packet(from: &Port, to: &Port, question: &Question<'_>) -> Result<Fields, String> {
    let version = |port: &Port| port.addresses.first().copied();
    let src = version(from).ok_or(format!("'{}' has no address", from.name))?;
    let same = to.addresses.iter().copied().find(|a| EtherType::of(*a) == EtherType::of(src));
    let dst = same.ok_or(format!("'{}' has no address of the same IP version", to.name))?;
    let v4 = src.is_ipv4();
    let (proto, tp_src, tp_dst) = match question.protocol {
        "icmp" if v4 => (protocol::ICMP, 8, 0),
        "icmp" => (protocol::ICMPV6, 128, 0),
        "tcp" => (protocol::TCP, 40000, question.tp_dst),
        "udp" => (protocol::UDP, 40000, question.tp_dst),
        other => return Err(format!("'{other}' is not icmp, tcp or udp")),
    };
    let mut fields = Match::ANY;
    put(&mut fields, Field::ETH_SRC, from.mac.bits());
    put(&mut fields, Field::ETH_DST, to.mac.bits());
    put(&mut fields, Field::ETH_TYPE, if v4 { 0x0800 } else { 0x86dd });
    put(&mut fields, if v4 { Field::IP_SRC } else { Field::IPV6_SRC }, to_bits(src));
    put(&mut fields, if v4 { Field::IP_DST } else { Field::IPV6_DST }, to_bits(dst));
    put(&mut fields, Field::NW_PROTO, u128::from(proto));
    put(&mut fields, Field::TCP_SRC, u128::from(tp_src as u16));
    put(&mut fields, Field::TCP_DST, u128::from(tp_dst));
    Ok(fields)
}

/// A patch port forgets registers.
fn clear_registers(fields: &mut Fields) {
    put(fields, PORT_REGISTER, 0);
    put(fields, VLAN_REGISTER, 0);
}

impl Node<'_> {
    /// Through `br-int`: name of the port it leaves by, and its fields there.
    fn on_integration(&self, fields: Fields, lines: &mut Vec<String>) -> Option<(String, Fields)> {
        let outcome = walk(&self.rules.integration, fields);
        for step in &outcome.steps {
            lines.push(self.line(INTEGRATION, step, integration_words(step)));
        }
        let (port, fields) = outcome.outputs.into_iter().next()?;
        Some((name_of(&self.ports.integration, port), fields))
    }

    /// From `br-int` through `br-tun`: the tunnel port it leaves by.
    fn on_tunnel_outward(&self, fields: &mut Fields, lines: &mut Vec<String>) -> Option<String> {
        let in_port = *self.ports.tunnel.get(TO_INTEGRATION)?;
        put(fields, Field::IN_PORT_OXM, u128::from(in_port));
        let outcome = walk(&self.rules.tunnel, fields.clone());
        for step in &outcome.steps {
            lines.push(self.line(TUNNEL, step, tunnel_words(step)));
        }
        let (port, after) = outcome.outputs.into_iter().next()?;
        *fields = after;
        (!is_back(port)).then(|| name_of(&self.ports.tunnel, port))
    }

    /// From the tunnel of `sender` through `br-tun`: does it reach `br-int`?
    fn on_tunnel_inward(&self, fields: &mut Fields, sender: &Host, lines: &mut Vec<String>) -> bool {
        let Some(&in_port) = self.ports.tunnel.get(&tunnel_port_name(sender.tunnel_ip)) else { return false };
        put(fields, Field::IN_PORT_OXM, u128::from(in_port));
        let outcome = walk(&self.rules.tunnel, fields.clone());
        for step in &outcome.steps {
            lines.push(self.line(TUNNEL, step, tunnel_words(step)));
        }
        let (Some((_, after)), Some(&in_port)) =
            (outcome.outputs.into_iter().next(), self.ports.integration.get(TO_TUNNEL))
        else {
            return false;
        };
        *fields = after;
        put(fields, Field::TUN_ID, 0);
        put(fields, Field::IN_PORT_OXM, u128::from(in_port));
        true
    }

    fn line(&self, bridge: &str, step: &Step<'_>, words: &str) -> String {
        let rule = step.rule.map_or_else(
            || "no rule".to_owned(),
            |r| format!("priority {}, {}", r.priority, Purpose::describe(r.cookie).unwrap_or("not ours")),
        );
        format!("{} {bridge} table {:<2} {words}  [{rule}]", self.host.name, step.table)
    }
}

fn name_of(numbers: &PortNumbers, port: u32) -> String {
    let name = numbers.iter().find(|(_, number)| **number == port).map(|(name, _)| name.clone());
    name.unwrap_or_else(|| format!("port {port}"))
}

/// Does the rule send on to this table?
fn leads_to(rule: &Rule, table: u8) -> bool {
    rule.actions.iter().any(|a| match a {
        Action::GotoTable(next) => *next == table,
        Action::Resubmit { table: next, .. } => *next == Some(table),
        _ => false,
    })
}

fn integration_words(step: &Step<'_>) -> &'static str {
    let Some(rule) = step.rule else { return "nothing is said of it: dropped" };
    match (step.table, rule.priority) {
        (0, 65535) => "a port that is not wired yet: dropped",
        (0, _) => "whose packet is it?",
        (60, 100) => "sent by a port of this host",
        (60, 99) => "a machine must not send tags",
        (60, 90) => "for a port of this host",
        (60, 80) => "for every port of the network",
        (60, _) => "nobody here: dropped",
        (71, _) if leads_to(rule, 93) => "not an address of the sender's own",
        (71, _) if leads_to(rule, 72) => "the sender's addresses are its own",
        (71, _) => "the sender may say this of itself",
        (72, _) if leads_to(rule, 93) => "no security group of the sender allows it",
        (72, _) => "a security group of the sender allows it",
        (73, _) if leads_to(rule, 95) => "for every port of the network, here and elsewhere",
        (73, _) if leads_to(rule, 81) => "the receiver is on this host",
        (73, _) => "the receiver is not on this host",
        (81, _) if leads_to(rule, 82) => "is the receiver willing?",
        (81, _) if leads_to(rule, 93) => "nothing that the receiver could want",
        (81, _) => "always delivered",
        (82, _) if leads_to(rule, 93) => "no security group of the receiver allows it",
        (82, _) => "a security group of the receiver allows it",
        (93, _) => "dropped",
        (94, _) => "tagged with the network's VLAN, to br-tun",
        (95, _) => "a copy to every port of the network on this host",
        _ => "on its way",
    }
}

fn tunnel_words(step: &Step<'_>) -> &'static str {
    let Some(rule) = step.rule else { return "nothing is said of it: dropped" };
    match (step.table, rule.priority) {
        (0, _) if leads_to(rule, 2) => "from br-int",
        (0, _) if leads_to(rule, 4) => "from a tunnel",
        (2, _) if leads_to(rule, 21) => "an ARP question to everybody",
        (2, _) if leads_to(rule, 20) => "for one station",
        (2, _) => "for many stations",
        (4, 1) => "the VNI is that of a network here: its VLAN is put on",
        (4, _) => "a VNI that no port here is on: dropped",
        (10, _) => "the sender's tunnel is remembered; to br-int",
        (20, 2) => "the station is known: VNI put on, to the tunnel of its host",
        (20, _) => "an unknown station",
        (21, 1) if rule.actions.is_empty() => "a local address: its owner answers",
        (21, 1) => "answered here, from the cloud's knowledge",
        (21, _) => "an address that cannot be answered for",
        (22, 1) => "a copy to every host of the network",
        (22, _) => "no other host is on the network: dropped",
        _ => "dropped",
    }
}

#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
