//! How a select group chooses its bucket: an experimenter's property of OpenFlow 1.5.
//!
//! Purpose: read the method, its parameter and its fields from a group's raw properties.
//! Deliberately does not know: hashing.

use super::buf::{Put, Reader};
use super::oxm::{self, Header, Ids};
use crate::error::OfpError;
use crate::field::Field;
use crate::version::Version;

/// What a select group was told of choosing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SelectionMethod {
    /// `hash`, `dp_hash`.
    pub method: String,
    /// Argument of the method.
    pub parameter: u64,
    /// Fields to hash, where named, and which of their bits count.
    pub fields: Vec<(Field, u128)>,
}

/// Experimenters that define it: Netronome's number, and one used by mistake for it.
const EXPERIMENTERS: [u32; 2] = [0x0000_154d, 0x0000_1540];

impl SelectionMethod {
    /// The first selection method among a group's properties.
    pub fn find(properties: &[(u16, Vec<u8>)]) -> Option<SelectionMethod> {
        properties.iter().filter(|(kind, _)| *kind == 0xffff).find_map(|(_, v)| read(v).ok())
    }

    /// The property that says it: its type, and what follows its header.
    pub fn property(&self) -> (u16, Vec<u8>) {
        let mut out = Vec::new();
        out.u32(EXPERIMENTERS[0]);
        out.u32(1);
        out.zeros(4);
        out.string(&self.method, 16);
        out.u64(self.parameter);
        for (field, mask) in &self.fields {
            if oxm::put_header(&mut out, *field, Ids::Oxm(Version::V15), false) {
                oxm::put_value(&mut out, *mask, usize::from(field.n_bytes()));
            }
        }
        (0xffff, out)
    }
}

fn read(bytes: &[u8]) -> Result<SelectionMethod, OfpError> {
    let mut r = Reader::new(bytes, OfpError::OFPBPC_BAD_LEN);
    let (experimenter, kind) = (r.u32()?, r.u32()?);
    if !EXPERIMENTERS.contains(&experimenter) || kind != 1 {
        return Err(OfpError::OFPBPC_BAD_EXPERIMENTER);
    }
    r.skip(4)?;
    let (method, parameter) = (r.string(16)?, r.u64()?);
    let mut fields = Vec::new();
    while r.len() >= 4 {
        let header = Header::read(&mut r)?;
        let field = header.field().ok_or(OfpError::OFPBPC_BAD_VALUE)?;
        let mask = r.take(header.payload)?.iter().fold(0, |v, b| v << 8 | u128::from(*b));
        fields.push((field, mask));
    }
    fields.sort();
    Ok(SelectionMethod { method, parameter, fields })
}
