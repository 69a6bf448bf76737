//! Floods within the storm limit of the port that a packet came in by.
//!
//! Invariant: what lies behind the limit is the flood and nothing else: other actions of the rule are not
//! hindered by it.
//! Deliberately does not know: rates and time (the engine has the buckets).

use super::walk::Walk;
use crate::program::PortKind;
use crate::verdict::Op;

impl Walk<'_> {
    /// Floods by `work`, under the limit of the input port where it has one.
    pub(super) fn flood_limited(&mut self, unicast: bool, work: impl FnOnce(&mut Self)) {
        let port = self.bridge().and_then(|b| b.ports.get(&self.in_port()));
        let from = match port {
            Some(p) if p.storm_limited => match p.kind {
                PortKind::Device(from) => from,
                _ => return work(self),
            },
            _ => return work(self),
        };
        self.branch(|w| {
            w.emit(Op::Storm { from, unicast });
            work(w);
        });
    }
}
