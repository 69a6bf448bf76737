//! Test data that lies beside the workspace and is not part of it.
//!
//! Purpose: one way to find it, and one way to say that it is absent.
//! Invariant: where it is absent a test says that it skips, and why.
//! Deliberately does not know: what the data is used for.

use std::path::{Path, PathBuf};

use crate::capture::{read_capture, CapturedFrame};

/// The folder with shared test data: `SLUICE_SHARED`, else `../shared` seen from the workspace.
///
/// `None`, and a line on standard error, when it does not exist.
pub fn shared_dir(needed_for: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let dir = std::env::var_os("SLUICE_SHARED").map_or(beside, PathBuf::from);
    if dir.is_dir() {
        return Some(dir);
    }
    eprintln!("SKIPPED {needed_for}: no shared test data at {} (set SLUICE_SHARED)", dir.display());
    None
}

/// Every capture below a folder with its frames, in the order of their paths. Files that are no captures are left out.
pub fn captures_below(dir: &Path) -> Vec<(PathBuf, Vec<CapturedFrame>)> {
    let mut found = Vec::new();
    for path in capture_files(dir) {
        if let Some(frames) = std::fs::read(&path).ok().and_then(|file| read_capture(&file).ok()) {
            found.push((path, frames));
        }
    }
    found
}

/// Every file below a folder whose name ends as a capture's does, sorted.
pub fn capture_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for path in entries.flatten().map(|e| e.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "pcap" || e == "pcapng" || e == "cap") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}
