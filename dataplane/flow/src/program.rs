//! The program: every bridge's tables and ports, as the workers execute them.
//!
//! Purpose: one immutable value per epoch. The control side keeps two copies; it applies
//! [`Change`]s to the one that no worker holds, publishes it, and later feeds the same changes to
//! the other. A change costs what it changes, never a rebuild.
//! Invariant: applying the same changes to equal programs gives equal programs.
//! Deliberately does not know: OpenFlow's encoding, cookies, timeouts, counters.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use crate::action::{Action, OfPort};
use crate::classifier::Classifier;
use crate::fdb::Fdb;
use crate::group::{Group, GroupId};
use crate::hash::FoldBuild;
use crate::key::{slot, Key};
use crate::meter::{Meter, MeterId};
use crate::reads::reads_of;
use crate::referred::Referred;
use crate::rule::{MaskWords, Rule, RuleId, SparseMask};
use crate::underlay::Underlay;
use crate::normal::Normal;
use crate::verdict::{BridgeIdx, OuterTos, OuterTtl, PortIdx};
pub use crate::vlan::{PriorityTags, VlanMode};

/// Tables that rules may live in: 0..=254.
pub const TABLES: usize = 255;
/// The table of the switch's own rules: looked up before all others, in bridges that have any.
pub const OWN_TABLE: u8 = 254;
/// Changes that a stale cache entry can be tested against before it must be decided again.
const LOG_LEN: usize = 4096;

/// What happens to a packet that no rule of a table matches.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Miss {
    /// It is dropped (OpenFlow 1.3's default).
    #[default]
    Drop,
    /// It goes on in the next table.
    Continue,
    /// It goes to the controllers.
    Controller,
}

/// What is behind a port.
#[derive(Clone, PartialEq, Debug)]
pub enum PortKind {
    /// A device of the switch.
    Device(PortIdx),
    /// A port of another bridge.
    Patch {
        /// That bridge.
        bridge: BridgeIdx,
        /// That port.
        port: OfPort,
    },
    /// A tunnel.
    Tunnel(Arc<Tunnel>),
    /// Nothing (yet): the device is missing. Rules that name it stay.
    Absent,
}

/// A VXLAN tunnel port's settings.
#[derive(Clone, PartialEq, Debug)]
pub struct Tunnel {
    /// VNI of packets that arrive, or `None` for any (`in_key=flow`).
    pub key: Option<u32>,
    /// VNI of packets that leave, or `None` when rules set it (`out_key=flow`).
    pub out_key: Option<u32>,
    /// Peer, or `None` when rules set it (`remote_ip=flow`).
    pub remote: Option<IpAddr>,
    /// Own address, or `None` for what the route says.
    pub local: Option<IpAddr>,
    /// UDP destination port.
    pub dst_port: u16,
    /// Outer TOS.
    pub tos: OuterTos,
    /// Outer TTL.
    pub ttl: OuterTtl,
    /// "Don't fragment".
    pub df: bool,
    /// Fill the outer UDP checksum; `None`: over IPv6 only.
    pub csum: Option<bool>,
    /// Group policy extension.
    pub gbp: bool,
    /// Mark of packets that leave; 0 leaves them the one that they have.
    pub mark: u32,
}

impl Tunnel {
    /// May its packets have outer headers of this family, by the addresses that are fixed?
    pub fn may_run_over(&self, ipv6: bool) -> bool {
        self.local.or(self.remote).is_none_or(|a| a.is_ipv6() == ipv6)
    }
}

/// A port of a bridge.
#[derive(Clone, PartialEq, Debug)]
pub struct Port {
    /// What is behind it.
    pub kind: PortKind,
    /// VLAN mode, for NORMAL.
    pub vlan: VlanMode,
    /// Tags without a VLAN id, for NORMAL.
    pub priority_tags: PriorityTags,
    /// Sends nothing that came in by another protected port.
    pub protected: bool,
    /// The bond that it is a member of.
    pub bond: Option<OfPort>,
    /// LACP's messages are for the control side.
    pub lacp: bool,
    /// Refuses floods.
    pub no_flood: bool,
    /// What is flooded of what its device hands in is limited.
    pub storm_limited: bool,
    /// Receives nothing.
    pub no_receive: bool,
    /// Sends nothing.
    pub no_forward: bool,
    /// Its link works: buckets of groups may watch it.
    pub live: bool,
}

