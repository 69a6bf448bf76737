//! From the kernel's messages to [`Change`]s.
//!
//! Invariant: a message that is cut off, of another family or of another table gives no change.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::message::{attributes, u16_at, u32_at, Message, NLM_F_REPLACE};
use super::prefix::Prefix;
use super::tables::{Address, Change, Link, Neighbour, Route, RouteKind};

const TABLE_MAIN: u32 = 254;
const INET: u8 = libc::AF_INET as u8;
const INET6: u8 = libc::AF_INET6 as u8;
/// A route whose link is gone or unusable.
const ROUTE_DEAD: u32 = 1;
/// States in which a neighbour's address is known and believed.
const NEIGHBOUR_USABLE: u16 = 0x02 | 0x04 | 0x08 | 0x10 | 0x40 | 0x80;

/// Reads one message of the route family.
pub(super) fn change(m: &Message<'_>) -> Option<Change> {
    match m.kind {
        libc::RTM_NEWLINK => link(m.body).map(Change::Link),
        libc::RTM_DELLINK => link(m.body).map(|l| Change::LinkGone(l.index)),
        libc::RTM_NEWADDR => address(m.body).map(Change::Address),
        libc::RTM_DELADDR => address(m.body).map(Change::AddressGone),
        libc::RTM_NEWROUTE => {
            route(m.body).map(|route| Change::Route { route, replace: m.flags & NLM_F_REPLACE != 0 })
        }
        libc::RTM_DELROUTE => route(m.body).map(Change::RouteGone),
        libc::RTM_NEWNEIGH => neighbour(m.body).map(Change::Neighbour),
        libc::RTM_DELNEIGH => neighbour(m.body).map(|n| Change::Neighbour(Neighbour { mac: None, ..n })),
        _ => None,
    }
}

/// `ifinfomsg`, then attributes.
fn link(body: &[u8]) -> Option<Link> {
    let family = *body.first()?;
    if family != libc::AF_UNSPEC as u8 {
        // Bridge ports are told a second time, as such.
        return None;
    }
    let flags = u32_at(body, 8)? as i32;
    let mut l = Link {
        index: u32_at(body, 4)?,
        name: String::new(),
        mac: [0; 6],
        mtu: 0,
        up: flags & libc::IFF_UP != 0,
        running: flags & libc::IFF_RUNNING != 0 && flags & libc::IFF_UP != 0,
        kind: None,
        master: None,
        alias: None,
    };
    for (kind, value) in attributes(body.get(16..)?) {
        match kind {
            libc::IFLA_IFNAME => l.name = text(value),
            libc::IFLA_ADDRESS => l.mac = value.try_into().unwrap_or([0; 6]),
            libc::IFLA_MTU => l.mtu = u32_at(value, 0)?,
            libc::IFLA_IFALIAS => l.alias = Some(text(value)),
            libc::IFLA_MASTER => l.master = u32_at(value, 0),
            libc::IFLA_LINKINFO => {
                l.kind = attributes(value).find(|(k, _)| *k == libc::IFLA_INFO_KIND).map(|(_, v)| text(v));
            }
            _ => {}
        }
    }
    (!l.name.is_empty()).then_some(l)
}

/// `ifaddrmsg`, then attributes.
fn address(body: &[u8]) -> Option<Address> {
    let (family, length) = (*body.first()?, *body.get(1)?);
    let link = u32_at(body, 4)?;
    let (mut local, mut other) = (None, None);
    for (kind, value) in attributes(body.get(8..)?) {
        match kind {
            libc::IFA_LOCAL => local = ip(family, value),
            libc::IFA_ADDRESS => other = ip(family, value),
            _ => {}
        }
    }
    // On a point-to-point link IFA_ADDRESS is the other end.
    Some(Address { link, address: local.or(other)?, length })
}

