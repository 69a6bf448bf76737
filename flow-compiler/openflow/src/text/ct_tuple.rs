//! Connections to forget, as `ct-flush` names them.

use super::error::TextError;
use super::number::scan_wide;
use super::token::Token;
use crate::message::{CtFlush, CtTuple};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Reads the arguments behind the switch: `[zone=N] [original [reply]]`.
pub fn parse_ct_flush(words: &[String]) -> Result<CtFlush, TextError> {
    let mut flush = CtFlush::default();
    let mut words = words.iter().map(|w| Token::new(w)).peekable();
    if let Some(word) = words.peek().copied().filter(|w| w.text().starts_with("zone=")) {
        let value = word.skip("zone=".len());
        let zone = value.text().parse().map_err(|_| value.error("failed to parse zone".to_string()))?;
        flush.zone = Some(zone);
        words.next();
    }
    let mut family = None;
    for tuple in [&mut flush.original, &mut flush.reply] {
        if let Some(word) = words.next() {
            parse_tuple(word, tuple, &mut flush.protocol, &mut family)?;
        }
    }
    match words.next() {
        None => Ok(flush),
        Some(word) => Err(word.error("invalid arguments".to_string())),
    }
}

fn parse_tuple(word: Token<'_>, t: &mut CtTuple, protocol: &mut u8, family: &mut Option<bool>) -> Result<(), TextError> {
    for (key, value) in word.pairs() {
        let name = key.text();
        if value.is_empty() {
            return Err(key.error(format!("field {name} missing value")));
        }
        match name {
            "ct_nw_src" | "ct_nw_dst" | "ct_ipv6_src" | "ct_ipv6_dst" => {
                let place = if name.ends_with("src") { &mut t.src } else { &mut t.dst };
                *place = address(key, value, *place, family)?;
            }
            "ct_nw_proto" if *protocol != 0 => return Err(key.error(format!("{name} is set multiple times"))),
            "ct_nw_proto" => *protocol = number(key, value, 0xff)? as u8,
            "ct_tp_src" => t.src_port = number(key, value, 0xffff)? as u16,
            "ct_tp_dst" => t.dst_port = number(key, value, 0xffff)? as u16,
            "icmp_type" | "icmp_code" | "icmp_id" if !matches!(*protocol, 1 | 58) => {
                return Err(key.error("invalid L4 fields".to_string()));
            }
            "icmp_type" => t.icmp_type = number(key, value, 0xff)? as u8,
            "icmp_code" => t.icmp_code = number(key, value, 0xff)? as u8,
            "icmp_id" => t.icmp_id = number(key, value, 0xffff)? as u16,
            _ => return Err(key.error(format!("invalid conntrack tuple field: {name}"))),
        }
    }
    if *protocol == 0 && (t.src_port != 0 || t.dst_port != 0) {
        return Err(word.error("port is set without protocol".to_string()));
    }
    Ok(())
}

fn number(key: Token<'_>, value: Token<'_>, most: u128) -> Result<u128, TextError> {
    let scanned = scan_wide(value.text(), 8).ok().filter(|(n, taken)| *n <= most && *taken == value.text().len());
    scanned.map(|(n, _)| n).ok_or_else(|| value.error(format!("failed to parse field {}", key.text())))
}

fn address(key: Token<'_>, value: Token<'_>, old: Ipv6Addr, family: &mut Option<bool>) -> Result<Ipv6Addr, TextError> {
    let ipv4 = key.text().starts_with("ct_nw");
    if family.is_some_and(|f| f != ipv4) {
        return Err(value.error(format!("the L3 protocol does not match {}", value.text())));
    }
    if !old.is_unspecified() {
        return Err(key.error(format!("{} is set multiple times", key.text())));
    }
    let parsed = match ipv4 {
        true => value.text().parse::<Ipv4Addr>().ok().map(|a| a.to_ipv6_mapped()),
        false => value.text().parse::<Ipv6Addr>().ok(),
    };
    *family = Some(ipv4);
    parsed.ok_or_else(|| value.error(format!("failed to parse field {}", key.text())))
}
