//! Reading and writing big-endian bytes.
//!
//! Purpose: a cursor that cannot run past its end, and the writing half of it.
//! Invariant: a read that does not fit gives the cursor's error and consumes nothing.
//! Deliberately does not know: messages.

use crate::error::OfpError;
use crate::message::EncodeError;

/// A cursor over bytes; what does not fit gives `short`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    short: OfpError,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], short: OfpError) -> Reader<'a> {
        Reader { bytes, short }
    }

    /// A cursor whose shortage is a wrong request length.
    pub(crate) fn request(bytes: &'a [u8]) -> Reader<'a> {
        Reader::new(bytes, OfpError::OFPBRC_BAD_LEN)
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What is left, without consuming it.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn take(&mut self, n: usize) -> Result<&'a [u8], OfpError> {
        match self.bytes.split_at_checked(n) {
            Some((head, tail)) => {
                self.bytes = tail;
                Ok(head)
            }
            None => Err(self.short),
        }
    }

    /// A cursor over the next `n` bytes, with the same error.
    pub(crate) fn sub(&mut self, n: usize) -> Result<Reader<'a>, OfpError> {
        Ok(Reader { bytes: self.take(n)?, short: self.short })
    }

    pub(crate) fn skip(&mut self, n: usize) -> Result<(), OfpError> {
        self.take(n).map(|_| ())
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], OfpError> {
        let (head, tail) = self.bytes.split_first_chunk().ok_or(self.short)?;
        self.bytes = tail;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, OfpError> {
        self.array::<1>().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, OfpError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, OfpError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, OfpError> {
        self.array().map(u64::from_be_bytes)
    }

    /// A string in a field of `n` bytes, ended by NUL where it is shorter.
    pub(crate) fn string(&mut self, n: usize) -> Result<String, OfpError> {
        let bytes = self.take(n)?;
        let text = bytes.split(|b| *b == 0).next().unwrap_or_default();
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    /// Consumes `n` bytes that must all be zero, else `error`.
    pub(crate) fn zeros(&mut self, n: usize, error: OfpError) -> Result<(), OfpError> {
        if self.take(n)?.iter().all(|b| *b == 0) {
            Ok(())
        } else {
            Err(error)
        }
    }

    /// Fails with `error` unless everything was consumed.
    pub(crate) fn end(&self, error: OfpError) -> Result<(), OfpError> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(error)
        }
    }
}

/// Appending big-endian values to bytes.
pub(crate) trait Put {
    fn put(&mut self, bytes: &[u8]);
    fn zeros(&mut self, n: usize);
    fn u8(&mut self, v: u8);
    fn u16(&mut self, v: u16);
    fn u32(&mut self, v: u32);
    fn u64(&mut self, v: u64);
    /// A string in a field of `n` bytes, always ended by NUL.
    fn string(&mut self, s: &str, n: usize);
    /// Zeros up to the next multiple of 8 counted from `start`.
    fn pad8(&mut self, start: usize);
    /// Overwrites the two bytes at `at` with the length from `start` to the end.
    fn patch_len(&mut self, start: usize, at: usize) -> Result<(), EncodeError>;
}

impl Put for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn zeros(&mut self, n: usize) {
        self.resize(self.len() + n, 0);
    }

    fn u8(&mut self, v: u8) {
        self.push(v);
    }

    fn u16(&mut self, v: u16) {
        self.put(&v.to_be_bytes());
    }

    fn u32(&mut self, v: u32) {
        self.put(&v.to_be_bytes());
    }

    fn u64(&mut self, v: u64) {
        self.put(&v.to_be_bytes());
    }

    fn string(&mut self, s: &str, n: usize) {
        let bytes = s.as_bytes();
        let kept = bytes.len().min(n.saturating_sub(1));
        self.put(bytes.get(..kept).unwrap_or_default());
        self.zeros(n - kept);
    }

    fn pad8(&mut self, start: usize) {
        let len = self.len().saturating_sub(start);
        self.zeros(len.next_multiple_of(8) - len);
    }

    fn patch_len(&mut self, start: usize, at: usize) -> Result<(), EncodeError> {
        let len = u16::try_from(self.len().saturating_sub(start)).map_err(|_| EncodeError::TooLong)?;
        match self.get_mut(at..at + 2) {
            Some(place) => place.copy_from_slice(&len.to_be_bytes()),
            None => return Err(EncodeError::TooLong),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_past_the_end_fails_and_consumes_nothing() {
        let mut r = Reader::request(&[1, 2, 3]);
        assert_eq!(r.u32(), Err(OfpError::OFPBRC_BAD_LEN));
        assert_eq!(r.u16(), Ok(0x0102));
        assert_eq!(r.len(), 1);
    }

    #[test]
    fn a_string_is_cut_to_leave_room_for_its_end() {
        let mut v = Vec::new();
        v.string("abcdef", 4);
        assert_eq!(v, b"abc\0");
        assert_eq!(Reader::request(&v).string(4).unwrap(), "abc");
    }
}
