//! All header writes of a flow in one go.
//!
//! Purpose: a verdict's run of single writes becomes, when the flow is decided, one masked word for each part of
//! the headers, and one change of each checksum (RFC 1624).
//! Invariant: a frame looks afterwards as if [`crate::rewrite`] had written field after field. A frame of which that
//! is not certain is left as it was.
//! Deliberately does not know: IPv6, ARP, fragments, SCTP, ICMP; those are written field by field.

use sluice_flow::key::slot;
use sluice_flow::{Op, Slot};
use sluice_frame::Frame;
use sluice_wire::{checksum, PackedHeaders};

/// Bits to write in `N` bytes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bits<const N: usize> {
    value: [u8; N],
    mask: [u8; N],
}

impl<const N: usize> Bits<N> {
    const NONE: Bits<N> = Bits { value: [0; N], mask: [0; N] };

    /// Writes more bits, over those that are there: `len` bytes at `at`, of which the value is `shift` bits up.
    fn write(&mut self, at: usize, len: usize, shift: u32, value: u128, mask: u128) {
        let (value, mask) = ((value << shift).to_be_bytes(), (mask << shift).to_be_bytes());
        let new = value.iter().zip(&mask).skip(16 - len);
        for ((v, m), (value, mask)) in self.value.iter_mut().zip(&mut self.mask).skip(at).take(len).zip(new) {
            *v = *v & !mask | value & mask;
            *m |= mask;
        }
    }
}

/// What happens to the time to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ttl {
    Keep,
    Set(u8),
    Down(u8),
}

impl Ttl {
    fn of(self, old: u8) -> u8 {
        match self {
            Ttl::Keep => old,
            Ttl::Set(new) => new,
            Ttl::Down(by) => old.saturating_sub(by),
        }
    }

    fn decrement(self) -> Ttl {
        match self {
            Ttl::Keep => Ttl::Down(1),
            Ttl::Set(ttl) => Ttl::Set(ttl.saturating_sub(1)),
            Ttl::Down(by) => Ttl::Down(by.saturating_add(1)),
        }
    }
}

/// All header writes of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writes {
    /// Both Ethernet addresses.
    macs: Bits<12>,
    /// Both IPv4 addresses.
    addresses: Bits<8>,
    /// Both ports.
    ports: Bits<4>,
    tos: Bits<1>,
    ttl: Ttl,
    /// Is anything written behind the Ethernet addresses?
    network: bool,
}

impl Writes {
    /// The writes that a list of operations begins with, and how many of its operations they are; `None` where it
    /// begins with something else.
    pub fn leading(ops: &[Op]) -> Option<(Writes, usize)> {
        let mut all = Writes {
            macs: Bits::NONE,
            addresses: Bits::NONE,
            ports: Bits::NONE,
            tos: Bits::NONE,
            ttl: Ttl::Keep,
            network: false,
        };
        let taken = ops.iter().take_while(|op| all.take(op)).count();
        (taken != 0).then_some((all, taken))
    }

    /// Adds an operation; false for one that is no write of these headers.
    fn take(&mut self, op: &Op) -> bool {
        match op {
            Op::Set { slot, value, mask } => self.set(*slot, *value, *mask),
            Op::DecTtl => {
                self.ttl = self.ttl.decrement();
                self.network = true;
                true
            }
            _ => false,
        }
    }

    fn set(&mut self, s: Slot, value: u128, mask: u128) -> bool {
        if s == slot::NW_TTL && mask == 0xff {
            self.ttl = Ttl::Set(value as u8);
        } else if let Some(shift) = s.shift_within(slot::ETH_DST) {
            self.macs.write(0, 6, shift, value, mask);
            return true;
        } else if let Some(shift) = s.shift_within(slot::ETH_SRC) {
            self.macs.write(6, 6, shift, value, mask);
            return true;
        } else if let Some(shift) = s.shift_within(slot::NW_SRC) {
            self.addresses.write(0, 4, shift, value, mask);
        } else if let Some(shift) = s.shift_within(slot::NW_DST) {
            self.addresses.write(4, 4, shift, value, mask);
        } else if let Some(shift) = s.shift_within(slot::NW_TOS) {
            self.tos.write(0, 1, shift, value, mask);
        } else if let Some(shift) = s.shift_within(slot::TP_SRC) {
            self.ports.write(0, 2, shift, value, mask);
        } else if let Some(shift) = s.shift_within(slot::TP_DST) {
            self.ports.write(2, 2, shift, value, mask);
        } else {
            return false;
        }
        self.network = true;
        true
    }

