//! The headers of messages: which type, which transaction, where the body begins.
//!
//! Purpose: the message header, the experimenter header and the statistics headers, both ways.
//! Invariant: what [`read`] accepts has a known type in its version and a body of a possible length.
//! Deliberately does not know: the bodies.

use std::collections::HashMap;
use std::sync::OnceLock;

use sluice_flow::hash::FoldBuild;

use super::buf::{Put, Reader};
use super::kinds::{Kind, SPELLINGS};
use crate::error::{OfpError, NICIRA, ONF};
use crate::message::EncodeError;
use crate::version::Version;

/// Which number space a message type is in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Space {
    /// The type in the message header.
    Type,
    /// The subtype of an experimenter message.
    Vendor(u32),
    /// The type of a statistics (multipart) request.
    Request,
    /// The type of a statistics reply.
    Reply,
    /// The subtype of an experimenter statistics request.
    VendorRequest(u32),
    /// The subtype of an experimenter statistics reply.
    VendorReply(u32),
}

/// How long a body may be: `least` bytes, and beyond them whole multiples of `unit` (0: nothing).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Length {
    pub(super) least: usize,
    pub(super) unit: usize,
}

/// One spelling of a message type.
#[derive(Debug)]
pub(crate) struct Spelling {
    pub(crate) kind: Kind,
    /// Its name as printed.
    pub(crate) name: &'static str,
    pub(super) space: Space,
    pub(super) first: u8,
    pub(super) last: u8,
    pub(super) number: u32,
    pub(super) length: Length,
}

impl Spelling {
    fn is_in(&self, version: Version) -> bool {
        let minor = version.wire() - 1;
        self.first <= minor && minor <= self.last
    }

    fn fits(&self, len: usize) -> bool {
        match (len.checked_sub(self.length.least), self.length.unit) {
            (None, _) => false,
            (Some(0), _) => true,
            (Some(_), 0) => false,
            (Some(more), unit) => more % unit == 0,
        }
    }
}

/// A message's headers, read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Announced<'a> {
    pub(crate) version: Version,
    pub(crate) spelling: &'static Spelling,
    /// Flags of a statistics message; 0 for others.
    pub(crate) flags: u16,
    /// More parts follow (statistics).
    pub(crate) more: bool,
    /// What follows the headers.
    pub(crate) body: &'a [u8],
}

impl Announced<'_> {
    /// Is it a statistics reply?
    pub(crate) fn is_reply(&self) -> bool {
        matches!(self.spelling.space, Space::Reply | Space::VendorReply(_))
    }
}

/// Flag of statistics that have more parts.
pub(crate) const MORE: u16 = 1;
const EXPERIMENTER: u8 = 4;
const STATS_EXPERIMENTER: u16 = 0xffff;

/// Types of statistics requests and replies in a version.
fn stats_types(version: Version) -> (u8, u8) {
    match version {
        Version::V10 => (16, 17),
        _ => (18, 19),
    }
}

/// Reads the headers of a whole message.
pub(crate) fn read(version: Version, bytes: &[u8]) -> Result<Announced<'_>, OfpError> {
    let length = Reader::request(bytes.get(2..).unwrap_or_default()).u16()?;
    if length as usize != bytes.len() {
        return Err(OfpError::OFPBRC_BAD_LEN);
    }
    let announced = read_partial(version, bytes)?;
    if !announced.spelling.fits(announced.body.len()) {
        return Err(OfpError::OFPBRC_BAD_LEN);
    }
    Ok(announced)
}

/// Reads the headers of a message whose body may be cut short.
pub(crate) fn read_partial(version: Version, bytes: &[u8]) -> Result<Announced<'_>, OfpError> {
    let mut r = Reader::request(bytes);
    r.skip(1)?;
    let kind = r.u8()?;
    r.skip(6)?;
    let (request, reply) = stats_types(version);
    let mut flags = 0;
    let (space, number) = match kind {
        EXPERIMENTER => vendor_number(&mut r)?,
        k if k == request || k == reply => {
            let (space, number, raw) = stats_number(version, k == reply, &mut r)?;
            flags = raw;
            (space, number)
        }
        k => (Space::Type, k as u32),
    };
    let spelling = find(version, space, number)?;
    Ok(Announced { version, spelling, flags, more: flags & MORE != 0, body: r.rest() })
}

