//! Devices that move from worker to worker.
//!
//! Purpose: plan moves, and take one after the other through its steps.
//! Invariant: each step waits until every worker has seen to what the step before left behind, so no frame is
//! lost and a flow keeps its order. What the control side has for a device that moves waits for its arrival.
//! Deliberately does not know: why a device moves (`placement`), how workers give up and take over.

use std::collections::BTreeMap;

use sluice_flow::PortIdx;

use super::super::placement::{spread, Unit};
use super::super::{Command, DeviceSpec, Parcel};
use super::{Affinity, Team};

/// How far a move has come; each step waits for the ticket to be answered by everybody.
pub(super) enum Step {
    /// The new worker keeps frames for the device.
    Expect,
    /// Everybody sends frames for the device to the new worker.
    Turn { from: usize },
    /// The old worker gives the device up.
    GiveUp,
    /// What the old worker handed over before has arrived.
    Arrive(Option<Box<Parcel>>),
}

/// What a device that moves is to do when it has arrived.
pub(super) enum Held {
    Open(DeviceSpec),
    Close { delete: bool },
    Other(Command),
}

pub(super) struct Move {
    pub device: PortIdx,
    to: usize,
    step: Step,
    ticket: u64,
}

impl Team {
    /// Devices of workers that are to end go elsewhere; new workers get their part.
    pub fn plan_moves(&mut self) {
        self.mark_fixed();
        for (unit, to) in spread(&self.loads, &self.staying()) {
            self.plan_move(unit, to);
        }
        self.dismiss_idle();
    }

    /// What is wished on a CPU stays there as long as there is a worker on it.
    pub(super) fn mark_fixed(&mut self) {
        let wished: BTreeMap<Unit, usize> = self.loads.keys().filter_map(|u| Some((*u, self.wished(*u)?))).collect();
        for (unit, load) in &mut self.loads {
            load.fixed = wished.get(unit) == Some(&load.worker);
        }
    }

    pub(super) fn plan_move(&mut self, unit: Unit, to: usize) {
        let (device, queue) = unit;
        if queue > 0 {
            return self.move_intake(unit, to);
        }
        if self.commons.owners.get(device) == Some(to) {
            return;
        }
        self.loads.entry(unit).or_default().worker = to;
        self.moves.retain(|(d, _)| *d != device);
        self.moves.push_back((device, to));
        self.begin_move();
    }

    /// The worker that a device or queue must be served by, as far as that is said: queues of a device that
    /// may not hand in all that it could are its own worker's, which counts what it hands in.
    pub(super) fn wished(&self, (device, queue): Unit) -> Option<usize> {
        if queue > 0 && self.limited.contains(&device) {
            return self.commons.owners.get(device);
        }
        let cpu = self.affinity.get(&device)?.of(queue)?;
        self.living().find(|(_, m)| m.cpu == Some(cpu) && !m.leaving).map(|(n, _)| n)
    }

    /// Says on which CPUs a device's queues are to be served.
    pub fn set_affinity(&mut self, device: PortIdx, affinity: Affinity) {
        if affinity == Affinity::default() {
            self.affinity.remove(&device);
        } else {
            self.affinity.insert(device, affinity);
        }
        self.follow_wishes(device);
    }

    /// Moves what belongs to a device to where it is wished.
    pub(super) fn follow_wishes(&mut self, device: PortIdx) {
        let units: Vec<Unit> = self.loads.range((device, 0)..=(device, u16::MAX)).map(|(u, _)| *u).collect();
        for unit in units {
            if let Some(to) = self.wished(unit) {
                self.plan_move(unit, to);
            }
        }
    }

    pub(super) fn is_moving(&self, device: PortIdx) -> bool {
        self.moving.as_ref().is_some_and(|m| m.device == device)
    }

    pub(super) fn begin_move(&mut self) {
        if self.moving.is_some() {
            return;
        }
        let Some((device, to)) = self.moves.pop_front() else { return };
        self.get(to).into_iter().for_each(|m| m.worker.tell(Command::Expect { device }));
        let ticket = self.ask(|ticket| Command::Settle { ticket });
        self.moving = Some(Move { device, to, step: Step::Expect, ticket });
    }

    /// Takes the move that is under way as far as answers allow.
    pub(super) fn advance(&mut self) {
        if self.moving.as_ref().is_none_or(|m| m.ticket > self.answered()) {
            return;
        }
        let Some(Move { device, to, step, .. }) = self.moving.take() else { return };
        match step {
            Step::Expect => {
                let from = self.commons.owners.get(device);
                self.commons.owners.set(device, Some(to));
                let ticket = self.ask(|ticket| Command::Settle { ticket });
                self.moving = Some(Move { device, to, step: Step::Turn { from: from.unwrap_or(to) }, ticket });
            }
            Step::Turn { from } => {
                self.get(from).into_iter().for_each(|m| m.worker.tell(Command::GiveUp { device }));
                self.moving = Some(Move { device, to, step: Step::GiveUp, ticket: u64::MAX });
            }
            Step::GiveUp => {}
            Step::Arrive(parcel) => {
                if let Some(member) = self.get(to) {
                    member.worker.tell(Command::TakeOver { device, parcel });
                }
                self.end_move(device);
            }
        }
    }

    pub(super) fn given_up(&mut self, device: PortIdx, parcel: Option<Box<Parcel>>) {
        if !self.is_moving(device) {
            return;
        }
        let ticket = self.ask(|ticket| Command::Settle { ticket });
        if let Some(moving) = &mut self.moving {
            (moving.step, moving.ticket) = (Step::Arrive(parcel), ticket);
        }
    }

    fn end_move(&mut self, device: PortIdx) {
        for held in std::mem::take(&mut self.held) {
            match held {
                Held::Open(spec) => self.open(device, spec),
                Held::Close { delete } => self.close(device, delete),
                Held::Other(command) => self.tell(device, command),
            }
        }
        if self.limited.contains(&device) {
            self.follow_wishes(device);
        }
        self.begin_move();
        self.dismiss_idle();
    }
}
