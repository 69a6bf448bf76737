//! The simple actions, read from text.
//!
//! Purpose: actions with one argument or two. Invariant: arguments fit their place.
//! Deliberately does not know: lists and nesting.

use super::action_parse::output_to;
use super::error::TextError;
use super::names::Names;
use super::token::Token;
use super::{number, subfield, value};
use crate::action::{Action, PortNo, CONTROLLER_WHOLE_PACKET};

type Parsed = Result<Action, TextError>;

/// `PORT`, `FIELD[A..B]`, or `port=PORT,max_len=N`.
pub(super) fn output(token: Token<'_>, names: &Names) -> Parsed {
    let text = token.text();
    if text.contains("port") && text.contains("max_len") {
        return output_truncated(token, names);
    }
    if let Some(port) = names.port(text) {
        return Ok(output_to(port));
    }
    match subfield::parse(token) {
        Ok(src) => Ok(Action::OutputReg {
            src,
            max_len: CONTROLLER_WHOLE_PACKET,
        }),
        Err(_) => Err(token.error(format!("{text}: output to unknown port"))),
    }
}

fn output_truncated(token: Token<'_>, names: &Names) -> Parsed {
    // The header of the frame stays whole.
    const SHORTEST: u32 = 14;
    let (mut port, mut max_len) = (PortNo(0), 0);
    for (key, v) in token.pairs() {
        match key.text() {
            "port" => {
                port = names.port_token(v).ok_or_else(|| {
                    v.error(format!("output to unknown truncate port: {}", v.text()))
                })?;
                let reserved = port.0 > PortNo::MAX.0;
                if reserved && port != PortNo::LOCAL && port != PortNo::IN_PORT {
                    let message = format!("output to unsupported truncate port: {}", v.text());
                    return Err(v.error(message));
                }
            }
            "max_len" => {
                max_len = number::u32(v)?;
                if max_len < SHORTEST {
                    return Err(v.error(format!(
                        "max_len {max_len} is less than the minimum value {SHORTEST}"
                    )));
                }
            }
            other => {
                return Err(key.error(format!("invalid key '{other}' in output_trunc argument")))
            }
        }
    }
    Ok(Action::OutputTrunc { port, max_len })
}

/// `PORT:QUEUE`
pub(super) fn enqueue(token: Token<'_>, names: &Names) -> Parsed {
    const BETWEEN: &[char] = &[':', 'q', ','];
    let text = token.text();
    let inner = token.skip(text.len() - text.trim_start_matches(BETWEEN).len());
    let (port, queue) = match inner.split_any(BETWEEN) {
        (port, Some(queue)) if !port.is_empty() && !queue.is_empty() => (port, queue),
        _ => {
            return Err(token
                .error("\"enqueue\" syntax is \"enqueue:PORT:QUEUE\" or \"enqueue(PORT,QUEUE)\""))
        }
    };
    let Some(number) = names.port_token(port) else {
        return Err(port.error(format!("{}: enqueue to unknown port", port.text())));
    };
    Ok(Action::Enqueue {
        port: number,
        queue: number::u32(queue)?,
    })
}

pub(super) fn vlan_vid(token: Token<'_>, push_vlan_if_needed: bool) -> Parsed {
    let vid = number::u16(token, "VLAN VID")?;
    if vid > 0xfff {
        return Err(token.error(format!("{}: not a valid VLAN VID", token.text())));
    }
    Ok(Action::SetVlanVid {
        vid,
        push_vlan_if_needed,
    })
}

pub(super) fn vlan_pcp(token: Token<'_>, push_vlan_if_needed: bool) -> Parsed {
    let pcp = number::u8(token, "VLAN PCP")?;
    if pcp > 7 {
        return Err(token.error(format!("{}: not a valid VLAN PCP", token.text())));
    }
    Ok(Action::SetVlanPcp {
        pcp,
        push_vlan_if_needed,
    })
}

pub(super) fn push_vlan(token: Token<'_>) -> Parsed {
    match number::u16(token, "ethertype")? {
        ethertype @ (0x8100 | 0x88a8) => Ok(Action::PushVlan(ethertype)),
        _ => Err(token.error(format!("{}: not a valid VLAN ethertype", token.text()))),
    }
}

pub(super) fn mac(token: Token<'_>) -> Result<[u8; 6], TextError> {
    let Some(mac) = value::mac(token.text()) else {
        return Err(token.error(format!("invalid mac address {}", token.text())));
    };
    let [_, _, bytes @ ..] = (mac as u64).to_be_bytes();
    Ok(bytes)
}

