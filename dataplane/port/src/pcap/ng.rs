//! The pcapng format: sections of blocks, each section with its own byte order and interfaces.

use super::read::{End, Order, Packet, Step, RECORD_MAX};

/// First bytes of a file: the type of a section header block, a palindrome in either byte order.
pub(super) const MAGIC: &[u8] = &[0x0a, 0x0d, 0x0d, 0x0a];

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const OLD_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;
/// Block type, length, and the length again at the end.
const FRAMING: usize = 12;
const BLOCK_MAX: usize = 16 << 20;
const INTERFACES_MAX: usize = 65_536;
const OPTION_END: u16 = 0;
const OPTION_RESOLUTION: u16 = 9;
const OPTION_OFFSET: u16 = 14;

#[derive(Clone, Copy, Debug)]
struct Interface {
    link_type: u16,
    snaplen: u32,
    clock: Clock,
}

/// How an interface's time stamps are to be read.
#[derive(Clone, Copy, Debug)]
struct Clock {
    ticks_per_second: u64,
    offset_seconds: i64,
}

impl Clock {
    const MICROSECONDS: Clock = Clock { ticks_per_second: 1_000_000, offset_seconds: 0 };

    fn nanoseconds(self, ticks: u64) -> u64 {
        let ns = i128::from(ticks) * 1_000_000_000 / i128::from(self.ticks_per_second.max(1))
            + i128::from(self.offset_seconds) * 1_000_000_000;
        ns.clamp(0, i128::from(u64::MAX)) as u64
    }
}

