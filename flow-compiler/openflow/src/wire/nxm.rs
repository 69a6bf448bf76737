//! Matches as a string of fields: NXM and OXM.
//!
//! Purpose: decode with the checks that Open vSwitch makes, in its order; encode in its order.
//! Invariant: what is encoded decodes to the same match, for every match that meets the fields'
//! prerequisites.
//! Deliberately does not know: where a match stands in a message (see `matches`).

use super::buf::{Put, Reader};
use super::oxm::{self, Header, Ids};
use crate::action::PortNo;
use crate::error::OfpError;
use crate::field::Field;
use crate::matching::{Asked, Match, OptionError};
use crate::version::Version;
use crate::wide::Wide;
use sluice_flow::key::slot;

/// A cookie and its mask, as a Nicira match may carry them.
pub(super) type CookieMatch = Option<(u64, u64)>;

/// Reads fields until the end of `bytes`. With `cookie`, the cookie pseudo-field is understood;
/// without `strict`, unknown fields are skipped.
pub(super) fn decode(
    bytes: &[u8],
    cookie: bool,
    strict: bool,
) -> Result<(Match, CookieMatch), OfpError> {
    let mut m = Match::ANY;
    let cookies = read(bytes, cookie, strict, &mut m)?;
    Ok((m, cookies))
}

/// As [`decode`], into a match that asks for nothing yet.
pub(super) fn read(bytes: &[u8], cookie: bool, strict: bool, m: &mut Match) -> Result<CookieMatch, OfpError> {
    let mut r = Reader::new(bytes, OfpError::OFPBMC_BAD_LEN);
    let mut cookies = None;
    while !r.is_empty() {
        let header = Header::read(&mut r)?;
        let payload = r.take(header.payload)?;
        let (value, mask) = split(&header, payload)?;
        if cookie && header.is_cookie() {
            let mask = mask.map_or(u64::MAX, |m| oxm::value(m) as u64);
            if cookies.replace((oxm::value(value) as u64, mask)).is_some() {
                return Err(OfpError::OFPBMC_DUP_FIELD);
            }
            continue;
        }
        match header.field() {
            Some(field) => add(m, field, value, mask)?,
            None if strict => return Err(OfpError::OFPBMC_BAD_FIELD),
            None => {}
        }
    }
    Ok(cookies)
}

type Halves<'a> = (&'a [u8], Option<&'a [u8]>);

/// Value and mask; a value must have no bits that its mask has not.
fn split<'a>(header: &Header, payload: &'a [u8]) -> Result<Halves<'a>, OfpError> {
    if !header.has_mask {
        return Ok((payload, None));
    }
    let (value, mask) =
        payload.split_at_checked(header.width()).ok_or(OfpError::OFPBMC_BAD_LEN)?;
    if value.iter().zip(mask).any(|(v, m)| v & !m != 0) {
        return Err(OfpError::OFPBMC_BAD_WILDCARDS);
    }
    Ok((value, Some(mask)))
}

fn add(m: &mut Match, field: Field, value: &[u8], mask: Option<&[u8]>) -> Result<(), OfpError> {
    if let Some(n) = field.option_number() {
        return add_option(m, n, value, mask);
    }
    if field.slot().is_none() {
        return Err(OfpError::OFPBMC_BAD_FIELD);
    }
    let full = mask.is_none_or(|m| m.iter().all(|b| *b == 0xff));
    let none = mask.is_some_and(|m| m.iter().all(|b| *b == 0));
    if !field.info().maskable && !full && !none {
        return Err(OfpError::OFPBMC_BAD_MASK);
    }
    let value = oxm::value(value);
    if !oxm::is_valid(field, value) {
        return Err(OfpError::OFPBMC_BAD_VALUE);
    }
    if !field.prereqs_met(m) {
        return Err(OfpError::OFPBMC_BAD_PREREQ);
    }
    if m.field(field).1 != 0 {
        return Err(OfpError::OFPBMC_DUP_FIELD);
    }
    let mask = if full { u128::MAX } else { mask.map_or(0, oxm::value) };
    let value = if field == Field::IN_PORT { from_u16(value) } else { value };
    if mask != 0 && !m.set_field(field, value, mask) {
        return Err(OfpError::OFPBMC_BAD_FIELD);
    }
    Ok(())
}

