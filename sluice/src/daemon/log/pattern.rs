//! What a line looks like.
//!
//! Purpose: the patterns of `vlog/set PATTERN:...`: `%D %d %N %c %p %m %A %P %t %T %E %B %n %%`.
//! Invariant: an unknown letter is kept as it is; no pattern makes a line fail.
//! Deliberately does not know: where the line goes.

use super::level::Level;
use super::time::{civil, utc};

/// What a line consists of.
pub struct Line<'a> {
    /// Seconds since 1970 and milliseconds.
    pub time: (u64, u32),
    /// Number of the line.
    pub number: u64,
    /// Who wrote it.
    pub module: &'a str,
    /// How important it is.
    pub level: Level,
    /// The words.
    pub text: &'a str,
    /// Name of the program.
    pub program: &'a str,
}

/// What is between `%` and the letter.
#[derive(Default)]
struct Width {
    left: bool,
    zero: bool,
    width: usize,
}

impl Width {
    fn pad(&self, text: &str) -> String {
        let missing = self.width.saturating_sub(text.chars().count());
        match (self.left, self.zero) {
            (true, _) => format!("{text}{}", " ".repeat(missing)),
            (false, true) => format!("{}{text}", "0".repeat(missing)),
            (false, false) => format!("{}{text}", " ".repeat(missing)),
        }
    }
}

/// Widest field; wider ones are cut to it.
const WIDEST: usize = 256;

/// The line in this form.
pub fn expand(pattern: &str, line: &Line<'_>) -> String {
    let mut out = String::with_capacity(line.text.len() + 64);
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut width = Width::default();
        while let Some(&c) = rest.peek() {
            match c {
                '-' => width.left = true,
                '0' if width.width == 0 => width.zero = true,
                '0'..='9' => width.width = (width.width * 10 + c as usize - '0' as usize).min(WIDEST),
                _ => break,
            }
            rest.next();
        }
        let Some(letter) = rest.next() else { break };
        let argument = match rest.peek() {
            Some('{') => Some(rest.by_ref().skip(1).take_while(|c| *c != '}').collect::<String>()),
            _ => None,
        };
        out.push_str(&width.pad(&field(letter, argument.as_deref(), line)));
    }
    out
}

fn field(letter: char, argument: Option<&str>, line: &Line<'_>) -> String {
    match letter {
        'A' => line.program.to_string(),
        'B' => (24 + line.level.severity()).to_string(),
        'c' => line.module.to_string(),
        'd' | 'D' => date(argument, line.time),
        'E' => std::fs::read_to_string("/etc/hostname").map_or_else(|_| "-".to_string(), |n| n.trim().to_string()),
        'm' => line.text.to_string(),
        'N' => line.number.to_string(),
        'n' => "\n".to_string(),
        'p' => line.level.name().to_string(),
        'P' => std::process::id().to_string(),
        't' => "main".to_string(),
        'T' => String::new(),
        '%' => "%".to_string(),
        other => format!("%{other}"),
    }
}

/// A date in the letters of `strftime` that log patterns use, and `###` for milliseconds.
fn date(format: Option<&str>, (seconds, millis): (u64, u32)) -> String {
    let Some(format) = format else { return utc(seconds, millis) };
    let (year, month, day) = civil((seconds / 86_400) as i64);
    let rest = seconds % 86_400;
    let mut out = String::new();
    let mut letters = format.chars();
    while let Some(c) = letters.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        match letters.next() {
            Some('Y') => out += &format!("{year:04}"),
            Some('m') => out += &format!("{month:02}"),
            Some('d') => out += &format!("{day:02}"),
            Some('e') => out += &format!("{day:2}"),
            Some('b') => out += super::syslog::month(month),
            Some('H') => out += &format!("{:02}", rest / 3600),
            Some('M') => out += &format!("{:02}", rest / 60 % 60),
            Some('S') => out += &format!("{:02}", rest % 60),
            Some('T') => out += &format!("{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60),
            Some('s') => out += &seconds.to_string(),
            Some('Z') => out += "UTC",
            Some('z') => out += "+0000",
            Some(other) => out.extend(['%', other]),
            None => out.push('%'),
        }
    }
    out.replacen("###", &format!("{millis:03}"), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_pattern_gives_the_usual_line() {
        let line = Line { time: (0, 7), number: 12, module: "bridge", level: Level::Warn, text: "hm", program: "x" };
        let usual = "%D{%Y-%m-%dT%H:%M:%S.###Z}|%05N|%c%T|%p|%m";
        assert_eq!(expand(usual, &line), "1970-01-01T00:00:00.007Z|00012|bridge|WARN|hm");
        assert_eq!(expand("%-6p|%8c|%%%q%", &line), "WARN  |  bridge|%%q");
    }
}
