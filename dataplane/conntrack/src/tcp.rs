//! TCP as a tracker sees it: two peers, their states, windows and sequence numbers.
//!
//! The windows follow G. van Rooij, "Real Stateful TCP Packet Filtering in IP Filter" (2000), with the
//! tolerances that Open vSwitch's userspace tracker has, so that both judge a packet alike.
//! Deliberately does not know: frames, time (it names the timeout class), tuples.

use crate::timeouts::Class;

/// TCP flags.
pub mod flag {
    #![allow(missing_docs)]
    pub const FIN: u16 = 0x01;
    pub const SYN: u16 = 0x02;
    pub const RST: u16 = 0x04;
    pub const PSH: u16 = 0x08;
    pub const ACK: u16 = 0x10;
    pub const URG: u16 = 0x20;
}
use flag::{ACK, FIN, PSH, RST, SYN, URG};

/// The peer's window scale is known.
const SCALE_KNOWN: u8 = 0x80;
/// The connection was picked up in the middle: its scale was never seen.
const SCALE_UNSEEN: u8 = 0x40;
const SCALE_MASK: u8 = 0x0f;
/// Largest window scale (RFC 7323).
pub const SCALE_MAX: u8 = 14;
/// How far an acknowledgement may lie behind or ahead.
const ACK_WINDOW: u32 = 0xffff + 1500;

/// State of one peer, by rising progress.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum State {
    #[default]
    Closed = 0,
    Listen = 1,
    SynSent = 2,
    SynRecv = 3,
    Established = 4,
    CloseWait = 5,
    FinWait1 = 6,
    Closing = 7,
    LastAck = 8,
    FinWait2 = 9,
    TimeWait = 10,
}

impl State {
    /// Every state.
    pub const ALL: [State; 11] = [
        State::Closed,
        State::Listen,
        State::SynSent,
        State::SynRecv,
        State::Established,
        State::CloseWait,
        State::FinWait1,
        State::Closing,
        State::LastAck,
        State::FinWait2,
        State::TimeWait,
    ];

    pub(crate) fn from_bits(bits: u64) -> State {
        State::ALL.get((bits & 15) as usize).copied().unwrap_or_default()
    }

    /// As Open vSwitch prints it.
    pub fn name(self) -> &'static str {
        match self {
            State::Closed => "CLOSED",
            State::Listen => "LISTEN",
            State::SynSent => "SYN_SENT",
            State::SynRecv => "SYN_RECV",
            State::Established => "ESTABLISHED",
            State::CloseWait => "CLOSE_WAIT",
            State::FinWait1 => "FIN_WAIT_1",
            State::Closing => "CLOSING",
            State::LastAck => "LAST_ACK",
            State::FinWait2 => "FIN_WAIT_2",
            State::TimeWait => "TIME_WAIT",
        }
    }
}

/// What is known of one peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Peer {
    /// State.
    pub state: State,
    /// Highest sequence number sent, plus one.
    pub low: u32,
    /// Highest sequence number that it may send.
    pub high: u32,
    /// Largest window that it advertised, unscaled.
    pub window: u16,
    /// Window scale and what is known of it.
    pub scale: u8,
}

impl Peer {
    /// Window scale, where the peer told one.
    pub fn scale(&self) -> Option<u8> {
        (self.scale & SCALE_KNOWN != 0).then_some(self.scale & SCALE_MASK)
    }

    /// Was the connection first seen in its middle?
    pub fn was_picked_up(&self) -> bool {
        self.scale & SCALE_UNSEEN != 0
    }
}

/// What a segment says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Segment {
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Flags.
    pub flags: u16,
    /// Window, unscaled.
    pub window: u16,
    /// Payload bytes.
    pub len: u32,
    /// Window scale option, where there is one.
    pub scale: Option<u8>,
}

/// How a segment fits its connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fit {
    /// It belongs to it.
    Valid,
    /// It belongs to it, which is still being opened.
    Opening,
    /// It does not.
    Invalid,
    /// The connection is over, and this opens another one with the same tuple.
    Reopens,
}

/// The outcome for a segment: how it fits, and the timeout class to renew (if any).
pub type Judged = (Fit, Option<Class>);

/// Are the flags a combination that no peer sends?
pub fn flags_invalid(flags: u16) -> bool {
    if flags & SYN != 0 {
        if flags & (RST | FIN) != 0 {
            return true;
        }
    } else if flags & (ACK | RST) == 0 {
        return true;
    }
    flags & ACK == 0 && flags & (FIN | PSH | URG) != 0
}

/// May this segment open a connection? One in the middle of a stream may; a SYN that acknowledges may not.
pub fn may_open(s: &Segment) -> bool {
    !flags_invalid(s.flags) && s.flags & (SYN | ACK) != SYN | ACK
}

