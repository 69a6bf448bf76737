//! The short cut gives what the long way gives, on any bytes; and extraction touches only its own words.

use proptest::prelude::*;
use sluice_flow::extract::{extract_narrow_part, extract_part};
use sluice_flow::key::{Key, NARROW_WORDS, PACKET_WORDS, SERVICE_WORDS, WORDS};
use sluice_wire::parse_part;

fn check(frame: &[u8], cut: usize) {
    let head = &frame[..cut.min(frame.len())];
    let headers = parse_part(head, frame.len());
    let mut key = Key { words: [u64::MAX; WORDS] };
    extract_part(head, frame.len(), &headers, &mut key);
    let (narrow, narrow_headers) = extract_narrow_part(head, frame.len());
    assert_eq!(narrow_headers, headers);
    assert_eq!(narrow, key.words[..NARROW_WORDS]);
    assert!(key.words[PACKET_WORDS..SERVICE_WORDS.start].iter().all(|w| *w == u64::MAX));
    assert!(key.words[SERVICE_WORDS.end..].iter().all(|w| *w == u64::MAX));
    let len = head.len();
    for offset in [headers.mpls, headers.l3, headers.l4, headers.payload] {
        assert!(usize::from(offset) <= len, "{headers:?} of {len} bytes");
    }
    assert!(headers.end as usize <= frame.len());
}

/// Two addresses, perhaps a tag, then the first bytes of a header that is looked into, then anything.
fn plausible_frame() -> impl Strategy<Value = Vec<u8>> {
    let tag = prop_oneof![Just(vec![]), Just(vec![0x81, 0, 0xe0, 5]), Just(vec![0x88, 0xa8, 0, 5, 0x81, 0, 0, 6])];
    let l3 = prop_oneof![
        (0..80u8, 0..8u8, any::<u8>(), l4_proto()).prop_map(|(len, frag, ttl, proto)| vec![
            8, 0, 0x45, 0, 0, len, 0, 1, 0x40 & frag << 5, frag / 6, ttl, proto
        ]),
        (any::<u16>(), 0..80u8, l4_proto())
            .prop_map(|(label, len, proto)| vec![0x86, 0xdd, 0x60, 9, label as u8, 7, 0, len, proto, 64]),
        Just(vec![8, 6, 0, 1, 8, 0, 6, 4, 0, 1]),
        Just(vec![0x88, 0x47]),
        (any::<u8>(), 1..4u8).prop_map(|(length, kind)| vec![0x89, 0x4f, 0x0f, length, kind, 3]),
        Just(vec![0x88, 0xe7]),
        Just(vec![0, 40, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0, 0x45]),
        Just(vec![]),
    ];
    let rest = prop::collection::vec(prop_oneof![Just(0x50u8), Just(0), any::<u8>()], 0..120);
    (prop::collection::vec(any::<u8>(), 12), tag, l3, rest).prop_map(|(a, b, c, d)| [a, b, c, d].concat())
}

fn l4_proto() -> impl Strategy<Value = u8> {
    prop_oneof![Just(6), Just(17), Just(1), Just(58), Just(2), Just(132), Just(0), Just(43), Just(44), Just(51), any::<u8>()]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn on_any_bytes(frame in prop::collection::vec(any::<u8>(), 0..200), cut in 0..200usize) {
        check(&frame, frame.len());
        check(&frame, cut);
    }

    #[test]
    fn on_frames_that_look_like_real_ones(frame in plausible_frame(), cut in 0..160usize) {
        check(&frame, frame.len());
        check(&frame, cut);
    }
}
