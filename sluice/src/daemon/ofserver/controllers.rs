//! The controllers of a bridge change while it is served.
//!
//! Purpose: come from the controllers that a bridge has to those that it shall have.
//! Invariant: whoever stays keeps its connection, also where only its pace changes; the bridge's own
//! sockets and those who came by them are not touched.
//! Deliberately does not know: the rows and files that name controllers.

use mio::{Registry, Token};
use sluice_flow::BridgeIdx;
use sluice_openflow::VersionSet;
use sluice_ovsdb_bridge::Controller;

use super::connection::Ending;
use super::{Server, Talking};

/// Takes the one of `wanted` that a controller can become without a new connection.
fn heir(has: &Controller, wanted: &mut Vec<Controller>) -> Option<Controller> {
    let only_pace = |w: &Controller| {
        *w == Controller { max_backoff_ms: w.max_backoff_ms, inactivity_probe_ms: w.inactivity_probe_ms, ..has.clone() }
    };
    let place = wanted.iter().position(only_pace)?;
    Some(wanted.remove(place))
}

impl Server {
    /// Serves these controllers of a bridge and no others.
    pub fn set_controllers(&mut self, registry: &Registry, wanted: &[Controller], bridge: BridgeIdx, versions: VersionSet, now_ms: u64) -> Result<(), String> {
        let mut new = wanted.to_vec();
        for place in 0..self.outgoing.len() {
            let Some(outgoing) = self.outgoing.get_mut(place).filter(|o| o.serves(bridge)) else { continue };
            let heir = heir(outgoing.controller(), &mut new);
            match &heir {
                Some(controller) => outgoing.set_controller(controller.clone()),
                None => outgoing.give_up(),
            }
            self.settle(registry, |t| t.outgoing == Some(place), heir.as_ref());
        }
        let configured = self.listening.iter().filter(|(_, l)| l.bridge == bridge && !l.own);
        for door in configured.map(|(token, _)| *token).collect::<Vec<Token>>() {
            let Some(listening) = self.listening.get_mut(&door) else { continue };
            let heir = heir(&listening.controller, &mut new);
            if let Some(controller) = &heir {
                listening.controller = controller.clone();
            } else if let Some(mut gone) = self.listening.remove(&door) {
                gone.listener.deregister(registry);
            }
            self.settle(registry, |t| t.door == Some(door), heir.as_ref());
        }
        // One that cannot be served does not keep the others from it.
        let added = new.iter().map(|controller| self.add_controller(registry, controller, bridge, versions, now_ms));
        added.fold(Ok(()), |all, one| all.and(one))
    }

    /// Gives connections their controller's new pace, or ends them with it.
    fn settle(&mut self, registry: &Registry, of: impl Fn(&Talking) -> bool, heir: Option<&Controller>) {
        let tokens: Vec<Token> = self.talking.iter().filter(|(_, t)| of(t)).map(|(token, _)| *token).collect();
        for token in tokens {
            match (heir, self.talking.get_mut(&token)) {
                (Some(controller), Some(talking)) => talking.probe_ms = u64::from(controller.inactivity_probe_ms),
                _ => self.close(registry, token, &Ending::Protocol("its controller is not configured any more".to_string()), 0),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sluice_ovsdb_bridge::ControllerTarget;

    use super::*;

    #[test]
    fn a_new_pace_needs_no_new_connection_but_another_target_does() {
        let has = Controller::new(ControllerTarget::Unix("/a".to_string()));
        let slower = Controller { max_backoff_ms: 60_000, inactivity_probe_ms: 0, ..has.clone() };
        let other = Controller::new(ControllerTarget::Unix("/b".to_string()));
        let limited = Controller { rate_limit: Some(100), ..has.clone() };
        let mut wanted = vec![other.clone(), limited.clone(), slower.clone()];
        assert_eq!(heir(&has, &mut wanted), Some(slower));
        assert_eq!(wanted, [other, limited]);
        assert_eq!(heir(&has, &mut wanted), None);
    }
}
