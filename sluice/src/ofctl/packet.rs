//! `packet-out`.

use sluice_openflow::message::{PacketOut, NO_BUFFER};
use sluice_openflow::text::{parse_actions, parse_packet_out, Formats};
use sluice_openflow::{Field, Match, Message};

use super::fatal::Fatal;
use super::run::{Failure, Run};

/// `packet-out SWITCH "in_port=… packet=… actions=…"`, or
/// `packet-out SWITCH IN_PORT ACTIONS PACKET...`.
pub fn out(run: &Run) -> Result<(), Failure> {
    let target = run.argument(1);
    if run.count() == 3 {
        return Err(Fatal(format!("Too many arguments ({})", run.count() + 1)).into());
    }
    let packets = if run.count() == 2 {
        let names = run.accepted_names(target)?;
        vec![parse_packet_out(run.argument(2), &names).map_err(|e| run.wrong(&e))?]
    } else {
        by_words(run)?
    };
    let mut client = run.open_for_changes(target, Formats::ANY)?;
    for packet in packets {
        let answer = client.transact_silent(&Message::PacketOut(Box::new(packet)))?;
        run.refused(answer)?;
    }
    Ok(())
}

fn by_words(run: &Run) -> Result<Vec<PacketOut>, Failure> {
    let target = run.argument(1);
    let in_port = run.port_number(target, run.argument(2))?;
    let names = run.accepted_names(target)?;
    let actions = parse_actions(run.argument(3), &names).map_err(|e| run.wrong(&e))?;
    let mut metadata = Match::ANY;
    metadata.set_field(Field::IN_PORT, u128::from(in_port.0), u128::MAX);
    let words = run.arguments.iter().skip(4);
    let packets = words.map(|word| {
        let packet = bytes(word)?;
        Ok(PacketOut { packet, buffer_id: NO_BUFFER, metadata: metadata.clone(), actions: actions.clone() })
    });
    packets.collect()
}

fn bytes(word: &str) -> Result<Vec<u8>, Fatal> {
    let digits: Vec<u8> = word.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let whole = digits.len() % 2 == 0 && digits.iter().all(u8::is_ascii_hexdigit);
    if !whole {
        return Err(Fatal("Trailing garbage in packet data".to_string()));
    }
    let nibble = |b: u8| (b as char).to_digit(16).unwrap_or(0) as u8;
    let packet: Vec<u8> = digits.chunks_exact(2).map(|p| nibble(p[0]) << 4 | nibble(p[1])).collect();
    if packet.len() < 14 {
        return Err(Fatal("Packet data too short for Ethernet".to_string()));
    }
    Ok(packet)
}
