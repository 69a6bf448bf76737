//! Tables, printed.
//!
//! Purpose: counters and abilities of tables; runs of tables that are alike become "ditto".
//! Deliberately does not know: rules.

use super::bits::{write_bits, write_grouped};
use super::group::write_actions;
use crate::field::{Field, OxmId};
use crate::message::{TableDesc, TableMod, TableStats, Vacancy};
use crate::text::Names;
use crate::version::Version;
use std::fmt::Write;

const EVICTION: u32 = 4;
const VACANCY: u32 = 8;

pub(super) fn tables(out: &mut String, v: Version, tables: &[TableStats]) {
    let mut ditto: Option<(u8, u8)> = None;
    let mut last: Option<&TableStats> = None;
    for t in tables {
        let same_counts = last.is_some_and(|l| counts(l) == counts(t));
        let same_abilities = last.is_some_and(|l| abilities(l) == abilities(t));
        last = Some(t);
        if same_counts && same_abilities && t.name.is_empty() {
            ditto = Some((ditto.map_or(t.table, |(first, _)| first), t.table));
            continue;
        }
        write_ditto(out, ditto.take());
        table(out, v, t, same_counts, same_abilities);
    }
    write_ditto(out, ditto);
}

fn counts(t: &TableStats) -> (u32, u64, u64) {
    (t.active, t.lookups, t.matched)
}

fn abilities(t: &TableStats) -> (u32, u32, &[u8]) {
    (t.max_entries, t.config, &t.abilities)
}

fn write_ditto(out: &mut String, ditto: Option<(u8, u8)>) {
    let _ = match ditto {
        None => Ok(()),
        Some((a, b)) if a == b => writeln!(out, "\n  table {a}: ditto"),
        Some((a, b)) => writeln!(out, "\n  tables {a}...{b}: ditto"),
    };
}

fn table(out: &mut String, v: Version, t: &TableStats, same_counts: bool, same: bool) {
    let _ = write!(out, "\n  table {}", t.table);
    if !t.name.is_empty() {
        let _ = write!(out, " (\"{}\")", t.name);
    }
    out.push(':');
    if same_counts && same {
        out.push_str(" ditto");
        return;
    }
    let (active, lookups, matched) = counts(t);
    let _ = writeln!(out, "\n    active={active}, lookup={lookups}, matched={matched}");
    let any = t.max_entries != 0 || t.config != 0 || !t.abilities.is_empty();
    if same {
        if any {
            out.push_str("    (same features)\n");
        }
        return;
    }
    match v {
        Version::V10 => abilities10(out, t),
        Version::V11 => abilities11(out, t),
        Version::V12 => abilities12(out, t),
        _ => {}
    }
}

fn write_max(out: &mut String, t: &TableStats) {
    if t.max_entries != 0 {
        let _ = writeln!(out, "    max_entries={}", t.max_entries);
    }
}

fn write_matching(out: &mut String, fields: &[&str]) {
    if !fields.is_empty() {
        out.push_str("    matching:\n      exact match or wildcard: ");
        write_grouped(out, fields);
        out.push('\n');
    }
}

/// Wildcard bits of 1.0, in the order of the fields.
const FIELDS_10: [(u32, &str); 12] = [
    (1 << 0, "in_port"),
    (1 << 2, "eth_src"),
    (1 << 3, "eth_dst"),
    (1 << 4, "eth_type"),
    (1 << 1, "vlan_vid"),
    (1 << 20, "vlan_pcp"),
    (0x3f << 8, "ip_src"),
    (0x3f << 14, "ip_dst"),
    (1 << 5, "nw_proto"),
    (1 << 21, "nw_tos"),
    (1 << 6, "tcp_src"),
    (1 << 7, "tcp_dst"),
];

/// The big-endian words of the abilities, as wide as asked for.
fn word(t: &TableStats, at: usize, len: usize) -> u64 {
    let bytes = t.abilities.get(at..at + len).unwrap_or_default();
    bytes.iter().fold(0, |v, b| v << 8 | *b as u64)
}

fn abilities10(out: &mut String, t: &TableStats) {
    let bits = word(t, 0, 4) as u32;
    write_max(out, t);
    let names: Vec<&str> =
        FIELDS_10.into_iter().filter(|(b, _)| bits & b != 0).map(|(_, n)| n).collect();
    write_matching(out, &names);
}

fn miss(config: u32) -> &'static str {
    match config & 3 {
        1 => "continue",
        2 => "drop",
        _ => "controller",
    }
}

/// Instructions in the order in which they are printed.
const INSTRUCTIONS: [(u32, &str); 6] = [
    (1 << 6, "meter"),
    (1 << 4, "apply_actions"),
    (1 << 5, "clear_actions"),
    (1 << 3, "write_actions"),
    (1 << 2, "write_metadata"),
    (1 << 1, "goto_table"),
];

fn write_instructions(out: &mut String, bits: u32) {
    out.push_str("    instructions (table miss and others):\n      instructions: ");
    let names: Vec<&str> =
        INSTRUCTIONS.into_iter().filter(|(b, _)| bits & b != 0).map(|(_, n)| n).collect();
    let _ = writeln!(out, "{}", names.join(" "));
    out.push_str("      Write-Actions and Apply-Actions features:\n");
}

