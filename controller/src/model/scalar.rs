//! Single values of a cloud file.
//!
//! Purpose: one function per kind of value, each saying what was expected.
//! Deliberately does not know: keys, references between objects.

use super::{Mac, Prefix};
use crate::yaml::{Key, Mistake, Node, Value};
use std::str::FromStr;

/// The entries of a map, taken one by one, so that what is left over can be refused.
pub struct Fields<'a> {
    node: &'a Node,
    what: &'static str,
    entries: Vec<(&'a Key, &'a Node)>,
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// The entries of `node`, which describes a `what`.
    pub fn of(node: &'a Node, what: &'static str) -> Result<Self, Mistake> {
        let Value::Map(entries) = &node.value else {
            return Err(unexpected(node, &format!("a {what} (key: value lines)")));
        };
        let entries = entries.iter().map(|(k, v)| (k, v)).collect();
        Ok(Fields { node, what, entries, known: Vec::new() })
    }

    /// Takes the value of `key`, if there is one.
    pub fn optional(&mut self, key: &'static str) -> Option<&'a Node> {
        self.known.push(key);
        let index = self.entries.iter().position(|(k, _)| k.text == key)?;
        Some(self.entries.remove(index).1).filter(|n| !n.is_null())
    }

    /// Takes the value of `key`, which must be there.
    pub fn required(&mut self, key: &'static str) -> Result<&'a Node, Mistake> {
        let (at, what) = (self.node.at, self.what);
        self.optional(key).ok_or_else(|| Mistake::new(at, format!("a {what} needs '{key}:'")))
    }

    /// Refuses what was not taken.
    pub fn finish(self) -> Result<(), Mistake> {
        let Some((key, _)) = self.entries.first() else { return Ok(()) };
        let (what, known) = (self.what, self.known.join(", "));
        Err(Mistake::new(key.at, format!("a {what} has no '{}'; expected one of: {known}", key.text)))
    }
}

/// "expected …, found …".
pub fn unexpected(node: &Node, expected: &str) -> Mistake {
    Mistake::new(node.at, format!("expected {expected}, found {}", node.describe()))
}

fn scalar<'a>(node: &'a Node, expected: &str) -> Result<&'a str, Mistake> {
    match &node.value {
        Value::Scalar { text, .. } if !node.is_null() => Ok(text),
        _ => Err(unexpected(node, expected)),
    }
}

fn parsed<T: FromStr>(node: &Node, expected: &str) -> Result<T, Mistake> {
    scalar(node, expected)?.parse().map_err(|_| unexpected(node, expected))
}

/// The items of a list; nothing is the empty list.
pub fn list(node: Option<&Node>) -> Result<&[Node], Mistake> {
    match node.map(|n| (n, &n.value)) {
        None => Ok(&[]),
        Some((_, Value::List(items))) => Ok(items),
        Some((node, _)) => Err(unexpected(node, "a list (- item lines)")),
    }
}

/// A name: printable, without spaces.
pub fn name(node: &Node) -> Result<String, Mistake> {
    const EXPECTED: &str = "a name (up to 255 printable characters, no spaces)";
    let text = scalar(node, EXPECTED)?;
    let printable = text.chars().all(|c| !c.is_whitespace() && !c.is_control());
    if text.is_empty() || text.len() > 255 || !printable {
        return Err(unexpected(node, EXPECTED));
    }
    Ok(text.to_owned())
}

/// A whole number of a range.
pub fn number(node: &Node, low: u64, high: u64) -> Result<u64, Mistake> {
    let expected = format!("a whole number from {low} to {high}");
    let value: u64 = parsed(node, &expected)?;
    if value < low || value > high {
        return Err(unexpected(node, &expected));
    }
    Ok(value)
}

/// `true` or `false`.
pub fn boolean(node: &Node) -> Result<bool, Mistake> {
    parsed(node, "true or false")
}

/// A unicast Ethernet address.
pub fn mac(node: &Node) -> Result<Mac, Mistake> {
    let mac: Mac = parsed(node, "an Ethernet address such as fa:16:3e:00:00:01")?;
    if !mac.is_unicast() || mac.bits() == 0 {
        return Err(unexpected(node, "the Ethernet address of one station"));
    }
    Ok(mac)
}

/// An IPv4 or IPv6 address.
pub fn address(node: &Node) -> Result<std::net::IpAddr, Mistake> {
    parsed(node, "an IPv4 or IPv6 address")
}

/// An IPv4 address.
pub fn ipv4(node: &Node) -> Result<std::net::Ipv4Addr, Mistake> {
    parsed(node, "an IPv4 address")
}

/// An address or ADDRESS/LENGTH.
pub fn prefix(node: &Node) -> Result<Prefix, Mistake> {
    parsed(node, "an address or ADDRESS/LENGTH")
}

/// `N` or `LOW-HIGH`.
pub fn port_range(node: &Node) -> Result<(u16, u16), Mistake> {
    const EXPECTED: &str = "a port (0-65535) or LOW-HIGH";
    let text = scalar(node, EXPECTED)?;
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let end = |s: &str| s.trim().parse::<u16>().map_err(|_| unexpected(node, EXPECTED));
    let (low, high) = (end(low)?, end(high)?);
    if low > high {
        return Err(unexpected(node, "LOW-HIGH with LOW not above HIGH"));
    }
    Ok((low, high))
}

/// One of several words.
pub fn word<T: Copy>(node: &Node, words: &[(&str, T)]) -> Result<T, Mistake> {
    let expected = words.iter().map(|(w, _)| *w).collect::<Vec<_>>().join(" or ");
    let text = scalar(node, &expected)?;
    let found = words.iter().find(|(w, _)| w.eq_ignore_ascii_case(text));
    found.map(|(_, value)| *value).ok_or_else(|| unexpected(node, &expected))
}

/// The text, for values that are one of several kinds.
pub fn text<'a>(node: &'a Node, expected: &str) -> Result<&'a str, Mistake> {
    scalar(node, expected)
}
