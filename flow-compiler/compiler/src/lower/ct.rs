//! `ct(...)`: what the tracker is asked for.

use std::sync::Arc;

use sluice_conntrack::{Alg, NatKind, NatSpec};
use sluice_flow::action as ir;
use sluice_flow::ct::{Ct, Zone};
use sluice_flow::options::OptionMap;
use sluice_openflow::action::{self as of, Action, CtZone};

use super::fields::single;

/// Helpers are named by their protocols' well-known ports.
const FTP: u16 = 21;
const TFTP: u16 = 69;

/// Lowers a `ct` whose `exec` was lowered to this.
pub(super) fn lower(ct: &of::Ct, exec: Vec<ir::Action>, map: &OptionMap) -> ir::Action {
    let zone = match &ct.zone {
        CtZone::Number(n) => Zone::Number(*n),
        CtZone::Field(part) => match single(*part, map) {
            Some(s) => Zone::Field(s),
            None => return ir::Action::Refused("ct with a zone from a field that is not kept"),
        },
    };
    let alg = match ct.alg {
        0 => Alg::None,
        FTP => Alg::Ftp,
        TFTP => Alg::Tftp,
        _ => return ir::Action::Refused("ct with a helper that is not known (ftp and tftp are)"),
    };
    let nat = ct.actions.iter().find_map(|a| match a {
        Action::Nat(nat) => Some(Arc::new(translation(nat))),
        _ => None,
    });
    let force = ct.commit && ct.force;
    ir::Action::Ct(Arc::new(Ct { commit: ct.commit, force, zone, table: ct.table, alg, nat, exec: exec.into() }))
}

fn translation(nat: &of::Nat) -> NatSpec {
    NatSpec {
        kind: NatKind { src: nat.src, dst: nat.dst },
        addresses: nat.addresses.map(|(low, high)| (low, high.unwrap_or(low))),
        ports: nat.ports.map(|(low, high)| (low, high.unwrap_or(low))),
        persistent: nat.persistent,
        random: nat.random,
    }
}
