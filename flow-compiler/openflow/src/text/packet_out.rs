//! Packet-outs, read from text.
//!
//! Purpose: `in_port=1,packet=HEX,actions=output:2` as a [`PacketOut`].
//! Invariant: a packet holds at least an Ethernet header. Deliberately does not know: headers.

use super::action_parse::{ActionText, Inside};
use super::error::TextError;
use super::match_parse::MatchText;
use super::names::Names;
use super::token::Token;
use crate::action::PortNo;
use crate::field::Field;
use crate::message::{PacketOut, NO_BUFFER};

/// Bytes of an Ethernet header.
const SHORTEST: usize = 14;

/// Reads a packet-out.
pub fn parse_packet_out(text: &str, names: &Names) -> Result<PacketOut, TextError> {
    let whole = Token::new(text);
    let split = whole.split_once("action").and_then(|(front, rest)| {
        let (_, actions) = rest.split_once("=")?;
        Some((front, actions))
    });
    let (front, actions) = match split {
        Some((front, actions)) => (front, Some(actions)),
        None => (whole, None),
    };
    let mut pipeline = MatchText::new(names);
    let (mut in_port, mut data) = (PortNo::NONE, None);
    for (key, v) in front.pairs() {
        if v.is_empty() {
            return Err(key.error(format!("field {} missing value", key.text())));
        }
        match key.text() {
            "in_port" => in_port = port(v, names)?,
            "packet" => data = Some(packet(v)?),
            _ => pipeline_field(&mut pipeline, key, v)?,
        }
    }
    let packet = data.ok_or_else(|| whole.error("must specify packet"))?;
    let actions = match actions {
        Some(actions) => ActionText::new(names).list(actions, Inside::Actions)?,
        None => Vec::new(),
    };
    let mut metadata = pipeline.matching;
    metadata.set_field(Field::IN_PORT, u128::from(in_port.0), u128::MAX);
    Ok(PacketOut {
        packet,
        buffer_id: NO_BUFFER,
        metadata,
        actions,
    })
}

fn port(v: Token<'_>, names: &Names) -> Result<PortNo, TextError> {
    let text = v.text();
    let Some(port) = names.port(text) else {
        return Err(v.error(format!("{text} is not a valid OpenFlow port")));
    };
    let sources = [PortNo::LOCAL, PortNo::NONE, PortNo::CONTROLLER];
    if port.0 > PortNo::MAX.0 && !sources.contains(&port) {
        return Err(v.error(format!(
            "{text} is not a valid OpenFlow port for PACKET_OUT"
        )));
    }
    Ok(port)
}

/// Pairs of hexadecimal digits.
fn packet(v: Token<'_>) -> Result<Vec<u8>, TextError> {
    let garbage = || v.error("packet: Trailing garbage in packet data");
    let digits: Vec<u32> = v
        .text()
        .chars()
        .map(|c| c.to_digit(16))
        .collect::<Option<_>>()
        .filter(|d: &Vec<u32>| d.len() % 2 == 0)
        .ok_or_else(garbage)?;
    let bytes: Vec<u8> = digits
        .chunks_exact(2)
        .map(|pair| pair.iter().fold(0, |v, digit| v << 4 | *digit as u8))
        .collect();
    if bytes.len() < SHORTEST {
        return Err(v.error("packet: Packet data too short for Ethernet"));
    }
    Ok(bytes)
}

/// What the pipeline starts with: metadata, registers, tunnel.
fn pipeline_field(
    pipeline: &mut MatchText<'_>,
    key: Token<'_>,
    v: Token<'_>,
) -> Result<(), TextError> {
    let name = key.text();
    let Some(field) = Field::by_name(name) else {
        return Err(key.error(format!("unknown keyword {name}")));
    };
    let registers = Field::REG0..=Field::XXREG0.plus(3);
    let tunnel = Field::TUN_ID..=Field::METADATA;
    let given = registers.contains(&field)
        || tunnel.contains(&field)
        || matches!(field, Field::PACKET_TYPE | Field::PKT_MARK);
    if !given {
        let message = format!("{name} is not a valid pipeline field for PACKET_OUT");
        return Err(key.error(message));
    }
    pipeline.take(key, v).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::format_actions;

    const FRAME: &str = "0011223344550011223344550800";

    fn read(text: &str) -> Result<PacketOut, String> {
        parse_packet_out(&text.replace("FRAME", FRAME), &Names::new()).map_err(|e| e.message)
    }

    #[test]
    fn packets_come_with_their_port_pipeline_and_actions() {
        let out = read("in_port=LOCAL reg0=5,packet=FRAME,actions=2,set_field:1->reg1").unwrap();
        assert_eq!(out.in_port(), PortNo::LOCAL);
        assert_eq!(out.metadata.field(Field::REG0), (5, 0xffff_ffff));
        assert_eq!(out.packet.len(), 14);
        assert_eq!(
            format_actions(&out.actions, &Names::new()),
            "output:2,set_field:0x1->reg1"
        );
        let bare = read("packet=FRAME").map(|o| (o.in_port(), o.actions.len()));
        assert_eq!(bare, Ok((PortNo::NONE, 0)));
    }

    #[test]
    fn what_is_no_packet_out_is_refused() {
        let cases = [
            (
                "packet=001122334455",
                "packet: Packet data too short for Ethernet",
            ),
            ("packet=zz", "packet: Trailing garbage in packet data"),
            ("packet=FRAME1", "packet: Trailing garbage in packet data"),
            (
                "in_port=foo packet=FRAME",
                "foo is not a valid OpenFlow port",
            ),
            (
                "in_port=NORMAL packet=FRAME",
                "NORMAL is not a valid OpenFlow port for PACKET_OUT",
            ),
            ("in_port=1 actions=2", "must specify packet"),
            ("in_port", "field in_port missing value"),
            ("foo=3,packet=FRAME", "unknown keyword foo"),
            (
                "dl_src=1:2:3:4:5:6,packet=FRAME",
                "dl_src is not a valid pipeline field for PACKET_OUT",
            ),
            (
                "packet=FRAME actions=goto_table:1",
                "goto_table instruction not allowed here",
            ),
        ];
        for (text, message) in cases {
            assert_eq!(read(text).err().as_deref(), Some(message), "{text}");
        }
    }
}
