//! The classic pcap format: one header, then records.

use super::read::{End, Order, Packet, PcapError, Step, RECORD_MAX};

const HEADER: usize = 24;
const RECORD: usize = 16;
/// Record header of a variant that old Linux kernels' tools wrote, with 8 more bytes.
const RECORD_PATCHED: usize = 24;

#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    order: Order,
    nanoseconds: bool,
    record: usize,
    link_type: u16,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Reader<'a>, PcapError> {
        let (big, magic) = match (Order { big: true }).u32(bytes, 0) {
            Some(m @ (0xa1b2_c3d4 | 0xa1b2_3c4d | 0xa1b2_cd34)) => (true, m),
            Some(m) => (false, m.swap_bytes()),
            None => return Err(PcapError::Format("no file header".into())),
        };
        let (nanoseconds, record) = match magic {
            0xa1b2_c3d4 => (false, RECORD),
            0xa1b2_3c4d => (true, RECORD),
            0xa1b2_cd34 => (false, RECORD_PATCHED),
            other => return Err(PcapError::Format(format!("unknown magic number {:#010x}", other.swap_bytes()))),
        };
        let order = Order { big };
        let link = order
            .u32(bytes, 20)
            .ok_or_else(|| PcapError::Format(format!("the file header is cut off at {} of {HEADER} bytes", bytes.len())))?;
        // The upper bits say how long a frame check sequence is, if any.
        let link_type = (link & 0xffff) as u16;
        if link_type != super::LINKTYPE_ETHERNET {
            return Err(PcapError::LinkType(link_type));
        }
        Ok(Reader { bytes, at: HEADER, order, nanoseconds, record, link_type })
    }

    pub(super) fn step(&mut self) -> Step<'a> {
        let left = self.bytes.len().saturating_sub(self.at);
        if left == 0 {
            return Step::End(End::Complete);
        }
        let field = |i: usize| self.order.u32(self.bytes, self.at + 4 * i);
        let (Some(seconds), Some(fraction), Some(captured), Some(wire_len), true) =
            (field(0), field(1), field(2), field(3), left >= self.record)
        else {
            return self.damaged(format!("record header cut off ({left} of {} bytes)", self.record));
        };
        if captured > RECORD_MAX {
            return self.damaged(format!("record of {captured} bytes, more than {RECORD_MAX}"));
        }
        let start = self.at + self.record;
        let Some(bytes) = self.bytes.get(start..start + captured as usize) else {
            return self.damaged(format!("record of {captured} bytes cut off at {}", left - self.record));
        };
        self.at = start + bytes.len();
        let unit = if self.nanoseconds { 1 } else { 1000 };
        let time_ns = u64::from(seconds) * 1_000_000_000 + u64::from(fraction) * unit;
        Step::Packet(Packet { time_ns, wire_len, interface: 0, bytes }, self.link_type)
    }

    fn damaged(&self, why: String) -> Step<'a> {
        Step::End(End::Damaged(format!("at byte {}: {why}", self.at)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Capture, End, Packets};

    fn file(big: bool, magic: u32, link: u32, records: &[&[u8]]) -> Vec<u8> {
        let u = |v: u32| if big { v.to_be_bytes() } else { v.to_le_bytes() };
        let mut f = u(magic).to_vec();
        f.extend(if big { [0, 2, 0, 4] } else { [2, 0, 4, 0] });
        for v in [0, 0, 65535, link] {
            f.extend(u(v));
        }
        for (i, r) in records.iter().enumerate() {
            for v in [i as u32 + 1, 5, r.len() as u32, 100] {
                f.extend(u(v));
            }
            if magic == 0xa1b2_cd34 {
                f.extend([0; 8]);
            }
            f.extend(*r);
        }
        f
    }

    #[test]
    fn every_byte_order_and_resolution_reads_the_same() {
        for big in [false, true] {
            for (magic, fraction) in [(0xa1b2_c3d4, 5000), (0xa1b2_3c4d, 5), (0xa1b2_cd34, 5000)] {
                let c = Capture::new(file(big, magic, 1, &[b"abc", b"", b"defg"]));
                let mut it = c.packets().unwrap();
                let got: Vec<_> = it.by_ref().map(|p| p.unwrap()).collect();
                assert_eq!(it.end(), Some(&End::Complete));
                assert_eq!(got.iter().map(|p| p.bytes).collect::<Vec<_>>(), [&b"abc"[..], b"", b"defg"]);
                assert_eq!(got[1].time_ns, 2_000_000_000 + fraction);
                assert_eq!(got[0].wire_len, 100);
            }
        }
    }

    #[test]
    fn every_truncation_gives_the_packets_before_it_and_a_reason() {
        let whole = file(false, 0xa1b2_c3d4, 1, &[b"abcdef", b"ghij"]);
        for cut in 24..whole.len() {
            let mut it = Packets::new(&whole[..cut]).unwrap();
            let n = it.by_ref().filter(|p| p.is_ok()).count();
            assert_eq!(n, usize::from(cut >= 46), "cut at {cut}");
            let clean = cut == 24 || cut == 46;
            assert_eq!(it.end() == Some(&End::Complete), clean, "cut at {cut}: {:?}", it.end());
        }
        for cut in 0..24 {
            assert!(Packets::new(&whole[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn another_link_type_is_refused_by_name() {
        let e = Packets::new(&file(false, 0xa1b2_c3d4, 113, &[b"x"])).unwrap_err();
        assert_eq!(e.to_string(), "link type 113 is LINUX_SLL (Linux cooked), only ETHERNET (1) can be switched");
        let e = Packets::new(b"PK\x03\x04 not a capture at all").unwrap_err();
        assert!(e.to_string().contains("0x504b0304"), "{e}");
    }

    #[test]
    fn an_absurd_record_length_ends_the_file() {
        let mut f = file(false, 0xa1b2_c3d4, 1, &[b"abc"]);
        f.extend([0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0]);
        let mut it = Packets::new(&f).unwrap();
        assert_eq!(it.by_ref().count(), 1);
        assert!(matches!(it.end(), Some(End::Damaged(why)) if why.contains("4294967295")));
    }
}
