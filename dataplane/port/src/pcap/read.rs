//! Reading a capture held in memory, whichever of the formats it is in.
//!
//! Invariant: packets come in file order and borrow from the file's bytes; what follows the first
//! damage is not looked at, and the end says what the damage was.

use std::path::Path;

use super::linktype::{link_type_name, LINKTYPE_ETHERNET};
use super::{classic, ng};

/// Longest record that is believed; a longer one means a damaged file.
pub(super) const RECORD_MAX: u32 = 262_144;

/// One captured packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet<'a> {
    /// Time of capture, nanoseconds since the epoch.
    pub time_ns: u64,
    /// Length on the wire; `bytes` is shorter where the capture cut it.
    pub wire_len: u32,
    /// Number of the interface within its section.
    pub interface: u32,
    /// Captured bytes.
    pub bytes: &'a [u8],
}

/// Why reading stopped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// The file was read to its end.
    Complete,
    /// The file is cut off or damaged; everything before it was read.
    Damaged(String),
}

/// Why a file was refused as a whole.
#[derive(Debug)]
pub enum PcapError {
    /// The file could not be read.
    Io(std::io::Error),
    /// Neither pcap nor pcapng.
    Format(String),
    /// Packets of another link type than Ethernet.
    LinkType(u16),
}

impl std::fmt::Display for PcapError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PcapError::Io(e) => write!(f, "{e}"),
            PcapError::Format(why) => write!(f, "{why}; expected a pcap or pcapng file"),
            PcapError::LinkType(t) => {
                write!(f, "link type {t} is {}, only {} (1) can be switched", link_type_name(*t), link_type_name(1))
            }
        }
    }
}

impl std::error::Error for PcapError {}

/// A capture file in memory.
#[derive(Debug)]
pub struct Capture {
    bytes: Vec<u8>,
}

impl Capture {
    /// Reads a file whole.
    pub fn open(path: &Path) -> Result<Capture, PcapError> {
        std::fs::read(path).map_err(PcapError::Io).map(Capture::new)
    }

    /// A capture from bytes.
    pub fn new(bytes: Vec<u8>) -> Capture {
        Capture { bytes }
    }

    /// Iterates over the packets; fails at once when the file is of no known format.
    pub fn packets(&self) -> Result<Packets<'_>, PcapError> {
        Packets::new(&self.bytes)
    }
}

/// What one step of a format's reader gives.
pub(super) enum Step<'a> {
    /// A packet and the link type of its interface.
    Packet(Packet<'a>, u16),
    /// No more.
    End(End),
}

#[derive(Debug)]
enum Format<'a> {
    Classic(classic::Reader<'a>),
    Ng(ng::Reader<'a>),
}

/// Iterator over the packets of a capture.
///
/// It yields an error only for a packet of another link type; how the file ended is asked with
/// [`Packets::end`] afterwards.
#[derive(Debug)]
pub struct Packets<'a> {
    format: Format<'a>,
    end: Option<End>,
}

impl<'a> Packets<'a> {
    /// Finds out the format.
    pub fn new(bytes: &'a [u8]) -> Result<Packets<'a>, PcapError> {
        let format = match bytes.get(..4) {
            None => return Err(PcapError::Format(format!("{} bytes are too few", bytes.len()))),
            Some(ng::MAGIC) => Format::Ng(ng::Reader::new(bytes)),
            Some(_) => Format::Classic(classic::Reader::new(bytes)?),
        };
        Ok(Packets { format, end: None })
    }

    /// How the file ended: `None` while packets are left.
    pub fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<Packet<'a>, PcapError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.end.is_some() {
            return None;
        }
        let step = match &mut self.format {
            Format::Classic(r) => r.step(),
            Format::Ng(r) => r.step(),
        };
        match step {
            Step::Packet(p, LINKTYPE_ETHERNET) => Some(Ok(p)),
            Step::Packet(_, other) => {
                self.end = Some(End::Damaged(PcapError::LinkType(other).to_string()));
                Some(Err(PcapError::LinkType(other)))
            }
            Step::End(end) => {
                self.end = Some(end);
                None
            }
        }
    }
}

/// Reads integers in the byte order of the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    pub(super) big: bool,
}

impl Order {
    pub(super) fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let b: [u8; 2] = bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if self.big { u16::from_be_bytes(b) } else { u16::from_le_bytes(b) })
    }

    pub(super) fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let b: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if self.big { u32::from_be_bytes(b) } else { u32::from_le_bytes(b) })
    }
}