pub(super) fn tos(token: Token<'_>) -> Parsed {
    let tos = number::u8(token, "TOS")?;
    if tos & 3 != 0 {
        return Err(token.error(format!("{}: not a valid TOS", token.text())));
    }
    Ok(Action::SetIpDscp(tos))
}

pub(super) fn ecn(token: Token<'_>) -> Parsed {
    let ecn = number::u8(token, "ECN")?;
    if ecn > 3 {
        return Err(token.error(format!("{}: not a valid ECN", token.text())));
    }
    Ok(Action::SetIpEcn(ecn))
}

/// Nothing, or ids of controllers.
pub(super) fn dec_ttl(token: Token<'_>) -> Parsed {
    if token.is_empty() {
        return Ok(Action::DecTtl {
            controllers: vec![0],
            with_ids: false,
        });
    }
    let mut controllers = Vec::new();
    for word in token.words(&[' ', ',']) {
        controllers.push(number::atoi(word.text()) as u16);
    }
    if controllers.is_empty() {
        return Err(token.error("dec_ttl_cnt_ids: expected at least one controller id."));
    }
    Ok(Action::DecTtl {
        controllers,
        with_ids: true,
    })
}

pub(super) fn mpls_label(token: Token<'_>) -> Parsed {
    missing_mpls(token, "label")?;
    match number::u64(token)? {
        label @ 0..=0xf_ffff => Ok(Action::SetMplsLabel(label as u32)),
        _ => Err(token.error(format!("{}: not a valid MPLS label", token.text()))),
    }
}

pub(super) fn mpls_tc(token: Token<'_>) -> Parsed {
    missing_mpls(token, "tc")?;
    match number::u8(token, "MPLS TC")? {
        tc @ 0..=7 => Ok(Action::SetMplsTc(tc)),
        _ => Err(token.error(format!("{}: not a valid MPLS TC", token.text()))),
    }
}

pub(super) fn mpls_ttl(token: Token<'_>) -> Parsed {
    missing_mpls(token, "ttl")?;
    number::u8(token, "MPLS TTL").map(Action::SetMplsTtl)
}

fn missing_mpls(token: Token<'_>, what: &str) -> Result<(), TextError> {
    if token.is_empty() {
        return Err(token.error(format!("set_mpls_{what}: expected {what}.")));
    }
    Ok(())
}

pub(super) fn set_tunnel(token: Token<'_>, wide: bool) -> Parsed {
    let id = number::u64(token)?;
    Ok(Action::SetTunnel {
        id,
        wide: wide || id > u64::from(u32::MAX),
    })
}

/// `PORT`, or `[PORT],[TABLE][,ct]`.
pub(super) fn resubmit(token: Token<'_>, names: &Names) -> Parsed {
    let (port, rest) = token.split_any(&[',']);
    let (table, rest) = split_optional(rest);
    let (ct, _) = split_optional(rest);
    let in_port = match port.is_empty() {
        true => PortNo::IN_PORT,
        false => names
            .port_token(port)
            .ok_or_else(|| port.error(format!("{}: resubmit to unknown port", port.text())))?,
    };
    let table_id = match table.filter(|t| !t.is_empty()) {
        None => 255,
        Some(t) => names
            .table(t.text())
            .ok_or_else(|| t.error(format!("{}: resubmit to unknown table", t.text())))?,
    };
    let with_ct_orig = match ct.filter(|t| !t.is_empty()) {
        None => false,
        Some(t) if t.text() == "ct" => true,
        Some(t) => return Err(t.error(format!("{}: unknown parameter", t.text()))),
    };
    if in_port == PortNo::IN_PORT && table_id == 255 {
        return Err(
            token.error("at least one \"in_port\" or \"table\" must be specified on resubmit")
        );
    }
    Ok(Action::Resubmit {
        in_port: (in_port != PortNo::IN_PORT).then_some(in_port),
        table: (table_id != 255).then_some(table_id),
        with_ct_orig,
    })
}

fn split_optional(token: Option<Token<'_>>) -> (Option<Token<'_>>, Option<Token<'_>>) {
    match token {
        None => (None, None),
        Some(token) => {
            let (first, rest) = token.split_any(&[',']);
            (Some(first), rest)
        }
    }
}

pub(super) fn write_metadata(token: Token<'_>) -> Parsed {
    let (value, mask) = token.split_any(&['/']);
    let mask = match mask {
        Some(mask) => number::u64(mask)?,
        None => u64::MAX,
    };
    Ok(Action::WriteMetadata {
        value: number::u64(value)?,
        mask,
    })
}

pub(super) fn goto_table(token: Token<'_>, names: &Names) -> Parsed {
    names
        .table(token.text())
        .map(Action::GotoTable)
        .ok_or_else(|| token.error(format!("unknown table \"{}\"", token.text())))
}
