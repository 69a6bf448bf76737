//! NORMAL and multicast: only where it is wanted (RFC 4541).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::walk::Walk;
use crate::action::OfPort;
use crate::drop::DropReason;
use crate::key::slot;
use crate::normal::Multicast;
use crate::program::Bridge;
use crate::verdict::Op;
use crate::vlan::Tags;

const BROADCAST: u64 = 0xffff_ffff_ffff;
const MULTICAST_BIT: u64 = 1 << 40;
const IGMP: u64 = 2;
const ICMP6: u64 = 58;
/// All nodes on the link.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

impl Walk<'_> {
    /// Sends multicast where it is wanted; false for packets that snooping does not care about.
    pub(super) fn snooped(&mut self, bridge: &Bridge, inside: Tags, from: OfPort) -> bool {
        let Some(m) = bridge.normal.multicast.clone() else { return false };
        let key = &self.view.key;
        let dst = key.get(slot::ETH_DST);
        let eth_type = key.get(slot::ETH_TYPE);
        if dst == BROADCAST || dst & MULTICAST_BIT == 0 || !matches!(eth_type, 0x0800 | 0x86dd) {
            return false;
        }
        let whole = key.get(slot::NW_FRAG) == 0;
        match (eth_type, key.get(slot::NW_PROTO)) {
            (0x0800, IGMP) if whole => self.membership(bridge, &m, inside, from, false),
            (0x86dd, ICMP6) if whole => self.membership(bridge, &m, inside, from, true),
            _ => self.to_group(bridge, &m, inside, from),
        }
        true
    }

    /// A message of hosts or routers: what it is, only the packet itself says.
    fn membership(&mut self, bridge: &Bridge, m: &Multicast, inside: Tags, from: OfPort, may_be_other: bool) {
        let op = Op::Protocol { bridge: self.view.bridge, port: self.in_port() };
        self.emit(op);
        let report = self.apart(|w| {
            let mut to = w.routers(m, inside);
            to.extend(&m.report_ports);
            w.send_to(bridge, inside, from, to);
        });
        let query = self.apart(|w| w.flood_vlan(bridge, inside, from));
        let other = if may_be_other { self.apart(|w| w.to_group(bridge, m, inside, from)) } else { query.clone() };
        self.flush();
        let lists: [Arc<[Op]>; 3] = [report.into(), query.into(), other.into()];
        self.ops.push(Op::Membership(Arc::new(lists)));
    }

    /// To members and routers; to all where nobody is registered and that is not switched off.
    fn to_group(&mut self, bridge: &Bridge, m: &Multicast, inside: Tags, from: OfPort) {
        let key = &self.view.key;
        let group = match key.get(slot::ETH_TYPE) {
            0x0800 => IpAddr::V4(Ipv4Addr::from(key.get(slot::NW_DST) as u32)),
            _ => IpAddr::V6(Ipv6Addr::from(key.get_wide(slot::IPV6_DST))),
        };
        let local = match group {
            IpAddr::V4(a) => a.octets()[..3] == [224, 0, 0],
            IpAddr::V6(a) => a == ALL_NODES,
        };
        if local {
            return self.flood_vlan(bridge, inside, from);
        }
        self.deps.add(m.mdb.versions(), m.mdb.bucket(inside[0].vid, group));
        let members = m.mdb.members(inside[0].vid, group);
        if members.is_none() && m.flood_unregistered {
            return self.flood_vlan(bridge, inside, from);
        }
        let mut to = members.unwrap_or_default();
        to.extend(&m.flood_ports);
        to.extend(self.routers(m, inside));
        self.send_to(bridge, inside, from, to);
    }

    fn routers(&mut self, m: &Multicast, inside: Tags) -> Vec<OfPort> {
        self.deps.add(m.mdb.versions(), m.mdb.router_bucket(inside[0].vid));
        m.mdb.routers(inside[0].vid)
    }

    fn send_to(&mut self, bridge: &Bridge, inside: Tags, from: OfPort, mut to: Vec<OfPort>) {
        to.sort_unstable();
        to.dedup();
        to.retain(|p| *p != from);
        if to.is_empty() {
            self.hint(DropReason::NoMember);
        }
        for port in to {
            self.send_in_vlan(bridge, port, inside);
        }
    }
}
