//! An attacker: a port that offers as many frames as it is asked for, each the worst of its kind.
//!
//! Invariant: the same attack sends the same frames in every run.
//! Deliberately does not know: what the switch does with them.

use std::os::fd::RawFd;

use sluice_fixtures::Random;
use sluice_frame::{Frame, Pool};
use sluice_port::{Offloads, Port, PortError, PortStats, SendOutcome};
use sluice_wire::checksum;

/// The attacker's own address in the rules.
pub const MAC: [u8; 6] = [0xfa, 0x16, 0x3e, 0, 0, 3];
const VICTIM: [u8; 6] = [0xfa, 0x16, 0x3e, 0, 0, 2];
const IPV4: usize = 14;
const L4: usize = IPV4 + 20;

/// What the attacker sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attack {
    /// Known flows: what a neighbour may do. Others are measured beside this.
    Plain,
    /// Every field that rules look at is random: as many masks as a learning switch would learn.
    Explosion,
    /// Flows whose keys have the same place in the flow cache, by someone who knows its seeds.
    Collision,
    /// All ports of all addresses, one after the other.
    PortScan,
    /// Each frame from another Ethernet address.
    MacFlood,
    /// Each segment opens another connection.
    ConnectionFlood,
    /// TTL 1: each packet ends here.
    Ttl,
    /// Pieces of datagrams that are never complete.
    Fragments,
}

impl Attack {
    /// Every one, the plain neighbour first.
    pub const ALL: [Attack; 8] = [
        Attack::Plain,
        Attack::Explosion,
        Attack::Collision,
        Attack::PortScan,
        Attack::MacFlood,
        Attack::ConnectionFlood,
        Attack::Ttl,
        Attack::Fragments,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Attack::Plain => "plain established traffic",
            Attack::Explosion => "tuple-space explosion",
            Attack::Collision => "hash collision",
            Attack::PortScan => "port scan",
            Attack::MacFlood => "MAC flood",
            Attack::ConnectionFlood => "connection flood",
            Attack::Ttl => "TTL flood",
            Attack::Fragments => "fragment flood",
        }
    }

    /// Writes frame number `n` into a copy of [`template`].
    fn write(self, b: &mut [u8; 60], n: u64, random: &mut Random) {
        match self {
            Attack::Plain => word(b, IPV4 + 12, 0x0a00_0000 | (n % 10_000) as u32),
            Attack::Explosion => {
                let r = random.next_u64();
                word(b, IPV4 + 12, 0x0a00_0000 | (r as u32 & 0xff_ffff));
                word(b, IPV4 + 16, (r >> 24) as u32);
                word(b, L4, random.next_u64() as u32);
                b[IPV4 + 1] = (r >> 56) as u8;
                b[IPV4 + 9] = [6, 17, 1, 132][(r >> 40) as usize & 3];
            }
            // Its flows are chosen beforehand: see `Source::with_flows`.
            Attack::Collision => {}
            Attack::PortScan => {
                word(b, IPV4 + 16, 0x0a01_0000 | (n >> 16) as u32 & 0xffff);
                b[L4 + 2..L4 + 4].copy_from_slice(&(n as u16).to_be_bytes());
            }
            Attack::MacFlood => {
                let r = random.next_u64();
                b[6..12].copy_from_slice(&[2, r as u8, (r >> 8) as u8, (r >> 16) as u8, (r >> 24) as u8, (r >> 32) as u8]);
            }
            Attack::ConnectionFlood => {
                b[IPV4 + 9] = 6;
                b[L4 + 12..L4 + 14].copy_from_slice(&[0x50, 2]);
                word(b, IPV4 + 12, 0x0a00_0000 | (n as u32 & 0xff_ffff));
                word(b, L4, (random.next_u64() as u32 & 0xffff_0000) | 80);
            }
            Attack::Ttl => {
                b[IPV4 + 8] = 1;
                word(b, IPV4 + 12, 0x0a00_0000 | (n as u32 & 0xff_ffff));
            }
            Attack::Fragments => {
                b[IPV4 + 4..IPV4 + 6].copy_from_slice(&(n as u16).to_be_bytes());
                b[IPV4 + 6..IPV4 + 8].copy_from_slice(&[0x20 | (n >> 8) as u8 & 0x1f, n as u8]);
                word(b, IPV4 + 12, 0x0a00_0000 | (n as u32 & 0xff_ffff));
            }
        }
    }
}

