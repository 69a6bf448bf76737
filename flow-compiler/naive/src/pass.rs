//! Passes: a packet that comes out from under a header is decided anew, apart from what was decided before.
//!
//! Purpose: an error undoes what its own pass sent, not what earlier ones did; inside another bridge it ends
//! what happens there, unless the pass began there.
//! Deliberately does not know: why there was an error.

use crate::world::Output;

/// A pass, and where it began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Pass {
    id: usize,
    /// Bridges that waited for the packet to come back when it began.
    above: usize,
    parent: usize,
}

/// All passes of one packet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Passes {
    /// The one under way.
    pub now: Pass,
    begun: Vec<Pass>,
    failed: Vec<usize>,
    /// Pass of each output.
    sent: Vec<usize>,
}

impl Passes {
    /// The packet goes on in a pass of its own.
    pub fn begin(&mut self, above: usize) {
        self.now = Pass { id: self.begun.len() + 1, above, parent: self.now.id };
        self.begun.push(self.now);
    }

    /// Something was sent, the `n`th output.
    pub fn sent(&mut self, n: usize) {
        self.sent.truncate(n);
        self.sent.push(self.now.id);
    }

    /// An error where so many bridges wait.
    pub fn fail(&mut self, above: usize) {
        if above == self.now.above {
            self.failed.push(self.now.id);
        }
    }

    /// Was there more than one?
    pub fn several(&self) -> bool {
        !self.begun.is_empty()
    }

    /// Did a pass fail that another one had come out of, which so never was?
    pub fn undid_another(&self) -> bool {
        self.begun.iter().any(|p| self.failed.contains(&p.parent))
    }

    /// What those passes sent that did not fail.
    pub fn kept(&self, outputs: Vec<Output>) -> Vec<Output> {
        let pass = self.sent.iter().chain(std::iter::repeat(&0));
        outputs.into_iter().zip(pass).filter(|(_, pass)| !self.failed.contains(pass)).map(|(o, _)| o).collect()
    }
}
