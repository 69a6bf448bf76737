//! Bitmaps as names.
//!
//! Purpose: the names of the bits that are set, and what remains in hexadecimal.
//! Deliberately does not know: any particular bitmap.

use std::fmt::Write;

/// Prints the names of set bits, lowest first, then the unnamed rest; `0` for nothing.
pub(super) fn write_bits(out: &mut String, bits: u32, names: &[(u32, &str)]) {
    if bits == 0 {
        out.push('0');
        return;
    }
    let mut rest = bits;
    let mut first = true;
    for (_, name) in names.iter().filter(|(bit, _)| bits & bit != 0) {
        if !std::mem::take(&mut first) {
            out.push(' ');
        }
        out.push_str(name);
    }
    names.iter().for_each(|(bit, _)| rest &= !bit);
    if rest != 0 {
        let _ = write!(out, "{}{rest:#x}", if first { "" } else { " " });
    }
}

/// Prints names; neighbours that begin alike share what they have in common: `eth_{src,dst}`.
pub(super) fn write_grouped(out: &mut String, names: &[&str]) {
    let stem = |name: &str| name.split_once('_').map_or(name.len(), |(s, _)| s.len() + 1);
    let alike = |a: &&str, b: &&str| a.get(..stem(a)) == b.get(..stem(b)) && stem(a) < a.len();
    for (i, group) in names.chunk_by(alike).enumerate() {
        if i > 0 {
            out.push(' ');
        }
        let Some(first) = group.first() else { continue };
        if group.len() == 1 {
            out.push_str(first);
            continue;
        }
        let (common, _) = first.split_at(stem(first));
        let tails: Vec<&str> = group.iter().map(|n| n.strip_prefix(common).unwrap_or(n)).collect();
        let _ = write!(out, "{common}{{{}}}", tails.join(","));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_begin_alike_are_grouped() {
        let mut out = String::new();
        write_grouped(&mut out, &["in_port", "eth_src", "eth_dst", "metadata", "ip_src"]);
        assert_eq!(out, "in_port eth_{src,dst} metadata ip_src");
    }

    #[test]
    fn unnamed_bits_are_shown_as_a_number() {
        let mut out = String::new();
        write_bits(&mut out, 0x13, &[(1, "A"), (2, "B")]);
        assert_eq!(out, "A B 0x10");
    }
}
