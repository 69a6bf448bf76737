//! Tunnel options in matches: `tun_metadata0=0x1/0xff`.
//!
//! Purpose: a rule of a bridge has its options where the bridge's mappings put them; a match on its own, on a
//! command line or on its way, has places of its own, because nobody there knows the mappings. [`Match::bound`]
//! leads from the one to the other.
//! Invariant: a condition on an option says that the packet has it.
//! Deliberately does not know: classes and types of options.

use std::sync::Arc;

use sluice_flow::key::slot;
use sluice_flow::options::{MapError, OptionMap};

use super::Match;
use crate::error::OfpError;
use crate::wide::Wide;

/// Where the options lie that a match speaks of.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub enum Places {
    /// It speaks of none.
    #[default]
    None,
    /// Each where it came; those under a mask are marked.
    Own(Arc<(OptionMap, u64)>),
    /// Where the mappings of a bridge put them.
    Bridge(Arc<OptionMap>),
}

/// What a match says of one option.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OptionMatch {
    /// The packet must have it (else must not).
    pub present: bool,
    /// Bytes of the option's value, as far as is known.
    pub len: usize,
    /// The value wanted.
    pub value: Wide,
    /// The bits of it that matter.
    pub mask: Wide,
    /// Not all of the option matters, whatever its length.
    pub masked: bool,
}

/// Why a condition on an option was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OptionError {
    /// All options of the match together need so many bytes, which is too many.
    TooLong(usize),
    /// The match speaks of it already.
    Twice,
    /// The bridge maps no option to it.
    Unmapped,
}

impl Match {
    /// Adds the condition that a packet has an option with this value under this mask.
    pub fn set_option(&mut self, n: u8, value: &Wide, mask: &Wide) -> Result<(), OptionError> {
        let masked = *mask != Wide::ONES;
        let wanted = value.significant().max(if masked { mask.significant() } else { 0 });
        self.place_option(n, wanted, value, mask)
    }

    /// As [`Match::set_option`]; a match with places of its own keeps `len` bytes for it.
    pub fn place_option(&mut self, n: u8, len: usize, value: &Wide, mask: &Wide) -> Result<(), OptionError> {
        let map = match &mut self.places {
            Places::Bridge(map) => {
                map.get(n).ok_or(OptionError::Unmapped)?;
                map.clone()
            }
            places => own_place(places, n, len, *mask != Wide::ONES)?,
        };
        let len = map.get(n).map_or(0, |m| usize::from(m.len));
        self.put(&map, n, (value.and(mask).tail(len), mask.tail(len)));
        Ok(())
    }

    fn put(&mut self, map: &OptionMap, n: u8, (value, mask): (&[u8], &[u8])) {
        map.write(&mut self.value, n, value);
        map.write(&mut self.mask, n, mask);
        self.value.set(slot::tun_option_present(n), 1);
        self.mask.set(slot::tun_option_present(n), 1);
    }

    /// The mappings by which its options are placed.
    pub fn option_map(&self) -> Option<&OptionMap> {
        match &self.places {
            Places::None => None,
            Places::Own(own) => Some(&own.0),
            Places::Bridge(map) => Some(map),
        }
    }

    /// The numbers of the options that it speaks of.
    pub fn options(&self) -> impl Iterator<Item = u8> {
        OptionMap::present(&self.mask)
    }

    /// What it says of an option; `None` when nothing.
    pub fn option(&self, n: u8) -> Option<OptionMatch> {
        if self.mask.get(slot::tun_option_present(n)) == 0 {
            return None;
        }
        let map = self.option_map()?;
        let len = map.get(n).map_or(0, |m| usize::from(m.len));
        let mask = Wide::from_bytes(&map.read(&self.mask, n));
        let masked = match &self.places {
            Places::Own(own) => own.1 >> n & 1 != 0,
            _ => len == 0 || !mask.covers(len),
        };
        let present = self.value.get(slot::tun_option_present(n)) != 0;
        Some(OptionMatch { present, len, value: Wide::from_bytes(&map.read(&self.value, n)), mask, masked })
    }

    /// Removes the conditions on these options.
    pub fn forget_options(&mut self, forgotten: impl Fn(u8) -> bool) {
        for n in self.options().filter(|n| forgotten(*n)).collect::<Vec<_>>() {
            self.value.set(slot::tun_option_present(n), 0);
            self.mask.set(slot::tun_option_present(n), 0);
        }
    }

