//! Protocol versions and how two ends agree on one.
//!
//! Purpose: the versions that exist, their names, the negotiation of the hello exchange, and the
//! variants (Nicira flow format, table ids) that a connection may be in.
//! Invariant: negotiation never picks a version that either end did not offer.
//! Deliberately does not know: the bytes of a hello (see `wire`).

/// A version of the OpenFlow protocol.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Version {
    /// OpenFlow 1.0.
    V10 = 1,
    /// OpenFlow 1.1.
    V11 = 2,
    /// OpenFlow 1.2.
    V12 = 3,
    /// OpenFlow 1.3.
    V13 = 4,
    /// OpenFlow 1.4.
    V14 = 5,
    /// OpenFlow 1.5.
    V15 = 6,
}

impl Version {
    /// Every version, oldest first.
    pub const ALL: [Version; 6] =
        [Version::V10, Version::V11, Version::V12, Version::V13, Version::V14, Version::V15];

    /// From the first byte of a message.
    pub const fn from_wire(byte: u8) -> Option<Version> {
        match byte {
            1 => Some(Version::V10),
            2 => Some(Version::V11),
            3 => Some(Version::V12),
            4 => Some(Version::V13),
            5 => Some(Version::V14),
            6 => Some(Version::V15),
            _ => None,
        }
    }

    /// The first byte of a message.
    pub const fn wire(self) -> u8 {
        self as u8
    }

    /// `OpenFlow13`, as in the `-O` option.
    pub const fn name(self) -> &'static str {
        match self {
            Version::V10 => "OpenFlow10",
            Version::V11 => "OpenFlow11",
            Version::V12 => "OpenFlow12",
            Version::V13 => "OpenFlow13",
            Version::V14 => "OpenFlow14",
            Version::V15 => "OpenFlow15",
        }
    }

    /// By its name, in any case.
    pub fn by_name(name: &str) -> Option<Version> {
        Version::ALL.into_iter().find(|v| v.name().eq_ignore_ascii_case(name))
    }

    /// ` (OF1.3)`, which follows a message's name in print; nothing for 1.0.
    pub const fn print_suffix(self) -> &'static str {
        match self {
            Version::V10 => "",
            Version::V11 => " (OF1.1)",
            Version::V12 => " (OF1.2)",
            Version::V13 => " (OF1.3)",
            Version::V14 => " (OF1.4)",
            Version::V15 => " (OF1.5)",
        }
    }
}

/// A set of versions: bit `n` stands for wire version `n`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct VersionSet(pub u32);

impl VersionSet {
    /// No version.
    pub const NONE: VersionSet = VersionSet(0);
    /// Every version of [`Version::ALL`].
    pub const ALL: VersionSet = VersionSet(0b111_1110);

    /// Just one.
    pub const fn only(v: Version) -> VersionSet {
        VersionSet(1 << v.wire())
    }

    /// Every version up to and including this wire version.
    pub const fn up_to(wire: u8) -> VersionSet {
        let n = if wire > 30 { 30 } else { wire };
        VersionSet(((1u32 << (n + 1)) - 1) & !1)
    }

    /// With one more.
    pub const fn with(self, v: Version) -> VersionSet {
        VersionSet(self.0 | 1 << v.wire())
    }

    /// Is it in?
    pub const fn contains(self, v: Version) -> bool {
        self.0 & (1 << v.wire()) != 0
    }

    /// The newest in it.
    pub fn newest(self) -> Option<Version> {
        Version::ALL.into_iter().rev().find(|v| self.contains(*v))
    }

    /// The newest that both ends offer, or `None`: the connection fails with
    /// `OFPHFC_INCOMPATIBLE`.
    pub fn negotiate(self, peer: VersionSet) -> Option<Version> {
        VersionSet(self.0 & peer.0).newest()
    }
}

impl FromIterator<Version> for VersionSet {
    fn from_iter<I: IntoIterator<Item = Version>>(versions: I) -> VersionSet {
        versions.into_iter().fold(VersionSet::NONE, VersionSet::with)
    }
}

/// A version and, where it has them, the variants that a connection has switched on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Protocol {
    /// The version.
    pub version: Version,
    /// OpenFlow 1.0: flow-mods and flow-removed travel as `NXT_*` with an NXM match.
    pub nxm: bool,
    /// `NXT_FLOW_MOD_TABLE_ID`: a 1.0 flow-mod's command carries the table in its high byte.
    pub table_id: bool,
}

impl Protocol {
    /// OpenFlow 1.0 in Nicira's flow format with table ids: what `ovs-ofctl` uses where it can.
    pub const NXM_WITH_TABLE: Protocol =
        Protocol { version: Version::V10, nxm: true, table_id: true };
}

impl From<Version> for Protocol {
    fn from(version: Version) -> Protocol {
        Protocol { version, nxm: false, table_id: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_agree_on_the_newest_version_that_they_share() {
        let ours: VersionSet = [Version::V10, Version::V13, Version::V14].into_iter().collect();
        assert_eq!(ours.negotiate(VersionSet::ALL), Some(Version::V14));
        assert_eq!(ours.negotiate(VersionSet::up_to(4)), Some(Version::V13));
        assert_eq!(ours.negotiate(VersionSet::only(Version::V12)), None);
        assert_eq!(ours.negotiate(VersionSet::up_to(200)), Some(Version::V14));
    }

    #[test]
    fn names_are_understood_in_any_case() {
        assert_eq!(Version::by_name("openflow13"), Some(Version::V13));
        assert_eq!(Version::by_name("OpenFlow16"), None);
    }
}
