//! Bob Jenkins's `lookup3` hash (public domain), with which `multipath` and `bundle` spread packets.
//!
//! Deliberately does not know: fields. No defence against chosen keys: never for tables that traffic fills.

/// Hash of bytes.
pub fn of_bytes(bytes: &[u8], basis: u32) -> u32 {
    let start = 0xdead_beef_u32.wrapping_add(bytes.len() as u32).wrapping_add(basis);
    let mut s = [start; 3];
    let mut blocks = bytes.chunks_exact(12);
    for block in &mut blocks {
        take(&mut s, block);
        mix(&mut s);
    }
    if !blocks.remainder().is_empty() {
        take(&mut s, blocks.remainder());
        finish(&mut s);
    }
    s[2]
}

fn take(s: &mut [u32; 3], bytes: &[u8]) {
    for (word, part) in s.iter_mut().zip(bytes.chunks(4)) {
        let value = part.iter().rev().fold(0, |v, b| v << 8 | u32::from(*b));
        *word = word.wrapping_add(value);
    }
}

fn mix(s: &mut [u32; 3]) {
    let [mut a, mut b, mut c] = *s;
    for [x, y] in [[4, 6], [16, 19]] {
        a = a.wrapping_sub(c) ^ c.rotate_left(x);
        c = c.wrapping_add(b);
        b = b.wrapping_sub(a) ^ a.rotate_left(y);
        a = a.wrapping_add(c);
        c = c.wrapping_sub(b) ^ b.rotate_left(if x == 4 { 8 } else { 4 });
        b = b.wrapping_add(a);
    }
    *s = [a, b, c];
}

fn finish(s: &mut [u32; 3]) {
    let [mut a, mut b, mut c] = *s;
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    c = (c ^ b).wrapping_sub(b.rotate_left(24));
    *s = [a, b, c];
}
