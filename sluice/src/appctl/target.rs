//! Where a daemon's control socket is.
//!
//! Purpose: a socket's path, a pid file's name or a daemon's name lead to the socket.
//! Deliberately does not know: what is said over it.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use rustix::fs::{fcntl_lock, FlockOperation};

use crate::stream::target::run_directory;

pub(super) fn socket(target: &str) -> Result<PathBuf, String> {
    if target.starts_with('/') && !target.ends_with(".pid") {
        return Ok(PathBuf::from(target));
    }
    let run = run_directory(None);
    let named = run.join(target);
    let is_socket = |p: &Path| std::fs::metadata(p).is_ok_and(|m| std::os::unix::fs::FileTypeExt::is_socket(&m.file_type()));
    if is_socket(&named) {
        return Ok(named);
    }
    let pidfile = if target.ends_with(".pid") { named } else { run.join(format!("{target}.pid")) };
    let pid = read(&pidfile).map_err(|e| format!("cannot read pidfile \"{}\" ({e})", pidfile.display()))?;
    let name = pidfile.file_stem().map_or(target.into(), |s| s.to_string_lossy());
    let folder = pidfile.parent().unwrap_or(&run);
    Ok(folder.join(format!("{name}.{pid}.ctl")))
}

/// The pid of the process that holds a pid file's lock.
fn read(path: &Path) -> Result<u32, String> {
    let text = std::fs::read_to_string(path).map_err(|e| words(&e))?;
    let pid = text.trim().parse::<u32>().map_err(|_| "No such process".to_string())?;
    let free = || {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok::<bool, std::io::Error>(fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).is_ok())
    };
    match free() {
        Ok(true) => Err("No such process".to_string()),
        // Who may not write it is told by the connection itself.
        Ok(false) | Err(_) => Ok(pid),
    }
}

/// What the system says, without the number that Rust adds.
pub(super) fn words(e: &std::io::Error) -> String {
    let text = e.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_string()
}
