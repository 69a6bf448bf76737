//! Copies into, out of and between frames.
//!
//! Invariant: a copy has its bytes in as few chunks as they fit, the first one behind the usual
//! headroom; when the pool runs dry half-way, every chunk taken so far goes back.
//! Deliberately does not know: what is in the bytes.

use crate::{Frame, Pool};

/// Copies bytes between slices of one length. Short frames are most frames: a call to copy them costs more
/// than to copy their beginning and their end, which may overlap.
#[inline(always)]
pub(crate) fn copy_bytes(to: &mut [u8], from: &[u8]) {
    match from.len() {
        32..=64 => copy_ends::<32>(to, from),
        65..=128 => copy_ends::<64>(to, from),
        _ => to.copy_from_slice(from),
    }
}

#[inline(always)]
fn copy_ends<const N: usize>(to: &mut [u8], from: &[u8]) {
    if let (Some(a), Some(b)) = (to.first_chunk_mut::<N>(), from.first_chunk::<N>()) {
        *a = *b;
    }
    if let (Some(a), Some(b)) = (to.last_chunk_mut::<N>(), from.last_chunk::<N>()) {
        *a = *b;
    }
}

impl Pool {
    /// A new frame with these bytes, in several segments where one chunk is too small.
    /// `None` when the pool has too few chunks left.
    #[inline]
    pub fn copy_in(&mut self, bytes: &[u8]) -> Option<Frame> {
        if bytes.len() > self.chunk_payload() {
            return self.copy_in_parts(bytes);
        }
        let mut frame = self.alloc()?;
        let _fits = frame.fill(bytes);
        Some(frame)
    }

    #[inline(never)]
    fn copy_in_parts(&mut self, bytes: &[u8]) -> Option<Frame> {
        let step = self.chunk_payload();
        // From the end to the start, so that every append meets a frame of one segment.
        let mut tail: Option<Frame> = None;
        for part in bytes.chunks(step).rev() {
            let Some(mut frame) = self.alloc() else {
                if let Some(t) = tail {
                    self.free(t);
                }
                return None;
            };
            let _fits = frame.fill(part);
            if let Some(t) = tail {
                frame.append(t);
            }
            tail = Some(frame);
        }
        tail
    }

    /// A copy of a frame, with what is known of it. `None` when the pool has too few chunks left.
    pub fn replicate(&mut self, frame: &Frame) -> Option<Frame> {
        let mut copy = if frame.is_linear() { self.copy_in(frame.head())? } else { self.copy_range(frame, 0, frame.len())? };
        (copy.meta, copy.queue) = (frame.meta, frame.queue);
        Some(copy)
    }

    /// A new frame with `len` bytes of another from `offset` on (fewer where that one ends earlier).
    /// `None` when the pool has too few chunks left.
    pub fn copy_range(&mut self, frame: &Frame, offset: usize, len: usize) -> Option<Frame> {
        let end = frame.len().min(offset.saturating_add(len));
        let offset = offset.min(end);
        let step = self.chunk_payload();
        let parts = (end - offset).div_ceil(step).max(1);
        let mut tail: Option<Frame> = None;
        for part in (0..parts).rev() {
            let Some(mut piece) = self.alloc() else {
                if let Some(t) = tail {
                    self.free(t);
                }
                return None;
            };
            let from = offset + part * step;
            let _fits = piece.push_back((end - from).min(step));
            frame.read_at(from, piece.head_mut());
            if let Some(t) = tail {
                piece.append(t);
            }
            tail = Some(piece);
        }
        tail
    }
}

impl Frame {
    /// Copies bytes from `offset` on into `out`, across segments; returns how many there were.
    pub fn read_at(&self, offset: usize, out: &mut [u8]) -> usize {
        let (mut skip, mut done) = (offset, 0);
        for segment in self.segments() {
            let Some(from) = segment.get(skip..) else {
                skip -= segment.len();
                continue;
            };
            skip = 0;
            let n = from.len().min(out.len() - done);
            out[done..done + n].copy_from_slice(&from[..n]);
            done += n;
            if done == out.len() {
                break;
            }
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(n: usize) -> Vec<u8> {
        (0..n).map(|i| (i * 7 % 251) as u8).collect()
    }

    #[test]
    fn any_length_goes_in_and_comes_out_the_same() {
        let mut pool = Pool::new(2048, 64).unwrap();
        let step = pool.chunk_payload();
        for n in [0, 1, 60, step - 1, step, step + 1, 2 * step, 65_599] {
            let f = pool.copy_in(&bytes(n)).unwrap();
            assert_eq!(f.to_vec(), bytes(n), "{n} bytes");
            assert_eq!(f.is_linear(), n <= step);
            pool.free(f);
            assert_eq!(pool.available(), 64);
        }
    }

    #[test]
    fn ranges_are_read_across_segments() {
        let mut pool = Pool::new(1024, 64).unwrap();
        let all = bytes(4000);
        let f = pool.copy_in(&all).unwrap();
        for (from, len) in [(0, 10), (810, 20), (815, 2), (816, 1), (100, 3000), (3990, 10), (3990, 50), (4000, 5), (9000, 5)] {
            let end = (from + len).min(4000);
            let want = all.get(from..end).unwrap_or(&[]);
            let mut out = vec![0; len];
            assert_eq!(f.read_at(from, &mut out), want.len(), "{from}+{len}");
            assert_eq!(&out[..want.len()], want);
            let g = pool.copy_range(&f, from, len).unwrap();
            assert_eq!(g.to_vec(), want);
            pool.free(g);
        }
        pool.free(f);
        assert_eq!(pool.outstanding(), 0);
    }

    #[test]
    fn a_replica_is_equal_and_independent() {
        let mut pool = Pool::new(1024, 8).unwrap();
        let mut f = pool.copy_in(&bytes(2000)).unwrap();
        f.meta.gso_size = 1448;
        let mut g = pool.replicate(&f).unwrap();
        assert_eq!((g.to_vec(), g.meta), (f.to_vec(), f.meta));
        g.head_mut()[0] = 0xff;
        assert_eq!(f.head()[0], 0);
        pool.free(f);
        pool.free(g);
        assert_eq!(pool.outstanding(), 0);
    }

    #[test]
    fn a_copy_that_does_not_fit_takes_nothing() {
        let mut pool = Pool::new(1024, 2).unwrap();
        assert!(pool.copy_in(&bytes(5000)).is_none());
        assert_eq!(pool.available(), 2);
        let f = pool.copy_in(&bytes(900)).unwrap();
        assert!(pool.replicate(&f).is_none());
        pool.free(f);
        assert_eq!(pool.available(), 2);
    }

    #[test]
    fn a_chain_is_given_to_the_kernel_piece_by_piece() {
        let mut pool = Pool::new(1024, 4).unwrap();
        let all = bytes(2000);
        let f = pool.copy_in(&all).unwrap();
        let mut parts = Vec::new();
        pool.surrender_chain(f, &mut parts).unwrap();
        assert_eq!(parts.iter().map(|p| p.1).sum::<u32>(), 2000);
        assert_eq!((pool.lent(), pool.outstanding()), (parts.len(), 0));
        for (addr, _) in parts {
            // SAFETY: surrendered above, taken back once.
            unsafe { pool.reclaim(addr) };
        }
        assert_eq!(pool.available(), 4);
    }
}
