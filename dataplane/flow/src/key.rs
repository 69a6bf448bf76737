//! The flow key: every field a rule can look at, in one array of 64-bit words.
//!
//! A field is a [`Slot`]: a run of bits in the array, most significant first. Values are host
//! integers, so that `key.get(slot::NW_SRC)` of 10.0.0.1 is `0x0a000001`. A field wider than 64 bits
//! occupies consecutive words, high word first.
//!
//! The order of the words is the order in which the flow cache needs them: words
//! `0..NARROW_WORDS` decide IPv4 and non-IP frames, words `0..PACKET_WORDS` all of a frame's
//! headers but service headers ([`SERVICE_WORDS`]); the others never come from the frame itself (registers,
//! tunnel, connection state).
//! The options of a tunnel come last: which of them a packet has, then the bytes of all, where each
//! bridge's table of mappings puts them.
//!
//! Invariant: a field that the frame does not have is zero in every bit.
//! Deliberately does not know: field names, OpenFlow ids, prerequisites.

/// Number of 64-bit words in a [`Key`].
pub const WORDS: usize = TUN_OPTION_WORDS.end as usize;
/// Words that decide a frame without IPv6, ARP hardware addresses, ND or MPLS.
pub const NARROW_WORDS: usize = 5;
/// Words that come from the frame's own headers.
pub const PACKET_WORDS: usize = 15;
/// Options that a packet's tunnel header may have names for.
pub const TUN_OPTIONS: u8 = 64;
/// Bytes that the mapped options of one bridge have room in.
pub const TUN_OPTION_BYTES: u16 = 256;
/// Words of tunnel options: one that says which there are, then their bytes.
pub const TUN_OPTION_WORDS: std::ops::Range<u8> = 48..49 + (TUN_OPTION_BYTES / 8) as u8;

/// A run of bits in a [`Key`].
///
/// `width` 1..=64: the bits `shift..shift + width` of word `word`. `width` above 64 (a multiple of
/// 64): words `word..word + width / 64`, high word first, `shift` 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Slot {
    /// Index of the (first, most significant) word.
    pub word: u8,
    /// Bits below the field in its word.
    pub shift: u8,
    /// Bits in the field: 1..=64, or 128.
    pub width: u8,
}

impl Slot {
    /// A slot of `width` bits above `shift` bits of `word`.
    pub const fn new(word: u8, shift: u8, width: u8) -> Self {
        Slot { word, shift, width }
    }

    /// The bits `start..start + width` of this slot, counted from its least significant bit.
    ///
    /// Returns `None` when the range leaves the slot or straddles two words of a wide slot.
    pub const fn bits(self, start: u8, width: u8) -> Option<Slot> {
        if width == 0 || (start as u16 + width as u16) > self.width as u16 {
            return None;
        }
        if self.width <= 64 {
            return Some(Slot::new(self.word, self.shift + start, width));
        }
        if start == 0 && width == self.width {
            return Some(self);
        }
        let from_low_word = start / 64;
        if (start + width - 1) / 64 != from_low_word {
            return None;
        }
        let word = self.word + self.width / 64 - 1 - from_low_word;
        Some(Slot::new(word, start % 64, width))
    }

    /// Bits of `whole` below this slot, where this one lies in it (both of at most 64 bits).
    pub fn shift_within(self, whole: Slot) -> Option<u32> {
        let inside = self.width <= 64
            && self.word == whole.word
            && self.shift >= whole.shift
            && self.shift + self.width <= whole.shift + whole.width;
        inside.then(|| u32::from(self.shift - whole.shift))
    }

    /// All ones in the field's own width, right-aligned.
    pub const fn ones(self) -> u128 {
        if self.width >= 128 {
            u128::MAX
        } else {
            (1u128 << self.width) - 1
        }
    }
}

/// Where each field lives. One line per field: word, shift, width.
pub mod slot {
    use super::Slot;
    const fn s(word: u8, shift: u8, width: u8) -> Slot {
        Slot::new(word, shift, width)
    }

