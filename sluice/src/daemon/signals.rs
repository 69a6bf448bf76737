//! Signals as events of the control loop.
//!
//! Purpose: SIGTERM and SIGINT end the daemon, SIGHUP reads the configuration again.
//! Invariant: nothing happens inside a signal; each one only makes a byte readable.

use std::io::Read;

use mio::net::UnixStream;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

/// What the signals that arrived ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// End.
    pub stop: bool,
    /// Read the configuration again.
    pub reload: bool,
}

/// The readable ends.
pub struct Signals {
    /// Readable after SIGTERM or SIGINT.
    pub stop: UnixStream,
    /// Readable after SIGHUP.
    pub reload: UnixStream,
}

impl Signals {
    /// Takes the signals over.
    pub fn install() -> std::io::Result<Signals> {
        let (stop, stop_sender) = std::os::unix::net::UnixStream::pair()?;
        let (reload, reload_sender) = std::os::unix::net::UnixStream::pair()?;
        stop.set_nonblocking(true)?;
        reload.set_nonblocking(true)?;
        pipe::register(SIGTERM, stop_sender.try_clone()?)?;
        pipe::register(SIGINT, stop_sender)?;
        pipe::register(SIGHUP, reload_sender)?;
        Ok(Signals { stop: UnixStream::from_std(stop), reload: UnixStream::from_std(reload) })
    }

    /// What arrived since the last call.
    pub fn take(&mut self) -> Wishes {
        Wishes { stop: drain(&mut self.stop), reload: drain(&mut self.reload) }
    }
}

fn drain(stream: &mut UnixStream) -> bool {
    let mut any = false;
    let mut bytes = [0; 64];
    while matches!(stream.read(&mut bytes), Ok(n) if n > 0) {
        any = true;
    }
    any
}
