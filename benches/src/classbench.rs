//! ClassBench rule sets as OpenFlow rules, and headers that hit them.
//!
//! Purpose: one published kind of rule set, in the language that both switches speak.
//! Invariant: the same set gives the same rules and the same headers in every run; the first rule of a set
//! has the highest priority. A range of ports becomes as many rules as it needs masks.
//! Deliberately does not know: switches.

use std::fmt::Write as _;

use sluice_fixtures::Random;
use sluice_wire::{build, ipv4, tcp};

const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;
/// Priorities that rules may have; a longer set shares them, in order.
const PRIORITIES: usize = 60_000;
const SRC_MAC: &[u8] = &[2, 0, 0, 0, 0, 1];
const DST_MAC: &[u8] = &[2, 0, 0, 0, 0, 2];

/// One filter of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    src: (u32, u8),
    dst: (u32, u8),
    sport: (u16, u16),
    dport: (u16, u16),
    /// `None` for any.
    proto: Option<u8>,
    /// TCP flags and which of them matter.
    flags: (u8, u8),
}

/// Reads a set; what is wrong and in which line.
pub fn parse(text: &str) -> Result<Vec<Filter>, String> {
    text.lines().enumerate().map(|(i, line)| filter(line).ok_or_else(|| format!("line {}: '{line}'", i + 1))).collect()
}

fn filter(line: &str) -> Option<Filter> {
    let mut parts = line.strip_prefix('@')?.split('\t').map(str::trim);
    let mut next = || parts.next();
    Some(Filter {
        src: prefix(next()?)?,
        dst: prefix(next()?)?,
        sport: range(next()?)?,
        dport: range(next()?)?,
        proto: Some(masked(next()?)?).filter(|(_, mask)| *mask == 0xff).map(|(p, _)| p as u8),
        // The flags are the high byte of the word that the generator writes.
        flags: masked(next()?).map(|(v, m)| ((v & m) >> 8, m >> 8)).map(|(v, m)| (v as u8, m as u8))?,
    })
}

fn prefix(text: &str) -> Option<(u32, u8)> {
    let (address, len) = text.split_once('/')?;
    let address: std::net::Ipv4Addr = address.parse().ok()?;
    let len: u8 = len.parse().ok().filter(|l| *l <= 32)?;
    Some((u32::from(address) & ones(len), len))
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (low, high) = text.split_once(':')?;
    Some((low.trim().parse().ok()?, high.trim().parse().ok()?)).filter(|(low, high)| low <= high)
}

fn masked(text: &str) -> Option<(u32, u32)> {
    let (value, mask) = text.split_once('/')?;
    let hex = |t: &str| u32::from_str_radix(t.trim_start_matches("0x"), 16).ok();
    Some((hex(value)?, hex(mask)?))
}

fn ones(len: u8) -> u32 {
    if len == 0 { 0 } else { u32::MAX << (32 - u32::from(len)) }
}

/// A range as values under masks.
pub fn masks(low: u16, high: u16) -> Vec<(u16, u16)> {
    let (mut at, end) = (u32::from(low), u32::from(high));
    let mut out = Vec::new();
    while at <= end {
        let mut size = if at == 0 { 1 << 16 } else { at & at.wrapping_neg() };
        while at + size - 1 > end {
            size /= 2;
        }
        out.push((at as u16, !((size - 1) as u16)));
        at += size;
    }
    out
}

impl Filter {
    fn any_ports(&self) -> bool {
        self.sport == (0, u16::MAX) && self.dport == (0, u16::MAX)
    }

    /// Protocols that the filter is written for: ports need one that has them.
    fn protocols(&self) -> Vec<Option<u8>> {
        match self.proto {
            None if !self.any_ports() => vec![Some(TCP), Some(UDP)],
            p => vec![p],
        }
    }

    fn write(&self, priority: usize, out: &mut String) -> usize {
        let mut rules = 0;
        for proto in self.protocols() {
            let has_ports = matches!(proto, Some(TCP | UDP | SCTP));
            let ranges = |r: (u16, u16)| if has_ports { masks(r.0, r.1) } else { vec![(0, 0)] };
            for (sport, smask) in ranges(self.sport) {
                for (dport, dmask) in ranges(self.dport) {
                    let _ = write!(out, "priority={priority},ip");
                    self.write_addresses(out);
                    if let Some(p) = proto {
                        let _ = write!(out, ",nw_proto={p}");
                    }
                    port("tp_src", sport, smask, out);
                    port("tp_dst", dport, dmask, out);
                    if proto == Some(TCP) && self.flags.1 != 0 {
                        let _ = write!(out, ",tcp_flags={:#x}/{:#x}", self.flags.0, self.flags.1);
                    }
                    out.push_str(",actions=output:2\n");
                    rules += 1;
                }
            }
        }
        rules
    }

