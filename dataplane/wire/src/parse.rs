//! One pass over a frame that finds its headers.
//!
//! Purpose: offsets and kinds, so that later stations read and write fields without parsing again.
//! The rules are those of Open vSwitch with one VLAN tag looked into: a header that contradicts its
//! lengths makes what follows opaque, never wrong.
//! Invariant: every offset that a kind vouches for lies inside the bytes that were given.
//! Deliberately does not know: field values beyond what finding the next header takes.

use crate::bytes::{array_at, u16_at};
use crate::ipv6::{is_extension, AUTHENTICATION, FRAGMENT};
use crate::{arp, ethernet, icmp4, icmp6, ipv4, ipv6, nsh, pbb, sctp, tcp, udp};

/// Ethernet type reported for a frame with an 802.3 length and no SNAP header.
pub const ETH_TYPE_NONE: u16 = 0x05ff;

const ETH_TYPE_MIN: u16 = 0x0600;
const MACS_LEN: usize = 12;
const LLC_SNAP_LEN: usize = 8;
/// Most link padding behind an IP datagram that still counts as one.
const PADDING_MAX: usize = u16::MAX as usize;

/// What the network header is, where it is whole and sane.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
#[repr(u8)]
pub enum Net {
    /// None that is looked into, or one that contradicts itself.
    #[default]
    Opaque = 0,
    /// IPv4 with its options.
    Ipv4 = 1,
    /// IPv6 with its extension headers.
    Ipv6 = 2,
    /// An IPv6 header whose extension headers do not hold together: only the addresses count.
    Ipv6Broken = 3,
    /// ARP or RARP for IPv4 over Ethernet.
    Arp = 4,
    /// A network service header.
    Nsh = 5,
    /// A service instance tag of provider backbone bridges.
    Pbb = 6,
}

/// What the transport header is, where the whole of it is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
#[repr(u8)]
pub enum Transport {
    /// None: not IP, a later fragment, cut short, or a protocol that is not looked into.
    #[default]
    Opaque = 0,
    /// TCP with its options.
    Tcp = 1,
    /// UDP.
    Udp = 2,
    /// SCTP's common header.
    Sctp = 3,
    /// ICMP.
    Icmp4 = 4,
    /// ICMPv6.
    Icmp6 = 5,
    /// IGMP.
    Igmp = 6,
}

/// Where the headers of a frame are. Offsets count from the frame's first byte; 0 means "not there".
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Headers {
    /// First byte behind the IP datagram (what follows is link padding); 0 without a sane IP header.
    pub end: u32,
    /// First MPLS label stack entry.
    pub mpls: u16,
    /// Network header: behind the Ethernet type, LLC/SNAP and MPLS labels, whatever it is.
    pub l3: u16,
    /// What follows the IP header and its extension headers, also in later fragments.
    pub l4: u16,
    /// First byte behind the transport header.
    pub payload: u16,
    /// Ethernet type behind at most one VLAN tag; 0 for a frame shorter than an Ethernet header.
    pub eth_type: u16,
    /// IP protocol behind the extension headers.
    pub proto: u8,
    /// Fragment bits: 1 = any fragment, 2 = not the first one.
    pub frag: u8,
    /// Is there a VLAN tag (at offset 12)?
    pub vlan: bool,
    /// Tags behind that one that are known to be tags (see [`parse_tagged`]).
    pub more_tags: u8,
    /// What is at `l3`.
    pub net: Net,
    /// What is at `l4`.
    pub transport: Transport,
}

impl Headers {
    /// First byte behind the link layer: the MPLS stack if there is one, else the network header.
    #[inline]
    pub fn l2_end(&self) -> u16 {
        if self.mpls != 0 {
            self.mpls
        } else {
            self.l3
        }
    }

    /// Is the network header IPv4 or IPv6, with everything in front of `l4` sane?
    #[inline]
    pub fn is_ip(&self) -> bool {
        matches!(self.net, Net::Ipv4 | Net::Ipv6)
    }
}

/// Is this the Ethernet type of a VLAN tag?
#[inline]
pub const fn is_vlan(eth_type: u16) -> bool {
    matches!(eth_type, ethernet::VLAN | ethernet::SERVICE_VLAN)
}

/// Is this the Ethernet type of an MPLS label stack?
#[inline]
pub const fn is_mpls(eth_type: u16) -> bool {
    matches!(eth_type, ethernet::MPLS | ethernet::MPLS_MULTICAST)
}

/// Finds the headers of a frame that `head` holds whole.
#[inline]
pub fn parse(head: &[u8]) -> Headers {
    parse_part(head, head.len())
}

