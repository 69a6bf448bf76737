//! Values of up to 992 bits: what a `tun_metadata` field may hold.
//!
//! Purpose: right-aligned bytes, and the few operations that matches and actions need on them.
//! Deliberately does not know: fields.

use crate::action::WideValue;

/// Bytes of the widest field.
pub const WIDEST: usize = 124;

/// A value, big-endian, right-aligned.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Wide([u8; WIDEST]);

impl Wide {
    /// No bit.
    pub const ZERO: Wide = Wide([0; WIDEST]);
    /// Every bit.
    pub const ONES: Wide = Wide([0xff; WIDEST]);

    /// From bytes of any number; of more than 124 the last count.
    pub fn from_bytes(bytes: &[u8]) -> Wide {
        let mut out = Wide::ZERO;
        for (to, from) in out.0.iter_mut().rev().zip(bytes.iter().rev()) {
            *to = *from;
        }
        out
    }

    /// The last `n` bytes.
    pub fn tail(&self, n: usize) -> &[u8] {
        self.0.get(WIDEST.saturating_sub(n)..).unwrap_or(&[])
    }

    /// Bytes without the zeros in front.
    pub fn significant(&self) -> usize {
        self.0.iter().position(|b| *b != 0).map_or(0, |i| WIDEST - i)
    }

    /// Bits without the zeros in front.
    pub fn significant_bits(&self) -> u16 {
        let n = self.significant();
        self.tail(n).first().map_or(0, |b| n as u16 * 8 - b.leading_zeros() as u16)
    }

    /// Is every bit of the last `n` bytes set?
    pub fn covers(&self, n: usize) -> bool {
        self.tail(n).iter().all(|b| *b == 0xff)
    }

    /// True without any bit.
    pub fn is_zero(&self) -> bool {
        self.significant() == 0
    }

    fn byte(&self, i: usize) -> u8 {
        WIDEST.checked_sub(i + 1).and_then(|at| self.0.get(at)).copied().unwrap_or(0)
    }

    /// Bits `start..start + width` (at most 128), right-aligned.
    pub fn bits(&self, start: u16, width: u16) -> u128 {
        (0..width.min(128)).fold(0, |v, i| v | u128::from(self.bit(start + i)) << i)
    }

    fn bit(&self, n: u16) -> bool {
        self.byte(usize::from(n / 8)) >> (n % 8) & 1 != 0
    }

    /// Sets bits `start..start + width`; of a value of fewer bits the others become 0.
    pub fn set_bits(&mut self, start: u16, width: u16, value: u128) {
        for i in 0..width {
            let n = usize::from(start + i);
            let Some(byte) = WIDEST.checked_sub(n / 8 + 1).and_then(|at| self.0.get_mut(at)) else { return };
            let on = i < 128 && value >> i & 1 != 0;
            *byte = *byte & !(1 << (n % 8)) | u8::from(on) << (n % 8);
        }
    }

    /// Ones at `start..start + width`.
    pub fn ones(start: u16, width: u16) -> Wide {
        let mut out = Wide::ZERO;
        for done in (0..width).step_by(128) {
            out.set_bits(start + done, (width - done).min(128), u128::MAX);
        }
        out
    }

    /// The same bits, so many places further up; what leaves at the top is lost.
    pub fn shifted(&self, by: u16) -> Wide {
        let mut out = Wide::ZERO;
        for start in (0..WIDEST as u16 * 8 - by.min(WIDEST as u16 * 8)).step_by(128) {
            out.set_bits(start + by, 128, self.bits(start, 128));
        }
        out
    }

    /// The bits that both have.
    pub fn and(&self, other: &Wide) -> Wide {
        Wide(std::array::from_fn(|i| self.0[i] & other.0[i]))
    }

    /// The bits that either has.
    pub fn or(&self, other: &Wide) -> Wide {
        Wide(std::array::from_fn(|i| self.0[i] | other.0[i]))
    }

    /// The bits that `other` has not.
    pub fn without(&self, other: &Wide) -> Wide {
        Wide(std::array::from_fn(|i| self.0[i] & !other.0[i]))
    }

    /// Prints it in hexadecimal, `0` for zero.
    pub fn hex(&self) -> String {
        let text: String = self.0.iter().skip_while(|b| **b == 0).map(|b| format!("{b:02x}")).collect();
        match text.trim_start_matches('0') {
            "" => "0".into(),
            digits => format!("0x{digits}"),
        }
    }
}

impl From<u128> for Wide {
    fn from(v: u128) -> Wide {
        Wide::from_bytes(&v.to_be_bytes())
    }
}

impl From<&WideValue> for Wide {
    fn from(v: &WideValue) -> Wide {
        match v {
            WideValue::Small(v) => Wide::from(*v),
            WideValue::Large(bytes) => Wide::from_bytes(bytes),
        }
    }
}

impl std::fmt::Debug for Wide {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.hex())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_read_back_and_leave_the_others_alone() {
        let mut w = Wide::ONES;
        w.set_bits(60, 100, 0x5a);
        assert_eq!((w.bits(60, 100), w.bits(0, 60), w.bits(160, 128)), (0x5a, (1 << 60) - 1, u128::MAX));
        assert_eq!(Wide::ones(4, 200).bits(4, 128), u128::MAX);
        assert_eq!(Wide::ones(4, 200).significant(), 26);
        assert_eq!(Wide::ones(0, 992), Wide::ONES);
        assert_eq!(Wide::from(0x8001).shifted(977), Wide::ones(977, 1));
        assert_eq!(Wide::ones(0, 200).shifted(4), Wide::ones(4, 200));
    }

    #[test]
    fn only_bytes_that_say_something_count() {
        let w = Wide::from_bytes(&[0, 0, 1, 2]);
        assert_eq!((w.significant(), w.tail(2), w.hex().as_str()), (2, &[1, 2][..], "0x102"));
        assert_eq!(Wide::ZERO.hex(), "0");
    }
}
