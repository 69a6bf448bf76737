//! Where the knowledge of a cloud comes from.
//!
//! Purpose: the trait behind which a file, and later other origins, stand; the file source.
//! Invariant: a source that has nothing valid to say says why and changes nothing.
//! Deliberately does not know: hosts, rules, switches.

use crate::model::{read, Cloud};
use crate::yaml::Mistake;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Largest cloud file that is read.
const MAX_BYTES: u64 = 64 << 20;

/// What a source has seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Observation {
    /// All that there is.
    pub cloud: Cloud,
    /// Counts what this source has delivered, from 1.
    pub revision: u64,
}

/// Why a source has nothing to say.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The text is wrong: file, line, column and what was expected.
    #[error("{file}:{mistake}")]
    Mistake {
        /// File.
        file: String,
        /// Where in it, and what.
        mistake: Mistake,
    },
    /// The file cannot be read.
    #[error("{file}: cannot be read: {error}; check the path of --source")]
    Unreadable {
        /// File.
        file: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// The name of the source is not understood.
    #[error("source '{0}' is not understood; expected file:PATH")]
    Unknown(String),
}

/// Where observations come from.
pub trait Source {
    /// What is new since the last call; `None` when nothing is. Never waits.
    ///
    /// After an error the next call looks again, and reports the same error only once.
    fn poll(&mut self) -> Result<Option<Observation>, SourceError>;
}

/// The source that a name stands for: `file:PATH`.
pub fn open(name: &str) -> Result<Box<dyn Source>, SourceError> {
    match name.split_once(':') {
        Some(("file", path)) if !path.is_empty() => Ok(Box::new(FileSource::new(path))),
        _ => Err(SourceError::Unknown(name.to_owned())),
    }
}

/// Identity of a file's content as far as the file system tells.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

/// A YAML file that is followed as it changes.
pub struct FileSource {
    path: PathBuf,
    /// Of the content that was read last; `None` when the file could not be read.
    stamp: Option<Stamp>,
    /// The text that was read last.
    text: Option<String>,
    /// "Cannot be read" was said already.
    unreadable: bool,
    revision: u64,
}

impl FileSource {
    /// Follows the file at `path`.
    pub fn new(path: impl Into<PathBuf>) -> FileSource {
        FileSource { path: path.into(), stamp: None, text: None, unreadable: false, revision: 0 }
    }

    fn file(&self) -> String {
        self.path.display().to_string()
    }

    fn changed_text(&mut self) -> std::io::Result<Option<String>> {
        let stamp = stamp(&self.path)?;
        // A file that was written within the clock's grain may change without changing its stamp.
        let settled = stamp.modified.and_then(|m| m.elapsed().ok()).is_some_and(|age| age.as_millis() > 50);
        if settled && self.stamp == Some(stamp) {
            return Ok(None);
        }
        if stamp.length > MAX_BYTES {
            return Err(std::io::Error::other(format!("larger than {MAX_BYTES} bytes")));
        }
        let text = std::fs::read_to_string(&self.path)?;
        self.stamp = Some(stamp);
        if self.text.as_ref() == Some(&text) {
            return Ok(None);
        }
        self.text = Some(text.clone());
        Ok(Some(text))
    }
}

impl Source for FileSource {
    fn poll(&mut self) -> Result<Option<Observation>, SourceError> {
        let text = match self.changed_text() {
            Ok(text) => text,
            Err(_) if self.unreadable => return Ok(None),
            Err(error) => {
                (self.unreadable, self.stamp, self.text) = (true, None, None);
                return Err(SourceError::Unreadable { file: self.file(), error });
            }
        };
        self.unreadable = false;
        let Some(text) = text else { return Ok(None) };
        let cloud = read::cloud(&text).map_err(|mistake| SourceError::Mistake { file: self.file(), mistake })?;
        self.revision += 1;
        Ok(Some(Observation { cloud, revision: self.revision }))
    }
}

fn stamp(path: &Path) -> std::io::Result<Stamp> {
    use std::os::unix::fs::MetadataExt;
    let meta = std::fs::metadata(path)?;
    Ok(Stamp { modified: meta.modified().ok(), length: meta.len(), inode: meta.ino() })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let path = std::env::temp_dir().join(format!("sluice-source-{name}-{}", std::process::id()));
            let _ = std::fs::remove_file(&path);
            Scratch(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[test]
    fn each_new_content_is_observed_once() {
        let file = Scratch::new("new");
        let mut source = open(&format!("file:{}", file.0.display())).unwrap();
        assert!(matches!(source.poll(), Err(SourceError::Unreadable { .. })));
        assert!(source.poll().unwrap().is_none(), "the same trouble is told once");
        for vni in [1, 2, 3] {
            std::fs::write(&file.0, format!("networks: [{{name: n, vni: {vni}}}]")).unwrap();
            let seen = source.poll().unwrap().expect("new content");
            assert_eq!((seen.cloud.networks[0].vni, seen.revision), (vni, u64::from(vni)));
            assert!(source.poll().unwrap().is_none());
        }
    }

    #[test]
    fn a_mistake_names_the_file_the_line_and_what_was_expected_and_is_told_once() {
        let file = Scratch::new("mistake");
        let mut source = FileSource::new(&file.0);
        std::fs::write(&file.0, "networks:\n  - {name: n, vni: x}\n").unwrap();
        let error = source.poll().unwrap_err().to_string();
        let expected = format!("{}:2:20: expected a whole number from 1 to 16777215, found 'x'", file.0.display());
        assert_eq!(error, expected);
        assert!(source.poll().unwrap().is_none());
        std::fs::write(&file.0, "networks: []\n").unwrap();
        assert!(source.poll().unwrap().is_some(), "put right");
    }

    #[test]
    fn an_unknown_source_is_refused() {
        for name in ["file:", "cloud.yaml", "neutron:x"] {
            assert!(matches!(open(name), Err(SourceError::Unknown(_))), "{name}");
        }
    }
}
