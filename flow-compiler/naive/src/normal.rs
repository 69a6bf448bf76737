//! NORMAL: a learning switch with access and trunk ports.
//!
//! Deliberately does not know: tables, registers.

use sluice_flow::key::slot;

use crate::frame::Tag;
use crate::walk::Walk;

/// Milliseconds until a learned address is forgotten.
pub(crate) const AGEING: u64 = 300_000;

impl Walk<'_> {
    pub(crate) fn normal(&mut self) {
        let in_port = self.in_port();
        let Some(spec) = self.bridges[self.bridge].port(in_port).cloned() else { return };
        let key = self.frame.key();
        let tag = self.frame.tags.first().copied();
        let vid = tag.map_or(0, |t| t.tci & 0xfff);
        let vlan = match spec.access {
            // An access port takes untagged frames, and those that carry just a priority.
            Some(_) if vid != 0 => return,
            Some(access) => access,
            None => vid,
        };
        let (src, dst) = (key.get(slot::ETH_SRC), key.get(slot::ETH_DST));
        if dst & !0xf == 0x0180_c200_0000 {
            return;
        }
        let (now, bridge) = (self.now, self.bridge);
        if src >> 40 & 1 == 0 {
            self.bridges[bridge].fdb.insert((vlan, src), (in_port, now));
        }
        let known = self.bridges[bridge].fdb.get(&(vlan, dst)).filter(|(_, seen)| now - seen < AGEING);
        self.flooded |= known.is_none();
        let to: Vec<u32> = match known {
            Some((port, _)) if *port == in_port => Vec::new(),
            Some((port, _)) => vec![*port],
            None => self.bridges[bridge].port_numbers().into_iter().filter(|p| *p != in_port).collect(),
        };
        for port in to {
            self.send_in_vlan(port, vlan, tag);
        }
    }

    /// Sends with the tag that the port wants.
    fn send_in_vlan(&mut self, port: u32, vlan: u16, tag: Option<Tag>) {
        let Some(spec) = self.bridges[self.bridge].port(port).cloned() else { return };
        if spec.access.is_some_and(|a| a != vlan) {
            return;
        }
        let saved = self.frame.tags.clone();
        let inner = saved.get(1..).unwrap_or(&[]).to_vec();
        // An access port's device expects no tags at all.
        if spec.access.is_some() && inner.iter().any(|t| t.tci & 0xfff != 0) {
            return;
        }
        let pcp = tag.map_or(0, |t| t.tci & 0xe000);
        self.frame.tags = if spec.access.is_some() { Vec::new() } else { inner };
        // A tag that would say nothing, neither an id nor a priority, is left out.
        if spec.access.is_none() && (vlan | pcp) != 0 {
            let tpid = tag.map_or(0x8100, |t| t.tpid);
            self.frame.tags.insert(0, Tag { tpid, tci: vlan | pcp | 0x1000 });
        }
        self.send(port, None);
        self.frame.tags = saved;
    }
}
