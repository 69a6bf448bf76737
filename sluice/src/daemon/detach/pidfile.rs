//! The pid file.
//!
//! Purpose: tools find the daemon by it, and tell by its lock whether the daemon lives.
//! Invariant: the lock is a record lock of the daemon itself, taken before the file has its name;
//! the file goes with the daemon.
//! Deliberately does not know: who reads it.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{fcntl_lock, FlockOperation};

/// A pid file that is ours.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    file: File,
}

impl PidFile {
    /// An error that names the pid when the daemon that wrote a pid file still runs.
    pub fn refuse_if_running(path: &Path) -> Result<(), String> {
        match owner(path) {
            Some(pid) => Err(format!("{}: already running as pid {pid}, aborting", path.display())),
            None => Ok(()),
        }
    }

    /// Writes our pid.
    pub fn write(path: &Path, overwrite: bool) -> Result<PidFile, String> {
        let cannot = |what: &str, e: std::io::Error| format!("{}: cannot {what} the pid file: {e}", path.display());
        if !overwrite {
            PidFile::refuse_if_running(path)?;
        }
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|e| cannot("make a directory for", e))?;
        }
        let mut new = path.as_os_str().to_owned();
        new.push(format!(".tmp{}", std::process::id()));
        let new = PathBuf::from(new);
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o640)
            .open(&new)
            .map_err(|e| cannot("create", e))?;
        let done = fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|e| cannot("lock", e.into()))
            .and_then(|()| writeln!(file, "{}", std::process::id()).map_err(|e| cannot("write", e)))
            .and_then(|()| std::fs::rename(&new, path).map_err(|e| cannot("rename", e)));
        match done {
            Ok(()) => Ok(PidFile { path: path.to_path_buf(), file }),
            Err(e) => {
                let _ = std::fs::remove_file(&new);
                Err(e)
            }
        }
    }

    /// Removes the file of a daemon that died.
    pub(super) fn remove_stale(path: &Path) {
        if owner(path).is_none() {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Another daemon may have taken the name.
        let same = |a: std::fs::Metadata, b: std::fs::Metadata| a.ino() == b.ino() && a.dev() == b.dev();
        let ours = self.file.metadata().and_then(|a| Ok(same(a, std::fs::metadata(&self.path)?)));
        if ours.unwrap_or(false) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The pid in a file whose lock another process holds.
fn owner(path: &Path) -> Option<String> {
    let file = OpenOptions::new().read(true).write(true).open(path).ok()?;
    match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => None,
        Err(_) => {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            Some(text.chars().filter(char::is_ascii_digit).take(10).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_our_pid_and_goes_with_us() {
        let path = std::env::temp_dir().join(format!("sluice-pidfile-{}.pid", std::process::id()));
        let pidfile = PidFile::write(&path, false).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        drop(pidfile);
        assert!(!path.exists());
    }

    #[test]
    fn a_pid_file_that_nobody_holds_is_no_obstacle() {
        let path = std::env::temp_dir().join(format!("sluice-pidfile-stale-{}.pid", std::process::id()));
        std::fs::write(&path, "1\n").unwrap();
        assert!(PidFile::refuse_if_running(&path).is_ok());
        drop(PidFile::write(&path, false).unwrap());
    }
}
