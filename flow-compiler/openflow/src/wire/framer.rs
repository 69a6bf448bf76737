//! Cutting a stream of bytes into messages.
//!
//! Purpose: bytes as they arrive go in, whole messages come out, in order.
//! Invariant: it holds at most one message and what was read behind it; a header whose length is
//! impossible ends the stream, because what follows it cannot be found.
//! Deliberately does not know: sockets, what the messages say.

/// The length in a header is less than the header's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FramingError {
    /// The impossible length.
    pub length: u16,
}

impl std::fmt::Display for FramingError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "received an OpenFlow header with length {}, less than the header's 8 bytes; close the connection",
            self.length
        )
    }
}

impl std::error::Error for FramingError {}

/// Collects bytes and gives whole messages.
#[derive(Debug, Default)]
pub struct Framer {
    bytes: Vec<u8>,
    /// Bytes before this one were given out already.
    start: usize,
}

impl Framer {
    /// Longest message there can be: its length has 16 bits.
    pub const MAX_MESSAGE: usize = 0xffff;

    /// Nothing collected.
    pub fn new() -> Framer {
        Framer::default()
    }

    /// Adds what was read. Take messages out before adding more: see [`Framer::wants_more`].
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// False while a whole message waits to be taken: a reader then leaves the rest in the socket.
    pub fn wants_more(&self) -> bool {
        self.buffered() < Framer::MAX_MESSAGE
    }

    /// Bytes collected and not given out.
    pub fn buffered(&self) -> usize {
        self.bytes.len().saturating_sub(self.start)
    }

    /// The next whole message, if there is one.
    pub fn next_message(&mut self) -> Result<Option<Vec<u8>>, FramingError> {
        let pending = self.bytes.get(self.start..).unwrap_or_default();
        let Some(&[_, _, high, low, ..]) = pending.first_chunk::<8>() else {
            return Ok(None);
        };
        let length = u16::from_be_bytes([high, low]);
        if length < 8 {
            return Err(FramingError { length });
        }
        let Some(message) = pending.get(..length as usize) else {
            return Ok(None);
        };
        let message = message.to_vec();
        self.start += message.len();
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_whole_however_the_bytes_arrive() {
        let stream = [1, 0, 0, 8, 0, 0, 0, 1, 1, 2, 0, 10, 0, 0, 0, 2, 7, 7];
        for step in 1..stream.len() {
            let mut framer = Framer::new();
            let mut got = Vec::new();
            for chunk in stream.chunks(step) {
                framer.push(chunk);
                while let Some(m) = framer.next_message().unwrap() {
                    got.push(m);
                }
            }
            assert_eq!(got, vec![stream[..8].to_vec(), stream[8..].to_vec()]);
            assert_eq!(framer.buffered(), 0);
        }
    }

    #[test]
    fn a_length_below_the_header_ends_the_stream() {
        let mut framer = Framer::new();
        framer.push(&[1, 14, 0, 7, 0, 0, 0, 1]);
        assert_eq!(framer.next_message(), Err(FramingError { length: 7 }));
    }
}