impl Port {
    /// A trunk port on a device.
    pub fn device(idx: PortIdx) -> Self {
        Port {
            kind: PortKind::Device(idx),
            vlan: VlanMode::Trunk(None),
            priority_tags: PriorityTags::Never,
            protected: false,
            bond: None,
            lacp: false,
            no_flood: false,
            storm_limited: false,
            no_receive: false,
            no_forward: false,
            live: true,
        }
    }

    /// Is nothing but the link different?
    fn differs_in_link_only(&self, other: &Port) -> bool {
        self.live != other.live && *self == Port { live: self.live, ..other.clone() }
    }
}

/// What a device's frames enter by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ingress {
    /// A port of a bridge.
    Bridge {
        /// That bridge.
        bridge: BridgeIdx,
        /// That port.
        port: OfPort,
    },
    /// Only tunnels: what is not encapsulated for us is dropped (the host has its own copy).
    Underlay,
}

/// One table.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Its rules.
    pub rules: Classifier,
    /// What happens without a match.
    pub miss: Miss,
    /// What the actions of its rules look at, counted.
    reads: HashMap<SparseMask, u32, FoldBuild>,
}

/// One bridge.
#[derive(Clone, Debug)]
pub struct Bridge {
    /// Tables by number.
    pub tables: Vec<Table>,
    /// Ports by number; ordered, so that floods are the same in every run.
    pub ports: BTreeMap<OfPort, Port>,
    /// Learned addresses.
    pub fdb: Arc<Fdb>,
    /// Groups and meters.
    pub referred: Referred,
    /// Settings for NORMAL.
    pub normal: Arc<Normal>,
    /// Every packet field that a packet entering here may be judged by.
    /// What becomes of the pieces of IP packets.
    pub fragments: Fragments,
    /// [`OWN_TABLE`] has rules.
    pub own_rules: bool,
    key_set: Key,
}

impl Bridge {
    fn new(fdb: Arc<Fdb>) -> Self {
        Bridge { tables: vec![Table::default(); TABLES], ports: BTreeMap::new(), fdb, referred: Referred::default(), normal: Arc::default(), fragments: Fragments::Alike, own_rules: false, key_set: Key::ZERO }
    }

    /// Tables and groups that decrement the TTL.
    fn decrementing_tables(&self) -> usize {
        let decrements = |t: &&Table| t.reads.keys().any(|m| m.to_key().covers(slot::TTL_EXPIRING));
        self.tables.iter().filter(decrements).count() + self.referred.decrementing()
    }

    /// Every packet field that a packet entering here may be judged by.
    pub fn key_set(&self) -> &Key {
        &self.key_set
    }
}

/// What becomes of the pieces of IP packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Fragments {
    /// They meet the same rules: all with ports 0.
    #[default]
    Alike,
    /// They are dropped.
    Dropped,
    /// The first one shows its ports, the others have ports 0.
    FirstShows,
}

