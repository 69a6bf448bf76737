//! Timeouts of connections by zone.
//!
//! Purpose: zones with the same timeouts share a policy of the tracker.
//! Invariant: zones that are not named have the default timeouts.
//! Deliberately does not know: connections.

use std::collections::BTreeMap;

use sluice_conntrack::timeouts::Policy;
use sluice_ovsdb_bridge::Zone;

use super::Switch;

impl Switch {
    /// Sets the timeouts of all zones.
    pub fn set_zones(&mut self, zones: &BTreeMap<u16, Zone>) {
        let mut policies: Vec<&BTreeMap<String, u32>> = Vec::new();
        let mut of_zone: BTreeMap<u16, u8> = BTreeMap::new();
        for (zone, wanted) in zones.iter().filter(|(_, z)| !z.timeouts.is_empty()) {
            let place = policies.iter().position(|p| **p == wanted.timeouts).unwrap_or(policies.len());
            let Ok(policy) = u8::try_from(place + 1) else {
                crate::log!(Warn, "", "zone {zone} keeps the default timeouts: there are more than 255 different policies");
                continue;
            };
            if place == policies.len() {
                policies.push(&wanted.timeouts);
                self.define_policy(policy, &wanted.timeouts);
            }
            of_zone.insert(*zone, policy);
        }
        let before = std::mem::replace(&mut self.zones, of_zone);
        self.tracker.zones(|all| {
            for zone in before.keys().filter(|zone| !self.zones.contains_key(zone)) {
                all.set_policy(*zone, 0);
            }
            for (zone, policy) in &self.zones {
                all.set_policy(*zone, *policy);
            }
        });
    }

    fn define_policy(&self, number: u8, timeouts: &BTreeMap<String, u32>) {
        let mut policy = Policy::default();
        for (name, seconds) in timeouts {
            if !policy.set(name, *seconds) {
                crate::log!(Warn, "", "the connection timeout \"{name}\" is not known; it is ignored");
            }
        }
        self.tracker.set_policy(number, &policy);
    }
}
