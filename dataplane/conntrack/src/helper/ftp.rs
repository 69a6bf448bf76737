//! FTP's control connection (RFC 959, RFC 2428): where the next data connection will go.
//!
//! `PORT` and `EPRT` from the client name its own address and port; the answers 227 and 229 name the server's.
//! Invariant: at most [`READ_MAX`] bytes are looked at, each a bounded number of times; no panic on any bytes.
//! Deliberately does not know: connections, translation.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

/// Bytes of a payload that are looked at.
pub const READ_MAX: usize = 128;
const EPSV_WORDS: &[u8] = b"EXTENDED PASSIVE";

/// How an address and a port are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    /// `h1,h2,h3,h4,p1,p2`.
    Commas,
    /// `address|port`, between delimiters of this kind.
    Extended(u8),
    /// A port only.
    Port,
}

/// An announced data connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Announced {
    /// Who listens; `None` for who says so.
    pub address: Option<IpAddr>,
    /// The port, not 0.
    pub port: u16,
    /// Where address and port are written in the payload.
    pub place: Range<usize>,
    form: Form,
}

impl Announced {
    /// What stands in place of address and port when they are others.
    pub fn text(&self, address: IpAddr, port: u16) -> String {
        match (self.form, address) {
            (Form::Commas, IpAddr::V4(a)) => {
                let [h1, h2, h3, h4] = a.octets();
                format!("{h1},{h2},{h3},{h4},{},{}", port >> 8, port & 0xff)
            }
            (Form::Port, _) => port.to_string(),
            (Form::Extended(d), a) => format!("{a}{}{port}", char::from(d)),
            // Only IPv4 is written with commas.
            (Form::Commas, IpAddr::V6(_)) => String::new(),
        }
    }
}

/// What a payload says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Said {
    /// Nothing about data connections.
    Nothing,
    /// Where the next one goes.
    Data(Announced),
    /// It begins as if it did, and does not go on so.
    Malformed,
}

/// Reads what a client (or, with `from_server`, a server) says first in a segment.
pub fn read(payload: &[u8], from_server: bool) -> Said {
    let text = payload.get(..READ_MAX).unwrap_or(payload);
    let begins = |with: &[u8]| text.get(..with.len()).is_some_and(|t| t.eq_ignore_ascii_case(with));
    let found = match from_server {
        false if begins(b"PORT ") => commas(text, 5),
        false if begins(b"EPRT ") => extended(text, 5),
        true if begins(b"227 ") || begins(b"227-") => commas(text, 4),
        true if begins(b"229") && has_epsv_words(text) => port_only(text),
        _ => return Said::Nothing,
    };
    found.map_or(Said::Malformed, Said::Data)
}

fn has_epsv_words(text: &[u8]) -> bool {
    text.windows(EPSV_WORDS.len()).any(|w| w.eq_ignore_ascii_case(EPSV_WORDS))
}

/// A decimal number of at most `digits` digits at `at`, and where it ends. What follows must be there: a number
/// at the end of what was read may go on in the next segment.
fn number(text: &[u8], at: usize, digits: usize) -> Option<(u32, usize)> {
    let (mut value, mut end) = (0u32, at);
    while let Some(d) = text.get(end).filter(|c| c.is_ascii_digit()) {
        if end - at == digits {
            return None;
        }
        value = value * 10 + u32::from(d - b'0');
        end += 1;
    }
    (end > at && end < text.len()).then_some((value, end))
}

/// Six numbers with commas between, from the first digit on.
fn commas(text: &[u8], from: usize) -> Option<Announced> {
    let start = from + text.get(from..)?.iter().position(u8::is_ascii_digit)?;
    let (mut bytes, mut at) = ([0u8; 6], start);
    for (i, byte) in bytes.iter_mut().enumerate() {
        if i > 0 {
            text.get(at).filter(|c| **c == b',')?;
            at += 1;
        }
        let (value, end) = number(text, at, 3)?;
        *byte = u8::try_from(value).ok()?;
        at = end;
    }
    let [h1, h2, h3, h4, p1, p2] = bytes;
    let address = Some(Ipv4Addr::new(h1, h2, h3, h4).into());
    announced(address, u32::from(p1) << 8 | u32::from(p2), start..at, Form::Commas)
}

