//! A port that replays a capture from memory and keeps or discards what is sent to it.
//!
//! Purpose: to run and measure the switch with no kernel in the way.
//! Invariant: the same frames go in and come out in the same order on every run; nothing is
//! allocated per packet.

use std::fs::File;
use std::io::BufWriter;
use std::os::fd::RawFd;
use std::path::Path;
use std::sync::{Arc, Mutex};

use sluice_frame::{Frame, Pool};

use super::{Capture, End, PcapWriter};
use crate::{offload, Offloads, Port, PortError, PortStats, SendDrop, SendOutcome, Trouble};

/// How often the frames are handed in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Repeat {
    /// So many times.
    Times(u64),
    /// Until the caller stops asking.
    Forever,
}

/// Frames that were sent to a port, shared with who wants to look at them.
#[derive(Clone, Debug, Default)]
pub struct Captured(Arc<Mutex<Vec<Vec<u8>>>>);

impl Captured {
    /// Takes out all frames so far.
    pub fn take(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        // A writer that panicked left whole frames behind.
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// Where frames that are sent to the port go.
#[derive(Debug)]
pub enum Output {
    /// Nowhere: counted and freed.
    Discard,
    /// Into memory.
    Memory(Captured),
    /// Into a pcap file; frame `n` is stamped with `n` microseconds.
    File(Box<PcapWriter<BufWriter<File>>>),
}

impl Output {
    /// Creates (or empties) a pcap file to write to.
    pub fn create(path: &Path) -> Result<Output, PortError> {
        let fail = |e| PortError::io(&path.display().to_string(), "create capture file", e);
        let file = File::create(path).map_err(fail)?;
        Ok(Output::File(Box::new(PcapWriter::new(BufWriter::new(file)).map_err(fail)?)))
    }
}

/// Bytes of all frames, one behind the other.
#[derive(Debug, Default)]
struct Store {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Store {
    fn push(&mut self, frame: &[u8]) {
        self.bytes.extend_from_slice(frame);
        self.ends.push(self.bytes.len());
    }

    #[inline]
    fn get(&self, n: usize) -> Option<&[u8]> {
        let end = *self.ends.get(n)?;
        let start = match n {
            0 => 0,
            n => *self.ends.get(n - 1)?,
        };
        self.bytes.get(start..end)
    }
}

/// The port.
#[derive(Debug)]
pub struct PcapPort {
    name: String,
    store: Store,
    at: usize,
    rounds_left: Option<u64>,
    output: Output,
    pieces: Vec<Frame>,
    stats: PortStats,
    file_end: End,
    failed: Option<std::io::Error>,
}

impl PcapPort {
    /// A port that hands in nothing until frames are added.
    pub fn new(name: &str, repeat: Repeat, output: Output) -> PcapPort {
        PcapPort {
            name: name.to_owned(),
            store: Store::default(),
            at: 0,
            rounds_left: match repeat {
                Repeat::Times(n) => Some(n),
                Repeat::Forever => None,
            },
            output,
            pieces: Vec::new(),
            stats: PortStats::default(),
            file_end: End::Complete,
            failed: None,
        }
    }

    /// A port that replays a capture file.
    pub fn open(name: &str, path: &Path, repeat: Repeat, output: Output) -> Result<PcapPort, PortError> {
        let fail = |e: super::PcapError| {
            PortError::new(Trouble::Input, name, format!("read {}", path.display()), e.to_string())
        };
        let capture = Capture::open(path).map_err(fail)?;
        let mut port = PcapPort::new(name, repeat, output);
        let mut packets = capture.packets().map_err(fail)?;
        for packet in packets.by_ref() {
            port.push(packet.map_err(fail)?.bytes);
        }
        port.file_end = packets.end().cloned().unwrap_or(End::Complete);
        Ok(port)
    }

    /// Adds one frame to those that are handed in.
    pub fn push(&mut self, frame: &[u8]) {
        self.store.push(frame);
    }

    /// Frames per round.
    pub fn frames(&self) -> usize {
        self.store.ends.len()
    }

    /// How the capture file ended.
    pub fn file_end(&self) -> &End {
        &self.file_end
    }

    /// Writes out what is buffered; the first error that writing met, if any.
    pub fn finish(&mut self) -> Result<(), PortError> {
        let flushed = match &mut self.output {
            Output::File(w) => w.flush(),
            _ => Ok(()),
        };
        match self.failed.take().map_or(flushed, Err) {
            Ok(()) => Ok(()),
            Err(e) => Err(PortError::io(&self.name, "write capture file", e)),
        }
    }

    /// The place behind the last frame: the first one again, one round later.
    fn wrap_around(&mut self) {
        self.at = 0;
        if let Some(n) = &mut self.rounds_left {
            *n -= 1;
        }
    }
}

fn deliver(output: &mut Output, failed: &mut Option<std::io::Error>, frame: &Frame) -> Result<(), SendDrop> {
    match output {
        Output::Discard => Ok(()),
        Output::Memory(captured) => {
            captured.lock().push(frame.to_vec());
            Ok(())
        }
        Output::File(_) if failed.is_some() => Err(SendDrop::Refused),
        Output::File(w) => w.write_frame(w.records().saturating_mul(1000), frame).map_err(|e| {
            *failed = Some(e);
            SendDrop::Refused
        }),
    }
}

/// Nothing is left to be done to any of the frames.
fn discard(pool: &mut Pool, frames: &mut Vec<Frame>, stats: &mut PortStats) -> SendOutcome {
    let sent = frames.len() as u32;
    stats.tx_packets += u64::from(sent);
    for frame in frames.drain(..) {
        stats.tx_bytes += frame.len() as u64;
        pool.free(frame);
    }
    SendOutcome { sent, ..SendOutcome::default() }
}

impl Port for PcapPort {
    fn name(&self) -> &str {
        &self.name
    }

    fn receive(&mut self, pool: &mut Pool, out: &mut Vec<Frame>, max: usize) -> Result<usize, PortError> {
        let (mut n, mut bytes) = (0, 0);
        while n < max && self.rounds_left != Some(0) {
            // Frames that find no memory wait, as they would in a device's ring.
            let Some(frame) = self.store.get(self.at).and_then(|b| pool.copy_in(b)) else { break };
            bytes += frame.len() as u64;
            out.push(frame);
            n += 1;
            self.at += 1;
            if self.at == self.store.ends.len() {
                self.wrap_around();
            }
        }
        self.stats.rx_packets += n as u64;
        self.stats.rx_bytes += bytes;
        Ok(n)
    }

    fn send(&mut self, pool: &mut Pool, frames: &mut Vec<Frame>) -> SendOutcome {
        let PcapPort { output, pieces, stats, failed, .. } = self;
        if matches!(output, Output::Discard) && frames.iter().all(|f| offload::is_ready(&f.meta, Offloads::NONE)) {
            return discard(pool, frames, stats);
        }
        offload::send_each(pool, frames, Offloads::NONE, pieces, stats, |pool, frame| {
            let result = deliver(output, failed, &frame);
            pool.free(frame);
            result
        })
    }

    fn poll_fd(&self) -> Option<RawFd> {
        None
    }

    fn stats(&self) -> PortStats {
        self.stats
    }

    fn offloads(&self) -> Offloads {
        Offloads::NONE
    }

    fn is_finished(&self) -> bool {
        self.rounds_left == Some(0) || self.store.ends.is_empty()
    }

    fn close(mut self: Box<Self>, _pool: &mut Pool) {
        // Who wants to know of write errors calls `finish` before.
        let _ = self.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive_all(port: &mut PcapPort, pool: &mut Pool, max: usize) -> Vec<Vec<u8>> {
        let (mut got, mut out) = (Vec::new(), Vec::new());
        while port.receive(pool, &mut out, max).unwrap() > 0 {
            for f in out.drain(..) {
                got.push(f.to_vec());
                pool.free(f);
            }
        }
        got
    }

    #[test]
    fn frames_are_handed_in_round_after_round_in_order() {
        let mut pool = Pool::new(1024, 16).unwrap();
        let mut port = PcapPort::new("1", Repeat::Times(3), Output::Discard);
        let long = vec![5; 3000];
        port.push(b"one");
        port.push(b"");
        port.push(&long);
        let got = receive_all(&mut port, &mut pool, 2);
        let round = [b"one".to_vec(), vec![], long];
        assert_eq!(got, round.iter().cycle().take(9).cloned().collect::<Vec<_>>());
        assert!(port.is_finished());
        assert_eq!(port.stats().rx_packets, 9);
        assert_eq!(pool.outstanding(), 0);
    }

    #[test]
    fn a_frame_that_finds_no_memory_waits() {
        let mut pool = Pool::new(1024, 2).unwrap();
        let mut port = PcapPort::new("1", Repeat::Times(1), Output::Discard);
        for b in [b"a", b"b", b"c"] {
            port.push(b);
        }
        let mut out = Vec::new();
        assert_eq!(port.receive(&mut pool, &mut out, 32).unwrap(), 2);
        assert_eq!(port.receive(&mut pool, &mut out, 32).unwrap(), 0);
        out.drain(..).for_each(|f| pool.free(f));
        assert_eq!(port.receive(&mut pool, &mut out, 32).unwrap(), 1);
        assert_eq!(out[0].head(), b"c");
        out.drain(..).for_each(|f| pool.free(f));
    }

    #[test]
    fn what_is_sent_is_kept_and_the_file_is_the_same_on_every_run() {
        let path = std::env::temp_dir().join(format!("sluice-pcap-{}.pcap", std::process::id()));
        let mut files = Vec::new();
        for _ in 0..2 {
            let mut pool = Pool::new(1024, 16).unwrap();
            let mut port = PcapPort::new("1", Repeat::Times(0), Output::create(&path).unwrap());
            let mut frames: Vec<_> = [b"first".to_vec(), vec![9; 2000]].iter().map(|b| pool.copy_in(b).unwrap()).collect();
            let outcome = port.send(&mut pool, &mut frames);
            assert_eq!((outcome.sent, outcome.dropped_total(), frames.len()), (2, 0, 0));
            port.finish().unwrap();
            assert_eq!(pool.outstanding(), 0);
            files.push(std::fs::read(&path).unwrap());
        }
        let _ = std::fs::remove_file(&path);
        assert_eq!(files[0], files[1]);
        let c = Capture::new(files.remove(0));
        let got: Vec<_> = c.packets().unwrap().map(|p| p.unwrap()).map(|p| (p.time_ns, p.bytes.len())).collect();
        assert_eq!(got, [(0, 5), (1000, 2000)]);
    }

    #[test]
    fn a_missing_file_is_an_error_that_names_it() {
        let e = PcapPort::open("7", Path::new("/nonexistent/x.pcap"), Repeat::Times(1), Output::Discard).unwrap_err();
        assert!(e.to_string().starts_with("port 7: read /nonexistent/x.pcap: No such file"), "{e}");
    }
}
