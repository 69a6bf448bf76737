//! Network namespaces of a test's own, removed when the test ends, however it ends.
#![allow(dead_code)]

pub mod tcp;

use std::os::fd::AsRawFd;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sluice_frame::{Frame, Pool};
use sluice_port::{Port, SendOutcome};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A network namespace.
pub struct Namespace {
    pub name: String,
}

impl Namespace {
    /// A new namespace, or `None` with a message when this process may not make one.
    pub fn new(test: &str) -> Option<Namespace> {
        let name = format!("slport-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        match Command::new("ip").args(["netns", "add", &name]).output() {
            Ok(o) if o.status.success() => {
                let ns = Namespace { name };
                ns.ip("link set lo up");
                Some(ns)
            }
            Ok(o) => {
                println!("SKIPPED {test}: needs root: {}", String::from_utf8_lossy(&o.stderr).trim());
                None
            }
            Err(e) => {
                println!("SKIPPED {test}: needs the ip command: {e}");
                None
            }
        }
    }

    /// Runs `ip` inside.
    pub fn ip(&self, args: &str) -> String {
        let o = Command::new("ip").args(["-n", &self.name]).args(args.split(' ')).output().unwrap();
        assert!(o.status.success(), "ip {args}: {}", String::from_utf8_lossy(&o.stderr));
        String::from_utf8_lossy(&o.stdout).into_owned()
    }

    /// A command that runs inside.
    pub fn command(&self, program: &str) -> Command {
        let mut c = Command::new("ip");
        c.args(["netns", "exec", &self.name, program]);
        c
    }

    /// Runs a command inside and expects success.
    pub fn run(&self, line: &str) -> String {
        let mut words = line.split(' ');
        let o: Output = self.command(words.next().unwrap()).args(words).output().unwrap();
        assert!(o.status.success(), "{line}: {}", String::from_utf8_lossy(&o.stderr));
        String::from_utf8_lossy(&o.stdout).into_owned()
    }

    /// A pair of connected devices, one here, one there.
    pub fn veth(&self, here: &str, other: &Namespace, there: &str) {
        self.ip(&format!("link add {here} type veth peer name {there} netns {}", other.name));
        self.ip(&format!("link set {here} up"));
        other.ip(&format!("link set {there} up"));
        for (ns, device) in [(self, here), (other, there)] {
            // The kernel's own neighbour discovery would mix with the frames of a test.
            let _ = ns.command("sysctl").args(["-qw", &format!("net.ipv6.conf.{device}.disable_ipv6=1")]).output();
        }
    }

    /// Runs `f` on a thread inside; sockets that it opens stay inside wherever they are used.
    pub fn inside<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|s| {
            let run = || {
                self.enter();
                f()
            };
            s.spawn(run).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Moves the calling thread inside.
    pub fn enter(&self) {
        let file = std::fs::File::open(format!("/run/netns/{}", self.name)).unwrap();
        // SAFETY: moves only this thread.
        assert_eq!(unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) }, 0);
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).output();
    }
}

/// Waits until a port has frames or 50 ms have passed.
pub fn wait(ports: &[&dyn Port]) {
    let mut fds: Vec<_> = ports
        .iter()
        .filter_map(|p| p.poll_fd())
        .map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 })
        .collect();
    // SAFETY: the array outlives the call.
    unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as _, 50) };
}

/// Receives until `want` says yes to a frame, which is returned; every other frame is freed.
pub fn receive_until(port: &mut dyn Port, pool: &mut Pool, want: impl Fn(&[u8]) -> bool) -> Frame {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut out = Vec::new();
    let mut found = None;
    while found.is_none() {
        assert!(Instant::now() < deadline, "no such frame on {} in 10 s", port.name());
        wait(&[port]);
        port.receive(pool, &mut out, 1).unwrap();
        for f in out.drain(..) {
            if found.is_none() && want(&f.to_vec()) {
                found = Some(f);
            } else {
                pool.free(f);
            }
        }
    }
    found.unwrap()
}

/// Sends frames with these bytes.
pub fn send(port: &mut dyn Port, pool: &mut Pool, frames: &[&[u8]]) -> SendOutcome {
    let mut batch: Vec<_> = frames.iter().map(|b| pool.copy_in(b).unwrap()).collect();
    let outcome = port.send(pool, &mut batch);
    assert!(batch.is_empty());
    outcome
}

/// An Ethernet frame between test addresses.
pub fn ethernet(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut b = vec![0x02, 0, 0, 0, 0, 0x0b, 0x02, 0, 0, 0, 0, 0x0a];
    b.extend(ethertype.to_be_bytes());
    b.extend(payload);
    b
}

/// A wire between two ports that runs until `done`: what one receives the other sends.
/// Returns the longest frame that it carried.
pub fn wire(a: &mut dyn Port, b: &mut dyn Port, pool: &mut Pool, mut prepare: impl FnMut(&mut Pool, &mut Vec<Frame>), done: impl Fn() -> bool) -> usize {
    let mut batch = Vec::new();
    let mut longest = 0;
    while !done() {
        wait(&[a, b]);
        for forward in [true, false] {
            let (from, to): (&mut dyn Port, &mut dyn Port) = if forward { (a, b) } else { (b, a) };
            while from.receive(pool, &mut batch, 32).unwrap() > 0 {
                longest = batch.iter().map(Frame::len).max().unwrap_or(0).max(longest);
                prepare(pool, &mut batch);
                to.send(pool, &mut batch);
            }
        }
    }
    longest
}
