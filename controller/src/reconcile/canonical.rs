//! One spelling for actions that mean the same.
//!
//! Purpose: what a switch reports may be spelt otherwise than what was sent to it; both have the
//! same canonical form.
//! Deliberately does not know: rules, matches.

use sluice_openflow::action::{SetField, SetForm, WideValue};
use sluice_openflow::{Action, Field, PortNo};

/// `VLAN id` as `vlan_vid` carries it: with the "a tag is present" bit.
const TAGGED: u128 = 0x1000;

/// The canonical form of an action list.
pub fn canonical(actions: &[Action]) -> Vec<Action> {
    let mut list: Vec<Action> = actions.iter().map(one).collect();
    // Conjunctions of a rule are a set.
    if list.iter().all(|a| matches!(a, Action::Conjunction { .. })) {
        list.sort_by_key(|a| match a {
            Action::Conjunction { id, clause, n_clauses } => (*id, *clause, *n_clauses),
            _ => (0, 0, 0),
        });
    }
    list
}

fn one(action: &Action) -> Action {
    match action {
        Action::Output { port, max_len } => {
            // The length only matters for the controller.
            let max_len = if *port == PortNo::CONTROLLER { *max_len } else { 0 };
            Action::Output { port: *port, max_len }
        }
        Action::StripVlan { .. } => Action::StripVlan { pop: true },
        Action::Resubmit { in_port: Some(PortNo::IN_PORT), table: Some(table), with_ct_orig } => {
            Action::Resubmit { in_port: None, table: Some(*table), with_ct_orig: *with_ct_orig }
        }
        Action::SetVlanVid { vid, .. } => write(Field::VLAN_VID, TAGGED | u128::from(*vid)),
        Action::SetTunnel { id, .. } => write(Field::TUN_ID, u128::from(*id)),
        Action::SetEthSrc(mac) => write(Field::ETH_SRC, mac_bits(mac)),
        Action::SetEthDst(mac) => write(Field::ETH_DST, mac_bits(mac)),
        Action::SetField(set) => set_field(set),
        other => other.clone(),
    }
}

fn set_field(set: &SetField) -> Action {
    let (WideValue::Small(value), WideValue::Small(mask)) = (&set.value, &set.mask) else {
        return Action::SetField(Box::new(set.clone()));
    };
    // A tag's presence is part of the value in some spellings, and goes without saying in others.
    let vlan = set.field == Field::VLAN_VID && mask & 0xfff == 0xfff;
    if vlan || mask & set.field.ones() == set.field.ones() {
        let value = if vlan { TAGGED | value } else { *value };
        return write(set.field, value);
    }
    let form = SetForm::SetField;
    Action::SetField(Box::new(SetField { field: set.field, value: set.value.clone(), mask: set.mask.clone(), form }))
}

fn write(field: Field, value: u128) -> Action {
    let (value, mask) = (WideValue::Small(value), WideValue::Small(u128::MAX));
    Action::SetField(Box::new(SetField { field, value, mask, form: SetForm::SetField }))
}

fn mac_bits(mac: &[u8; 6]) -> u128 {
    mac.iter().fold(0, |sum, &byte| sum << 8 | u128::from(byte))
}
