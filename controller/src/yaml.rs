//! YAML text as a tree in which every node knows its line and column.
//!
//! Purpose: let the reader of a cloud file say where a mistake is. Scalars stay text: what a value
//! means is decided by who reads it, so that no value changes its type by how it looks.
//! Invariant: total on any text; depth and number of nodes are bounded.
//! Deliberately does not know: which keys exist.

use saphyr_parser::{Event, Parser, Span};

/// Nesting beyond this is refused.
const MAX_DEPTH: usize = 32;
/// More nodes than this are refused.
const MAX_NODES: usize = 8_000_000;

/// A place in a file, counted from 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
}

/// What is wrong, and where.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}:{}: {}", .at.line, .at.column, .what)]
pub struct Mistake {
    /// Where.
    pub at: Position,
    /// What was expected and what was found.
    pub what: String,
}

impl Mistake {
    /// A mistake at a place.
    pub fn new(at: Position, what: impl Into<String>) -> Mistake {
        Mistake { at, what: what.into() }
    }
}

/// A node of the tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// Where it begins.
    pub at: Position,
    /// What it is.
    pub value: Value,
}

/// What a node is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// Text. `plain` tells that it was not quoted, so that `~` and nothing mean "absent".
    Scalar {
        /// The text, unescaped.
        text: String,
        /// Written without quotes.
        plain: bool,
    },
    /// `- a`.
    List(Vec<Node>),
    /// `key: value`, in the order given. Keys are distinct.
    Map(Vec<(Key, Node)>),
}

/// A key of a map.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Key {
    /// Where it is.
    pub at: Position,
    /// Its text.
    pub text: String,
}

impl Node {
    /// True for `~`, `null` and nothing at all.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null"))
    }

    /// What the node looks like, for messages.
    pub fn describe(&self) -> String {
        match &self.value {
            _ if self.is_null() => "nothing".to_owned(),
            Value::Scalar { text, .. } => format!("'{}'", shorten(text)),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
        }
    }
}

fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// A collection that is still open.
enum Open {
    List(Position, Vec<Node>),
    Map(Position, Vec<(Key, Node)>, Option<Key>),
}

/// Reads one document. An empty one is a null scalar.
pub fn parse(text: &str) -> Result<Node, Mistake> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) =
            event.map_err(|e| Mistake::new(place(e.marker().line(), e.marker().col()), e.info().to_owned()))?;
        builder.take(event, position(&span))?;
    }
    let empty = Node { at: place(1, 0), value: Value::Scalar { text: String::new(), plain: true } };
    Ok(builder.root.unwrap_or(empty))
}

fn place(line: usize, column: usize) -> Position {
    Position { line: line.max(1), column: column + 1 }
}

fn position(span: &Span) -> Position {
    place(span.start.line(), span.start.col())
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, at: Position) -> Result<(), Mistake> {
        match event {
            Event::Alias(_) => Err(Mistake::new(at, "aliases (*name) are not understood here; write the value out")),
            Event::Scalar(text, style, anchor, tag) => {
                refuse_anchor(anchor, tag.is_some(), at)?;
                let plain = style == saphyr_parser::ScalarStyle::Plain;
                self.place(Node { at, value: Value::Scalar { text: text.into_owned(), plain } })
            }
            Event::SequenceStart(anchor, tag) => {
                refuse_anchor(anchor, tag.is_some(), at)?;
                self.descend(Open::List(at, Vec::new()), at)
            }
            Event::MappingStart(anchor, tag) => {
                refuse_anchor(anchor, tag.is_some(), at)?;
                self.descend(Open::Map(at, Vec::new(), None), at)
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List(at, items)) => self.place(Node { at, value: Value::List(items) }),
                Some(Open::Map(at, items, _)) => self.place(Node { at, value: Value::Map(items) }),
                None => Ok(()),
            },
            Event::DocumentStart(_) if self.root.is_some() => {
                Err(Mistake::new(at, "expected one document; found a second one"))
            }
            _ => Ok(()),
        }
    }

    fn descend(&mut self, open: Open, at: Position) -> Result<(), Mistake> {
        if self.open.len() >= MAX_DEPTH {
            return Err(Mistake::new(at, format!("nested more than {MAX_DEPTH} levels deep")));
        }
        self.open.push(open);
        Ok(())
    }

    fn place(&mut self, node: Node) -> Result<(), Mistake> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Mistake::new(node.at, format!("more than {MAX_NODES} values in one file")));
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List(_, items)) => items.push(node),
            Some(Open::Map(_, items, key)) => match key.take() {
                None => *key = Some(as_key(node, items)?),
                Some(key) => items.push((key, node)),
            },
        }
        Ok(())
    }
}

fn refuse_anchor(anchor: usize, tagged: bool, at: Position) -> Result<(), Mistake> {
    if anchor != 0 {
        return Err(Mistake::new(at, "anchors (&name) are not understood here; write the value out"));
    }
    if tagged {
        return Err(Mistake::new(at, "tags (!name) are not understood here; leave the tag out"));
    }
    Ok(())
}

fn as_key(node: Node, others: &[(Key, Node)]) -> Result<Key, Mistake> {
    let Value::Scalar { text, .. } = node.value else {
        return Err(Mistake::new(node.at, "expected a key, found a list or map"));
    };
    if let Some((first, _)) = others.iter().find(|(k, _)| k.text == text) {
        let line = first.at.line;
        return Err(Mistake::new(node.at, format!("key '{}' is given twice; first on line {line}", shorten(&text))));
    }
    Ok(Key { at: node.at, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_knows_where_it_is() {
        let root = parse("a: 1\nb:\n  - x\n  - {c: '~'}\n").unwrap();
        let Value::Map(items) = &root.value else { panic!() };
        assert_eq!(items[1].0.at, Position { line: 2, column: 1 });
        let Value::List(list) = &items[1].1.value else { panic!() };
        assert_eq!(list[0].at, Position { line: 3, column: 5 });
        let Value::Map(inner) = &list[1].value else { panic!() };
        assert!(!inner[0].1.is_null(), "a quoted tilde is text");
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_its_place() {
        for (text, line, column, part) in [
            ("a: 1\na: 2\n", 2, 1, "given twice; first on line 1"),
            ("a: &x 1\nb: *x\n", 1, 4, "anchors"),
            ("a: !int 1\n", 1, 4, "tags"),
            ("a: [1\n", 2, 1, ""),
            ("a\n---\nb\n", 2, 1, "one document"),
        ] {
            let mistake = parse(text).unwrap_err();
            assert_eq!((mistake.at.line, mistake.at.column), (line, column), "{text:?}: {mistake}");
            assert!(mistake.what.contains(part), "{text:?}: {mistake}");
        }
        assert!(parse(&"[".repeat(100)).unwrap_err().what.contains("levels deep"));
    }

    proptest::proptest! {
        #[test]
        fn any_text_gives_a_tree_or_a_mistake(text in "[-a-c:&*!\\[\\]{}'\"#| \n\t,?~>%@é]{0,80}") {
            let _ = parse(&text);
        }
    }
}
