//! `sluiced`: the daemon.
//!
//! Purpose: one control thread that serves OpenFlow, follows devices, routes and time, and
//! publishes programs to the workers.
//! Invariant: the control thread never waits for a peer, a device or a worker.
//! Deliberately does not know: how a packet is decided (the engine's part).

pub mod args;
pub mod bond;
pub mod clock;
pub mod database;
pub mod detach;
pub mod host;
pub mod log;
pub mod netns;
pub mod ofserver;
pub mod publisher;
pub mod rundir;
pub mod signals;
pub mod switch;
pub mod trace;
pub mod unixctl;
pub mod worker;
pub mod control;
