//! Packet sockets: a port on any Ethernet device of the host, with the device's offloads.
//!
//! Purpose: serve every device that AF_XDP cannot, without loss of what the kernel keeps beside a
//! frame: partial checksums, segmentation still to do, the outermost VLAN tag.
//! Invariant: a frame that the switch sends here does not come back in here.
//! Deliberately does not know: bridges. The host's own stack is kept away by a [`Shield`] where the kernel
//! can; elsewhere it sees received frames as well, and the device should carry no addresses.

use std::cell::Cell;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use sluice_frame::{Frame, Pool};

use crate::afxdp::Take;
use crate::device::Device;
use crate::filter;
use crate::landing::{gather, Landing};
use crate::shield::Shield;
use crate::sys::{bind, get_option, retry, set_option, socket};
use crate::tap::{send_drop, Vectors};
use crate::{offload, vnet, Offloads, Port, PortError, PortStats, SendOutcome};

const PACKET_IGNORE_OUTGOING: libc::c_int = 23;
const ETH_P_ALL: u16 = 0x0003;
const BUFFER: libc::c_int = 8 << 20;
const FRAME_MIN: usize = 14;
/// Room for one `tpacket_auxdata` with its header.
const CONTROL: usize = 64;

/// The port.
#[derive(Debug)]
pub struct PacketPort {
    device: Device,
    fd: OwnedFd,
    landing: Landing,
    vectors: Vectors,
    pieces: Vec<Frame>,
    /// Pieces of a frame that was cut on receive and found no room in the last batch, last first.
    waiting: Vec<Frame>,
    stats: PortStats,
    /// Keeps the host's own stack away, where the kernel can.
    shield: Option<Shield>,
    /// Frames that the kernel dropped because the socket's queue was full.
    overruns: Cell<u64>,
    /// The device was told to be down. One that is being unplugged goes down first, while it is still there, and the
    /// kernel says nothing more when it is gone.
    fallen: bool,
    gone: bool,
}

impl PacketPort {
    /// Opens a socket on a device of the calling thread's network namespace, in promiscuous mode.
    pub fn open(name: &str) -> Result<PacketPort, PortError> {
        PacketPort::open_for(name, &Take::Everything)
    }