fn write_action_line(out: &mut String, bits: u32) {
    if bits != 0 {
        out.push_str("        actions: ");
        write_actions(out, bits);
        out.push('\n');
    }
}

/// Match bits of 1.1, in the order of the fields.
const FIELDS_11: [(u32, &str); 15] = [
    (1 << 15, "metadata"),
    (1 << 0, "in_port"),
    (1 << 11, "eth_src"),
    (1 << 12, "eth_dst"),
    (1 << 3, "eth_type"),
    (1 << 1, "vlan_vid"),
    (1 << 2, "vlan_pcp"),
    (1 << 8, "mpls_label"),
    (1 << 9, "mpls_tc"),
    (1 << 13, "ip_src"),
    (1 << 14, "ip_dst"),
    (1 << 5, "nw_proto"),
    (1 << 4, "nw_tos"),
    (1 << 6, "tcp_src"),
    (1 << 7, "tcp_dst"),
];

fn abilities11(out: &mut String, t: &TableStats) {
    let bits = word(t, 4, 4) as u32;
    let _ = writeln!(out, "    config={}", miss(t.config));
    write_max(out, t);
    write_instructions(out, word(t, 8, 4) as u32);
    write_action_line(out, word(t, 12, 4) as u32);
    let names: Vec<&str> =
        FIELDS_11.into_iter().filter(|(b, _)| bits & b != 0).map(|(_, n)| n).collect();
    write_matching(out, &names);
}

/// The fields of 1.2 in a bitmap of OXM numbers, in the order in which fields are known.
fn oxm_names(bits: u64) -> Vec<&'static str> {
    let field = |number: u8| Field::by_oxm(OxmId { class: 0x8000, number, experimenter: 0 });
    let set = (0..64).filter(|n| bits & (1u64 << n) != 0);
    let old = |f: &Field| f.info().oxm_since <= 2;
    let mut fields: Vec<Field> = set.filter_map(field).filter(old).collect();
    fields.sort();
    fields.into_iter().map(|f| f.info().name).collect()
}

fn abilities12(out: &mut String, t: &TableStats) {
    let (seen, written) = (word(t, 40, 8), word(t, 48, 8));
    if seen != 0 || written != 0 {
        let _ = writeln!(out, "    metadata: match={seen:#x} write={written:#x}");
    }
    let _ = writeln!(out, "    config={}", miss(t.config));
    write_max(out, t);
    write_instructions(out, word(t, 56, 4) as u32);
    write_action_line(out, word(t, 16, 4) as u32);
    let settable = oxm_names(word(t, 24, 8));
    if !settable.is_empty() {
        out.push_str("        supported on Set-Field: ");
        write_grouped(out, &settable);
        out.push('\n');
    }
    write_matching(out, &oxm_names(word(t, 0, 8)));
}

const EVICTION_FLAGS: [(u32, &str); 3] = [(1, "OTHER"), (2, "IMPORTANCE"), (4, "LIFETIME")];

fn write_eviction_flags(out: &mut String, flags: u32) {
    let mut words = String::new();
    match flags {
        0 => out.push_str("(none)"),
        flags => {
            write_bits(&mut words, flags, &EVICTION_FLAGS);
            out.push_str(&words.replace(' ', "|"));
        }
    }
}

fn on_off(on: bool) -> &'static str {
    if on {
        "on"
    } else {
        "off"
    }
}

pub(super) fn desc(out: &mut String, t: &TableDesc, names: &Names) {
    out.push_str("\n  table ");
    names.write_table(out, t.table);
    let _ = write!(out, ":\n   eviction={} eviction_flags=", on_off(t.config & EVICTION != 0));
    write_eviction_flags(out, t.eviction.unwrap_or(0));
    let vacancy = t.config & VACANCY != 0;
    let _ = write!(out, "\n   vacancy={}", on_off(vacancy));
    if let Some(Vacancy { down, up, current }) = t.vacancy.filter(|_| vacancy) {
        let _ = write!(out, " vacancy_down={down}% vacancy_up={up}% vacancy={current}%");
    }
    out.push('\n');
}

pub(super) fn table_mod(out: &mut String, v: Version, t: &TableMod, names: &Names) {
    match t.table {
        None => out.push_str(" table_id: ALL_TABLES"),
        Some(table) => {
            out.push_str(" table_id=");
            names.write_table(out, table);
        }
    }
    if v == Version::V11 || v == Version::V12 {
        let _ = write!(out, ", flow_miss_config={}", miss(t.config));
    }
    if v < Version::V14 {
        return;
    }
    let _ = write!(out, ", eviction={}", on_off(t.config & EVICTION != 0));
    if let Some(flags) = t.eviction {
        out.push_str("eviction_flags=");
        write_eviction_flags(out, flags);
    }
    let vacancy = t.config & VACANCY != 0;
    let _ = write!(out, ", vacancy={}", on_off(vacancy));
    if vacancy {
        let Vacancy { down, up, .. } = t.vacancy.unwrap_or_default();
        let _ = write!(out, " vacancy:{down},{up}");
    }
}
