//! Which connections a person or a controller means.
//!
//! Deliberately does not know: how it was written.

use std::net::IpAddr;

use crate::conn::Conn;
use crate::keep::Tracker;
use crate::tuple::Tuple;

/// Parts of a tuple; what is not given matches everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Parts {
    /// Source address.
    pub src: Option<IpAddr>,
    /// Destination address.
    pub dst: Option<IpAddr>,
    /// Protocol.
    pub proto: Option<u8>,
    /// Source port.
    pub sport: Option<u16>,
    /// Destination port.
    pub dport: Option<u16>,
    /// ICMP identifier.
    pub icmp_id: Option<u16>,
    /// ICMP type.
    pub icmp_type: Option<u8>,
    /// ICMP code: that of a query, zero, is the only one that is tracked.
    pub icmp_code: Option<u8>,
}

impl Parts {
    /// Is one direction named in full?
    fn is_whole(&self) -> bool {
        let ports = self.sport.is_some() && self.dport.is_some();
        let query = self.icmp_id.is_some() && self.icmp_type.is_some() && self.icmp_code.is_some();
        self.src.is_some() && self.dst.is_some() && self.proto.is_some() && (ports || query)
    }

    fn fits(&self, t: &Tuple) -> bool {
        let icmp = t.is_icmp();
        let says = |given: Option<u16>, has: Option<u16>| given.is_none() || given == has;
        self.src.is_none_or(|a| a == t.src())
            && self.dst.is_none_or(|a| a == t.dst())
            && self.proto.is_none_or(|p| p == t.proto)
            && says(self.sport, (!icmp).then_some(t.sport()))
            && says(self.dport, (!icmp).then_some(t.dport()))
            && says(self.icmp_id, icmp.then_some(t.sport()))
            && says(self.icmp_type.map(u16::from), icmp.then_some(t.dport()))
            && says(self.icmp_code.map(u16::from), icmp.then_some(0))
    }
}

/// Which connections are meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Choice {
    /// Zone.
    pub zone: Option<u16>,
    /// Parts of the original tuple.
    pub orig: Parts,
    /// Parts of the reply tuple.
    pub reply: Parts,
}

impl Choice {
    /// Is this one of them?
    pub fn fits(&self, c: &Conn) -> bool {
        self.zone.is_none_or(|z| z == c.orig.zone) && self.orig.fits(&c.orig) && self.reply.fits(&c.reply)
    }
}

impl Tracker {
    /// Removes what is meant; `None` when one connection is named in full and is not there.
    ///
    /// Such a name without a zone means zone 0, and may be in either direction if nothing is translated, as in
    /// Open vSwitch.
    pub fn flush_choice(&self, choice: &Choice) -> Option<usize> {
        if !choice.orig.is_whole() || choice.reply != Parts::default() {
            return Some(self.flush(|c| choice.fits(c)));
        }
        let zone = choice.zone.unwrap_or(0);
        let named = |c: &Conn| choice.orig.fits(&c.orig) || !c.nat.any() && choice.orig.fits(&c.reply);
        let gone = self.flush(|c| c.orig.zone == zone && named(c));
        (gone > 0).then_some(gone)
    }
}
