//! Which flow format a connection uses.
//!
//! Purpose: names of formats, which of them options allow, and switching a connection to one that
//! can say what a rule needs.
//! Invariant: OpenFlow 1.0's own format is kept where it suffices, as scripts that read error dumps
//! expect.
//! Deliberately does not know: rules.

use sluice_openflow::text::Formats;
use sluice_openflow::{Message, Protocol, Version, VersionSet};

use super::client::Client;
use super::fatal::Fatal;
use super::options::Options;

/// Every format, in the order in which they are tried, with its name.
const ALL: [(Formats, &str); 9] = [
    (Formats::OPENFLOW10, "OpenFlow10-table_id"),
    (Formats::OPENFLOW10_TABLE_ID, "OpenFlow10+table_id"),
    (Formats::NXM, "NXM-table_id"),
    (Formats::NXM_TABLE_ID, "NXM+table_id"),
    (Formats::OPENFLOW11, "OpenFlow11"),
    (Formats::OXM12, "OXM-OpenFlow12"),
    (Formats::OXM13, "OXM-OpenFlow13"),
    (Formats::OXM14, "OXM-OpenFlow14"),
    (Formats::OXM15, "OXM-OpenFlow15"),
];

/// Names of sets, widest first.
fn sets() -> [(Formats, &'static str); 5] {
    let openflow10 = Formats::OPENFLOW10 | Formats::OPENFLOW10_TABLE_ID;
    let nxm = Formats::NXM | Formats::NXM_TABLE_ID;
    let oxm = Formats::OXM12 | Formats::OXM13 | Formats::OXM14 | Formats::OXM15;
    [(Formats::ANY, "any"), (nxm | oxm, "NXM,OXM"), (nxm, "NXM"), (oxm, "OXM"), (openflow10, "OpenFlow10")]
}

/// Formats that a dump of rules may use, best first. Tables are told in every reply, so no format
/// with a table in its requests is needed.
const FOR_DUMPS: [Formats; 7] = [
    Formats::OXM15,
    Formats::OXM14,
    Formats::OXM13,
    Formats::OXM12,
    Formats::OPENFLOW11,
    Formats::NXM,
    Formats::OPENFLOW10,
];

/// The name of a set, as errors tell it.
pub fn names(mut formats: Formats) -> String {
    if formats.is_empty() {
        return "none".to_string();
    }
    let mut words = Vec::new();
    for (set, name) in sets() {
        if formats.contains(set) {
            words.push(name);
            formats = without(formats, set);
        }
    }
    words.extend(ALL.iter().filter(|(one, _)| formats.contains(*one)).map(|(_, name)| *name));
    words.join(",")
}

fn without(formats: Formats, gone: Formats) -> Formats {
    ALL.iter()
        .filter(|(one, _)| formats.contains(*one) && !gone.contains(*one))
        .fold(Formats::NONE, |set, (one, _)| set | *one)
}

/// The set that `-F` names.
pub fn parse(text: &str) -> Result<Formats, Fatal> {
    let mut formats = Formats::NONE;
    for word in text.split(',') {
        let known = sets().into_iter().chain(ALL).chain([(Formats::NONE, "none")]);
        let found = known.into_iter().find(|(_, name)| name.eq_ignore_ascii_case(word));
        let (set, _) = found.ok_or_else(|| Fatal(format!("{word}: unknown flow protocol")))?;
        formats = formats | set;
    }
    Ok(formats)
}

/// The formats over these versions.
pub fn of_versions(versions: VersionSet) -> Formats {
    let over = Version::ALL.into_iter().filter(|v| versions.contains(*v));
    over.fold(Formats::NONE, |set, v| set | Formats::of_version(v))
}

/// What `-O` and `-F` leave, as formats and versions.
pub fn allowed(options: &Options) -> Result<(Formats, VersionSet), Fatal> {
    let wanted = options.formats.as_deref().map_or(Ok(Formats::ANY), parse)?;
    let possible = of_versions(options.versions);
    let both = wanted & possible;
    if both.is_empty() {
        let versions: Vec<&str> =
            Version::ALL.into_iter().filter(|v| options.versions.contains(*v)).map(Version::name).collect();
        return Err(Fatal(format!(
            "None of the enabled OpenFlow versions ({}) supports any of the enabled flow formats ({}).  \
             (Use -O to enable additional OpenFlow versions or -F to enable additional flow formats.)",
            versions.join(", "),
            names(wanted)
        )));
    }
    let usable = Version::ALL.into_iter().filter(|v| options.versions.contains(*v) && !(both & Formats::of_version(*v)).is_empty());
    Ok((both, usable.collect()))
}

/// The protocol of one format.
pub fn protocol(format: Formats) -> Protocol {
    let nxm = (Formats::NXM | Formats::NXM_TABLE_ID).contains(format);
    let table_id = (Formats::OPENFLOW10_TABLE_ID | Formats::NXM_TABLE_ID).contains(format);
    let version = Version::ALL.into_iter().find(|v| Formats::of_version(*v).contains(format));
    Protocol { version: version.unwrap_or(Version::V10), nxm, table_id }
}

/// The format of one protocol.
pub fn format(protocol: Protocol) -> Formats {
    match (protocol.version, protocol.nxm, protocol.table_id) {
        (Version::V10, false, false) => Formats::OPENFLOW10,
        (Version::V10, false, true) => Formats::OPENFLOW10_TABLE_ID,
        (Version::V10, true, false) => Formats::NXM,
        (Version::V10, true, true) => Formats::NXM_TABLE_ID,
        (version, _, _) => Formats::of_version(version),
    }
}

/// The name of one format.
pub fn name(one: Formats) -> &'static str {
    ALL.iter().find(|(f, _)| *f == one).map_or("none", |(_, name)| name)
}

