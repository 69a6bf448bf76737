//! `multipath`, `bundle` and the fields that computed values go to.

use std::sync::Arc;

use sluice_flow::action as ir;
use sluice_flow::options::OptionMap;
use sluice_flow::spread::{Algorithm, Bundle, Headers, Multipath};
use sluice_openflow::action::{self as of, HashFields};
use sluice_openflow::SubField;

use super::fields::{need_of, pieces, place};

/// Where a computed value goes; `None` where the field is not kept.
pub(super) fn target(dst: SubField, map: &OptionMap) -> Option<ir::Target> {
    let parts = pieces(&[dst], map)?.into_iter().filter_map(|p| Some((place(dst, p, map)?, u8::try_from(p.offset).ok()?)));
    Some(ir::Target { parts: parts.collect(), need: need_of(dst.field) })
}

fn headers(fields: HashFields) -> Headers {
    match fields {
        HashFields::EthSrc => Headers::EthSrc,
        HashFields::SymmetricL4 => Headers::SymmetricL4,
        HashFields::SymmetricL3L4 => Headers::SymmetricL3L4 { udp: false },
        HashFields::SymmetricL3L4Udp => Headers::SymmetricL3L4 { udp: true },
        HashFields::NwSrc => Headers::NwSrc,
        HashFields::NwDst => Headers::NwDst,
        HashFields::SymmetricL3 => Headers::SymmetricL3,
    }
}

pub(super) fn multipath(m: &of::Multipath, map: &OptionMap) -> ir::Action {
    let Some(dst) = target(m.dst, map) else { return ir::Action::Refused("multipath into a field that is not kept") };
    let algorithm = match m.algorithm {
        1 => Algorithm::Threshold,
        2 => Algorithm::HighestWeight,
        3 => Algorithm::Iterate { modulo: m.arg },
        _ => Algorithm::Modulo,
    };
    let headers = headers(m.fields);
    ir::Action::Multipath(Arc::new(Multipath { headers, basis: m.basis, algorithm, links: m.n_links, dst }))
}

pub(super) fn bundle(b: &of::Bundle, map: &OptionMap) -> ir::Action {
    let dst = match b.dst.map(|dst| target(dst, map)) {
        Some(None) => return ir::Action::Refused("bundle_load into a field that is not kept"),
        Some(dst) => dst,
        None => None,
    };
    let by = (b.algorithm == 1).then_some((headers(b.fields), b.basis));
    ir::Action::Bundle(Arc::new(Bundle { by, members: b.members.iter().map(|p| p.0).collect(), dst }))
}
