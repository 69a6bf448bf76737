//! Addresses as people write them.
//!
//! Purpose: MAC addresses, datapath ids and the connection names of Open vSwitch.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::state::ControllerTarget;

/// OpenFlow's registered port.
const OPENFLOW_PORT: u16 = 6653;
/// IANA's port for OVSDB.
const MANAGER_PORT: u16 = 6640;

/// `aa:bb:cc:dd:ee:ff`.
pub(crate) fn mac(text: &str) -> Option<[u8; 6]> {
    let mut bytes = [0u8; 6];
    let mut parts = text.split(':');
    for byte in &mut bytes {
        let part = parts.next()?;
        if part.is_empty() || part.len() > 2 {
            return None;
        }
        *byte = hex(part).and_then(|n| u8::try_from(n).ok())?;
    }
    parts.next().is_none().then_some(bytes)
}

/// A MAC address that a device can have.
pub(crate) fn unicast(text: &str) -> Option<[u8; 6]> {
    mac(text).filter(|m| m[0] & 1 == 0 && *m != [0; 6])
}

/// 16 hexadecimal digits, or a shorter number behind `0x`.
pub(crate) fn datapath_id(text: &str) -> Option<u64> {
    let digits = match text.strip_prefix("0x") {
        Some(digits) if !digits.is_empty() && digits.len() <= 16 => digits,
        None if text.len() == 16 => text,
        _ => return None,
    };
    hex(digits).filter(|id| *id != 0)
}

fn hex(digits: &str) -> Option<u64> {
    let all_hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
    all_hex.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

/// `tcp:HOST[:PORT]`, `unix:PATH`, `ptcp:[PORT][:HOST]`, `punix:PATH`.
pub(crate) fn controller(text: &str) -> Option<ControllerTarget> {
    let (scheme, rest) = text.split_once(':')?;
    match scheme {
        "tcp" => active_tcp(rest).map(ControllerTarget::Tcp),
        "ptcp" => passive_tcp(rest).map(ControllerTarget::PassiveTcp),
        "ssl" => active_tcp(rest).map(ControllerTarget::Ssl),
        "pssl" => passive_tcp(rest).map(ControllerTarget::PassiveSsl),
        "unix" if !rest.is_empty() => Some(ControllerTarget::Unix(rest.to_string())),
        "punix" if !rest.is_empty() => Some(ControllerTarget::PassiveUnix(rest.to_string())),
        _ => None,
    }
}

/// The address of a manager of the database to which its server connects; `None` for any other way.
pub(crate) fn manager(text: &str) -> Option<SocketAddr> {
    let rest = text.strip_prefix("tcp:").or_else(|| text.strip_prefix("ssl:"))?;
    rest.parse().ok().or_else(|| Some(SocketAddr::new(host(rest)?, MANAGER_PORT)))
}

fn active_tcp(text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address);
    }
    Some(SocketAddr::new(host(text)?, OPENFLOW_PORT))
}

fn passive_tcp(text: &str) -> Option<SocketAddr> {
    let (port, address) = match text.split_once(':') {
        None => (text, IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        Some((port, address)) => (port, host(address)?),
    };
    let port = if port.is_empty() { OPENFLOW_PORT } else { port.parse().ok()? };
    Some(SocketAddr::new(address, port))
}

fn host(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_address_has_six_bytes() {
        assert_eq!(mac("aa:55:aa:55:00:01"), Some([0xaa, 0x55, 0xaa, 0x55, 0, 1]));
        for wrong in ["", "aa:55:aa:55:00", "aa:55:aa:55:00:00:00", "aa:55:aa:55:00:+1", "aa55aa550000"] {
            assert_eq!(mac(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_datapath_id_has_sixteen_digits_or_a_prefix() {
        assert_eq!(datapath_id("00000000000000aa"), Some(0xaa));
        assert_eq!(datapath_id("0xaa"), Some(0xaa));
        for wrong in ["aa", "0x", "0x00000000000000aa1", "0000000000000000", "000000000000000g"] {
            assert_eq!(datapath_id(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn connection_names_are_those_of_open_vswitch() {
        let at = |s: &str| s.parse::<SocketAddr>().ok();
        let passive = |s: &str| match controller(s) {
            Some(ControllerTarget::PassiveTcp(a)) => Some(a),
            _ => None,
        };
        assert_eq!(passive("ptcp:"), at("0.0.0.0:6653"));
        assert_eq!(passive("ptcp:6640:127.0.0.1"), at("127.0.0.1:6640"));
        assert_eq!(passive("ptcp:1:[::1]"), at("[::1]:1"));
        assert_eq!(controller("tcp:10.0.0.1"), at("10.0.0.1:6653").map(ControllerTarget::Tcp));
        assert_eq!(controller("tcp:[::1]:7"), at("[::1]:7").map(ControllerTarget::Tcp));
        assert_eq!(controller("unix:/x"), Some(ControllerTarget::Unix("/x".into())));
        for wrong in ["", "tcp", "tcp:", "unix:", "ssh:1.2.3.4", "tcp:name:1", "ptcp:70000"] {
            assert_eq!(controller(wrong), None, "{wrong}");
        }
    }
}
