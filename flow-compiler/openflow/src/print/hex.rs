//! Bytes in hexadecimal, sixteen to a line.
//!
//! Purpose: show what cannot be read otherwise. Deliberately does not know: messages.

use std::fmt::Write;

/// Offset, sixteen bytes in two halves, and their characters.
pub fn hex_dump(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 5);
    for (i, line) in bytes.chunks(16).enumerate() {
        let _ = write!(out, "{:08x} ", i * 16);
        for n in 0..16 {
            out.push(if n == 8 && line.len() > 8 { '-' } else { ' ' });
            match line.get(n) {
                Some(b) => {
                    let _ = write!(out, "{b:02x}");
                }
                None => out.push_str("  "),
            }
        }
        out.push_str(" |");
        for n in 0..16 {
            out.push(match line.get(n) {
                Some(b) if (0x20..0x7f).contains(b) => *b as char,
                Some(_) => '.',
                None => ' ',
            });
        }
        out.push_str("|\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_sixteen_bytes_and_their_characters() {
        let bytes: Vec<u8> = (0x3c..0x4f).collect();
        assert_eq!(
            hex_dump(&bytes),
            "00000000  3c 3d 3e 3f 40 41 42 43-44 45 46 47 48 49 4a 4b |<=>?@ABCDEFGHIJK|\n\
             00000010  4c 4d 4e                                        |LMN             |\n"
        );
    }
}
