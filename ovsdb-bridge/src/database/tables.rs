//! The rows that we follow.
//!
//! Purpose: a copy of the columns that we asked for, kept true by what the server sends.
//! Invariant: an update that cannot be understood leaves its row as it was and is told.
//! Deliberately does not know: what columns mean.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::datum::{Atom, Datum, Uuid};
use super::schema::Schema;

/// A row: its columns by name. A column that is missing has its default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    columns: BTreeMap<String, Datum>,
}

impl Row {
    /// A column's value.
    pub fn get(&self, column: &str) -> Option<&Datum> {
        self.columns.get(column)
    }

    /// Sets a column.
    pub fn set(&mut self, column: impl Into<String>, value: Datum) {
        self.columns.insert(column.into(), value);
    }

    fn atoms(&self, column: &str) -> impl Iterator<Item = &Atom> {
        let set: Option<&BTreeSet<Atom>> = match self.get(column) {
            Some(Datum::Set(set)) => Some(set),
            _ => None,
        };
        set.into_iter().flatten()
    }

    /// The text of a column, empty when there is none.
    pub fn text(&self, column: &str) -> &str {
        self.optional_text(column).unwrap_or("")
    }

    /// The text of a column, if there is one.
    pub fn optional_text(&self, column: &str) -> Option<&str> {
        self.texts(column).next()
    }

    /// All texts of a column.
    pub fn texts(&self, column: &str) -> impl Iterator<Item = &str> {
        self.atoms(column).filter_map(|a| match a {
            Atom::String(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// The number of a column, if there is one.
    pub fn integer(&self, column: &str) -> Option<i64> {
        self.integers(column).next()
    }

    /// All numbers of a column.
    pub fn integers<'a>(&'a self, column: &str) -> impl Iterator<Item = i64> + use<'a> {
        self.atoms(column).filter_map(|a| match a {
            Atom::Integer(n) => Some(*n),
            _ => None,
        })
    }

    /// The truth value of a column, if there is one.
    pub fn flag(&self, column: &str) -> Option<bool> {
        self.atoms(column).find_map(|a| match a {
            Atom::Boolean(b) => Some(*b),
            _ => None,
        })
    }

    /// All rows that a column refers to.
    pub fn references<'a>(&'a self, column: &str) -> impl Iterator<Item = Uuid> + use<'a> {
        self.atoms(column).filter_map(|a| match a {
            Atom::Uuid(id) => Some(*id),
            _ => None,
        })
    }

    /// A map's value for a text.
    pub fn entry(&self, column: &str, key: &str) -> Option<&str> {
        self.entries(column).find(|(k, _)| *k == key).map(|(_, v)| v)
    }

    /// All texts by texts of a map.
    pub fn entries<'a>(&'a self, column: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.pairs(column).filter_map(|pair| match pair {
            (Atom::String(k), Atom::String(v)) => Some((k.as_str(), v.as_str())),
            _ => None,
        })
    }

    /// All pairs of a map.
    pub fn pairs<'a>(&'a self, column: &str) -> impl Iterator<Item = (&'a Atom, &'a Atom)> {
        let map = match self.get(column) {
            Some(Datum::Map(map)) => Some(map),
            _ => None,
        };
        map.into_iter().flatten()
    }
}

/// All rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    tables: BTreeMap<String, BTreeMap<Uuid, Row>>,
}

impl Tables {
    /// The rows of a table.
    pub fn rows(&self, table: &str) -> impl Iterator<Item = (Uuid, &Row)> {
        self.tables.get(table).into_iter().flatten().map(|(id, row)| (*id, row))
    }

    /// A row.
    pub fn row(&self, table: &str, id: Uuid) -> Option<&Row> {
        self.tables.get(table)?.get(&id)
    }

    /// Adds or replaces a row.
    pub fn insert(&mut self, table: impl Into<String>, id: Uuid, row: Row) {
        self.tables.entry(table.into()).or_default().insert(id, row);
    }

    /// Takes in updates in the form of `monitor` (whole old and new rows).
    pub fn update(&mut self, updates: &Value, complaints: &mut Vec<String>) {
        for_each_row(updates, complaints, |table, id, change, complaints| {
            match change.get("new") {
                Some(Value::Object(columns)) => {
                    let row = self.tables.entry(table.to_string()).or_default().entry(id).or_default();
                    set_all(row, columns, table, id, complaints);
                }
                _ => {
                    self.tables.entry(table.to_string()).or_default().remove(&id);
                }
            }
        });
    }

    /// Takes in updates in the form of `monitor_cond` (differences).
    pub fn update2(&mut self, updates: &Value, schema: &Schema, complaints: &mut Vec<String>) {
        for_each_row(updates, complaints, |table, id, change, complaints| {
            let rows = self.tables.entry(table.to_string()).or_default();
            if change.contains_key("delete") {
                rows.remove(&id);
                return;
            }
            let whole = change.get("initial").or_else(|| change.get("insert"));
            if let Some(Value::Object(columns)) = whole {
                let mut row = Row::default();
                set_all(&mut row, columns, table, id, complaints);
                rows.insert(id, row);
            } else if let Some(Value::Object(columns)) = change.get("modify") {
                let row = rows.entry(id).or_default();
                modify(row, columns, table, id, schema, complaints);
            }
        });
    }
}

fn for_each_row(
    updates: &Value,
    complaints: &mut Vec<String>,
    mut take: impl FnMut(&str, Uuid, &Map<String, Value>, &mut Vec<String>),
) {
    let Some(tables) = updates.as_object() else {
        return complaints.push("an update is not an object".to_string());
    };
    for (table, rows) in tables {
        let Some(rows) = rows.as_object() else {
            complaints.push(format!("{table}: an update is not an object"));
            continue;
        };
        for (name, change) in rows {
            match (Uuid::parse(name), change.as_object()) {
                (Some(id), Some(change)) => take(table, id, change, complaints),
                _ => complaints.push(format!("{table}: the update of row \"{name}\" cannot be understood")),
            }
        }
    }
}

fn set_all(row: &mut Row, columns: &Map<String, Value>, table: &str, id: Uuid, complaints: &mut Vec<String>) {
    for (column, value) in columns {
        match Datum::read(value) {
            Some(value) => row.set(column.as_str(), value),
            None => complaints.push(format!("{table} {id}: the value of column \"{column}\" cannot be understood")),
        }
    }
}

fn modify(
    row: &mut Row,
    columns: &Map<String, Value>,
    table: &str,
    id: Uuid,
    schema: &Schema,
    complaints: &mut Vec<String>,
) {
    for (column, value) in columns {
        let Some(value) = Datum::read(value) else {
            complaints.push(format!("{table} {id}: the value of column \"{column}\" cannot be understood"));
            continue;
        };
        match row.columns.get_mut(column) {
            Some(old) if schema.has_many(table, column) => old.differ(&value),
            _ => row.set(column.as_str(), value),
        }
    }
}