    // --- the frame's headers, narrow part -------------------------------------------------
    /// Ethernet destination.
    pub const ETH_DST: Slot = s(0, 16, 48);
    /// Ethernet type behind at most one VLAN tag; 0x05ff for 802.3 without SNAP.
    pub const ETH_TYPE: Slot = s(0, 0, 16);
    /// Ethernet source.
    pub const ETH_SRC: Slot = s(1, 16, 48);
    /// Outer VLAN tag control information; bit 0x1000 is set when a tag is present.
    pub const VLAN_TCI: Slot = s(1, 0, 16);
    /// VLAN id inside `VLAN_TCI`.
    pub const VLAN_VID: Slot = s(1, 0, 12);
    /// The "a tag is present" bit of `VLAN_TCI`.
    pub const VLAN_PRESENT: Slot = s(1, 12, 1);
    /// VLAN id and present bit: OpenFlow 1.2's `vlan_vid`.
    pub const VLAN_VID_PRESENT: Slot = s(1, 0, 13);
    /// VLAN priority inside `VLAN_TCI`.
    pub const VLAN_PCP: Slot = s(1, 13, 3);
    /// IPv4 source, or ARP sender protocol address.
    pub const NW_SRC: Slot = s(2, 32, 32);
    /// IPv4 destination, or ARP target protocol address.
    pub const NW_DST: Slot = s(2, 0, 32);
    /// IP protocol, or the low byte of the ARP opcode.
    pub const NW_PROTO: Slot = s(3, 56, 8);
    /// IPv4 TOS or IPv6 traffic class: DSCP and ECN.
    pub const NW_TOS: Slot = s(3, 48, 8);
    /// DSCP inside `NW_TOS`.
    pub const NW_DSCP: Slot = s(3, 50, 6);
    /// ECN inside `NW_TOS`.
    pub const NW_ECN: Slot = s(3, 48, 2);
    /// IPv4 TTL or IPv6 hop limit.
    pub const NW_TTL: Slot = s(3, 40, 8);
    /// Set when `NW_TTL` is at most 1: all that `dec_ttl` needs to look at.
    pub const TTL_EXPIRING: Slot = s(3, 39, 1);
    /// What is under the labels of an MPLS packet: 0 nothing known, else its fields are in the words that
    /// they have in an unlabelled packet, hidden by the Ethernet type. Never matched by rules.
    pub const UNDER_LABELS: Slot = s(3, 34, 2);
    /// `UNDER_LABELS`: an IPv4 packet.
    pub const UNDER_IPV4: u64 = 1;
    /// `UNDER_LABELS`: an IPv6 packet.
    pub const UNDER_IPV6: u64 = 2;
    /// `UNDER_LABELS`: ARP for IPv4 over Ethernet.
    pub const UNDER_ARP: u64 = 3;
    /// Fragment bits: 1 = any fragment, 2 = not the first one.
    pub const NW_FRAG: Slot = s(3, 32, 2);
    /// TCP, UDP or SCTP source port, or ICMP type.
    pub const TP_SRC: Slot = s(3, 16, 16);
    /// TCP, UDP or SCTP destination port, or ICMP code.
    pub const TP_DST: Slot = s(3, 0, 16);
    /// Where in the pipeline the lookup starts: an interned port or continuation. Never matched by rules.
    pub const STAGE: Slot = s(4, 32, 32);
    /// TCP flags.
    pub const TCP_FLAGS: Slot = s(4, 20, 12);
    /// IPv6 flow label.
    pub const IPV6_LABEL: Slot = s(4, 0, 20);

