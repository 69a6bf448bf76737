//! A vhost-user front of our own: a guest's VMM and its virtio-net driver in one.
#![allow(dead_code)]

use std::mem::zeroed;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use super::driver::{Buf, Driver, Guest, Shape, USER};

pub const CSUM: u64 = 1 << 0;
pub const GUEST_CSUM: u64 = 1 << 1;
pub const GUEST_TSO4: u64 = 1 << 7;
pub const HOST_TSO4: u64 = 1 << 11;
pub const MRG_RXBUF: u64 = 1 << 15;
pub const MQ: u64 = 1 << 22;
pub const LOG_ALL: u64 = 1 << 26;
pub const INDIRECT: u64 = 1 << 28;
pub const EVENT_INDEX: u64 = 1 << 29;
pub const PROTOCOL: u64 = 1 << 30;
pub const VERSION_1: u64 = 1 << 32;
pub const IOMMU: u64 = 1 << 33;
pub const PACKED: u64 = 1 << 34;

/// Bytes of a header in front of frames.
pub const HEADER: usize = 12;
const BUFFER: u64 = 2048;

/// One queue pair's rings and buffers.
pub struct Pair {
    pub rx: Driver,
    pub tx: Driver,
    rx_buffers: Vec<u64>,
    tx_buffers: Vec<u64>,
    rx_at: std::collections::HashMap<u16, u64>,
    tx_at: std::collections::HashMap<u16, u64>,
    pub kicks: [OwnedFd; 2],
    pub calls: [OwnedFd; 2],
}

pub struct Front {
    pub socket: UnixStream,
    pub guest: Guest,
    pub features: u64,
    pub pairs: Vec<Pair>,
    pub size: u16,
    /// Added to guest addresses in descriptors and ring addresses, as an IOMMU would.
    pub iova: u64,
    /// Chains that are still to be announced when a frame takes several buffers.
    partial: Vec<u8>,
}

pub fn eventfd() -> OwnedFd {
    unsafe { OwnedFd::from_raw_fd(libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC)) }
}

