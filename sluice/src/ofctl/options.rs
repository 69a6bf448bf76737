//! The command line of `ofctl`, in the manner of GNU programs.
//!
//! Purpose: options before, between or after the words; long ones may be shortened as long as they
//! stay unambiguous; `--` ends them.
//! Deliberately does not know: what a command does.

use std::time::Duration;

use sluice_openflow::message::PacketInFormat;
use sluice_openflow::{Version, VersionSet};

/// How much is told of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Names {
    /// Accepted; shown when standard output is a terminal.
    #[default]
    Default,
    /// Accepted and shown.
    Use,
    /// Neither.
    Never,
}

/// One key of `--sort` or `--rsort`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortKey {
    /// Field, or `None` for the priority.
    pub field: Option<String>,
    /// Smallest first.
    pub ascending: bool,
}

/// Every option that has an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `--strict`.
    pub strict: bool,
    /// `--readd`.
    pub readd: bool,
    /// `--bundle`.
    pub bundle: bool,
    /// `--may-create`.
    pub may_create: bool,
    /// `--stats` (the default) or `--no-stats`.
    pub stats: bool,
    /// `--names`, `--no-names`.
    pub names: Names,
    /// `--sort`, `--rsort`, in order.
    pub sort: Vec<SortKey>,
    /// `-O`.
    pub versions: VersionSet,
    /// `-F`, as written.
    pub formats: Option<String>,
    /// `-m`: how much of packets is shown.
    pub verbosity: u32,
    /// `--timeout`.
    pub timeout: Option<Duration>,
    /// `--timestamp`.
    pub timestamp: bool,
    /// `--read-only`.
    pub read_only: bool,
    /// `-P`.
    pub packet_in_format: Option<PacketInFormat>,
    /// `--unixctl`.
    pub unixctl: Option<String>,
    /// `--detach`.
    pub detach: bool,
    /// `--no-chdir`.
    pub no_chdir: bool,
    /// `--pidfile`; empty for the usual place.
    pub pidfile: Option<String>,
    /// `--overwrite-pidfile`.
    pub overwrite_pidfile: bool,
    /// `--private-key`, `--certificate`, `--ca-cert`, and whether the last may be missing yet.
    pub keys: [Option<String>; 3],
    /// `--bootstrap-ca-cert`.
    pub bootstrap_ca: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            strict: false,
            readd: false,
            bundle: false,
            may_create: false,
            stats: true,
            names: Names::Default,
            sort: Vec::new(),
            versions: VersionSet::only(Version::V10),
            formats: None,
            verbosity: 0,
            timeout: None,
            timestamp: false,
            read_only: false,
            packet_in_format: None,
            unixctl: None,
            detach: false,
            no_chdir: false,
            pidfile: None,
            overwrite_pidfile: false,
            keys: [None, None, None],
            bootstrap_ca: false,
        }
    }
}

/// What the words ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A command with its arguments.
    Command(Options, Vec<String>),
    /// `--help`.
    Help,
    /// `--version`.
    Version,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Value {
    None,
    Needed,
    Optional,
}

/// Long options and what they take. Those of the original that have no effect here are accepted so
/// that scripts which give them go on working: logging, TLS files and the like.
const LONG: &[(&str, Value)] = &[
    ("timeout", Value::Needed),
    ("flow-format", Value::Needed),
    ("protocols", Value::Needed),
    ("more", Value::None),
    ("timestamp", Value::None),
    ("sort", Value::Optional),
    ("rsort", Value::Optional),
    ("names", Value::None),
    ("no-names", Value::None),
    ("strict", Value::None),
    ("readd", Value::None),
    ("bundle", Value::None),
    ("may-create", Value::None),
    ("stats", Value::None),
    ("no-stats", Value::None),
    ("read-only", Value::None),
    ("packet-in-format", Value::Needed),
    ("unixctl", Value::Needed),
    ("detach", Value::None),
    ("no-chdir", Value::None),
    ("pidfile", Value::Optional),
    ("overwrite-pidfile", Value::None),
    ("private-key", Value::Needed),
    ("certificate", Value::Needed),
    ("ca-cert", Value::Needed),
    ("bootstrap-ca-cert", Value::Needed),
    ("color", Value::Optional),
    ("verbose", Value::Optional),
    ("log-file", Value::Optional),
    ("syslog-method", Value::Needed),
    ("help", Value::None),
    ("version", Value::None),
];