    // --- the frame's headers, wide part ---------------------------------------------------
    /// IPv6 source.
    pub const IPV6_SRC: Slot = s(5, 0, 128);
    /// IPv6 destination.
    pub const IPV6_DST: Slot = s(7, 0, 128);
    /// ARP sender hardware address, or ND source link-layer address.
    pub const ARP_SHA: Slot = s(9, 16, 48);
    /// Type of the first ND option.
    pub const ND_OPTIONS_TYPE: Slot = s(9, 0, 8);
    /// ARP target hardware address, or ND target link-layer address.
    pub const ARP_THA: Slot = s(10, 16, 48);
    /// Which IPv6 extension headers the packet has, as `sluice_wire::ipv6::present` tells them.
    pub const IPV6_EXTHDR: Slot = s(10, 0, 9);
    /// ND target address.
    pub const ND_TARGET: Slot = s(11, 0, 128);
    /// First MPLS label stack entry.
    pub const MPLS_LSE0: Slot = s(13, 32, 32);
    /// MPLS label of the first entry.
    pub const MPLS_LABEL: Slot = s(13, 44, 20);
    /// MPLS traffic class of the first entry.
    pub const MPLS_TC: Slot = s(13, 41, 3);
    /// Bottom-of-stack bit of the first entry.
    pub const MPLS_BOS: Slot = s(13, 40, 1);
    /// TTL of the first entry.
    pub const MPLS_TTL: Slot = s(13, 32, 8);
    /// Second MPLS label stack entry.
    pub const MPLS_LSE1: Slot = s(13, 0, 32);
    /// Third MPLS label stack entry.
    pub const MPLS_LSE2: Slot = s(14, 32, 32);
    /// ND reserved word (router/solicited/override flags included).
    pub const ND_RESERVED: Slot = s(14, 0, 32);

