//! The command line of `appctl`.
//!
//! Purpose: options before the command only, because commands have options of their own.
//! Deliberately does not know: which commands there are.

use std::time::Duration;

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// Help.
    Help,
    /// The version.
    Version,
    /// A command for a daemon.
    Ask(Options),
}

/// Whom to ask what.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    pub target: String,
    pub timeout: Option<Duration>,
    pub command: String,
    pub arguments: Vec<String>,
}

const LONG: [&str; 8] = ["target", "timeout", "help", "version", "verbose", "log-file", "syslog-target", "syslog-method"];

pub(super) fn parse(words: &[String]) -> Result<Request, String> {
    let mut rest = words.iter();
    let (mut target, mut timeout) = ("ovs-vswitchd".to_string(), None);
    while let Some(word) = rest.clone().next().filter(|w| w.starts_with('-') && w.len() > 1) {
        rest.next();
        if word == "--" {
            break;
        }
        let (option, inline) = split(word)?;
        let mut value = || {
            let value = inline.clone().or_else(|| rest.next().cloned());
            value.ok_or_else(|| match option.as_str() {
                "target" if !word.starts_with("--") => "option requires an argument -- 't'".to_string(),
                "timeout" if !word.starts_with("--") => "option requires an argument -- 'T'".to_string(),
                long => format!("option '--{long}' requires an argument"),
            })
        };
        match option.as_str() {
            "target" => target = value()?,
            "timeout" => timeout = Some(seconds(&value()?)?),
            "help" => return Ok(Request::Help),
            "version" => return Ok(Request::Version),
            "syslog-target" | "syslog-method" => _ = value()?,
            // They say what the command line itself logs, which is nothing.
            _ => {}
        }
    }
    let command = rest.next().cloned().ok_or("at least one non-option argument is required (use --help for help)")?;
    Ok(Request::Ask(Options { target, timeout, command, arguments: rest.cloned().collect() }))
}

/// The long name of an option and the value in the same word.
fn split(word: &str) -> Result<(String, Option<String>), String> {
    if let Some(long) = word.strip_prefix("--") {
        let (name, value) = long.split_once('=').map_or((long, None), |(n, v)| (n, Some(v.to_string())));
        let mut fitting = LONG.iter().filter(|l| l.starts_with(name));
        let exact = LONG.iter().find(|l| **l == name);
        return match (exact, fitting.next(), fitting.next()) {
            (Some(exact), _, _) => Ok((exact.to_string(), value)),
            (None, Some(only), None) => Ok((only.to_string(), value)),
            (None, Some(_), Some(_)) => Err(format!("option '--{name}' is ambiguous")),
            _ => Err(format!("unrecognized option '--{name}'")),
        };
    }
    let mut letters = word.chars().skip(1);
    let letter = letters.next().unwrap_or('-');
    let value = Some(letters.collect::<String>()).filter(|v| !v.is_empty());
    let long = match letter {
        't' => "target",
        'T' => "timeout",
        'h' => "help",
        'V' => "version",
        'v' => "verbose",
        other => return Err(format!("invalid option -- '{other}'")),
    };
    Ok((long.to_string(), value))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<u32>().ok().filter(|s| *s > 0);
    let seconds = seconds.ok_or_else(|| format!("value {text} on -T or --timeout is invalid"))?;
    Ok(Duration::from_secs(u64::from(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Result<Request, String> {
        parse(&text.split_whitespace().map(str::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn options_of_the_command_are_not_ours() {
        for text in ["-t x -T 5 exit --cleanup", "--target=x --time 5 exit --cleanup", "-tx -T5 -vdbg -- exit --cleanup"] {
            let Ok(Request::Ask(options)) = words(text) else { panic!("{text}") };
            assert_eq!((options.target.as_str(), options.timeout), ("x", Some(Duration::from_secs(5))));
            assert_eq!((options.command.as_str(), options.arguments), ("exit", vec!["--cleanup".to_string()]));
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(words("--foo"), Err("unrecognized option '--foo'".into()));
        assert_eq!(words("-t"), Err("option requires an argument -- 't'".into()));
        assert_eq!(words("-T x version"), Err("value x on -T or --timeout is invalid".into()));
        assert!(words("").unwrap_err().contains("at least one"));
    }
}
