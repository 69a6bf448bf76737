//! The same words make the same bytes: what `ovs-ofctl` sent for a rule is what we send for it.

use sluice_openflow::text::{parse_flow, parse_flow_formats, Formats, Names};
use sluice_openflow::{FlowModCommand, Message, Protocol, Version};

const SENT: &str = include_str!("vectors/sent.tsv");

/// The command and the rule in a line of `ovs-ofctl`'s, if it changes rules.
fn rule(words: &str) -> Option<(FlowModCommand, &str)> {
    let (before, rest) = words.split_once('\'')?;
    let text = rest.strip_suffix('\'')?;
    let strict = before.contains("--strict");
    let command = match before.trim().rsplit(' ').next()? {
        "add-flow" => FlowModCommand::Add,
        "mod-flows" if strict => FlowModCommand::ModifyStrict,
        "mod-flows" => FlowModCommand::Modify,
        "del-flows" if strict => FlowModCommand::DeleteStrict,
        "del-flows" => FlowModCommand::Delete,
        _ => return None,
    };
    Some((command, text))
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn a_rule_in_words_becomes_the_bytes_that_ovs_ofctl_sends() {
    let (mut count, mut wrong) = (0, Vec::new());
    for line in SENT.lines().filter(|l| !l.starts_with('#')) {
        let mut columns = line.split('\t');
        let mut column = || columns.next().expect("three columns");
        let (protocol, words, message) = (column(), column(), unhex(column()));
        let Some((command, text)) = rule(words) else { continue };
        let version = Version::from_wire(message[0]).expect("a version");
        let protocol =
            Protocol { version, nxm: protocol.contains('n'), table_id: protocol.contains('t') };
        let Ok((xid, Message::FlowMod(_))) = Message::decode(protocol, &message) else { continue };
        count += 1;
        let flow = match parse_flow(text, command, &Names::new()) {
            Ok(flow) => flow,
            Err(e) => {
                wrong.push(format!("{words}: {e:?}"));
                continue;
            }
        };
        let got = Message::flow_mod(flow).encode(protocol, xid).expect(words);
        if got != message {
            wrong.push(format!("{words}\n  want {}\n  got  {}", hex(&message), hex(&got)));
        }
    }
    assert!(wrong.is_empty(), "{} of {count} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 100, "{count}");
}

/// The flow format that a protocol stands for.
fn format(p: Protocol) -> Formats {
    match (p.version, p.nxm) {
        (Version::V10, false) => Formats::OPENFLOW10,
        (Version::V10, true) => Formats::NXM_TABLE_ID,
        (version, _) => Formats::of_version(version),
    }
}

#[test]
fn every_rule_can_be_told_in_every_version_that_has_the_words_and_read_back() {
    let mut told = 0;
    for line in SENT.lines().filter(|l| !l.starts_with('#')) {
        let words = line.split('\t').nth(1).expect("three columns");
        let Some((command, text)) = rule(words) else { continue };
        let (flow, formats) = parse_flow_formats(text, command, &Names::new()).expect(words);
        for version in Version::ALL {
            for nicira in [false, true] {
                let protocol = Protocol { version, nxm: nicira, table_id: nicira };
                // Nicira's encapsulation is only understood from 1.3 on, and 1.0 has no place for
                // what follows write_metadata.
                let too_old = (version < Version::V13 && words.contains("cap("))
                    || (version == Version::V10 && words.contains("write_metadata"));
                if formats & format(protocol) == Formats::NONE || too_old {
                    continue;
                }
                let bytes = Message::flow_mod(flow.clone()).encode(protocol, 7).expect(words);
                let (_, read) = Message::decode(protocol, &bytes)
                    .unwrap_or_else(|e| panic!("{words} in {version:?}: {e}\n{}", hex(&bytes)));
                let again = read.encode(protocol, 7).expect(words);
                assert_eq!(hex(&again), hex(&bytes), "{words} in {version:?}\n{read:?}");
                told += 1;
            }
        }
    }
    assert!(told > 1000, "{told}");
}