fn vendor_number(r: &mut Reader<'_>) -> Result<(Space, u32), OfpError> {
    let (vendor, subtype) = (r.u32()?, r.u32()?);
    if vendor != NICIRA && vendor != ONF {
        return Err(OfpError::OFPBRC_BAD_VENDOR);
    }
    Ok((Space::Vendor(vendor), subtype))
}

fn stats_number(
    version: Version,
    reply: bool,
    r: &mut Reader<'_>,
) -> Result<(Space, u32, u16), OfpError> {
    let (kind, flags) = (r.u16()?, r.u16()?);
    if version != Version::V10 {
        r.skip(4)?;
    }
    if kind != STATS_EXPERIMENTER {
        let space = if reply { Space::Reply } else { Space::Request };
        return Ok((space, kind as u32, flags));
    }
    let vendor = r.u32()?;
    if vendor != NICIRA && vendor != ONF {
        return Err(OfpError::OFPBRC_BAD_VENDOR);
    }
    let number = r.u32()?;
    if version == Version::V10 {
        r.skip(4)?;
    }
    let space = if reply { Space::VendorReply(vendor) } else { Space::VendorRequest(vendor) };
    Ok((space, number, flags))
}

fn find(version: Version, space: Space, number: u32) -> Result<&'static Spelling, OfpError> {
    Index::get().by_number.get(&(space, number, version)).copied().ok_or(match space {
        Space::Type => OfpError::OFPBRC_BAD_TYPE,
        Space::Request | Space::Reply => OfpError::OFPBRC_BAD_STAT,
        _ => OfpError::OFPBRC_BAD_SUBTYPE,
    })
}

/// The spellings, to be found without looking through all of them: each message is asked for several times.
struct Index {
    by_number: HashMap<(Space, u32, Version), &'static Spelling, FoldBuild>,
    by_kind: HashMap<(Kind, Version), &'static Spelling, FoldBuild>,
}

impl Index {
    fn get() -> &'static Index {
        static INDEX: OnceLock<Index> = OnceLock::new();
        INDEX.get_or_init(|| {
            let mut index = Index { by_number: HashMap::default(), by_kind: HashMap::default() };
            for spelling in SPELLINGS {
                for version in Version::ALL.into_iter().filter(|v| spelling.is_in(*v)) {
                    // Of several the first counts.
                    index.by_number.entry((spelling.space, spelling.number, version)).or_insert(spelling);
                    index.by_kind.entry((spelling.kind, version)).or_insert(spelling);
                }
            }
            index
        })
    }
}

/// Writes the headers of a message of this kind; `what` names it where the version has none.
pub(crate) fn write(
    version: Version,
    kind: Kind,
    xid: u32,
    more: bool,
    what: &'static str,
) -> Result<Vec<u8>, EncodeError> {
    let spelling = Index::get().by_kind.get(&(kind, version)).ok_or(EncodeError::NotInVersion(what))?;
    let (request, reply) = stats_types(version);
    let (header_type, stats) = match spelling.space {
        Space::Type => (spelling.number as u8, false),
        Space::Vendor(_) => (EXPERIMENTER, false),
        Space::Request | Space::VendorRequest(_) => (request, true),
        Space::Reply | Space::VendorReply(_) => (reply, true),
    };
    let mut out = Vec::with_capacity(64);
    out.u8(version.wire());
    out.u8(header_type);
    out.u16(0);
    out.u32(xid);
    if stats {
        write_stats(&mut out, version, spelling, more);
    } else if let Space::Vendor(vendor) = spelling.space {
        out.u32(vendor);
        out.u32(spelling.number);
    }
    Ok(out)
}

fn write_stats(out: &mut Vec<u8>, version: Version, spelling: &Spelling, more: bool) {
    let vendor = match spelling.space {
        Space::VendorRequest(v) | Space::VendorReply(v) => Some(v),
        _ => None,
    };
    out.u16(if vendor.is_some() { STATS_EXPERIMENTER } else { spelling.number as u16 });
    out.u16(more as u16);
    if version != Version::V10 {
        out.zeros(4);
    }
    if let Some(vendor) = vendor {
        out.u32(vendor);
        out.u32(spelling.number);
        if version == Version::V10 {
            out.zeros(4);
        }
    }
}

/// Fills in the length of a message that is otherwise complete.
pub(crate) fn finish(mut out: Vec<u8>) -> Result<Vec<u8>, EncodeError> {
    out.patch_len(0, 2)?;
    Ok(out)
}
