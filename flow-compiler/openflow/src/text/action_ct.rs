//! `ct(...)` and `nat(...)`, read from text.
//!
//! Purpose: connection tracking actions. Invariant: ranges that are kept are whole: a highest value
//! only beside a lowest. Deliberately does not know: the connection tracker.

use super::action_parse::{ActionText, Inside};
use super::error::TextError;
use super::token::Token;
use super::{number, subfield};
use crate::action::{Action, Ct, CtZone, Nat};
use std::net::{IpAddr, Ipv6Addr};

/// What stands in `ct(...)`.
pub(super) fn ct(token: Token<'_>, text: &mut ActionText<'_>) -> Result<Action, TextError> {
    let mut ct = Ct {
        commit: false,
        force: false,
        zone: CtZone::Number(0),
        table: None,
        alg: 0,
        actions: Vec::new(),
    };
    for (key, v) in token.pairs() {
        match key.text() {
            "commit" => ct.commit = true,
            "force" => ct.force = true,
            "table" => ct.table = Some(table(v, text)?),
            "zone" => {
                ct.zone = match number::u16(v, "zone") {
                    Ok(zone) => CtZone::Number(zone),
                    Err(_) => CtZone::Field(subfield::parse(v)?),
                }
            }
            "alg" => ct.alg = alg(v)?,
            "nat" => ct.actions.push(Action::Nat(Box::new(nat(v)?))),
            "exec" => ct.actions.extend(text.list(v, Inside::Ct)?),
            other => return Err(key.error(format!("invalid argument to \"ct\" action: `{other}'"))),
        }
    }
    if ct.force && !ct.commit {
        return Err(token.error("\"force\" flag requires \"commit\" flag."));
    }
    Ok(Action::Ct(Box::new(ct)))
}

fn table(token: Token<'_>, text: &ActionText<'_>) -> Result<u8, TextError> {
    match text.names.table(token.text()) {
        Some(255) => Err(token.error("invalid table 0xff")),
        Some(table) => Ok(table),
        None => Err(token.error(format!("unknown table {}", token.text()))),
    }
}

fn alg(token: Token<'_>) -> Result<u16, TextError> {
    match token.text() {
        "ftp" => Ok(21),
        "tftp" => Ok(69),
        other => Err(token.error(format!("invalid conntrack helper \"{other}\""))),
    }
}

/// What stands in `nat(...)`.
pub(super) fn nat(token: Token<'_>) -> Result<Nat, TextError> {
    let mut nat = Nat::default();
    for (key, v) in token.pairs() {
        match key.text() {
            "src" => {
                nat.src = true;
                range(v, &mut nat)?;
            }
            "dst" => {
                nat.dst = true;
                range(v, &mut nat)?;
            }
            "persistent" => nat.persistent = true,
            "hash" => nat.hash = true,
            "random" => nat.random = true,
            other => return Err(key.error(format!("invalid key \"{other}\" in \"nat\" argument"))),
        }
    }
    if nat.src && nat.dst {
        return Err(token.error("May only specify one of \"src\" or \"dst\"."));
    }
    if !nat.src && !nat.dst && (nat.persistent || nat.hash || nat.random) {
        return Err(token.error("Flags allowed only with \"src\" or \"dst\"."));
    }
    if nat.hash && nat.random {
        return Err(token.error("Both \"hash\" and \"random\" are not allowed."));
    }
    Ok(nat)
}

/// `ADDRESS[-ADDRESS][:PORT[-PORT]]`, IPv6 in brackets where ports follow.
fn range(token: Token<'_>, nat: &mut Nat) -> Result<(), TextError> {
    let text = token.text();
    let invalid = || token.error(format!("invalid nat range \"{text}\""));
    let mut rest = text;
    if let Some(lowest) = address(&mut rest) {
        let highest = second(&mut rest, address).map_err(|()| invalid())?;
        if highest.is_some_and(|h| h.is_ipv4() != lowest.is_ipv4() || h < lowest) {
            return Err(invalid());
        }
        nat.addresses = Some((lowest, highest.filter(|h| *h != lowest)));
    }
    if let Some(after) = rest.strip_prefix(':') {
        rest = after;
        let lowest = port(&mut rest).ok_or_else(invalid)?;
        let highest = second(&mut rest, port).map_err(|()| invalid())?;
        if highest.is_some_and(|h| h < lowest) {
            return Err(invalid());
        }
        // Ports count only beside an address, and port 0 stands for none.
        if nat.addresses.is_some() && lowest != 0 {
            nat.ports = Some((lowest, highest.filter(|h| *h != lowest)));
        }
    }
    if rest.is_empty() {
        return Ok(());
    }
    let position = text.len() - rest.len();
    Err(token.error(format!(
        "garbage ({rest}) after nat range \"{text}\" (pos: {position})"
    )))
}

/// What stands behind a hyphen, if there is one.
fn second<T>(rest: &mut &str, take: fn(&mut &str) -> Option<T>) -> Result<Option<T>, ()> {
    match rest.strip_prefix('-') {
        None => Ok(None),
        Some(after) => {
            *rest = after;
            take(rest).map(Some).ok_or(())
        }
    }
}

/// Takes an address from the front.
fn address(text: &mut &str) -> Option<IpAddr> {
    if let Some(inside) = text.strip_prefix('[') {
        let (address, rest) = inside.split_once(']')?;
        *text = rest;
        return address.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    let of_v4 = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let of_v6 = text
        .find(|c: char| !c.is_ascii_hexdigit() && c != '.' && c != ':')
        .unwrap_or(text.len());
    for (end, v4) in [(of_v4, true), (of_v6, false)] {
        let (front, rest) = text.split_at(end);
        let address = front.parse::<IpAddr>().ok().filter(|a| a.is_ipv4() == v4);
        if address.is_some() {
            *text = rest;
            return address;
        }
    }
    None
}

/// Takes a port from the front.
fn port(text: &mut &str) -> Option<u16> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    *text = rest;
    digits.parse().ok()
}
