//! The daemon's log: one line per event on standard error.
//!
//! Purpose: time, level, subject and what happened, so that a line can be found again.
//! Invariant: writing never blocks the packet path; workers do not log, they count.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// How important a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something does not work.
    Error,
    /// Something is strange and may need a person.
    Warn,
    /// What a person running the daemon wants to know.
    Info,
    /// Everything.
    Debug,
}

impl Level {
    /// By its name.
    pub fn from_name(name: &str) -> Result<Level, String> {
        match name {
            "error" => Ok(Level::Error),
            "warn" => Ok(Level::Warn),
            "info" => Ok(Level::Info),
            "debug" => Ok(Level::Debug),
            _ => Err(format!("log level '{name}' is none of error, warn, info, debug")),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Level::Error => "ERROR",
            Level::Warn => "WARN",
            Level::Info => "INFO",
            Level::Debug => "DEBUG",
        }
    }
}

static LEVEL: AtomicU8 = AtomicU8::new(Level::Info as u8);

/// Sets the least important level that is still written.
pub fn set_level(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// Whether a line of this level is written.
pub fn enabled(level: Level) -> bool {
    level as u8 <= LEVEL.load(Ordering::Relaxed)
}

/// Writes a line. Use [`log!`](crate::log) and its levels.
pub fn write(level: Level, subject: &str, what: std::fmt::Arguments<'_>) {
    if !enabled(level) {
        return;
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let line = format!("{}|{}|{subject}|{what}\n", utc(since.as_secs(), since.subsec_millis()), level.name());
    // A closed standard error must not end the daemon.
    let _ = std::io::Write::write_all(&mut std::io::stderr().lock(), line.as_bytes());
}

/// `2026-01-31T12:00:00Z`.
pub fn utc_seconds(seconds: u64) -> String {
    utc(seconds, 0).replace(".000Z", "Z")
}

/// `2026-01-31T12:00:00.000Z`.
fn utc(seconds: u64, millis: u32) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days as i64);
    let (h, m, s) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{millis:03}Z")
}

/// Year, month and day of a number of days since 1970, by eras of 400 years that start in March.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// Writes a line of the log: `log!(Info, "br0", "port {} opened", name)`.
#[macro_export]
macro_rules! log {
    ($level:ident, $subject:expr, $($what:tt)*) => {
        $crate::daemon::log::write($crate::daemon::log::Level::$level, $subject, format_args!($($what)*))
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc() {
        assert_eq!(utc(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(utc(951_782_400, 5), "2000-02-29T00:00:00.005Z");
        assert_eq!(utc(1_767_225_599, 999), "2025-12-31T23:59:59.999Z");
    }
}
