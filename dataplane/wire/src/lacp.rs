//! Link Aggregation Control Protocol data units (IEEE 802.1AX, 6.4.2).
//!
//! Purpose: reading and writing the parts that matter: actor, partner and how long to wait.
//! Invariant: what is written is read as the same; anything else than version 1's layout is `None`.
//! Deliberately does not know: what is done with it.

use crate::bytes::array_at;

/// Where these messages are sent to.
pub const ADDRESS: [u8; 6] = [0x01, 0x80, 0xc2, 0, 0, 2];
/// Ethernet type of "slow protocols".
pub const ETH_TYPE: u16 = 0x8809;
/// Bytes of a whole frame, without check sequence.
pub const FRAME_LEN: usize = 124;

const SUBTYPE: u8 = 1;
const VERSION: u8 = 1;
const ACTOR: usize = 16;
const PARTNER: usize = 36;
const COLLECTOR: usize = 56;
const INFO_LEN: u8 = 20;
const COLLECTOR_LEN: u8 = 16;

/// Bits of a participant's state.
pub mod state {
    /// Speaks by itself.
    pub const ACTIVE: u8 = 0x01;
    /// Wants to hear every second.
    pub const TIMEOUT: u8 = 0x02;
    /// May be part of a group.
    pub const AGGREGATION: u8 = 0x04;
    /// Is in the right group.
    pub const SYNC: u8 = 0x08;
    /// Receives.
    pub const COLLECTING: u8 = 0x10;
    /// Sends.
    pub const DISTRIBUTING: u8 = 0x20;
    /// Never heard of its partner.
    pub const DEFAULTED: u8 = 0x40;
    /// Has not heard of its partner for too long.
    pub const EXPIRED: u8 = 0x80;
}

/// What a participant says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Info {
    /// Priority of the system.
    pub system_priority: u16,
    /// Address of the system.
    pub system: [u8; 6],
    /// Links with equal keys may be grouped.
    pub key: u16,
    /// Priority of the port.
    pub port_priority: u16,
    /// Number of the port.
    pub port: u16,
    /// Bits of [`state`].
    pub state: u8,
}

/// A message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Pdu {
    /// Who sends it.
    pub actor: Info,
    /// Whom it believes to be at the other end.
    pub partner: Info,
}

impl Pdu {
    /// Reads a whole Ethernet frame without VLAN tag.
    pub fn read(frame: &[u8]) -> Option<Pdu> {
        let [t0, t1, subtype, version] = *array_at::<4>(frame, 12)?;
        if u16::from_be_bytes([t0, t1]) != ETH_TYPE || subtype != SUBTYPE || version != VERSION {
            return None;
        }
        if *array_at(frame, ACTOR)? != [1, INFO_LEN] || *array_at(frame, PARTNER)? != [2, INFO_LEN] {
            return None;
        }
        Some(Pdu { actor: info(frame, ACTOR)?, partner: info(frame, PARTNER)? })
    }

    /// The frame, from this address.
    pub fn frame(&self, from: [u8; 6]) -> Vec<u8> {
        let mut out = Vec::with_capacity(FRAME_LEN);
        out.extend(ADDRESS);
        out.extend(from);
        out.extend(ETH_TYPE.to_be_bytes());
        out.extend([SUBTYPE, VERSION]);
        put(&mut out, 1, &self.actor);
        put(&mut out, 2, &self.partner);
        out.resize(COLLECTOR, 0);
        out.extend([3, COLLECTOR_LEN]);
        out.resize(FRAME_LEN, 0);
        out
    }
}

fn info(frame: &[u8], at: usize) -> Option<Info> {
    let two = |o: usize| array_at(frame, at + o).copied().map(u16::from_be_bytes);
    Some(Info {
        system_priority: two(2)?,
        system: *array_at(frame, at + 4)?,
        key: two(10)?,
        port_priority: two(12)?,
        port: two(14)?,
        state: *frame.get(at + 16)?,
    })
}

fn put(out: &mut Vec<u8>, kind: u8, i: &Info) {
    out.extend([kind, INFO_LEN]);
    out.extend(i.system_priority.to_be_bytes());
    out.extend(i.system);
    out.extend(i.key.to_be_bytes());
    out.extend(i.port_priority.to_be_bytes());
    out.extend(i.port.to_be_bytes());
    out.push(i.state);
    out.extend([0; 3]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let actor = Info { system_priority: 0x8000, system: [2, 0, 0, 0, 0, 1], key: 7, port_priority: 3, port: 9, state: 0x3d };
        let pdu = Pdu { actor, partner: Info { port: 4, ..actor } };
        let frame = pdu.frame([2; 6]);
        assert_eq!((frame.len(), Pdu::read(&frame)), (FRAME_LEN, Some(pdu)));
        for n in 0..ACTOR + 17 {
            assert_eq!(Pdu::read(frame.get(..n).unwrap_or(&[])), None);
        }
    }
}
