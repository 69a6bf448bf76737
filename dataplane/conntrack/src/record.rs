//! Where a connection is kept: words that every worker may read while one of them writes.
//!
//! The first eight words, one line of memory, are all that a packet of an established IPv4 connection
//! touches; addresses of IPv6 lie in the third line.
//! Invariant: who creates, moves or removes a record holds the lock of its shard; steady packets store
//! to the words of their direction and to the time without it, and what they lose to each other is a
//! little of a window, never a state.
//! Deliberately does not know: look-up, expiry, what the words mean to a packet.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::OnceLock;

use crate::conn::{Alg, Conn, NatKind};
use crate::tcp::{Peer, State};
use crate::timeouts::Class;
use crate::tuple::Tuple;

const WORDS: usize = 24;
const CHUNK: usize = 1024;

const ORIG: usize = 0;
const REPLY: usize = 1;
/// Original ports 32, zone 16, protocol 8, IPv6 1 (at bit 1), alive 1.
const META: usize = 2;
/// Reply ports 32, mark 32.
const PORTS_MARK: usize = 3;
/// Peers' states 4+4, scales 8+8, class 4, flags, policy 8 (at bit 40).
const STATE: usize = 4;
/// Sequence numbers of each peer: low 32, high 32.
const PEER: [usize; 2] = [5, 6];
/// Windows 16+16, time of the last packet 32.
const TIME: usize = 7;
const LABEL: usize = 8;
/// Owner 32, place in the wheel 16.
pub(crate) const OWNER: usize = 10;
/// Neighbours in the wheel's list: previous 32, next 32.
pub(crate) const WHEEL: usize = 11;
/// Neighbours among the owner's half-open connections.
pub(crate) const HALF: usize = 12;
/// The announcing connection's tuple: the rest of it is as its own.
const PARENT: [usize; 4] = [13, 14, 15, 22];
const PARENT_PORTS: usize = 23;
const ORIG_V6: usize = 16;
const REPLY_V6: usize = 19;

const ALIVE: u64 = 1;
const V6: u64 = 2;

const NAT_SRC: u64 = 1 << 28;
const NAT_DST: u64 = 1 << 29;
const RELATED: u64 = 1 << 30;
const LABELLED: u64 = 1 << 31;
const ALG_SHIFT: u32 = 32;
const COUNTED: u64 = 1 << 34;
const POLICY_SHIFT: u32 = 40;

/// The words of one connection.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Record {
    words: [AtomicU64; WORDS],
}

