//! Hardware addresses and address prefixes.
//!
//! Purpose: values with one spelling each, for comparing, sorting and matching.
//! Invariant: a [`Prefix`] has no bit set beyond its length.
//! Deliberately does not know: ports, rules.

use super::EtherType;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// As a number, right-aligned.
    pub fn bits(self) -> u128 {
        self.0.iter().fold(0, |sum, &byte| sum << 8 | u128::from(byte))
    }

    /// Does it name a single station?
    pub fn is_unicast(self) -> bool {
        self.0[0] & 1 == 0
    }

    /// The IPv6 link-local address that a station makes of it (modified EUI-64).
    pub fn link_local(self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.0;
        Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
    }
}

impl FromStr for Mac {
    type Err = ();

    fn from_str(text: &str) -> Result<Mac, ()> {
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|p| p.len() == 2 && p.bytes().all(|c| c.is_ascii_hexdigit())).ok_or(())?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| ())?;
        }
        if parts.next().is_some() {
            return Err(());
        }
        Ok(Mac(bytes))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// Addresses that begin alike.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Prefix {
    /// The addresses that share the first `length` bits of `address`; `None` when that is too long.
    /// Bits beyond the length are dropped.
    pub fn new(address: IpAddr, length: u8) -> Option<Prefix> {
        let width = width(address);
        if length > width {
            return None;
        }
        let kept = to_bits(address) & mask(length, width);
        Some(Prefix { address: from_bits(kept, address.is_ipv4()), length })
    }

    /// Just one address.
    pub fn host(address: IpAddr) -> Prefix {
        Prefix { address, length: width(address) }
    }

    /// First address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Bits that count.
    pub fn length(&self) -> u8 {
        self.length
    }

    /// IP version.
    pub fn ethertype(&self) -> EtherType {
        EtherType::of(self.address)
    }

    /// Is it one address?
    pub fn is_host(&self) -> bool {
        self.length == width(self.address)
    }

    /// First address as a number, right-aligned.
    pub fn bits(&self) -> u128 {
        to_bits(self.address)
    }

    /// Which bits of [`Prefix::bits`] count.
    pub fn mask(&self) -> u128 {
        mask(self.length, width(self.address))
    }

    /// Is the address one of them?
    pub fn contains(&self, address: IpAddr) -> bool {
        EtherType::of(address) == self.ethertype() && to_bits(address) & self.mask() == self.bits()
    }
}

impl FromStr for Prefix {
    type Err = ();

    fn from_str(text: &str) -> Result<Prefix, ()> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse().map_err(|_| ())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| ())?;
        Prefix::new(address, length.unwrap_or(width(address))).ok_or(())
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() {
        32
    } else {
        128
    }
}

fn mask(length: u8, width: u8) -> u128 {
    let ones = u128::MAX >> (128 - u32::from(width));
    let zeros = u32::from(width - length);
    ones & u128::MAX.checked_shl(zeros).unwrap_or(0)
}

/// An address as a number, right-aligned.
pub fn to_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => u128::from(u32::from(a)),
        IpAddr::V6(a) => u128::from(a),
    }
}

fn from_bits(bits: u128, v4: bool) -> IpAddr {
    if v4 {
        IpAddr::V4(Ipv4Addr::from(bits as u32))
    } else {
        IpAddr::V6(Ipv6Addr::from(bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_contains_what_begins_alike() {
        let p: Prefix = "10.1.2.3/20".parse().unwrap();
        assert_eq!(p.to_string(), "10.1.0.0/20");
        assert!(p.contains("10.1.15.255".parse().unwrap()));
        assert!(!p.contains("10.1.16.0".parse().unwrap()));
        let all: Prefix = "::/0".parse().unwrap();
        assert!(all.contains("fe80::1".parse().unwrap()));
        assert!(!all.contains("10.0.0.1".parse().unwrap()));
        for bad in ["10.0.0.0/33", "10.0.0/8", "::/129", "", "/", "1.2.3.4/x"] {
            assert!(bad.parse::<Prefix>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_hardware_address_has_six_pairs_of_digits() {
        let mac: Mac = "fa:16:3E:f7:ea:57".parse().unwrap();
        assert_eq!(mac.to_string(), "fa:16:3e:f7:ea:57");
        assert_eq!(mac.link_local().to_string(), "fe80::f816:3eff:fef7:ea57");
        for bad in ["fa:16:3e:f7:ea", "fa:16:3e:f7:ea:57:1", "fa:16:3e:f7:ea:5", "fa:16:3e:f7:ea:+5", ""] {
            assert!(bad.parse::<Mac>().is_err(), "{bad}");
        }
    }
}
