use super::checksum::{add, fold};
use super::*;
use crate::Offloads;

const CHECKSUM_ONLY: Offloads = Offloads { checksum: true, ..Offloads::NONE };

/// A frame as a host with offloads sends it: headers for the whole, a pseudo-header checksum.
fn large(pool: &mut Pool, gso: Gso, vlan: bool, payload: usize, size: u16) -> Frame {
    let v6 = gso == Gso::Tcp6;
    let tcp = gso != Gso::UdpL4;
    let (protocol, transport) = if tcp { (6, 32) } else { (17, 8) };
    let mut b = vec![0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2];
    if vlan {
        b.extend([0x81, 0, 0, 7]);
    }
    let l4_len = (transport + payload) as u32;
    let addresses = if v6 {
        b.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        b.extend(((l4_len as u64).min(65535) as u16).to_be_bytes());
        b.extend([protocol, 64]);
        (0..32).collect::<Vec<u8>>()
    } else {
        b.extend([8, 0, 0x45, 0]);
        b.extend(((l4_len + 20).min(65535) as u16).to_be_bytes());
        b.extend([0xff, 0xff, 0x40, 0, 64, protocol, 0, 0]);
        vec![10, 0, 0, 1, 10, 0, 0, 2]
    };
    b.extend(&addresses);
    let l4 = b.len();
    let pseudo = fold(add(u64::from(protocol) + u64::from(l4_len), &addresses, false));
    if tcp {
        b.extend([0x12, 0x34, 0, 80, 0xff, 0xff, 0xff, 0xf0, 0, 0, 0, 9, 0x80, 0x99, 1, 0]);
        b.extend(pseudo.to_be_bytes());
        b.extend([0, 0, 1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]);
    } else {
        b.extend([0x12, 0x34, 0, 53]);
        b.extend((l4_len.min(65535) as u16).to_be_bytes());
        b.extend(pseudo.to_be_bytes());
    }
    b.extend((0..payload).map(|i| (i * 31 % 253) as u8));
    let mut f = pool.copy_in(&b).unwrap();
    f.meta = Meta {
        needs_csum: true,
        csum_start: l4 as u16,
        csum_offset: if tcp { 16 } else { 6 },
        gso,
        gso_size: size,
        ..Meta::default()
    };
    f
}

/// Is the transport checksum of a complete frame right, and its IPv4 header checksum?
fn checksums_hold(frame: &[u8], l3: usize, l4: usize) -> bool {
    let v6 = frame[l3] >> 4 == 6;
    let (addresses, protocol) =
        if v6 { (&frame[l3 + 8..l3 + 40], frame[l3 + 6]) } else { (&frame[l3 + 12..l3 + 20], frame[l3 + 9]) };
    let length = frame.len() - l4;
    let sum = add(u64::from(protocol) + length as u64, addresses, false);
    let ip = v6 || fold(add(0, &frame[l3..l3 + 20], false)) == 0xffff;
    fold(add(sum, &frame[l4..], false)) == 0xffff && ip
}

#[test]
fn a_partial_checksum_is_filled_across_odd_segments() {
    let mut pool = Pool::new(1024, 64).unwrap();
    for payload in [0, 1, 2, 3, 4, 5, 700, 3001, 9000] {
        let mut f = large(&mut pool, Gso::Tcp4, false, payload, 0);
        f.meta.gso = Gso::None;
        // Make the first segment odd, so that later words straddle segments.
        let whole = f.to_vec();
        let mut odd = pool.copy_in(&whole[..101.min(whole.len())]).unwrap();
        odd.meta = f.meta;
        if whole.len() > 101 {
            let tail = pool.copy_in(&whole[101..]).unwrap();
            odd.append(tail);
        }
        // The test's IPv4 header carries no checksum; only the transport's is looked at.
        assert!(fill(&mut odd));
        let mut b = odd.to_vec();
        let sum = !fold(add(0, &b[14..34], false));
        b[24..26].copy_from_slice(&sum.to_be_bytes());
        assert!(checksums_hold(&b, 14, 34), "{payload} bytes");
        assert!(!odd.meta.needs_csum);
        pool.free(odd);
        pool.free(f);
    }
    assert_eq!(pool.outstanding(), 0);
}

#[test]
fn large_tcp_frames_are_cut_into_valid_frames_that_join_to_the_same_stream() {
    for (gso, vlan) in [(Gso::Tcp4, false), (Gso::Tcp4, true), (Gso::Tcp6, false), (Gso::Tcp6, true)] {
        for (payload, size) in [(1, 1448), (1448, 1448), (1449, 1448), (9999, 1000), (65_000, 1448), (30_000, 8948)] {
            let mut pool = Pool::new(2048, 512).unwrap();
            let f = large(&mut pool, gso, vlan, payload, size);
            let l3 = if vlan { 18 } else { 14 };
            let l4 = usize::from(f.meta.csum_start);
            let whole = f.to_vec();
            let mut out = Vec::new();
            complete(&mut pool, f, Offloads::NONE, &mut out).unwrap();
            assert_eq!(out.len(), payload.div_ceil(usize::from(size)));
            let (mut stream, count) = (Vec::<u8>::new(), out.len());
            for (i, piece) in out.drain(..).enumerate() {
                let b = piece.to_vec();
                assert!(checksums_hold(&b, l3, l4), "{gso:?} {payload}/{size} piece {i}");
                assert_eq!(piece.meta.gso, Gso::None);
                let seq = u32::from_be_bytes(b[l4 + 4..l4 + 8].try_into().unwrap());
                assert_eq!(seq, 0xffff_fff0_u32.wrapping_add(stream.len() as u32));
                let flags = b[l4 + 13];
                assert_eq!(flags & 0x09 == 0x09, i + 1 == count, "FIN and PSH on the last only");
                assert_eq!(flags & 0x80 != 0, i == 0, "CWR on the first only");
                if gso == Gso::Tcp4 {
                    assert_eq!(u16::from_be_bytes([b[l3 + 2], b[l3 + 3]]) as usize, b.len() - l3);
                    assert_eq!(u16::from_be_bytes([b[l3 + 4], b[l3 + 5]]), 0xffff_u16.wrapping_add(i as u16));
                } else {
                    assert_eq!(u16::from_be_bytes([b[l3 + 4], b[l3 + 5]]) as usize, b.len() - l3 - 40);
                }
                stream.extend(&b[l4 + 32..]);
                pool.free(piece);
            }
            assert_eq!(stream, &whole[l4 + 32..]);
            assert_eq!(pool.outstanding(), 0);
        }
    }
}

