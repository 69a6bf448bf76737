//! Commands that set and show how a switch treats fragments, tables, tunnel options, connections.

use sluice_flow::key::TUN_OPTIONS;
use sluice_openflow::message::{
    CtFlush, FragMode, StatsReply, StatsRequest, SwitchConfig, TableDesc, TableMod, TlvMap, TlvTableCommand, TlvTableMod,
};
use sluice_openflow::text::{parse_ct_flush, parse_table_mod, parse_tlv_maps, Formats, TableSetting};
use sluice_openflow::wide::WIDEST;
use sluice_openflow::{Message, Version, VersionSet};

use super::client::Client;
use super::fatal::Fatal;
use super::run::{print, Failure, Run};

const FRAGS: [(&str, FragMode); 4] = [
    ("normal", FragMode::Normal),
    ("drop", FragMode::Drop),
    ("reassemble", FragMode::Reassemble),
    ("nx-match", FragMode::NxMatch),
];

/// The configuration of the switch.
pub fn fetch(client: &mut Client) -> Result<SwitchConfig, Fatal> {
    match client.transact(&Message::GetConfigRequest)?.message {
        Ok(Message::GetConfigReply(config)) => Ok(config),
        _ => Err(Fatal(format!("{}: bad reply to config request", client.name()))),
    }
}

/// Changes the configuration.
pub fn set(run: &Run, client: &mut Client, config: SwitchConfig) -> Result<(), Failure> {
    let answer = client.transact_silent(&Message::SetConfig(config))?;
    Ok(run.refused(answer)?)
}

/// `get-frags`.
pub fn get_frags(run: &Run) -> Result<(), Failure> {
    let config = fetch(&mut run.open(run.argument(1))?)?;
    let name = FRAGS.iter().find(|(_, f)| *f == config.frags).map_or("", |(n, _)| n);
    print(&format!("{name}\n"));
    Ok(())
}

/// `set-frags`.
pub fn set_frags(run: &Run) -> Result<(), Failure> {
    let wanted = FRAGS.iter().find(|(n, _)| n.eq_ignore_ascii_case(run.argument(2)));
    let (name, frags) = wanted.ok_or_else(|| Fatal(format!("{}: unknown fragment handling mode", run.argument(2))))?;
    let mut client = run.open(run.argument(1))?;
    let config = fetch(&mut client)?;
    if config.frags == *frags {
        return Ok(());
    }
    set(run, &mut client, SwitchConfig { frags: *frags, ..config })?;
    if fetch(&mut client)?.frags != *frags {
        let what = "setting fragment handling mode failed (this switch probably doesn't support mode";
        return Err(Fatal(format!("{}: {what} \"{name}\")", run.argument(1))).into());
    }
    Ok(())
}

/// `mod-table`.
pub fn mod_table(run: &Run) -> Result<(), Failure> {
    let names = run.accepted_names(run.argument(1))?;
    let (table, setting) = parse_table_mod(run.argument(2), run.argument(3), &names).map_err(|e| run.wrong(&e))?;
    let able: VersionSet = setting.versions().iter().copied().collect();
    let usable = VersionSet(able.0 & run.options.versions.0);
    if usable == VersionSet::NONE {
        let names: Vec<&str> = setting.versions().iter().map(|v| v.name()).collect();
        let what = format!("table_mod '{}' requires one of the OpenFlow versions {}", run.argument(3), names.join(", "));
        return Err(Fatal(what).into());
    }
    let mut client = Client::open(run.argument(1), usable)?;
    let mods = match setting {
        TableSetting::Miss(config) => vec![TableMod { table, config, eviction: None, vacancy: None }],
        TableSetting::Name(_) => {
            return Err(Fatal("tables of this switch have the names that its configuration gives them".to_string()).into());
        }
        setting => merged(&mut client, table, &setting)?,
    };
    for change in mods {
        let answer = client.transact_silent(&Message::TableMod(change))?;
        run.refused(answer)?;
    }
    Ok(())
}

/// What is not asked for stays as it is.
fn merged(client: &mut Client, table: Option<u8>, setting: &TableSetting) -> Result<Vec<TableMod>, Fatal> {
    const EVICTION: u32 = 4;
    const VACANCY: u32 = 8;
    let mut now: Vec<TableDesc> = Vec::new();
    for reply in client.dump_replies(StatsRequest::TableDesc)? {
        if let StatsReply::TableDesc { tables, .. } = reply {
            now.extend(tables);
        }
    }
    let wanted = now.into_iter().filter(|t| table.is_none_or(|n| n == t.table));
    let mods = wanted.map(|t| {
        let mut change = TableMod { table: Some(t.table), config: t.config, eviction: None, vacancy: t.vacancy };
        match setting {
            TableSetting::Eviction(true) => change.config |= EVICTION,
            TableSetting::Eviction(false) => change.config &= !EVICTION,
            TableSetting::Vacancy(range) => {
                change.config = change.config & !VACANCY | if range.is_some() { VACANCY } else { 0 };
                change.vacancy = *range;
            }
            _ => {}
        }
        let vacancy = change.vacancy.filter(|_| change.config & VACANCY != 0);
        TableMod { vacancy: vacancy.map(|v| sluice_openflow::message::Vacancy { current: 0, ..v }), ..change }
    });
    Ok(mods.collect())
}

