//! The words of the command line.
//!
//! Purpose: from words to values, with one line about the first that is wrong.
//! Deliberately does not know: what the values are for.

use crate::client::Target;
use std::path::PathBuf;

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    Help,
    Follow,
    Plan,
    Path,
}

/// The command line as values.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Arguments {
    pub mode: Mode,
    pub source: String,
    pub host: String,
    pub switch: Option<String>,
    pub rundir: Option<PathBuf>,
    pub once: bool,
    /// `plan`: only this bridge.
    pub bridge: Option<String>,
    /// `plan`: BRIDGE, NAME, NUMBER.
    pub ports: Vec<(String, String, u32)>,
    pub from: String,
    pub to: String,
    pub protocol: String,
    pub tp_dst: u16,
}

impl Default for Arguments {
    fn default() -> Arguments {
        Arguments {
            mode: Mode::Follow,
            source: String::new(),
            host: String::new(),
            switch: None,
            rundir: None,
            once: false,
            bridge: None,
            ports: Vec::new(),
            from: String::new(),
            to: String::new(),
            protocol: "icmp".to_owned(),
            tp_dst: 80,
        }
    }
}

impl Arguments {
    /// Reads the words after the program's name.
    pub fn parse(words: impl Iterator<Item = String>) -> Result<Arguments, String> {
        let mut words = words.peekable();
        let mut arguments = Arguments::default();
        match words.peek().map(String::as_str) {
            Some("plan") => arguments.mode = Mode::Plan,
            Some("path") => arguments.mode = Mode::Path,
            _ => {}
        }
        if arguments.mode != Mode::Follow {
            words.next();
        }
        while let Some(word) = words.next() {
            let (name, inline) = match word.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(value.to_owned())),
                _ => (word, None),
            };
            let mut value = || inline.clone().or_else(|| words.next()).ok_or(format!("{name} needs a value"));
            match name.as_str() {
                "--help" | "-h" => return Ok(Arguments { mode: Mode::Help, ..arguments }),
                "--once" => arguments.once = true,
                "--source" => arguments.source = value()?,
                "--host" => arguments.host = value()?,
                "--switch" => arguments.switch = Some(value()?),
                "--rundir" => arguments.rundir = Some(PathBuf::from(value()?)),
                "--bridge" => arguments.bridge = Some(value()?),
                "--port" => arguments.ports.push(port(&value()?)?),
                "--from" => arguments.from = value()?,
                "--to" => arguments.to = value()?,
                "--protocol" => arguments.protocol = value()?,
                "--tp-dst" => {
                    let text = value()?;
                    arguments.tp_dst = text.parse().map_err(|_| format!("'{text}' is not a port (0-65535)"))?;
                }
                _ => return Err(format!("'{name}' is not an option")),
            }
        }
        arguments.complete()
    }

    fn complete(self) -> Result<Arguments, String> {
        let needed: &[(&str, &str)] = match self.mode {
            Mode::Path => &[("--source", &self.source), ("--from", &self.from), ("--to", &self.to)],
            _ => &[("--source", &self.source), ("--host", &self.host)],
        };
        if let Some((name, _)) = needed.iter().find(|(_, value)| value.is_empty()) {
            return Err(format!("{name} is missing"));
        }
        Ok(self)
    }

    /// Where `br-int` and `br-tun` are reached.
    pub fn targets(&self) -> Result<[Target; 2], String> {
        if let Some(switch) = &self.switch {
            let (integration, tunnel) =
                switch.split_once(',').ok_or("--switch needs two connections: of br-int, a comma, of br-tun")?;
            return Ok([integration.parse()?, tunnel.parse()?]);
        }
        let default = || std::env::var_os("OVS_RUNDIR").filter(|d| !d.is_empty()).map(PathBuf::from);
        let rundir = self.rundir.clone().or_else(default).unwrap_or_else(|| "/var/run/openvswitch".into());
        Ok(["br-int.mgmt", "br-tun.mgmt"].map(|file| Target::Unix(rundir.join(file))))
    }
}

fn port(text: &str) -> Result<(String, String, u32), String> {
    let parts = text.split_once(':').and_then(|(bridge, rest)| {
        let (name, number) = rest.rsplit_once('=')?;
        Some((bridge.to_owned(), name.to_owned(), number.parse().ok()?))
    });
    parts.ok_or_else(|| format!("'{text}' is not a port; expected BRIDGE:NAME=NUMBER"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Arguments, String> {
        Arguments::parse(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn words_become_values() {
        let a = parse("plan --source file:x --host=h --port br-int:p=3").unwrap();
        assert_eq!((a.mode, a.source.as_str(), a.host.as_str()), (Mode::Plan, "file:x", "h"));
        assert_eq!(a.ports, [("br-int".to_owned(), "p".to_owned(), 3)]);
        let a = parse("--source file:x --host h --switch unix:/a,tcp:b:1").unwrap();
        assert_eq!(a.targets().unwrap().map(|t| t.to_string()), ["unix:/a", "tcp:b:1"]);
        let a = parse("--source file:x --host h --rundir /r").unwrap();
        assert_eq!(a.targets().unwrap()[1].to_string(), "unix:/r/br-tun.mgmt");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, part) in [
            ("--host h", "--source is missing"),
            ("--source file:x", "--host is missing"),
            ("--source file:x --host h --onec", "'--onec' is not an option"),
            ("--source file:x --host", "--host needs a value"),
            ("plan --source file:x --host h --port a=b", "expected BRIDGE:NAME=NUMBER"),
            ("path --source file:x --from a", "--to is missing"),
        ] {
            assert!(parse(text).unwrap_err().contains(part), "{text}");
        }
        let one = parse("--source file:x --host h --switch unix:/a").unwrap();
        assert!(one.targets().unwrap_err().contains("two connections"));
    }
}