/// Both peers of a connection that this segment opens.
pub fn open(s: &Segment) -> [Peer; 2] {
    let mut src = Peer { state: State::SynSent, low: s.seq, ..Peer::default() };
    let mut dst = Peer { high: 1, window: 1, ..Peer::default() };
    src.high = s.seq.wrapping_add(s.len).wrapping_add(1);
    if s.flags & SYN != 0 {
        src.high = src.high.wrapping_add(1);
        src.scale = scale_of(s);
    } else {
        src.scale = SCALE_UNSEEN;
        dst.scale = SCALE_UNSEEN;
    }
    src.window = s.window.max(1);
    if src.scale & SCALE_MASK != 0 {
        src.window = unscaled(src.window, src.scale & SCALE_MASK);
    }
    if s.flags & FIN != 0 {
        src.high = src.high.wrapping_add(1);
    }
    [src, dst]
}

fn scale_of(s: &Segment) -> u8 {
    s.scale.map_or(0, |v| v.min(SCALE_MAX) | SCALE_KNOWN)
}

fn unscaled(window: u16, scale: u8) -> u16 {
    u32::from(window).div_ceil(1 << scale) as u16
}

/// Is `a` at or behind `b` in the sequence space?
fn ge(a: u32, b: u32) -> bool {
    a.wrapping_sub(b) as i32 >= 0
}

fn gt(a: u32, b: u32) -> bool {
    a.wrapping_sub(b) as i32 > 0
}

/// Scales that hold for a segment: of its sender and of its receiver.
fn scales(src: &Peer, dst: &Peer, flags: u16) -> (u32, u32) {
    if flags & SYN != 0 {
        return (0, 0);
    }
    if src.scale & dst.scale & SCALE_KNOWN != 0 {
        return (u32::from(src.scale & SCALE_MASK), u32::from(dst.scale & SCALE_MASK));
    }
    if src.scale & dst.scale & SCALE_UNSEEN != 0 {
        return (u32::from(SCALE_MAX), u32::from(SCALE_MAX));
    }
    (0, 0)
}

/// A segment placed in its sender's sequence space.
struct Placed {
    seq: u32,
    end: u32,
    ack: u32,
    window: u32,
    send_scale: u32,
    receive_scale: u32,
    /// The acknowledgement may lie anywhere.
    any_ack: bool,
}

/// Judges a segment and brings the peers up to date. `strict` asks for sequence numbers in the window.
pub fn judge(src: &mut Peer, dst: &mut Peer, s: &Segment, strict: bool) -> Judged {
    if flags_invalid(s.flags) {
        return (Fit::Invalid, None);
    }
    if s.flags & (SYN | ACK) == SYN {
        if src.state >= State::FinWait2 && dst.state >= State::FinWait2 {
            src.state = State::Closed;
            dst.state = State::Closed;
            return (Fit::Reopens, None);
        }
        if src.state <= State::SynSent {
            src.state = State::SynSent;
            return (Fit::Opening, Some(Class::TcpFirst));
        }
    }
    let placed = place(src, dst, s);
    if in_window(src, dst, s, &placed) || !strict {
        advance(src, dst, &placed);
        return (Fit::Valid, Some(progress(src, dst, s.flags)));
    }
    if tolerable(src, dst, &placed) {
        advance(src, dst, &placed);
        if s.flags & FIN != 0 && src.state < State::Closing {
            src.state = State::Closing;
        }
        if s.flags & RST != 0 {
            src.state = State::TimeWait;
            dst.state = State::TimeWait;
        }
        return (Fit::Valid, None);
    }
    (Fit::Invalid, None)
}

/// Where a segment lies; the first one of a peer places the peer itself.
fn place(src: &mut Peer, dst: &mut Peer, s: &Segment) -> Placed {
    let (mut send_scale, mut receive_scale) = scales(src, dst, s.flags);
    let mut window = s.window;
    let mut any_ack = false;
    let controls = u32::from(s.flags & SYN != 0) + u32::from(s.flags & FIN != 0);
    let mut end = s.seq.wrapping_add(s.len).wrapping_add(controls);
    if src.state < State::SynSent {
        if s.flags & SYN != 0 && dst.scale & SCALE_KNOWN != 0 {
            src.scale = scale_of(s);
            if src.scale & SCALE_KNOWN != 0 {
                send_scale = u32::from(src.scale & SCALE_MASK);
                window = unscaled(window, src.scale & SCALE_MASK);
                receive_scale = u32::from(dst.scale & SCALE_MASK);
            } else {
                // No scaling then: the other's window was divided for nothing.
                dst.window = (u32::from(dst.window) << (dst.scale & SCALE_MASK)) as u16;
                dst.scale = 0;
            }
        }
        src.low = s.seq;
        src.state = State::SynSent;
        let reach = end.wrapping_add((u32::from(dst.window) << receive_scale).max(1));
        if src.high == 1 || ge(reach, src.high) {
            src.high = reach;
            any_ack = true;
        }
        src.window = src.window.max(window);
    }
    let ack_missing = s.flags & ACK == 0 || s.ack == 0 && s.flags & (ACK | RST) == ACK | RST;
    let ack = if ack_missing { dst.low } else { s.ack };
    let mut seq = s.seq;
    if seq == end {
        // Without data there is nothing to be out of order.
        seq = src.low;
        end = seq;
    }
    Placed { seq, end, ack, window: u32::from(window), send_scale, receive_scale, any_ack }
}