#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    order: Order,
    interfaces: Vec<Interface>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0, order: Order { big: false }, interfaces: Vec::new() }
    }

    pub(super) fn step(&mut self) -> Step<'a> {
        loop {
            if self.at >= self.bytes.len() {
                return Step::End(End::Complete);
            }
            let (kind, body) = match self.block() {
                Ok(b) => b,
                Err(why) => return Step::End(End::Damaged(format!("at byte {}: {why}", self.at))),
            };
            match self.read(kind, body) {
                Ok(Some((packet, link_type))) => return Step::Packet(packet, link_type),
                Ok(None) => {}
                Err(why) => return Step::End(End::Damaged(format!("before byte {}: {why}", self.at))),
            }
        }
    }

    /// Type and body of the next block.
    fn block(&mut self) -> Result<(u32, &'a [u8]), String> {
        let rest = self.bytes.get(self.at..).unwrap_or(&[]);
        if rest.starts_with(MAGIC) {
            self.section(rest)?;
        }
        let cut_off = || format!("block header cut off ({} of {FRAMING} bytes)", rest.len());
        let kind = self.order.u32(rest, 0).ok_or_else(cut_off)?;
        let len = self.order.u32(rest, 4).ok_or_else(cut_off)? as usize;
        if !(FRAMING..=BLOCK_MAX).contains(&len) {
            return Err(format!("block of {len} bytes, expected {FRAMING} to {BLOCK_MAX}"));
        }
        // Some writers forget the padding in the length, but always write it.
        let len = len.next_multiple_of(4);
        let block = rest.get(..len).ok_or_else(|| format!("block of {len} bytes cut off at {}", rest.len()))?;
        self.at += len;
        block.get(8..len - 4).map(|body| (kind, body)).ok_or_else(cut_off)
    }

    /// Starts a section: its byte order holds from its first length field on.
    fn section(&mut self, rest: &[u8]) -> Result<(), String> {
        self.order = match rest.get(8..12) {
            Some([0x1a, 0x2b, 0x3c, 0x4d]) => Order { big: true },
            Some([0x4d, 0x3c, 0x2b, 0x1a]) => Order { big: false },
            Some(other) => return Err(format!("unknown byte-order magic {other:02x?}")),
            None => return Err(format!("section header cut off ({} bytes)", rest.len())),
        };
        self.interfaces.clear();
        Ok(())
    }

    fn read(&mut self, kind: u32, body: &'a [u8]) -> Result<Option<(Packet<'a>, u16)>, String> {
        match kind {
            INTERFACE => self.interface(body).map(|()| None),
            ENHANCED_PACKET => self.enhanced(body).map(Some),
            OLD_PACKET => self.old(body).map(Some),
            SIMPLE_PACKET => self.simple(body).map(Some),
            SECTION => Ok(None),
            _ => Ok(None),
        }
    }

    fn interface(&mut self, body: &[u8]) -> Result<(), String> {
        let (Some(link_type), Some(snaplen)) = (self.order.u16(body, 0), self.order.u32(body, 4)) else {
            return Err(format!("interface block of {} bytes is too short", body.len()));
        };
        if self.interfaces.len() == INTERFACES_MAX {
            return Err(format!("more than {INTERFACES_MAX} interfaces"));
        }
        let clock = self.clock(body.get(8..).unwrap_or(&[]));
        self.interfaces.push(Interface { link_type, snaplen, clock });
        Ok(())
    }

    /// Reads the two options that time stamps need; all others are skipped.
    fn clock(&self, mut options: &[u8]) -> Clock {
        let mut clock = Clock::MICROSECONDS;
        while let (Some(code), Some(len)) = (self.order.u16(options, 0), self.order.u16(options, 2)) {
            let len = usize::from(len);
            let Some(value) = options.get(4..4 + len) else { break };
            match (code, value) {
                (OPTION_END, _) => break,
                (OPTION_RESOLUTION, [r, ..]) => clock.ticks_per_second = resolution(*r),
                (OPTION_OFFSET, _) => clock.offset_seconds = self.i64(value).unwrap_or(0),
                _ => {}
            }
            options = options.get(4 + len.next_multiple_of(4)..).unwrap_or(&[]);
        }
        clock
    }

    fn i64(&self, value: &[u8]) -> Option<i64> {
        let b: [u8; 8] = value.get(..8)?.try_into().ok()?;
        Some(if self.order.big { i64::from_be_bytes(b) } else { i64::from_le_bytes(b) })
    }

    fn enhanced(&self, body: &'a [u8]) -> Result<(Packet<'a>, u16), String> {
        let interface = self.order.u32(body, 0).ok_or("packet block too short")?;
        self.stamped(body, interface)
    }

    fn old(&self, body: &'a [u8]) -> Result<(Packet<'a>, u16), String> {
        let interface = self.order.u16(body, 0).ok_or("packet block too short")?;
        self.stamped(body, u32::from(interface))
    }

    /// The part that both packet blocks share, behind 4 bytes that name the interface.
    fn stamped(&self, body: &'a [u8], number: u32) -> Result<(Packet<'a>, u16), String> {
        let field = |i: usize| self.order.u32(body, 4 * i).ok_or("packet block too short");
        let (high, low, captured, wire_len) = (field(1)?, field(2)?, field(3)?, field(4)?);
        let interface = self.known(number)?;
        let bytes = packet_bytes(body, 20, captured)?;
        let time_ns = interface.clock.nanoseconds(u64::from(high) << 32 | u64::from(low));
        Ok((Packet { time_ns, wire_len, interface: number, bytes }, interface.link_type))
    }

    fn simple(&self, body: &'a [u8]) -> Result<(Packet<'a>, u16), String> {
        let wire_len = self.order.u32(body, 0).ok_or("simple packet block too short")?;
        let interface = self.known(0)?;
        let limit = if interface.snaplen == 0 { u32::MAX } else { interface.snaplen };
        let bytes = packet_bytes(body, 4, wire_len.min(limit))?;
        Ok((Packet { time_ns: 0, wire_len, interface: 0, bytes }, interface.link_type))
    }

    fn known(&self, number: u32) -> Result<&Interface, String> {
        self.interfaces
            .get(number as usize)
            .ok_or_else(|| format!("packet of interface {number}, but only {} are described", self.interfaces.len()))
    }
}

fn packet_bytes(body: &[u8], start: usize, len: u32) -> Result<&[u8], String> {
    if len > RECORD_MAX {
        return Err(format!("packet of {len} bytes, more than {RECORD_MAX}"));
    }
    body.get(start..start + len as usize).ok_or_else(|| format!("packet of {len} bytes does not fit its block"))
}

/// Ticks per second: the top bit chooses between a power of 2 and of 10.
fn resolution(r: u8) -> u64 {
    let exponent = u32::from(r & 0x7f);
    let ticks = if r & 0x80 != 0 { 1u64.checked_shl(exponent) } else { 10u64.checked_pow(exponent) };
    ticks.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