/// `rtmsg`, then attributes.
fn route(body: &[u8]) -> Option<Route> {
    let family = *body.first()?;
    let (length, source_length, tos) = (*body.get(1)?, *body.get(2)?, *body.get(3)?);
    let mut table = u32::from(*body.get(4)?);
    let kind = match *body.get(7)? {
        libc::RTN_UNICAST => RouteKind::Unicast,
        libc::RTN_BLACKHOLE | libc::RTN_UNREACHABLE | libc::RTN_PROHIBIT => RouteKind::Refuse,
        libc::RTN_THROW => RouteKind::Skip,
        _ => return None,
    };
    if u32_at(body, 8)? & ROUTE_DEAD != 0 || source_length != 0 {
        return None;
    }
    let mut r = Route { prefix: Prefix::new(unspecified(family)?, length), metric: 0, tos, kind, link: 0, gateway: None, source: None };
    for (attribute, value) in attributes(body.get(12..)?) {
        match attribute {
            libc::RTA_DST => r.prefix = Prefix::new(ip(family, value)?, length),
            libc::RTA_PRIORITY => r.metric = u32_at(value, 0)?,
            libc::RTA_TABLE => table = u32_at(value, 0)?,
            libc::RTA_OIF => r.link = u32_at(value, 0)?,
            libc::RTA_GATEWAY => r.gateway = ip(family, value),
            libc::RTA_VIA => r.gateway = via(value),
            libc::RTA_PREFSRC => r.source = ip(family, value),
            libc::RTA_MULTIPATH => (r.link, r.gateway) = first_hop(family, value)?,
            _ => {}
        }
    }
    (table == TABLE_MAIN && (r.link != 0 || kind != RouteKind::Unicast)).then_some(r)
}

/// The first usable hop of a route over several (`rtnexthop`s, each with attributes).
fn first_hop(family: u8, mut hops: &[u8]) -> Option<(u32, Option<IpAddr>)> {
    loop {
        let length = usize::from(u16_at(hops, 0)?);
        let hop = hops.get(..length).filter(|h| h.len() >= 8)?;
        let dead = u32::from(*hop.get(2)?) & ROUTE_DEAD != 0;
        if !dead {
            let mut gateway = None;
            for (kind, value) in attributes(hop.get(8..)?) {
                match kind {
                    libc::RTA_GATEWAY => gateway = ip(family, value),
                    libc::RTA_VIA => gateway = via(value),
                    _ => {}
                }
            }
            return Some((u32_at(hop, 4)?, gateway));
        }
        hops = hops.get(length.next_multiple_of(4)..)?;
    }
}

/// `ndmsg`, then attributes.
fn neighbour(body: &[u8]) -> Option<Neighbour> {
    let family = *body.first()?;
    let (link, state) = (u32_at(body, 4)?, u16_at(body, 8)?);
    let (mut address, mut mac) = (None, None);
    for (kind, value) in attributes(body.get(12..)?) {
        match kind {
            libc::NDA_DST => address = ip(family, value),
            libc::NDA_LLADDR => mac = value.try_into().ok(),
            _ => {}
        }
    }
    Some(Neighbour { link, address: address?, mac: mac.filter(|_| state & NEIGHBOUR_USABLE != 0) })
}

fn via(value: &[u8]) -> Option<IpAddr> {
    ip(u16_at(value, 0)? as u8, value.get(2..)?)
}

fn ip(family: u8, value: &[u8]) -> Option<IpAddr> {
    match family {
        INET => <[u8; 4]>::try_from(value).ok().map(|b| Ipv4Addr::from(b).into()),
        INET6 => <[u8; 16]>::try_from(value).ok().map(|b| Ipv6Addr::from(b).into()),
        _ => None,
    }
}

fn unspecified(family: u8) -> Option<IpAddr> {
    match family {
        INET => Some(Ipv4Addr::UNSPECIFIED.into()),
        INET6 => Some(Ipv6Addr::UNSPECIFIED.into()),
        _ => None,
    }
}

fn text(value: &[u8]) -> String {
    let end = value.iter().position(|b| *b == 0).unwrap_or(value.len());
    String::from_utf8_lossy(value.get(..end).unwrap_or(value)).into_owned()
}