/// A tunnel option; zeros in front say nothing of its length.
fn add_option(m: &mut Match, n: u8, value: &[u8], mask: Option<&[u8]>) -> Result<(), OfpError> {
    let bits = mask.map_or(Wide::ONES, Wide::from_bytes);
    m.set_option(n, &Wide::from_bytes(value), &bits).map_err(|e| match e {
        OptionError::Twice => OfpError::OFPBMC_DUP_FIELD,
        OptionError::TooLong(_) => OfpError::OFPBMC_BAD_VALUE,
        OptionError::Unmapped => OfpError::NXFMFC_INVALID_TLV_FIELD,
    })
}

fn from_u16(port: u128) -> u128 {
    PortNo::from_u16(port as u16).0 as u128
}

/// Writes the match, and the cookie where its mask is not zero.
pub(super) fn encode(out: &mut Vec<u8>, m: &Match, ids: Ids, cookie: u64, cookie_mask: u64) {
    let mut w = Writer { out, m, asked: m.asked(), ids };
    w.pipeline();
    w.ethernet();
    w.network();
    w.tunnel();
    w.fields(Field::NSH_FLAGS, &[0, 9, 1, 2, 3, 4, 5, 6, 7, 8]);
    w.all(&[Field::PBB_ISID, Field::PBB_UCA, Field::IPV6_EXTHDR]);
    w.registers();
    w.connection();
    w.field(Field::METADATA);
    if cookie_mask != 0 {
        let masked = cookie_mask != u64::MAX;
        oxm::put_cookie_header(out, masked);
        out.u64(cookie & cookie_mask);
        if masked {
            out.u64(cookie_mask);
        }
    }
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    m: &'a Match,
    asked: Asked,
    ids: Ids,
}