/// Reads the words after the program's name.
pub fn parse(words: &[String]) -> Result<Request, String> {
    let mut reader = Reader { words, at: 0, options: Options::default(), versions: None, stop: None };
    let mut arguments = Vec::new();
    while let Some(word) = reader.take() {
        if word == "--" {
            arguments.extend_from_slice(words.get(reader.at..).unwrap_or(&[]));
            break;
        }
        if let Some(long) = word.strip_prefix("--") {
            reader.long(long)?;
        } else if word.len() > 1 && word.starts_with('-') {
            reader.short(&word[1..])?;
        } else {
            arguments.push(word.clone());
        }
        if let Some(stop) = reader.stop {
            return Ok(stop);
        }
    }
    if let Some(versions) = reader.versions {
        reader.options.versions = versions;
    }
    Ok(Request::Command(reader.options, arguments))
}

struct Reader<'a> {
    words: &'a [String],
    at: usize,
    options: Options,
    versions: Option<VersionSet>,
    stop: Option<Request>,
}

impl<'a> Reader<'a> {
    fn take(&mut self) -> Option<&'a String> {
        let word = self.words.get(self.at)?;
        self.at += 1;
        Some(word)
    }

    fn long(&mut self, text: &str) -> Result<(), String> {
        let (given, inline) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_string())),
            None => (text, None),
        };
        let (name, takes) = find(given)?;
        let value = match (takes, inline) {
            (Value::None, Some(_)) => return Err(format!("option '--{name}' doesn't allow an argument")),
            (Value::Needed, None) => Some(
                self.take().cloned().ok_or_else(|| format!("option '--{name}' requires an argument"))?,
            ),
            (_, inline) => inline,
        };
        self.apply(name, value)
    }

    fn short(&mut self, letters: &str) -> Result<(), String> {
        let mut rest = letters.chars();
        while let Some(letter) = rest.next() {
            let name = match letter {
                't' => "timeout",
                'F' => "flow-format",
                'O' => "protocols",
                'm' => "more",
                'h' => "help",
                'V' => "version",
                'P' => "packet-in-format",
                'p' => "private-key",
                'c' => "certificate",
                'C' => "ca-cert",
                'v' => "verbose",
                _ => return Err(format!("invalid option -- '{letter}'")),
            };
            let takes = LONG.iter().find(|(n, _)| *n == name).map_or(Value::None, |(_, v)| *v);
            if takes == Value::None {
                self.apply(name, None)?;
                continue;
            }
            let inline = Some(rest.as_str().to_string()).filter(|v| !v.is_empty());
            let value = match (takes, inline) {
                (Value::Needed, None) => Some(
                    self.take()
                        .cloned()
                        .ok_or_else(|| format!("option requires an argument -- '{letter}'"))?,
                ),
                (_, inline) => inline,
            };
            return self.apply(name, value);
        }
        Ok(())
    }

    fn apply(&mut self, name: &str, value: Option<String>) -> Result<(), String> {
        let options = &mut self.options;
        match name {
            "timeout" => options.timeout = Some(seconds(value.as_deref().unwrap_or(""))?),
            "flow-format" => options.formats = value,
            "protocols" => self.versions = Some(versions(value.as_deref().unwrap_or(""))?),
            "more" => options.verbosity += 1,
            "timestamp" => options.timestamp = true,
            "sort" | "rsort" => {
                let field = value.filter(|f| !f.eq_ignore_ascii_case("priority"));
                options.sort.push(SortKey { field, ascending: name == "sort" });
            }
            "names" => options.names = Names::Use,
            "no-names" => options.names = Names::Never,
            "strict" => options.strict = true,
            "readd" => options.readd = true,
            "bundle" => options.bundle = true,
            "may-create" => options.may_create = true,
            "stats" => options.stats = true,
            "no-stats" => options.stats = false,
            "read-only" => options.read_only = true,
            "packet-in-format" => options.packet_in_format = Some(packet_in_format(value.as_deref().unwrap_or(""))?),
            "unixctl" => options.unixctl = value,
            "detach" => options.detach = true,
            "no-chdir" => options.no_chdir = true,
            "pidfile" => options.pidfile = Some(value.unwrap_or_default()),
            "private-key" => options.keys[0] = value,
            "certificate" => options.keys[1] = value,
            "ca-cert" => options.keys[2] = value,
            "bootstrap-ca-cert" => {
                options.keys[2] = value;
                options.bootstrap_ca = true;
            }
            "overwrite-pidfile" => options.overwrite_pidfile = true,
            "help" => self.stop = Some(Request::Help),
            "version" => self.stop = Some(Request::Version),
            // Logging and colours: see LONG.
            _ => {}
        }
        Ok(())
    }
}

