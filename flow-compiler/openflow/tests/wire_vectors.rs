//! Bytes that Open vSwitch's tools sent and received are read and written unchanged, and no bytes
//! at all make a decoder panic.

use proptest::prelude::*;
use sluice_openflow::wire::Framer;
use sluice_openflow::{Message, OfpError, Protocol, Version};

const SENT: &str = include_str!("vectors/sent.tsv");
const RECEIVED: &str = include_str!("vectors/received.tsv");
const REFUSED: &str = include_str!("vectors/refused.tsv");

/// One line: protocol, what was asked of `ovs-ofctl`, the message in hexadecimal.
fn vectors(text: &str) -> impl Iterator<Item = (Protocol, &str, Vec<u8>)> {
    text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).map(|line| {
        let mut parts = line.split('\t');
        let mut part = || parts.next().expect("three columns");
        let (protocol, what, hex) = (part(), part(), part());
        (self::protocol(protocol), what, unhex(hex))
    })
}

/// Wire version, `n` for Nicira's flow format, `t` for table ids.
fn protocol(text: &str) -> Protocol {
    let version = Version::from_wire(text.as_bytes()[0] - b'0').expect("a version");
    Protocol { version, nxm: text.contains('n'), table_id: text.contains('t') }
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// What is wrong with reading and writing one message again, if anything.
fn difference(protocol: Protocol, bytes: &[u8]) -> Option<String> {
    let (xid, message) = match Message::decode(protocol, bytes) {
        Ok(read) => read,
        Err(e) => return Some(format!("{e}\n  {}", hex(bytes))),
    };
    match message.encode(protocol, xid) {
        Ok(again) if again == bytes => None,
        Ok(again) => {
            Some(format!("\n  want {}\n  got  {}\n  {message:?}", hex(bytes), hex(&again)))
        }
        Err(e) => Some(format!("{e}\n  {message:?}")),
    }
}

fn check(text: &str) {
    let all: Vec<_> = vectors(text).collect();
    let wrong: Vec<_> = all
        .iter()
        .filter_map(|(p, what, bytes)| difference(*p, bytes).map(|d| format!("{what}: {d}")))
        .collect();
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), all.len(), wrong.join("\n"));
    assert!(all.len() > 50);
}

#[test]
fn what_ovs_ofctl_sends_survives_reading_and_writing() {
    check(SENT);
}

#[test]
fn what_a_switch_answers_survives_reading_and_writing() {
    check(RECEIVED);
}

#[test]
fn what_open_vswitch_refuses_is_refused_with_the_same_error() {
    for (protocol, want, bytes) in vectors(REFUSED) {
        // Of a switch that maps no tunnel options.
        let got = Message::decode(protocol, &bytes).map_err(|e| e.error);
        let got = got.and_then(|(_, mut m)| m.bind(&Default::default()).map(|()| m));
        assert_eq!(got, Err(OfpError::by_name(want).expect(want)), "{}", hex(&bytes));
    }
}

/// Reads bytes whose header tells their true length; what can be read can be written, and what was
/// written reads the same.
fn exercise(protocol: Protocol, mut bytes: Vec<u8>) {
    if bytes.len() >= 4 {
        let len = (bytes.len() as u16).to_be_bytes();
        bytes[2..4].copy_from_slice(&len);
    }
    let Ok((xid, message)) = Message::decode(protocol, &bytes) else { return };
    let Ok(again) = message.encode(protocol, xid) else { return };
    let (_, second) = Message::decode(protocol, &again)
        .unwrap_or_else(|e| panic!("{e}\n  {}\n  {}\n  {message:?}", hex(&bytes), hex(&again)));
    let third = second.encode(protocol, xid).expect("was written before");
    assert_eq!(hex(&third), hex(&again), "{}\n{message:?}\n{second:?}", hex(&bytes));
}

#[test]
fn every_message_cut_short_anywhere_is_refused_or_read_but_never_a_panic() {
    for (protocol, _, bytes) in vectors(SENT).chain(vectors(RECEIVED)) {
        for len in 0..bytes.len() {
            let cut = &bytes[..len];
            assert!(Message::decode(protocol, cut).is_err(), "the header tells another length");
            exercise(protocol, cut.to_vec());
        }
    }
}

#[test]
fn every_message_with_any_byte_changed_is_refused_or_read_but_never_a_panic() {
    for (protocol, _, bytes) in vectors(SENT).chain(vectors(RECEIVED)) {
        for i in 0..bytes.len() {
            for change in [0x01, 0xff] {
                let mut bytes = bytes.clone();
                bytes[i] ^= change;
                exercise(protocol, bytes);
            }
        }
    }
}

#[test]
fn a_stream_of_all_messages_is_cut_into_the_same_messages() {
    let all: Vec<Vec<u8>> = vectors(SENT).map(|(_, _, bytes)| bytes).collect();
    let stream = all.concat();
    let mut framer = Framer::new();
    let mut got = Vec::new();
    for chunk in stream.chunks(777) {
        framer.push(chunk);
        while let Some(message) = framer.next_message().expect("lengths are right") {
            got.push(message);
        }
    }
    assert_eq!(got, all);
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(
        version in 1u8..=6,
        kind in 0u8..=36,
        body in proptest::collection::vec(any::<u8>(), 0..300),
        nxm: bool,
    ) {
        let mut bytes = vec![version, kind, 0, 0, 0, 0, 0, 1];
        bytes.extend(body);
        let version = Version::from_wire(version).expect("in range");
        exercise(Protocol { version, nxm, table_id: nxm }, bytes);
    }

    #[test]
    fn no_vendor_message_makes_a_decoder_panic(
        version in 1u8..=6,
        onf: bool,
        subtype in prop_oneof![0u32..=40, 2300u32..=2301],
        body in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let vendor: [u8; 4] = if onf { *b"ONF\0" } else { [0, 0, 0x23, 0x20] };
        let mut bytes = vec![version, 4, 0, 0, 0, 0, 0, 1];
        bytes.extend(vendor);
        bytes.extend(subtype.to_be_bytes());
        bytes.extend(body);
        exercise(Version::from_wire(version).expect("in range").into(), bytes);
    }

    #[test]
    fn no_action_makes_a_decoder_panic(
        version in 1u8..=6,
        subtype in 0u16..=52,
        body in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut action = vec![0xff, 0xff, 0, 0, 0, 0, 0x23, 0x20];
        action.extend(subtype.to_be_bytes());
        action.extend(body);
        action.resize(action.len().next_multiple_of(8), 0);
        action[3] = action.len() as u8;
        let (v, len) = (Version::from_wire(version).expect("in range"), action.len() as u8);
        let mut bytes = vec![version, 13, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff];
        match v {
            Version::V10 => bytes.extend([0, 1, 0, len]),
            Version::V15 => bytes.extend([0, len, 0, 0, 0, 1, 0, 4, 0, 0, 0, 0]),
            _ => bytes.extend([0, 0, 0, 1, 0, len, 0, 0, 0, 0, 0, 0]),
        }
        bytes.extend(action);
        exercise(v.into(), bytes);
    }
}
