//! A wrapper that writes a copy of every frame that passes to a capture.
//!
//! Invariant: traffic is never disturbed: when writing fails, the capture ends and the port goes on.
//! Deliberately does not know: what time it is; it is told.

use std::io::Write;
use std::os::fd::RawFd;

use sluice_frame::{Frame, Pool};

use crate::pcap::PcapWriter;
use crate::{Offloads, Port, PortError, PortStats, SendOutcome};

/// Which frames are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// Those that come in.
    Received,
    /// Those that are given to be sent, as they were given.
    Sent,
    /// Both.
    Both,
}

/// A port that is watched.
pub struct CapturePort {
    inner: Box<dyn Port>,
    writer: PcapWriter<Box<dyn Write + Send>>,
    direction: Direction,
    now_ns: Box<dyn FnMut() -> u64 + Send>,
    failed: Option<std::io::Error>,
}

impl CapturePort {
    /// Wraps a port; `now_ns` is asked once per batch for the time of its frames.
    pub fn new(
        inner: Box<dyn Port>,
        out: Box<dyn Write + Send>,
        direction: Direction,
        now_ns: Box<dyn FnMut() -> u64 + Send>,
    ) -> Result<CapturePort, PortError> {
        let writer = PcapWriter::new(out).map_err(|e| PortError::io(inner.name(), "start capture", e))?;
        Ok(CapturePort { inner, writer, direction, now_ns, failed: None })
    }

    /// Ends the capture and gives the port back; an error if any frame could not be written.
    pub fn finish(mut self) -> Result<Box<dyn Port>, PortError> {
        let flushed = self.writer.flush();
        match self.failed.take().map_or(flushed, Err) {
            Ok(()) => Ok(self.inner),
            Err(e) => Err(PortError::io(self.inner.name(), "write capture", e)),
        }
    }

    fn write(&mut self, frames: &[Frame]) {
        if frames.is_empty() || self.failed.is_some() {
            return;
        }
        let now = (self.now_ns)();
        for frame in frames {
            if let Err(e) = self.writer.write_frame(now, frame) {
                self.failed = Some(e);
                return;
            }
        }
    }
}

impl Port for CapturePort {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn receive(&mut self, pool: &mut Pool, out: &mut Vec<Frame>, max: usize) -> Result<usize, PortError> {
        let first = out.len();
        let result = self.inner.receive(pool, out, max);
        if self.direction != Direction::Sent {
            self.write(out.get(first..).unwrap_or(&[]));
        }
        result
    }

    fn send(&mut self, pool: &mut Pool, frames: &mut Vec<Frame>) -> SendOutcome {
        if self.direction != Direction::Received {
            self.write(frames);
        }
        self.inner.send(pool, frames)
    }

    fn poll_fd(&self) -> Option<RawFd> {
        self.inner.poll_fd()
    }

    fn stats(&self) -> PortStats {
        self.inner.stats()
    }

    fn offloads(&self) -> Offloads {
        self.inner.offloads()
    }

    fn is_finished(&self) -> bool {
        self.inner.is_finished()
    }

    fn arm(&mut self) -> bool {
        self.inner.arm()
    }

    fn device_changed(&mut self) {
        self.inner.device_changed();
    }

    fn close(mut self: Box<Self>, pool: &mut Pool) {
        // Who wants to know of write errors calls `finish` instead.
        let _ = self.writer.flush();
        self.inner.close(pool);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pcap::{Captured, Output, Packets, PcapPort, Repeat};
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    struct Full(usize);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            match self.0.checked_sub(bytes.len()) {
                Some(left) => {
                    self.0 = left;
                    Ok(bytes.len())
                }
                None => Err(std::io::Error::from_raw_os_error(libc::ENOSPC)),
            }
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn watched(out: Box<dyn Write + Send>, direction: Direction) -> (CapturePort, Captured) {
        let captured = Captured::default();
        let mut inner = PcapPort::new("p", Repeat::Times(1), Output::Memory(captured.clone()));
        inner.push(b"frame one");
        inner.push(b"frame two");
        let mut time = 0;
        let clock = move || {
            time += 5;
            time
        };
        (CapturePort::new(Box::new(inner), out, direction, Box::new(clock)).unwrap(), captured)
    }

    fn pass(port: &mut CapturePort) {
        let mut pool = Pool::new(1024, 8).unwrap();
        let mut batch = Vec::new();
        assert_eq!(port.receive(&mut pool, &mut batch, 8).unwrap(), 2);
        assert_eq!(port.send(&mut pool, &mut batch).sent, 2);
        assert_eq!(pool.outstanding(), 0);
    }

    #[test]
    fn frames_are_written_by_direction_with_the_time_given() {
        for (direction, times) in
            [(Direction::Received, vec![5, 5]), (Direction::Sent, vec![5, 5]), (Direction::Both, vec![5, 5, 10, 10])]
        {
            let out = Shared::default();
            let (mut port, _) = watched(Box::new(out.clone()), direction);
            pass(&mut port);
            port.finish().unwrap();
            let bytes = out.0.lock().unwrap().clone();
            let got: Vec<_> = Packets::new(&bytes).unwrap().map(|p| p.unwrap()).collect();
            assert_eq!(got.iter().map(|p| p.time_ns).collect::<Vec<_>>(), times);
            assert_eq!(got[1].bytes, b"frame two");
        }
    }

    #[test]
    fn a_full_disk_ends_the_capture_and_not_the_traffic() {
        let (mut port, captured) = watched(Box::new(Full(30)), Direction::Both);
        pass(&mut port);
        assert_eq!(captured.take().len(), 2);
        let e = port.finish().err().unwrap();
        assert!(e.to_string().contains("No space left"), "{e}");
    }
}