impl Writer<'_> {
    /// Writes what is said of a field, if anything is.
    fn field(&mut self, field: Field) {
        if !self.asked.has(field) {
            return;
        }
        let (value, mask) = self.m.field(field);
        if mask == 0 {
            return;
        }
        // All that exists of the tunnel flags is still only a part of their sixteen bits.
        let whole = mask & field.ones() == field.ones() && field != Field::TUN_FLAGS;
        let n = field.n_bytes() as usize;
        if oxm::put_header(self.out, field, self.ids, !whole) {
            oxm::put_value(self.out, value, n);
            if !whole {
                oxm::put_value(self.out, mask, n);
            }
        }
    }

    /// Fields at these places after `first`.
    fn fields(&mut self, first: Field, places: &[u8]) {
        for n in places {
            self.field(first.plus(*n));
        }
    }

    fn all(&mut self, fields: &[Field]) {
        for f in fields {
            self.field(*f);
        }
    }

    fn pipeline(&mut self) {
        use Field as F;
        self.all(&[F::PACKET_TYPE, F::DP_HASH, F::RECIRC_ID, F::CONJ_ID]);
        if self.ids == Ids::Nxm {
            self.in_port_16();
        } else {
            self.field(F::IN_PORT_OXM);
        }
        self.field(F::ACTSET_OUTPUT);
    }

    fn in_port_16(&mut self) {
        let (value, mask) = self.m.field(Field::IN_PORT_OXM);
        if mask != 0 && oxm::put_header(self.out, Field::IN_PORT, self.ids, false) {
            self.out.u16(value as u16);
        }
    }

    fn ethernet(&mut self) {
        use Field as F;
        self.all(&[F::ETH_SRC, F::ETH_DST, F::ETH_TYPE]);
        if self.ids == Ids::Nxm {
            return self.field(F::VLAN_TCI);
        }
        self.field(F::VLAN_VID);
        let (vid, _) = self.m.field(F::VLAN_VID);
        if vid != 0 {
            self.field(F::VLAN_PCP);
        }
    }

    fn network(&mut self) {
        use crate::field::Prereq as P;
        use Field as F;
        if P::Mpls.met(self.m) {
            self.all(&[F::MPLS_TC, F::MPLS_BOS, F::MPLS_TTL, F::MPLS_LABEL]);
        } else if P::Ipv4.met(self.m) {
            self.all(&[F::IP_SRC, F::IP_DST]);
            self.ip();
        } else if P::Ipv6.met(self.m) {
            self.all(&[F::IPV6_SRC, F::IPV6_DST]);
            self.ip();
        } else if P::Arp.met(self.m) {
            self.all(&[F::ARP_OP, F::ARP_SPA, F::ARP_TPA, F::ARP_SHA, F::ARP_THA]);
        }
    }

    fn ip(&mut self) {
        use Field as F;
        let dscp = if self.ids == Ids::Nxm { F::NW_TOS } else { F::IP_DSCP };
        self.field(F::IP_FRAG);
        self.dscp(dscp);
        self.all(&[F::NW_ECN, F::NW_TTL, F::IPV6_LABEL, F::NW_PROTO]);
        if self.m.mask.get(slot::NW_PROTO) == 0 {
            return;
        }
        use crate::field::Prereq as P;
        match self.m.value.get(slot::NW_PROTO) {
            6 => self.all(&[F::TCP_SRC, F::TCP_DST, F::TCP_FLAGS]),
            17 => self.all(&[F::UDP_SRC, F::UDP_DST]),
            132 => self.all(&[F::SCTP_SRC, F::SCTP_DST]),
            1 if P::Ipv4.met(self.m) => self.all(&[F::ICMP_TYPE, F::ICMP_CODE]),
            58 if P::Ipv6.met(self.m) => self.icmpv6(),
            _ => {}
        }
    }

    fn dscp(&mut self, field: Field) {
        let (value, mask) = (self.m.value.get(slot::NW_DSCP), self.m.mask.get(slot::NW_DSCP));
        if mask != 0 && oxm::put_header(self.out, field, self.ids, false) {
            self.out.u8(if field == Field::NW_TOS { value << 2 } else { value } as u8);
        }
    }

    fn icmpv6(&mut self) {
        use crate::field::Prereq as P;
        use Field as F;
        self.all(&[F::ICMPV6_TYPE, F::ICMPV6_CODE]);
        if P::Nd.met(self.m) {
            self.all(&[F::ND_RESERVED, F::ND_TARGET, F::ND_OPTIONS_TYPE]);
        }
        if P::NdSolicit.met(self.m) {
            self.field(F::ND_SLL);
        }
        if P::NdAdvert.met(self.m) {
            self.field(F::ND_TLL);
        }
    }

    fn tunnel(&mut self) {
        use Field as F;
        self.all(&[F::TUN_ID, F::TUN_FLAGS, F::TUN_SRC, F::TUN_DST]);
        self.all(&[F::TUN_IPV6_SRC, F::TUN_IPV6_DST, F::TUN_GBP_ID, F::TUN_GBP_FLAGS]);
        for n in self.m.options() {
            self.option(n);
        }
    }

    fn option(&mut self, n: u8) {
        let Some(said) = self.m.option(n) else { return };
        let field = Field::TUN_METADATA0.plus(n);
        if oxm::put_header_of(self.out, field, self.ids, said.masked, said.len as u16) {
            self.out.put(said.value.tail(said.len));
            if said.masked {
                self.out.put(said.mask.tail(said.len));
            }
        }
    }

    fn registers(&mut self) {
        let (first, count) = match self.ids {
            Ids::Oxm(v) if v >= Version::V15 => (Field::XREG0, 8),
            _ => (Field::REG0, 16),
        };
        for n in 0..count {
            self.field(first.plus(n));
        }
    }

    fn connection(&mut self) {
        use Field as F;
        self.all(&[F::PKT_MARK, F::CT_STATE, F::CT_ZONE, F::CT_MARK, F::CT_LABEL]);
        self.all(&[F::CT_NW_SRC, F::CT_IPV6_SRC, F::CT_NW_DST, F::CT_IPV6_DST]);
        if self.m.value.get(slot::CT_NW_PROTO) != 0 {
            self.all(&[F::CT_NW_PROTO, F::CT_TP_SRC, F::CT_TP_DST]);
        }
    }
}