/// A change of the program.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // fields are named alike in all variants
pub enum Change {
    /// Adds a bridge, or replaces its table of learned addresses.
    AddBridge { bridge: BridgeIdx, fdb: Arc<Fdb> },
    /// Removes a bridge with all its rules and ports.
    RemoveBridge { bridge: BridgeIdx },
    /// Adds a rule.
    Add { bridge: BridgeIdx, table: u8, rule: Arc<Rule> },
    /// Removes a rule.
    Remove { bridge: BridgeIdx, table: u8, id: RuleId },
    /// Gives a rule (same id, match and priority) other actions.
    Replace { bridge: BridgeIdx, table: u8, rule: Arc<Rule> },
    /// Sets what happens without a match.
    SetMiss { bridge: BridgeIdx, table: u8, miss: Miss },
    /// Sets what becomes of the pieces of IP packets.
    SetFragments { bridge: BridgeIdx, to: Fragments },
    /// Sets whether [`OWN_TABLE`] is looked up first.
    SetOwnRules { bridge: BridgeIdx, any: bool },
    /// Adds or changes a port; `None` removes it.
    SetPort { bridge: BridgeIdx, port: OfPort, to: Option<Port> },
    /// Adds or changes a group; `None` removes it.
    SetGroup { bridge: BridgeIdx, id: GroupId, to: Option<Arc<Group>> },
    /// Adds or changes a meter; `None` removes it.
    SetMeter { bridge: BridgeIdx, id: MeterId, to: Option<Arc<Meter>> },
    /// Sets what NORMAL, mirrors and bonds do.
    SetNormal { bridge: BridgeIdx, to: Arc<Normal> },
    /// Says where a device's frames enter; `None` for nowhere.
    SetIngress { device: PortIdx, to: Option<Ingress> },
    /// Replaces the host's routes and neighbours.
    SetUnderlay(Arc<Underlay>),
}

/// What a cached verdict must know of a change.
#[derive(Clone, Debug)]
pub enum Note {
    /// A rule came, went, or does something else now.
    Rule {
        /// Bridge.
        bridge: BridgeIdx,
        /// Table.
        table: u8,
        /// The rule (as it was, when it went).
        rule: Arc<Rule>,
        /// It came (else it went or changed).
        added: bool,
    },
    /// A group came, went or changed.
    Group {
        /// Bridge.
        bridge: BridgeIdx,
        /// The group.
        id: GroupId,
    },
    /// A meter came, went or changed.
    Meter {
        /// Bridge.
        bridge: BridgeIdx,
        /// The meter.
        id: MeterId,
    },
    /// The link of a port came or went.
    Liveness {
        /// Bridge.
        bridge: BridgeIdx,
    },
    /// Routes or neighbours changed.
    Underlay,
    /// Ports, bridges or table settings changed: decide everything anew.
    Everything,
}

/// Every bridge's tables and ports.
#[derive(Clone, Debug, Default)]
pub struct Program {
    epoch: u64,
    bridges: Vec<Option<Bridge>>,
    ingress: Vec<Option<Ingress>>,
    underlay: Arc<Underlay>,
    /// Tunnel ports, for packets that arrive.
    tunnels: Vec<(BridgeIdx, OfPort, Arc<Tunnel>)>,
    log: VecDeque<(u64, Note)>,
    /// Epoch of the newest note that fell out of the log.
    log_floor: u64,
    /// The changes that are being applied are few enough for the log.
    takes_notes: bool,
}

impl Program {
    /// An empty program of epoch 0.
    pub fn new() -> Self {
        Program::default()
    }

    /// Which version this is. Rises with every [`Program::seal`] that changed something.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// A bridge.
    #[inline]
    pub fn bridge(&self, bridge: BridgeIdx) -> Option<&Bridge> {
        self.bridges.get(bridge as usize)?.as_ref()
    }

    /// Every place for a bridge, by number.
    pub fn bridges(&self) -> impl Iterator<Item = Option<&Bridge>> {
        self.bridges.iter().map(Option::as_ref)
    }

    /// Where a device's frames enter.
    #[inline]
    pub fn ingress(&self, device: PortIdx) -> Option<Ingress> {
        *self.ingress.get(device as usize)?
    }

    /// Routes and neighbours.
    pub fn underlay(&self) -> &Underlay {
        &self.underlay
    }

    /// Is there any tunnel port?
    pub fn has_tunnels(&self) -> bool {
        !self.tunnels.is_empty()
    }

    /// May a UDP packet to this address and port be for one of the tunnels?
    pub fn terminates(&self, dst: IpAddr, dst_port: u16) -> bool {
        self.tunnels.iter().any(|(_, _, t)| t.dst_port == dst_port && self.is_end(t, dst))
    }

    /// May a fragment of a UDP packet to this address be of one for a tunnel? Only the first tells the port.
    pub fn ends_at(&self, dst: IpAddr) -> bool {
        self.tunnels.iter().any(|(_, _, t)| self.is_end(t, dst))
    }

