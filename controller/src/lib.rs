//! Follows the orchestration layer and keeps a node's rules equal to what it wants.
//!
//! Purpose: `Source -> Observation -> DesiredState -> rules per bridge -> the smallest change`.
//! Everything between the source and the switch is a pure function.
//! Invariant: only rules that carry the controller's own cookie are ever changed.
//! Deliberately does not know: which switch it drives; it speaks OpenFlow to it and nothing else.

#![forbid(unsafe_code)]

pub mod cli;
pub mod client;
pub mod desired;
pub mod explain;
pub mod keeper;
pub mod model;
pub mod reconcile;
pub mod rules;
pub mod source;
pub mod text;
pub mod walk;
pub mod yaml;
