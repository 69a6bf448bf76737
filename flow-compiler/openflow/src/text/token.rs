//! Pieces of a text that know where they are, and how a text falls into keys and values.
//!
//! Purpose: split as `ovs-ofctl` does, and remember columns for errors.
//! Invariant: a token is always a slice of its source at character boundaries.
//! Deliberately does not know: what any key means.

use super::error::TextError;

/// A slice of a text that remembers where it comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    source: &'a str,
    start: usize,
    end: usize,
}

const SPACE: &[char] = &[' ', '\t', '\r', '\n'];

impl<'a> Token<'a> {
    pub fn new(source: &'a str) -> Token<'a> {
        Token {
            source,
            start: 0,
            end: source.len(),
        }
    }

    pub fn text(self) -> &'a str {
        self.source.get(self.start..self.end).unwrap_or("")
    }

    pub fn is_empty(self) -> bool {
        self.text().is_empty()
    }

    /// The first `n` bytes, and the rest. `n` comes from a search in this token's text.
    pub fn split_at(self, n: usize) -> (Token<'a>, Token<'a>) {
        let n = n.min(self.end - self.start);
        let middle = self.start + n;
        (
            Token {
                end: middle,
                ..self
            },
            Token {
                start: middle,
                ..self
            },
        )
    }

    /// Without its first `n` bytes.
    pub fn skip(self, n: usize) -> Token<'a> {
        self.split_at(n).1
    }

    /// What stands before and behind the first `separator`.
    pub fn split_once(self, separator: &str) -> Option<(Token<'a>, Token<'a>)> {
        let at = self.text().find(separator)?;
        let (before, rest) = self.split_at(at);
        Some((before, rest.skip(separator.len())))
    }

    /// Up to the first of the characters, and what stands behind it (`None` when there is none).
    pub fn split_any(self, separators: &[char]) -> (Token<'a>, Option<Token<'a>>) {
        match self.text().find(separators) {
            Some(at) => (self.split_at(at).0, Some(self.skip(at + 1))),
            None => (self, None),
        }
    }

    /// From the start of this token to the end of another one behind it.
    pub fn through(self, last: Token<'a>) -> Token<'a> {
        Token {
            end: last.end.max(self.end),
            ..self
        }
    }

    /// Without white space in front.
    pub fn trim_start(self) -> Token<'a> {
        let text = self.text();
        self.skip(text.len() - text.trim_start_matches(SPACE).len())
    }

    /// Parts between any of the characters, empty ones left out.
    pub fn words(self, separators: &'a [char]) -> impl Iterator<Item = Token<'a>> {
        let mut rest = Some(self);
        std::iter::from_fn(move || loop {
            let (word, after) = rest?.split_any(separators);
            rest = after;
            if !word.is_empty() {
                return Some(word);
            }
        })
    }

    /// An error about this token.
    pub fn error(self, message: impl Into<String>) -> TextError {
        let before = self.source.get(..self.start).unwrap_or("");
        TextError {
            column: before.chars().count() + 1,
            token: self.text().chars().take(TextError::LONGEST_TOKEN).collect(),
            message: message.into(),
            note: None,
        }
    }

    /// The keys and values in it.
    pub fn pairs(self) -> Pairs<'a> {
        Pairs { rest: self }
    }
}

/// `key`, `key=value`, `key:value`, `key(value)` and `key(value)->target`, separated by commas and
/// white space; parentheses nest.
pub(super) struct Pairs<'a> {
    rest: Token<'a>,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (Token<'a>, Token<'a>);

    fn next(&mut self) -> Option<(Token<'a>, Token<'a>)> {
        // All delimiters are ASCII, so bytes will do.
        let between = |b: u8| matches!(b, b',' | b' ' | b'\t' | b'\r' | b'\n');
        let mut bytes = self.rest.text().bytes();
        let start = bytes.position(|b| !between(b))?;
        self.rest = self.rest.skip(start);
        let ends_key = |b: u8| between(b) || matches!(b, b':' | b'=' | b'(');
        let end = self.rest.text().bytes().position(ends_key);
        let (key, rest) = self.rest.split_at(end.unwrap_or(usize::MAX));
        let delimiter = rest.text().bytes().next();
        let (nothing, _) = rest.split_at(0);
        let rest = rest.skip(1);
        let value_len = match delimiter {
            Some(b':' | b'=') => value_length(rest.text(), b", \t\r\n"),
            Some(b'(') => parenthesis_length(rest.text()),
            _ => {
                self.rest = rest;
                return Some((key, nothing));
            }
        };
        let (value, rest) = rest.split_at(value_len);
        self.rest = rest.skip(1);
        Some((key, value))
    }
}

/// Length of what stands in parentheses; with `)->…` behind it, of that too.
fn parenthesis_length(text: &str) -> usize {
    let n = value_length(text, b")");
    match text.get(n..) {
        Some(rest) if rest.starts_with(")->") => n + value_length(rest, b", \t\r\n"),
        _ => n,
    }
}

/// Bytes before the first delimiter that is not inside parentheses.
fn value_length(text: &str, delimiters: &[u8]) -> usize {
    let mut depth = 0usize;
    for (i, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' if depth > 0 => depth -= 1,
            _ if depth == 0 && delimiters.contains(&byte) => return i,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(&str, &str)> {
        Token::new(text)
            .pairs()
            .map(|(k, v)| (k.text(), v.text()))
            .collect()
    }

    #[test]
    fn texts_fall_into_keys_and_values() {
        let cases: &[(&str, &[(&str, &str)])] = &[
            ("", &[]),
            (" ,, ", &[]),
            ("ip", &[("ip", "")]),
            (
                "ip,nw_src=10.0.0.0/8 tcp",
                &[("ip", ""), ("nw_src", "10.0.0.0/8"), ("tcp", "")],
            ),
            ("output:1,2", &[("output", "1"), ("2", "")]),
            (
                "ct(commit,exec(load:1->x[])),drop",
                &[("ct", "commit,exec(load:1->x[])"), ("drop", "")],
            ),
            ("a=b(c,d)e,f", &[("a", "b(c,d)e"), ("f", "")]),
            (
                "check(5)->reg0[1],x",
                &[("check", "5)->reg0[1]"), ("x", "")],
            ),
            ("open(a,b", &[("open", "a,b")]),
            ("=5", &[("", "5")]),
            ("key=", &[("key", "")]),
            ("é=ü", &[("é", "ü")]),
        ];
        for (text, expected) in cases {
            assert_eq!(pairs(text), *expected, "{text}");
        }
    }

    #[test]
    fn errors_count_characters_from_one() {
        let token = Token::new("é,abc").split_once(",").map(|t| t.1);
        let error = token.map(|t| t.error("bad"));
        assert_eq!(
            error.map(|e| (e.column, e.token)),
            Some((3, "abc".to_string()))
        );
    }
}
