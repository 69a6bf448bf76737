//! The command line of `sluiced`.
//!
//! Purpose: options in the GNU manner, and an error that says which word was wrong.
//! Deliberately does not know: what the options bring about.

use std::path::PathBuf;

use crate::stream::target::run_directory;

/// What `--help` prints.
pub const USAGE: &str = "\
usage: sluiced --config FILE.toml [--rundir DIR] [--log-level LEVEL]

  --config FILE.toml   bridges, ports and tunnels of this node
  --rundir DIR         where sockets go (default: $OVS_RUNDIR, else /var/run/openvswitch)
  --log-level LEVEL    error, warn, info (default) or debug, on standard error
  --help               this text
  --version            the version

SIGHUP reads the configuration again, SIGTERM and SIGINT end the daemon.
";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// Run.
    Run(Args),
    /// Print [`USAGE`].
    Help,
    /// Print the version.
    Version,
}

/// How to run.
#[derive(Debug, PartialEq, Eq)]
pub struct Args {
    /// The configuration file.
    pub config: PathBuf,
    /// Where sockets go.
    pub rundir: PathBuf,
    /// Least important messages that are still written.
    pub log_level: super::log::Level,
}

/// Reads the words after the program's name.
pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Request, String> {
    let mut words = words.into_iter();
    let (mut config, mut rundir) = (None, None);
    let mut log_level = super::log::Level::Info;
    while let Some(word) = words.next() {
        let (option, inline) = match word.split_once('=') {
            Some((option, value)) => (option.to_string(), Some(value.to_string())),
            None => (word, None),
        };
        let mut value = || {
            inline.clone().or_else(|| words.next()).ok_or_else(|| format!("option '{option}' needs a value"))
        };
        match option.as_str() {
            "--config" => config = Some(PathBuf::from(value()?)),
            "--rundir" => rundir = Some(value()?),
            "--log-level" => log_level = super::log::Level::from_name(&value()?)?,
            "--help" | "-h" => return Ok(Request::Help),
            "--version" | "-V" => return Ok(Request::Version),
            _ => return Err(format!("unknown option '{option}'; use --help for help")),
        }
    }
    let config = config.ok_or("--config FILE.toml is missing; use --help for help")?;
    Ok(Request::Run(Args { config, rundir: run_directory(rundir.as_deref()), log_level }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Result<Request, String> {
        parse(text.split_whitespace().map(str::to_string))
    }

    #[test]
    fn both_ways_to_give_a_value_work() {
        for text in ["--config a.toml --rundir /r", "--config=a.toml --rundir=/r"] {
            let Ok(Request::Run(args)) = words(text) else { panic!("{text}") };
            assert_eq!((args.config, args.rundir), ("a.toml".into(), "/r".into()));
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(words("--confg x").unwrap_err().contains("'--confg'"));
        assert!(words("").unwrap_err().contains("--config"));
        assert!(words("--config").unwrap_err().contains("needs a value"));
        assert!(words("--config a --log-level loud").unwrap_err().contains("loud"));
    }
}
