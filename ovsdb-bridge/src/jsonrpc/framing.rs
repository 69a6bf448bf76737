//! Finds the end of each JSON object in a stream.
//!
//! Purpose: every byte is looked at once, however small the pieces are.
//! Deliberately does not know: JSON beyond strings and brackets; the parser sees whole objects.

use serde_json::Value;

/// What a stream can do wrong. It cannot go on after that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Something else than an object stands where a message has to begin.
    #[error("a message begins with byte 0x{0:02x}, not with '{{'")]
    NotAnObject(u8),
    /// The object is no JSON.
    #[error("a message is no JSON: {0}")]
    NotJson(String),
    /// A message does not end.
    #[error("a message is longer than {0} bytes")]
    TooLong(usize),
}

/// Collects bytes until they are a message.
#[derive(Clone, Debug)]
pub struct Framer {
    bytes: Vec<u8>,
    /// Where the message begins.
    start: usize,
    /// Up to here everything was looked at.
    seen: usize,
    depth: u32,
    in_string: bool,
    escaped: bool,
    limit: usize,
}

impl Framer {
    /// Takes messages of at most `limit` bytes.
    pub fn new(limit: usize) -> Framer {
        Framer { bytes: Vec::new(), start: 0, seen: 0, depth: 0, in_string: false, escaped: false, limit }
    }

    /// Adds what was received. Call [`Framer::next_message`] until it has none before adding more.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.seen -= self.start;
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message, if there is one.
    pub fn next_message(&mut self) -> Result<Option<Value>, FrameError> {
        while let Some(&byte) = self.bytes.get(self.seen) {
            if self.depth == 0 && byte.is_ascii_whitespace() {
                self.seen += 1;
                self.start = self.seen;
                continue;
            }
            if self.depth == 0 && byte != b'{' {
                return Err(FrameError::NotAnObject(byte));
            }
            self.seen += 1;
            if self.ends(byte) {
                return self.cut().map(Some);
            }
        }
        if self.seen - self.start > self.limit {
            return Err(FrameError::TooLong(self.limit));
        }
        Ok(None)
    }

    /// Takes a byte into account; true when it ends the object.
    fn ends(&mut self, byte: u8) -> bool {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth = self.depth.saturating_add(1),
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            _ => {}
        }
        false
    }

    fn cut(&mut self) -> Result<Value, FrameError> {
        let object = self.bytes.get(self.start..self.seen).unwrap_or(&[]);
        let value = serde_json::from_slice(object).map_err(|e| FrameError::NotJson(e.to_string()));
        self.start = self.seen;
        if self.start == self.bytes.len() {
            self.bytes.clear();
            (self.start, self.seen) = (0, 0);
            // A large dump at the start should not be paid for ever after.
            self.bytes.shrink_to(1 << 16);
        }
        value
    }
}
