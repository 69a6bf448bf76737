//! The page that tells what works is what the code does.

use std::path::Path;

use sluice::compatibility::{document, is_matched, refusal_of, taken, ACTIONS};
use sluice::ofctl::subcommands;
use sluice_compiler::RuleSet;
use sluice_openflow::text::{parse_flow_line, Names};
use sluice_openflow::wire::message_types;
use sluice_openflow::wide::Wide;
use sluice_openflow::{Field, FlowModCommand, OfpError, Version};

fn page() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/compatibility.md")
}

#[test]
fn the_page_says_what_the_code_says() {
    let now = document();
    if std::env::var_os("SLUICE_WRITE_DOCS").is_some() {
        std::fs::write(page(), &now).expect("docs/compatibility.md");
    }
    let written = std::fs::read_to_string(page()).expect("docs/compatibility.md");
    assert_eq!(written, now, "make it anew: SLUICE_WRITE_DOCS=1 cargo test -p sluice --test compatibility");
}

/// Whether a rule set takes a rule.
fn accepts(text: &str) -> Result<(), OfpError> {
    let fm = parse_flow_line(text, &Names::new()).unwrap_or_else(|e| panic!("{text}: {e}")).0;
    assert_eq!(fm.command, FlowModCommand::Add);
    let mut rules = RuleSet::new();
    match rules.apply(0, &fm, Version::V15, 0).map_err(|e| e.code) {
        // There is no group and no meter in an empty switch; that they are named is all right.
        Err(OfpError::OFPBAC_BAD_OUT_GROUP | OfpError::OFPMMFC_INVALID_METER) => Ok(()),
        other => other.map(|_| ()),
    }
}

#[test]
fn every_action_of_the_page_loads() {
    for (name, text) in ACTIONS {
        let prerequisites = if text.contains("nsh") { "dl_type=0x894f," } else if text.contains("mpls_") && !text.contains("push") { "mpls," } else { "ip,tcp," };
        let prerequisites = if text.contains("pop_mpls") { "mpls," } else { prerequisites };
        let prerequisites = if text.starts_with("set_vlan_") || text == "strip_vlan" || text == "pop_vlan" { "dl_vlan=1," } else { prerequisites };
        let prerequisites = if text == "pop_pbb" { "dl_type=0x88e7," } else { prerequisites };
        let rule = format!("add table=1,{prerequisites}actions={text}");
        let loaded = accepts(&rule);
        if refusal_of(text).is_none() {
            assert_eq!(loaded, Ok(()), "{name}: {rule}");
        }
    }
}

#[test]
fn fields_that_are_said_to_be_matched_have_a_place() {
    for field in Field::all() {
        let mut m = sluice_openflow::Match::ANY;
        let has_place = match field.option_number() {
            Some(n) => m.set_option(n, &Wide::from(1), &Wide::from(1)).is_ok(),
            None => m.set_field(field, 1, 1),
        };
        assert_eq!(has_place, is_matched(field), "{field:?}");
    }
}

fn table(name: &str) -> Option<Vec<String>> {
    let root = std::env::var_os("SLUICE_SHARED").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), Into::into);
    let text = std::fs::read_to_string(root.join("ovs-surface").join(name)).ok()?;
    Some(text.lines().skip(1).map(|l| l.split(',').next().unwrap_or("").to_string()).collect())
}

#[test]
fn nothing_of_open_vswitchs_surface_is_left_unsaid() {
    let tables = (table("fields.csv"), table("messages.csv"), table("ofctl-subcommands.csv"));
    let (Some(fields), Some(messages), Some(commands)) = tables else {
        return println!("SKIPPED: there is no ovs-surface at $SLUICE_SHARED or ../shared");
    };
    // Newer versions of Open vSwitch have more registers than 3.1.
    let newer = |name: &str| [("xxreg", 4), ("xreg", 8), ("reg", 16)].iter().any(|(stem, first)| name.strip_prefix(stem).and_then(|n| n.parse().ok()).is_some_and(|n: u32| n >= *first));
    let missing: Vec<&String> = fields.iter().filter(|f| Field::by_name(f).is_none() && !newer(f)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    for name in commands {
        assert!(subcommands().any(|(n, ..)| n == name), "no command {name}");
    }
    let stem = |name: &str| name.replace("_STATS", "").replace("NXT_", "").replace("_CONFIG", "");
    for name in messages {
        let (wanted, kind) = match name.rsplit_once('_') {
            Some((front, "REQUEST")) => (stem(front), " request"),
            Some((front, "REPLY")) => (stem(front), " reply"),
            _ => (stem(&name), ""),
        };
        let found = message_types().any(|m| {
            let stemmed = stem(m.name);
            stemmed.contains(&wanted) && (kind.is_empty() || stemmed.ends_with(kind) || stemmed.ends_with(&kind.to_uppercase().replace(' ', "_")))
        });
        assert!(found, "no message {name} ({wanted}{kind})");
    }
    assert!(message_types().all(|m| !taken(m.name, m.is_reply).is_empty()));
}
