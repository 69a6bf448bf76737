//! Bonds on the control side: links, LACP, loads. Pure state, time comes in.

pub mod balance;
pub mod lacp;
pub mod links;