    // --- not from the frame: pipeline state -----------------------------------------------
    /// OpenFlow port the frame came in by.
    pub const IN_PORT: Slot = s(15, 32, 32);
    /// Packet mark.
    pub const PKT_MARK: Slot = s(15, 0, 32);
    /// OpenFlow metadata.
    pub const METADATA: Slot = s(16, 0, 64);
    /// Register `n` (0..=15), 32 bits; `xreg` and `xxreg` are the words around it.
    pub const fn reg(n: u8) -> Slot {
        s(17 + n / 2, if n % 2 == 0 { 32 } else { 0 }, 32)
    }
    /// Extended register `n` (0..=7), 64 bits: `reg(2n)` is its high half.
    pub const fn xreg(n: u8) -> Slot {
        s(17 + n, 0, 64)
    }
    /// Double extended register `n` (0..=3), 128 bits.
    pub const fn xxreg(n: u8) -> Slot {
        s(17 + 2 * n, 0, 128)
    }
    /// Tunnel key (VNI).
    pub const TUN_ID: Slot = s(25, 0, 64);
    /// Tunnel IPv4 source.
    pub const TUN_SRC: Slot = s(26, 32, 32);
    /// Tunnel IPv4 destination.
    pub const TUN_DST: Slot = s(26, 0, 32);
    /// Tunnel IPv6 source.
    pub const TUN_IPV6_SRC: Slot = s(27, 0, 128);
    /// Tunnel IPv6 destination.
    pub const TUN_IPV6_DST: Slot = s(29, 0, 128);
    /// Tunnel flags as OpenFlow shows them (bit 0: OAM).
    pub const TUN_FLAGS: Slot = s(31, 48, 16);
    /// VXLAN group policy id.
    pub const TUN_GBP_ID: Slot = s(31, 32, 16);
    /// VXLAN group policy flags.
    pub const TUN_GBP_FLAGS: Slot = s(31, 24, 8);
    /// Outer TOS.
    pub const TUN_TOS: Slot = s(31, 16, 8);
    /// Outer TTL.
    pub const TUN_TTL: Slot = s(31, 8, 8);
    /// Connection state bits.
    pub const CT_STATE: Slot = s(32, 32, 32);
    /// Connection mark.
    pub const CT_MARK: Slot = s(32, 0, 32);
    /// Connection zone.
    pub const CT_ZONE: Slot = s(33, 48, 16);
    /// Original direction's protocol.
    pub const CT_NW_PROTO: Slot = s(33, 40, 8);
    /// Original direction's source port.
    pub const CT_TP_SRC: Slot = s(33, 16, 16);
    /// Original direction's destination port.
    pub const CT_TP_DST: Slot = s(33, 0, 16);
    /// Connection label.
    pub const CT_LABEL: Slot = s(34, 0, 128);
    /// Original direction's IPv4 source.
    pub const CT_NW_SRC: Slot = s(36, 32, 32);
    /// Original direction's IPv4 destination.
    pub const CT_NW_DST: Slot = s(36, 0, 32);
    /// Original direction's IPv6 source.
    pub const CT_IPV6_SRC: Slot = s(37, 0, 128);
    /// Original direction's IPv6 destination.
    pub const CT_IPV6_DST: Slot = s(39, 0, 128);
    /// Conjunction that a lookup satisfied.
    pub const CONJ_ID: Slot = s(41, 32, 32);
    /// Output port in the action set.
    pub const ACTSET_OUTPUT: Slot = s(41, 0, 32);
    /// Datapath hash.
    pub const DP_HASH: Slot = s(42, 32, 32);
    /// Recirculation id.
    pub const RECIRC_ID: Slot = s(42, 0, 32);
    /// Packet type: name space and type.
    pub const PACKET_TYPE: Slot = s(43, 32, 32);
    /// Queue chosen by `set_queue`.
    pub const SKB_PRIORITY: Slot = s(43, 0, 32);
    /// NSH flags.
    pub const NSH_FLAGS: Slot = s(44, 56, 8);
    /// NSH metadata type.
    pub const NSH_MDTYPE: Slot = s(44, 48, 8);
    /// NSH next protocol.
    pub const NSH_NP: Slot = s(44, 40, 8);
    /// NSH TTL.
    pub const NSH_TTL: Slot = s(44, 32, 8);
    /// NSH service path id.
    pub const NSH_SPI: Slot = s(44, 8, 24);
    /// NSH service index.
    pub const NSH_SI: Slot = s(44, 0, 8);
    /// NSH context header `n` (1..=4).
    pub const fn nsh_c(n: u8) -> Slot {
        s(45 + (n - 1) / 2, if n % 2 == 1 { 32 } else { 0 }, 32)
    }
    /// VLAN protocol of the outer tag (0x8100 or 0x88a8); 0 without a tag. Never matched by rules.
    pub const VLAN_TPID: Slot = s(47, 48, 16);
    /// Service instance id of a provider backbone frame.
    pub const PBB_ISID: Slot = s(47, 0, 24);
    /// "Use customer addresses" of a provider backbone frame.
    pub const PBB_UCA: Slot = s(47, 24, 1);

    // --- not from the frame: tunnel options -----------------------------------------------
    /// Which tunnel options the packet has, one bit each.
    pub const TUN_OPTIONS_PRESENT: Slot = s(super::TUN_OPTION_WORDS.start, 0, 64);
    /// Does the packet have the option that is called `tun_metadata` and this number (0..=63)?
    pub const fn tun_option_present(n: u8) -> Slot {
        s(super::TUN_OPTION_WORDS.start, n & 63, 1)
    }
    /// Byte `at` (0..=255) of the room for options; `at + 1` is less significant.
    pub const fn tun_option_byte(at: u8) -> Slot {
        s(super::TUN_OPTION_WORDS.start + 1 + at / 8, 56 - at % 8 * 8, 8)
    }
}

/// Words behind [`PACKET_WORDS`] that come from the frame's own headers all the same: those of the service
/// headers, which few frames have.
pub const SERVICE_WORDS: std::ops::Range<usize> = slot::NSH_FLAGS.word as usize..slot::VLAN_TPID.word as usize + 1;
/// Where the flow cache keeps them for a frame that has such a header: in words that are zero then.
pub const SERVICE_PLACE: usize = slot::IPV6_SRC.word as usize;