    /// Writes; false (and nothing was written) for a frame that has to be written field by field.
    #[inline]
    pub fn apply(&self, frame: &mut Frame, h: PackedHeaders) -> bool {
        if self.network && !self.write_network(frame, h) {
            return false;
        }
        let Some(macs) = frame.head_mut().first_chunk_mut::<12>() else { return false };
        let all = u128::from_ne_bytes(pad(macs));
        let new = all & !u128::from_ne_bytes(pad(&self.macs.mask)) | u128::from_ne_bytes(pad(&self.macs.value));
        macs.copy_from_slice(&new.to_ne_bytes()[..12]);
        true
    }

    /// Sums are of words in the processor's own order: what they add up to is in that order too (RFC 1071, section 2).
    #[inline(always)]
    fn write_network(&self, frame: &mut Frame, h: PackedHeaders) -> bool {
        let Some(is_tcp) = h.is_plain_tcp() else { return false };
        let left_to_fill = frame.meta.needs_csum;
        let (l3, l4) = (h.l3(), h.l4());
        let head = frame.head_mut();
        let (Some(ip), Some(transport)) = (word::<20>(head, l3), word::<8>(head, l4)) else { return false };
        let at = if is_tcp { 16 } else { 6 };
        let Some(covers) = word::<2>(head, l4 + at).map(u16::from_ne_bytes) else { return false };
        let covers_ip = u16::from_ne_bytes([ip[10], ip[11]]);
        // Of a sum of zero there are two forms, and only one write after the other tells which is left.
        if covers_ip == 0xffff || covers == if left_to_fill { 0 } else { 0xffff } {
            return false;
        }
        let mut new = ip;
        new[1] = ip[1] & !self.tos.mask[0] | self.tos.value[0];
        new[8] = self.ttl.of(ip[8]);
        let old_addresses = u64::from_ne_bytes(eight(&ip[12..]));
        let addresses = old_addresses & !u64::from_ne_bytes(self.addresses.mask) | u64::from_ne_bytes(self.addresses.value);
        new[12..].copy_from_slice(&addresses.to_ne_bytes());
        let ports = [transport[0], transport[1], transport[2], transport[3]];
        let old_ports = u32::from_ne_bytes(ports);
        let ports = old_ports & !u32::from_ne_bytes(self.ports.mask) | u32::from_ne_bytes(self.ports.value);

        let moved = checksum::add(!old_addresses, addresses);
        let other = u64::from(!pair(&ip, 0)) + u64::from(pair(&new, 0)) + u64::from(!pair(&ip, 8)) + u64::from(pair(&new, 8));
        let sum = !checksum::fold(checksum::add(moved, u64::from(!covers_ip) + other));
        new[10..12].copy_from_slice(&sum.to_ne_bytes());

        let covers = if left_to_fill {
            // The plain sum of the pseudo header; the rest is summed when it is filled.
            checksum::fold(checksum::add(moved, u64::from(covers)))
        } else if covers == 0 && !is_tcp {
            0 // no checksum in use
        } else {
            let turned = u64::from(!old_ports) + u64::from(ports) + u64::from(!covers);
            match !checksum::fold(checksum::add(moved, turned)) {
                0 if !is_tcp => 0xffff,
                sum => sum,
            }
        };
        put(head, l3, &new);
        put(head, l4, &ports.to_ne_bytes());
        put(head, l4 + at, &covers.to_ne_bytes());
        true
    }
}

#[inline(always)]
fn pad(bytes: &[u8; 12]) -> [u8; 16] {
    let mut out = [0; 16];
    out[..12].copy_from_slice(bytes);
    out
}

#[inline(always)]
fn eight(bytes: &[u8]) -> [u8; 8] {
    bytes.first_chunk().copied().unwrap_or([0; 8])
}

#[inline(always)]
fn pair(ip: &[u8; 20], at: usize) -> u16 {
    u16::from_ne_bytes([ip[at], ip[at + 1]])
}

#[inline(always)]
fn word<const N: usize>(head: &[u8], at: usize) -> Option<[u8; N]> {
    sluice_wire::bytes::array_at(head, at).copied()
}

#[inline(always)]
fn put<const N: usize>(head: &mut [u8], at: usize, bytes: &[u8; N]) {
    if let Some(place) = head.get_mut(at..).and_then(|h| h.first_chunk_mut()) {
        *place = *bytes;
    }
}

#[cfg(test)]
#[path = "writes/tests.rs"]
mod tests;
