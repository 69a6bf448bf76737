//! Cuts a byte stream into OpenFlow messages.
//!
//! Purpose: the length in each header says where the next one starts.
//! Invariant: holds less than one message (64 KiB) once [`Framing::next_message`] returned `None`.
//! Deliberately does not know: versions or types.

/// Length of a message header.
pub const HEADER_LEN: usize = 8;

/// A header whose length does not even cover itself: nothing after it can be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message header claims a length of {length} bytes, which is less than the header's own 8")]
pub struct BadLength {
    /// What the header claims.
    pub length: u16,
}

/// Bytes that arrived and were not taken yet.
#[derive(Default)]
pub struct Framing {
    bytes: Vec<u8>,
    taken: usize,
}

impl Framing {
    /// Adds bytes that were read.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.taken > 0 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes the next whole message, `None` when it has not arrived yet.
    pub fn next_message(&mut self) -> Result<Option<Vec<u8>>, BadLength> {
        let rest = self.bytes.get(self.taken..).unwrap_or(&[]);
        let Some(&[high, low]) = rest.get(2..4).and_then(|b| <&[u8; 2]>::try_from(b).ok()) else {
            return Ok(None);
        };
        let length = u16::from_be_bytes([high, low]);
        if usize::from(length) < HEADER_LEN {
            return Err(BadLength { length });
        }
        let Some(message) = rest.get(..usize::from(length)) else { return Ok(None) };
        let message = message.to_vec();
        self.taken += message.len();
        Ok(Some(message))
    }

    /// Bytes that wait for the rest of their message.
    pub fn pending(&self) -> usize {
        self.bytes.len() - self.taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_whole_however_the_bytes_arrive() {
        let stream = [1, 0, 0, 8, 0, 0, 0, 1, 1, 2, 0, 10, 0, 0, 0, 2, 7, 7];
        for cut in 0..stream.len() {
            let mut framing = Framing::default();
            let mut got = Vec::new();
            for part in [&stream[..cut], &stream[cut..]] {
                framing.push(part);
                while let Some(message) = framing.next_message().unwrap() {
                    got.push(message);
                }
            }
            assert_eq!(got, [stream[..8].to_vec(), stream[8..].to_vec()], "cut at {cut}");
            assert_eq!(framing.pending(), 0);
        }
    }

    #[test]
    fn a_length_below_the_header_is_an_error() {
        let mut framing = Framing::default();
        framing.push(&[1, 0, 0, 7, 0, 0, 0, 1]);
        assert_eq!(framing.next_message(), Err(BadLength { length: 7 }));
    }
}