/// Does the field come from the frame's own headers?
#[inline]
pub const fn is_header(s: Slot) -> bool {
    let word = s.word as usize;
    word < PACKET_WORDS || word >= SERVICE_WORDS.start && word < SERVICE_WORDS.end
}

/// Fragment bit: the packet is a fragment.
pub const FRAG_ANY: u64 = 1;
/// Fragment bit: the packet is a fragment, but not the first.
pub const FRAG_LATER: u64 = 2;
/// The "a tag is present" bit of [`slot::VLAN_TCI`].
pub const VLAN_PRESENT: u64 = 0x1000;
/// Ethernet type of a frame with an 802.3 length and no SNAP header (OpenFlow 1.0's value).
pub const ETH_TYPE_NONE: u64 = 0x05ff;

/// The first `N` words of a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(align(64))]
pub struct Words<const N: usize> {
    /// The words; see [`slot`] for what is where.
    pub words: [u64; N],
}

/// Every field of one packet, or the mask over them.
pub type Key = Words<WORDS>;
/// The fields that come from a frame's own headers.
pub type PacketKey = Words<PACKET_WORDS>;

impl<const N: usize> Default for Words<N> {
    fn default() -> Self {
        Words::ZERO
    }
}

impl<const N: usize> Words<N> {
    /// All fields zero (as a mask: nothing matters).
    pub const ZERO: Words<N> = Words { words: [0; N] };

    /// Value of a field of up to 64 bits, right-aligned. Of a wider one: its low 64 bits.
    #[inline]
    pub fn get(&self, s: Slot) -> u64 {
        if s.width > 64 {
            return self.words[s.word as usize + s.width as usize / 64 - 1];
        }
        (self.words[s.word as usize] >> s.shift) & low_ones(s.width)
    }

    /// Value of a field of any width, right-aligned.
    #[inline]
    pub fn get_wide(&self, s: Slot) -> u128 {
        if s.width <= 64 {
            return self.get(s) as u128;
        }
        let w = s.word as usize;
        (self.words[w] as u128) << 64 | self.words[w + 1] as u128
    }

    /// Sets a field of up to 64 bits; bits above its width are ignored. Of a wider one: its low 64 bits.
    #[inline]
    pub fn set(&mut self, s: Slot, value: u64) {
        if s.width > 64 {
            self.words[s.word as usize + s.width as usize / 64 - 1] = value;
            return;
        }
        let ones = low_ones(s.width);
        let word = &mut self.words[s.word as usize];
        *word = (*word & !(ones << s.shift)) | ((value & ones) << s.shift);
    }

    /// Sets a field of any width; bits above its width are ignored.
    #[inline]
    pub fn set_wide(&mut self, s: Slot, value: u128) {
        if s.width <= 64 {
            return self.set(s, value as u64);
        }
        let w = s.word as usize;
        self.words[w] = (value >> 64) as u64;
        self.words[w + 1] = value as u64;
    }

    /// Sets the bits of a field that `mask` names.
    #[inline]
    pub fn set_masked(&mut self, s: Slot, value: u128, mask: u128) {
        let old = self.get_wide(s);
        self.set_wide(s, (old & !mask) | (value & mask));
    }

    /// As a mask: makes every bit of the field matter.
    #[inline]
    pub fn cover(&mut self, s: Slot) {
        self.set_wide(s, u128::MAX);
    }

    /// As a mask: does every bit of the field matter?
    pub fn covers(&self, s: Slot) -> bool {
        self.get_wide(s) == s.ones()
    }

    /// Does every bit that `mask` names have the same value in both?
    #[inline]
    pub fn matches(&self, value: &Words<N>, mask: &Words<N>) -> bool {
        let mut differing = 0;
        for i in 0..N {
            differing |= (self.words[i] ^ value.words[i]) & mask.words[i];
        }
        differing == 0
    }

    /// Bitwise and of all words.
    #[inline]
    pub fn and(&self, mask: &Words<N>) -> Words<N> {
        let mut out = *self;
        for i in 0..N {
            out.words[i] &= mask.words[i];
        }
        out
    }

