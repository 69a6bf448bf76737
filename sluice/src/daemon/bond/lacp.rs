//! LACP of one bond (IEEE 802.1AX, clause 6.4), as Open vSwitch speaks it.
//!
//! Purpose: who is at the other end of each link, which links form the group, what to say and when.
//! Invariant: time is an input; a message or a tick changes nothing but these values.
//! Deliberately does not know: frames, devices, links' carriers but by what it is told.

use std::collections::BTreeMap;

use sluice_wire::lacp::{state, Info, Pdu};

const FAST_MS: u64 = 1000;
const SLOW_MS: u64 = 30_000;
/// Messages that may be lost before a partner counts as silent.
const LOST: u64 = 3;

/// What is known of the partner of a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// It was heard lately.
    Current,
    /// It was not heard for too long.
    Expired,
    /// It was never heard, or forgotten.
    Defaulted,
}

impl Status {
    /// Open vSwitch's word.
    pub fn name(self) -> &'static str {
        match self {
            Status::Current => "current",
            Status::Expired => "expired",
            Status::Defaulted => "defaulted",
        }
    }
}

/// Settings of a bond.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Speaks by itself.
    pub active: bool,
    /// Wants to hear every second.
    pub fast: bool,
    /// Without a partner links are used all the same.
    pub fallback: bool,
    /// Address of the system.
    pub system: [u8; 6],
    /// Priority of the system.
    pub system_priority: u16,
}

/// Settings of a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LinkSettings {
    /// Number.
    pub port: u16,
    /// Priority.
    pub priority: u16,
    /// Key.
    pub key: u16,
}

/// A link.
#[derive(Clone, Debug)]
pub struct Link {
    /// Its settings.
    pub settings: LinkSettings,
    /// What is known of its partner.
    pub status: Status,
    /// It belongs to the group.
    pub attached: bool,
    /// The partner.
    pub partner: Info,
    /// What the partner believes of us.
    pub believed: Info,
    /// What was said last.
    said: Info,
    heard_until_ms: u64,
    spoke_ms: u64,
    speak_ms: u64,
    /// Messages received and sent, and those that could not be read.
    pub counts: [u64; 3],
}

/// LACP of one bond.
#[derive(Clone, Debug)]
pub struct Lacp {
    settings: Settings,
    links: BTreeMap<u32, Link>,
    negotiated: bool,
}

