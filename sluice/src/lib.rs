//! The executables: sluiced, sluice and sluice-controller.

#![forbid(unsafe_code)]

pub mod daemon;
pub mod inline;
pub mod replay;
pub mod stream;
