//! Bonds of bridges: what links, partners and loads say becomes part of the program.
//!
//! Purpose: follow carriers, speak LACP, move buckets, tell neighbours when addresses moved.
//! Invariant: the member whose number stands for a bond stays the same as long as it is a member.
//! Deliberately does not know: packets of hosts.

mod announce;
mod show;

use std::collections::BTreeMap;

use sluice_engine::Received;
use sluice_flow::bond::{self as program, Partner};
use sluice_flow::BridgeIdx;
use sluice_openflow::PortNo;
use sluice_ovsdb_bridge::{Bond as Wanted, BondMode, Lacp as WantedLacp};
use sluice_wire::lacp::Pdu;

use super::bridge::{Attachment, Bridge, PortState};
use super::{Command, Switch};
use crate::daemon::bond::balance::Balance;
use crate::daemon::bond::lacp::{self, Lacp, LinkSettings};
use crate::daemon::bond::links::{self, Links};

/// Shortest time between two looks at the balance, as in Open vSwitch.
const REBALANCE_MIN_MS: u64 = 1000;

/// A bond.
#[derive(Clone, Debug)]
pub(super) struct BondState {
    wanted: Wanted,
    /// The member whose number stands for all.
    leader: u32,
    links: Links,
    lacp: Option<Lacp>,
    balance: Balance,
    /// When loads are looked at again, and the report that tells them.
    rebalance_ms: u64,
    ticket: Option<u64>,
    /// Carriers as LACP last heard of them.
    carriers: BTreeMap<u32, bool>,
}

/// Bonds of one bridge, by name.
pub(super) type Bonds = BTreeMap<String, BondState>;

impl BondState {
    fn new(wanted: Wanted, leader: u32, now_ms: u64) -> BondState {
        let rebalance_ms = now_ms + interval(&wanted);
        BondState {
            wanted,
            leader,
            links: Links::default(),
            lacp: None,
            balance: Balance::default(),
            rebalance_ms,
            ticket: None,
            carriers: BTreeMap::new(),
        }
    }

    fn is_balanced(&self) -> bool {
        self.wanted.mode != BondMode::ActiveBackup
    }

    /// The bond as the program has it.
    fn program(&self) -> program::Bond {
        let partner = match &self.lacp {
            None => Partner::NotAsked,
            Some(l) if l.is_negotiated() => Partner::Agreed,
            Some(_) => Partner::Missing,
        };
        let receiving = self.links.members().iter().filter(|(_, m)| m.enabled || m.may_enable).map(|(n, _)| *n);
        program::Bond {
            balance: match self.wanted.mode {
                BondMode::ActiveBackup => program::Balance::ActiveBackup,
                BondMode::BalanceSlb => program::Balance::Source,
                BondMode::BalanceTcp => program::Balance::Flow,
            },
            partner,
            fallback: self.wanted.lacp_fallback_ab,
            basis: self.wanted.hash_basis,
            active: self.links.active(),
            receiving: receiving.collect(),
            buckets: self.balance.members().collect::<Vec<_>>().into(),
        }
    }

    fn configure(&mut self, bridge: &Bridge, now_ms: u64) {
        let members: Vec<&PortState> = self.wanted.members.iter().filter_map(|n| bridge.port_by_name(n)).collect();
        let numbers: Vec<u32> = members.iter().map(|p| p.number.0).collect();
        let number = |name: &String| bridge.port_by_name(name).map(|p| p.number.0);
        let settings = links::Settings {
            up_ms: u64::from(self.wanted.updelay_ms),
            down_ms: u64::from(self.wanted.downdelay_ms),
            primary: self.wanted.primary.as_ref().and_then(number),
        };
        self.links.configure(settings, &numbers);
        if self.wanted.lacp == WantedLacp::Off {
            self.lacp = None;
            return;
        }
        let settings = lacp_settings(&self.wanted, bridge);
        let key = numbers.iter().copied().min().unwrap_or(1) as u16;
        let link = |p: &&PortState| {
            let wanted = p.wanted.as_ref().map(|w| w.lacp).unwrap_or_default();
            let link = LinkSettings {
                port: wanted.id.unwrap_or(p.number.0 as u16),
                priority: wanted.priority.unwrap_or(u16::MAX),
                key: wanted.key.unwrap_or(key),
            };
            (p.number.0, link)
        };
        let links = members.iter().map(link).collect();
        self.lacp.get_or_insert_with(|| Lacp::new(settings)).configure(settings, &links, now_ms);
    }