impl Lacp {
    /// Without links.
    pub fn new(settings: Settings) -> Lacp {
        Lacp { settings, links: BTreeMap::new(), negotiated: false }
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Is there a partner?
    pub fn is_negotiated(&self) -> bool {
        self.negotiated
    }

    /// Its links, by the number that the caller has for each.
    pub fn links(&self) -> &BTreeMap<u32, Link> {
        &self.links
    }

    /// Changes settings and links; what stays keeps its partner.
    pub fn configure(&mut self, settings: Settings, links: &BTreeMap<u32, LinkSettings>, now_ms: u64) {
        self.settings = settings;
        self.links.retain(|n, _| links.contains_key(n));
        for (n, settings) in links {
            let link = self.links.entry(*n).or_insert_with(|| Link::new(now_ms));
            link.settings = *settings;
        }
        self.select();
    }

    /// A link's carrier came or went: its partner may be another one now.
    pub fn carrier_changed(&mut self, link: u32, up: bool, now_ms: u64) {
        let Some(l) = self.links.get_mut(&link) else { return };
        if up {
            l.expire(now_ms);
        } else {
            l.forget();
        }
        self.select();
    }

    /// A message came in; `None` for one that could not be read.
    pub fn receive(&mut self, link: u32, pdu: Option<&Pdu>, now_ms: u64) {
        let fast = self.settings.fast;
        let Some(l) = self.links.get_mut(&link) else { return };
        l.counts[0] += 1;
        let Some(pdu) = pdu else {
            l.counts[2] += 1;
            return;
        };
        l.status = Status::Current;
        l.heard_until_ms = now_ms + LOST * if fast { FAST_MS } else { SLOW_MS };
        l.partner = pdu.actor;
        l.believed = pdu.partner;
        self.select();
    }

    /// Which links form the group: those with the partner of the best link.
    fn select(&mut self) {
        let own = self.settings.system;
        // A partner with our own address is ourselves: a loop, not a link.
        let candidate = |l: &Link| l.status != Status::Defaulted && l.partner.system != own;
        let best = self.links.values().filter(|l| candidate(l)).min_by_key(|l| l.rank(&self.settings)).map(|l| l.partner);
        self.negotiated = best.is_some();
        for l in self.links.values_mut() {
            let same = best.is_some_and(|b| (b.key, b.system) == (l.partner.key, l.partner.system));
            l.attached = candidate(l) && same;
        }
    }

    /// Says what is due: the links to speak on, and what to say.
    pub fn run(&mut self, now_ms: u64, carries: impl Fn(u32) -> bool) -> Vec<(u32, Pdu)> {
        let mut any = false;
        for l in self.links.values_mut() {
            any |= l.grow_old(now_ms);
        }
        if any {
            self.select();
        }
        let (settings, negotiated, group) = (self.settings, self.negotiated, self.links.len() > 1);
        let mut out = Vec::new();
        for (n, l) in &mut self.links {
            let actor = l.actor(&settings, negotiated, group);
            if now_ms < l.due_ms(&actor) {
                continue;
            }
            l.said = actor;
            l.spoke_ms = now_ms;
            l.speak_ms = now_ms + l.period();
            // One that may not speak is looked at again as often as if it had.
            if !carries(*n) || !(settings.active || l.partner.state & state::ACTIVE != 0) {
                continue;
            }
            l.counts[1] += 1;
            out.push((*n, Pdu { actor, partner: l.partner }));
        }
        out
    }

    /// When something is due.
    pub fn next_ms(&self) -> Option<u64> {
        let dates = |l: &Link| {
            let heard = (l.status != Status::Defaulted).then_some(l.heard_until_ms);
            let actor = l.actor(&self.settings, self.negotiated, self.links.len() > 1);
            heard.into_iter().chain([l.due_ms(&actor)]).min()
        };
        self.links.values().filter_map(dates).min()
    }

    /// May frames go over this link?
    pub fn may_enable(&self, link: u32) -> bool {
        let Some(l) = self.links.get(&link) else { return false };
        match l.attached {
            true => l.partner.state & state::SYNC != 0,
            false => self.settings.fallback && !self.negotiated,
        }
    }

    /// What a link says of itself.
    pub fn actor(&self, link: u32) -> Info {
        let group = self.links.len() > 1;
        self.links.get(&link).map_or(Info::default(), |l| l.actor(&self.settings, self.negotiated, group))
    }
}

/// Does the partner know of us what we last said? Its own bits may lag behind.
fn agrees(believed: &Info, said: &Info) -> bool {
    let bits = state::ACTIVE | state::TIMEOUT | state::SYNC | state::AGGREGATION;
    let identity = |i: &Info| (i.system_priority, i.system, i.key, i.port_priority, i.port, i.state & bits);
    identity(believed) == identity(said)
}

impl Link {
    fn new(now_ms: u64) -> Link {
        let mut link = Link {
            settings: LinkSettings::default(),
            status: Status::Defaulted,
            attached: false,
            partner: Info::default(),
            believed: Info::default(),
            said: Info::default(),
            heard_until_ms: 0,
            spoke_ms: 0,
            speak_ms: now_ms,
            counts: [0; 3],
        };
        link.expire(now_ms);
        link
    }

    fn expire(&mut self, now_ms: u64) {
        self.status = Status::Expired;
        self.partner.state |= state::TIMEOUT;
        self.partner.state &= !state::SYNC;
        self.heard_until_ms = now_ms + LOST * FAST_MS;
        self.speak_ms = now_ms;
    }

    fn forget(&mut self) {
        self.status = Status::Defaulted;
        self.partner = Info::default();
        self.believed = Info::default();
    }

    /// True when the status changed.
    fn grow_old(&mut self, now_ms: u64) -> bool {
        if self.status == Status::Defaulted || now_ms < self.heard_until_ms {
            return false;
        }
        match self.status {
            Status::Current => self.expire(now_ms),
            _ => self.forget(),
        }
        true
    }

    /// When to speak next: at once of news, but at most a few times a second, because two sides that never
    /// agree must not shout.
    fn due_ms(&self, actor: &Info) -> u64 {
        let news = *actor != self.said || self.status == Status::Current && !agrees(&self.believed, actor);
        if news { self.speak_ms.min(self.spoke_ms + FAST_MS / 4) } else { self.speak_ms }
    }

    fn period(&self) -> u64 {
        if self.partner.state & state::TIMEOUT != 0 || self.status == Status::Defaulted {
            FAST_MS
        } else {
            SLOW_MS
        }
    }

    /// The link with the lowest rank leads; the system with the lower priority decides on the order.
    /// One that is heard goes before all that are not.
    fn rank(&self, s: &Settings) -> (bool, u16, u16, [u8; 6], u16) {
        let silent = self.status != Status::Current;
        let ours = (s.system_priority, s.system);
        let theirs = (self.partner.system_priority, self.partner.system);
        match ours < theirs {
            true => (silent, self.settings.priority, self.settings.port, self.partner.system, self.partner.key),
            false => (silent, self.partner.port_priority, self.partner.port, self.partner.system, self.partner.key),
        }
    }

