//! Messages that are written already, one behind the other.
//!
//! Purpose: very many changes take no more memory than their bytes; they are numbered when they are sent.
//! Invariant: what is in it is a sequence of whole messages.
//! Deliberately does not know: connections.

use sluice_openflow::wire::encode_flow_mod;
use sluice_openflow::{FlowMod, Message, Protocol};

use super::client::next_xid;
use super::fatal::Fatal;

/// Where the length and the transaction id stand in a message.
const LENGTH: std::ops::Range<usize> = 2..4;
const XID: std::ops::Range<usize> = 4..8;

/// Messages in a row.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    count: usize,
}

impl Batch {
    /// These messages.
    pub fn of(messages: impl IntoIterator<Item = Message>, protocol: Protocol) -> Result<Batch, Fatal> {
        let mut batch = Batch::default();
        messages.into_iter().try_for_each(|m| batch.add(&m, protocol))?;
        Ok(batch)
    }

    /// Writes one more message.
    pub fn add(&mut self, message: &Message, protocol: Protocol) -> Result<(), Fatal> {
        self.bytes.extend(message.encode(protocol, 0).map_err(|e| Fatal(e.to_string()))?);
        self.count += 1;
        Ok(())
    }

    /// Writes one more change of rules.
    pub fn add_flow_mod(&mut self, fm: &FlowMod, protocol: Protocol) -> Result<(), Fatal> {
        self.bytes.extend(encode_flow_mod(protocol, 0, fm).map_err(|e| Fatal(e.to_string()))?);
        self.count += 1;
        Ok(())
    }

    /// Adds all messages of another one.
    pub fn append(&mut self, mut other: Batch) {
        match self.count {
            0 => *self = other,
            _ => {
                self.bytes.append(&mut other.bytes);
                self.count += other.count;
            }
        }
    }

    /// Number of messages.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Each message in its turn.
    pub fn messages(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.bytes[..];
        std::iter::from_fn(move || {
            let (message, behind) = rest.split_at_checked(length(rest)?)?;
            rest = behind;
            Some(message)
        })
    }

    /// Gives each message the next transaction id.
    pub fn number(&mut self) {
        let mut at = 0;
        while let Some(n) = self.bytes.get(at..).and_then(length) {
            if let Some(xid) = self.bytes.get_mut(at + XID.start..at + XID.end) {
                xid.copy_from_slice(&next_xid().to_be_bytes());
            }
            at += n;
        }
    }

    /// The message with this transaction id.
    pub fn numbered(&self, xid: u32) -> Option<&[u8]> {
        self.messages().find(|m| xid_of(m) == xid)
    }
}

fn length(bytes: &[u8]) -> Option<usize> {
    let length = bytes.get(LENGTH)?.try_into().ok()?;
    Some(usize::from(u16::from_be_bytes(length)).max(XID.end))
}

/// Appends a message under another transaction id.
pub fn put_numbered(out: &mut Vec<u8>, message: &[u8], xid: u32) {
    let at = out.len();
    out.extend_from_slice(message);
    if let Some(place) = out.get_mut(at + XID.start..at + XID.end) {
        place.copy_from_slice(&xid.to_be_bytes());
    }
}

/// The transaction id of a message.
pub fn xid_of(message: &[u8]) -> u32 {
    message.get(XID).and_then(|x| x.try_into().ok()).map_or(0, u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_openflow::Version;

    #[test]
    fn each_message_comes_back_and_is_found_by_its_number() {
        let protocol = Protocol::from(Version::V13);
        let all = [Message::EchoRequest(vec![1, 2, 3]), Message::BarrierRequest, Message::EchoRequest(Vec::new())];
        let mut batch = Batch::of(all.clone(), protocol).unwrap();
        let rest = Batch::of([Message::BarrierRequest], protocol).unwrap();
        batch.append(rest);
        batch.number();
        let read: Vec<_> = batch.messages().map(|m| Message::decode(protocol, m).unwrap()).collect();
        assert_eq!((read.len(), batch.len()), (4, 4));
        assert!(read.iter().zip(&all).all(|((_, read), sent)| read == sent));
        let (last, _) = read[2];
        assert_eq!(batch.numbered(last).map(<[u8]>::len), Some(8));
    }
}
