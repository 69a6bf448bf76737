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

/// Bytes that are asked for at once.
const CHUNK: usize = 32 << 10;

/// Collects bytes and gives whole messages.
#[derive(Debug, Default)]
pub struct Framer {
    /// Room for what is read; what lies in `start..end` was read and not given out.
    bytes: Vec<u8>,
    start: usize,
    end: usize,
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
        self.make_room(bytes.len());
        self.room()[..bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }

    /// Lets `read` write to the room that is left, and adds as many bytes as it says. Gives what it gave.
    pub fn fill<E>(&mut self, read: impl FnOnce(&mut [u8]) -> Result<usize, E>) -> Result<usize, E> {
        self.make_room(CHUNK);
        let room = self.room();
        let most = room.len();
        let n = read(room)?.min(most);
        self.end += n;
        Ok(n)
    }

    fn room(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// Makes room for so many bytes behind what is kept.
    fn make_room(&mut self, wanted: usize) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.bytes.len() < self.end + wanted && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.bytes.len() < self.end + wanted {
            self.bytes.resize(self.end + wanted, 0);
        }
    }

    /// False while a whole message waits to be taken: a reader then leaves the rest in the socket.
    pub fn wants_more(&self) -> bool {
        self.buffered() < Framer::MAX_MESSAGE
    }

    /// Bytes collected and not given out.
    pub fn buffered(&self) -> usize {
        self.end - self.start
    }

    /// The next whole message, if there is one.
    pub fn next_message(&mut self) -> Result<Option<Vec<u8>>, FramingError> {
        self.next().map(|message| message.map(<[u8]>::to_vec))
    }

    /// The next whole message where it lies, if there is one.
    #[allow(clippy::should_implement_trait)] // it lends
    pub fn next(&mut self) -> Result<Option<&[u8]>, FramingError> {
        let pending = self.bytes.get(self.start..self.end).unwrap_or_default();
        let Some(&[_, _, high, low, ..]) = pending.first_chunk::<8>() else {
            return Ok(None);
        };
        let length = u16::from_be_bytes([high, low]);
        if length < 8 {
            return Err(FramingError { length });
        }
        if pending.len() < usize::from(length) {
            return Ok(None);
        }
        let from = self.start;
        self.start += usize::from(length);
        Ok(self.bytes.get(from..self.start))
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
