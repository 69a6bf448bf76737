//! Forgetting connections.

use std::net::Ipv6Addr;

/// One direction of connections to forget. What is zero is not asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CtTuple {
    /// Source; IPv4 in its mapped form.
    pub src: Ipv6Addr,
    /// Destination; IPv4 in its mapped form.
    pub dst: Ipv6Addr,
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// ICMP id.
    pub icmp_id: u16,
    /// ICMP type.
    pub icmp_type: u8,
    /// ICMP code.
    pub icmp_code: u8,
}

impl Default for CtTuple {
    fn default() -> Self {
        let any = Ipv6Addr::UNSPECIFIED;
        CtTuple { src: any, dst: any, src_port: 0, dst_port: 0, icmp_id: 0, icmp_type: 0, icmp_code: 0 }
    }
}

/// `NXT_CT_FLUSH`: which connections to forget.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CtFlush {
    /// IP protocol; 0 for any.
    pub protocol: u8,
    /// Zone; `None` for all.
    pub zone: Option<u16>,
    /// As the first packet was.
    pub original: CtTuple,
    /// As answers are.
    pub reply: CtTuple,
}

impl CtFlush {
    /// Whether the addresses are IPv4. Unset ones are of no family.
    pub fn is_ipv4(&self) -> bool {
        let all = [self.original.src, self.original.dst, self.reply.src, self.reply.dst];
        all.iter().any(|a| a.to_ipv4_mapped().is_some())
    }
}
