//! Tunnels over IPv6: what is sent, what is taken, what the checksum says.

use sluice_engine::encap::{decap, encap, Outer, Template};
use sluice_flow::verdict::{Encap, OuterTos, OuterTtl};
use sluice_frame::{Frame, Gso, Pool};
use sluice_wire::{checksum, ipv4, build};

const SRC: u128 = 0xfd00 << 112 | 1;
const DST: u128 = 0xfd00 << 112 | 2;
const OUTER: usize = 70;

fn wrapping(csum: bool) -> Encap {
    Encap {
        vni: 0x12_3456,
        src: std::net::Ipv6Addr::from(SRC).into(),
        dst: std::net::Ipv6Addr::from(DST).into(),
        src_mac: [2; 6],
        dst_mac: [4; 6],
        dst_port: 4789,
        tos: OuterTos::Inherit,
        ttl: OuterTtl::Set(63),
        df: true,
        csum,
        gbp: None,
        longest: 9000,
        back: None,
    }
}

/// A UDP packet with so many bytes of payload, and tos 0x2b.
fn inner(payload: usize) -> Vec<u8> {
    let [src, dst] = [1, 2].map(|n| std::net::Ipv4Addr::new(10, 0, 0, n));
    let header = ipv4::Header { tos: 0x2b, total_len: 0, id: 1, flags: 0, ttl: 9, proto: ipv4::UDP, src, dst };
    let bytes: Vec<u8> = (0..payload).map(|i| (i * 7 + payload) as u8).collect();
    build::frame([6; 6], [8; 6], &[], 0x0800, &build::udp4(header, 1000, 53, &bytes))
}

fn frame(pool: &mut Pool, bytes: &[u8]) -> Frame {
    let mut f = pool.alloc().unwrap();
    assert!(f.fill(bytes));
    f
}

fn outer_sum(wire: &[u8]) -> u64 {
    let udp = &wire[54..];
    checksum::add(checksum::sum(udp), checksum::pseudo6(SRC, DST, 17, udp.len() as u32))
}

#[test]
fn outer_headers_are_what_rfc_7348_and_8200_say_and_come_off_again() {
    let mut pool = Pool::new(2048, 16).unwrap();
    for csum in [false, true] {
        let bytes = inner(100);
        let mut f = frame(&mut pool, &bytes);
        let h = sluice_wire::parse(&bytes);
        encap(&mut f, &h, &Template::new(&wrapping(csum)), 7).unwrap();
        let wire = f.to_vec();
        assert_eq!(wire.len(), bytes.len() + OUTER);
        assert_eq!(wire[12..22], [0x86, 0xdd, 0x62, 0xb0, 0, 0, 0, (bytes.len() + 16) as u8, 17, 63]);
        assert_eq!(wire[22..54], [SRC.to_be_bytes(), DST.to_be_bytes()].concat());
        assert_eq!(wire[56..60], [0x12, 0xb5, 0, (bytes.len() + 16) as u8]);
        assert_eq!(wire[62..70], [8, 0, 0, 0, 0x12, 0x34, 0x56, 0]);
        match csum {
            false => assert_eq!(wire[60..62], [0, 0]),
            true => assert!(checksum::is_valid(outer_sum(&wire))),
        }
        let seen: Outer<u128> = decap(&mut f, &sluice_wire::parse(&wire)).unwrap();
        assert_eq!((seen.src, seen.dst, seen.vni, seen.dst_port), (SRC, DST, 0x12_3456, 4789));
        assert_eq!(f.to_vec(), bytes);
        pool.free(f);
    }
}

#[test]
fn the_outer_checksum_is_right_for_every_length_and_when_the_inner_one_has_been_filled() {
    let mut pool = Pool::new(2048, 16).unwrap();
    let template = Template::new(&wrapping(true));
    for payload in 0..300 {
        for undone in [false, true] {
            let mut bytes = inner(payload);
            let h = sluice_wire::parse(&bytes);
            if undone {
                let pseudo = checksum::fold(checksum::sum(&bytes[26..34]) + 17 + (payload as u64 + 8));
                bytes[40..42].copy_from_slice(&pseudo.to_be_bytes());
            }
            let mut f = frame(&mut pool, &bytes);
            (f.meta.needs_csum, f.meta.csum_start, f.meta.csum_offset) = (undone, 34, 6);
            encap(&mut f, &h, &template, 7).unwrap();
            assert!(sluice_port::offload::fill(&mut f));
            let wire = f.to_vec();
            assert!(checksum::is_valid(outer_sum(&wire)), "{payload} bytes, undone: {undone}");
            assert_eq!(wire[OUTER..], inner(payload), "and the inner one");
            pool.free(f);
        }
    }
}

#[test]
fn a_frame_of_several_segments_is_summed_whole_and_one_still_to_be_cut_gets_no_checksum() {
    let mut pool = Pool::new(2048, 64).unwrap();
    let bytes = inner(7001);
    let mut long = pool.copy_in(&bytes).expect("chunks");
    assert!(!long.is_linear());
    let h = sluice_wire::parse_part(long.head(), long.len());
    encap(&mut long, &h, &Template::new(&wrapping(true)), 7).unwrap();
    let wire = long.to_vec();
    assert!(wire.len() == bytes.len() + OUTER && checksum::is_valid(outer_sum(&wire)));
    pool.free(long);
    let mut large = frame(&mut pool, &inner(1000));
    (large.meta.gso, large.meta.gso_size) = (Gso::UdpL4, 200);
    let h = sluice_wire::parse(large.head());
    encap(&mut large, &h, &Template::new(&wrapping(true)), 7).unwrap();
    assert_eq!(large.to_vec()[60..62], [0, 0]);
    pool.free(large);
}
