//! What a trace is asked about: a bridge, a packet, options.
//!
//! Deliberately does not know: rules.

use sluice_flow::key::slot;
use sluice_flow::BridgeIdx;
use sluice_openflow::text::Names;
use sluice_openflow::{Field, PortNo};

use super::packet::Packet;
use super::spec;
use crate::daemon::switch::Switch;

/// Most bytes of a packet.
const LONGEST: usize = 65_535;

/// A trace.
pub(super) struct Request {
    pub bridge: BridgeIdx,
    pub packet: Packet,
    /// The packet was given, or is to be made: it has its effects.
    pub real: bool,
    pub names: bool,
    /// States of the connection, one for each time that it is asked for.
    pub ct_states: Vec<u32>,
}

/// Reads the words of the command.
pub(super) fn parse(switch: &Switch, words: &[&str], packet_out: bool) -> Result<Request, String> {
    let (mut args, mut ct_states) = (Vec::new(), Vec::new());
    let (mut generate, mut names) = (false, false);
    let mut rest = words.iter();
    while let Some(&word) = rest.next() {
        let mut value = || rest.next().copied().ok_or_else(|| format!("Missing argument for option {word}"));
        match word {
            "-generate" | "--generate" => generate = true,
            "-names" | "--names" => names = true,
            "-consistent" | "--consistent" if packet_out => {}
            "--l7" => _ = hex_bytes(value()?)?,
            "--l7-len" => _ = value()?,
            "--ct-next" => ct_states.push(spec::ct_state(value()?)?),
            _ if word.starts_with('-') => return Err(format!("{word}: unknown option")),
            _ if args.len() >= 3 => return Err("too many arguments".to_string()),
            _ => args.push(word),
        }
    }
    let mut bytes = None;
    if !generate && args.len() > 1 {
        match args.last().map(|text| packet_bytes(text)) {
            Some(Ok(packet)) => {
                bytes = Some(packet);
                args.pop();
            }
            Some(Err(e)) if args.len() > 2 => return Err(e),
            _ => {}
        }
    }
    let (bridge, mut packet) = subject(switch, &args)?;
    if let Some(bytes) = &bytes {
        packet = from_bytes(bytes, &packet);
    }
    Ok(Request { bridge, packet, real: generate || bytes.is_some(), names, ct_states })
}

/// The bridge and the packet, from `BRIDGE FLOW`, `DATAPATH FLOW` or `FLOW`.
fn subject(switch: &Switch, args: &[&str]) -> Result<(BridgeIdx, Packet), String> {
    let Some(text) = args.last() else { return Err("Syntax error".to_string()) };
    if let Ok(flow) = spec::datapath_flow(switch, text) {
        return Ok(flow);
    }
    let [name, text] = args else {
        if args.len() == 1 {
            let why = spec::datapath_flow(switch, text).err().unwrap_or_default();
            return Err(format!("{why} (or the bridge name was omitted)"));
        }
        return Err("Syntax error".to_string());
    };
    let bridge = switch.bridge_by_name(name).ok_or_else(|| format!("{name}: unknown bridge"))?;
    let mut names = Names::new();
    bridge.ports.values().for_each(|p| names.add_port(p.number, &p.name));
    let packet = spec::exact_flow(text, switch.rules.options(bridge.index), &names).map_err(|e| format!("Bad openflow flow syntax: {e}"))?;
    Ok((bridge.index, packet))
}

/// Bytes from hexadecimal digits.
fn hex_bytes(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    let garbage = || "Trailing garbage in packet data".to_string();
    if digits.len() % 2 != 0 || digits.len() / 2 > LONGEST {
        return Err(garbage());
    }
    let pairs = digits.chunks(2).map(|pair| Some(pair.first()?.to_digit(16)? * 16 + pair.get(1)?.to_digit(16)?));
    pairs.map(|byte| byte.and_then(|b| u8::try_from(b).ok())).collect::<Option<Vec<u8>>>().ok_or_else(garbage)
}

fn packet_bytes(text: &str) -> Result<Vec<u8>, String> {
    let bytes = hex_bytes(text)?;
    if bytes.len() < 14 {
        return Err("Packet data too short for Ethernet".to_string());
    }
    Ok(bytes)
}

/// The fields of a frame; all that a frame does not have is taken from `state`.
fn from_bytes(bytes: &[u8], state: &Packet) -> Packet {
    let mut packet = state.clone();
    let headers = sluice_wire::parse(bytes);
    sluice_flow::extract::extract(bytes, &headers, &mut packet.key);
    packet.set(slot::TTL_EXPIRING, 0);
    packet.set(slot::STAGE, 0);
    let at = |i: usize| bytes.get(i..i + 2).and_then(|b| b.try_into().ok()).map_or(0, u16::from_be_bytes);
    packet.inner = (0, 0);
    if headers.vlan && matches!(at(16), 0x8100 | 0x88a8) {
        packet.inner = (at(16), at(18) | super::packet::PRESENT);
    }
    packet
}

/// The port that a flow without one came in by.
pub(super) fn default_port(packet: &mut Packet) {
    if packet.in_port() == PortNo(0) {
        packet.write_bits(Field::IN_PORT, 0xffff, 0xffff);
    }
}
