//! Values of fields, printed.
//!
//! Purpose: the text of a value and its mask, as in `set_field:VALUE/MASK->FIELD`.
//! Invariant: [`super::value`] reads back what is printed here.
//! Deliberately does not know: matches (their integers follow other rules, see `match_print`).

use super::flags::FlagNames;
use super::names::Names;
use crate::field::{Field, Format};
use crate::PortNo;
use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Prints a value; `mask` all ones means that all of it counts.
pub(super) fn write(out: &mut String, field: Field, value: u128, mask: u128, names: &Names) {
    let ones = field.ones();
    let exact = mask & ones == ones;
    if mask & ones == 0 {
        return out.push_str("ANY");
    }
    match field.info().format {
        Format::Ethernet => ethernet(out, value as u64, mask as u64),
        Format::Ipv4 => ipv4(out, value as u32, mask as u32),
        Format::Ipv6 => ipv6(out, value, mask),
        Format::Port if exact && field == Field::IN_PORT => {
            names.write_port(out, PortNo::from_u16(value as u16))
        }
        Format::Port if exact => names.write_port(out, PortNo(value as u32)),
        Format::PacketType if exact => packet_type(out, value as u32),
        Format::Frag => fragment(out, value as u8, mask as u8),
        format @ (Format::CtState | Format::TcpFlags | Format::TunnelFlags) => {
            if let Some(names) = FlagNames::of(format) {
                names.write(out, value as u32, (mask & ones) as u32, flag_bits(field));
            }
        }
        Format::Decimal => integer(out, value, mask, exact, false),
        _ => integer(out, value, mask, exact, true),
    }
}

/// Prints a value all of which counts.
pub(crate) fn write_value(out: &mut String, field: Field, value: u128) {
    write(out, field, value, u128::MAX, &Names::default());
}

/// The mask that stands for "all of a flag field".
fn flag_bits(field: Field) -> u32 {
    field.ones() as u32
}

fn integer(out: &mut String, value: u128, mask: u128, exact: bool, hex: bool) {
    if hex {
        hexadecimal(out, value);
    } else {
        let _ = write!(out, "{value}");
    }
    if !exact {
        out.push('/');
        hexadecimal(out, mask);
    }
}

/// `0x1f`; zero is just `0`.
pub(super) fn hexadecimal(out: &mut String, value: u128) {
    if value == 0 {
        out.push('0');
    } else {
        let _ = write!(out, "0x{value:x}");
    }
}

/// `00:11:22:33:44:55[/MASK]`.
pub(super) fn ethernet(out: &mut String, value: u64, mask: u64) {
    mac(out, value);
    if mask & 0xffff_ffff_ffff != 0xffff_ffff_ffff {
        out.push('/');
        mac(out, mask);
    }
}

pub(super) fn mac(out: &mut String, value: u64) {
    let [_, _, a, b, c, d, e, f] = value.to_be_bytes();
    let _ = write!(out, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
}

/// `10.0.0.0[/8]`, or with a dotted mask where it is no prefix.
pub(super) fn ipv4(out: &mut String, value: u32, mask: u32) {
    let _ = write!(out, "{}", Ipv4Addr::from(value));
    if mask == u32::MAX {
        return;
    }
    if mask.leading_ones() + mask.trailing_zeros() >= 32 {
        let _ = write!(out, "/{}", mask.leading_ones());
    } else {
        let _ = write!(out, "/{}", Ipv4Addr::from(mask));
    }
}

/// `2001:db8::[/32]`, or with a mask as an address where it is no prefix.
pub(super) fn ipv6(out: &mut String, value: u128, mask: u128) {
    ipv6_address(out, value);
    if mask == u128::MAX {
        return;
    }
    out.push('/');
    if mask.leading_ones() + mask.trailing_zeros() >= 128 {
        let _ = write!(out, "{}", mask.leading_ones());
    } else {
        ipv6_address(out, mask);
    }
}

pub(super) fn ipv6_address(out: &mut String, value: u128) {
    let _ = if value >> 32 == 0 && value >> 16 != 0 {
        // As the C library has it: an IPv4 address behind zeros.
        write!(out, "::{}", Ipv4Addr::from(value as u32))
    } else {
        write!(out, "{}", Ipv6Addr::from(value))
    };
}

/// `(NAMESPACE,0xTYPE)`.
pub(super) fn packet_type(out: &mut String, value: u32) {
    let _ = write!(out, "({},", value >> 16);
    hexadecimal(out, u128::from(value & 0xffff));
    out.push(')');
}

fn fragment(out: &mut String, value: u8, mask: u8) {
    out.push_str(fragment_name(value, mask));
}

/// The word for the fragment bits that are set and those that count.
pub(super) fn fragment_name(value: u8, mask: u8) -> &'static str {
    match (mask & 3, value & mask & 3) {
        (3, 0) | (1, 0) => "no",
        (3, 1) => "first",
        (3, 3) | (2, 2) => "later",
        (1, 1) => "yes",
        (2, 0) => "not_later",
        _ => "<error>",
    }
}
