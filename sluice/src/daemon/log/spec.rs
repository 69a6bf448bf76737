//! Specifications of what is written where: the words of `-v` and `vlog/set`.
//!
//! Purpose: `[MODULE]:[DESTINATION]:[LEVEL]` in any order, `PATTERN:DESTINATION:PATTERN`,
//! `FACILITY:...`.
//! Deliberately does not know: what is open.

use super::level::{module_by_name, Destination, Level};

/// What is to be changed.
#[derive(Debug, PartialEq, Eq)]
pub enum Spec {
    /// Levels.
    Level {
        /// Of this module; of all for `None`.
        module: Option<usize>,
        /// At this destination; at all for `None`.
        to: Option<Destination>,
        /// To this.
        level: Level,
    },
    /// What lines look like.
    Pattern {
        /// At this destination; at all for `None`.
        to: Option<Destination>,
        /// To this.
        pattern: String,
    },
    /// The facility of the system's log; ours is always "system daemons".
    Facility,
}

/// Reads one specification.
pub fn parse(text: &str) -> Result<Spec, String> {
    let separators: &[char] = &[' ', ',', ':', '\t', '\r', '\n'];
    let first = text.split(separators).find(|w| !w.is_empty()).unwrap_or("");
    match first {
        "PATTERN" => pattern(text),
        "FACILITY" => Ok(Spec::Facility),
        _ => levels(text.split(separators).filter(|w| !w.is_empty())),
    }
}

fn pattern(text: &str) -> Result<Spec, String> {
    let mut parts = text.splitn(3, ':').skip(1);
    let to = match parts.next() {
        None | Some("") => return Err("missing destination".to_string()),
        Some(name) if name.eq_ignore_ascii_case("any") => None,
        Some(name) => Some(Destination::from_name(name).ok_or_else(|| format!("unknown destination: {name}"))?),
    };
    let pattern = parts.next().ok_or("missing pattern")?.to_string();
    Ok(Spec::Pattern { to, pattern })
}

fn levels<'a>(words: impl Iterator<Item = &'a str>) -> Result<Spec, String> {
    let (mut module, mut to, mut level) = (None, None, None);
    for word in words {
        if word.eq_ignore_ascii_case("any") {
        } else if let Some(found) = Destination::from_name(word) {
            if to.replace(found).is_some() {
                return Err("cannot specify multiple destinations".to_string());
            }
        } else if let Some(found) = Level::from_name(word) {
            if level.replace(found).is_some() {
                return Err("cannot specify multiple levels".to_string());
            }
        } else if let Some(found) = module_by_name(word) {
            if module.replace(found).is_some() {
                return Err("cannot specify multiple modules".to_string());
            }
        } else {
            return Err(format!("no destination, level, or module \"{word}\""));
        }
    }
    Ok(Spec::Level { module, to, level: level.unwrap_or(Level::Debug) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_in_any_order() {
        let expected = Ok(Spec::Level { module: module_by_name("bridge"), to: Some(Destination::File), level: Level::Warn });
        for text in ["bridge:file:warn", "warn:bridge:file", "file bridge,WARN"] {
            assert_eq!(parse(text), expected, "{text}");
        }
        assert_eq!(parse("console:off"), Ok(Spec::Level { module: None, to: Some(Destination::Console), level: Level::Off }));
        assert_eq!(parse(""), Ok(Spec::Level { module: None, to: None, level: Level::Debug }));
        assert_eq!(parse("ANY:syslog:err"), Ok(Spec::Level { module: None, to: Some(Destination::Syslog), level: Level::Error }));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(parse("foo"), Err("no destination, level, or module \"foo\"".to_string()));
        assert!(parse("warn:err").unwrap_err().contains("multiple levels"));
        assert!(parse("PATTERN:nowhere:x").unwrap_err().contains("nowhere"));
    }

    #[test]
    fn a_pattern_may_have_colons() {
        let expected = Spec::Pattern { to: Some(Destination::File), pattern: "%H:%M|%m".to_string() };
        assert_eq!(parse("PATTERN:file:%H:%M|%m"), Ok(expected));
    }
}
