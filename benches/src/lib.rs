//! What the benchmarks share: traffic, the switch under test, the clock that counts.
//!
//! Purpose: one cell (rules, flows, source) is built here once and measured by several programs.
//! Invariant: the same cell has the same frames in the same order in every run.
//! Deliberately does not know: other switches; `peers/` runs them.

#![forbid(unsafe_code)]

pub mod alone;
pub mod answers;
pub mod attack;
pub mod cell;
pub mod classbench;
pub mod clock;
pub mod ovn;
pub mod traffic;
pub mod vary;
