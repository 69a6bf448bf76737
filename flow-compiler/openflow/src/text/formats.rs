//! Which flow formats can carry what a text says.
//!
//! Purpose: tell before sending whether a rule fits OpenFlow 1.0, the Nicira format, 1.1 or the
//! extensible ones. Invariant: parsing only ever takes formats away.
//! Deliberately does not know: how a format is encoded.

use crate::field::{Field, Legacy};
use crate::version::Version;
use std::fmt;
use std::ops::{BitAnd, BitAndAssign, BitOr};
use std::str::FromStr;

/// A set of flow formats.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Formats(u16);

impl Formats {
    /// None.
    pub const NONE: Formats = Formats(0);
    /// OpenFlow 1.0's own messages.
    pub const OPENFLOW10: Formats = Formats(1);
    /// The same, with a table in each flow-mod.
    pub const OPENFLOW10_TABLE_ID: Formats = Formats(1 << 1);
    /// Nicira's flow format over OpenFlow 1.0.
    pub const NXM: Formats = Formats(1 << 2);
    /// The same, with a table in each flow-mod.
    pub const NXM_TABLE_ID: Formats = Formats(1 << 3);
    /// OpenFlow 1.1.
    pub const OPENFLOW11: Formats = Formats(1 << 4);
    /// OpenFlow 1.2.
    pub const OXM12: Formats = Formats(1 << 5);
    /// OpenFlow 1.3.
    pub const OXM13: Formats = Formats(1 << 6);
    /// OpenFlow 1.4.
    pub const OXM14: Formats = Formats(1 << 7);
    /// OpenFlow 1.5.
    pub const OXM15: Formats = Formats(1 << 8);
    /// All.
    pub const ANY: Formats = Formats(0x1ff);
    /// Everything over OpenFlow 1.0.
    pub const ANY_10: Formats = Formats(0xf);
    /// 1.2 and up.
    pub const FROM_12: Formats = Formats(0x1e0);
    /// 1.3 and up.
    pub const FROM_13: Formats = Formats(0x1c0);
    /// 1.1 and up.
    pub const FROM_11: Formats = Formats(0x1f0);
    /// Both variants of the Nicira format, and 1.2 and up.
    pub const EXTENSIBLE: Formats = Formats(0x1ec);
    /// Those whose flow-mods name a table.
    pub const WITH_TABLE: Formats = Formats(0x1fa);

    /// Those over one version of the protocol.
    pub const fn of_version(version: Version) -> Formats {
        match version {
            Version::V10 => Formats::ANY_10,
            Version::V11 => Formats::OPENFLOW11,
            Version::V12 => Formats::OXM12,
            Version::V13 => Formats::OXM13,
            Version::V14 => Formats::OXM14,
            Version::V15 => Formats::OXM15,
        }
    }

    /// Empty?
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Are all of `other` in it?
    pub const fn contains(self, other: Formats) -> bool {
        self.0 & other.0 == other.0
    }

    /// Those that can match this value of a field under this mask (all ones: exactly).
    pub(super) fn of_match(field: Field, mask: u128, exact: bool) -> Formats {
        let i = field.info();
        if mask == 0 {
            return Formats::ANY;
        }
        // OpenFlow 1.0's VLAN words have no field id, but every format can say them.
        let extensible = i.nxm.is_some()
            || i.oxm.is_some()
            || matches!(field, Field::DL_VLAN | Field::DL_VLAN_PCP);
        let legacy = |can: Legacy, formats: Formats| match can {
            Legacy::Any => formats,
            Legacy::Cidr if exact || is_prefix(mask) => formats,
            Legacy::Exact if exact => formats,
            _ => Formats::NONE,
        };
        legacy(i.of10, Formats(0x3))
            | legacy(i.of11, Formats::OPENFLOW11)
            | if extensible {
                Formats::EXTENSIBLE
            } else {
                Formats::NONE
            }
    }
}

/// Is it a prefix of an IPv4 address?
fn is_prefix(mask: u128) -> bool {
    let mask = mask as u32;
    mask.leading_ones() + mask.trailing_zeros() >= 32
}

