//! A server that says anything: no bytes panic, and it does not matter in which pieces they come.

use proptest::prelude::*;
use serde_json::{json, Value};
use sluice_ovsdb_bridge::database::{Memory, News, Session, SessionError};
use sluice_ovsdb_bridge::jsonrpc::{FrameError, Framer};
use sluice_ovsdb_bridge::{diff, read_rows, DesiredState, Step};

const ROOT: &str = "00000000-0000-0000-0000-000000000001";
const BRIDGE: &str = "00000000-0000-0000-0000-000000000002";
const PORT: &str = "00000000-0000-0000-0000-000000000003";
const INTERFACE: &str = "00000000-0000-0000-0000-000000000004";

fn schema() -> Value {
    let set = json!({"type": {"key": "string", "min": 0, "max": "unlimited"}});
    let map = json!({"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}});
    let one = json!({"type": "string"});
    json!({"name": "Open_vSwitch", "version": "8.3.1", "tables": {
        "Open_vSwitch": {"columns": {"bridges": set, "next_cfg": one, "cur_cfg": one, "other_config": map}},
        "Bridge": {"columns": {"name": one, "ports": set, "other_config": map, "datapath_type": one}},
        "Port": {"columns": {"name": one, "interfaces": set, "tag": one}},
        "Interface": {"columns": {"name": one, "type": one, "options": map, "ofport": one}},
    }})
}

/// What a server says to a switch that begins: schema, lock, rows, an update, a question.
fn conversation() -> Vec<u8> {
    let uuid = |id: &str| json!(["uuid", id]);
    let rows = json!({
        "Open_vSwitch": {ROOT: {"initial": {"bridges": uuid(BRIDGE), "next_cfg": 3}}},
        "Bridge": {BRIDGE: {"initial": {"name": "br0", "ports": ["set", [uuid(PORT)]]}}},
        "Port": {PORT: {"initial": {"name": "vx0", "interfaces": uuid(INTERFACE), "tag": 5}}},
        "Interface": {INTERFACE: {"initial": {"name": "vx0", "type": "vxlan", "options": ["map", [["remote_ip", "192.0.2.1"], ["key", "5"]]]}}},
    });
    let update = json!({"Interface": {INTERFACE: {"modify": {"options": ["map", [["key", "6"], ["ttl", "9"]]]}}},
                        "Open_vSwitch": {ROOT: {"modify": {"next_cfg": 4}}}});
    let messages = [
        json!({"id": 1, "result": schema(), "error": null}),
        json!({"id": 2, "result": {"locked": true}, "error": null}),
        json!({"id": 3, "result": [false, "00000000-0000-0000-0000-0000000000aa", rows], "error": null}),
        json!({"id": "echo", "method": "echo", "params": ["\"{[\\"]}),
        json!({"id": null, "method": "update3", "params": ["sluice", "00000000-0000-0000-0000-0000000000ab", update]}),
        json!({"id": null, "method": "stolen", "params": ["ovs_vswitchd"]}),
    ];
    messages.iter().map(|m| m.to_string() + "\n ").collect::<String>().into_bytes()
}

/// Everything that a session makes of pieces.
fn listen<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Result<(), SessionError>, Vec<News>, Option<DesiredState>, Vec<u8>) {
    let mut session = Session::begin(Memory::default(), 0, 0);
    let mut news = Vec::new();
    let heard = pieces.into_iter().try_for_each(|piece| session.receive(piece, 0, &mut news));
    let state = read_rows(session.tables()).ok().map(|r| r.state);
    (heard, news, state, session.output().clone())
}

#[test]
fn a_conversation_gives_the_state_that_its_rows_say() {
    let (heard, news, state, said) = listen([&conversation()[..]]);
    assert_eq!(heard, Ok(()));
    assert_eq!(news, [News::Locked(true), News::Changed, News::Locked(false)]);
    let state = state.expect("a state");
    let port = &state.bridges[0].ports[0];
    assert_eq!((port.name.as_str(), port.tag), ("vx0", Some(5)));
    let said = String::from_utf8(said).expect("text");
    assert!(said.contains("\"id\":\"echo\"") && said.contains("monitor_cond_since"), "{said}");
}

#[test]
fn a_conversation_split_at_any_byte_says_the_same() {
    let bytes = conversation();
    let whole = listen([&bytes[..]]);
    for at in 0..bytes.len() {
        assert_eq!(listen([&bytes[..at], &bytes[at..]]), whole, "split at {at}");
    }
    assert_eq!(listen(bytes.chunks(1)), whole);
}

#[test]
fn a_server_without_newer_methods_is_asked_the_older_ones() {
    let mut session = Session::begin(Memory::default(), 0, 0);
    let mut news = Vec::new();
    let mut say = |session: &mut Session, v: Value| session.receive(v.to_string().as_bytes(), 0, &mut news);
    say(&mut session, json!({"id": 1, "result": schema(), "error": null})).unwrap();
    for (id, method) in [(3, "monitor_cond_since"), (4, "monitor_cond"), (5, "monitor")] {
        let said = String::from_utf8(std::mem::take(session.output())).unwrap();
        assert!(said.contains(&format!("\"method\":\"{method}\"")), "{said}");
        let answer = json!({"id": id, "result": null, "error": "unknown method"});
        let result = say(&mut session, answer);
        assert_eq!(result.is_err(), method == "monitor");
    }
}

#[test]
fn a_message_without_an_end_is_refused_before_it_fills_the_memory() {
    let mut framer = Framer::new(1000);
    framer.push(b"{\"");
    for _ in 0..200 {
        framer.push(b"0123456789");
        match framer.next_message() {
            Ok(None) => {}
            Err(e) => return assert_eq!(e, FrameError::TooLong(1000)),
            Ok(Some(v)) => panic!("{v}"),
        }
    }
    panic!("it was collected without a bound");
}

#[test]
fn a_deep_message_is_refused() {
    let mut framer = Framer::new(1 << 20);
    framer.push(format!("{{\"a\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000)).as_bytes());
    assert!(matches!(framer.next_message(), Err(FrameError::NotJson(_))));
}

#[test]
fn a_value_that_no_column_can_have_is_told_and_leaves_the_column_as_it_was() {
    let mut bytes = conversation();
    let before = listen([&bytes[..]]).2;
    let garbage = json!({
        "Interface": {INTERFACE: {"modify": {"options": 5.5, "type": {"x": 1}}}, "no uuid": {"delete": null}},
        "Bridge": 7,
    });
    let message = json!({"id": null, "method": "update2", "params": ["sluice", garbage]});
    bytes.extend_from_slice(message.to_string().as_bytes());
    let (heard, news, state, _) = listen([&bytes[..]]);
    assert_eq!((heard, state), (Ok(()), before));
    let told = news.iter().filter(|n| matches!(n, News::Complaint(_))).count();
    assert_eq!(told, 4, "{news:?}");
}

#[test]
fn a_silent_server_is_asked_and_then_left() {
    let mut session = Session::begin(Memory::default(), 5000, 0);
    session.output().clear();
    assert_eq!((session.next_date(), session.tick(4999)), (Some(5000), Ok(())));
    assert!(session.output().is_empty());
    session.tick(5000).unwrap();
    assert!(String::from_utf8_lossy(session.output()).contains("echo"));
    assert_eq!(session.tick(10_000), Err(SessionError::Silent(10)));
}

/// The state after steps, as the difference promises.
fn carry_out(old: &DesiredState, steps: &[Step]) -> DesiredState {
    let mut state = old.clone();
    for step in steps {
        let find = |state: &mut DesiredState, name: &str| state.bridges.iter().position(|b| b.name == name).expect("a bridge that is there");
        match step.clone() {
            Step::RemovePort { bridge, name } => {
                let at = find(&mut state, &bridge);
                state.bridges[at].ports.retain(|p| p.name != name);
            }
            Step::RemoveBridge { name } => {
                let at = find(&mut state, &name);
                assert!(state.bridges[at].ports.is_empty(), "ports go first");
                state.bridges.remove(at);
            }
            Step::AddBridge(bridge) => state.bridges.push(bridge),
            Step::ChangeBridge(mut bridge) => {
                let at = find(&mut state, &bridge.name);
                bridge.ports = std::mem::take(&mut state.bridges[at].ports);
                state.bridges[at] = bridge;
            }
            Step::AddPort { bridge, port } => {
                let at = find(&mut state, &bridge);
                assert!(state.bridges.iter().all(|b| b.ports.iter().all(|p| p.name != port.name)), "{} is free", port.name);
                state.bridges[at].ports.push(port);
            }
            Step::ChangePort { bridge, port } => {
                let at = find(&mut state, &bridge);
                let place = state.bridges[at].ports.iter().position(|p| p.name == port.name).expect("a port that is there");
                state.bridges[at].ports[place] = port;
            }
            Step::SetWorkers(w) => state.workers = w,
            Step::SetNode(n) => state.node = n,
            Step::SetTls(t) => state.tls = t,
            Step::SetZones(z) => state.zones = z,
            Step::AddUnderlay(u) => state.underlays.push(u),
            Step::RemoveUnderlay { device } => state.underlays.retain(|u| u.device != device),
        }
    }
    sorted(state)
}

fn sorted(mut state: DesiredState) -> DesiredState {
    state.bridges.sort_by(|a, b| a.name.cmp(&b.name));
    for bridge in &mut state.bridges {
        bridge.ports.sort_by(|a, b| a.name.cmp(&b.name));
    }
    state
}

/// A state of a few bridges and ports, by small numbers.
fn state_of(choices: &[(u8, u8, u8, u8)]) -> DesiredState {
    use sluice_ovsdb_bridge::{Bridge, Io, Port, PortKind};
    let mut state = DesiredState::default();
    for (bridge, port, kind, setting) in choices {
        let name = format!("br{}", bridge % 3);
        if !state.bridges.iter().any(|b| b.name == name) {
            state.bridges.push(Bridge { mac_ageing: 15 + u32::from(setting % 2), ..Bridge::new(name.clone()) });
        }
        let port_name = format!("p{}", port % 6);
        if state.bridges.iter().any(|b| b.ports.iter().any(|p| p.name == port_name)) {
            continue;
        }
        let kind = match kind % 4 {
            0 => PortKind::Internal,
            1 => PortKind::System { device: port_name.clone(), io: Io::Auto, queues: None },
            2 => PortKind::Tap,
            _ => PortKind::Patch { peer: format!("p{}", setting % 6) },
        };
        let mut port = Port::new(port_name, kind);
        port.tag = (setting % 3 > 0).then_some(u16::from(*setting));
        port.ofport_request = (setting % 5 == 0).then_some(1 + u16::from(*setting));
        port.refused = (setting % 7 == 0).then(|| format!("because {setting}"));
        if let Some(b) = state.bridges.iter_mut().find(|b| b.name == name) {
            b.ports.push(port);
        }
    }
    state
}

proptest! {
    #[test]
    fn a_conversation_with_wrong_bytes_is_read_or_refused(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = conversation();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let whole = listen([&bytes[..]]);
        let pieces = listen(bytes.chunks(7));
        prop_assert_eq!(whole.0.is_ok(), pieces.0.is_ok());
        prop_assert_eq!(whole.2, pieces.2);
    }

    #[test]
    fn a_conversation_with_pieces_cut_out_or_doubled_is_read_or_refused(from in any::<prop::sample::Index>(), length in 0usize..200, twice in any::<bool>()) {
        let bytes = conversation();
        let from = from.index(bytes.len());
        let to = (from + length).min(bytes.len());
        let middle = if twice { bytes[from..to].repeat(2) } else { Vec::new() };
        let mutant = [&bytes[..from], &middle, &bytes[to..]].concat();
        let _ = listen([&mutant[..]]);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = listen([&bytes[..]]);
    }

    #[test]
    fn the_steps_between_two_states_lead_from_one_to_the_other(
        old in prop::collection::vec(any::<(u8, u8, u8, u8)>(), 0..12),
        new in prop::collection::vec(any::<(u8, u8, u8, u8)>(), 0..12),
    ) {
        let (old, new) = (state_of(&old), state_of(&new));
        let steps = diff(&old, &new);
        prop_assert_eq!(carry_out(&old, &steps), sorted(new.clone()));
        prop_assert_eq!(diff(&new, &new), vec![]);
    }
}