    /// Takes in links and partners; true when the program must hear of it.
    fn run(&mut self, bridge: &Bridge, now_ms: u64) -> (bool, Vec<(u32, Pdu)>) {
        let before = self.program();
        let carries = |n: u32| bridge.ports.get(&PortNo(n)).is_some_and(carries);
        let mut said = Vec::new();
        if let Some(l) = &mut self.lacp {
            for (n, _) in l.links().clone() {
                let up = carries(n);
                if self.carriers.insert(n, up) != Some(up) {
                    l.carrier_changed(n, up, now_ms);
                }
            }
            said = l.run(now_ms, carries);
        }
        let lacp = &self.lacp;
        let fallback = self.wanted.lacp_fallback_ab;
        let delays = lacp.as_ref().is_none_or(|l| !l.is_negotiated() && fallback);
        self.links.run(now_ms, delays, |n| carries(n) && lacp.as_ref().is_none_or(|l| l.may_enable(n)));
        if self.is_balanced() {
            self.balance.enable(&self.links.enabled());
        }
        (before != self.program(), said)
    }

    fn next_ms(&self) -> Option<u64> {
        let lacp = self.lacp.as_ref().and_then(Lacp::next_ms);
        let rebalance = (self.is_balanced() && self.wanted.rebalance_ms > 0).then_some(self.rebalance_ms);
        [lacp, self.links.next_ms(), rebalance].into_iter().flatten().min()
    }
}

fn interval(wanted: &Wanted) -> u64 {
    u64::from(wanted.rebalance_ms).max(REBALANCE_MIN_MS)
}

fn lacp_settings(wanted: &Wanted, bridge: &Bridge) -> lacp::Settings {
    let active = wanted.lacp == WantedLacp::Active;
    lacp::Settings {
        active,
        fast: wanted.lacp_fast,
        fallback: wanted.lacp_fallback_ab,
        system: wanted.lacp_system_id.unwrap_or(bridge.hw_addr),
        // Of two that were told nothing the active one decides, as in Open vSwitch.
        system_priority: wanted.lacp_system_priority.min(u16::MAX - u16::from(active)),
    }
}

fn carries(port: &PortState) -> bool {
    matches!(port.attachment, Attachment::Device { open: true, .. }) && port.link.up && port.link.carrier
}

impl Switch {
    /// Makes bonds be as their bridge wants them; their members' lines in the program follow.
    pub(super) fn refresh_bonds(&mut self, index: BridgeIdx, now_ms: u64) {
        let Some(bridge) = self.bridges.get_mut(&index) else { return };
        let mut old = std::mem::take(&mut bridge.bonds);
        if old.is_empty() && bridge.wanted.bonds.is_empty() {
            return;
        }
        let touched: Vec<u32> = old.values().flat_map(|b| b.links.members().keys().copied()).collect();
        let mut bonds = Bonds::new();
        for wanted in bridge.wanted.bonds.clone() {
            let numbers: Vec<u32> = wanted.members.iter().filter_map(|n| Some(bridge.port_by_name(n)?.number.0)).collect();
            let Some(first) = numbers.iter().copied().min() else { continue };
            let known = old.remove(&wanted.name).filter(|b| numbers.contains(&b.leader));
            let mut bond = known.unwrap_or_else(|| BondState::new(wanted.clone(), first, now_ms));
            bond.wanted = wanted;
            bond.configure(bridge, now_ms);
            bonds.insert(bond.wanted.name.clone(), bond);
        }
        let mut touched: Vec<u32> = touched.into_iter().chain(bonds.values().flat_map(|b| b.links.members().keys().copied())).collect();
        touched.sort_unstable();
        touched.dedup();
        bridge.bonds = bonds;
        for number in touched {
            self.submit_port(index, PortNo(number));
        }
        self.run_bonds_of(index, now_ms);
        self.refresh_normal(index);
    }

