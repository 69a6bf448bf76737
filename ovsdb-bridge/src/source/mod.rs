//! Where a desired state comes from.
//!
//! Purpose: one module per source, each giving the same [`crate::DesiredState`].

mod addresses;
mod reader;
pub mod ovsdb;
mod switching;
pub mod toml;
