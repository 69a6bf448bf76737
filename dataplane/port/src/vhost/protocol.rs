//! Messages of the vhost-user protocol and the features that are offered.
//!
//! Invariant: a body is read only where it is as long as its message says; numbers of rings are
//! bounded here.
//! Deliberately does not know: sockets, rings, memory.

use super::memory::RegionSpec;

/// Queue pairs that a front may use.
pub(crate) const PAIRS_MAX: usize = 64;
/// Rings that a front may use.
pub(crate) const RINGS_MAX: usize = 2 * PAIRS_MAX;

/// Feature bits of virtio-net and of vhost.
pub(crate) mod feature {
    pub const CSUM: u32 = 0;
    pub const GUEST_CSUM: u32 = 1;
    pub const MTU: u32 = 3;
    pub const GSO: u32 = 6;
    pub const GUEST_TSO4: u32 = 7;
    pub const GUEST_TSO6: u32 = 8;
    pub const GUEST_ECN: u32 = 9;
    pub const HOST_TSO4: u32 = 11;
    pub const HOST_TSO6: u32 = 12;
    pub const HOST_ECN: u32 = 13;
    pub const MRG_RXBUF: u32 = 15;
    pub const STATUS: u32 = 16;
    pub const CTRL_VQ: u32 = 17;
    pub const CTRL_RX: u32 = 18;
    pub const GUEST_ANNOUNCE: u32 = 21;
    pub const MQ: u32 = 22;
    pub const LOG_ALL: u32 = 26;
    pub const ANY_LAYOUT: u32 = 27;
    pub const INDIRECT: u32 = 28;
    pub const EVENT_INDEX: u32 = 29;
    pub const PROTOCOL: u32 = 30;
    pub const VERSION_1: u32 = 32;
    pub const IOMMU: u32 = 33;
    pub const PACKED: u32 = 34;
    pub const IN_ORDER: u32 = 35;
    pub const ORDER_PLATFORM: u32 = 36;
    pub const GUEST_USO4: u32 = 54;
    pub const GUEST_USO6: u32 = 55;
    pub const HOST_USO: u32 = 56;

    /// What is offered, but an IOMMU.
    pub const OFFERED: u64 = bits(&[
        CSUM, GUEST_CSUM, MTU, GSO, GUEST_TSO4, GUEST_TSO6, GUEST_ECN, HOST_TSO4, HOST_TSO6, HOST_ECN, MRG_RXBUF, STATUS,
        CTRL_VQ, CTRL_RX, GUEST_ANNOUNCE, MQ, LOG_ALL, ANY_LAYOUT, INDIRECT, EVENT_INDEX, PROTOCOL, VERSION_1, PACKED,
        IN_ORDER, ORDER_PLATFORM, GUEST_USO4, GUEST_USO6, HOST_USO,
    ]);

    const fn bits(numbers: &[u32]) -> u64 {
        let (mut all, mut i) = (0, 0);
        while i < numbers.len() {
            all |= 1 << numbers[i];
            i += 1;
        }
        all
    }
}

/// Protocol features.
pub(crate) mod extension {
    pub const MQ: u64 = 1 << 0;
    pub const LOG_SHMFD: u64 = 1 << 1;
    pub const RARP: u64 = 1 << 2;
    pub const REPLY_ACK: u64 = 1 << 3;
    pub const MTU: u64 = 1 << 4;
    pub const BACKEND_REQUEST: u64 = 1 << 5;
    pub const INFLIGHT: u64 = 1 << 12;
    pub const RESET_DEVICE: u64 = 1 << 13;
    pub const MEMORY_SLOTS: u64 = 1 << 15;
    pub const STATUS: u64 = 1 << 16;

    /// What is offered.
    pub const OFFERED: u64 = MQ
        | LOG_SHMFD
        | RARP
        | REPLY_ACK
        | MTU
        | BACKEND_REQUEST
        | INFLIGHT
        | RESET_DEVICE
        | MEMORY_SLOTS
        | STATUS;
}

/// In a header: the version, a reply, a wish for one.
pub(crate) const VERSION: u32 = 1;
const VERSION_MASK: u32 = 3;
pub(crate) const REPLY: u32 = 4;
pub(crate) const NEED_REPLY: u32 = 8;
/// Bytes of a header.
pub(crate) const HEADER: usize = 12;
/// Longest body that is taken in.
pub(crate) const BODY_MAX: usize = 4096;
/// Instead of a descriptor in the kick, call and error messages: the ring is to be polled.
const NO_DESCRIPTOR: u64 = 1 << 8;
/// In an address message: log what is written to the ring.
const LOG_RING: u32 = 1;

/// Where the parts of a ring are, in the front's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct RingAddresses {
    pub desc: u64,
    pub device: u64,
    pub driver: u64,
    /// Guest address of the device's part, where writes to it are to be logged.
    pub log: Option<u64>,
}