/// Names of sets that are printed with one word, then of the single formats.
const NAMES: [(Formats, &str); 13] = [
    (Formats::ANY, "any"),
    (Formats(0x3), "OpenFlow10"),
    (Formats(0xc), "NXM"),
    (Formats::FROM_12, "OXM"),
    (Formats::OPENFLOW10, "OpenFlow10-table_id"),
    (Formats::OPENFLOW10_TABLE_ID, "OpenFlow10+table_id"),
    (Formats::NXM, "NXM-table_id"),
    (Formats::NXM_TABLE_ID, "NXM+table_id"),
    (Formats::OPENFLOW11, "OpenFlow11"),
    (Formats::OXM12, "OXM-OpenFlow12"),
    (Formats::OXM13, "OXM-OpenFlow13"),
    (Formats::OXM14, "OXM-OpenFlow14"),
    (Formats::OXM15, "OXM-OpenFlow15"),
];

impl fmt::Display for Formats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        let mut rest = *self;
        let mut between = "";
        for (set, name) in NAMES {
            if rest.contains(set) {
                write!(f, "{between}{name}")?;
                rest.0 &= !set.0;
                between = ",";
            }
        }
        Ok(())
    }
}

impl FromStr for Formats {
    type Err = String;

    /// Reads a list as in the `-F` option: `NXM,OXM-OpenFlow13`.
    fn from_str(text: &str) -> Result<Formats, String> {
        let mut formats = Formats::NONE;
        for word in text.split([' ', ',']).filter(|w| !w.is_empty()) {
            let found = NAMES
                .iter()
                .find(|(_, name)| name.eq_ignore_ascii_case(word));
            let (set, _) = found.ok_or_else(|| format!("{word}: unknown flow protocol"))?;
            formats = formats | *set;
        }
        if formats.is_empty() {
            return Err("no flow protocol specified".to_string());
        }
        Ok(formats)
    }
}

impl BitAnd for Formats {
    type Output = Formats;
    fn bitand(self, other: Formats) -> Formats {
        Formats(self.0 & other.0)
    }
}

impl BitOr for Formats {
    type Output = Formats;
    fn bitor(self, other: Formats) -> Formats {
        Formats(self.0 | other.0)
    }
}

impl BitAndAssign for Formats {
    fn bitand_assign(&mut self, other: Formats) {
        self.0 &= other.0;
    }
}

#[cfg(test)]
mod tests {
    use super::Formats;
    use crate::text::{parse_flow_formats, Names};
    use crate::FlowModCommand;

    #[test]
    fn texts_say_which_formats_can_carry_them() {
        let cases = [
            ("actions=1", "any"),
            ("ip,nw_src=10.0.0.0/8,actions=drop", "any"),
            (
                "ip,nw_src=10.0.0.1/255.0.255.0,actions=drop",
                "NXM,OXM,OpenFlow11",
            ),
            (
                "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,actions=1",
                "NXM,OXM,OpenFlow11",
            ),
            (
                "table=1,ip,actions=1",
                "OXM,OpenFlow10+table_id,NXM+table_id,OpenFlow11",
            ),
            (
                "table=1,ip,actions=write_metadata:5",
                "OXM,NXM+table_id,OpenFlow11",
            ),
            (
                "table=1,arp,actions=dec_ttl",
                "OpenFlow10+table_id,NXM+table_id",
            ),
            ("actions=strip_vlan", "OpenFlow10,NXM"),
            ("actions=push_vlan:0x8100", "OXM,OpenFlow11"),
            (
                "actions=meter:1",
                "OXM-OpenFlow13,OXM-OpenFlow14,OXM-OpenFlow15",
            ),
            ("reg0=5,actions=1", "NXM,OXM"),
            ("tcp6,tp_dst=80,actions=1", "NXM,OXM"),
            (
                "no_byte_counts,actions=1",
                "OXM-OpenFlow13,OXM-OpenFlow14,OXM-OpenFlow15",
            ),
        ];
        for (text, formats) in cases {
            let carried = parse_flow_formats(text, FlowModCommand::Add, &Names::new());
            assert_eq!(
                carried.map(|c| c.1.to_string()),
                Ok(formats.to_string()),
                "{text}"
            );
        }
    }

    #[test]
    fn names_of_formats_are_read_back() {
        for bits in 1..=0x1ff {
            let formats = Formats(bits);
            assert_eq!(formats.to_string().parse(), Ok(formats));
        }
        assert_eq!(
            "foo".parse::<Formats>(),
            Err("foo: unknown flow protocol".to_string())
        );
    }
}
