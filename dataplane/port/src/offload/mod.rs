//! Work that a device was to do and a frame's next receiver cannot: checksums and segmentation.
//!
//! Purpose: done at the last moment, only where the port that a frame leaves by does not accept it
//! undone; a frame that goes from one capable port to another is never touched.
//! Invariant: every frame that comes out of [`complete`] is ready for a receiver with the given
//! abilities; a frame whose headers do not fit what it asks for is refused, never sent half done.
//! Deliberately does not know: devices. A frame must be cut before it is encapsulated; only what came
//! in encapsulated and uncut is cut as it is.

mod checksum;
mod restore;
mod segment;
mod tunnel;

use sluice_frame::{Frame, Gso, Meta, Pool};

use crate::{Offloads, SendDrop};

pub use checksum::fill;
pub use restore::restore;
pub(crate) use segment::cut;
pub(crate) use tunnel::is_tunnelled;

/// Can a frame with this record go as it is to a receiver that accepts `accepts`?
#[inline]
pub fn is_ready(meta: &Meta, accepts: Offloads) -> bool {
    match meta.gso {
        Gso::None => !meta.needs_csum || accepts.checksum,
        Gso::Tcp4 => accepts.tso4 && accepts.checksum,
        Gso::Tcp6 => accepts.tso6 && accepts.checksum,
        Gso::UdpL4 => accepts.udp && accepts.checksum,
        Gso::Udp => false,
    }
}

/// Makes a frame ready for such a receiver: appends it, or what it was cut into, to `out`.
///
/// On refusal the frame is freed and nothing is appended.
pub fn complete(pool: &mut Pool, mut frame: Frame, accepts: Offloads, out: &mut Vec<Frame>) -> Result<(), SendDrop> {
    if is_ready(&frame.meta, accepts) {
        out.push(frame);
        return Ok(());
    }
    if frame.meta.gso != Gso::None {
        let first = out.len();
        let result = segment::cut(pool, &frame, accepts.checksum, out);
        pool.free(frame);
        if result.is_err() {
            for piece in out.drain(first..) {
                pool.free(piece);
            }
        }
        return result;
    }
    if fill(&mut frame) {
        out.push(frame);
        Ok(())
    } else {
        pool.free(frame);
        Err(SendDrop::BadOffload)
    }
}

/// Takes every frame out of `frames`, makes it ready and hands it to `send_one`, which must take
/// frames of a chain as one call each and say what became of it. One outcome per given frame: sent
/// when all its pieces were.
pub(crate) fn send_each(
    pool: &mut Pool,
    frames: &mut Vec<Frame>,
    accepts: Offloads,
    pieces: &mut Vec<Frame>,
    stats: &mut crate::PortStats,
    mut send_one: impl FnMut(&mut Pool, Frame) -> Result<(), SendDrop>,
) -> crate::SendOutcome {
    let mut outcome = crate::SendOutcome::default();
    for frame in frames.drain(..) {
        let bytes = frame.len();
        let result = if is_ready(&frame.meta, accepts) {
            send_one(pool, frame)
        } else {
            complete(pool, frame, accepts, pieces).and_then(|()| {
                let mut all = Ok(());
                for piece in pieces.drain(..) {
                    all = send_one(pool, piece).and(all);
                }
                all
            })
        };
        match result {
            Ok(()) => stats.count_tx(bytes, &mut outcome),
            Err(reason) => stats.count_drop(reason, &mut outcome),
        }
    }
    outcome
}

#[cfg(test)]
mod tests;
