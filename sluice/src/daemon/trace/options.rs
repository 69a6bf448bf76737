//! Tunnel options of a traced packet.
//!
//! Deliberately does not know: tunnels.

use sluice_flow::key::slot;
use sluice_flow::options::OptionMap;
use sluice_openflow::wide::Wide;
use sluice_openflow::{Match, SubField};

use super::packet::Packet;

impl Packet {
    /// A match over all that `mask` names, of this packet's values.
    pub fn matching(&self, mask: &Packet) -> Match {
        let value = self.key.and(&mask.key);
        match &self.options {
            Some(map) => Match::of_bridge(value, mask.key, map),
            None => Match { value, mask: mask.key, ..Match::ANY },
        }
    }

    fn len(&self, n: u8) -> usize {
        self.options.as_ref().and_then(|map| map.get(n)).map_or(0, |m| usize::from(m.len))
    }

    pub fn option(&self, n: u8) -> Wide {
        Wide::from_bytes(&self.options.as_ref().map_or_else(Vec::new, |map| map.read(&self.key, n)))
    }

    /// Gives the packet an option with this value. False without a mapping.
    pub fn set_option(&mut self, n: u8, value: &Wide) -> bool {
        let len = self.len(n);
        let Some(map) = self.options.clone().filter(|map| map.get(n).is_some()) else { return false };
        map.write(&mut self.key, n, value.tail(len));
        self.set(slot::tun_option_present(n), 1);
        true
    }

    /// Writes those bits of an option that `mask` names.
    pub fn write_option(&mut self, n: u8, value: &Wide, mask: &Wide) -> bool {
        let whole = self.option(n).without(mask).or(&value.and(mask));
        self.set_option(n, &whole)
    }

    pub fn write_option_part(&mut self, n: u8, part: SubField, value: u128) -> bool {
        let mut whole = self.option(n);
        whole.set_bits(part.start, part.width, value);
        self.set_option(n, &whole)
    }

    /// As a mask: these bits of an option matter, and that it is there.
    pub fn mark_option(&mut self, n: u8, mask: &Wide) {
        let whole = self.option(n).or(mask);
        self.set_option(n, &whole);
    }

    /// As a mask over `packet`: all of its options matter.
    pub fn mark_options_of(&mut self, packet: &Packet) {
        OptionMap::present(&packet.key).for_each(|n| self.mark_option(n, &Wide::ONES));
    }
}
