//! What the kernel counts for each link.
//!
//! Invariant: read on demand, never followed; a link that tells nothing is left out.

use std::collections::HashMap;
use std::io;

use super::error::NetlinkError;
use super::host::{error_of, receive, send};
use super::message::{attributes, messages, u32_at, Message, Request, NLMSG_DONE, NLMSG_ERROR, NLM_F_DUMP};
use super::Host;

/// The attribute with 64-bit counters.
const IFLA_STATS64: u16 = 23;

/// Counters of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct LinkCounters {
    pub rx_packets: u64,
    pub tx_packets: u64,
    pub rx_bytes: u64,
    pub tx_bytes: u64,
    pub rx_errors: u64,
    pub tx_errors: u64,
    pub rx_dropped: u64,
    pub tx_dropped: u64,
    pub multicast: u64,
    pub collisions: u64,
    pub rx_over_errors: u64,
    pub rx_crc_errors: u64,
    pub rx_frame_errors: u64,
    pub rx_missed_errors: u64,
}

impl Host {
    /// Counters of all links, by number.
    pub fn link_counters(&mut self) -> Result<HashMap<u32, LinkCounters>, NetlinkError> {
        self.read_counters().map_err(|e| NetlinkError::new("read counters of links", e))
    }

    fn read_counters(&mut self) -> io::Result<HashMap<u32, LinkCounters>> {
        self.sequence = self.sequence.wrapping_add(1);
        let request = Request::new(libc::RTM_GETLINK, NLM_F_DUMP, self.sequence, &[0; 16]).finish();
        send(&self.requests, &request)?;
        let mut all = HashMap::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let n = receive(&self.requests, &mut buffer, 0)?;
            for m in messages(buffer.get(..n).unwrap_or(&[])).filter(|m| m.sequence == self.sequence) {
                match m.kind {
                    NLMSG_DONE => return Ok(all),
                    NLMSG_ERROR => return Err(error_of(m.body)),
                    libc::RTM_NEWLINK => all.extend(counters(&m)),
                    _ => {}
                }
            }
        }
    }
}

fn counters(m: &Message<'_>) -> Option<(u32, LinkCounters)> {
    let index = u32_at(m.body, 4)?;
    let (_, bytes) = attributes(m.body.get(16..)?).find(|(kind, _)| *kind == IFLA_STATS64)?;
    let word = |i: usize| Some(u64::from_ne_bytes(bytes.get(i * 8..i * 8 + 8)?.try_into().ok()?));
    let counters = LinkCounters {
        rx_packets: word(0)?,
        tx_packets: word(1)?,
        rx_bytes: word(2)?,
        tx_bytes: word(3)?,
        rx_errors: word(4)?,
        tx_errors: word(5)?,
        rx_dropped: word(6)?,
        tx_dropped: word(7)?,
        multicast: word(8)?,
        collisions: word(9)?,
        rx_over_errors: word(11)?,
        rx_crc_errors: word(12)?,
        rx_frame_errors: word(13)?,
        rx_missed_errors: word(15)?,
    };
    Some((index, counters))
}
