//! What one connection's message, or the switch itself, means for the others.
//!
//! Invariant: everybody hears of a change before any later request of anybody is answered.
//! Deliberately does not know: who wants to hear what (each session does).

use std::sync::Arc;

use mio::Token;

use super::session::Effect;
use super::Server;
use crate::daemon::switch::{Notice, Switch};

impl Server {
    /// Passes what a bridge's controllers said and heard on to those who listen in.
    pub(super) fn show_to_snoopers(&mut self, switch: &Switch) {
        for bridge in switch.bridges().map(|b| b.index) {
            let snooped = self.talking.values().any(|t| t.snoops && t.session.bridge == bridge);
            let mut heard = Vec::new();
            for talking in self.talking.values_mut().filter(|t| t.outgoing.is_some() && t.session.bridge == bridge) {
                heard.extend(talking.connection.output.take_tee());
                talking.connection.output.set_tee(snooped);
            }
            if heard.is_empty() {
                continue;
            }
            for talking in self.talking.values_mut().filter(|t| t.snoops && t.session.bridge == bridge) {
                talking.connection.output.push_unasked(&heard);
            }
        }
    }

    /// Spreads what a connection's message did.
    pub(super) fn spread(&mut self, by: Token, effect: Effect, switch: &mut Switch) {
        self.tell_changes(Some(by), switch);
        match effect {
            Effect::BecamePrimary => self.demote_others(by, switch),
            Effect::WatchingChanged => self.count_watchers(switch),
            Effect::Forward => self.pass_on(by),
            Effect::None | Effect::Close => {}
        }
    }

    /// Rules are only told of while somebody watches.
    pub(super) fn count_watchers(&mut self, switch: &mut Switch) {
        switch.set_watched(self.talking.values().any(|t| t.session.is_watching()));
    }

    fn demote_others(&mut self, primary: Token, switch: &Switch) {
        let Some(bridge) = self.talking.get(&primary).map(|t| t.session.bridge) else { return };
        let generation = switch.generation(bridge);
        let others = self.talking.iter_mut().filter(|(t, o)| **t != primary && o.session.bridge == bridge);
        for (_, other) in others {
            if other.session.demote() {
                other.session.tell_demotion(generation, &mut other.connection.output);
            }
        }
    }

    fn pass_on(&mut self, by: Token) {
        let Some(from) = self.talking.get_mut(&by) else { return };
        let bridge = from.session.bridge;
        let changes = from.session.take_forward();
        for (_, other) in self.talking.iter_mut().filter(|(t, o)| **t != by && o.session.bridge == bridge) {
            changes.iter().for_each(|(message, xid)| other.session.tell_request(message, *xid, &mut other.connection.output));
        }
    }

    /// Tells of changes of the rules; `by` made them.
    pub fn tell_changes(&mut self, by: Option<Token>, switch: &mut Switch) {
        if !switch.has_rule_changes() {
            return;
        }
        let changes = switch.take_rule_changes();
        for (token, talking) in &mut self.talking {
            let own = (by == Some(*token)).then(|| talking.session.acting_xid());
            talking.session.tell_changes(&changes, own, &mut talking.connection.output);
        }
    }

    /// Tells connections what happened.
    pub fn tell(&mut self, notice: &Notice, switch: &mut Switch, now_ms: u64) {
        if let Notice::Punted(punted) = notice {
            return self.tell_packet(punted, switch, now_ms);
        }
        for (token, talking) in &mut self.talking {
            let (session, output) = (&talking.session, &mut talking.connection.output);
            match notice {
                Notice::FlowRemoved(bridge, message) if *bridge == session.bridge => session.tell_flow_removed(message, output),
                Notice::PortStatus(bridge, message, by) if *bridge == session.bridge => {
                    session.tell_port_status(message, *by == Some(token.0), output);
                }
                Notice::TableStatus(bridge, message) if *bridge == session.bridge => session.tell_table_status(message, output),
                _ => {}
            }
        }
    }

    /// Tells of packets that had to wait.
    pub(super) fn tell_limited(&mut self, now_ms: u64) {
        for talking in self.talking.values_mut() {
            let Some(limiter) = &mut talking.limiter else { continue };
            while let Some(bytes) = limiter.next(now_ms) {
                talking.connection.output.push_unasked(&bytes);
            }
        }
    }

    fn tell_packet(&mut self, punted: &sluice_engine::Punted, switch: &mut Switch, now_ms: u64) {
        let mut token = None;
        let options = &switch.rules.options(punted.bridge).clone();
        let cookie = punted.rule.and_then(|id| switch.rules.rule(id)).map(|r| r.cookie);
        for talking in self.talking.values_mut().filter(|t| t.session.bridge == punted.bridge) {
            if !talking.session.wants_packet(punted) {
                continue;
            }
            // What is left to do is kept once, and only when somebody could ask for it.
            if let (None, Some(paused)) = (token, &punted.punt.paused) {
                token = Some(switch.paused.keep(Arc::clone(&paused.0)));
            }
            let Some(bytes) = talking.session.packet_in(punted, cookie, token, options) else { continue };
            let now = match &mut talking.limiter {
                Some(limiter) => limiter.offer(punted.in_port, bytes, now_ms),
                None => Some(bytes),
            };
            if let Some(bytes) = now {
                talking.connection.output.push_unasked(&bytes);
            }
        }
    }
}
