//! Tunnel options (Geneve's, RFC 8926 section 3.5) and their places in the flow key.
//!
//! Purpose: a controller maps options, by class and type, to the numbers of the `tun_metadata` fields; this
//! table says where the bytes of each mapped option lie. Space is found as Open vSwitch finds it: the first gap
//! that is long enough, else the longest one and more of them.
//! Invariant: no two options share a byte; a mapping keeps its place until it is removed.
//! Deliberately does not know: rules, frames.

use crate::key::{slot, Key, Slot, TUN_OPTIONS, TUN_OPTION_BYTES};

/// Options take space in units of so many bytes.
const UNIT: u16 = 4;
const UNITS: u16 = TUN_OPTION_BYTES / UNIT;

/// Why a mapping was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapError {
    /// The number has a mapping.
    AlreadyMapped,
    /// Another number has this option.
    Duplicate,
    /// Too little space is left, or there is no such number.
    Full,
}

/// Where a part of an option's value lies.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Run {
    /// First byte of the room for options.
    at: u8,
    /// Bytes, 1..=124.
    len: u8,
}

/// One mapping.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Mapped {
    /// Option class.
    pub class: u16,
    /// Option type; its highest bit says that who does not know the option must drop the packet.
    pub kind: u8,
    /// Bytes of the option's value, 0..=124.
    pub len: u8,
    runs: Vec<Run>,
}

/// A piece of an option's value that lies in one word of the key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// Where.
    pub slot: Slot,
    /// Which bit of the value is the piece's lowest.
    pub lowest: u16,
}

/// The mappings of one bridge, or the places that one match gave the options it speaks of.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct OptionMap {
    /// By number, rising.
    mapped: Vec<(u8, Mapped)>,
}

impl OptionMap {
    /// No mappings.
    pub const fn new() -> OptionMap {
        OptionMap { mapped: Vec::new() }
    }

    /// The mapping of `tun_metadata` number `n`.
    pub fn get(&self, n: u8) -> Option<&Mapped> {
        self.mapped.binary_search_by_key(&n, |m| m.0).ok().map(|i| &self.mapped[i].1)
    }

    /// All mappings, by rising number.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &Mapped)> {
        self.mapped.iter().map(|(n, m)| (*n, m))
    }

    /// The number that an option has, and its mapping.
    pub fn by_type(&self, class: u16, kind: u8) -> Option<(u8, &Mapped)> {
        self.iter().find(|(_, m)| (m.class, m.kind) == (class, kind))
    }

    /// True without any mapping.
    pub fn is_empty(&self) -> bool {
        self.mapped.is_empty()
    }

    /// Maps an option with a value of `len` bytes (a multiple of 4) to a number.
    pub fn add(&mut self, n: u8, class: u16, kind: u8, len: u8) -> Result<(), MapError> {
        if self.get(n).is_some() {
            return Err(MapError::AlreadyMapped);
        }
        if self.by_type(class, kind).is_some() {
            return Err(MapError::Duplicate);
        }
        let runs = self.space(u16::from(len).div_ceil(UNIT)).ok_or(MapError::Full)?;
        self.insert(n, Mapped { class, kind, len, runs })
    }

    /// Gives a number `len` bytes behind all others, whatever their number: for one match by itself.
    pub fn append(&mut self, n: u8, len: u8) -> Result<(), MapError> {
        if self.get(n).is_some() {
            return Err(MapError::AlreadyMapped);
        }
        let used: u16 = self.mapped.iter().map(|(_, m)| u16::from(m.len)).sum();
        if used + u16::from(len) > TUN_OPTION_BYTES {
            return Err(MapError::Full);
        }
        let run = u8::try_from(used).ok().filter(|_| len != 0).map(|at| Run { at, len });
        self.insert(n, Mapped { class: 0, kind: 0, len, runs: run.into_iter().collect() })
    }

    fn insert(&mut self, n: u8, mapped: Mapped) -> Result<(), MapError> {
        match self.mapped.binary_search_by_key(&n, |m| m.0) {
            Err(i) if n < TUN_OPTIONS => {
                self.mapped.insert(i, (n, mapped));
                Ok(())
            }
            _ => Err(MapError::Full),
        }
    }

    /// Removes the mapping of a number, if there is one.
    pub fn remove(&mut self, n: u8) {
        self.mapped.retain(|m| m.0 != n);
    }

    /// Which units are taken.
    fn taken(&self) -> u64 {
        let units = |r: &Run| (u16::from(r.at) / UNIT..(u16::from(r.at) + u16::from(r.len)).div_ceil(UNIT)).map(|u| 1u64 << u);
        self.mapped.iter().flat_map(|(_, m)| &m.runs).flat_map(units).fold(0, |all, u| all | u)
    }

    /// Finds room for so many units; `None` when there is too little.
    fn space(&self, mut wanted: u16) -> Option<Vec<Run>> {
        let (mut taken, mut runs) = (self.taken(), Vec::new());
        while wanted > 0 {
            let (start, len) = gap(taken, wanted)?;
            (start..start + len).for_each(|u| taken |= 1 << u);
            runs.push(Run { at: (start * UNIT) as u8, len: (len * UNIT) as u8 });
            wanted -= len;
        }
        Some(runs)
    }

    /// Pieces of a number's value, from its lowest bit upwards. Nothing for one without a mapping.
    pub fn pieces(&self, n: u8) -> Vec<Piece> {
        let Some(mapped) = self.get(n) else { return Vec::new() };
        let bytes = mapped.runs.iter().flat_map(|r| r.at..=r.at + (r.len - 1)).rev();
        let mut pieces: Vec<Piece> = Vec::new();
        for (i, at) in bytes.enumerate() {
            let s = slot::tun_option_byte(at);
            match pieces.last_mut().map(|p| &mut p.slot) {
                Some(p) if p.word == s.word && p.shift + p.width == s.shift => p.width += 8,
                _ => pieces.push(Piece { slot: s, lowest: i as u16 * 8 }),
            }
        }
        pieces
    }

    /// The numbers of the options that a key (or mask) has.
    pub fn present(key: &Key) -> impl Iterator<Item = u8> {
        let present = key.get(slot::TUN_OPTIONS_PRESENT);
        (0..TUN_OPTIONS).filter(move |n| present >> n & 1 != 0)
    }

    /// The value of an option in a key, as bytes: as many as the mapping has.
    pub fn read(&self, key: &Key, n: u8) -> Vec<u8> {
        let runs = self.get(n).map_or(&[][..], |m| &m.runs);
        runs.iter().flat_map(|r| r.at..=r.at + (r.len - 1)).map(|at| key.get(slot::tun_option_byte(at)) as u8).collect()
    }

    /// Writes the value of an option into a key; bytes beyond the mapping's are ignored. That the option is
    /// there is not said.
    pub fn write(&self, key: &mut Key, n: u8, value: &[u8]) {
        let runs = self.get(n).map_or(&[][..], |m| &m.runs);
        for (at, byte) in runs.iter().flat_map(|r| r.at..=r.at + (r.len - 1)).zip(value) {
            key.set(slot::tun_option_byte(at), u64::from(*byte));
        }
    }
}

