//! Rules as values, and the few words that they are written in.
//!
//! Purpose: short notation for matches and actions; a set in which no two rules have the same
//! table, priority and match.
//! Deliberately does not know: why a rule exists.

use super::cookie::Purpose;
use crate::model::{protocol, EtherType, Mac, Prefix};
use sluice_openflow::action::{SetField, SetForm, WideValue};
use sluice_openflow::{Action, Field, Match, PortNo};
use std::collections::HashMap;

/// A rule of a bridge.
#[derive(Clone, PartialEq, Debug)]
pub struct Rule {
    /// Table.
    pub table: u8,
    /// Priority.
    pub priority: u16,
    /// What packets.
    pub matching: Match,
    /// What happens to them; nothing means drop.
    pub actions: Vec<Action>,
    /// Owner and purpose.
    pub cookie: u64,
}

/// What makes a rule this rule and no other.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RuleKey {
    /// Table.
    pub table: u8,
    /// Priority.
    pub priority: u16,
    /// What packets.
    pub matching: Match,
}

impl Rule {
    /// What makes it this rule.
    pub fn key(&self) -> RuleKey {
        RuleKey { table: self.table, priority: self.priority, matching: self.matching.clone() }
    }
}

/// Rules of a bridge, in the order in which they were made.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct RuleSet {
    rules: Vec<Rule>,
    index: HashMap<RuleKey, usize>,
}

impl RuleSet {
    /// Adds a rule. One with the same key is already there only where two sources say the same
    /// thing, or name the same packets in several conjunctions; the latter are merged.
    pub fn add(&mut self, table: u8, priority: u16, when: When, then: Vec<Action>, purpose: Purpose) {
        let rule = Rule { table, priority, matching: when.0, actions: then, cookie: purpose.cookie() };
        self.insert(rule);
    }

    /// Adds a rule as it is; see [`RuleSet::add`].
    pub fn insert(&mut self, rule: Rule) {
        let key = rule.key();
        let Some(old) = self.index.get(&key).and_then(|&i| self.rules.get_mut(i)) else {
            self.index.insert(key, self.rules.len());
            self.rules.push(rule);
            return;
        };
        for action in rule.actions {
            if matches!(action, Action::Conjunction { .. }) && !old.actions.contains(&action) {
                old.actions.push(action);
            }
        }
    }

    /// The rule with this key.
    pub fn get(&self, key: &RuleKey) -> Option<&Rule> {
        self.index.get(key).and_then(|&i| self.rules.get(i))
    }

    /// All rules, in the order in which they were made.
    pub fn iter(&self) -> std::slice::Iter<'_, Rule> {
        self.rules.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// True for no rule at all.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

impl FromIterator<Rule> for RuleSet {
    fn from_iter<I: IntoIterator<Item = Rule>>(rules: I) -> RuleSet {
        let mut set = RuleSet::default();
        rules.into_iter().for_each(|rule| set.insert(rule));
        set
    }
}

/// Register that holds the number of the local port (Neutron's choice).
pub const PORT_REGISTER: Field = Field::REG0.plus(5);
/// Register that holds the VLAN of the network (Neutron's choice).
pub const VLAN_REGISTER: Field = Field::REG0.plus(6);

/// "A tag is present" in a VLAN id.
const TAGGED: u128 = 0x1000;
/// The bit that broadcast and multicast addresses have.
const GROUP_BIT: u128 = 0x0100_0000_0000;

/// A condition under construction.
#[derive(Clone)]
pub struct When(Match);

/// The condition that every packet meets.
pub fn any() -> When {
    When(Match::ANY)
}

impl When {
    /// `field` has this value.
    pub fn is(&self, field: Field, value: u128) -> When {
        self.under(field, value, u128::MAX)
    }

    /// `field` has this value where `mask` has ones.
    pub fn under(&self, field: Field, value: u128, mask: u128) -> When {
        let mut when = self.clone();
        when.0.set_field(field, value, mask);
        when
    }

    /// Came in by this port.
    pub fn in_port(&self, number: u32) -> When {
        self.is(Field::IN_PORT_OXM, u128::from(number))
    }

    /// Belongs to this local port.
    pub fn port_register(&self, number: u32) -> When {
        self.is(PORT_REGISTER, u128::from(number))
    }

