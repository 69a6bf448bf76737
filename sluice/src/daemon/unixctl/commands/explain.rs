//! `ofproto/trace` and its like.

use super::{Console, Reply};
use crate::daemon::trace;

pub(super) fn trace(console: &mut Console<'_>, words: &[&str]) -> Reply {
    trace::trace(console.switch, words, console.now_ms).into()
}

pub(super) fn trace_packet_out(console: &mut Console<'_>, words: &[&str]) -> Reply {
    trace::trace_packet_out(console.switch, words, console.now_ms).into()
}