/// Finds the headers of a frame of `frame_len` bytes of which `head` is the beginning.
///
/// Length fields are judged against the whole frame; a header that is not inside `head` counts as not there.
pub fn parse_part(head: &[u8], frame_len: usize) -> Headers {
    let mut h = Headers::default();
    // Offsets are 16 bits wide: headers further in than that are not looked for.
    let head = head.get(..usize::from(u16::MAX)).unwrap_or(head);
    let mut c = Cursor { head, at: 0, left: frame_len.max(head.len()) };
    let _ = link(&mut c, &mut h).and_then(|()| network(&mut c, &mut h));
    h
}

/// Finds the headers of the network packet at `l3` of a frame, as if its link layer said `eth_type`.
pub fn parse_network(head: &[u8], frame_len: usize, l3: usize, eth_type: u16) -> Headers {
    let mut h = Headers { eth_type, ..Headers::default() };
    let head = head.get(..usize::from(u16::MAX)).unwrap_or(head);
    let left = frame_len.max(head.len()).saturating_sub(l3);
    let mut c = Cursor { head, at: l3, left };
    if let Some(at) = c.offset() {
        h.l3 = at;
        let _ = network(&mut c, &mut h);
    }
    h
}

/// Finds the headers of a frame that is known to have so many VLAN tags, neither more nor fewer.
pub fn parse_tagged(head: &[u8], frame_len: usize, tags: u8) -> Headers {
    let mut h = Headers { vlan: tags != 0, more_tags: tags.saturating_sub(1), ..Headers::default() };
    let head = head.get(..usize::from(u16::MAX)).unwrap_or(head);
    let mut c = Cursor { head, at: 0, left: frame_len.max(head.len()) };
    let skipped = c.skip(MACS_LEN + usize::from(tags) * 4);
    let _ = skipped.and_then(|()| behind_tags(&mut c, &mut h)).and_then(|()| network(&mut c, &mut h));
    h
}

/// A place in the frame and how many bytes the headers so far leave.
struct Cursor<'a> {
    head: &'a [u8],
    at: usize,
    left: usize,
}

impl<'a> Cursor<'a> {
    #[inline(always)]
    fn peek<const N: usize>(&self) -> Option<&'a [u8; N]> {
        if self.left < N {
            return None;
        }
        array_at(self.head, self.at)
    }

    #[inline(always)]
    fn skip(&mut self, n: usize) -> Option<()> {
        self.left = self.left.checked_sub(n)?;
        self.at = self.at.saturating_add(n);
        Some(())
    }

    /// The place as an offset, if the bytes before it are all in `head`.
    #[inline(always)]
    fn offset(&self) -> Option<u16> {
        if self.at > self.head.len() {
            return None;
        }
        u16::try_from(self.at).ok()
    }
}

#[inline(always)]
fn link(c: &mut Cursor, h: &mut Headers) -> Option<()> {
    c.peek::<{ ethernet::LEN }>()?;
    c.skip(MACS_LEN)?;
    if let Some(&[t0, t1, _, _, _, _]) = c.peek::<6>() {
        if is_vlan(u16::from_be_bytes([t0, t1])) {
            h.vlan = true;
            c.skip(4)?;
        }
    }
    behind_tags(c, h)
}

#[inline(always)]
fn behind_tags(c: &mut Cursor, h: &mut Headers) -> Option<()> {
    h.eth_type = ethernet_type(c)?;
    if is_mpls(h.eth_type) {
        h.mpls = c.offset()?;
        labels(c)?;
    }
    h.l3 = c.offset()?;
    Some(())
}

#[inline(always)]
fn ethernet_type(c: &mut Cursor) -> Option<u16> {
    let eth_type = u16::from_be_bytes(*c.peek()?);
    c.skip(2)?;
    if eth_type >= ETH_TYPE_MIN {
        return Some(eth_type);
    }
    if let Some(&[0xaa, 0xaa, 3, 0, 0, 0, t0, t1]) = c.peek::<LLC_SNAP_LEN>() {
        c.skip(LLC_SNAP_LEN)?;
        let snap = u16::from_be_bytes([t0, t1]);
        if snap >= ETH_TYPE_MIN {
            return Some(snap);
        }
    }
    Some(ETH_TYPE_NONE)
}

/// Steps over a label stack up to and including its bottom.
fn labels(c: &mut Cursor) -> Option<()> {
    while let Some(&[_, _, bottom, _]) = c.peek() {
        c.skip(4)?;
        if bottom & 1 != 0 {
            break;
        }
    }
    Some(())
}

#[inline(always)]
fn network(c: &mut Cursor, h: &mut Headers) -> Option<()> {
    match h.eth_type {
        ethernet::IPV4 => ipv4_header(c, h)?,
        ethernet::IPV6 => ipv6_header(c, h)?,
        ethernet::ARP | ethernet::RARP => return arp_packet(c, h),
        ethernet::NSH | ethernet::SERVICE_INSTANCE => return service(c, h),
        _ => return None,
    }
    h.l4 = c.offset()?;
    if h.frag & 2 == 0 {
        transport(c, h)?;
    }
    Some(())
}

