//! A guest's virtio-net header and the record of a frame.
//!
//! Invariant: a record that comes out of [`judge`] stays within its frame and asks for nothing that the
//! guest did not negotiate.
//! Deliberately does not know: rings.

use sluice_frame::{Gso, Meta};

use crate::Offloads;

/// Bytes of the header, of a modern device or with mergeable buffers.
pub(crate) const LONG: usize = 12;
/// Bytes of a legacy device's header without mergeable buffers.
pub(crate) const SHORT: usize = 10;

/// What one side may leave undone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Undone {
    pub offloads: Offloads,
    /// TCP GSO frames with ECN.
    pub ecn: bool,
}

/// The record of a frame of `len` bytes, if it is one that the guest may send.
#[inline]
pub(crate) fn judge(meta: Meta, len: usize, may: &Undone) -> Option<Meta> {
    if !meta.needs_csum {
        // Only a frame whose checksum is still to be filled can be cut.
        return (meta.gso == Gso::None).then(Meta::default);
    }
    let field = usize::from(meta.csum_start) + usize::from(meta.csum_offset);
    if !may.offloads.checksum || field + 2 > len {
        return None;
    }
    let sized = meta.gso_size > 0 && usize::from(meta.csum_start) < len;
    match meta.gso {
        Gso::None => Some(Meta { gso_ecn: false, gso_size: 0, csum_valid: false, ..meta }),
        Gso::Tcp4 if may.offloads.tso4 && sized && (may.ecn || !meta.gso_ecn) => Some(meta),
        Gso::Tcp6 if may.offloads.tso6 && sized && (may.ecn || !meta.gso_ecn) => Some(meta),
        Gso::UdpL4 if may.offloads.udp && sized && !meta.gso_ecn => Some(meta),
        _ => None,
    }
}

/// Does the receiver take a frame with this record as it is?
#[inline]
pub(crate) fn fits(meta: &Meta, takes: &Undone) -> bool {
    crate::offload::is_ready(meta, takes.offloads) && (takes.ecn || !meta.gso_ecn)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Undone = Undone { offloads: Offloads::ALL, ecn: true };

    fn tso() -> Meta {
        Meta { needs_csum: true, csum_start: 34, csum_offset: 16, gso: Gso::Tcp4, gso_size: 1448, ..Meta::default() }
    }

    #[test]
    fn records_that_leave_the_frame_or_were_not_negotiated_are_refused() {
        assert_eq!(judge(Meta::default(), 60, &Undone::default()), Some(Meta::default()));
        assert_eq!(judge(tso(), 9000, &ALL), Some(tso()));
        assert_eq!(judge(tso(), 9000, &Undone::default()), None);
        assert_eq!(judge(Meta { gso_size: 0, ..tso() }, 9000, &ALL), None);
        assert_eq!(judge(Meta { needs_csum: false, ..tso() }, 9000, &ALL), None);
        assert_eq!(judge(Meta { gso_ecn: true, ..tso() }, 9000, &Undone { ecn: false, ..ALL }), None);
        assert_eq!(judge(Meta { gso: Gso::Udp, ..tso() }, 9000, &ALL), None);
        for (start, offset, len) in [(34, 16, 51), (65_535, 16, 60), (65_535, 65_535, 65_599)] {
            assert_eq!(judge(Meta { csum_start: start, csum_offset: offset, ..tso() }, len, &ALL), None);
        }
        assert!(judge(tso(), 52, &ALL).is_some());
    }
}