fn word(b: &mut [u8; 60], at: usize, value: u32) {
    if let Some(place) = b.get_mut(at..at + 4) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

/// A UDP packet of the attacker's to the victims' receiver.
pub fn template() -> [u8; 60] {
    let mut f = [0; 60];
    f[..6].copy_from_slice(&VICTIM);
    f[6..12].copy_from_slice(&MAC);
    f[12..14].copy_from_slice(&[8, 0]);
    f[14..24].copy_from_slice(&[0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17]);
    f[26..30].copy_from_slice(&[10, 0, 0, 3]);
    f[30..34].copy_from_slice(&[10, 1, 0, 6]);
    f[34..42].copy_from_slice(&[4, 0, 0, 53, 0, 26, 0, 0]);
    f
}

/// Frames of an attack, number by number.
pub struct Frames {
    attack: Attack,
    n: u64,
    random: Random,
    chosen: Vec<[u8; 60]>,
}

impl Frames {
    /// From the first one on. `chosen` is what [`Attack::Collision`] repeats.
    pub fn new(attack: Attack, chosen: Vec<[u8; 60]>) -> Self {
        Frames { attack, n: 0, random: Random::new(99), chosen }
    }

    /// The next one.
    pub fn next_frame(&mut self) -> [u8; 60] {
        let n = self.n;
        self.n += 1;
        if let (Attack::Collision, Some(f)) = (self.attack, self.chosen.get(n as usize % self.chosen.len().max(1))) {
            return *f;
        }
        let mut frame = template();
        self.attack.write(&mut frame, n, &mut self.random);
        frame
    }
}

/// Writes the checksums of an IPv4 header without options and of the TCP segment behind it.
pub fn write_checksums(b: &mut [u8; 60]) {
    let len = u16::from_be_bytes([b[IPV4 + 2], b[IPV4 + 3]]) - (L4 - IPV4) as u16;
    b[IPV4 + 10..IPV4 + 12].fill(0);
    b[L4 + 16..L4 + 18].fill(0);
    let header = checksum::finish(checksum::sum(&b[IPV4..L4]));
    let pseudo = checksum::sum(&b[IPV4 + 12..L4]) + u64::from(b[IPV4 + 9]) + u64::from(len);
    let segment = checksum::finish(pseudo + checksum::sum(&b[L4..]));
    b[IPV4 + 10..IPV4 + 12].copy_from_slice(&header.to_be_bytes());
    b[L4 + 16..L4 + 18].copy_from_slice(&segment.to_be_bytes());
}

/// The attacker's port.
pub struct Source {
    frames: Frames,
    stats: PortStats,
    /// Checksums were verified by the device.
    verified: bool,
    /// It sends TCP segments with right checksums.
    tcp: bool,
}

impl Source {
    /// Sends these.
    pub fn new(frames: Frames) -> Self {
        Source { frames, stats: PortStats::default(), verified: false, tcp: false }
    }

    /// As from a device that has verified checksums: who tracks connections does not look at them.
    #[must_use]
    pub fn trusted(self) -> Self {
        Source { verified: true, ..self }
    }

    /// TCP segments with right checksums, as a device hands them in that verifies none.
    #[must_use]
    pub fn right(self) -> Self {
        Source { tcp: true, ..self }
    }
}

impl Port for Source {
    fn name(&self) -> &str {
        "attacker"
    }

    fn receive(&mut self, pool: &mut Pool, out: &mut Vec<Frame>, max: usize) -> Result<usize, PortError> {
        for n in 0..max {
            let mut bytes = self.frames.next_frame();
            if self.tcp {
                write_checksums(&mut bytes);
            }
            let Some(mut frame) = pool.copy_in(&bytes) else { return Ok(n) };
            frame.meta.csum_valid = self.verified;
            self.stats.rx_packets += 1;
            self.stats.rx_bytes += bytes.len() as u64;
            out.push(frame);
        }
        Ok(max)
    }

    fn send(&mut self, pool: &mut Pool, frames: &mut Vec<Frame>) -> SendOutcome {
        frames.drain(..).for_each(|f| pool.free(f));
        SendOutcome::default()
    }

    fn poll_fd(&self) -> Option<RawFd> {
        None
    }

    fn stats(&self) -> PortStats {
        self.stats
    }

    fn offloads(&self) -> Offloads {
        Offloads::NONE
    }
}