    /// Bitwise or of all words.
    #[inline]
    pub fn or(&self, other: &Words<N>) -> Words<N> {
        let mut out = *self;
        for i in 0..N {
            out.words[i] |= other.words[i];
        }
        out
    }

    /// True when every bit is zero.
    pub fn is_zero(&self) -> bool {
        self.words.iter().all(|&w| w == 0)
    }
}

impl Key {
    /// Forgets everything above the link layer and its labels; pipeline state stays.
    pub fn hide_network(&mut self) {
        self.words[2..4].fill(0);
        self.words[4] &= !0xffff_ffff;
        self.words[5..13].fill(0);
        self.set(slot::ND_RESERVED, 0);
    }

    /// Takes what [`Key::hide_network`] forgets from another key.
    pub fn show_network(&mut self, from: &Key) {
        self.words[2..4].copy_from_slice(&from.words[2..4]);
        self.words[4] = self.words[4] & !0xffff_ffff | from.words[4] & 0xffff_ffff;
        self.words[5..13].copy_from_slice(&from.words[5..13]);
        self.set(slot::ND_RESERVED, from.get(slot::ND_RESERVED));
    }

    /// Forgets the options of the tunnel that the packet came by.
    pub fn clear_tunnel_options(&mut self) {
        self.words[usize::from(TUN_OPTION_WORDS.start)..].fill(0);
    }
}

impl<const N: usize> std::fmt::Debug for Words<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut map = f.debug_map();
        for (i, w) in self.words.iter().enumerate().filter(|(_, w)| **w != 0) {
            map.entry(&i, &format_args!("{w:#x}"));
        }
        map.finish()
    }
}

#[inline]
const fn low_ones(width: u8) -> u64 {
    if width >= 64 {
        u64::MAX
    } else {
        (1 << width) - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_reads_back_what_was_set_and_leaves_its_neighbours_alone() {
        let mut k = Key::ZERO;
        k.cover(slot::NW_SRC);
        k.set(slot::NW_DST, 0x0a00_0001);
        k.set(slot::NW_SRC, 0xdead_beef);
        assert_eq!(k.get(slot::NW_SRC), 0xdead_beef);
        assert_eq!(k.get(slot::NW_DST), 0x0a00_0001);
    }

    #[test]
    fn wide_registers_overlay_narrow_ones_high_half_first() {
        let mut k = Key::ZERO;
        k.set_wide(slot::xxreg(0), 0x11111111_22222222_33333333_44444444);
        assert_eq!(k.get(slot::reg(0)), 0x1111_1111);
        assert_eq!(k.get(slot::reg(3)), 0x4444_4444);
        assert_eq!(k.get(slot::xreg(1)), 0x33333333_44444444);
    }

    #[test]
    fn a_bit_range_of_a_wide_field_names_the_right_word() {
        let mut k = Key::ZERO;
        k.set_wide(slot::IPV6_SRC, 0x20010db8_00000000_00000000_0000002a);
        assert_eq!(k.get(slot::IPV6_SRC.bits(0, 8).unwrap()), 0x2a);
        assert_eq!(k.get(slot::IPV6_SRC.bits(96, 32).unwrap()), 0x20010db8);
        assert_eq!(slot::IPV6_SRC.bits(60, 8), None);
        assert_eq!(slot::NW_TTL.bits(4, 5), None);
    }

    #[test]
    fn masks_decide_which_bits_matter() {
        let (mut v, mut m, mut p) = (Key::ZERO, Key::ZERO, Key::ZERO);
        v.set(slot::NW_DST, 0x0a00_0000);
        m.set(slot::NW_DST, 0xff00_0000);
        p.set(slot::NW_DST, 0x0a01_0203);
        assert!(p.matches(&v, &m));
        p.set(slot::NW_DST, 0x0b01_0203);
        assert!(!p.matches(&v, &m));
    }
}