    /// The same match with its options where a bridge has them.
    ///
    /// Refuses one that the bridge has no mapping for, or another than when the match was bound. As in Open vSwitch, a value of more bytes than the option
    /// has loses those at its end.
    pub fn bound(&self, map: &Arc<OptionMap>) -> Result<Match, OfpError> {
        let mut out = self.clone();
        match &self.places {
            Places::None => return Ok(out),
            Places::Bridge(old) => {
                let moved = self.options().any(|n| map.get(n) != old.get(n));
                out.places = Places::Bridge(map.clone());
                return if moved { Err(OfpError::NXFMFC_INVALID_TLV_FIELD) } else { Ok(out) };
            }
            Places::Own(_) => {}
        }
        out.value.clear_tunnel_options();
        out.mask.clear_tunnel_options();
        out.places = Places::Bridge(map.clone());
        for n in self.options() {
            let (Some(said), Some(mapped)) = (self.option(n), map.get(n)) else {
                return Err(OfpError::NXFMFC_INVALID_TLV_FIELD);
            };
            let fit = |w: &Wide| cut(w.tail(said.len), usize::from(mapped.len));
            let mask = if said.masked { fit(&said.mask) } else { Wide::ONES };
            out.put(map, n, (fit(&said.value).and(&mask).tail(mapped.len.into()), mask.tail(mapped.len.into())));
        }
        Ok(out)
    }
}

/// Bytes as the value of an option that has `len` of them: the first ones where they are more.
pub fn cut(bytes: &[u8], len: usize) -> Wide {
    Wide::from_bytes(bytes.get(..len).unwrap_or(bytes))
}

/// Gives an option a place in a match of its own.
fn own_place(places: &mut Places, n: u8, len: usize, masked: bool) -> Result<Arc<OptionMap>, OptionError> {
    let (mut map, mut marks) = match places {
        Places::Own(own) => (**own).clone(),
        _ => (OptionMap::new(), 0),
    };
    let used: usize = map.iter().map(|(_, m)| usize::from(m.len)).sum();
    map.append(n, u8::try_from(len).unwrap_or(u8::MAX)).map_err(|e| match e {
        MapError::AlreadyMapped => OptionError::Twice,
        _ => OptionError::TooLong(used + len),
    })?;
    marks |= u64::from(masked) << (n & 63);
    *places = Places::Own(Arc::new((map.clone(), marks)));
    Ok(Arc::new(map))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bridge() -> Arc<OptionMap> {
        let mut map = OptionMap::new();
        map.add(3, 0x102, 0x80, 4).unwrap();
        map.add(0, 0x102, 1, 8).unwrap();
        Arc::new(map)
    }

    #[test]
    fn a_condition_moves_to_where_the_bridge_has_the_option() {
        let mut m = Match::ANY;
        m.set_option(0, &Wide::from(5), &Wide::ONES).unwrap();
        m.set_option(3, &Wide::from(0x1ff), &Wide::from(0xff0f)).unwrap();
        assert_eq!(m.option(0).map(|o| (o.len, o.masked)), Some((1, false)));
        let bound = m.bound(&bridge()).unwrap();
        let (first, second) = (bound.option(0).unwrap(), bound.option(3).unwrap());
        assert_eq!((first.len, first.value, first.masked), (8, Wide::from(5), false));
        assert_eq!((second.len, second.value, second.mask), (4, Wide::from(0x10f), Wide::from(0xff0f)));
        assert!(second.masked && second.present);
    }

    #[test]
    fn what_the_bridge_does_not_map_is_refused_and_what_is_too_long_loses_its_end() {
        let mut m = Match::ANY;
        m.set_option(9, &Wide::ZERO, &Wide::ZERO).unwrap();
        assert_eq!(m.bound(&bridge()), Err(OfpError::NXFMFC_INVALID_TLV_FIELD));
        let mut m = Match::ANY;
        m.set_option(3, &Wide::from(0x12_3456_789a), &Wide::ONES).unwrap();
        assert_eq!(m.bound(&bridge()).unwrap().option(3).unwrap().value, Wide::from(0x1234_5678));
    }

    #[test]
    fn a_match_by_itself_has_room_for_256_bytes_and_each_option_once() {
        let mut m = Match::ANY;
        for n in 0..2 {
            m.set_option(n, &Wide::ONES, &Wide::ONES).unwrap();
        }
        assert_eq!(m.set_option(1, &Wide::ZERO, &Wide::ONES), Err(OptionError::Twice));
        assert_eq!(m.set_option(2, &Wide::ONES, &Wide::ONES), Err(OptionError::TooLong(372)));
    }
}
