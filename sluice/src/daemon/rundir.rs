//! The run directory: sockets and the lock that makes a daemon the only one.
//!
//! Purpose: a second daemon on the same directory is refused with the first one's pid; what a
//! crashed one left behind is cleaned away.
//! Invariant: whoever holds a [`RunDirectory`] holds the lock; a socket that somebody still serves
//! is never removed.
//! Deliberately does not know: what the sockets carry.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::fs::{flock, FlockOperation};
use rustix::io::Errno;

/// Name of the lock file; it holds the pid.
const LOCK: &str = "sluiced.pid";

/// Why a run directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RunDirectoryError {
    /// Somebody is there already.
    #[error("{path}: another sluiced is running here, pid {pid}; stop it or give --rundir another directory")]
    InUse {
        /// The directory.
        path: PathBuf,
        /// Its pid, as it wrote it.
        pid: String,
    },
    /// A socket's name is taken by a process that still answers.
    #[error("{path}: another process serves this socket; stop it or give --rundir another directory")]
    Served {
        /// The socket.
        path: PathBuf,
    },
    /// A socket's name is taken by something that is no socket.
    #[error("{path}: is not a socket; remove it or give --rundir another directory")]
    NotASocket {
        /// What is in the way.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{path}: cannot {action}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> RunDirectoryError {
    let path = path.to_path_buf();
    move |source| RunDirectoryError::Io { path, action, source }
}

/// A run directory that is ours.
#[derive(Debug)]
pub struct RunDirectory {
    path: PathBuf,
    lock: File,
}

impl RunDirectory {
    /// Makes the directory where it is missing and locks it.
    pub fn claim(path: &Path) -> Result<RunDirectory, RunDirectoryError> {
        std::fs::create_dir_all(path).map_err(io(path, "create the directory"))?;
        let lock_path = path.join(LOCK);
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .map_err(io(&lock_path, "open the lock file"))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(RunDirectoryError::InUse { path: path.to_path_buf(), pid: read_pid(&mut lock) });
            }
            Err(e) => return Err(io(&lock_path, "lock")(e.into())),
        }
        write_pid(&mut lock).map_err(io(&lock_path, "write the pid"))?;
        Ok(RunDirectory { path: path.to_path_buf(), lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes `path` free for a new socket: removes one that nobody serves any more.
    pub fn free_socket(path: &Path) -> Result<(), RunDirectoryError> {
        let kind = match std::fs::symlink_metadata(path) {
            Ok(metadata) => metadata.file_type(),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(io(path, "look at")(e)),
        };
        if !kind.is_socket() {
            return Err(RunDirectoryError::NotASocket { path: path.to_path_buf() });
        }
        if UnixStream::connect(path).is_ok() {
            return Err(RunDirectoryError::Served { path: path.to_path_buf() });
        }
        std::fs::remove_file(path).map_err(io(path, "remove the stale socket"))
    }

    /// Lets only the owner talk to a socket that was just bound.
    pub fn restrict(path: &Path) -> Result<(), RunDirectoryError> {
        let owner_only = std::fs::Permissions::from_mode(0o750);
        std::fs::set_permissions(path, owner_only).map_err(io(path, "restrict"))
    }
}

impl Drop for RunDirectory {
    fn drop(&mut self) {
        // The file stays: removing it could leave two daemons with a lock on two files of one name.
        let _ = self.lock.set_len(0);
        let _ = flock(&self.lock, FlockOperation::Unlock);
    }
}

fn read_pid(lock: &mut File) -> String {
    let mut text = String::new();
    let read = lock.take(32).read_to_string(&mut text);
    match (read, text.trim()) {
        (Ok(_), pid) if !pid.is_empty() => pid.to_string(),
        _ => "unknown".to_string(),
    }
}

fn write_pid(lock: &mut File) -> std::io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that is gone with its owner.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let path = std::env::temp_dir().join(format!("sluice-{}-{name}", std::process::id()));
            let _ = std::fs::remove_dir_all(&path);
            Scratch(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_second_claim_names_the_pid_of_the_first() {
        let scratch = Scratch::new("second-claim");
        let first = RunDirectory::claim(&scratch.0).unwrap();
        let refused = RunDirectory::claim(&scratch.0).unwrap_err().to_string();
        assert!(refused.contains(&format!("pid {}", std::process::id())), "{refused}");
        drop(first);
        RunDirectory::claim(&scratch.0).unwrap();
    }

    #[test]
    fn a_lock_file_without_a_lock_is_no_obstacle() {
        let scratch = Scratch::new("stale-lock");
        std::fs::create_dir_all(&scratch.0).unwrap();
        std::fs::write(scratch.0.join(LOCK), "999999999\n").unwrap();
        RunDirectory::claim(&scratch.0).unwrap();
    }

    #[test]
    fn only_a_socket_that_nobody_serves_is_removed() {
        let scratch = Scratch::new("sockets");
        std::fs::create_dir_all(&scratch.0).unwrap();
        let path = scratch.0.join("b.mgmt");
        RunDirectory::free_socket(&path).unwrap();
        let served = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(matches!(RunDirectory::free_socket(&path), Err(RunDirectoryError::Served { .. })));
        drop(served);
        RunDirectory::free_socket(&path).unwrap();
        assert!(!path.exists());
        std::fs::write(&path, "precious").unwrap();
        assert!(matches!(RunDirectory::free_socket(&path), Err(RunDirectoryError::NotASocket { .. })));
        assert!(path.exists());
    }
}