#[test]
fn udp_frames_are_cut_into_datagrams() {
    let mut pool = Pool::new(4096, 128).unwrap();
    let f = large(&mut pool, Gso::UdpL4, false, 5000, 1200);
    let mut out = Vec::new();
    complete(&mut pool, f, Offloads::NONE, &mut out).unwrap();
    let lengths: Vec<_> = out.iter().map(|p| u16::from_be_bytes([p.head()[38], p.head()[39]])).collect();
    assert_eq!(lengths, [1208, 1208, 1208, 1208, 208]);
    for p in out.drain(..) {
        assert!(checksums_hold(&p.to_vec(), 14, 34));
        pool.free(p);
    }
}

#[test]
fn a_receiver_that_fills_checksums_gets_pieces_with_the_pseudo_header_only() {
    let mut pool = Pool::new(4096, 128).unwrap();
    let f = large(&mut pool, Gso::Tcp4, false, 5000, 1448);
    let mut out = Vec::new();
    complete(&mut pool, f, CHECKSUM_ONLY, &mut out).unwrap();
    for mut p in out.drain(..) {
        assert!(p.meta.needs_csum && is_ready(&p.meta, CHECKSUM_ONLY));
        assert!(fill(&mut p));
        assert!(checksums_hold(&p.to_vec(), 14, 34));
        pool.free(p);
    }
}

#[test]
fn a_capable_receiver_gets_the_frame_untouched() {
    let mut pool = Pool::new(4096, 128).unwrap();
    let f = large(&mut pool, Gso::Tcp4, false, 60_000, 1448);
    let (bytes, meta) = (f.to_vec(), f.meta);
    let mut out = Vec::new();
    complete(&mut pool, f, Offloads::ALL, &mut out).unwrap();
    let f = out.pop().unwrap();
    assert_eq!((f.to_vec(), f.meta), (bytes, meta));
    pool.free(f);
}

#[test]
fn headers_that_do_not_fit_the_request_are_refused_and_leak_nothing() {
    let mut pool = Pool::new(4096, 64).unwrap();
    let spoil: [fn(&mut Frame); 10] = [
        |f| f.meta.gso_size = 0,
        |f| f.meta.gso_size = 1,
        |f| f.meta.gso = Gso::Tcp6,
        |f| f.meta.gso = Gso::UdpL4,
        |f| f.meta.gso = Gso::Udp,
        |f| f.meta.csum_start += 2,
        |f| f.head_mut()[12] = 0x99,
        |f| f.head_mut()[14] = 0x4f,
        |f| f.head_mut()[46] = 0x10,
        |f| f.head_mut()[20] = 0x20,
    ];
    for (i, change) in spoil.iter().enumerate() {
        let mut f = large(&mut pool, Gso::Tcp4, false, 5000, 1448);
        change(&mut f);
        let mut out = Vec::new();
        assert_eq!(complete(&mut pool, f, Offloads::NONE, &mut out), Err(SendDrop::BadOffload), "case {i}");
        assert!(out.is_empty());
        assert_eq!(pool.outstanding(), 0);
    }
}

#[test]
fn no_record_and_no_bytes_make_it_panic() {
    let mut pool = Pool::new(1024, 64).unwrap();
    let whole = {
        let f = large(&mut pool, Gso::Tcp6, true, 100, 50);
        let b = f.to_vec();
        pool.free(f);
        b
    };
    for len in 0..whole.len() {
        for gso in [Gso::None, Gso::Tcp4, Gso::Udp, Gso::Tcp6, Gso::UdpL4] {
            for start in [0, 57, 58, 200, u16::MAX] {
                let mut f = pool.copy_in(&whole[..len]).unwrap();
                f.meta = Meta { needs_csum: true, csum_start: start, csum_offset: 16, gso, gso_size: 50, ..f.meta };
                let mut out = Vec::new();
                let _ = complete(&mut pool, f, Offloads::NONE, &mut out);
                out.drain(..).for_each(|p| pool.free(p));
            }
        }
    }
    assert_eq!(pool.outstanding(), 0);
}

#[test]
fn an_empty_pool_is_a_reason_not_a_leak() {
    let mut pool = Pool::new(4096, 4).unwrap();
    let f = large(&mut pool, Gso::Tcp4, false, 9000, 1448);
    let mut out = Vec::new();
    assert_eq!(complete(&mut pool, f, Offloads::NONE, &mut out), Err(SendDrop::NoMemory));
    assert!(out.is_empty());
    assert_eq!(pool.outstanding(), 0);
}
