//! What waits to be sent on a connection.
//!
//! Purpose: a bounded queue of bytes. A peer that does not read costs its own connection only.
//! Invariant: never longer than [`HARD_LIMIT`] plus one message.
//! Deliberately does not know: sockets, messages.

/// From here on no more requests of the connection are served until it has read.
pub const SOFT_LIMIT: usize = 256 << 10;
/// From here on nothing is added at all.
pub const HARD_LIMIT: usize = 4 << 20;

/// Bytes that wait.
#[derive(Debug, Default)]
pub struct Output {
    bytes: Vec<u8>,
    sent: usize,
    refused: u64,
    /// Messages again, for those who listen in; `None` while nobody does.
    tee: Option<Vec<u8>>,
}

impl Output {
    /// Adds an answer to a request.
    pub fn push(&mut self, message: &[u8]) {
        self.overhear(message);
        self.compact();
        self.bytes.extend_from_slice(message);
    }

    /// Adds a message that nobody asked for; false, and counted, when there is no room.
    pub fn push_unasked(&mut self, message: &[u8]) -> bool {
        if self.waiting() >= HARD_LIMIT {
            self.refused += 1;
            return false;
        }
        self.push(message);
        true
    }

    /// Begins or ends to keep messages for those who listen in.
    pub fn set_tee(&mut self, wanted: bool) {
        if wanted != self.tee.is_some() {
            self.tee = wanted.then(Vec::new);
        }
    }

    /// Keeps what the peer said.
    pub fn overhear(&mut self, message: &[u8]) {
        if let Some(tee) = self.tee.as_mut().filter(|t| t.len() < HARD_LIMIT) {
            tee.extend_from_slice(message);
        }
    }

    /// What was kept since the last time.
    pub fn take_tee(&mut self) -> Vec<u8> {
        self.tee.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Bytes not sent yet.
    pub fn waiting(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Whether requests have to wait until the peer has read.
    pub fn is_congested(&self) -> bool {
        self.waiting() >= SOFT_LIMIT
    }

    /// Unasked messages that found no room.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Bytes to send next.
    pub fn next(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or(&[])
    }

    /// Forgets the first `n` bytes: they were sent.
    pub fn advance(&mut self, n: usize) {
        self.sent = (self.sent + n).min(self.bytes.len());
        if self.sent == self.bytes.len() {
            self.bytes.clear();
            self.sent = 0;
        }
    }

    fn compact(&mut self) {
        if self.sent > SOFT_LIMIT {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_order_however_they_are_taken() {
        let mut output = Output::default();
        output.push(b"abc");
        output.push(b"def");
        output.advance(2);
        assert_eq!(output.next(), b"cdef");
        output.push(b"g");
        output.advance(5);
        assert_eq!((output.next(), output.waiting()), (&b""[..], 0));
    }

    #[test]
    fn a_peer_that_never_reads_costs_a_bounded_amount() {
        let mut output = Output::default();
        let message = vec![0; 60_000];
        while output.push_unasked(&message) {}
        assert!(output.is_congested());
        assert!(output.waiting() <= HARD_LIMIT + message.len());
        assert_eq!(output.refused(), 1);
    }
}