    /// Belongs to this network.
    pub fn vlan_register(&self, vlan: u16) -> When {
        self.is(VLAN_REGISTER, u128::from(vlan))
    }

    /// Carries the tag of this network.
    pub fn vlan(&self, vlan: u16) -> When {
        self.under(Field::VLAN_VID, TAGGED | u128::from(vlan), TAGGED | 0xfff)
    }

    /// Carries no tag.
    pub fn untagged(&self) -> When {
        self.under(Field::VLAN_VID, 0, TAGGED | 0xfff)
    }

    /// Sent by this station.
    pub fn from(&self, mac: Mac) -> When {
        self.is(Field::ETH_SRC, mac.bits())
    }

    /// Sent to this station.
    pub fn to(&self, mac: Mac) -> When {
        self.is(Field::ETH_DST, mac.bits())
    }

    /// Sent to more than one station.
    pub fn to_many(&self) -> When {
        self.under(Field::ETH_DST, GROUP_BIT, GROUP_BIT)
    }

    /// Sent to one station.
    pub fn to_one(&self) -> When {
        self.under(Field::ETH_DST, 0, GROUP_BIT)
    }

    /// ARP.
    pub fn arp(&self) -> When {
        self.is(Field::ETH_TYPE, 0x0806)
    }

    /// IP of this version.
    pub fn ip(&self, ethertype: EtherType) -> When {
        self.is(Field::ETH_TYPE, if ethertype == EtherType::V4 { 0x0800 } else { 0x86dd })
    }

    /// IP of this version, with this protocol.
    pub fn protocol(&self, ethertype: EtherType, protocol: u8) -> When {
        self.ip(ethertype).is(Field::NW_PROTO, u128::from(protocol))
    }

    /// ICMPv6 of this type.
    pub fn icmp6(&self, kind: u8) -> When {
        self.protocol(EtherType::V6, protocol::ICMPV6).is(Field::ICMPV6_TYPE, u128::from(kind))
    }

    /// UDP of this IP version between these ports.
    pub fn udp(&self, ethertype: EtherType, source: u16, destination: u16) -> When {
        self.protocol(ethertype, protocol::UDP)
            .is(Field::UDP_SRC, u128::from(source))
            .is(Field::UDP_DST, u128::from(destination))
    }

    /// IP sent from one of these addresses.
    pub fn from_address(&self, prefix: &Prefix) -> When {
        self.addresses([Field::IP_SRC, Field::IPV6_SRC], prefix)
    }

    /// IP sent to one of these addresses.
    pub fn to_address(&self, prefix: &Prefix) -> When {
        self.addresses([Field::IP_DST, Field::IPV6_DST], prefix)
    }

    fn addresses(&self, [v4, v6]: [Field; 2], prefix: &Prefix) -> When {
        let field = if prefix.ethertype() == EtherType::V4 { v4 } else { v6 };
        self.ip(prefix.ethertype()).under(field, prefix.bits(), prefix.mask())
    }
}

/// `goto_table:N`.
pub fn goto(table: u8) -> Action {
    Action::GotoTable(table)
}

/// `resubmit(,N)`.
pub fn resubmit(table: u8) -> Action {
    Action::Resubmit { in_port: None, table: Some(table), with_ct_orig: false }
}

/// `output:N`.
pub fn output(port: u32) -> Action {
    Action::Output { port: PortNo(port), max_len: 0 }
}

/// `set_field:VALUE->FIELD`, the whole field.
pub fn set(field: Field, value: u128) -> Action {
    let set = SetField {
        field,
        value: WideValue::Small(value),
        mask: WideValue::Small(field.ones()),
        form: SetForm::SetField,
    };
    Action::SetField(Box::new(set))
}

/// Puts the tag of a network on.
pub fn push_vlan(vlan: u16) -> [Action; 2] {
    [Action::PushVlan(0x8100), set(Field::VLAN_VID, TAGGED | u128::from(vlan))]
}

/// Takes a tag off.
pub fn pop_vlan() -> Action {
    Action::StripVlan { pop: true }
}

/// `move:FROM[]->TO[]`.
pub fn copy(from: Field, to: Field) -> Action {
    Action::Move { src: from.whole(), dst: to.whole() }
}
