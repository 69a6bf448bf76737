//! What the daemon asks the kernel to change: addresses, and the resolution of a neighbour.
//!
//! Links are changed through [`crate::Device`].

use std::io;
use std::net::IpAddr;

use super::error::NetlinkError;
use super::host::{error_of, receive, send};
use super::message::{messages, u32_at, Request, NLMSG_ERROR, NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE};
use super::tables::Address;
use super::Host;

const NEIGHBOUR_USE: u8 = 1;
const NUD_NONE: u16 = 0;

impl Host {
    /// Gives a link an address; one that it has already is left as it is.
    pub fn add_address(&mut self, address: Address) -> Result<(), NetlinkError> {
        self.address(libc::RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, address)
            .map_err(|e| NetlinkError::new(format!("add address {}/{}", address.address, address.length), e))
    }

    /// Takes an address from a link.
    pub fn remove_address(&mut self, address: Address) -> Result<(), NetlinkError> {
        self.address(libc::RTM_DELADDR, 0, address)
            .map_err(|e| NetlinkError::new(format!("remove address {}/{}", address.address, address.length), e))
    }

    /// Has the kernel find out who has an address on a link; the answer comes as a change.
    pub fn request_neighbour(&mut self, link: u32, address: IpAddr) -> Result<(), NetlinkError> {
        let (family, bytes) = family_and_bytes(address);
        let mut fixed = [0u8; 12];
        fixed[0] = family;
        fixed[4..8].copy_from_slice(&link.to_ne_bytes());
        fixed[8..10].copy_from_slice(&NUD_NONE.to_ne_bytes());
        fixed[10] = NEIGHBOUR_USE;
        let request = self.request(libc::RTM_NEWNEIGH, NLM_F_CREATE, &fixed).attribute(libc::NDA_DST, &bytes);
        self.acknowledged(request).map_err(|e| NetlinkError::new(format!("resolve neighbour {address}"), e))
    }

    fn address(&mut self, kind: u16, flags: u16, a: Address) -> io::Result<()> {
        let (family, bytes) = family_and_bytes(a.address);
        let mut fixed = [0u8; 8];
        (fixed[0], fixed[1]) = (family, a.length);
        fixed[4..8].copy_from_slice(&a.link.to_ne_bytes());
        let mut request =
            self.request(kind, flags, &fixed).attribute(libc::IFA_LOCAL, &bytes).attribute(libc::IFA_ADDRESS, &bytes);
        if let IpAddr::V4(v4) = a.address {
            let host_bits = u32::MAX.checked_shr(u32::from(a.length)).unwrap_or(0);
            if host_bits > 1 {
                let broadcast = u32::from(v4) | host_bits;
                request = request.attribute(libc::IFA_BROADCAST, &broadcast.to_be_bytes());
            }
        }
        self.acknowledged(request)
    }

    fn request(&mut self, kind: u16, flags: u16, fixed: &[u8]) -> Request {
        self.sequence = self.sequence.wrapping_add(1);
        Request::new(kind, flags | NLM_F_ACK, self.sequence, fixed)
    }

    /// Sends a request and waits for the kernel's word on it, which comes at once.
    fn acknowledged(&mut self, request: Request) -> io::Result<()> {
        send(&self.requests, &request.finish())?;
        let mut buffer = [0u8; 4096];
        loop {
            let n = receive(&self.requests, &mut buffer, 0)?;
            let answer = messages(buffer.get(..n).unwrap_or(&[]))
                .find(|m| m.sequence == self.sequence && m.kind == NLMSG_ERROR);
            match answer {
                Some(m) if u32_at(m.body, 0) == Some(0) => return Ok(()),
                Some(m) => return Err(error_of(m.body)),
                None => {}
            }
        }
    }
}

fn family_and_bytes(address: IpAddr) -> (u8, Vec<u8>) {
    match address {
        IpAddr::V4(a) => (libc::AF_INET as u8, a.octets().to_vec()),
        IpAddr::V6(a) => (libc::AF_INET6 as u8, a.octets().to_vec()),
    }
}
