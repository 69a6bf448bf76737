//! Reads a pcap file that somebody else is writing.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

/// What of a pcap file has been read.
pub struct PcapTail {
    path: PathBuf,
    at: u64,
}

impl PcapTail {
    /// From the first frame.
    pub fn new(path: PathBuf) -> PcapTail {
        PcapTail { path, at: 24 }
    }

    /// Frames that were added since the last time.
    pub fn read(&mut self) -> Result<Vec<Vec<u8>>, String> {
        let problem = |e: std::io::Error| format!("{}: {e}", self.path.display());
        let Ok(mut file) = File::open(&self.path) else { return Ok(Vec::new()) };
        if file.metadata().map_err(problem)?.len() <= self.at {
            return Ok(Vec::new());
        }
        file.seek(SeekFrom::Start(self.at)).map_err(problem)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(problem)?;
        let mut frames = Vec::new();
        let mut at = 0;
        while let Some(header) = bytes.get(at..at + 16) {
            let len = u32::from_ne_bytes([header[8], header[9], header[10], header[11]]) as usize;
            let Some(frame) = bytes.get(at + 16..at + 16 + len) else { break };
            frames.push(frame.to_vec());
            at += 16 + len;
        }
        self.at += at as u64;
        Ok(frames)
    }
}