    /// Opens a socket that sees only some frames. The host sees them as well.
    pub fn open_for(name: &str, take: &Take) -> Result<PacketPort, PortError> {
        let device = Device::open(name)?;
        let fail = |doing: &'static str| move |e| PortError::io(name, doing, e);
        // No protocol yet: nothing is queued before the options are set.
        let fd = socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_NONBLOCK, 0).map_err(fail("open packet socket"))?;
        for (option, doing) in [
            (libc::PACKET_VNET_HDR, "ask for offload headers"),
            (libc::PACKET_AUXDATA, "ask for VLAN tags"),
            (PACKET_IGNORE_OUTGOING, "ignore frames of the host"),
        ] {
            set_option(&fd, libc::SOL_PACKET, option, &1i32).map_err(fail(doing))?;
        }
        filter::attach(&fd, take).map_err(fail("filter frames"))?;
        if *take == Take::Everything {
            be_promiscuous(&fd, device.index()).map_err(fail("enter promiscuous mode"))?;
        }
        let shield = if *take == Take::Everything { Shield::raise(device.index()).ok() } else { None };
        // Larger buffers only help; without the right to force them the usual ones stay.
        for option in [libc::SO_RCVBUFFORCE, libc::SO_SNDBUFFORCE] {
            let _ = set_option(&fd, libc::SOL_SOCKET, option, &BUFFER);
        }
        // SAFETY: sockaddr_ll is plain old data; zero is a value of it.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = ETH_P_ALL.to_be();
        address.sll_ifindex = device.index() as i32;
        bind(&fd, &address).map_err(fail("bind packet socket"))?;
        Ok(PacketPort {
            device,
            fd,
            landing: Landing::default(),
            vectors: Vectors::default(),
            pieces: Vec::new(),
            waiting: Vec::new(),
            stats: PortStats::default(),
            shield,
            overruns: Cell::new(0),
            fallen: false,
            gone: false,
        })
    }

    /// Is the host's own stack kept from what comes in here?
    pub fn is_shielded(&self) -> bool {
        self.shield.is_some()
    }

    /// The device, to be asked and configured.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Changes which frames are seen, without a gap.
    pub fn retake(&mut self, take: &Take) -> Result<(), PortError> {
        filter::attach(&self.fd, take).map_err(|e| PortError::io(self.device.name(), "filter frames", e))
    }

    fn no_device(&self) -> PortError {
        PortError::io(self.device.name(), "receive", std::io::Error::from_raw_os_error(libc::ENODEV))
    }

    /// Reads one frame; `Ok(None)` when none waits.
    fn read(&mut self) -> Result<Option<Frame>, PortError> {
        if std::mem::take(&mut self.gone) {
            return Err(self.no_device());
        }
        loop {
            let mut header = [0; vnet::LEN];
            let mut control = Control([0; CONTROL]);
            let Received { bytes, flags, tag } = match self.receive_message(&mut header, &mut control) {
                Ok(received) => received,
                Err(e) => match e.raw_os_error() {
                    Some(libc::EAGAIN) => return Ok(None),
                    // A frame whose offloads the header cannot say: it is gone, the next may be good.
                    Some(libc::EINVAL) => {
                        self.stats.rx_errors += 1;
                        continue;
                    }
                    Some(libc::ENETDOWN) if self.device.exists() => {
                        self.fallen = true;
                        return Ok(None);
                    }
                    Some(libc::ENETDOWN) => return Err(self.no_device()),
                    _ => return Err(PortError::io(self.device.name(), "receive", e)),
                },
            };
            let len = bytes.saturating_sub(vnet::LEN);
            let whole = flags & libc::MSG_TRUNC == 0 && len >= FRAME_MIN;
            let Some(meta) = vnet::decode(&header).filter(|_| whole) else {
                self.stats.rx_errors += 1;
                continue;
            };
            let Some(mut frame) = self.landing.take(len) else {
                self.stats.rx_errors += 1;
                continue;
            };
            frame.meta = meta;
            if let Some(tag) = tag {
                restore_tag(&mut frame, tag);
            }
            return Ok(Some(frame));
        }
    }

    /// Cuts a large frame that is inside of a tunnel: its record says nothing of the outer headers, so
    /// that no other port could send it right.
    fn cut_tunnelled(&mut self, pool: &mut Pool, frame: Frame) {
        if offload::cut(pool, &frame, true, &mut self.waiting).is_err() {
            self.waiting.drain(..).for_each(|piece| pool.free(piece));
            self.stats.rx_dropped += 1;
        }
        self.waiting.reverse();
        pool.free(frame);
    }

    /// Reads one message into the landing.
    fn receive_message(&mut self, header: &mut [u8; vnet::LEN], control: &mut Control) -> std::io::Result<Received> {
        let vectors = self.landing.vectors(header);
        // SAFETY: msghdr is plain old data; zero is a value of it.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = vectors.as_mut_ptr();
        message.msg_iovlen = vectors.len() as _;
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = CONTROL as _;
        let fd = self.fd.as_raw_fd();
        // SAFETY: the message describes `header`, chunks that `landing` owns, and `control`.
        let n = retry(|| unsafe { libc::recvmsg(fd, &mut message, 0) })?;
        Ok(Received { bytes: n, flags: message.msg_flags, tag: kept_tag(&message) })
    }
}