impl Record {
    fn empty() -> Record {
        Record { words: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    #[inline(always)]
    pub fn get(&self, i: usize) -> u64 {
        self.words.get(i).map_or(0, |w| w.load(Relaxed))
    }

    #[inline(always)]
    pub fn set(&self, i: usize, value: u64) {
        if let Some(w) = self.words.get(i) {
            w.store(value, Relaxed);
        }
    }

    #[inline(always)]
    pub fn is_alive(&self) -> bool {
        self.get(META) & ALIVE != 0
    }

    /// Is this packet's tuple the connection's original one (`false`) or its reply (`true`)?
    #[inline(always)]
    pub fn direction(&self, t: &Tuple) -> Option<bool> {
        let meta = self.get(META);
        if meta as u32 != t.class() | ALIVE as u32 {
            return None;
        }
        let first = t.addresses[0];
        let rest = |from: usize| !t.v6 || (0..3).all(|i| self.get(from + i) == t.addresses[i + 1]);
        if self.get(ORIG) == first && (meta >> 32) as u32 == t.ports && rest(ORIG_V6) {
            return Some(false);
        }
        if self.get(REPLY) == first && (self.get(PORTS_MARK) >> 32) as u32 == t.ports && rest(REPLY_V6) {
            return Some(true);
        }
        None
    }

    /// The original tuple.
    pub fn orig(&self) -> Tuple {
        self.tuple(ORIG, ORIG_V6, (self.get(META) >> 32) as u32)
    }

    /// The reply's tuple.
    pub fn reply(&self) -> Tuple {
        self.tuple(REPLY, REPLY_V6, (self.get(PORTS_MARK) >> 32) as u32)
    }

    /// Of an expected connection: the original tuple of the one that announced it.
    fn parent(&self) -> Tuple {
        Tuple { addresses: PARENT.map(|word| self.get(word)), ports: self.get(PARENT_PORTS) as u32, ..self.orig() }
    }

    fn tuple(&self, first: usize, rest: usize, ports: u32) -> Tuple {
        let meta = self.get(META);
        let v6 = meta & V6 != 0;
        let mut addresses = [self.get(first), 0, 0, 0];
        if v6 {
            for (i, a) in addresses.iter_mut().skip(1).enumerate() {
                *a = self.get(rest + i);
            }
        }
        Tuple { addresses, ports, zone: (meta >> 16) as u16, proto: (meta >> 8) as u8, v6 }
    }

    /// The whole connection.
    pub fn load(&self) -> Conn {
        let (state, time, mark) = (self.get(STATE), self.get(TIME), self.get(PORTS_MARK) as u32);
        let label = match state & LABELLED {
            0 => 0,
            _ => u128::from(self.get(LABEL)) << 64 | u128::from(self.get(LABEL + 1)),
        };
        Conn {
            orig: self.orig(),
            reply: self.reply(),
            mark,
            label,
            peers: [self.peer(0, state, time), self.peer(1, state, time)],
            class: Class::from_bits(state >> 24),
            policy: (state >> POLICY_SHIFT) as u8,
            last_ms: time as u32,
            nat: NatKind { src: state & NAT_SRC != 0, dst: state & NAT_DST != 0 },
            parent: (state & RELATED != 0).then(|| self.parent()),
            alg: match (state >> ALG_SHIFT) & 3 {
                1 => Alg::Ftp,
                2 => Alg::Tftp,
                _ => Alg::None,
            },
            owner: self.get(OWNER) as u32,
            counted: state & COUNTED != 0,
        }
    }

    fn peer(&self, i: usize, state: u64, time: u64) -> Peer {
        let sequence = self.get(if i == 0 { PEER[0] } else { PEER[1] });
        Peer {
            state: State::from_bits(state >> (4 * i)),
            low: (sequence >> 32) as u32,
            high: sequence as u32,
            window: (time >> (48 - 16 * i)) as u16,
            scale: (state >> (8 + 8 * i)) as u8,
        }
    }

    /// Writes a new connection. Alive from here on.
    pub fn create(&self, c: &Conn) {
        for (i, (o, r)) in c.orig.addresses.iter().zip(&c.reply.addresses).skip(1).enumerate() {
            self.set(ORIG_V6 + i, *o);
            self.set(REPLY_V6 + i, *r);
        }
        self.set(ORIG, c.orig.addresses[0]);
        self.set(REPLY, c.reply.addresses[0]);
        self.set(OWNER, u64::from(c.owner));
        self.set(WHEEL, 0);
        self.set(HALF, 0);
        if let Some(parent) = &c.parent {
            for (word, a) in PARENT.into_iter().zip(parent.addresses) {
                self.set(word, a);
            }
            self.set(PARENT_PORTS, u64::from(parent.ports));
        }
        self.store(c);
        self.set(META, u64::from(c.orig.ports) << 32 | u64::from(c.orig.class()) | ALIVE);
    }

    /// Writes what changes in the life of a connection.
    pub fn store(&self, c: &Conn) {
        let [a, b] = c.peers;
        let mut state = a.state as u64 | (b.state as u64) << 4 | u64::from(a.scale) << 8 | u64::from(b.scale) << 16;
        state |= (c.class as u64) << 24 | u64::from(c.policy) << POLICY_SHIFT | (c.alg as u64) << ALG_SHIFT;
        for (bit, is) in [(NAT_SRC, c.nat.src), (NAT_DST, c.nat.dst), (RELATED, c.parent.is_some()), (LABELLED, c.label != 0), (COUNTED, c.counted)] {
            state |= if is { bit } else { 0 };
        }
        if c.label != 0 {
            self.set(LABEL, (c.label >> 64) as u64);
            self.set(LABEL + 1, c.label as u64);
        }
        self.set(PORTS_MARK, u64::from(c.reply.ports) << 32 | u64::from(c.mark));
        self.set(STATE, state);
        self.set(PEER[0], u64::from(a.low) << 32 | u64::from(a.high));
        self.set(PEER[1], u64::from(b.low) << 32 | u64::from(b.high));
        self.set(TIME, u64::from(a.window) << 48 | u64::from(b.window) << 32 | u64::from(c.last_ms));
    }

    /// Ends the connection.
    pub fn kill(&self) {
        self.set(META, 0);
    }

    /// When a packet last renewed it, its class and its policy.
    #[inline(always)]
    pub fn age(&self) -> (u32, Class, u8) {
        let state = self.get(STATE);
        (self.get(TIME) as u32, Class::from_bits(state >> 24), (state >> POLICY_SHIFT) as u8)
    }

    /// What a steady packet needs: mark, label, is-related, what NAT does.
    #[inline(always)]
    pub fn steady(&self) -> Steady {
        let state = self.get(STATE);
        let label = match state & LABELLED {
            0 => 0,
            _ => u128::from(self.get(LABEL)) << 64 | u128::from(self.get(LABEL + 1)),
        };
        Steady {
            mark: self.get(PORTS_MARK) as u32,
            label,
            is_related: state & RELATED != 0,
            has_alg: (state >> ALG_SHIFT) & 3 != 0,
            nat: NatKind { src: state & NAT_SRC != 0, dst: state & NAT_DST != 0 },
        }
    }

    /// Renews the time.
    #[inline(always)]
    pub fn renew(&self, now_ms: u32) {
        let time = self.get(TIME);
        if time as u32 != now_ms {
            self.set(TIME, time & !0xffff_ffff | u64::from(now_ms));
        }
    }

    /// Both peers of an established TCP connection.
    #[inline(always)]
    pub fn peers(&self) -> [Peer; 2] {
        let (state, time) = (self.get(STATE), self.get(TIME));
        [self.peer(0, state, time), self.peer(1, state, time)]
    }

    /// Writes what a segment in the window changes: sequence numbers, windows, time.
    #[inline(always)]
    pub fn advance(&self, before: &[Peer; 2], after: &[Peer; 2], now_ms: u32) {
        for (i, place) in PEER.into_iter().enumerate() {
            let (b, a) = (&before[i], &after[i]);
            if (b.low, b.high) != (a.low, a.high) {
                self.set(place, u64::from(a.low) << 32 | u64::from(a.high));
            }
        }
        let time = u64::from(after[0].window) << 48 | u64::from(after[1].window) << 32 | u64::from(now_ms);
        if time != self.get(TIME) {
            self.set(TIME, time);
        }
    }
}

/// What a packet of an established connection takes from it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Steady {
    pub mark: u32,
    pub label: u128,
    pub is_related: bool,
    pub has_alg: bool,
    pub nat: NatKind,
}

/// All records: a list of chunks that are made when they are first needed and never moved.
#[derive(Debug)]
pub(crate) struct Records {
    chunks: Box<[OnceLock<Box<[Record]>>]>,
    made: AtomicU64,
}

impl Records {
    /// Room for `max` connections.
    pub fn new(max: usize) -> Records {
        Records { chunks: (0..max.div_ceil(CHUNK)).map(|_| OnceLock::new()).collect(), made: AtomicU64::new(0) }
    }

    #[inline(always)]
    pub fn get(&self, id: u32) -> Option<&Record> {
        let i = id as usize;
        self.chunks.get(i / CHUNK)?.get()?.get(i % CHUNK)
    }

    /// Ids of a chunk that no one has used; `None` when all are made.
    pub fn more(&self) -> Option<std::ops::Range<u32>> {
        let n = self.made.fetch_add(1, Relaxed);
        let Some(chunk) = self.chunks.get(n as usize) else {
            self.made.fetch_sub(1, Relaxed);
            return None;
        };
        chunk.get_or_init(|| (0..CHUNK).map(|_| Record::empty()).collect());
        let first = n as u32 * CHUNK as u32;
        Some(first..first + CHUNK as u32)
    }

    /// Bytes in use.
    pub fn bytes(&self) -> usize {
        self.made.load(Relaxed) as usize * CHUNK * size_of::<Record>() + self.chunks.len() * size_of::<OnceLock<Box<[Record]>>>()
    }
}

impl Record {
    /// The first word, for who wants to bring the record near.
    #[inline(always)]
    pub fn first_word(&self) -> Option<&AtomicU64> {
        self.words.first()
    }
}
