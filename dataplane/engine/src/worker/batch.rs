//! What the stations hand on for each frame of a batch.
//!
//! Invariant: every list has a place for each frame; what lies behind the frames' number means nothing.

use sluice_flow::key::NARROW_WORDS;
use sluice_wire::PackedHeaders;

use crate::BATCH;

/// Of a flow whose packet is not what it was when its verdict was joined: it takes the long way.
pub(super) const OTHERWISE: u32 = u32::MAX;

/// What the stations hand on for each frame of a batch.
#[derive(Default)]
pub(super) struct Batch {
    /// Masked key words.
    pub words: Vec<[u64; NARROW_WORDS]>,
    /// Where headers are.
    pub headers: Vec<PackedHeaders>,
    /// Hashes of the words.
    pub hashes: Vec<u64>,
    /// Verdicts; 0 for one that is not known yet.
    pub verdicts: Vec<u32>,
    /// Connections that the flows remember; 0 for none.
    pub connections: Vec<u32>,
    /// Room for the numbers of frames whose flows are not where they would be first.
    pub elsewhere: Vec<u32>,
}

impl Batch {
    /// Makes places for so many frames.
    #[inline]
    pub fn fit(&mut self, frames: usize) {
        if self.verdicts.len() < frames {
            let frames = frames.max(BATCH);
            self.words.resize(frames, [0; NARROW_WORDS]);
            self.headers.resize(frames, PackedHeaders::default());
            self.hashes.resize(frames, 0);
            self.verdicts.resize(frames, 0);
            self.connections.resize(frames, 0);
            self.elsewhere.resize(frames, 0);
        }
    }
}
