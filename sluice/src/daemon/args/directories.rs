//! The directories in which Open vSwitch's programs meet.
//!
//! Purpose: the same environment variables and defaults, so that stock tools find us.
//! Deliberately does not know: what is in them.

use std::path::PathBuf;

use crate::stream::target::run_directory;

/// Directories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directories {
    /// Sockets and pid files: `OVS_RUNDIR`.
    pub run: PathBuf,
    /// Logs: `OVS_LOGDIR`.
    pub log: PathBuf,
    /// Databases: `OVS_DBDIR`, else `OVS_SYSCONFDIR/openvswitch`.
    pub database: PathBuf,
    /// Settings: `OVS_SYSCONFDIR`.
    pub settings: PathBuf,
    /// Schemas: `OVS_PKGDATADIR`.
    pub package: PathBuf,
}

impl Directories {
    /// As the environment says.
    pub fn from_environment() -> Directories {
        let settings = variable("OVS_SYSCONFDIR").unwrap_or_else(|| "/etc".into());
        Directories {
            run: absolute(run_directory(None)),
            log: variable("OVS_LOGDIR").unwrap_or_else(|| "/var/log/openvswitch".into()),
            database: variable("OVS_DBDIR").unwrap_or_else(|| settings.join("openvswitch")),
            package: variable("OVS_PKGDATADIR").unwrap_or_else(|| "/usr/share/openvswitch".into()),
            settings,
        }
    }

    /// A file in the run directory, unless its name says otherwise.
    pub fn run_file(&self, name: Option<&str>, default: &str) -> PathBuf {
        self.run.join(name.filter(|n| !n.is_empty()).unwrap_or(default))
    }
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|v| !v.is_empty()).map(|v| absolute(PathBuf::from(v)))
}

fn absolute(path: PathBuf) -> PathBuf {
    std::env::current_dir().map(|here| here.join(&path)).unwrap_or(path)
}