    fn actor(&self, s: &Settings, negotiated: bool, group: bool) -> Info {
        let mut bits = 0;
        for (bit, set) in [
            (state::ACTIVE, s.active),
            (state::TIMEOUT, s.fast),
            (state::AGGREGATION, group),
            (state::SYNC, self.attached || !negotiated),
            (state::COLLECTING | state::DISTRIBUTING, self.attached && self.partner.state & state::SYNC != 0),
            (state::EXPIRED, self.status == Status::Expired),
            (state::DEFAULTED, self.status == Status::Defaulted),
        ] {
            bits |= if set { bit } else { 0 };
        }
        Info {
            system_priority: s.system_priority,
            system: s.system,
            key: self.settings.key,
            port_priority: self.settings.priority,
            port: self.settings.port,
            state: bits,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lacp(n: u8, active: bool, now: u64) -> Lacp {
        let settings = Settings { active, fast: true, fallback: false, system: [2, 0, 0, 0, 0, n], system_priority: 0xffff };
        let mut l = Lacp::new(settings);
        let links = (1..=2).map(|p| (p, LinkSettings { port: p as u16, priority: 0xffff, key: 1 })).collect();
        l.configure(settings, &links, now);
        l
    }

    /// Runs both ends for a while, over links that `up` says work.
    fn talk(a: &mut Lacp, b: &mut Lacp, from: u64, to: u64, up: impl Fn(u32) -> bool) -> usize {
        let mut said = 0;
        for now in (from..to).step_by(50) {
            for (n, pdu) in a.run(now, |_| true).into_iter().filter(|(n, _)| up(*n)) {
                said += 1;
                b.receive(n, Some(&pdu), now);
            }
            for (n, pdu) in b.run(now, |_| true).into_iter().filter(|(n, _)| up(*n)) {
                said += 1;
                a.receive(n, Some(&pdu), now);
            }
        }
        said
    }

    #[test]
    fn two_ends_agree_within_a_second_and_do_not_chatter() {
        let (mut a, mut b) = (lacp(1, true, 0), lacp(2, false, 0));
        talk(&mut a, &mut b, 0, 1000, |_| true);
        for l in [&a, &b] {
            assert!(l.is_negotiated() && l.may_enable(1) && l.may_enable(2), "{l:?}");
        }
        let said = talk(&mut a, &mut b, 1000, 11_000, |_| true);
        assert!((30..=60).contains(&said), "{said} messages in ten seconds on two links");
    }

    #[test]
    fn a_silent_link_leaves_the_group_and_comes_back() {
        let (mut a, mut b) = (lacp(1, true, 0), lacp(2, true, 0));
        talk(&mut a, &mut b, 0, 2000, |_| true);
        talk(&mut a, &mut b, 2000, 12_000, |n| n == 1);
        assert!(a.may_enable(1) && !a.may_enable(2) && b.may_enable(1) && !b.may_enable(2));
        talk(&mut a, &mut b, 12_000, 15_000, |_| true);
        assert!(a.may_enable(2) && b.may_enable(2));
    }

    #[test]
    fn passive_ends_stay_silent_and_a_loop_is_no_partner() {
        let (mut a, mut b) = (lacp(1, false, 0), lacp(2, false, 0));
        assert_eq!(talk(&mut a, &mut b, 0, 5000, |_| true), 0);
        let (mut a, mut b) = (lacp(1, true, 0), lacp(1, true, 0));
        talk(&mut a, &mut b, 0, 5000, |_| true);
        assert!(!a.is_negotiated() && !a.may_enable(1));
    }

    #[test]
    fn between_two_dates_nothing_is_due() {
        let (mut a, mut b) = (lacp(1, true, 0), lacp(2, false, 0));
        talk(&mut a, &mut b, 0, 3000, |_| true);
        let mut silent = lacp(3, false, 3000);
        for l in [&mut a, &mut b, &mut silent] {
            for now in (3000..8000).step_by(100) {
                l.run(now, |n| n == 1);
                assert!(l.next_ms().is_some_and(|at| at > now), "the loop must sleep: {l:?}");
            }
        }
    }

    #[test]
    fn links_to_another_partner_stay_out() {
        let (mut a, mut b, mut c) = (lacp(1, true, 0), lacp(2, true, 0), lacp(3, true, 0));
        for now in (0..3000).step_by(50) {
            for (n, pdu) in a.run(now, |_| true) {
                if n == 1 { b.receive(1, Some(&pdu), now) } else { c.receive(2, Some(&pdu), now) }
            }
            for (n, pdu) in b.run(now, |n| n == 1) { a.receive(n, Some(&pdu), now) }
            for (n, pdu) in c.run(now, |n| n == 2) { a.receive(n, Some(&pdu), now) }
        }
        assert!(a.is_negotiated() && a.may_enable(1) != a.may_enable(2));
    }
}