    fn is_end(&self, t: &Tunnel, address: IpAddr) -> bool {
        t.local.map_or_else(|| t.may_run_over(address.is_ipv6()) && self.underlay.is_local(address), |l| l == address)
    }

    /// The tunnel port for a packet that arrived: the most specific of local, peer and key.
    pub fn tunnel_for(&self, local: IpAddr, remote: IpAddr, vni: u32, dst_port: u16) -> Option<(BridgeIdx, OfPort, &Tunnel)> {
        let fits = |t: &Tunnel| {
            t.dst_port == dst_port
                && t.key.is_none_or(|k| k == vni)
                && t.remote.is_none_or(|r| r == remote)
                && t.local.is_none_or(|l| l == local)
        };
        let rank = |t: &Tunnel| (t.key.is_some(), t.remote.is_some(), t.local.is_some());
        let best = self.tunnels.iter().filter(|(_, _, t)| fits(t)).max_by_key(|(_, _, t)| rank(t))?;
        Some((best.0, best.1, &best.2))
    }

    /// The fields by which packets for tunnels are told from others. The wide ones only where a tunnel may use them.
    pub fn underlay_key_set(&self) -> Key {
        let mut set = Key::ZERO;
        for s in [slot::ETH_TYPE, slot::NW_PROTO, slot::NW_FRAG, slot::NW_DST, slot::TP_DST] {
            set.cover(s);
        }
        if self.tunnels.iter().any(|(_, _, t)| t.may_run_over(true)) {
            set.cover(slot::IPV6_DST);
        }
        set
    }

    /// Notes of the changes after `epoch`, oldest first; `None` when the log does not reach back so far.
    pub fn notes_since(&self, epoch: u64) -> Option<impl Iterator<Item = &(u64, Note)>> {
        (epoch >= self.log_floor).then(|| self.log.iter().skip_while(move |(e, _)| *e <= epoch))
    }

    /// Applies changes and seals them as one new epoch.
    pub fn apply(&mut self, changes: &[Change]) {
        let next = self.epoch + 1;
        let mut reshaped = false;
        self.takes_notes = changes.len() <= LOG_LEN;
        if !self.takes_notes {
            // More than the log can hold: whoever comes from before decides everything anew.
            self.log.clear();
            self.log_floor = next;
        }
        for change in changes {
            reshaped |= self.apply_one(change, next);
        }
        self.epoch = next;
        if reshaped {
            self.refresh_shape();
        }
    }

    /// Applies one change; true when key sets or tunnels must be computed again.
    fn apply_one(&mut self, change: &Change, epoch: u64) -> bool {
        match change {
            Change::Add { bridge, table, rule } => return self.add(*bridge, *table, rule, epoch),
            Change::Remove { bridge, table, id } => return self.remove(*bridge, *table, *id, epoch),
            Change::Replace { bridge, table, rule } => {
                let fewer = self.remove(*bridge, *table, rule.id, epoch);
                let more = self.table_mut(*bridge, *table).is_some_and(|t| t.insert(rule));
                return fewer || more;
            }
            Change::SetUnderlay(to) => {
                self.underlay = to.clone();
                self.note(epoch, Note::Underlay);
                return false;
            }
            Change::SetGroup { bridge, id, to } => {
                self.note(epoch, Note::Group { bridge: *bridge, id: *id });
                return self.bridge_mut(*bridge).is_some_and(|b| b.referred.set_group(*id, to.clone()));
            }
            Change::SetMeter { bridge, id, to } => {
                self.note(epoch, Note::Meter { bridge: *bridge, id: *id });
                if let Some(b) = self.bridge_mut(*bridge) {
                    b.referred.set_meter(*id, to.clone());
                }
                return false;
            }
            Change::SetPort { bridge, port, to } if self.bridge(*bridge).and_then(|b| b.ports.get(port)) == to.as_ref() => {
                return false;
            }
            Change::SetPort { bridge, port, to: Some(to) } if self.moves_link_only(*bridge, *port, to) => {
                self.set_port(*bridge, *port, &Some(to.clone()));
                self.note(epoch, Note::Liveness { bridge: *bridge });
                return false;
            }
            Change::AddBridge { bridge, fdb } => {
                grow(&mut self.bridges, *bridge);
                match &mut self.bridges[*bridge as usize] {
                    Some(b) => b.fdb = fdb.clone(),
                    empty => *empty = Some(Bridge::new(fdb.clone())),
                }
            }
            Change::RemoveBridge { bridge } => {
                if let Some(b) = self.bridges.get_mut(*bridge as usize) {
                    *b = None;
                }
            }
            Change::SetMiss { bridge, table, miss } => {
                if let Some(t) = self.table_mut(*bridge, *table) {
                    t.miss = *miss;
                }
            }
            Change::SetFragments { bridge, to } => {
                if let Some(Some(b)) = self.bridges.get_mut(*bridge as usize) {
                    b.fragments = *to;
                }
            }
            Change::SetOwnRules { bridge, any } => {
                if let Some(b) = self.bridge_mut(*bridge) {
                    b.own_rules = *any;
                }
            }
            Change::SetPort { bridge, port, to } => self.set_port(*bridge, *port, to),
            Change::SetNormal { bridge, to } => {
                if let Some(b) = self.bridges.get_mut(*bridge as usize).and_then(Option::as_mut) {
                    b.normal = to.clone();
                }
            }
            Change::SetIngress { device, to } => {
                grow(&mut self.ingress, *device);
                self.ingress[*device as usize] = *to;
            }
        }
        self.note(epoch, Note::Everything);
        true
    }

