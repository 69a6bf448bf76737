//! An IP prefix, the key of a route.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address with a length; bits behind the length are zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Prefix {
    /// The prefix of `length` bits (at most all) that an address lies in.
    pub fn new(address: IpAddr, length: u8) -> Prefix {
        match address {
            IpAddr::V4(a) => {
                let length = length.min(32);
                let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
                Prefix { address: Ipv4Addr::from(u32::from(a) & mask).into(), length }
            }
            IpAddr::V6(a) => {
                let length = length.min(128);
                let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                Prefix { address: Ipv6Addr::from(u128::from(a) & mask).into(), length }
            }
        }
    }

    /// First address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Length in bits.
    pub fn length(&self) -> u8 {
        self.length
    }

    /// Does an address lie in it?
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4() && Prefix::new(address, self.length) == *self
    }
}

impl std::fmt::Display for Prefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_behind_the_length_do_not_count() {
        let p = Prefix::new("10.1.2.3".parse().unwrap(), 22);
        assert_eq!(p.to_string(), "10.1.0.0/22");
        assert!(p.contains("10.1.3.255".parse().unwrap()) && !p.contains("10.1.4.0".parse().unwrap()));
        let p = Prefix::new("fd00:1234::1".parse().unwrap(), 20);
        assert_eq!(p.to_string(), "fd00:1000::/20");
        assert!(Prefix::new("::".parse().unwrap(), 0).contains("ff02::1".parse().unwrap()));
        assert!(!Prefix::new("::".parse().unwrap(), 0).contains("1.2.3.4".parse().unwrap()));
        assert_eq!(Prefix::new("1.2.3.4".parse().unwrap(), 200).length(), 32);
    }
}
