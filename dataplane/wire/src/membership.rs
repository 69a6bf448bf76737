//! Who wants which multicast group: IGMP (RFC 1112, 2236, 3376) and MLD (RFC 2710, 3810).
//!
//! Purpose: reading the messages of hosts and routers.
//! Invariant: what is cut short, or has a wrong checksum, says nothing; at most [`RECORDS_MAX`] groups
//! are read from a message.
//! Deliberately does not know: what is done about it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::bytes::{array_at, u16_at, u8_at};
use crate::checksum::{fold, pseudo6, sum};
use crate::{Headers, Net};

/// Groups that are read from one message.
pub const RECORDS_MAX: usize = 64;

const IGMP: u8 = 2;
const ICMP6: u8 = 58;
const IGMP_QUERY: u8 = 0x11;
const IGMP1_REPORT: u8 = 0x12;
const IGMP2_REPORT: u8 = 0x16;
const IGMP2_LEAVE: u8 = 0x17;
const IGMP3_REPORT: u8 = 0x22;
const MLD_QUERY: u8 = 130;
const MLD1_REPORT: u8 = 131;
const MLD1_DONE: u8 = 132;
const MLD2_REPORT: u8 = 143;
const IS_INCLUDE: u8 = 1;
const TO_INCLUDE: u8 = 3;
const LAST_RECORD: u8 = 6;

/// What kind of message a packet is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A host joins or leaves.
    Report,
    /// A router asks, or something else of IGMP.
    Query,
    /// None of these.
    Other,
}

/// What a message says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Said {
    /// A router with an address of its own asked.
    Router,
    /// Groups that are wanted (or not any more).
    Groups(Vec<(IpAddr, bool)>),
}

/// What kind of message a frame with these headers is.
pub fn kind(head: &[u8], h: &Headers) -> Kind {
    let first = u8_at(head, usize::from(h.l4));
    match (h.net, h.proto) {
        (Net::Ipv4, IGMP) => match first {
            Some(IGMP1_REPORT | IGMP2_REPORT | IGMP2_LEAVE | IGMP3_REPORT) => Kind::Report,
            _ => Kind::Query,
        },
        (Net::Ipv6, ICMP6) => match first {
            Some(MLD1_REPORT | MLD1_DONE | MLD2_REPORT) => Kind::Report,
            Some(MLD_QUERY) => Kind::Query,
            _ => Kind::Other,
        },
        _ => Kind::Other,
    }
}

/// Reads a whole frame with these headers.
pub fn read(frame: &[u8], h: &Headers) -> Option<Said> {
    let message = frame.get(usize::from(h.l4)..h.end as usize)?;
    let l3 = usize::from(h.l3);
    match (h.net, h.proto) {
        (Net::Ipv4, IGMP) => {
            let from = *array_at::<4>(frame, l3 + 12)?;
            (fold(sum(message)) == 0xffff).then_some(())?;
            igmp(message, from != [0; 4])
        }
        (Net::Ipv6, ICMP6) => {
            let from = u128::from_be_bytes(*array_at(frame, l3 + 8)?);
            let to = u128::from_be_bytes(*array_at(frame, l3 + 24)?);
            let len = u32::try_from(message.len()).ok()?;
            (fold(pseudo6(from, to, ICMP6, len) + sum(message)) == 0xffff).then_some(())?;
            mld(message, from != 0)
        }
        _ => None,
    }
}

fn igmp(m: &[u8], from_someone: bool) -> Option<Said> {
    let group = || Some(IpAddr::V4(Ipv4Addr::from(*array_at::<4>(m, 4)?))).filter(IpAddr::is_multicast);
    match u8_at(m, 0)? {
        IGMP_QUERY if from_someone => Some(Said::Router),
        IGMP1_REPORT | IGMP2_REPORT => Some(Said::Groups(vec![(group()?, true)])),
        IGMP2_LEAVE => Some(Said::Groups(vec![(group()?, false)])),
        IGMP3_REPORT => records(m, 4, |at| Some(IpAddr::V4(Ipv4Addr::from(*array_at::<4>(m, at)?)))),
        _ => None,
    }
}

