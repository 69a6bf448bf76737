//! The executables: sluiced, sluice and sluice-controller.

#![deny(unsafe_code)]

pub mod appctl;
pub mod compatibility;
pub mod daemon;
pub mod inline;
pub mod ofctl;
pub mod replay;
pub mod stream;
