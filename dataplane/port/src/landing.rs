//! Empty chunks into which the kernel writes the next frame, whatever its length.
//!
//! Invariant: between two calls of a port's `receive` nothing is held here; no allocation per frame.
//! Deliberately does not know: which call reads.

use sluice_frame::{Frame, Pool, FRAME_MAX};

/// Chunks for one frame of up to [`FRAME_MAX`] bytes, with a place for a header in front.
#[derive(Debug, Default)]
pub(crate) struct Landing {
    /// The first chunk to be filled is the last one here.
    spare: Vec<Frame>,
    vectors: Vec<libc::iovec>,
}

// SAFETY: the vectors are rewritten before every use; between uses nobody follows their pointers.
unsafe impl Send for Landing {}

impl Landing {
    /// Takes chunks for the longest frame: false when the pool has too few left.
    pub(crate) fn prepare(&mut self, pool: &mut Pool) -> bool {
        let needed = FRAME_MAX.div_ceil(pool.chunk_payload());
        if self.spare.len() + pool.available() < needed {
            return false;
        }
        while self.spare.len() < needed {
            let Some(mut frame) = pool.alloc() else { return false };
            let room = frame.tailroom();
            let _fits = frame.push_back(room);
            self.spare.push(frame);
        }
        true
    }

    /// Where the kernel is to write: first `header`, then the chunks.
    pub(crate) fn vectors(&mut self, header: &mut [u8]) -> &mut [libc::iovec] {
        self.vectors.clear();
        self.vectors.push(vector(header));
        self.vectors.extend(self.spare.iter_mut().rev().map(|f| vector(f.head_mut())));
        &mut self.vectors
    }

    /// The frame of `len` bytes that the kernel wrote behind the header.
    pub(crate) fn take(&mut self, len: usize) -> Option<Frame> {
        let (mut count, mut room) = (0, 0);
        for chunk in self.spare.iter().rev() {
            count += 1;
            room += chunk.len();
            if room >= len {
                break;
            }
        }
        let first = self.spare.len().checked_sub(count).filter(|_| room >= len && count > 0)?;
        let mut left_over = room - len;
        let mut tail: Option<Frame> = None;
        for mut chunk in self.spare.drain(first..) {
            let _linear = chunk.truncate(chunk.len() - left_over);
            left_over = 0;
            if let Some(t) = tail {
                chunk.append(t);
            }
            tail = Some(chunk);
        }
        tail
    }

    /// Gives all chunks back.
    pub(crate) fn release(&mut self, pool: &mut Pool) {
        self.spare.drain(..).for_each(|f| pool.free(f));
    }
}

fn vector(bytes: &mut [u8]) -> libc::iovec {
    libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() }
}

/// Where the kernel is to read a frame: first `header`, then its segments.
///
/// The vectors are valid as long as `header` and `frame` are neither moved nor changed.
pub(crate) fn gather(vectors: &mut Vec<libc::iovec>, header: &[u8], frame: &Frame) {
    let part = |b: &[u8]| libc::iovec { iov_base: b.as_ptr().cast_mut().cast(), iov_len: b.len() };
    vectors.clear();
    vectors.push(part(header));
    vectors.extend(frame.segments().map(part));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_of_any_length_lands_in_order() {
        let mut pool = Pool::new(1024, 200).unwrap();
        let mut landing = Landing::default();
        for len in [0, 1, 815, 816, 817, 1632, 1633, 65_599] {
            assert!(landing.prepare(&mut pool));
            let bytes: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
            let mut at = 0;
            let mut header = [0; 10];
            for v in &landing.vectors(&mut header)[1..] {
                let n = v.iov_len.min(len - at);
                // SAFETY: the vector describes a chunk that `landing` owns.
                unsafe { std::ptr::copy_nonoverlapping(bytes[at..].as_ptr(), v.iov_base.cast(), n) };
                at += n;
            }
            let f = landing.take(len).unwrap();
            assert_eq!(f.to_vec(), bytes);
            pool.free(f);
        }
        assert!(landing.take(FRAME_MAX + 1024).is_none());
        landing.release(&mut pool);
        assert_eq!(pool.outstanding(), 0);
    }

    #[test]
    fn a_pool_that_is_too_small_is_left_alone() {
        let mut pool = Pool::new(1024, 20).unwrap();
        let mut landing = Landing::default();
        assert!(!landing.prepare(&mut pool));
        assert_eq!(pool.outstanding(), 0);
    }
}
