//! Rows of table Port.

use super::{is_true, vlans, Reader, Subject};
use crate::database::{Row, Uuid};
use crate::source::addresses;
use crate::state::{Bridge, Port};
use crate::switching::{Bond, BondMode, Lacp, PriorityTags, Switching, VlanMode};

impl Reader<'_> {
    pub(super) fn port(&mut self, bridge: &mut Bridge, id: Uuid, row: &Row) {
        let name = row.text("name").to_string();
        self.reading.origins.ports.insert(name.clone(), id);
        let interfaces = self.referred("Interface", row, "interfaces");
        let several = interfaces.len() > 1;
        let mut members = Vec::new();
        for (id, interface) in interfaces {
            let mut port = self.interface(bridge, id, interface);
            self.shape(&mut port, &name, row);
            if port.name == bridge.name {
                bridge.mtu = port.mtu;
                bridge.local = Some(Box::new(port));
                continue;
            }
            members.push(port.name.clone());
            bridge.ports.push(port);
        }
        if several {
            let bond = self.bond(&name, row, members);
            bridge.bonds.push(bond);
        } else if row.optional_text("lacp").is_some_and(|l| l != "off") {
            self.refuse(Subject::Port, &name, "lacp", "LACP on a port with one interface is not supported; give it two or set lacp=off");
        }
        for (key, feature) in [("stp-enable", "stp"), ("rstp-enable", "rstp")] {
            if is_true(row, "other_config", key) {
                self.refuse(Subject::Port, &name, feature, format!("not supported: other_config:{key} has no effect, the port forwards"));
            }
        }
    }

    /// What the port says of each of its interfaces.
    fn shape(&mut self, port: &mut Port, name: &str, row: &Row) {
        port.tag = row.integer("tag").and_then(|n| u16::try_from(n).ok()).filter(|n| *n < 4096);
        port.switching = self.switching(name, row);
        if let Some(text) = row.optional_text("mac") {
            port.stands_for = addresses::unicast(text);
            if port.stands_for.is_none() {
                self.complain(name, format!("mac \"{text}\" is not a unicast MAC address; it is ignored"));
            }
        }
        port.qos = self.quality(name, &port.kind, row);
    }

    fn switching(&mut self, name: &str, row: &Row) -> Switching {
        let vlan_mode = match row.optional_text("vlan_mode") {
            Some("access") => Some(VlanMode::Access),
            Some("trunk") => Some(VlanMode::Trunk),
            Some("native-tagged") => Some(VlanMode::NativeTagged),
            Some("native-untagged") => Some(VlanMode::NativeUntagged),
            Some("dot1q-tunnel") => Some(VlanMode::Dot1qTunnel),
            Some(other) => {
                self.complain(name, format!("vlan_mode \"{other}\" is not known; it is ignored"));
                None
            }
            None => None,
        };
        let config = |key: &str| row.entry("other_config", key);
        Switching {
            vlan_mode,
            trunks: vlans(row, "trunks"),
            cvlans: vlans(row, "cvlans"),
            qinq_ethtype: if config("qinq-ethtype") == Some("802.1q") { 0x8100 } else { 0x88a8 },
            priority_tags: match config("priority-tags") {
                Some("always" | "true") => PriorityTags::Always,
                Some("if-nonzero") => PriorityTags::IfNonzero,
                _ => PriorityTags::Never,
            },
            protected: row.flag("protected").unwrap_or(false),
            mcast_flood: is_true(row, "other_config", "mcast-snooping-flood"),
            mcast_flood_reports: is_true(row, "other_config", "mcast-snooping-flood-reports"),
        }
    }

    fn bond(&mut self, name: &str, row: &Row, members: Vec<String>) -> Bond {
        let config = |key: &str| row.entry("other_config", key);
        let delay = |column: &str| row.integer(column).map_or(0, |n| u32::try_from(n.max(0)).unwrap_or(u32::MAX));
        let mut bond = Bond::new(name, members);
        bond.mode = match row.optional_text("bond_mode") {
            Some("balance-tcp") => BondMode::BalanceTcp,
            Some("balance-slb") => BondMode::BalanceSlb,
            _ => BondMode::ActiveBackup,
        };
        bond.lacp = match row.optional_text("lacp") {
            Some("active") => Lacp::Active,
            Some("passive") => Lacp::Passive,
            _ => Lacp::Off,
        };
        bond.lacp_fast = config("lacp-time") == Some("fast");
        bond.lacp_fallback_ab = is_true(row, "other_config", "lacp-fallback-ab");
        bond.lacp_system_id = config("lacp-system-id").and_then(addresses::mac);
        bond.updelay_ms = delay("bond_updelay");
        bond.downdelay_ms = delay("bond_downdelay");
        bond.primary = config("bond-primary").map(str::to_string);
        if let Some(priority) = self.number(row, name, "lacp-system-priority", 1, 65_535) {
            bond.lacp_system_priority = priority as u16;
        }
        if let Some(ms) = self.number(row, name, "bond-rebalance-interval", 0, u64::from(u32::MAX)) {
            bond.rebalance_ms = if ms == 0 { 0 } else { (ms as u32).max(1000) };
        }
        if let Some(basis) = self.number(row, name, "bond-hash-basis", 0, u64::from(u32::MAX)) {
            bond.hash_basis = basis as u32;
        }
        bond
    }
}