fn in_window(src: &Peer, dst: &Peer, s: &Segment, p: &Placed) -> bool {
    let skew = if p.any_ack { 0 } else { dst.low.wrapping_sub(p.ack) as i32 };
    let oldest = src.low.wrapping_sub(u32::from(dst.window) << p.receive_scale);
    let exact_reset = s.flags & RST == 0
        || s.seq == src.low
        || s.seq == src.low.wrapping_add(1)
        || s.seq.wrapping_add(1) == src.low;
    ge(src.high, p.end)
        && ge(p.seq, oldest)
        && i64::from(skew) >= -i64::from(ACK_WINDOW)
        && i64::from(skew) <= i64::from(ACK_WINDOW << p.send_scale)
        && exact_reset
}

/// Shortly before and after a connection, segments may lie a little outside.
fn tolerable(src: &Peer, dst: &Peer, p: &Placed) -> bool {
    (dst.state < State::SynSent || dst.state >= State::FinWait2 || src.state >= State::FinWait2)
        && ge(src.high.wrapping_add(ACK_WINDOW), p.end)
        && ge(p.seq, src.low.wrapping_sub(ACK_WINDOW))
}

fn advance(src: &mut Peer, dst: &mut Peer, p: &Placed) {
    src.window = src.window.max(p.window as u16);
    if gt(p.end, src.low) {
        src.low = p.end;
    }
    let window = p.window << p.send_scale;
    if ge(p.ack.wrapping_add(window), dst.high) {
        dst.high = p.ack.wrapping_add(window.max(1));
    }
}

/// Moves the states on; answers the class of timeout that holds now.
fn progress(src: &mut Peer, dst: &mut Peer, flags: u16) -> Class {
    if flags & FIN != 0 && src.state < State::Closing {
        src.state = State::Closing;
    }
    if flags & ACK != 0 {
        match dst.state {
            State::SynSent => dst.state = State::Established,
            State::Closing => dst.state = State::FinWait2,
            _ => {}
        }
    }
    if flags & RST != 0 {
        src.state = State::TimeWait;
        dst.state = State::TimeWait;
    }
    let (least, most) = (src.state.min(dst.state), src.state.max(dst.state));
    if least >= State::FinWait2 {
        Class::TcpClosed
    } else if least >= State::Closing {
        Class::TcpFinWait
    } else if least < State::Established {
        Class::TcpOpening
    } else if most >= State::Closing {
        Class::TcpClosing
    } else {
        Class::TcpEstablished
    }
}

/// One peer of an established connection, as its record has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Side {
    /// [`Peer::low`] above [`Peer::high`].
    pub sequence: u64,
    /// Largest window that it advertised, unscaled.
    pub window: u16,
    /// Window scale and what is known of it.
    pub scale: u8,
}

/// Both peers of a connection, seen from a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Window {
    /// Both peers are established.
    pub is_established: bool,
    /// Who sent the segment.
    pub from: Side,
    /// Who is to receive it.
    pub to: Side,
}

/// Judges a segment that changes no state; `None` for any other and for one outside of the window.
///
/// What [`judge`] would answer and change, without what cannot happen between established peers.
#[inline(always)]
pub(crate) fn steady(w: &Window, s: &Segment, strict: bool) -> Option<Window> {
    if s.flags & (SYN | FIN | RST | ACK) != ACK || !w.is_established {
        return None;
    }
    let (scales, unseen) = (w.from.scale & w.to.scale & SCALE_KNOWN != 0, w.from.scale & w.to.scale & SCALE_UNSEEN != 0);
    let (send, receive) = match (scales, unseen) {
        (true, _) => (w.from.scale & SCALE_MASK, w.to.scale & SCALE_MASK),
        (false, true) => (SCALE_MAX, SCALE_MAX),
        (false, false) => (0, 0),
    };
    let (low, high) = ((w.from.sequence >> 32) as u32, w.from.sequence as u32);
    let (to_low, to_high) = ((w.to.sequence >> 32) as u32, w.to.sequence as u32);
    let (seq, end) = if s.len == 0 { (low, low) } else { (s.seq, s.seq.wrapping_add(s.len)) };
    if strict {
        let oldest = low.wrapping_sub(u32::from(w.to.window) << receive);
        let skew = i64::from(to_low.wrapping_sub(s.ack) as i32);
        let acknowledges = skew >= -i64::from(ACK_WINDOW) && skew <= i64::from(ACK_WINDOW << send);
        if !(ge(high, end) && ge(seq, oldest) && acknowledges) {
            return None;
        }
    }
    let mut after = *w;
    after.from.window = w.from.window.max(s.window);
    if gt(end, low) {
        after.from.sequence = u64::from(end) << 32 | u64::from(high);
    }
    let window = u32::from(s.window) << send;
    if ge(s.ack.wrapping_add(window), to_high) {
        after.to.sequence = u64::from(to_low) << 32 | u64::from(s.ack.wrapping_add(window.max(1)));
    }
    Some(after)
}

#[cfg(test)]
#[path = "tcp_tests.rs"]
mod tests;