#[inline(always)]
fn ipv4_header(c: &mut Cursor, h: &mut Headers) -> Option<()> {
    let &[version_ihl, _, len0, len1, _, _, frag0, frag1, _, proto, ..] = c.peek::<{ ipv4::LEN }>()?;
    let header = usize::from(version_ihl & 0xf) * 4;
    let total = usize::from(u16::from_be_bytes([len0, len1]));
    if header < ipv4::LEN || header > total || total > c.left || c.left - total > PADDING_MAX {
        return None;
    }
    let frag = u16::from_be_bytes([frag0, frag1]);
    c.left = total;
    h.end = (c.at + total) as u32;
    h.net = Net::Ipv4;
    h.proto = proto;
    h.frag = if frag & 0x1fff != 0 {
        3
    } else {
        u8::from(frag & 0x2000 != 0)
    };
    c.skip(header)
}

#[inline(always)]
fn ipv6_header(c: &mut Cursor, h: &mut Headers) -> Option<()> {
    let &[_, _, _, _, len0, len1, next, ..] = c.peek::<{ ipv6::LEN }>()?;
    let payload = usize::from(u16::from_be_bytes([len0, len1]));
    c.skip(ipv6::LEN)?;
    if payload > c.left || c.left - payload > PADDING_MAX {
        return None;
    }
    c.left = payload;
    h.end = (c.at + payload) as u32;
    h.net = Net::Ipv6;
    h.proto = next;
    if is_extension(next) && extensions(c, h).is_none() {
        h.net = Net::Ipv6Broken;
        h.proto = 0;
        h.frag = 0;
        return None;
    }
    Some(())
}

/// Steps over IPv6 extension headers; `None` when one of them does not fit.
fn extensions(c: &mut Cursor, h: &mut Headers) -> Option<()> {
    while is_extension(h.proto) {
        let &[next, len, off0, off1, ..] = c.peek::<8>()?;
        match h.proto {
            FRAGMENT => {
                c.skip(8)?;
                h.proto = next;
                let offset_and_flags = u16::from_be_bytes([off0, off1]);
                if offset_and_flags & 0xfff8 != 0 {
                    h.frag = 3;
                    h.proto = FRAGMENT;
                    return Some(());
                }
                if offset_and_flags != 0 {
                    h.frag = 1;
                }
            }
            AUTHENTICATION => {
                c.skip((usize::from(len) + 2) * 4)?;
                h.proto = next;
            }
            _ => {
                c.skip((usize::from(len) + 1) * 8)?;
                h.proto = next;
            }
        }
    }
    Some(())
}

#[inline(always)]
fn arp_packet(c: &mut Cursor, h: &mut Headers) -> Option<()> {
    // Ethernet, IPv4, six-byte and four-byte addresses.
    let &[0, 1, 8, 0, 6, 4, ..] = c.peek::<{ arp::LEN }>()? else { return None };
    h.net = Net::Arp;
    Some(())
}

/// A header in front of a whole other packet, which is not looked into.
fn service(c: &mut Cursor, h: &mut Headers) -> Option<()> {
    let bytes = c.head.get(c.at..)?;
    h.net = match h.eth_type {
        ethernet::NSH => nsh::Header::read(bytes, c.left).map(|_| Net::Nsh)?,
        _ if c.left < pbb::LEN => return None,
        _ => pbb::Tag::read(bytes).map(|_| Net::Pbb)?,
    };
    Some(())
}

#[inline(always)]
fn transport(c: &mut Cursor, h: &mut Headers) -> Option<()> {
    let (kind, len) = match h.proto {
        ipv4::TCP => (Transport::Tcp, tcp_len(c)?),
        ipv4::UDP => (Transport::Udp, udp::LEN),
        ipv4::SCTP => (Transport::Sctp, sctp::LEN),
        ipv4::ICMP => (Transport::Icmp4, icmp4::LEN),
        ipv4::IGMP => (Transport::Igmp, icmp4::LEN),
        ipv6::ICMP6 => (Transport::Icmp6, icmp6::LEN),
        _ => return None,
    };
    c.skip(len)?;
    h.payload = c.offset()?;
    h.transport = kind;
    Some(())
}

#[inline(always)]
fn tcp_len(c: &Cursor) -> Option<usize> {
    c.peek::<{ tcp::LEN }>()?;
    let offset_and_flags = u16_at(c.head, c.at + 12)?;
    let len = usize::from(offset_and_flags >> 12) * 4;
    (len >= tcp::LEN).then_some(len)
}