    fn write_addresses(&self, out: &mut String) {
        for (name, (address, len)) in [("nw_src", self.src), ("nw_dst", self.dst)] {
            if len > 0 {
                let _ = write!(out, ",{name}={}/{len}", std::net::Ipv4Addr::from(address));
            }
        }
    }

    /// A frame that this filter matches, otherwise at random.
    fn frame(&self, random: &mut Random) -> Vec<u8> {
        let address = |(base, len): (u32, u8), r: &mut Random| (base | r.next_u64() as u32 & !ones(len)).to_be_bytes();
        let within = |(low, high): (u16, u16), r: &mut Random| low + r.below(usize::from(high - low) + 1) as u16;
        let protocols = self.protocols();
        let proto = protocols[random.below(protocols.len())].unwrap_or(if random.one_in(2) { TCP } else { UDP });
        let header = ipv4::Header {
            src: address(self.src, random).into(),
            dst: address(self.dst, random).into(),
            proto,
            ttl: 64,
            ..sluice_fixtures::samples::ipv4_header()
        };
        let (sport, dport) = (within(self.sport, random), within(self.dport, random));
        let flags = u16::from(self.flags.0 | random.next_u64() as u8 & 0x3f & !self.flags.1);
        let packet = match proto {
            TCP => build::tcp4(header, tcp::Header { src: sport, dst: dport, flags, ..sluice_fixtures::samples::tcp_header() }, &[]),
            UDP => build::udp4(header, sport, dport, &[]),
            _ => build::ipv4(header, &[0; 8]),
        };
        let mac = |m: &[u8]| m.try_into().unwrap_or([2, 0, 0, 0, 0, 9]);
        build::pad(build::frame(mac(DST_MAC), mac(SRC_MAC), &[], 0x0800, &packet))
    }
}

fn port(name: &str, value: u16, mask: u16, out: &mut String) {
    let _ = match mask {
        0 => Ok(()),
        0xffff => write!(out, ",{name}={value}"),
        m => write!(out, ",{name}={value:#x}/{m:#x}"),
    };
}

/// The set as lines for `add-flows`, and how many.
pub fn rules(filters: &[Filter]) -> (String, usize) {
    let mut out = String::new();
    let mut count = 0;
    for (i, f) in filters.iter().enumerate() {
        let below = if filters.len() <= PRIORITIES { i } else { i * PRIORITIES / filters.len() };
        count += f.write(65_000 - below, &mut out);
    }
    out.push_str("priority=1,actions=output:2\n");
    (out, count + 1)
}

/// Frames that filters chosen at random match.
pub fn frames(filters: &[Filter], count: usize, seed: u64) -> Vec<Vec<u8>> {
    let mut random = Random::new(seed);
    (0..count).filter_map(|_| Some(filters.get(random.below(filters.len().max(1)))?.frame(&mut random))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_covered_once_by_its_masks() {
        for (low, high) in [(0, 65535), (1024, 65535), (53, 53), (1, 65534), (0, 1023), (6000, 6063)] {
            let masks = masks(low, high);
            for port in 0..=u16::MAX {
                let hits = masks.iter().filter(|(v, m)| port & m == *v).count();
                assert_eq!(hits, usize::from((low..=high).contains(&port)), "{port} in {low}:{high}");
            }
        }
    }

    #[test]
    fn a_line_becomes_a_rule() {
        let f = parse("@10.1.0.0/16\t10.2.0.7/32\t0 : 65535\t80 : 81\t0x06/0xFF\t0x1000/0x1000\t").unwrap();
        let (text, count) = rules(&f);
        assert_eq!(count, 2);
        assert!(text.starts_with(
            "priority=65000,ip,nw_src=10.1.0.0/16,nw_dst=10.2.0.7/32,nw_proto=6,tp_dst=0x50/0xfffe,tcp_flags=0x10/0x10,actions=output:2\n"
        ));
        assert!(parse("10.1.0.0/16").is_err());
    }
}
