//! Messages that a switch sends unasked, and what asks for them: what is written reads back.

use sluice_openflow::message::*;
use sluice_openflow::print::format_message;
use sluice_openflow::text::{parse_actions, parse_ct_flush, parse_flow_monitor, parse_match, Names};
use sluice_openflow::{Message, OfpError, PortNo, Version};

fn reads_back(message: &Message, versions: &[Version]) {
    for version in versions {
        let bytes = message.encode(*version, 7).unwrap_or_else(|e| panic!("{version:?} {message:?}: {e}"));
        assert_eq!(Message::decode(*version, &bytes), Ok((7, message.clone())), "{version:?}");
        // Nothing that is cut short panics, or is taken for whole.
        for n in 0..bytes.len() {
            assert!(Message::decode(*version, &bytes[..n]).is_err());
        }
    }
}

const OLD: [Version; 3] = [Version::V10, Version::V11, Version::V12];
const NEW: [Version; 2] = [Version::V14, Version::V15];

#[test]
fn monitors_read_back_in_every_version() {
    let names = Names::new();
    let mut q = parse_flow_monitor("!initial,tcp,nw_src=10.0.0.0/8,table=3,out_port=7", 5, &names).unwrap();
    for version in Version::ALL {
        let q = q.clone();
        reads_back(&Message::StatsRequest(StatsRequest::FlowMonitor(vec![q.clone(), q])), &[version]);
    }
    q.out_group = 9;
    reads_back(&Message::StatsRequest(StatsRequest::FlowMonitor(vec![q])), &NEW);
    let change = |event| FlowChange {
        event,
        table: 4,
        priority: 77,
        cookie: 0x1234,
        idle_timeout: 5,
        hard_timeout: 6,
        matching: parse_match("udp,tp_dst=53", &names).unwrap(),
        actions: parse_actions("output:4,controller", &names).unwrap(),
    };
    let common = [FlowEvent::Added, FlowEvent::Modified, FlowEvent::Removed(FlowRemovedReason::HardTimeout)];
    let mut updates: Vec<_> = common.map(|e| FlowUpdate::Change(Box::new(change(e)))).into();
    updates.push(FlowUpdate::Abbreviated(0x99));
    reads_back(&StatsReply::FlowMonitor { more: false, updates: updates.clone() }.into(), &OLD);
    reads_back(&StatsReply::FlowMonitor { more: false, updates: updates.clone() }.into(), &[Version::V13]);
    updates.extend([FlowUpdate::Change(Box::new(change(FlowEvent::Initial))), FlowUpdate::Paused, FlowUpdate::Resumed]);
    reads_back(&StatsReply::FlowMonitor { more: false, updates }.into(), &NEW);
    let up_to_13 = [Version::V10, Version::V11, Version::V12, Version::V13];
    reads_back(&Message::FlowMonitorCancel(3), &up_to_13);
    reads_back(&Message::FlowMonitorPaused, &up_to_13);
    reads_back(&Message::FlowMonitorResumed, &up_to_13);
}

#[test]
fn status_messages_read_back() {
    let role = RoleStatus { role: Role::Secondary, reason: RoleReason::PrimaryRequest, generation_id: 44 };
    reads_back(&Message::RoleStatus(role), &[Version::V13, Version::V14, Version::V15]);
    let vacancy = Some(Vacancy { down: 10, up: 20, current: 15 });
    let desc = TableDesc { table: 3, config: 8, eviction: Some(7), vacancy };
    reads_back(&Message::TableStatus(TableStatus { vacancy_down: true, desc }), &NEW);
    let group = GroupMod { command: GroupCommand::Delete, id: 5, kind: 0, buckets: Vec::new(), ..empty_group() };
    for version in Version::ALL {
        let request = Message::GroupMod(Box::new(group.clone())).encode(version, 3).unwrap();
        reads_back(&Message::RequestForward(RequestForward { request }), &[version]);
    }
}

fn empty_group() -> GroupMod {
    let bytes = [5, 15, 0, 16, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0, 0, 5];
    match Message::decode(Version::V14, &bytes) {
        Ok((_, Message::GroupMod(g))) => *g,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_paused_packet_is_given_back_as_it_came() {
    let mut metadata = parse_match("in_port=3,reg4=0x55", &Names::new()).unwrap();
    metadata.set_field(sluice_openflow::Field::METADATA, 5, u128::MAX);
    for version in Version::ALL {
        let kept = Continuation {
            bridge: 7,
            stack: vec![vec![1, 2, 3, 4]],
            conntracked: true,
            actions: parse_actions("output:3,note:01", &Names::new()).unwrap(),
            action_set: Vec::new(),
            token: Some(99),
        };
        let packet_in = PacketIn {
            format: PacketInFormat::Nicira2,
            packet: vec![0; 60],
            total_len: 60,
            buffer_id: NO_BUFFER,
            reason: 1,
            table: Some(4),
            cookie: Some(6),
            metadata: metadata.clone(),
            userdata: vec![1, 2],
            continuation: kept.encode(version).unwrap(),
        };
        reads_back(&Message::Resume(Box::new(packet_in.clone())), &[version]);
        reads_back(&Message::PacketIn(Box::new(packet_in.clone())), &[version]);
        assert_eq!(Continuation::decode(version, &packet_in.continuation).unwrap().token, Some(99));
    }
}

#[test]
fn flushes_of_connections_read_back() {
    let words = ["zone=5", "ct_nw_src=10.1.1.1,ct_nw_dst=10.1.1.2,ct_nw_proto=17,ct_tp_src=1,ct_tp_dst=2", "ct_nw_src=10.1.1.9"];
    let flush = parse_ct_flush(&words.map(str::to_string)).unwrap();
    assert_eq!((flush.zone, flush.protocol, flush.original.dst_port), (Some(5), 17, 2));
    reads_back(&Message::CtFlush(Box::new(flush)), &Version::ALL);
    let bad = parse_ct_flush(&["ct_tp_src=1".to_string()]).unwrap_err();
    assert_eq!(bad.message, "port is set without protocol");
}

#[test]
fn a_monitor_without_anything_to_tell_is_refused() {
    let mut q = parse_flow_monitor("!add,!delete,!modify", 5, &Names::new()).unwrap();
    q.out_port = PortNo::NONE;
    for version in Version::ALL {
        let bytes = Message::StatsRequest(StatsRequest::FlowMonitor(vec![q.clone()])).encode(version, 1).unwrap();
        assert_eq!(Message::decode(version, &bytes).map_err(|e| e.error), Err(OfpError::OFPMOFC_BAD_FLAGS), "{version:?}");
    }
}

#[test]
fn print_is_like_the_original() {
    // As `ovs-ofctl monitor` prints the reply of a switch with one rule.
    let update = FlowUpdate::Change(Box::new(FlowChange {
        event: FlowEvent::Added,
        table: 0,
        priority: 5,
        cookie: 0,
        idle_timeout: 0,
        hard_timeout: 0,
        matching: parse_match("in_port=1", &Names::new()).unwrap(),
        actions: parse_actions("output:2", &Names::new()).unwrap(),
    }));
    let reply: Message = StatsReply::FlowMonitor { more: false, updates: vec![update, FlowUpdate::Abbreviated(0x1234)] }.into();
    let text = format_message(&reply.encode(Version::V10, 0).unwrap(), &Names::new());
    let want = "NXST_FLOW_MONITOR reply (xid=0x0):\n event=ADDED table=0 cookie=0 in_port=1 actions=output:2\n event=ABBREV xid=0x1234\n";
    assert_eq!(text, want);
}
