//! Is a learning action legal, both for the packets it reads and for the rules it makes?

use sluice_openflow::action::{Learn, LearnSource, LearnSpec};
use sluice_openflow::{Match, SubField};

use super::actions::{check_source, check_target};
use crate::error::OfError;

/// Checks each part: sources against the rule's match, targets against the match that the parts
/// before them give the learned rule.
pub(super) fn check_learn(learn: &Learn, known: &Match) -> Result<(), OfError> {
    let mut learned = Match::ANY;
    for spec in &learn.specs {
        match spec {
            LearnSpec::Match { src, dst } => {
                check_learn_source(src, known)?;
                check_source(*dst, &learned)?;
                note_match(src, *dst, &mut learned);
            }
            LearnSpec::Load { src, dst } => {
                check_learn_source(src, known)?;
                check_target(*dst, &learned)?;
            }
            LearnSpec::Output(src) => check_source(*src, known)?,
        }
    }
    learn.result_dst.map_or(Ok(()), |dst| check_target(dst, known))
}

fn check_learn_source(src: &LearnSource, known: &Match) -> Result<(), OfError> {
    match src {
        LearnSource::Field(part) => check_source(*part, known),
        LearnSource::Value { .. } => Ok(()),
    }
}

/// A constant becomes part of what is known of the learned rule's packets.
fn note_match(src: &LearnSource, dst: SubField, learned: &mut Match) {
    let LearnSource::Value { value, .. } = src else { return };
    let Some(place) = crate::lower::single_place(dst) else { return };
    learned.set(place, *value, place.ones());
}