/// Has the device take frames for other addresses as well, as long as the socket is open.
fn be_promiscuous(fd: &OwnedFd, device: u32) -> std::io::Result<()> {
    let member = libc::packet_mreq {
        mr_ifindex: device as i32,
        mr_type: libc::PACKET_MR_PROMISC as u16,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    set_option(fd, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &member)
}

/// One message of the socket.
struct Received {
    bytes: usize,
    flags: libc::c_int,
    /// TPID and TCI of the VLAN tag that was kept beside the frame.
    tag: Option<(u16, u16)>,
}

#[repr(align(8))]
struct Control([u8; CONTROL]);

/// The tag in the message's control part, if the frame had one.
fn kept_tag(message: &libc::msghdr) -> Option<(u16, u16)> {
    // SAFETY: the kernel filled in the control part and its length.
    let first = unsafe { libc::CMSG_FIRSTHDR(message) };
    // SAFETY: null, or a header inside of the control part.
    let c = unsafe { first.as_ref() }?;
    let needed = std::mem::size_of::<libc::cmsghdr>() + std::mem::size_of::<libc::tpacket_auxdata>();
    if c.cmsg_level != libc::SOL_PACKET || c.cmsg_type != libc::PACKET_AUXDATA || (c.cmsg_len as usize) < needed {
        return None;
    }
    // SAFETY: the length says that a whole tpacket_auxdata follows the header.
    let aux = unsafe { libc::CMSG_DATA(first).cast::<libc::tpacket_auxdata>().read_unaligned() };
    if aux.tp_status & libc::TP_STATUS_VLAN_VALID == 0 {
        return None;
    }
    let tpid = if aux.tp_status & libc::TP_STATUS_VLAN_TPID_VALID != 0 { aux.tp_vlan_tpid } else { 0x8100 };
    Some((tpid, aux.tp_vlan_tci))
}

/// Puts a tag back behind the addresses.
fn restore_tag(frame: &mut Frame, (tpid, tci): (u16, u16)) {
    if !frame.push_front(4) {
        return;
    }
    let bytes = frame.head_mut();
    if bytes.len() >= 16 {
        bytes.copy_within(4..16, 0);
        bytes[12..14].copy_from_slice(&tpid.to_be_bytes());
        bytes[14..16].copy_from_slice(&tci.to_be_bytes());
    }
    let meta = &mut frame.meta;
    if meta.needs_csum {
        meta.csum_start = meta.csum_start.saturating_add(4);
    }
    if meta.hdr_len > 0 {
        meta.hdr_len = meta.hdr_len.saturating_add(4);
    }
}

/// `tpacket_stats`, which the kernel resets on every reading.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct QueueStats {
    packets: u32,
    drops: u32,
}

impl Port for PacketPort {
    fn name(&self) -> &str {
        self.device.name()
    }

    fn device_changed(&mut self) {
        if self.fallen && !self.device.exists() {
            (self.fallen, self.gone) = (false, true);
        }
    }

    fn receive(&mut self, pool: &mut Pool, out: &mut Vec<Frame>, max: usize) -> Result<usize, PortError> {
        let mut n = 0;
        let mut result = Ok(());
        while n < max {
            if let Some(frame) = self.waiting.pop() {
                self.stats.count_rx(frame.len());
                out.push(frame);
                n += 1;
                continue;
            }
            if !self.landing.prepare(pool) {
                break;
            }
            match self.read() {
                Ok(Some(frame)) if offload::is_tunnelled(&frame) => self.cut_tunnelled(pool, frame),
                Ok(Some(frame)) => {
                    self.stats.count_rx(frame.len());
                    out.push(frame);
                    n += 1;
                }
                Ok(None) => break,
                Err(e) => {
                    result = Err(e);
                    break;
                }
            }
        }
        self.landing.release(pool);
        // The kernel reports an error once: it is not lost behind frames.
        result.map(|()| n)
    }

    fn send(&mut self, pool: &mut Pool, frames: &mut Vec<Frame>) -> SendOutcome {
        let PacketPort { fd, vectors, pieces, stats, .. } = self;
        offload::send_each(pool, frames, Offloads::ALL, pieces, stats, |pool, frame| {
            let header = vnet::encode(&frame);
            gather(&mut vectors.0, &header, &frame);
            let (p, count) = (vectors.0.as_ptr(), vectors.0.len() as libc::c_int);
            // SAFETY: the vectors describe `header` and the segments of `frame`, both alive here.
            let result = retry(|| unsafe { libc::writev(fd.as_raw_fd(), p, count) });
            pool.free(frame);
            result.map(drop).map_err(|e| send_drop(&e))
        })
    }

    fn poll_fd(&self) -> Option<RawFd> {
        Some(self.fd.as_raw_fd())
    }

    fn stats(&self) -> PortStats {
        let now: QueueStats = get_option(&self.fd, libc::SOL_PACKET, libc::PACKET_STATISTICS).unwrap_or_default();
        self.overruns.set(self.overruns.get() + u64::from(now.drops));
        let lost = self.overruns.get();
        PortStats { rx_dropped: self.stats.rx_dropped + lost, rx_over_err: lost, ..self.stats }
    }

    fn offloads(&self) -> Offloads {
        Offloads::ALL
    }

    fn close(mut self: Box<Self>, pool: &mut Pool) {
        self.waiting.drain(..).for_each(|piece| pool.free(piece));
    }
}
