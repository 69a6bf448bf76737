//! Other network namespaces of the host.
//!
//! Purpose: a device of ours may have been moved into a container's or a machine's namespace; it is
//! found and worked on there.
//! Invariant: only threads made for it enter another namespace; they end there.
//! Deliberately does not know: what is looked for.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::thread::{move_into_link_name_space, LinkNameSpaceType};

/// Where `ip netns` keeps its names.
const NAMED: &str = "/run/netns";

/// One of them; it lives as long as it is held.
#[derive(Clone, Debug)]
pub struct Namespace {
    hold: Arc<OwnedFd>,
    id: (u64, u64),
    /// A way to it, for messages.
    path: PathBuf,
}

impl PartialEq for Namespace {
    fn eq(&self, other: &Namespace) -> bool {
        self.id == other.id
    }
}

impl Eq for Namespace {}

impl std::fmt::Display for Namespace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.path.display().fmt(f)
    }
}

impl Namespace {
    /// Does something in it.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        let inside = || move_into_link_name_space(self.hold.as_fd(), Some(LinkNameSpaceType::Network)).map(|()| work());
        let done = std::thread::scope(|scope| scope.spawn(inside).join());
        done.map_err(|_| io::Error::other("the thread in the other namespace panicked"))?.map_err(io::Error::from)
    }
}

/// Every network namespace but our own that has a name or a process. Those that we may not look at
/// are left out.
pub fn others() -> Vec<Namespace> {
    let mut seen: BTreeSet<(u64, u64)> = identity(Path::new("/proc/self/ns/net")).into_iter().collect();
    let named = entries(Path::new(NAMED));
    let processes = entries(Path::new("/proc")).filter(|p| is_process(p)).map(|p| p.join("ns/net"));
    let fresh = |path: PathBuf| {
        let id = identity(&path).filter(|id| seen.insert(*id))?;
        let hold = Arc::new(OwnedFd::from(File::open(&path).ok()?));
        Some(Namespace { hold, id, path })
    };
    named.chain(processes).filter_map(fresh).collect()
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path())
}

fn is_process(path: &Path) -> bool {
    path.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()))
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|m| (m.dev(), m.ino()))
}
