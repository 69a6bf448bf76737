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

use sluice_frame::SharedWords;

use crate::conn::{Alg, Conn, NatKind};
use crate::tcp::{Peer, Side, State, Window};
use crate::timeouts::Class;
use crate::tuple::Tuple;

const WORDS: usize = 24;
/// Records that are made at once.
const CHUNK: usize = 1024;
/// Records that lie together: three huge pages of memory.
const SEGMENT: usize = 32_768;

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
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a>(&'a [AtomicU64; WORDS]);

impl<'a> Record<'a> {
    #[inline(always)]
    pub fn get(&self, i: usize) -> u64 {
        self.0.get(i).map_or(0, |w| w.load(Relaxed))
    }

    #[inline(always)]
    pub fn set(&self, i: usize, value: u64) {
        if let Some(w) = self.0.get(i) {
            w.store(value, Relaxed);
        }
    }

    /// The first word, for who wants to bring the record near.
    #[inline(always)]
    pub fn first_word(&self) -> &'a AtomicU64 {
        &self.0[0]
    }

    /// A word of each line that a new IPv4 connection writes.
    #[inline(always)]
    pub fn lines(&self) -> [&'a AtomicU64; 2] {
        [&self.0[0], &self.0[OWNER]]
    }

    #[inline(always)]
    pub fn is_alive(&self) -> bool {
        self.get(META) & ALIVE != 0
    }

    /// Is this packet's tuple the connection's original one (`false`) or its reply (`true`)?
    #[inline(always)]
    pub fn direction(&self, t: &Tuple) -> Option<bool> {
        [false, true].into_iter().find(|is_reply| self.has(t, *is_reply))
    }

    /// Is this the tuple of that direction?
    #[inline(always)]
    pub fn has(&self, t: &Tuple, is_reply: bool) -> bool {
        let meta = self.get(META);
        let (first, ports, rest) = match is_reply {
            false => (ORIG, meta, ORIG_V6),
            true => (REPLY, self.get(PORTS_MARK), REPLY_V6),
        };
        let differs = (meta as u32 ^ (t.class() | ALIVE as u32)) | ((ports >> 32) as u32 ^ t.ports);
        differs == 0 && self.get(first) == t.addresses[0] && (!t.v6 || (0..3).all(|i| self.get(rest + i) == t.addresses[i + 1]))
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

    /// Writes a new connection, but for its places in lists. Alive from here on.
    pub fn create(&self, c: &Conn) {
        if c.orig.v6 {
            for (i, (o, r)) in c.orig.addresses.iter().zip(&c.reply.addresses).skip(1).enumerate() {
                self.set(ORIG_V6 + i, *o);
                self.set(REPLY_V6 + i, *r);
            }
        }
        self.set(ORIG, c.orig.addresses[0]);
        self.set(REPLY, c.reply.addresses[0]);
        self.set(OWNER, u64::from(c.owner));
        if let Some(parent) = &c.parent {
            for (word, a) in PARENT.into_iter().zip(parent.addresses) {
                self.set(word, a);
            }
            self.set(PARENT_PORTS, u64::from(parent.ports));
        }
        self.write(c, Record::set);
        self.set(META, u64::from(c.orig.ports) << 32 | u64::from(c.orig.class()) | ALIVE);
    }

    /// Writes what changes in the life of a connection.
    pub fn store(&self, c: &Conn) {
        self.write(c, Record::put);
    }

    #[inline(always)]
    fn write(&self, c: &Conn, put: impl Fn(&Self, usize, u64)) {
        let [a, b] = c.peers;
        let mut state = a.state as u64 | (b.state as u64) << 4 | u64::from(a.scale) << 8 | u64::from(b.scale) << 16;
        state |= (c.class as u64) << 24 | u64::from(c.policy) << POLICY_SHIFT | (c.alg as u64) << ALG_SHIFT;
        state |= NAT_SRC * u64::from(c.nat.src) | NAT_DST * u64::from(c.nat.dst) | RELATED * u64::from(c.parent.is_some());
        state |= LABELLED * u64::from(c.label != 0) | COUNTED * u64::from(c.counted);
        if c.label != 0 {
            self.set(LABEL, (c.label >> 64) as u64);
            self.set(LABEL + 1, c.label as u64);
        }
        put(self, PORTS_MARK, u64::from(c.reply.ports) << 32 | u64::from(c.mark));
        put(self, STATE, state);
        put(self, PEER[0], u64::from(a.low) << 32 | u64::from(a.high));
        put(self, PEER[1], u64::from(b.low) << 32 | u64::from(b.high));
        put(self, TIME, u64::from(a.window) << 48 | u64::from(b.window) << 32 | u64::from(c.last_ms));
    }

    /// Writes a word where it changes: another worker's steady packet may just have moved it on.
    #[inline(always)]
    fn put(&self, i: usize, value: u64) {
        if self.get(i) != value {
            self.set(i, value);
        }
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

    /// What a steady packet needs beside the sequence numbers.
    #[inline(always)]
    pub fn steady(&self) -> Steady {
        let (state, time, mark) = (self.get(STATE), self.get(TIME), self.get(PORTS_MARK) as u32);
        let label = match state & LABELLED {
            0 => 0,
            _ => u128::from(self.get(LABEL)) << 64 | u128::from(self.get(LABEL + 1)),
        };
        Steady { state, time, mark, label }
    }

    /// Renews the time.
    #[inline(always)]
    pub fn renew(&self, seen: &Steady, now_ms: u32) {
        if seen.time as u32 != now_ms {
            self.set(TIME, seen.time & !0xffff_ffff | u64::from(now_ms));
        }
    }

    /// What the window of an established TCP connection is judged by: the sender's peer, then the receiver's.
    #[inline(always)]
    pub fn window(&self, seen: &Steady, is_reply: bool) -> Window {
        let (state, time) = (seen.state, seen.time);
        let (from, to) = (usize::from(is_reply), usize::from(!is_reply));
        let side = |i: usize| Side {
            sequence: self.get(PEER[i]),
            window: (time >> (48 - 16 * i)) as u16,
            scale: (state >> (8 + 8 * i)) as u8,
        };
        let established = State::Established as u64 | (State::Established as u64) << 4;
        Window { is_established: state & 0xff == established, from: side(from), to: side(to) }
    }

    /// Writes what a segment in the window changed, and the time.
    #[inline(always)]
    pub fn advance(&self, seen: &Steady, is_reply: bool, before: &Window, after: &Window, now_ms: u32) {
        let (from, to) = (usize::from(is_reply), usize::from(!is_reply));
        for (i, b, a) in [(from, &before.from, &after.from), (to, &before.to, &after.to)] {
            if b.sequence != a.sequence {
                self.set(PEER[i], a.sequence);
            }
        }
        let shift = 48 - 16 * from;
        let now = seen.time & !(0xffff << shift | 0xffff_ffff) | u64::from(after.from.window) << shift | u64::from(now_ms);
        if seen.time != now {
            self.set(TIME, now);
        }
    }
}

/// What a packet of an established connection takes from it: words read once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Steady {
    state: u64,
    time: u64,
    pub mark: u32,
    pub label: u128,
}

impl Steady {
    #[inline(always)]
    pub fn class(&self) -> Class {
        Class::from_bits(self.state >> 24)
    }

    #[inline(always)]
    pub fn policy(&self) -> u8 {
        (self.state >> POLICY_SHIFT) as u8
    }

    #[inline(always)]
    pub fn last_ms(&self) -> u32 {
        self.time as u32
    }

    #[inline(always)]
    pub fn is_related(&self) -> bool {
        self.state & RELATED != 0
    }

    #[inline(always)]
    pub fn has_alg(&self) -> bool {
        (self.state >> ALG_SHIFT) & 3 != 0
    }

    #[inline(always)]
    pub fn nat(&self) -> NatKind {
        NatKind { src: self.state & NAT_SRC != 0, dst: self.state & NAT_DST != 0 }
    }
}

/// All records: a list of segments that are made when they are first needed and never moved.
#[derive(Debug)]
pub(crate) struct Records {
    segments: Box<[OnceLock<SharedWords>]>,
    /// Chunks that were handed out, of `chunks`.
    made: AtomicU64,
    chunks: usize,
}

impl Records {
    /// Room for `max` connections.
    pub fn new(max: usize) -> Records {
        let segments = (0..max.div_ceil(SEGMENT)).map(|_| OnceLock::new()).collect();
        Records { segments, made: AtomicU64::new(0), chunks: max.div_ceil(CHUNK) }
    }

    #[inline(always)]
    pub fn get(&self, id: u32) -> Option<Record<'_>> {
        let (segment, at) = (id as usize / SEGMENT, id as usize % SEGMENT * WORDS);
        let words = self.segments.get(segment)?.get()?.get(at..at + WORDS)?;
        words.first_chunk().map(Record)
    }

    /// Ids of a chunk that no one has used; `None` when all are made.
    pub fn more(&self) -> Option<std::ops::Range<u32>> {
        let n = self.made.fetch_add(1, Relaxed) as usize;
        if n >= self.chunks {
            self.made.fetch_sub(1, Relaxed);
            return None;
        }
        self.segments.get(n * CHUNK / SEGMENT)?.get_or_init(|| SharedWords::zeroed(SEGMENT * WORDS));
        let first = (n * CHUNK) as u32;
        Some(first..first + CHUNK as u32)
    }

    /// Bytes in use.
    pub fn bytes(&self) -> usize {
        let words = self.made.load(Relaxed) as usize * CHUNK * WORDS;
        words * size_of::<u64>() + self.segments.len() * size_of::<OnceLock<SharedWords>>()
    }
}
