//! Receive queues of devices, each at a worker of its own.
//!
//! Purpose: a device with several queues is split when it is opened; each queue but the first goes where the
//! least is to do, and moves like a device does.
//! Invariant: a queue is served by nobody from the moment its worker gives it up until every worker has sent
//! what that one handed over: frames of a flow never pass each other. A queue ends with its device.
//! Deliberately does not know: frames, sockets.

use std::collections::BTreeMap;

use sluice_engine::worker::intakes::Intake;
use sluice_flow::PortIdx;

use super::super::placement::{least_loaded, Load, Unit};
use super::super::Command;
use super::Team;

/// Where a queue is.
enum Place {
    /// This worker serves it.
    At(usize),
    /// This worker was told to give it up.
    Leaving(usize),
    /// Nobody serves it until everybody has answered this.
    Waiting { intake: Box<Intake>, ticket: u64 },
}

struct State {
    /// That of its device's opening: tells it from an earlier one of the same device and number.
    serial: u64,
    place: Place,
}

/// All of them.
#[derive(Default)]
pub(super) struct Intakes {
    all: BTreeMap<Unit, State>,
}

impl Intakes {
    /// Does this worker have a queue, or is it about to get one?
    pub fn occupy(&self, worker: usize) -> bool {
        self.all.values().any(|s| matches!(s.place, Place::At(w) | Place::Leaving(w) if w == worker))
    }

    /// Is one of them served by nobody now?
    pub fn are_moving(&self) -> bool {
        self.all.values().any(|s| !matches!(s.place, Place::At(_)))
    }
}

impl Team {
    /// A device has more queues than before.
    pub fn split(&mut self, device: PortIdx) {
        if let Some(serial) = self.opened.get(&device).copied() {
            self.tell(device, Command::Split { device, serial });
        }
    }

    /// A device was split: its queues find workers.
    pub(super) fn take_in(&mut self, from: usize, serial: u64, intakes: Vec<Intake>) {
        let ticket = self.ask(|ticket| Command::Settle { ticket });
        for intake in intakes {
            let unit = intake.place();
            if self.opened.get(&unit.0) != Some(&serial) {
                // It was closed meanwhile, and may have been opened again.
                self.discard(from, Box::new(intake));
                continue;
            }
            let to = self.wished(unit).or_else(|| least_loaded(&self.loads, &self.staying())).unwrap_or(from);
            self.loads.insert(unit, Load { worker: to, ..Load::default() });
            let place = Place::Waiting { intake: Box::new(intake), ticket };
            self.intakes.all.insert(unit, State { serial, place });
        }
    }

    /// A queue shall be served by another worker.
    pub(super) fn move_intake(&mut self, unit: Unit, to: usize) {
        let Some(state) = self.intakes.all.get_mut(&unit) else { return };
        self.loads.entry(unit).or_default().worker = to;
        let serial = state.serial;
        if let Place::At(from) = state.place {
            if from != to {
                state.place = Place::Leaving(from);
                self.get(from).into_iter().for_each(|m| m.worker.tell(Command::GiveIntake { unit, serial }));
            }
        }
    }

    /// A worker has given up a queue.
    pub(super) fn intake_given(&mut self, from: usize, unit: Unit, serial: u64, intake: Option<Box<Intake>>) {
        let expected = self.intakes.all.get(&unit).is_some_and(|s| s.serial == serial);
        match intake {
            Some(intake) if expected => {
                let ticket = self.ask(|ticket| Command::Settle { ticket });
                if let Some(state) = self.intakes.all.get_mut(&unit) {
                    state.place = Place::Waiting { intake, ticket };
                }
            }
            Some(intake) => self.discard(from, intake),
            None if expected => {
                self.intakes.all.remove(&unit);
                self.loads.remove(&unit);
            }
            None => {}
        }
    }

    /// Queues that waited for everybody go to their workers.
    pub(super) fn seat_intakes(&mut self) {
        if !self.intakes.are_moving() {
            return;
        }
        let answered = self.answered();
        let due = |s: &State| matches!(s.place, Place::Waiting { ticket, .. } if ticket <= answered);
        let ready: Vec<Unit> = self.intakes.all.iter().filter(|(_, s)| due(s)).map(|(u, _)| *u).collect();
        for unit in ready {
            let planned = self.loads.get(&unit).map(|l| l.worker).filter(|w| self.staying().contains(w));
            let to = planned.or_else(|| self.staying().first().copied()).unwrap_or(0);
            let Some(state) = self.intakes.all.get_mut(&unit) else { continue };
            if let Place::Waiting { intake, .. } = std::mem::replace(&mut state.place, Place::At(to)) {
                self.loads.entry(unit).or_default().worker = to;
                if let Some(member) = self.get(to) {
                    member.worker.tell(Command::ServeIntake(intake));
                }
            }
        }
        self.dismiss_idle();
    }

    /// A device has gone or is about to be closed: so are its queues.
    pub(super) fn drop_intakes(&mut self, device: PortIdx) {
        let units: Vec<Unit> = self.loads.range((device, 1)..=(device, u16::MAX)).map(|(u, _)| *u).collect();
        for unit in units {
            self.loads.remove(&unit);
            match self.intakes.all.remove(&unit).map(|s| s.place) {
                Some(Place::At(worker)) => {
                    self.get(worker).into_iter().for_each(|m| m.worker.tell(Command::CloseIntake { unit }));
                }
                Some(Place::Waiting { intake, .. }) => {
                    let owner = self.commons.owners.get(device).unwrap_or(0);
                    self.discard(owner, intake);
                }
                // Closed when it comes.
                Some(Place::Leaving(_)) | None => {}
            }
        }
    }

    /// Any worker can close it: all of them share their memory.
    fn discard(&mut self, worker: usize, intake: Box<Intake>) {
        let worker = if self.get(worker).is_some() { worker } else { self.staying().first().copied().unwrap_or(0) };
        if let Some(member) = self.get(worker) {
            member.worker.tell(Command::DiscardIntake(intake));
        }
    }

    /// Does this worker serve this queue?
    pub fn serves_intake(&self, worker: usize, unit: Unit) -> bool {
        self.intakes.all.get(&unit).is_some_and(|s| matches!(s.place, Place::At(w) if w == worker))
    }
}
