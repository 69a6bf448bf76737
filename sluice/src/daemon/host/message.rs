//! Rtnetlink messages.
//!
//! Purpose: bytes from the kernel become [`Update`]s; requests become bytes.
//! Invariant: total; any bytes give updates or are skipped, nothing is read beyond a stated length.
//! Deliberately does not know: sockets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Kernel's number.
    pub index: u32,
    /// Name.
    pub name: String,
    /// Hardware address, where it is an Ethernet one.
    pub mac: Option<[u8; 6]>,
    /// Largest packet.
    pub mtu: u32,
    /// Administratively up.
    pub up: bool,
    /// Has a carrier.
    pub carrier: bool,
}

/// An address of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// The device.
    pub index: u32,
    /// The address.
    pub address: IpAddr,
    /// Prefix length.
    pub prefix_len: u8,
}

/// A unicast route of the main table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Route {
    /// Destination.
    pub prefix: IpAddr,
    /// Prefix length.
    pub prefix_len: u8,
    /// The device it leaves by.
    pub index: u32,
    /// Next hop.
    pub gateway: Option<IpAddr>,
    /// Preferred source.
    pub source: Option<IpAddr>,
    /// Smaller wins.
    pub metric: u32,
}

/// A neighbour whose hardware address is known and valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// The device.
    pub index: u32,
    /// Its address.
    pub address: IpAddr,
    /// Its hardware address; `None` when it is not (or no more) known.
    pub mac: Option<[u8; 6]>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// A device came or changed.
    Link(Link),
    /// A device went.
    LinkGone(u32),
    /// An address came.
    Address(Address),
    /// An address went.
    AddressGone(Address),
    /// A route came.
    Route(Route),
    /// A route went.
    RouteGone(Route),
    /// A neighbour came, changed or went.
    Neighbour(Neighbour),
    /// The dump that was asked for is complete.
    Done,
    /// The dump that was asked for must be asked for again.
    Interrupted,
    /// The kernel refused a request, with this (positive) error number.
    Refused(i32),
}

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_GETROUTE: u16 = 26;
const RTM_NEWNEIGH: u16 = 28;
const RTM_DELNEIGH: u16 = 29;
const RTM_GETNEIGH: u16 = 30;

const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_CREATE: u16 = 0x400;

const IFF_UP: u32 = 1;
const IFF_LOWER_UP: u32 = 1 << 16;
const ARPHRD_ETHER: u16 = 1;
const RT_TABLE_MAIN: u32 = 254;
const RTN_UNICAST: u8 = 1;
/// Incomplete and failed neighbours have no valid address.
const NUD_VALID: u16 = 0x02 | 0x04 | 0x08 | 0x10 | 0x40 | 0x80;
const NTF_USE: u8 = 1;

const HEADER_LEN: usize = 16;

/// What is asked for, in the order in which it has to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dump {
    /// Devices.
    Links,
    /// Addresses.
    Addresses,
    /// Routes.
    Routes,
    /// Neighbours.
    Neighbours,
}

impl Dump {
    /// What to ask for after this.
    pub const fn next(self) -> Option<Dump> {
        match self {
            Dump::Links => Some(Dump::Addresses),
            Dump::Addresses => Some(Dump::Routes),
            Dump::Routes => Some(Dump::Neighbours),
            Dump::Neighbours => None,
        }
    }
}

/// The request for a dump.
pub fn dump_request(dump: Dump, sequence: u32) -> Vec<u8> {
    let (kind, body_len) = match dump {
        Dump::Links => (RTM_GETLINK, 16),
        Dump::Addresses => (RTM_GETADDR, 8),
        Dump::Routes => (RTM_GETROUTE, 12),
        Dump::Neighbours => (RTM_GETNEIGH, 12),
    };
    request(kind, NLM_F_REQUEST | NLM_F_DUMP, sequence, &vec![0; body_len])
}

/// Asks the kernel to find out a neighbour's hardware address, as if it had a packet for it.
pub fn resolve_request(index: u32, address: IpAddr, sequence: u32) -> Vec<u8> {
    let octets = match address {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    };
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 } as u8;
    let mut body = vec![family, 0, 0, 0];
    body.extend_from_slice(&index.to_ne_bytes());
    body.extend_from_slice(&[0, 0, NTF_USE, 0]);
    body.extend_from_slice(&(4 + octets.len() as u16).to_ne_bytes());
    body.extend_from_slice(&1u16.to_ne_bytes());
    body.extend_from_slice(&octets);
    request(RTM_NEWNEIGH, NLM_F_REQUEST | NLM_F_CREATE, sequence, &body)
}

