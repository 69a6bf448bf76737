//! Decoders are total: whatever becomes of a message or a text on its way, it is read or refused, at once and
//! in bounded memory.
//!
//! Mutants of every kind of message and of every text that the tools know. What once was wrong is kept in
//! `kept.tsv` and comes first. `MUTANTS=N` makes more than the few of a test run (`make fuzz-openflow`).

mod counting;
mod mutate;
mod seeds;

use counting::allocated_by;
use mutate::{Mutator, Rng};
use sluice_openflow::print::format_message;
use sluice_openflow::text::{self, Names};
use sluice_openflow::wire::{decode_flow_mod, has_more, is_only_sent};
use sluice_openflow::{FlowMod, FlowModCommand, Match, Message, Protocol, Version};

/// Memory that reading may take: a value for each of the shortest items that a message can hold.
const PER_BYTE: usize = 256;
const ANYWAY: usize = 64 << 10;

/// Mutants in a run.
fn count(few: usize) -> usize {
    std::env::var("MUTANTS").ok().and_then(|n| n.parse().ok()).unwrap_or(few)
}

fn protocols(bytes: &[u8]) -> impl Iterator<Item = Protocol> {
    let version = bytes.first().and_then(|v| Version::from_wire(*v)).unwrap_or(Version::V10);
    let forms = [(false, false), (true, true)];
    forms.into_iter().take(if version == Version::V10 { 2 } else { 1 }).map(move |(nxm, table_id)| Protocol { version, nxm, table_id })
}

/// A match that asks something of every bit.
fn everything() -> Match {
    let mut m = Match::ANY;
    m.value.words.fill(u64::MAX);
    m.mask.words.fill(u64::MAX);
    m
}

/// An extension, which brings a match that OpenFlow 1.1 has no form for.
fn is_nicira_in_11(bytes: &[u8]) -> bool {
    bytes.starts_with(&[2, 4])
}

/// Reads a message in every way; what can be written again reads as what was written.
fn read(bytes: &[u8]) {
    for protocol in protocols(bytes) {
        let (decoded, most) = allocated_by(|| Message::decode(protocol, bytes));
        assert!(most <= ANYWAY + PER_BYTE * bytes.len(), "{most} bytes for {} of a message", bytes.len());
        // What the place held before must not show.
        let mut one = FlowMod { priority: 7, cookie: 3, table: Some(9), ..FlowMod::around(everything()) };
        let direct = decode_flow_mod(protocol, bytes, &mut one);
        match (&decoded, &direct) {
            (Ok((xid, Message::FlowMod(fm))), Some(Ok(x))) => assert!(xid == x && **fm == one),
            (Err(e), Some(Err(one))) => assert_eq!((e.error, e.xid), (one.error, one.xid)),
            (_, Some(other)) => panic!("a flow-mod is read in two ways: {decoded:?} and {other:?}"),
            (_, None) => assert!(!matches!(decoded, Ok((_, Message::FlowMod(_)))), "{decoded:?}"),
        }
        let _ = (has_more(bytes), is_only_sent(protocol.version, bytes));
        let Ok((xid, message)) = decoded else { continue };
        let Ok(parts) = message.encode_all(protocol, xid) else { continue };
        for part in parts {
            let again = |part: &[u8]| Message::decode(protocol, part).map(|(xid, m)| m.encode_all(protocol, xid).map(|all| all.concat()));
            // OpenFlow 1.1 has fields of IPv6 packets only in Nicira's match: its own is written as Open vSwitch
            // writes it, and what readers leave out of that is gone after the first time.
            let part = if is_nicira_in_11(bytes) { again(&part).unwrap().unwrap() } else { part };
            assert_eq!(again(&part), Ok(Ok(part.clone())), "{message:?}");
        }
    }
    let (text, most) = allocated_by(|| format_message(bytes, &Names::new()));
    assert!(!text.is_empty() && most <= ANYWAY + 2 * PER_BYTE * bytes.len(), "{most} bytes to print {}", bytes.len());
}

#[test]
fn a_message_that_was_changed_on_its_way_is_read_or_refused() {
    seeds::kept_messages().iter().for_each(|m| read(m));
    let seeds = seeds::messages();
    assert!(seeds.len() > 500, "{}", seeds.len());
    seeds.iter().for_each(|m| read(m));
    let mut mutator = Mutator::new(Rng::new(4), &seeds);
    for n in 0..count(20_000) {
        let mutant = mutator.message();
        let outcome = std::panic::catch_unwind(|| read(&mutant));
        assert!(outcome.is_ok(), "mutant {n}, to be kept: {}", seeds::hex(&mutant));
    }
}

/// Reads a text in every way that a command line has.
fn read_text(t: &str) {
    let names = Names::new();
    let words: Vec<String> = t.split(' ').map(str::to_string).collect();
    let all: [(&str, &dyn Fn()); 14] = [
        ("line", &|| drop(text::parse_flow_line(t, &names))),
        ("delete", &|| drop(text::parse_flow(t, FlowModCommand::Delete, &names))),
        ("modify", &|| drop(text::parse_flow(t, FlowModCommand::ModifyStrict, &names))),
        ("match", &|| drop(text::parse_match(t, &names))),
        ("actions", &|| drop(text::parse_actions(t, &names))),
        ("instructions", &|| drop(text::parse_instructions(t, &names))),
        ("file", &|| drop(text::parse_flow_file(t, &names))),
        ("group", &|| drop(text::parse_group_line(t, &names))),
        ("meter", &|| drop(text::parse_meter(t, sluice_openflow::message::MeterCommand::Add))),
        ("packet", &|| drop(text::parse_packet_out(t, &names))),
        ("monitor", &|| drop(text::parse_flow_monitor(t, 1, &names))),
        ("table", &|| drop(text::parse_table_mod("1", t, &names))),
        ("tlv", &|| drop(text::parse_tlv_maps(t))),
        ("ct", &|| drop(text::parse_ct_flush(&words))),
    ];
    for (what, parse) in all {
        let ((), most) = allocated_by(parse);
        assert!(most <= ANYWAY + 2 * PER_BYTE * t.len(), "{what}: {most} bytes for {} of text", t.len());
    }
}

#[test]
fn a_text_with_a_slip_of_the_pen_is_read_or_refused() {
    seeds::kept_texts().iter().for_each(|t| read_text(t));
    let seeds = seeds::texts();
    assert!(seeds.len() > 200, "{}", seeds.len());
    seeds.iter().for_each(|t| read_text(t));
    let mut mutator = Mutator::new(Rng::new(5), &seeds);
    for n in 0..count(10_000) {
        let mutant = mutator.text();
        let outcome = std::panic::catch_unwind(|| read_text(&mutant));
        assert!(outcome.is_ok(), "mutant {n}, to be kept: {mutant:?}");
    }
}