fn find(given: &str) -> Result<(&'static str, Value), String> {
    if let Some(exact) = LONG.iter().find(|(name, _)| *name == given) {
        return Ok(*exact);
    }
    let mut candidates = LONG.iter().filter(|(name, _)| name.starts_with(given));
    match (candidates.next(), candidates.next()) {
        (Some(only), None) => Ok(*only),
        (None, _) => Err(format!("unrecognized option '--{given}'")),
        (Some(_), Some(_)) => {
            let all = LONG.iter().filter(|(name, _)| name.starts_with(given));
            let names: Vec<String> = all.map(|(name, _)| format!("'--{name}'")).collect();
            Err(format!("option '--{given}' is ambiguous; possibilities: {}", names.join(" ")))
        }
    }
}

fn packet_in_format(text: &str) -> Result<PacketInFormat, String> {
    match text {
        "standard" | "openflow10" => Ok(PacketInFormat::Standard),
        "nxt_packet_in" | "nxm" => Ok(PacketInFormat::Nicira),
        "nxt_packet_in2" => Ok(PacketInFormat::Nicira2),
        _ => Err(format!("unknown packet-in format `{text}'")),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<u32>() {
        Ok(n) if n > 0 => Ok(Duration::from_secs(n.into())),
        _ => Err(format!("value {text} on -t or --timeout is invalid")),
    }
}

/// Names separated by commas or blanks: `OpenFlow10,OpenFlow13`.
fn versions(text: &str) -> Result<VersionSet, String> {
    let mut set = VersionSet::NONE;
    for word in text.split([',', ' ']).filter(|w| !w.is_empty()) {
        match Version::by_name(word) {
            Some(version) => set = set.with(version),
            None => return Err(format!("Unknown OpenFlow version: \"{word}\"")),
        }
    }
    if set == VersionSet::NONE {
        return Err("no OpenFlow version given on -O or --protocols".to_string());
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(text: &str) -> (Options, Vec<String>) {
        let words: Vec<String> = text.split_whitespace().map(str::to_string).collect();
        match parse(&words) {
            Ok(Request::Command(options, arguments)) => (options, arguments),
            other => panic!("{text}: {other:?}"),
        }
    }

    fn error(text: &str) -> String {
        let words: Vec<String> = text.split_whitespace().map(str::to_string).collect();
        parse(&words).unwrap_err()
    }

    #[test]
    fn options_may_stand_anywhere() {
        for text in [
            "-O OpenFlow13 --strict dump-flows br0",
            "dump-flows -OOpenFlow13 br0 --strict",
            "dump-flows br0 --protocols=OpenFlow13 --stri",
        ] {
            let (options, arguments) = command(text);
            assert!(options.strict, "{text}");
            assert_eq!(options.versions, VersionSet::only(Version::V13), "{text}");
            assert_eq!(arguments, ["dump-flows", "br0"], "{text}");
        }
    }

    #[test]
    fn two_dashes_end_the_options_and_one_is_an_argument() {
        assert_eq!(command("add-flows br0 -").1, ["add-flows", "br0", "-"]);
        assert_eq!(command("x -- --strict").1, ["x", "--strict"]);
    }

    #[test]
    fn several_letters_share_a_dash() {
        assert_eq!(command("-mmt5 x").0.verbosity, 2);
        assert_eq!(command("-mmt5 x").0.timeout, Some(Duration::from_secs(5)));
    }

    #[test]
    fn sort_keys_keep_their_order() {
        let keys = command("--rsort=in_port --sort x").0.sort;
        assert_eq!(keys[0], SortKey { field: Some("in_port".into()), ascending: false });
        assert_eq!(keys[1], SortKey { field: None, ascending: true });
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(error("--frob x"), "unrecognized option '--frob'");
        assert_eq!(error("--t x"), "option '--t' is ambiguous; possibilities: '--timeout' '--timestamp'");
        assert_eq!(error("--strict=1 x"), "option '--strict' doesn't allow an argument");
        assert_eq!(error("-O"), "option requires an argument -- 'O'");
        assert_eq!(error("-x"), "invalid option -- 'x'");
        assert_eq!(error("-O OpenFlow99 x"), "Unknown OpenFlow version: \"OpenFlow99\"");
    }
}