    /// Does what is due for all bonds.
    pub fn run_bonds(&mut self, now_ms: u64) {
        let all: Vec<BridgeIdx> = self.bridges.values().filter(|b| !b.bonds.is_empty()).map(|b| b.index).collect();
        for index in all {
            self.run_bonds_of(index, now_ms);
        }
    }

    fn run_bonds_of(&mut self, index: BridgeIdx, now_ms: u64) {
        let Some(bridge) = self.bridges.get_mut(&index) else { return };
        let mut bonds = std::mem::take(&mut bridge.bonds);
        let mut frames = Vec::new();
        let mut changed = false;
        for bond in bonds.values_mut() {
            let (active, enabled) = (bond.links.active(), bond.links.enabled());
            let (news, said) = bond.run(bridge, now_ms);
            changed |= news;
            frames.extend(said.into_iter().filter_map(|(n, pdu)| lacp_frame(bridge, n, &pdu)));
            let lost = enabled.iter().any(|n| !bond.links.enabled().contains(n));
            if active.is_some() && (active != bond.links.active() || lost && bond.is_balanced()) {
                frames.extend(announce::frames(bridge, bond, now_ms));
            }
        }
        for bond in bonds.values_mut() {
            changed |= self.rebalance(bond, now_ms);
        }
        if let Some(bridge) = self.bridges.get_mut(&index) {
            bridge.bonds = bonds;
        }
        if changed {
            self.refresh_normal(index);
        }
        if let Some(team) = &mut self.team {
            frames.into_iter().for_each(|(device, frame)| team.tell(device, Command::Transmit { device, frame }));
        }
    }

    /// Asks for loads when it is time, and moves buckets once they are known.
    fn rebalance(&mut self, bond: &mut BondState, now_ms: u64) -> bool {
        if !bond.is_balanced() || bond.wanted.rebalance_ms == 0 {
            return false;
        }
        match bond.ticket {
            None if now_ms >= bond.rebalance_ms => {
                bond.ticket = Some(self.request_report());
                bond.rebalance_ms = now_ms + interval(&bond.wanted);
                false
            }
            Some(ticket) if self.has_reported(ticket) => {
                bond.ticket = None;
                bond.balance.rebalance()
            }
            _ => false,
        }
    }

    /// When something is due for a bond.
    pub fn next_bond_ms(&self) -> Option<u64> {
        self.bridges.values().flat_map(|b| b.bonds.values()).filter_map(BondState::next_ms).min()
    }

    /// What the program says of a bridge's bonds.
    pub(super) fn program_bonds(bridge: &Bridge) -> BTreeMap<u32, program::Bond> {
        bridge.bonds.values().map(|b| (b.leader, b.program())).collect()
    }

    /// A bucket of a bond sent packets.
    pub(super) fn count_bucket(&mut self, bridge: BridgeIdx, leader: u32, bucket: u8, bytes: u64) {
        let bonds = self.bridges.get_mut(&bridge).map(|b| &mut b.bonds);
        if let Some(bond) = bonds.and_then(|b| b.values_mut().find(|b| b.leader == leader)) {
            bond.balance.count(bucket, bytes);
        }
    }

    /// Messages of LACP, IGMP and MLD that came in.
    pub(super) fn take_protocols(&mut self, all: Vec<Received>, now_ms: u64) {
        for Received { bridge, port, bytes } in all {
            if bytes.get(12..14) != Some(&sluice_wire::lacp::ETH_TYPE.to_be_bytes()) {
                self.take_membership(bridge, port, &bytes, now_ms);
                continue;
            }
            let bonds = self.bridges.get_mut(&bridge).map(|b| &mut b.bonds);
            let bond = bonds.and_then(|b| b.values_mut().find(|b| b.links.members().contains_key(&port)));
            if let Some(lacp) = bond.and_then(|b| b.lacp.as_mut()) {
                lacp.receive(port, Pdu::read(&bytes).as_ref(), now_ms);
            }
        }
        self.run_bonds(now_ms);
    }

