//! Columns that we report.
//!
//! Purpose: only what differs from what was written before is written again.
//! Invariant: a value counts as written once it was handed out; [`Writer::forget`] makes everything
//! be written anew, after a transaction failed or the server was another one.
//! Deliberately does not know: what columns mean.

use std::collections::HashMap;

use serde_json::{json, Map, Value};

use super::datum::{Datum, Uuid};
use super::schema::Schema;

/// What was written, and what is to be.
#[derive(Debug, Default)]
pub struct Writer {
    written: HashMap<(&'static str, Uuid), HashMap<&'static str, Datum>>,
    pending: Vec<(&'static str, Uuid, Map<String, Value>)>,
}

impl Writer {
    /// Wants columns of a row to have these values. Columns that the schema lacks are left out.
    pub fn want(&mut self, schema: &Schema, table: &'static str, id: Uuid, columns: impl IntoIterator<Item = (&'static str, Datum)>) {
        let written = self.written.entry((table, id)).or_default();
        let mut changes = Map::new();
        for (column, value) in columns {
            if written.get(column) == Some(&value) || !schema.has(table, column) {
                continue;
            }
            changes.insert(column.to_string(), value.write());
            written.insert(column, value);
        }
        if !changes.is_empty() {
            self.pending.push((table, id, changes));
        }
    }

    /// The operations that write what is wanted.
    pub fn take(&mut self) -> Vec<Value> {
        let update = |(table, id, row): (&str, Uuid, Map<String, Value>)| {
            json!({ "op": "update", "table": table, "where": [["_uuid", "==", ["uuid", id.to_string()]]], "row": row })
        };
        self.pending.drain(..).map(update).collect()
    }

    /// Everything has to be written anew.
    pub fn forget(&mut self) {
        self.written.clear();
        self.pending.clear();
    }

    /// Only these rows exist still.
    pub fn retain(&mut self, exists: impl Fn(&str, Uuid) -> bool) {
        self.written.retain(|(table, id), _| exists(table, *id));
    }
}
