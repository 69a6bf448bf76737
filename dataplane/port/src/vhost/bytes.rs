//! Copies between frames and memory that a guest may write at the same time.
//!
//! Invariant: nothing here looks at what it copies; short copies, which most are, stay in registers.
//! Deliberately does not know: whose memory it is; callers checked that all of it is mapped.

use std::ptr::NonNull;

use super::space::Span;

/// Copies `n` bytes in as few moves as possible.
///
/// # Safety
/// Both ranges of `n` bytes are mapped and do not overlap; the destination may be written.
#[inline(always)]
unsafe fn copy(from: *const u8, to: *mut u8, n: usize) {
    // SAFETY: every move lies in the ranges that the caller vouches for. The other side may write at the
    // same time: then the copy is of whatever was there, and only the copy is ever judged.
    unsafe {
        if n > 128 || n < 16 {
            std::ptr::copy_nonoverlapping(from, to, n);
            return;
        }
        // The last 16 bytes first; they may overlap with the whole steps that follow.
        let last = from.add(n - 16).cast::<[u8; 16]>().read_unaligned();
        let mut at = 0;
        while at + 16 < n {
            to.add(at).cast::<[u8; 16]>().write_unaligned(from.add(at).cast::<[u8; 16]>().read_unaligned());
            at += 16;
        }
        to.add(n - 16).cast::<[u8; 16]>().write_unaligned(last);
    }
}

/// Fills `to` from guest memory.
///
/// # Safety
/// As many bytes as `to` has are mapped at `from`.
#[inline(always)]
pub(crate) unsafe fn from_guest(from: NonNull<u8>, to: &mut [u8]) {
    // SAFETY: the caller vouches for `from`; pools and guests never share memory.
    unsafe { copy(from.as_ptr(), to.as_mut_ptr(), to.len()) }
}

/// Writes bytes to guest memory.
///
/// # Safety
/// As many bytes as `from` has are mapped at `to`.
#[inline(always)]
pub(crate) unsafe fn to_guest(to: NonNull<u8>, from: &[u8]) {
    // SAFETY: the caller vouches for `to`; pools and guests never share memory.
    unsafe { copy(from.as_ptr(), to.as_ptr(), from.len()) }
}

/// A way through the spans of a chain.
pub(crate) struct Cursor<'a> {
    spans: &'a [Span],
    done: u32,
}

impl<'a> Cursor<'a> {
    /// From the first byte of spans that lie in the guest's memory, which the caller's session holds.
    pub(crate) fn new(spans: &'a [Span]) -> Cursor<'a> {
        Cursor { spans, done: 0 }
    }

    /// The next piece of at most `n` bytes.
    #[inline]
    fn step(&mut self, n: usize) -> Option<Span> {
        loop {
            let (first, rest) = self.spans.split_first()?;
            let left = first.len - self.done;
            if left == 0 {
                (self.spans, self.done) = (rest, 0);
                continue;
            }
            let len = left.min(n as u32);
            // SAFETY: `done` is less than the span's length.
            let host = unsafe { first.host.add(self.done as usize) };
            let guest = first.guest.wrapping_add(u64::from(self.done));
            self.done += len;
            return Some(Span { host, len, guest });
        }
    }

    /// Fills `to`; what the spans do not have stays as it is.
    pub(crate) fn read(&mut self, mut to: &mut [u8]) {
        while !to.is_empty() {
            let Some(span) = self.step(to.len()) else { return };
            let (now, later) = to.split_at_mut(span.len as usize);
            // SAFETY: a span's bytes are mapped.
            unsafe { from_guest(span.host, now) };
            to = later;
        }
    }

    /// Writes `from` until the spans end; returns how many bytes were written.
    pub(crate) fn write(&mut self, mut from: &[u8], mut written: impl FnMut(Span)) -> usize {
        let mut done = 0;
        while !from.is_empty() {
            let Some(span) = self.step(from.len()) else { break };
            let (now, later) = from.split_at(span.len as usize);
            // SAFETY: a span's bytes are mapped.
            unsafe { to_guest(span.host, now) };
            written(span);
            done += now.len();
            from = later;
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_of_every_length_are_exact() {
        let from: Vec<u8> = (0..300).map(|i| (i * 7 % 251) as u8).collect();
        for n in 0..260 {
            let mut to = vec![0xee; 300];
            // SAFETY: both buffers have 300 bytes.
            unsafe { from_guest(NonNull::from(&from[3]), &mut to[5..5 + n]) };
            assert_eq!(to[5..5 + n], from[3..3 + n]);
            assert!(to[..5].iter().chain(&to[5 + n..]).all(|b| *b == 0xee), "{n}");
        }
    }
}
