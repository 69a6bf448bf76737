//! Keeps a node's rules equal to what a source wants.
//!
//! Purpose: one step at a time: look at the source, look at the switch, send the difference.
//! Invariant: depends on the time only as an argument; a bridge that cannot be reached is tried
//! again with growing pauses, and holds the other up for one answer's patience at most.
//! Deliberately does not know: which source or switch it is, how often it is called.

use crate::client::{Client, ClientError, Target};
use crate::desired::{desired_state, DesiredState};
use crate::reconcile::{changes, summary};
use crate::rules::{cookie, node_rules, NodeRules, PortNumbers, RuleSet, SwitchPorts, INTEGRATION, TUNNEL};
use crate::source::Source;
use std::time::Duration;

/// First pause before a bridge is tried again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often the list of ports is asked for.
const PORTS_EVERY: Duration = Duration::from_millis(500);
/// How often the rules are compared although nothing seems to have changed.
const AUDIT_EVERY: Duration = Duration::from_secs(10);

/// Something worth a line in a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The source spoke: revision, networks and ports of this node.
    Observed(String),
    /// A bridge was brought up to date: name and what changed.
    Changed(String),
    /// Something is wrong but will be tried again, or is missing.
    Trouble(String),
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Event::Observed(text) | Event::Changed(text) => f.write_str(text),
            Event::Trouble(text) => write!(f, "warning: {text}"),
        }
    }
}

/// One bridge of the node.
struct Bridge {
    name: &'static str,
    target: Target,
    client: Option<Client>,
    ports: Option<PortNumbers>,
    /// The rules have to be compared.
    stale: bool,
    pause: Duration,
    next_try: Duration,
    next_ports: Duration,
    next_audit: Duration,
    last_trouble: String,
}

impl Bridge {
    fn new(name: &'static str, target: Target) -> Bridge {
        Bridge {
            name,
            target,
            client: None,
            ports: None,
            stale: true,
            pause: FIRST_PAUSE,
            next_try: Duration::ZERO,
            next_ports: Duration::ZERO,
            next_audit: Duration::ZERO,
            last_trouble: String::new(),
        }
    }

    fn client(&mut self) -> Result<&mut Client, ClientError> {
        if self.client.is_none() {
            self.client = Some(Client::connect(&self.target)?);
            self.stale = true;
            self.ports = None;
        }
        // Just filled where it was empty.
        self.client.as_mut().ok_or_else(|| ClientError::Protocol {
            target: self.target.to_string(),
            what: "not connected".to_owned(),
        })
    }

    /// Connects where needed and asks for the ports when it is time.
    fn look(&mut self, now: Duration) -> Result<(), ClientError> {
        if self.ports.is_some() && now < self.next_ports {
            return Ok(());
        }
        let ports = self.client()?.ports()?;
        self.next_ports = now + PORTS_EVERY;
        if self.ports.as_ref() != Some(&ports) {
            self.ports = Some(ports);
            self.stale = true;
        }
        Ok(())
    }

    /// Have the rules to be compared?
    fn is_due(&self, now: Duration) -> bool {
        self.ports.is_some() && now >= self.next_try && (self.stale || now >= self.next_audit)
    }

    /// Makes the bridge's rules equal to `desired`; says what was changed.
    fn settle(&mut self, now: Duration, desired: &RuleSet) -> Result<Option<String>, ClientError> {
        if !self.is_due(now) {
            return Ok(None);
        }
        let client = self.client()?;
        let actual = client.rules(cookie::OWNER, cookie::OWNER_MASK)?;
        let changes = changes(&actual, desired);
        client.apply(&changes)?;
        let done = (!changes.is_empty()).then(|| format!("{}: {}", self.name, summary(&changes)));
        self.stale = false;
        self.next_audit = now + AUDIT_EVERY;
        self.pause = FIRST_PAUSE;
        self.last_trouble.clear();
        Ok(done)
    }