fn request(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_LEN + body.len());
    bytes.extend_from_slice(&((HEADER_LEN + body.len()) as u32).to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&flags.to_ne_bytes());
    bytes.extend_from_slice(&sequence.to_ne_bytes());
    bytes.extend_from_slice(&0u32.to_ne_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// Reads every message of a datagram.
pub fn parse(mut bytes: &[u8]) -> Vec<Update> {
    let mut updates = Vec::new();
    while let Some((kind, flags, body, rest)) = split(bytes) {
        if flags & NLM_F_DUMP_INTR != 0 {
            updates.push(Update::Interrupted);
        }
        updates.extend(one(kind, body));
        bytes = rest;
    }
    updates
}

fn split(bytes: &[u8]) -> Option<(u16, u16, &[u8], &[u8])> {
    let length = u32_at(bytes, 0)? as usize;
    let body = bytes.get(HEADER_LEN..length)?;
    let rest = bytes.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    Some((u16_at(bytes, 4)?, u16_at(bytes, 6)?, body, rest))
}

fn one(kind: u16, body: &[u8]) -> Option<Update> {
    match kind {
        NLMSG_DONE => Some(Update::Done),
        NLMSG_ERROR => match (u32_at(body, 0)? as i32).wrapping_neg() {
            0 => None,
            error => Some(Update::Refused(error)),
        },
        RTM_NEWLINK => link(body).map(Update::Link),
        RTM_DELLINK => Some(Update::LinkGone(u32_at(body, 4)?)),
        RTM_NEWADDR => address(body).map(Update::Address),
        RTM_DELADDR => address(body).map(Update::AddressGone),
        RTM_NEWROUTE => route(body).map(Update::Route),
        RTM_DELROUTE => route(body).map(Update::RouteGone),
        RTM_NEWNEIGH => neighbour(body, true).map(Update::Neighbour),
        RTM_DELNEIGH => neighbour(body, false).map(Update::Neighbour),
        _ => None,
    }
}

fn link(body: &[u8]) -> Option<Link> {
    let flags = u32_at(body, 8)?;
    let mut link = Link {
        index: u32_at(body, 4)?,
        name: String::new(),
        mac: None,
        mtu: 0,
        up: flags & IFF_UP != 0,
        carrier: flags & IFF_LOWER_UP != 0,
    };
    let ethernet = u16_at(body, 2)? == ARPHRD_ETHER;
    for (kind, value) in Attributes(body.get(16..)?) {
        match kind {
            1 if ethernet => link.mac = value.try_into().ok(),
            3 => link.name = String::from_utf8_lossy(value.strip_suffix(&[0]).unwrap_or(value)).into_owned(),
            4 => link.mtu = u32_at(value, 0)?,
            _ => {}
        }
    }
    Some(link)
}

fn address(body: &[u8]) -> Option<Address> {
    let (mut peer, mut local) = (None, None);
    for (kind, value) in Attributes(body.get(8..)?) {
        match kind {
            1 => peer = ip(value),
            2 => local = ip(value),
            _ => {}
        }
    }
    // On a point-to-point link the first is the other end's.
    Some(Address { index: u32_at(body, 4)?, address: local.or(peer)?, prefix_len: *body.get(1)? })
}

fn route(body: &[u8]) -> Option<Route> {
    let family = *body.first()?;
    let unspecified: IpAddr = match i32::from(family) {
        libc::AF_INET => Ipv4Addr::UNSPECIFIED.into(),
        libc::AF_INET6 => Ipv6Addr::UNSPECIFIED.into(),
        _ => return None,
    };
    let mut table = u32::from(*body.get(4)?);
    let mut index = None;
    let mut route = Route {
        prefix: unspecified,
        prefix_len: *body.get(1)?,
        index: 0,
        gateway: None,
        source: None,
        metric: 0,
    };
    for (kind, value) in Attributes(body.get(12..)?) {
        match kind {
            1 => route.prefix = ip(value)?,
            4 => index = u32_at(value, 0),
            5 => route.gateway = ip(value),
            6 => route.metric = u32_at(value, 0)?,
            7 => route.source = ip(value),
            9 => first_hop(value, &mut index, &mut route.gateway),
            15 => table = u32_at(value, 0)?,
            _ => {}
        }
    }
    route.index = index?;
    let ours = table == RT_TABLE_MAIN && *body.get(7)? == RTN_UNICAST;
    ours.then_some(route)
}

/// The first of several next hops: one path is enough to reach a peer.
fn first_hop(value: &[u8], index: &mut Option<u32>, gateway: &mut Option<IpAddr>) {
    let Some(length) = u16_at(value, 0) else { return };
    *index = u32_at(value, 4);
    let attributes = value.get(8..usize::from(length)).unwrap_or(&[]);
    *gateway = Attributes(attributes).find(|(kind, _)| *kind == 5).and_then(|(_, v)| ip(v));
}

fn neighbour(body: &[u8], present: bool) -> Option<Neighbour> {
    let valid = present && u16_at(body, 8)? & NUD_VALID != 0;
    let (mut address, mut mac) = (None, None);
    for (kind, value) in Attributes(body.get(12..)?) {
        match kind {
            1 => address = ip(value),
            2 => mac = value.try_into().ok(),
            _ => {}
        }
    }
    Some(Neighbour { index: u32_at(body, 4)?, address: address?, mac: mac.filter(|_| valid) })
}

/// Type and value of each attribute.
struct Attributes<'a>(&'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        const NESTED_OR_ORDERED: u16 = 0xc000;
        let length = usize::from(u16_at(self.0, 0)?);
        let kind = u16_at(self.0, 2)? & !NESTED_OR_ORDERED;
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some((kind, value))
    }
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(value) {
        return Some(IpAddr::from(octets));
    }
    <[u8; 16]>::try_from(value).ok().map(IpAddr::from)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = ((4 + value.len()) as u16).to_ne_bytes().to_vec();
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn default_route() -> Vec<u8> {
        let mut body = vec![libc::AF_INET as u8, 0, 0, 0, 254, 0, 0, 1, 0, 0, 0, 0];
        body.extend(attribute(15, &254u32.to_ne_bytes()));
        body.extend(attribute(5, &[192, 0, 2, 254]));
        body.extend(attribute(4, &7u32.to_ne_bytes()));
        request(RTM_NEWROUTE, 0, 1, &body)
    }

    #[test]
    fn a_default_route_has_a_gateway_and_a_device() {
        let expected = Route {
            prefix: Ipv4Addr::UNSPECIFIED.into(),
            prefix_len: 0,
            index: 7,
            gateway: Some(IpAddr::from([192, 0, 2, 254])),
            source: None,
            metric: 0,
        };
        assert_eq!(parse(&default_route()), [Update::Route(expected)]);
    }

    #[test]
    fn a_link_has_a_name_without_its_terminator() {
        let mut body = vec![0, 0];
        body.extend_from_slice(&ARPHRD_ETHER.to_ne_bytes());
        body.extend_from_slice(&3u32.to_ne_bytes());
        body.extend_from_slice(&(IFF_UP | IFF_LOWER_UP).to_ne_bytes());
        body.extend_from_slice(&[0; 4]);
        body.extend(attribute(3, b"eth0\0"));
        body.extend(attribute(1, &[2, 0, 0, 0, 0, 1]));
        body.extend(attribute(4, &1500u32.to_ne_bytes()));
        let link = Link {
            index: 3,
            name: "eth0".into(),
            mac: Some([2, 0, 0, 0, 0, 1]),
            mtu: 1500,
            up: true,
            carrier: true,
        };
        assert_eq!(parse(&request(RTM_NEWLINK, 0, 1, &body)), [Update::Link(link)]);
    }

    #[test]
    fn several_messages_share_a_datagram() {
        let mut bytes = default_route();
        bytes.extend(request(NLMSG_DONE, 0, 1, &[0; 4]));
        assert_eq!(parse(&bytes).last(), Some(&Update::Done));
    }

    #[test]
    fn what_is_cut_short_is_skipped() {
        let whole = default_route();
        for length in 0..whole.len() {
            assert!(parse(&whole[..length]).is_empty(), "{length}");
        }
        for at in 0..whole.len() {
            for bits in [0x01, 0x80, 0xff] {
                let mut broken = whole.clone();
                broken[at] ^= bits;
                let _ = parse(&broken);
            }
        }
    }
}