pub fn send_message(socket: &UnixStream, request: u32, flags: u32, body: &[u8], fds: &[RawFd]) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    for word in [request, flags | 1, body.len() as u32] {
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    bytes.extend_from_slice(body);
    let mut vector = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let mut control = [0u64; 64];
    unsafe {
        let mut m: libc::msghdr = zeroed();
        m.msg_iov = &mut vector;
        m.msg_iovlen = 1;
        if !fds.is_empty() {
            m.msg_control = control.as_mut_ptr().cast();
            m.msg_controllen = libc::CMSG_SPACE(4 * fds.len() as u32) as usize;
            let c = libc::CMSG_FIRSTHDR(&m);
            (*c).cmsg_level = libc::SOL_SOCKET;
            (*c).cmsg_type = libc::SCM_RIGHTS;
            (*c).cmsg_len = libc::CMSG_LEN(4 * fds.len() as u32) as usize;
            for (i, fd) in fds.iter().enumerate() {
                libc::CMSG_DATA(c).cast::<RawFd>().add(i).write_unaligned(*fd);
            }
        }
        let n = libc::sendmsg(socket.as_raw_fd(), &m, libc::MSG_NOSIGNAL);
        if n < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// The next message: request, flags, body, a descriptor if one came.
pub fn read_message(socket: &UnixStream) -> std::io::Result<(u32, u32, Vec<u8>, Option<OwnedFd>)> {
    let mut bytes = [0u8; 256];
    let mut control = [0u64; 8];
    let mut vector = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: 12 };
    let mut fd = None;
    unsafe {
        let mut m: libc::msghdr = zeroed();
        m.msg_iov = &mut vector;
        m.msg_iovlen = 1;
        m.msg_control = control.as_mut_ptr().cast();
        m.msg_controllen = 64;
        let n = libc::recvmsg(socket.as_raw_fd(), &mut m, libc::MSG_WAITALL | libc::MSG_CMSG_CLOEXEC);
        if n < 12 {
            let e = if n < 0 { std::io::Error::last_os_error() } else { std::io::ErrorKind::UnexpectedEof.into() };
            return Err(e);
        }
        let c = libc::CMSG_FIRSTHDR(&m);
        if !c.is_null() {
            fd = Some(OwnedFd::from_raw_fd(libc::CMSG_DATA(c).cast::<RawFd>().read_unaligned()));
        }
    }
    let word = |i: usize| u32::from_ne_bytes(bytes[4 * i..4 * i + 4].try_into().unwrap());
    let (request, flags, len) = (word(0), word(1), word(2));
    let mut body = vec![0; len as usize];
    std::io::Read::read_exact(&mut &*socket, &mut body)?;
    Ok((request, flags, body, fd))
}

/// Listens where a switch connects to.
pub fn listen(path: &Path) -> UnixListener {
    let _ = std::fs::remove_file(path);
    UnixListener::bind(path).unwrap()
}

/// Waits for a connection of the switch.
pub fn accept(listener: &UnixListener) -> UnixStream {
    let mut p = libc::pollfd { fd: listener.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    assert_eq!(unsafe { libc::poll(&mut p, 1, 10_000) }, 1, "the switch does not connect");
    let s = listener.accept().unwrap().0;
    s.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    s
}

/// Connects to a switch that listens.
pub fn connect(path: &Path) -> UnixStream {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        match UnixStream::connect(path) {
            Ok(s) => {
                s.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                return s;
            }
            Err(e) => assert!(Instant::now() < end, "{}: {e}", path.display()),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Front {
    /// Agrees on features; nothing is started.
    pub fn new(socket: UnixStream, features: u64, pairs: usize, size: u16) -> Front {
        let mut guest = Guest::new(16 << 20);
        let packed = features & PACKED != 0;
        let shape = Shape { size, packed, event_index: features & EVENT_INDEX != 0, start: 0 };
        let pairs = (0..pairs).map(|_| Pair::new(&mut guest, shape)).collect();
        let mut f = Front { socket, guest, features, pairs, size, iova: 0, partial: Vec::new() };
        f.negotiate();
        f
    }

    /// The same guest with a new connection, as after either side died.
    pub fn reconnect(&mut self, socket: UnixStream) {
        self.socket = socket;
        self.negotiate();
    }

    fn negotiate(&mut self) {
        let offered = self.ask(1, &[]);
        assert_eq!(self.features & !offered, 0, "not offered: {:#x} of {offered:#x}", self.features & !offered);
        let extensions = self.ask(15, &[]);
        // Acknowledgements begin with this message, not for it.
        send_message(&self.socket, 16, 0, &extensions.to_ne_bytes(), &[]).unwrap();
        self.tell(3, &[], &[]);
        self.tell(2, &self.features.to_ne_bytes(), &[]);
    }

    /// A message without an answer, which is asked to be acknowledged.
    pub fn tell(&self, request: u32, body: &[u8], fds: &[RawFd]) {
        assert_eq!(self.try_tell(request, body, fds).unwrap(), 0, "message {request} refused");
    }

    /// The acknowledgement of a message; requests before the extensions were set have none.
    pub fn try_tell(&self, request: u32, body: &[u8], fds: &[RawFd]) -> std::io::Result<u64> {
        send_message(&self.socket, request, 8, body, fds)?;
        let (got, _, body, _) = read_message(&self.socket)?;
        assert_eq!(got, request);
        Ok(u64::from_ne_bytes(body[..8].try_into().unwrap()))
    }

    pub fn ask(&self, request: u32, body: &[u8]) -> u64 {
        u64::from_ne_bytes(self.ask_bytes(request, body).0[..8].try_into().unwrap())
    }

    pub fn ask_bytes(&self, request: u32, body: &[u8]) -> (Vec<u8>, Option<OwnedFd>) {
        send_message(&self.socket, request, 0, body, &[]).unwrap();
        let (got, flags, body, fd) = read_message(&self.socket).unwrap();
        assert_eq!((got, flags & 4), (request, 4));
        (body, fd)
    }

    pub fn share_memory(&self) {
        let mut body = 2u64.to_ne_bytes().to_vec();
        for (guest, len, offset) in self.guest.regions() {
            for word in [guest, len, guest + USER, offset] {
                body.extend_from_slice(&word.to_ne_bytes());
            }
        }
        let fd = self.guest.fd.as_raw_fd();
        self.tell(5, &body, &[fd, fd]);
    }

    /// Says all of one ring.
    pub fn start_ring(&self, ring: usize, base: u32) {
        let pair = &self.pairs[ring / 2];
        let (driver, side) = if ring % 2 == 0 { (&pair.rx, 0) } else { (&pair.tx, 1) };
        let state = |n: u32| [(ring as u32).to_ne_bytes(), n.to_ne_bytes()].concat();
        self.tell(8, &state(u32::from(self.size)), &[]);
        self.tell(10, &state(base), &[]);
        let log = self.features & LOG_ALL != 0;
        let mut body = [(ring as u32).to_ne_bytes(), u32::from(log).to_ne_bytes()].concat();
        let shift = if self.iova != 0 { self.iova } else { USER };
        for address in [driver.desc + shift, driver.device + shift, driver.driver + shift, driver.device] {
            body.extend_from_slice(&address.to_ne_bytes());
        }
        self.tell(9, &body, &[]);
        self.tell(13, &(ring as u64).to_ne_bytes(), &[pair.calls[side].as_raw_fd()]);
        self.tell(12, &(ring as u64).to_ne_bytes(), &[pair.kicks[side].as_raw_fd()]);
        if self.features & PROTOCOL != 0 {
            self.tell(18, &state(1), &[]);
        }
    }

    /// Memory and all rings, from where they are.
    pub fn start(&mut self) {
        self.share_memory();
        for ring in 0..2 * self.pairs.len() {
            let base = if ring % 2 == 0 { self.pairs[ring / 2].rx.base() } else { self.pairs[ring / 2].tx.base() };
            self.start_ring(ring, base);
        }
        self.refill();
    }

    /// Begins with empty rings, as a driver does that is loaded again.
    pub fn reset_rings(&mut self) {
        for p in &mut self.pairs {
            for d in [&mut p.rx, &mut p.tx] {
                *d = Driver::at(&self.guest, d.shape, d.desc, d.driver, d.device);
            }
            p.rx_buffers.extend(p.rx_at.drain().map(|(_, at)| at));
            p.tx_buffers.extend(p.tx_at.drain().map(|(_, at)| at));
        }
        self.partial.clear();
    }

    /// Stops a ring; where it would go on.
    pub fn stop_ring(&self, ring: usize) -> u32 {
        let body = [(ring as u32).to_ne_bytes(), [0; 4]].concat();
        let (answer, _) = self.ask_bytes(11, &body);
        u32::from_ne_bytes(answer[4..8].try_into().unwrap())
    }

    /// Gives the switch all free receive buffers.
    pub fn refill(&mut self) {
        for p in &mut self.pairs {
            while p.rx.room() > 0 {
                let Some(at) = p.rx_buffers.pop() else { break };
                let Some(id) = p.rx.add(&self.guest, &[Buf { address: at + self.iova, len: BUFFER as u32, write: true }], None) else { break };
                p.rx_at.insert(id, at);
            }
            p.rx.publish(&self.guest);
            if p.rx.wants_kick(&self.guest) {
                kick(&p.kicks[0]);
            }
        }
    }

    /// Sends one frame with a header of zeros; false when the ring is full.
    pub fn send(&mut self, pair: usize, frame: &[u8]) -> bool {
        self.send_with(pair, &[0; HEADER], frame)
    }

    pub fn send_with(&mut self, pair: usize, header: &[u8; HEADER], frame: &[u8]) -> bool {
        self.collect_sent();
        let p = &mut self.pairs[pair];
        let all = [&header[..], frame].concat();
        let mut bufs = Vec::new();
        let needed = all.len().div_ceil(BUFFER as usize);
        if needed > p.tx_buffers.len() || needed > usize::from(p.tx.room()) {
            return false;
        }
        let contiguous = p.tx_buffers.split_off(p.tx_buffers.len() - needed);
        for (at, part) in contiguous.iter().zip(all.chunks(BUFFER as usize)) {
            self.guest.write(*at, part);
            bufs.push(Buf { address: at + self.iova, len: part.len() as u32, write: false });
        }
        let id = p.tx.add(&self.guest, &bufs, None).expect("room was seen");
        // Only the first is found again by the id; the others are lost to this test's guest.
        p.tx_at.insert(id, contiguous[0]);
        p.tx.publish(&self.guest);
        if p.tx.wants_kick(&self.guest) {
            kick(&p.kicks[1]);
        }
        true
    }

    /// Takes back what was sent.
    pub fn collect_sent(&mut self) {
        for p in &mut self.pairs {
            while let Some((id, _)) = p.tx.pop(&self.guest) {
                let at = p.tx_at.remove(&id).expect("a buffer that was sent");
                p.tx_buffers.push(at);
            }
        }
    }

    /// The next frame that came: header and bytes.
    pub fn receive(&mut self, pair: usize) -> Option<(Vec<u8>, Vec<u8>)> {
        let p = &mut self.pairs[pair];
        let mut all = Vec::new();
        let mut left = 1;
        let mut first = true;
        while left > 0 {
            let got = p.rx.pop(&self.guest);
            let Some((id, len)) = got else {
                assert!(first, "buffers of one frame are shown together");
                return None;
            };
            let at = p.rx_at.remove(&id).expect("a buffer that was given");
            let bytes = self.guest.read(at, len as usize);
            p.rx_buffers.push(at);
            if first {
                left = u16::from_le_bytes([bytes[10], bytes[11]]).max(1);
            }
            first = false;
            left -= 1;
            all.extend(bytes);
        }
        self.refill();
        let frame = all.split_off(HEADER);
        Some((all, frame))
    }

    /// Waits for a frame.
    pub fn expect(&mut self, pair: usize) -> (Vec<u8>, Vec<u8>) {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(got) = self.receive(pair) {
                return got;
            }
            assert!(Instant::now() < end, "no frame comes");
            std::thread::yield_now();
        }
    }
}

impl Pair {
    fn new(g: &mut Guest, shape: Shape) -> Pair {
        let (rx, tx) = (Driver::new(g, shape), Driver::new(g, shape));
        let mut buffers = |n: u16| (0..n).map(|_| g.take(BUFFER, 64)).collect::<Vec<u64>>();
        let (rx_buffers, tx_buffers) = (buffers(shape.size), buffers(shape.size));
        Pair {
            rx,
            tx,
            rx_buffers,
            tx_buffers,
            rx_at: Default::default(),
            tx_at: Default::default(),
            kicks: [eventfd(), eventfd()],
            calls: [eventfd(), eventfd()],
        }
    }
}

pub fn kick(fd: &OwnedFd) {
    let one = 1u64;
    unsafe { libc::write(fd.as_raw_fd(), std::ptr::from_ref(&one).cast(), 8) };
}

/// Was an event descriptor signalled since the last time?
pub fn was_called(fd: &OwnedFd) -> bool {
    let mut n = 0u64;
    (unsafe { libc::read(fd.as_raw_fd(), std::ptr::from_mut(&mut n).cast(), 8) }) == 8
}