/// A record of chains in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InflightSpec {
    pub len: u64,
    pub offset: u64,
    pub queues: u16,
    pub size: u16,
}

/// A message about an IOMMU translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IotlbMessage {
    pub iova: u64,
    pub size: u64,
    pub user: u64,
    pub permissions: u8,
    pub kind: u8,
}

pub(crate) const IOTLB_MISS: u8 = 1;
pub(crate) const IOTLB_UPDATE: u8 = 2;
pub(crate) const IOTLB_INVALIDATE: u8 = 3;

/// What the front wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    GetFeatures,
    SetFeatures(u64),
    SetOwner,
    ResetOwner,
    SetMemTable(Vec<RegionSpec>),
    SetLogBase { len: u64, offset: u64 },
    SetLogFd,
    SetRingSize { ring: usize, size: u32 },
    SetRingAddresses { ring: usize, at: RingAddresses },
    SetRingBase { ring: usize, base: u32 },
    GetRingBase { ring: usize },
    SetRingKick { ring: usize, descriptor: bool },
    SetRingCall { ring: usize, descriptor: bool },
    SetRingError { ring: usize, descriptor: bool },
    GetProtocolFeatures,
    SetProtocolFeatures(u64),
    GetQueueCount,
    SetRingEnabled { ring: usize, on: bool },
    SendRarp([u8; 6]),
    SetMtu(u64),
    SetBackendChannel,
    Iotlb(IotlbMessage),
    GetInflight(InflightSpec),
    SetInflight(InflightSpec),
    ResetDevice,
    GetMemorySlots,
    AddRegion(RegionSpec),
    RemoveRegion(RegionSpec),
    SetStatus(u64),
    GetStatus,
}

/// Why a message is not obeyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal(pub String);

impl Refusal {
    pub(crate) fn new(why: impl Into<String>) -> Refusal {
        Refusal(why.into())
    }
}

/// Reads little pieces of a body in the byte order of this machine.
struct Body<'a>(&'a [u8]);

impl Body<'_> {
    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Refusal> {
        let (now, later) = self.0.split_first_chunk::<N>().ok_or_else(|| Refusal::new("the message is too short"))?;
        self.0 = later;
        Ok(*now)
    }

    fn u8(&mut self) -> Result<u8, Refusal> {
        self.bytes::<1>().map(|[b]| b)
    }

    fn u16(&mut self) -> Result<u16, Refusal> {
        self.bytes().map(u16::from_ne_bytes)
    }

    fn u32(&mut self) -> Result<u32, Refusal> {
        self.bytes().map(u32::from_ne_bytes)
    }

    fn u64(&mut self) -> Result<u64, Refusal> {
        self.bytes().map(u64::from_ne_bytes)
    }

    fn ring(&mut self) -> Result<usize, Refusal> {
        checked_ring(u64::from(self.u32()?))
    }

    /// Number of a ring, and whether a descriptor comes with it.
    fn ring_and_descriptor(&mut self) -> Result<(usize, bool), Refusal> {
        let word = self.u64()?;
        Ok((checked_ring(word & 0xff)?, word & NO_DESCRIPTOR == 0))
    }

    fn region(&mut self) -> Result<RegionSpec, Refusal> {
        Ok(RegionSpec { guest: self.u64()?, len: self.u64()?, user: self.u64()?, offset: self.u64()? })
    }

    fn inflight(&mut self) -> Result<InflightSpec, Refusal> {
        Ok(InflightSpec { len: self.u64()?, offset: self.u64()?, queues: self.u16()?, size: self.u16()? })
    }
}

fn checked_ring(ring: u64) -> Result<usize, Refusal> {
    usize::try_from(ring).ok().filter(|r| *r < RINGS_MAX).ok_or_else(|| Refusal::new(format!("there is no ring {ring}")))
}

/// Header of a message: request, flags, length of its body.
pub(crate) fn read_header(h: &[u8; HEADER]) -> Result<(u32, u32, usize), Refusal> {
    let mut b = Body(h);
    let (request, flags, len) = (b.u32()?, b.u32()?, b.u32()?);
    if flags & VERSION_MASK != VERSION {
        return Err(Refusal::new(format!("version {} of the protocol is not known", flags & VERSION_MASK)));
    }
    if len as usize > BODY_MAX {
        return Err(Refusal::new(format!("a message of {len} bytes is too long")));
    }
    Ok((request, flags, len as usize))
}

/// Writes a header.
pub(crate) fn write_header(request: u32, flags: u32, len: usize) -> [u8; HEADER] {
    let mut h = [0; HEADER];
    for (to, word) in h.chunks_exact_mut(4).zip([request, flags | VERSION, len as u32]) {
        to.copy_from_slice(&word.to_ne_bytes());
    }
    h
}

