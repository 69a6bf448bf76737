//! Connection tracking as operators and real clients meet it, between namespaces.

#[path = "../database/node.rs"]
#[allow(dead_code)] // a part of it is enough here
mod node;
#[path = "../support/mod.rs"]
mod support;

mod commands;
mod guests;
mod nat;
mod neutron;