    /// The MAC address of a bond's active member, `bond_active_slave`.
    pub fn bond_active_member(&self, bond: &str) -> Option<[u8; 6]> {
        let (bridge, state) = self.bond_named(bond)?;
        Some(bridge.ports.get(&PortNo(state.links.active()?))?.hw_addr)
    }

    /// Whether LACP hears the partner of this port now; `None` for a port that does not speak it.
    pub fn lacp_current(&self, port: &str) -> Option<bool> {
        let (bridge, number) = self.bridges.values().find_map(|b| Some((b, b.port_by_name(port)?.number.0)))?;
        let bond = bridge.bonds.values().find(|b| b.links.members().contains_key(&number))?;
        Some(bond.lacp.as_ref()?.links().get(&number)?.status == lacp::Status::Current)
    }

    fn bond_named(&self, name: &str) -> Option<(&Bridge, &BondState)> {
        self.bridges.values().find_map(|b| Some((b, b.bonds.get(name)?)))
    }

    fn change_bond<T>(&mut self, name: &str, change: impl FnOnce(&Bridge, &mut BondState) -> Result<T, String>) -> Result<T, String> {
        let index = self.bond_named(name).map(|(b, _)| b.index).ok_or("no such bond")?;
        let bridge = self.bridges.get_mut(&index).ok_or("no such bond")?;
        let mut bonds = std::mem::take(&mut bridge.bonds);
        let done = bonds.get_mut(name).ok_or("no such bond".to_string()).and_then(|b| change(bridge, b));
        bridge.bonds = bonds;
        self.refresh_normal(index);
        done
    }

    /// Makes a member the active one; the answer is what a person is told.
    pub fn set_active_member(&mut self, bond: &str, member: &str) -> Result<&'static str, String> {
        self.change_bond(bond, |bridge, b| {
            let n = number_of(bridge, b, member)?;
            if b.links.active() == Some(n) {
                return Ok("no change");
            }
            b.links.activate(n).then_some("done").ok_or_else(|| "cannot make disabled member active".to_string())
        })
    }

    /// Uses or leaves a member until its link says otherwise.
    pub fn enable_member(&mut self, bond: &str, member: &str, enabled: bool) -> Result<&'static str, String> {
        self.change_bond(bond, |bridge, b| {
            let n = number_of(bridge, b, member)?;
            b.links.force(n, enabled);
            b.balance.enable(&b.links.enabled());
            Ok(if enabled { "enabled" } else { "disabled" })
        })
    }

    /// The member that a number in the program belongs to: bond's leader and whether it speaks LACP.
    pub(super) fn bond_of(bridge: &Bridge, number: u32) -> (Option<u32>, bool) {
        let bond = bridge.bonds.values().find(|b| b.links.members().contains_key(&number));
        (bond.map(|b| b.leader), bond.is_some_and(|b| b.lacp.is_some()))
    }

    /// Does a bridge speak LACP anywhere?
    pub(super) fn speaks_lacp(bridge: &Bridge) -> bool {
        bridge.bonds.values().any(|b| b.lacp.is_some())
    }
}

fn number_of(bridge: &Bridge, bond: &BondState, member: &str) -> Result<u32, String> {
    let number = bridge.port_by_name(member).map(|p| p.number.0);
    number.filter(|n| bond.links.members().contains_key(n)).ok_or_else(|| "no such member".to_string())
}

fn lacp_frame(bridge: &Bridge, number: u32, pdu: &Pdu) -> Option<(u16, Vec<u8>)> {
    let port = bridge.ports.get(&PortNo(number))?;
    let Attachment::Device { device, open: true } = port.attachment else { return None };
    Some((device, pdu.frame(port.hw_addr)))
}