/// What a message wants.
pub(crate) fn parse(request: u32, body: &[u8]) -> Result<Request, Refusal> {
    let mut b = Body(body);
    Ok(match request {
        1 => Request::GetFeatures,
        2 => Request::SetFeatures(b.u64()?),
        3 => Request::SetOwner,
        4 => Request::ResetOwner,
        5 => parse_table(&mut b)?,
        6 => Request::SetLogBase { len: b.u64()?, offset: b.u64()? },
        7 => Request::SetLogFd,
        8 => Request::SetRingSize { ring: b.ring()?, size: b.u32()? },
        9 => parse_addresses(&mut b)?,
        10 => Request::SetRingBase { ring: b.ring()?, base: b.u32()? },
        11 => Request::GetRingBase { ring: b.ring()? },
        12 => b.ring_and_descriptor().map(|(ring, descriptor)| Request::SetRingKick { ring, descriptor })?,
        13 => b.ring_and_descriptor().map(|(ring, descriptor)| Request::SetRingCall { ring, descriptor })?,
        14 => b.ring_and_descriptor().map(|(ring, descriptor)| Request::SetRingError { ring, descriptor })?,
        15 => Request::GetProtocolFeatures,
        16 => Request::SetProtocolFeatures(b.u64()?),
        17 => Request::GetQueueCount,
        18 => Request::SetRingEnabled { ring: b.ring()?, on: b.u32()? != 0 },
        19 => parse_rarp(&mut b)?,
        20 => Request::SetMtu(b.u64()?),
        21 => Request::SetBackendChannel,
        22 => Request::Iotlb(IotlbMessage {
            iova: b.u64()?,
            size: b.u64()?,
            user: b.u64()?,
            permissions: b.u8()?,
            kind: b.u8()?,
        }),
        28..=30 => return Err(Refusal::new("postcopy migration is not supported; migrate with precopy")),
        31 => Request::GetInflight(b.inflight()?),
        32 => Request::SetInflight(b.inflight()?),
        34 => Request::ResetDevice,
        36 => Request::GetMemorySlots,
        // A region of its own has four unused bytes in front.
        37 => b.u64().and_then(|_| b.region()).map(Request::AddRegion)?,
        38 => b.u64().and_then(|_| b.region()).map(Request::RemoveRegion)?,
        39 => Request::SetStatus(b.u64()?),
        40 => Request::GetStatus,
        other => return Err(Refusal::new(format!("message {other} is not supported"))),
    })
}

fn parse_table(b: &mut Body<'_>) -> Result<Request, Refusal> {
    let (count, _) = (b.u32()?, b.u32()?);
    if count as usize > super::socket::DESCRIPTORS_MAX {
        return Err(Refusal::new(format!("a table of {count} memory regions is too long")));
    }
    (0..count).map(|_| b.region()).collect::<Result<_, _>>().map(Request::SetMemTable)
}

fn parse_addresses(b: &mut Body<'_>) -> Result<Request, Refusal> {
    let (ring, flags) = (b.ring()?, b.u32()?);
    let (desc, device, driver, log) = (b.u64()?, b.u64()?, b.u64()?, b.u64()?);
    let log = (flags & LOG_RING != 0).then_some(log);
    Ok(Request::SetRingAddresses { ring, at: RingAddresses { desc, device, driver, log } })
}

fn parse_rarp(b: &mut Body<'_>) -> Result<Request, Refusal> {
    let [a, bb, c, d, e, f, _, _] = b.bytes::<8>()?;
    Ok(Request::SendRarp([a, bb, c, d, e, f]))
}

/// Does a message of this kind have an answer of its own?
pub(crate) fn has_answer(request: u32) -> bool {
    matches!(request, 1 | 6 | 11 | 15 | 17 | 31 | 36 | 40)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_bodies_and_wild_rings_are_refused() {
        for request in 0..64 {
            for len in 0..64 {
                // Whatever it says, it says it without a panic.
                let _ = parse(request, &vec![0xff; len]);
                let _ = parse(request, &vec![0; len]);
            }
        }
        assert!(parse(2, &[0; 7]).is_err());
        assert_eq!(parse(2, &[0; 8]), Ok(Request::SetFeatures(0)));
        let ring = |n: u32| [n.to_ne_bytes(), 4u32.to_ne_bytes()].concat();
        assert_eq!(parse(8, &ring(1)), Ok(Request::SetRingSize { ring: 1, size: 4 }));
        assert!(parse(8, &ring(RINGS_MAX as u32)).is_err());
        assert!(parse(29, &[0; 8]).unwrap_err().0.contains("postcopy"));
    }

    #[test]
    fn headers_are_bounded() {
        assert_eq!(read_header(&write_header(7, REPLY, 8)), Ok((7, REPLY | VERSION, 8)));
        assert!(read_header(&write_header(7, 0, BODY_MAX + 1)).is_err());
        let mut wrong = write_header(7, 0, 8);
        wrong[4] = 2;
        assert!(read_header(&wrong).is_err());
    }
}