/// `|2|address|port|`, the delimiter any printable character.
fn extended(text: &[u8], from: usize) -> Option<Announced> {
    let delimiter = *text.get(from).filter(|c| (33..=126).contains(*c))?;
    let family = *text.get(from + 1)?;
    text.get(from + 2).filter(|c| **c == delimiter)?;
    let start = from + 3;
    let len = text.get(start..)?.iter().position(|c| *c == delimiter)?;
    let written = std::str::from_utf8(text.get(start..start + len)?).ok()?;
    let address: IpAddr = match family {
        b'1' => written.parse::<Ipv4Addr>().ok()?.into(),
        b'2' => written.parse::<Ipv6Addr>().ok()?.into(),
        _ => return None,
    };
    let (port, end) = number(text, start + len + 1, 5)?;
    text.get(end).filter(|c| **c == delimiter)?;
    announced(Some(address), port, start..end, Form::Extended(delimiter))
}

/// `(|||port|)`.
fn port_only(text: &[u8]) -> Option<Announced> {
    let open = text.iter().position(|c| *c == b'(')? + 1;
    let delimiter = *text.get(open).filter(|c| (33..=126).contains(*c))?;
    text.get(open..open + 3).filter(|d| d.iter().all(|c| *c == delimiter))?;
    let (port, end) = number(text, open + 3, 5)?;
    text.get(end).filter(|c| **c == delimiter)?;
    announced(None, port, open + 3..end, Form::Port)
}

fn announced(address: Option<IpAddr>, port: u32, place: Range<usize>, form: Form) -> Option<Announced> {
    let port = u16::try_from(port).ok().filter(|p| *p != 0)?;
    Some(Announced { address, port, place, form })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(text: &str, from_server: bool) -> (Option<IpAddr>, u16, String) {
        let Said::Data(a) = read(text.as_bytes(), from_server) else { panic!("{text}") };
        (a.address, a.port, text[a.place].to_string())
    }

    #[test]
    fn each_form_is_read_and_written_back() {
        let v4 = Some([10, 1, 1, 1].into());
        let v6: Option<IpAddr> = Some([0xfc00, 0, 0, 0, 0, 0, 0, 1].into());
        for (text, from_server, address, port, place) in [
            ("PORT 10,1,1,1,195,80\r\n", false, v4, 50_000, "10,1,1,1,195,80"),
            ("port 10,1,1,1,0,21\r\n", false, v4, 21, "10,1,1,1,0,21"),
            ("227 Entering Passive Mode (10,1,1,1,195,80).\r\n", true, v4, 50_000, "10,1,1,1,195,80"),
            ("EPRT |1|10.1.1.1|50000|\r\n", false, v4, 50_000, "10.1.1.1|50000"),
            ("EPRT |2|fc00::1|6275|\r\n", false, v6, 6275, "fc00::1|6275"),
            ("229 Entering Extended Passive Mode (|||6446|)\r\n", true, None, 6446, "6446"),
        ] {
            assert_eq!(data(text, from_server), (address, port, place.to_string()), "{text}");
            let Said::Data(a) = read(text.as_bytes(), from_server) else { unreachable!() };
            assert_eq!(a.text(address.unwrap_or([0, 0, 0, 0].into()), port), place);
            assert_eq!(read(text.as_bytes(), !from_server), Said::Nothing, "the other side does not say this");
        }
    }

    #[test]
    fn what_is_not_whole_or_not_sane_is_malformed() {
        for text in [
            "PORT 10,1,1,1,195\r\n",
            "PORT 10,1,1,1,195,8",
            "PORT 10,1,1,256,1,1\r\n",
            "PORT 10,1,1,1,0,0\r\n",
            "PORT 10,1,1,0001,1,1\r\n",
            "PORT \r\n",
            "EPRT |3|10.1.1.1|50000|\r\n",
            "EPRT |1|fc00::1|50000|\r\n",
            "EPRT |2|fc00::1|70000|\r\n",
            "EPRT |2|fc00::1|5000",
        ] {
            assert_eq!(read(text.as_bytes(), false), Said::Malformed, "{text}");
        }
        for text in ["USER x\r\n", "", "POR", "EPSV\r\n"] {
            assert_eq!(read(text.as_bytes(), false), Said::Nothing, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(head in 0usize..5, tail in proptest::collection::vec(0u8..=255, 0..200), server: bool) {
            let mut text = [&b"PORT "[..], b"EPRT |2|", b"227 (", b"229 EXTENDED PASSIVE (|||", b""][head].to_vec();
            text.extend(tail);
            if let Said::Data(a) = read(&text, server) {
                proptest::prop_assert!(a.place.end <= text.len().min(READ_MAX) && a.port != 0);
            }
        }
    }
}
