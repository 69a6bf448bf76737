//! Long statistics replies, cut into messages.
//!
//! Purpose: items go into as few messages as they need; rules of a dump are written as they come.
//! Invariant: no message is longer than its length field can say; all but the last say that more follow.
//! Deliberately does not know: what an item is.

use super::buf::Put;
use super::kinds::Kind;
use super::{flow_stats, header};
use crate::message::{EncodeError, FlowStats};
use crate::version::{Protocol, Version};

/// Longest message.
const MAX_MESSAGE: usize = 0xffff;

/// Collects items into as few messages as they need.
pub(super) struct Parts {
    version: Version,
    kind: Kind,
    xid: u32,
    what: &'static str,
    done: Vec<Vec<u8>>,
    pub(super) open: Vec<u8>,
    header: usize,
}

impl Parts {
    pub(super) fn new(version: Version, kind: Kind, xid: u32, what: &'static str) -> Result<Parts, EncodeError> {
        let open = header::write(version, kind, xid, false, what)?;
        let header = open.len();
        Ok(Parts { version, kind, xid, what, done: Vec::new(), open, header })
    }

    /// Adds one item; starts a new message where the open one has no room for it.
    fn add(&mut self, item: &[u8]) -> Result<(), EncodeError> {
        if self.header + item.len() > MAX_MESSAGE {
            return Err(EncodeError::TooLong);
        }
        if self.open.len() + item.len() > MAX_MESSAGE {
            let fresh = header::write(self.version, self.kind, self.xid, false, self.what)?;
            let mut full = std::mem::replace(&mut self.open, fresh);
            // The flags follow the type of the statistics, right behind the message header.
            if let Some(flags) = full.get_mut(10..12) {
                flags.copy_from_slice(&[0, 1]);
            }
            self.done.push(header::finish(full)?);
        }
        self.open.put(item);
        Ok(())
    }

    pub(super) fn add_all<T>(
        mut self,
        items: &[T],
        mut one: impl FnMut(&mut Vec<u8>, &T) -> Result<(), EncodeError>,
    ) -> Result<Parts, EncodeError> {
        let mut bytes = Vec::new();
        for item in items {
            bytes.clear();
            one(&mut bytes, item)?;
            self.add(&bytes)?;
        }
        Ok(self)
    }

    pub(super) fn finish(mut self, more: bool) -> Result<Vec<Vec<u8>>, EncodeError> {
        if let Some(flags) = self.open.get_mut(10..12).filter(|_| more) {
            flags.copy_from_slice(&[0, 1]);
        }
        self.done.push(header::finish(self.open)?);
        Ok(self.done)
    }
}

/// Rules of a dump, written one by one: they need not all be at hand.
pub struct FlowReplies {
    parts: Parts,
    nxm: bool,
    /// Bytes of rules so far.
    written: usize,
    item: Vec<u8>,
}

impl FlowReplies {
    /// Answers to the request `xid`, in Nicira's form where that asked in it.
    pub fn new(protocol: impl Into<Protocol>, nxm: bool, xid: u32) -> Result<FlowReplies, EncodeError> {
        let (kind, what) = flow_reply(nxm);
        let parts = Parts::new(protocol.into().version, kind, xid, what)?;
        Ok(FlowReplies { parts, nxm, written: 0, item: Vec::new() })
    }

    /// Adds a rule.
    pub fn add(&mut self, rule: &FlowStats) -> Result<(), EncodeError> {
        self.item.clear();
        flow_stats::encode_one(&mut self.item, self.parts.version, self.nxm, rule)?;
        self.written += self.item.len();
        self.parts.add(&self.item)
    }

    /// Bytes that the rules have come to.
    pub fn written(&self) -> usize {
        self.written
    }

    /// The messages; whether more rules follow in others.
    pub fn finish(self, more: bool) -> Result<Vec<Vec<u8>>, EncodeError> {
        self.parts.finish(more)
    }
}

/// The type of a reply that tells of rules, and its name for people.
pub(super) fn flow_reply(nxm: bool) -> (Kind, &'static str) {
    match nxm {
        true => (Kind::NxstFlowReply, "Nicira flow reply"),
        false => (Kind::FlowReply, "flow reply"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Message, StatsReply};
    use crate::text::{parse_match, Names};

    fn rules(n: u32) -> Vec<FlowStats> {
        let rule = |i: u32| FlowStats {
            priority: i as u16,
            matching: parse_match(&format!("ip,nw_dst=10.0.{}.{},reg3={i}", i >> 8 & 255, i & 255), &Names::new()).unwrap(),
            packets: Some(u64::from(i)),
            ..flow_stats::blank()
        };
        (0..n).map(rule).collect()
    }

    #[test]
    fn rules_written_one_by_one_are_those_written_together() {
        let all = rules(2000);
        for (version, nxm) in [(Version::V10, true), (Version::V10, false), (Version::V13, false), (Version::V15, false)] {
            let together = Message::StatsReply(StatsReply::Flow { nxm, more: true, flows: all.clone() });
            let mut replies = FlowReplies::new(version, nxm, 9).unwrap();
            all.iter().for_each(|rule| replies.add(rule).unwrap());
            assert!(replies.written() > 60 * all.len());
            assert_eq!(replies.finish(true), together.encode_all(version, 9), "{version:?}");
        }
    }

    #[test]
    fn the_rules_of_all_messages_are_read_back_in_their_order() {
        let all = rules(2000);
        let mut replies = FlowReplies::new(Version::V13, false, 9).unwrap();
        all.iter().for_each(|rule| replies.add(rule).unwrap());
        let parts = replies.finish(false).unwrap();
        let (mut read, mut more) = (Vec::new(), Vec::new());
        for part in &parts {
            let (_, Message::StatsReply(StatsReply::Flow { flows, more: m, .. })) = Message::decode(Version::V13, part).unwrap() else { panic!() };
            read.extend(flows);
            more.push(m);
        }
        assert_eq!(read.len(), all.len());
        assert!(read.iter().zip(&all).all(|(a, b)| a.priority == b.priority && a.matching == b.matching && a.packets == b.packets));
        assert_eq!(more.iter().filter(|m| !**m).count(), 1);
        assert_eq!(more.last(), Some(&false));
    }
}