    fn add(&mut self, bridge: BridgeIdx, table: u8, rule: &Arc<Rule>, epoch: u64) -> bool {
        let Some(t) = self.table_mut(bridge, table) else { return false };
        let changes = t.rules.shape_changes();
        let new_reads = t.insert(rule);
        let reshaped = new_reads || t.rules.shape_changes() != changes;
        self.note(epoch, Note::Rule { bridge, table, rule: rule.clone(), added: true });
        reshaped
    }

    fn remove(&mut self, bridge: BridgeIdx, table: u8, id: RuleId, epoch: u64) -> bool {
        let Some(t) = self.table_mut(bridge, table) else { return false };
        let changes = t.rules.shape_changes();
        let Some((rule, fewer_reads)) = t.remove(id) else { return false };
        let reshaped = fewer_reads || t.rules.shape_changes() != changes;
        self.note(epoch, Note::Rule { bridge, table, rule, added: false });
        reshaped
    }

    fn moves_link_only(&self, bridge: BridgeIdx, port: OfPort, to: &Port) -> bool {
        self.bridge(bridge).and_then(|b| b.ports.get(&port)).is_some_and(|p| p.differs_in_link_only(to))
    }

    fn set_port(&mut self, bridge: BridgeIdx, port: OfPort, to: &Option<Port>) {
        let Some(b) = self.bridge_mut(bridge) else { return };
        match to {
            Some(p) => b.ports.insert(port, p.clone()),
            None => b.ports.remove(&port),
        };
    }

    fn table_mut(&mut self, bridge: BridgeIdx, table: u8) -> Option<&mut Table> {
        self.bridge_mut(bridge)?.tables.get_mut(table as usize)
    }

    fn bridge_mut(&mut self, bridge: BridgeIdx) -> Option<&mut Bridge> {
        self.bridges.get_mut(bridge as usize)?.as_mut()
    }

    fn note(&mut self, epoch: u64, note: Note) {
        if !self.takes_notes {
            return;
        }
        self.log.push_back((epoch, note));
        if self.log.len() > LOG_LEN {
            if let Some((e, _)) = self.log.pop_front() {
                self.log_floor = e;
            }
        }
    }

