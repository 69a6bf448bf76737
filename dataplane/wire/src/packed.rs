//! Headers in two words, for batches: a value that travels in registers.
//!
//! Purpose: a struct of many small fields is written in small pieces and moved in large ones, which
//! stalls the processor for each frame; two whole words do not.
//! Invariant: unpacking gives back what was packed, as it is found in a frame (where no more than one tag is known). Deliberately does not know: frames.

use crate::{Headers, Net, Transport};

const VLAN: u64 = 1 << 31;

/// [`Headers`] in two words.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PackedHeaders {
    /// end 31 | vlan 1 | mpls 16 | l3 16, from the low bits up.
    low: u64,
    /// l4 16 | payload 16 | type 16 | protocol 8 | fragment 2 | net 3 | transport 3.
    high: u64,
}

impl From<Headers> for PackedHeaders {
    #[inline(always)]
    fn from(h: Headers) -> Self {
        let low = u64::from(h.end) & (VLAN - 1) | u64::from(h.vlan) << 31 | u64::from(h.mpls) << 32 | u64::from(h.l3) << 48;
        let kinds = u64::from(h.frag & 3) | (h.net as u64) << 2 | (h.transport as u64) << 5;
        let high = u64::from(h.l4)
            | u64::from(h.payload) << 16
            | u64::from(h.eth_type) << 32
            | u64::from(h.proto) << 48
            | kinds << 56;
        PackedHeaders { low, high }
    }
}

impl PackedHeaders {
    /// The headers again.
    #[inline]
    pub fn unpack(self) -> Headers {
        let (low, high) = (self.low, self.high);
        Headers {
            end: (low & (VLAN - 1)) as u32,
            mpls: (low >> 32) as u16,
            l3: (low >> 48) as u16,
            l4: high as u16,
            payload: (high >> 16) as u16,
            eth_type: (high >> 32) as u16,
            proto: (high >> 48) as u8,
            frag: (high >> 56) as u8 & 3,
            vlan: low & VLAN != 0,
            more_tags: 0,
            net: self.net(),
            transport: transport((high >> 61) as u8),
        }
    }

    /// Where the network header is.
    #[inline(always)]
    pub fn l3(self) -> usize {
        (self.low >> 48) as usize
    }

    /// Where the transport header is; 0 for none.
    #[inline(always)]
    pub fn l4(self) -> usize {
        self.high as usize & 0xffff
    }

    /// Where the transport's payload is.
    #[inline(always)]
    pub fn payload(self) -> usize {
        (self.high >> 16) as usize & 0xffff
    }

    /// End of the datagram.
    #[inline(always)]
    pub fn end(self) -> usize {
        (self.low & (VLAN - 1)) as usize
    }

    /// Of TCP or UDP over IPv4 that is no fragment: is it TCP? `None` for any other frame.
    #[inline(always)]
    pub fn is_plain_tcp(self) -> Option<bool> {
        const TCP: u64 = (Net::Ipv4 as u64) << 2 | (Transport::Tcp as u64) << 5;
        const UDP: u64 = (Net::Ipv4 as u64) << 2 | (Transport::Udp as u64) << 5;
        match self.high >> 56 {
            TCP => Some(true),
            UDP => Some(false),
            _ => None,
        }
    }

    /// What the network header is.
    #[inline]
    pub fn net(self) -> Net {
        match (self.high >> 58) & 7 {
            1 => Net::Ipv4,
            2 => Net::Ipv6,
            3 => Net::Ipv6Broken,
            4 => Net::Arp,
            5 => Net::Nsh,
            6 => Net::Pbb,
            _ => Net::Opaque,
        }
    }

    /// Has the frame fields that only the wide words of a flow key hold: IPv6, ARP, MPLS and the like?
    #[inline(always)]
    pub fn has_wide_fields(self) -> bool {
        (self.high >> 58) & 7 > Net::Ipv4 as u64 || self.low & 0xffff_0000_0000 != 0
    }
}

fn transport(bits: u8) -> Transport {
    match bits {
        1 => Transport::Tcp,
        2 => Transport::Udp,
        3 => Transport::Sctp,
        4 => Transport::Icmp4,
        5 => Transport::Icmp6,
        6 => Transport::Igmp,
        _ => Transport::Opaque,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_header_comes_back_whole() {
        let nets = [Net::Opaque, Net::Ipv4, Net::Ipv6, Net::Ipv6Broken, Net::Arp, Net::Nsh, Net::Pbb];
        let kinds = [
            Transport::Opaque,
            Transport::Tcp,
            Transport::Udp,
            Transport::Sctp,
            Transport::Icmp4,
            Transport::Icmp6,
            Transport::Igmp,
        ];
        for (i, net) in nets.into_iter().enumerate() {
            for (j, kind) in kinds.into_iter().enumerate() {
                let h = Headers {
                    more_tags: 0,
                    end: 65_599 + i as u32,
                    mpls: (i * 18) as u16,
                    l3: 14 + j as u16,
                    l4: 0xfffe,
                    payload: 0xffff,
                    eth_type: 0x86dd,
                    proto: 0xfd,
                    frag: (i + 3) as u8 % 4,
                    vlan: j % 2 == 0,
                    net,
                    transport: kind,
                };
                let p = PackedHeaders::from(h);
                assert_eq!(p.unpack(), h);
                assert_eq!((p.l3(), p.l4(), p.payload(), p.end()), (h.l3.into(), h.l4.into(), h.payload.into(), h.end as usize));
                let plain = h.net == Net::Ipv4 && h.frag == 0 && matches!(kind, Transport::Tcp | Transport::Udp);
                assert_eq!(p.is_plain_tcp(), plain.then_some(kind == Transport::Tcp));
                assert_eq!(p.has_wide_fields(), h.mpls != 0 || !matches!(h.net, Net::Ipv4 | Net::Opaque));
            }
        }
    }
}
