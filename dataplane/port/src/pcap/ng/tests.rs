use super::super::{End, Packets, PcapError};

struct File {
    big: bool,
    bytes: Vec<u8>,
}

impl File {
    fn new(big: bool) -> File {
        let mut f = File { big, bytes: Vec::new() };
        f.section();
        f
    }

    fn u32(&self, v: u32) -> [u8; 4] {
        if self.big {
            v.to_be_bytes()
        } else {
            v.to_le_bytes()
        }
    }

    fn u16(&self, v: u16) -> [u8; 2] {
        if self.big {
            v.to_be_bytes()
        } else {
            v.to_le_bytes()
        }
    }

    fn section(&mut self) {
        let body = [self.u32(0x1a2b_3c4d).to_vec(), self.u32(1).to_vec(), vec![0xff; 8]].concat();
        self.block(0x0a0d_0d0a, &body);
    }

    fn block(&mut self, kind: u32, body: &[u8]) {
        let padded = body.len().next_multiple_of(4);
        let len = self.u32(12 + padded as u32);
        let kind = self.u32(kind);
        self.bytes.extend(kind);
        self.bytes.extend(len);
        self.bytes.extend(body);
        self.bytes.resize(self.bytes.len() + padded - body.len(), 0);
        self.bytes.extend(len);
    }

    fn interface(&mut self, link: u16, snaplen: u32, options: &[u8]) {
        let body = [&self.u16(link)[..], &[0, 0], &self.u32(snaplen), options].concat();
        self.block(1, &body);
    }

    fn enhanced(&mut self, interface: u32, ticks: u64, bytes: &[u8]) {
        let mut body = Vec::new();
        for v in [interface, (ticks >> 32) as u32, ticks as u32, bytes.len() as u32, 99] {
            body.extend(self.u32(v));
        }
        body.extend(bytes);
        self.block(6, &body);
    }
}

#[test]
fn sections_interfaces_and_all_packet_blocks_are_read_in_both_orders() {
    for big in [false, true] {
        let mut f = File::new(big);
        let nano = [&f.u16(9)[..], &f.u16(1), &[9, 0, 0, 0], &f.u16(0), &f.u16(0)].concat();
        f.interface(1, 3, &[]);
        f.interface(1, 0, &nano);
        f.block(0x0bad_cafe, b"unknown blocks are skipped");
        f.enhanced(0, 7, b"abc");
        f.enhanced(1, 7, b"defgh");
        let simple = [&f.u32(10)[..], b"ijk\0"].concat();
        f.block(3, &simple);
        let old = [&f.u16(1)[..], &f.u16(0), &f.u32(0), &f.u32(8), &f.u32(2), &f.u32(2), b"lm"].concat();
        f.block(2, &old);
        f.big = !big;
        f.section();
        f.interface(1, 0, &[]);
        f.enhanced(0, 1, b"n");
        let mut it = Packets::new(&f.bytes).unwrap();
        let got: Vec<_> = it.by_ref().map(|p| p.unwrap()).collect();
        assert_eq!(it.end(), Some(&End::Complete));
        let bytes: Vec<_> = got.iter().map(|p| p.bytes).collect();
        assert_eq!(bytes, [&b"abc"[..], b"defgh", b"ijk", b"lm", b"n"]);
        let times: Vec<_> = got.iter().map(|p| p.time_ns).collect();
        assert_eq!(times, [7000, 7, 0, 8, 1000]);
    }
}

#[test]
fn every_truncation_ends_with_a_reason_and_no_panic() {
    let mut f = File::new(false);
    f.interface(1, 0, &[9, 0, 1, 0, 6, 0, 0, 0]);
    let head = f.bytes.len();
    f.enhanced(0, 1, b"abcdef");
    for cut in 4..f.bytes.len() {
        let mut it = Packets::new(&f.bytes[..cut]).unwrap();
        assert_eq!(it.by_ref().count(), 0);
        let clean = cut == 28 || cut == head;
        assert_eq!(it.end() == Some(&End::Complete), clean, "cut at {cut}: {:?}", it.end());
    }
}

#[test]
fn every_changed_byte_is_survived() {
    let mut f = File::new(true);
    f.interface(1, 0, &[0, 9, 0, 1, 0x86, 0, 0, 0]);
    f.enhanced(0, 1, b"abcdef");
    for at in 0..f.bytes.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut bytes = f.bytes.clone();
            bytes[at] = value;
            if let Ok(mut it) = Packets::new(&bytes) {
                assert!(it.by_ref().count() <= 1);
                assert!(it.end().is_some());
            }
        }
    }
}

#[test]
fn a_packet_of_another_link_type_is_refused_but_an_unused_interface_is_not() {
    let mut f = File::new(false);
    f.interface(113, 0, &[]);
    f.interface(1, 0, &[]);
    f.enhanced(1, 1, b"good");
    assert_eq!(Packets::new(&f.bytes).unwrap().filter(|p| p.is_ok()).count(), 1);
    f.enhanced(0, 1, b"bad");
    let last = Packets::new(&f.bytes).unwrap().last().unwrap();
    assert!(matches!(last, Err(PcapError::LinkType(113))));
}

#[test]
fn a_packet_of_an_undescribed_interface_ends_the_file() {
    let mut f = File::new(false);
    f.enhanced(0, 1, b"x");
    let mut it = Packets::new(&f.bytes).unwrap();
    assert_eq!(it.by_ref().count(), 0);
    assert!(matches!(it.end(), Some(End::Damaged(why)) if why.contains("interface 0")));
}