    /// Computes again what follows from tables and ports as a whole: tunnels and key sets.
    fn refresh_shape(&mut self) {
        self.tunnels = self
            .bridges
            .iter()
            .enumerate()
            .filter_map(|(i, b)| Some((i as BridgeIdx, b.as_ref()?)))
            .flat_map(|(i, b)| {
                b.ports.iter().filter_map(move |(n, p)| match &p.kind {
                    PortKind::Tunnel(t) => Some((i, *n, t.clone())),
                    _ => None,
                })
            })
            .collect();
        let own: Vec<Key> = self.bridges.iter().map(|b| b.as_ref().map_or(Key::ZERO, |b| self.own_key_set(b))).collect();
        for i in 0..self.bridges.len() {
            let reachable = self.reachable(i);
            let mut key_set = reachable.iter().fold(Key::ZERO, |k, j| k.or(&own[*j]));
            let decrementing = |j: &usize| self.bridges[*j].as_ref().map_or(0, Bridge::decrementing_tables);
            if reachable.iter().map(decrementing).sum::<usize>() > 1 {
                // The second decrement asks for more than whether the packet came in expiring.
                key_set.cover(slot::NW_TTL);
            }
            if let Some(b) = &mut self.bridges[i] {
                b.key_set = key_set;
            }
        }
    }

    /// What a bridge's own tables and ports look at.
    fn own_key_set(&self, b: &Bridge) -> Key {
        let used = b.tables.iter().filter(|t| !t.rules.is_empty());
        let mut all = used.fold(Key::ZERO, |all, t| all.or(t.rules.looks_at()));
        let of_tables = b.tables.iter().flat_map(|t| t.reads.keys());
        for m in of_tables.chain(b.referred.reads()) {
            for (i, bits) in m.words.iter() {
                all.words[*i as usize] |= bits;
            }
        }
        if b.fragments == Fragments::Dropped || all.get(slot::TP_SRC) | all.get(slot::TP_DST) != 0 {
            // Whether the ports are hidden from the rules.
            all.cover(slot::NW_FRAG);
        }
        b.normal.reads(&mut all);
        if self.has_tunnels() {
            // An output to a device of the host may turn out to be for a tunnel.
            all = all.or(&self.underlay_key_set());
            let inherits = |t: &Tunnel| t.tos == OuterTos::Inherit || t.ttl == OuterTtl::Inherit;
            if self.tunnels.iter().any(|(_, _, t)| inherits(t)) {
                all.cover(slot::ETH_TYPE);
            }
        }
        all
    }

    /// Bridges that a packet entering bridge `from` can come to, itself included.
    fn reachable(&self, from: usize) -> Vec<usize> {
        let mut seen = vec![from];
        let mut at = 0;
        while let Some(&i) = seen.get(at) {
            at += 1;
            let Some(b) = &self.bridges[i] else { continue };
            let patches = b.ports.values().filter_map(|p| match p.kind {
                PortKind::Patch { bridge, .. } => Some(bridge as usize),
                _ => None,
            });
            for j in patches {
                if j < self.bridges.len() && !seen.contains(&j) {
                    seen.push(j);
                }
            }
        }
        seen
    }
}

impl Table {
    /// Adds a rule; true when its actions look at something new.
    fn insert(&mut self, rule: &Arc<Rule>) -> bool {
        self.rules.insert(rule.clone());
        let reads = reads(&rule.actions);
        if reads.is_empty() {
            return false;
        }
        if let Some(n) = self.reads.get_mut(&*reads) {
            *n += 1;
            return false;
        }
        self.reads.insert(SparseMask { words: (*reads).into() }, 1);
        true
    }

    /// Removes a rule; the flag is true when less is looked at now.
    fn remove(&mut self, id: RuleId) -> Option<(Arc<Rule>, bool)> {
        let rule = self.rules.remove(id)?;
        let reads = reads(&rule.actions);
        let mut fewer = false;
        if let Some(n) = self.reads.get_mut(&*reads) {
            *n -= 1;
            if *n == 0 {
                self.reads.remove(&*reads);
                fewer = true;
            }
        }
        Some((rule, fewer))
    }
}

/// What actions look at. Most rules only send.
fn reads(actions: &[Action]) -> MaskWords {
    match actions.iter().all(|a| matches!(a, Action::Output { .. })) {
        true => MaskWords::NONE,
        false => MaskWords::of(&reads_of(actions)),
    }
}

fn grow<T>(v: &mut Vec<Option<T>>, at: u16) {
    while v.len() <= at as usize {
        v.push(None);
    }
}
