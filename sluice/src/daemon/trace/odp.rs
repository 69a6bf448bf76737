//! What a packet comes to, in the words of Open vSwitch's datapath.
//!
//! Purpose: the `Datapath actions:` line of a trace and of dumped flows.
//! Deliberately does not know: how our own workers execute it.

use std::collections::BTreeMap;
use std::fmt::Write;

/// One action.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Odp {
    /// To a port.
    Output(u32),
    /// Any other that prints itself.
    Text(String),
    /// Actions on a copy.
    Clone(Vec<Odp>),
    /// By the packet's length.
    CheckLength {
        /// More than so many bytes?
        size: u16,
        /// If so.
        greater: Vec<Odp>,
        /// If not.
        else_: Vec<Odp>,
    },
}

/// Names of ports by number; empty where numbers are wanted.
pub(super) type PortNames = BTreeMap<u32, String>;

/// The actions as one line.
pub(super) fn format(actions: &[Odp], names: &PortNames) -> String {
    if actions.is_empty() {
        return "drop".to_string();
    }
    let mut out = String::new();
    for (i, action) in actions.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        match action {
            Odp::Output(port) => match names.get(port) {
                Some(name) => out.push_str(name),
                None => _ = write!(out, "{port}"),
            },
            Odp::Text(text) => out.push_str(text),
            Odp::Clone(inner) => _ = write!(out, "clone({})", format(inner, names)),
            Odp::CheckLength { size, greater, else_ } => {
                _ = write!(out, "check_pkt_len(size={size},gt({}),le({}))", format(greater, names), format(else_, names));
            }
        }
    }
    out
}