fn mld(m: &[u8], from_someone: bool) -> Option<Said> {
    let group = |at| Some(IpAddr::V6(Ipv6Addr::from(*array_at::<16>(m, at)?)));
    let one = |wanted| Some(Said::Groups(vec![(group(8).filter(IpAddr::is_multicast)?, wanted)]));
    match u8_at(m, 0)? {
        MLD_QUERY if from_someone => Some(Said::Router),
        MLD1_REPORT => one(true),
        MLD1_DONE => one(false),
        MLD2_REPORT => records(m, 16, group),
        _ => None,
    }
}

/// The records of a report of version 3 (IGMP) or 2 (MLD); addresses are `width` bytes.
fn records(m: &[u8], width: usize, group: impl Fn(usize) -> Option<IpAddr>) -> Option<Said> {
    let n = usize::from(u16_at(m, 6)?).min(RECORDS_MAX);
    let mut at = 8;
    let mut all = Vec::new();
    for _ in 0..n {
        let (Some(kind), Some(more), Some(sources), Some(address)) = (u8_at(m, at), u8_at(m, at + 1), u16_at(m, at + 2), group(at + 4)) else { break };
        if (IS_INCLUDE..=LAST_RECORD).contains(&kind) && address.is_multicast() {
            let nobody = matches!(kind, IS_INCLUDE | TO_INCLUDE) && sources == 0;
            all.push((address, !nobody));
        }
        at += 4 + width + usize::from(sources) * width + usize::from(more) * 4;
    }
    Some(Said::Groups(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ipv4(message: &mut [u8], from: [u8; 4]) -> Vec<u8> {
        let s = !fold(sum(message));
        message[2..4].copy_from_slice(&s.to_be_bytes());
        let mut f = vec![1, 0, 0x5e, 0, 0, 1, 2, 0, 0, 0, 0, 1, 8, 0];
        let len = (20 + message.len()) as u16;
        f.extend([0x45, 0, (len >> 8) as u8, len as u8, 0, 0, 0, 0, 1, 2, 0, 0]);
        f.extend(from);
        f.extend([224, 0, 0, 1]);
        f.extend(&*message);
        f
    }

    fn said(message: &mut [u8]) -> (Kind, Option<Said>) {
        let frame = ipv4(message, [10, 0, 0, 1]);
        let h = crate::parse(&frame);
        (kind(&frame, &h), read(&frame, &h))
    }

    #[test]
    fn every_version_of_igmp_is_understood() {
        let g = IpAddr::from([239, 1, 2, 3]);
        let groups = |all: &[(IpAddr, bool)]| (Kind::Report, Some(Said::Groups(all.to_vec())));
        assert_eq!(said(&mut [0x12, 0, 0, 0, 239, 1, 2, 3]), groups(&[(g, true)]));
        assert_eq!(said(&mut [0x16, 0, 0, 0, 239, 1, 2, 3]), groups(&[(g, true)]));
        assert_eq!(said(&mut [0x17, 0, 0, 0, 239, 1, 2, 3]), groups(&[(g, false)]));
        assert_eq!(said(&mut [0x11, 0, 0, 0, 0, 0, 0, 0]), (Kind::Query, Some(Said::Router)));
        let mut v3 = [0x22, 0, 0, 0, 0, 0, 0, 2, 4, 0, 0, 0, 239, 1, 2, 3, 3, 0, 0, 0, 239, 1, 2, 4];
        assert_eq!(said(&mut v3), groups(&[(g, true), (IpAddr::from([239, 1, 2, 4]), false)]));
        assert_eq!(said(&mut [0x16, 0, 0, 0, 10, 1, 2, 3]).1, None);
    }

    #[test]
    fn nonsense_says_nothing() {
        let mut m = [0x22, 0, 0, 0, 0, 0, 0xff, 0xff, 4, 9, 0xff, 0xff, 239, 1, 2, 3];
        let whole = ipv4(&mut m, [10, 0, 0, 1]);
        for n in 14..whole.len() {
            let cut = &whole[..n];
            let _ = read(cut, &crate::parse(cut));
        }
        let mut wrong = whole.clone();
        wrong[36] ^= 1;
        assert_eq!(read(&wrong, &crate::parse(&wrong)), None);
        assert!(matches!(read(&whole, &crate::parse(&whole)), Some(Said::Groups(g)) if g.len() == 1));
    }
}