/// The first run of free units that is long enough, cut to what is wanted; else the longest. `None` without any.
fn gap(taken: u64, wanted: u16) -> Option<(u16, u16)> {
    let free = |u: u16| u < UNITS && taken >> u & 1 == 0;
    let mut best: Option<(u16, u16)> = None;
    let mut start = 0;
    while start < UNITS {
        let len = (start..start + wanted).take_while(|u| free(*u)).count() as u16;
        if len == wanted {
            return Some((start, len));
        }
        if len > best.map_or(0, |b| b.1) {
            best = Some((start, len));
        }
        start += len + 1;
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_reads_back_and_leaves_its_neighbours_alone() {
        let mut map = OptionMap::new();
        for (n, len) in [(0, 4), (7, 124), (63, 12)] {
            map.add(n, 1, n, len).unwrap();
        }
        let mut key = Key::ZERO;
        map.write(&mut key, 0, &[0xff; 4]);
        map.write(&mut key, 63, &[0xff; 12]);
        let value: Vec<u8> = (1..=124).collect();
        map.write(&mut key, 7, &value);
        assert_eq!(map.read(&key, 7), value);
        assert_eq!((map.read(&key, 0), map.read(&key, 63)), (vec![0xff; 4], vec![0xff; 12]));
        let lowest = map.pieces(7)[0];
        assert_eq!((key.get(lowest.slot) & 0xff, lowest.lowest), (124, 0));
        assert_eq!(map.pieces(7).iter().map(|p| u32::from(p.slot.width)).sum::<u32>(), 124 * 8);
    }

    #[test]
    fn space_is_found_in_the_first_gap_or_in_several() {
        let mut map = OptionMap::new();
        for n in 0..64 {
            map.add(n, 0xffff, n, 4).unwrap();
        }
        assert_eq!(map.clone().add(0, 1, 1, 4), Err(MapError::AlreadyMapped));
        [3, 20, 21, 40].into_iter().for_each(|n| map.remove(n));
        assert_eq!(map.add(3, 1, 1, 20), Err(MapError::Full));
        map.add(3, 1, 1, 16).unwrap();
        assert_eq!(map.pieces(3).len(), 3, "a gap of two units, then two of one");
        let mut key = Key::ZERO;
        let value: Vec<u8> = (0..16).collect();
        map.write(&mut key, 3, &value);
        assert_eq!(map.read(&key, 3), value);
        assert_eq!(map.add(20, 1, 1, 4), Err(MapError::Duplicate));
    }

    #[test]
    fn a_match_by_itself_places_by_bytes() {
        let mut map = OptionMap::new();
        map.append(5, 1).unwrap();
        map.append(2, 0).unwrap();
        map.append(3, 124).unwrap();
        map.append(4, 124).unwrap();
        assert_eq!(map.append(6, 8), Err(MapError::Full));
        map.append(6, 7).unwrap();
        assert_eq!(map.iter().map(|m| m.0).collect::<Vec<_>>(), [2, 3, 4, 5, 6]);
        assert!(map.pieces(2).is_empty());
    }
}