/// The first format of a set, in the order in which they are tried.
pub fn first(formats: Formats) -> Option<Formats> {
    ALL.iter().map(|(f, _)| *f).find(|f| formats.contains(*f))
}

/// Switches a connection to a format that is in both sets.
pub fn switch_for_changes(client: &mut Client, usable: Formats, allowed: Formats) -> Result<(), Fatal> {
    if (usable & allowed).is_empty() {
        return Err(Fatal(format!(
            "none of the usable flow formats ({}) is among the allowed flow formats ({})",
            names(usable),
            names(allowed)
        )));
    }
    if (usable & allowed).contains(format(client.protocol)) {
        return Ok(());
    }
    for (one, _) in ALL.iter().filter(|(one, _)| (usable & allowed).contains(*one)) {
        if try_switch(client, protocol(*one))? {
            return Ok(());
        }
    }
    Err(Fatal(format!("switch does not support any of the usable flow formats ({})", names(usable))))
}

/// The protocol that a connection will use where the switch speaks the newest of these versions and
/// refuses none of its formats.
pub fn likely(versions: VersionSet, usable: Formats) -> Option<Protocol> {
    let newest = Protocol::from(versions.newest()?);
    if usable.contains(format(newest)) {
        return Some(newest);
    }
    let all = ALL.iter().map(|(one, _)| *one).filter(|one| usable.contains(*one));
    all.map(protocol).find(|p| p.version == newest.version)
}

/// Switches a connection to the format that tells most about rules.
pub fn switch_for_dump(client: &mut Client, usable: Formats, allowed: Formats) -> Result<(), Fatal> {
    // A request that names a table can also be made where the format itself has none.
    let usable = FOR_DUMPS.into_iter().fold(usable, |set, one| {
        let with_table = format(Protocol { table_id: true, ..protocol(one) });
        if usable.contains(with_table) { set | one } else { set }
    });
    for one in FOR_DUMPS.into_iter().filter(|one| (usable & allowed).contains(*one)) {
        if try_switch(client, protocol(one))? {
            return Ok(());
        }
    }
    Err(Fatal(format!("switch does not support any of the usable flow formats ({})", names(usable))))
}

/// Asks the switch for a format; false when it refuses, or the version is another one.
fn try_switch(client: &mut Client, want: Protocol) -> Result<bool, Fatal> {
    if client.protocol.version != want.version {
        return Ok(false);
    }
    if client.protocol.nxm != want.nxm {
        if client.transact_silent(&Message::SetFlowFormat { nxm: want.nxm })?.is_some() {
            return Ok(false);
        }
        client.protocol.nxm = want.nxm;
    }
    if client.protocol.table_id != want.table_id {
        if client.transact_silent(&Message::FlowModTableId { enabled: want.table_id })?.is_some() {
            return Ok(false);
        }
        client.protocol.table_id = want.table_id;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_have_the_names_that_scripts_know() {
        assert_eq!(names(Formats::ANY), "any");
        assert_eq!(names(Formats::NXM | Formats::NXM_TABLE_ID), "NXM");
        assert_eq!(names(Formats::EXTENSIBLE), "NXM,OXM");
        assert_eq!(names(Formats::NONE), "none");
        assert_eq!(names(Formats::OPENFLOW11 | Formats::OXM13), "OpenFlow11,OXM-OpenFlow13");
        for (set, name) in sets().into_iter().chain(ALL) {
            if !name.contains(',') {
                assert_eq!(parse(name).unwrap(), set, "{name}");
            }
        }
    }

    #[test]
    fn every_format_is_its_own_protocol() {
        for (one, _) in ALL {
            assert_eq!(format(protocol(one)), one);
        }
    }

    #[test]
    fn options_that_exclude_each_other_are_refused() {
        let options = Options { formats: Some("NXM".into()), versions: VersionSet::only(Version::V13), ..Options::default() };
        assert!(allowed(&options).unwrap_err().0.contains("(OpenFlow13)"));
    }
}