    /// Gives the connection up and waits before the next try; says so once.
    fn fail(&mut self, now: Duration, error: &ClientError) -> Option<Event> {
        self.client = None;
        self.ports = None;
        self.stale = true;
        self.next_try = now + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        let text = format!("{}: {error}", self.name);
        if self.last_trouble == text {
            return None;
        }
        self.last_trouble.clone_from(&text);
        Some(Event::Trouble(text))
    }
}

/// Keeps the rules of one node.
pub struct Keeper {
    host: String,
    source: Box<dyn Source>,
    state: Option<DesiredState>,
    bridges: [Bridge; 2],
    missing: Vec<String>,
}

impl Keeper {
    /// Keeps `host`'s rules on the switch whose bridges are at these targets.
    pub fn new(host: &str, source: Box<dyn Source>, integration: Target, tunnel: Target) -> Keeper {
        let bridges = [Bridge::new(INTEGRATION, integration), Bridge::new(TUNNEL, tunnel)];
        Keeper { host: host.to_owned(), source, state: None, bridges, missing: Vec::new() }
    }

    /// Are all rules as the source wants them, as far as is known?
    pub fn is_settled(&self) -> bool {
        self.state.is_some() && self.bridges.iter().all(|b| b.client.is_some() && !b.stale)
    }

    /// Does what there is to do now. `now` counts from any fixed point.
    pub fn step(&mut self, now: Duration) -> Vec<Event> {
        let mut events = Vec::new();
        self.observe(&mut events);
        let mut troubles = Vec::new();
        for bridge in self.bridges.iter_mut().filter(|b| now >= b.next_try) {
            if let Err(error) = bridge.look(now) {
                troubles.extend(bridge.fail(now, &error));
            }
        }
        let Some(rules) = self.rules(now) else {
            events.extend(troubles);
            return events;
        };
        for (bridge, desired) in self.bridges.iter_mut().zip([&rules.integration, &rules.tunnel]) {
            // No rules at all: the bridge lacks its patch port, perhaps only while it is being set up.
            if bridge.ports.is_none() || now < bridge.next_try || desired.is_empty() {
                continue;
            }
            match bridge.settle(now, desired) {
                Ok(Some(done)) => events.push(Event::Changed(done)),
                Ok(None) => {}
                Err(error) => troubles.extend(bridge.fail(now, &error)),
            }
        }
        events.extend(troubles);
        self.tell_missing(&rules.missing, &mut events);
        events
    }

    fn observe(&mut self, events: &mut Vec<Event>) {
        let observation = match self.source.poll() {
            Ok(Some(observation)) => observation,
            Ok(None) => return,
            Err(error) => return events.push(Event::Trouble(error.to_string())),
        };
        match desired_state(&observation.cloud, &self.host) {
            Ok(state) => {
                let ports: usize = state.networks.iter().map(|n| n.ports.len()).sum();
                let networks = state.networks.len();
                let (host, revision) = (&self.host, observation.revision);
                events.push(Event::Observed(format!(
                    "revision {revision}: host '{host}' has {ports} ports on {networks} networks"
                )));
                self.state = Some(state);
                self.bridges.iter_mut().for_each(|b| b.stale = true);
            }
            Err(error) => events.push(Event::Trouble(error.to_string())),
        }
    }

    /// The rules, where it is known what is wanted and some bridge has to be compared with them. A
    /// bridge whose ports are not known has none.
    fn rules(&self, now: Duration) -> Option<NodeRules> {
        let due = self.bridges.iter().any(|b| b.is_due(now));
        let state = self.state.as_ref().filter(|_| due)?;
        let [integration, tunnel] = &self.bridges;
        let ports = |b: &Bridge| b.ports.clone().unwrap_or_default();
        let ports = SwitchPorts { integration: ports(integration), tunnel: ports(tunnel) };
        Some(node_rules(state, &ports))
    }

    fn tell_missing(&mut self, missing: &[String], events: &mut Vec<Event>) {
        if !self.bridges.iter().all(|b| b.ports.is_some()) {
            return;
        }
        let new = missing.iter().filter(|line| !self.missing.contains(line));
        events.extend(new.cloned().map(Event::Trouble));
        self.missing = missing.to_vec();
    }
}