/// `add-tlv-map`, `del-tlv-map`.
pub fn change_tlv(run: &Run) -> Result<(), Failure> {
    let maps = parse_tlv_maps(run.argument(2)).map_err(|e| run.wrong(&e))?;
    let command = match (run.argument(0), run.count()) {
        ("add-tlv-map", _) => TlvTableCommand::Add,
        (_, 0 | 1) => TlvTableCommand::Clear,
        _ => TlvTableCommand::Delete,
    };
    let mut client = run.open_for_changes(run.argument(1), Formats::EXTENSIBLE)?;
    let wrong = maps.iter().find_map(odd_mapping);
    let answer = client.transact_silent(&Message::TlvTableMod(TlvTableMod { command, maps }))?;
    // The refusal shows the message, which cannot be read.
    if let Some(text) = wrong.filter(|_| answer.is_some()) {
        super::warn::say("ofp_match", "WARN", &text);
    }
    Ok(run.refused(answer)?)
}

/// What no switch can make of a mapping, if anything.
fn odd_mapping(map: &TlvMap) -> Option<String> {
    let fields = u16::from(TUN_OPTIONS);
    if map.len % 4 != 0 || usize::from(map.len) > WIDEST {
        return Some(format!("tlv table option length ({}) is not a valid option size", map.len));
    }
    (map.index >= fields).then(|| format!("tlv table field index ({}) is too large (max {})", map.index, fields - 1))
}

/// `dump-tlv-map`.
pub fn dump_tlv(run: &Run) -> Result<(), Failure> {
    let mut client = run.open(run.argument(1))?;
    let received = client.transact(&Message::TlvTableRequest)?;
    run.show(&received, 1);
    Ok(())
}

/// `ct-flush-zone`.
pub fn flush_zone(run: &Run) -> Result<(), Failure> {
    let zone = run.argument(2);
    let zone = zone.parse().map_err(|_| Fatal(format!("invalid zone_id \"{zone}\"")))?;
    flush_by(run, &Message::CtFlushZone(zone))
}

/// `ct-flush`.
pub fn flush(run: &Run) -> Result<(), Failure> {
    let flush: CtFlush = parse_ct_flush(run.arguments.get(2..).unwrap_or(&[])).map_err(|e| run.wrong(&e))?;
    flush_by(run, &Message::CtFlush(Box::new(flush)))
}

fn flush_by(run: &Run, message: &Message) -> Result<(), Failure> {
    let mut client = run.open(run.argument(1))?;
    let answer = client.transact_silent(message)?;
    Ok(run.refused(answer)?)
}

/// `dump-ipfix-bridge`, `dump-ipfix-flow`.
pub fn ipfix(run: &Run) -> Result<(), Failure> {
    let request = match run.argument(0) {
        "dump-ipfix-bridge" => StatsRequest::IpfixBridge,
        _ => StatsRequest::IpfixFlow,
    };
    let mut client = run.open(run.argument(1))?;
    for part in client.dump(request)? {
        run.show(&part, 1);
    }
    Ok(())
}

/// `benchmark`.
pub fn benchmark(run: &Run) -> Result<(), Failure> {
    const MOST: usize = 65535 - 8;
    let size: usize = run.argument(2).parse().unwrap_or(usize::MAX);
    let times: u32 = run.argument(3).parse().unwrap_or(0);
    if size > MOST {
        return Err(Fatal(format!("payload must be between 0 and {MOST} bytes")).into());
    }
    let mut client = run.open(run.argument(1))?;
    let bytes = size + 8;
    println!("Sending {times} packets * {bytes} bytes (with header) = {} bytes total", u64::from(times) * bytes as u64);
    let start = std::time::Instant::now();
    for _ in 0..times {
        client.transact(&Message::EchoRequest(vec![0; size]))?;
    }
    let seconds = start.elapsed().as_secs_f64();
    let each = f64::from(times) / seconds.max(1e-9);
    println!("Finished in {:.1} ms ({each:.0} packets/s) ({:.0} bytes/s)", seconds * 1000.0, each * bytes as f64);
    Ok(())
}

/// Versions in which a switch may be told to send packets whose TTL ran out.
pub fn invalid_ttl_versions() -> VersionSet {
    [Version::V10, Version::V11, Version::V12].into_iter().collect()
}
