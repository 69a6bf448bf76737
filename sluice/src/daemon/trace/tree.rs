//! What happened to a packet, as a tree that is printed in the end.
//!
//! Purpose: Open vSwitch's layout: tables on the left where nothing follows them, actions inside
//! tables, remarks inside actions.
//! Deliberately does not know: what the lines say.

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A bridge that the packet enters.
    Bridge,
    /// A rule that it meets.
    Table,
    /// Processing that goes on.
    Thaw,
    /// An action.
    Action,
    /// A bucket of a group.
    Bucket,
    /// A remark.
    Detail,
    /// A warning.
    Warn,
    /// An error.
    Error,
}

impl Kind {
    /// Its line is always further right than what it is part of.
    const fn is_leaf(self) -> bool {
        matches!(self, Kind::Action | Kind::Detail | Kind::Warn | Kind::Error | Kind::Bucket)
    }
}

struct Node {
    kind: Kind,
    text: String,
    children: Vec<usize>,
}

/// Most lines of a tree; a packet in circles is cut off there.
const LINES: usize = 20_000;

/// The tree, and the place where lines are added.
pub(super) struct Tree {
    nodes: Vec<Node>,
    top: Vec<usize>,
    /// Where lines go; `None` for the top.
    pub at: Option<usize>,
}

impl Tree {
    pub fn new() -> Tree {
        Tree { nodes: Vec::new(), top: Vec::new(), at: None }
    }

    /// Adds a line; gives the place inside of it.
    pub fn add(&mut self, kind: Kind, text: impl Into<String>) -> Option<usize> {
        if self.nodes.len() >= LINES {
            return self.at;
        }
        let id = self.nodes.len();
        self.nodes.push(Node { kind, text: text.into(), children: Vec::new() });
        match self.at.and_then(|at| self.nodes.get_mut(at)) {
            Some(parent) => parent.children.push(id),
            None => self.top.push(id),
        }
        Some(id)
    }

    /// The lines.
    pub fn print(&self) -> String {
        let mut out = String::new();
        self.print_some(&self.top, 0, &mut out);
        if self.nodes.len() >= LINES {
            out.push_str("(the rest is not shown)\n");
        }
        out
    }

    fn print_some(&self, ids: &[usize], level: usize, out: &mut String) {
        for (i, node) in ids.iter().filter_map(|id| self.nodes.get(*id)).enumerate() {
            let deeper = usize::from(i + 1 < ids.len() || node.kind.is_leaf());
            let margin = " ".repeat((level + deeper) * 4);
            let text = &node.text;
            match node.kind {
                Kind::Bridge => *out += &format!("\n{margin}{text}\n{margin}{}\n", "-".repeat(text.len())),
                Kind::Detail => *out += &format!("{margin} -> {text}\n"),
                Kind::Warn => *out += &format!("{margin} >> {text}\n"),
                Kind::Error => *out += &format!("{margin} >>>> {text} <<<<\n"),
                Kind::Table | Kind::Bucket | Kind::Thaw | Kind::Action => *out += &format!("{margin}{text}\n"),
            }
            self.print_some(&node.children, level + 2 * deeper, out);
        }
    }
}
