//! Conversations without sockets or workers: bytes in, bytes out.

use sluice_flow::hash::Seeds;
use sluice_openflow::message::{
    BundleAdd, BundleControl, BundleKind, FlowStats, FlowStatsRequest, Role, RoleRequest, StatsReply, StatsRequest,
};
use sluice_openflow::text::{parse_flow_line, parse_group_line, Names};
use sluice_openflow::{Message, OfpError, PortNo, Version, VersionSet};

use super::{Effect, Session, Turn};
use crate::daemon::ofserver::output::Output;
use crate::daemon::switch::Switch;
use sluice_ovsdb_bridge::{Bridge, FailMode};

const VERSION: Version = Version::V14;

/// A switch with one bridge, and a conversation about it.
struct Talk {
    switch: Switch,
    session: Session,
    output: Output,
    now_ms: u64,
}

impl Talk {
    fn new() -> Talk {
        let mut switch = Switch::new(Seeds::FIXED);
        let wanted = Bridge { fail_mode: FailMode::Secure, ..Bridge::new("br0") };
        let bridge = switch.add_bridge(wanted, 1000);
        let session = Session::new(bridge, VersionSet::ALL, true);
        let mut talk = Talk { switch, session, output: Output::default(), now_ms: 1000 };
        let hello = Message::hello(VersionSet::only(VERSION));
        assert_eq!(talk.hear(&hello, 1), []);
        talk
    }

    fn hear_bytes(&mut self, bytes: &[u8]) -> Effect {
        let mut turn = Turn { switch: &mut self.switch, output: &mut self.output, now_ms: self.now_ms };
        let effect = self.session.handle(bytes, &mut turn);
        while self.session.go_on(&mut turn) {
            assert!(turn.output.is_congested(), "only a full output makes a request wait here");
            turn.output.advance(usize::MAX / 2);
        }
        effect
    }

    /// Hears a message; gives the answers.
    fn hear(&mut self, message: &Message, xid: u32) -> Vec<Message> {
        let bytes = message.encode(VERSION, xid).expect("a message of this version");
        self.hear_bytes(&bytes);
        self.answers()
    }

    fn answers(&mut self) -> Vec<Message> {
        let mut answers = Vec::new();
        while self.output.waiting() > 0 {
            let next = self.output.next();
            let length = usize::from(u16::from_be_bytes([next[2], next[3]]));
            let (_, message) = Message::decode(VERSION, &next[..length]).expect("a message");
            answers.push(message);
            self.output.advance(length);
        }
        answers
    }

    fn flow_mod(&mut self, text: &str) -> Vec<Message> {
        self.hear(&flow_mod(text), 2)
    }

    fn rules(&mut self) -> Vec<FlowStats> {
        let request = StatsRequest::Flow(FlowStatsRequest::default());
        let answers = self.hear(&Message::StatsRequest(request), 3);
        let flows = answers.into_iter().map(|a| match a {
            Message::StatsReply(StatsReply::Flow { flows, .. }) => flows,
            other => panic!("{other:?}"),
        });
        flows.flatten().collect()
    }
}

fn flow_mod(text: &str) -> Message {
    Message::flow_mod(parse_flow_line(text, &Names::new()).expect("a rule").0)
}

fn error(answers: &[Message]) -> Option<OfpError> {
    match answers {
        [Message::Error(e)] => e.error,
        _ => None,
    }
}

#[test]
fn nothing_but_a_hello_is_heard_first() {
    let mut talk = Talk::new();
    talk.session = Session::new(talk.session.bridge, VersionSet::ALL, true);
    assert_eq!(talk.hear_bytes(&[4, 5, 0, 8, 0, 0, 0, 1]), Effect::Close);
}

#[test]
fn versions_without_one_in_common_end_the_conversation_with_an_error() {
    let mut talk = Talk::new();
    talk.session = Session::new(talk.session.bridge, VersionSet::only(VERSION), true);
    assert_eq!(talk.hear_bytes(&[1, 0, 0, 8, 0, 0, 0, 1]), Effect::Close);
    assert_eq!(error(&talk.answers()), Some(OfpError::OFPHFC_INCOMPATIBLE));
}

#[test]
fn a_rule_is_added_told_and_deleted() {
    let mut talk = Talk::new();
    assert_eq!(talk.flow_mod("table=3,priority=5,tcp,actions=output:1"), []);
    talk.now_ms += 2500;
    let rules = talk.rules();
    assert_eq!((rules[0].table, rules[0].priority, rules[0].duration_sec), (3, 5, 2));
    talk.flow_mod("delete tcp");
    assert_eq!(talk.rules(), []);
}

#[test]
fn a_barrier_is_answered_once_its_changes_are_a_program() {
    let mut talk = Talk::new();
    talk.flow_mod("actions=drop");
    assert_eq!(talk.hear(&Message::BarrierRequest, 9), [Message::BarrierReply]);
    assert!(talk.switch.is_published());
}

#[test]
fn a_bundle_that_fails_names_its_culprit_and_changes_nothing() {
    let mut talk = Talk::new();
    talk.flow_mod("priority=9,actions=output:4");
    let control = |kind| Message::BundleControl(BundleControl { id: 1, kind, flags: 3 });
    talk.hear(&control(BundleKind::OpenRequest), 4);
    for (xid, text) in [(5, "priority=1,actions=drop"), (6, "delete"), (7, "priority=2,actions=group:77")] {
        let message = flow_mod(text).encode(VERSION, xid).expect("a message");
        assert_eq!(talk.hear(&Message::BundleAdd(BundleAdd { id: 1, flags: 3, message }), xid), []);
    }
    let answers = talk.hear(&control(BundleKind::CommitRequest), 8);
    let errors: Vec<_> = answers.iter().filter_map(|a| error(std::slice::from_ref(a))).collect();
    assert_eq!(errors, [OfpError::OFPBAC_BAD_OUT_GROUP, OfpError::OFPBFC_MSG_FAILED]);
    let priorities: Vec<u16> = talk.rules().iter().map(|r| r.priority).collect();
    assert_eq!(priorities, [9]);
}

#[test]
fn a_bundle_is_one_epoch() {
    let mut talk = Talk::new();
    talk.switch.publish();
    let before = talk.switch.target_epoch();
    let control = |kind| Message::BundleControl(BundleControl { id: 1, kind, flags: 3 });
    talk.hear(&control(BundleKind::OpenRequest), 4);
    for xid in 5..105 {
        let message = flow_mod(&format!("priority={xid},actions=drop")).encode(VERSION, xid).expect("a message");
        talk.hear(&Message::BundleAdd(BundleAdd { id: 1, flags: 3, message }), xid);
    }
    talk.hear(&control(BundleKind::CommitRequest), 200);
    assert_eq!(talk.switch.target_epoch(), before + 1);
    assert_eq!(talk.rules().len(), 100);
}

#[test]
fn others_hear_of_a_bundles_groups_once_it_is_committed_and_of_none_that_failed() {
    for (group, rule, told) in [(7, "actions=group:7", vec![5, 6]), (7, "actions=group:99", vec![])] {
        let mut talk = Talk::new();
        let control = |kind, xid| Message::BundleControl(BundleControl { id: 1, kind, flags: 3 }).encode(VERSION, xid).expect("a message");
        talk.hear_bytes(&control(BundleKind::OpenRequest, 4));
        let (first, _) = parse_group_line(&format!("group_id={group},type=all,bucket=output:1"), &Names::new()).expect("a group");
        let (second, _) = parse_group_line("group_id=8,type=all,bucket=output:2", &Names::new()).expect("a group");
        let (first, second) = (Message::GroupMod(Box::new(first)), Message::GroupMod(Box::new(second)));
        for (xid, message) in [(5, first), (6, second), (7, flow_mod(rule))] {
            let message = message.encode(VERSION, xid).expect("a message");
            let add = Message::BundleAdd(BundleAdd { id: 1, flags: 3, message }).encode(VERSION, xid).expect("a message");
            assert_eq!(talk.hear_bytes(&add), Effect::None, "nothing has happened yet");
        }
        let effect = talk.hear_bytes(&control(BundleKind::CommitRequest, 8));
        assert_eq!(effect, if told.is_empty() { Effect::None } else { Effect::Forward });
        let numbers: Vec<u32> = talk.session.take_forward().iter().map(|(_, xid)| *xid).collect();
        assert_eq!(numbers, told);
    }
}

#[test]
fn a_secondary_controller_may_look_but_not_change() {
    let mut talk = Talk::new();
    let claim = RoleRequest { role: Role::Secondary, generation_id: Some(5), nicira: false };
    talk.hear(&Message::RoleRequest(claim), 4);
    assert_eq!(error(&talk.flow_mod("actions=drop")), Some(OfpError::OFPBRC_IS_SECONDARY));
    assert_eq!(talk.rules(), []);
    let stale = RoleRequest { role: Role::Primary, generation_id: Some(4), nicira: false };
    assert_eq!(error(&talk.hear(&Message::RoleRequest(stale), 5)), Some(OfpError::OFPRRFC_STALE));
}

#[test]
fn an_unknown_message_is_refused_by_type() {
    let mut talk = Talk::new();
    talk.hear_bytes(&[5, 99, 0, 8, 0, 0, 0, 1]);
    assert_eq!(error(&talk.answers()), Some(OfpError::OFPBRC_BAD_TYPE));
}

#[test]
fn a_message_of_another_version_is_refused() {
    let mut talk = Talk::new();
    talk.hear_bytes(&[4, 5, 0, 8, 0, 0, 0, 1]);
    let next = talk.output.next();
    assert_eq!(next[..2], [4, 1], "an error, in the version of the message");
}

#[test]
fn groups_and_meters_are_refused_until_they_exist() {
    let mut talk = Talk::new();
    assert_eq!(error(&talk.flow_mod("actions=group:1")), Some(OfpError::OFPBAC_BAD_OUT_GROUP));
    assert_eq!(error(&talk.flow_mod("actions=meter:1,output:1")), Some(OfpError::OFPMMFC_INVALID_METER));
}

#[test]
fn ports_are_described_with_local_among_them() {
    let mut talk = Talk::new();
    let answers = talk.hear(&Message::StatsRequest(StatsRequest::PortDesc(PortNo::NONE)), 4);
    let [Message::StatsReply(StatsReply::PortDesc { ports, .. })] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!((ports[0].number, ports[0].name.as_str()), (PortNo::LOCAL, "br0"));
}

#[test]
fn a_rule_times_out_and_its_number_is_free_again() {
    let mut talk = Talk::new();
    talk.flow_mod("hard_timeout=1,actions=drop");
    talk.switch.publish();
    talk.switch.expire(talk.now_ms + 900);
    assert_eq!(talk.rules().len(), 1);
    let first = talk.switch.rules.dump(talk.session.bridge, &Default::default()).next().map(|r| r.id);
    talk.switch.expire(talk.now_ms + 1100);
    assert_eq!(talk.rules(), []);
    talk.switch.publish();
    talk.flow_mod("actions=drop");
    let second = talk.switch.rules.dump(talk.session.bridge, &Default::default()).next().map(|r| r.id);
    assert_eq!(first, second);
}

#[test]
fn every_message_that_is_said_to_be_taken_is_understood() {
    use sluice_openflow::wire::{blank_message, message_types};
    let refusals = [OfpError::OFPBRC_BAD_TYPE, OfpError::OFPBRC_BAD_STAT, OfpError::OFPBRC_BAD_SUBTYPE, OfpError::OFPBRC_BAD_VENDOR];
    for m in message_types().filter(|m| crate::compatibility::taken(m.name, m.is_reply) == "taken" && m.name != "OFPT_HELLO") {
        for version in Version::ALL.into_iter().filter(|v| m.first <= *v && *v <= m.last) {
            let mut talk = Talk::new();
            talk.session = Session::new(talk.session.bridge, VersionSet::only(version), true);
            talk.hear_bytes(&Message::hello(VersionSet::only(version)).encode(version, 1).expect("a hello"));
            let bytes = blank_message(version, m.name, 5).expect("a message of this version");
            talk.hear_bytes(&bytes);
            while talk.output.waiting() > 0 {
                let next = talk.output.next();
                let length = usize::from(u16::from_be_bytes([next[2], next[3]]));
                if let Ok((_, Message::Error(e))) = Message::decode(version, &next[..length]) {
                    assert!(e.error.is_none_or(|e| !refusals.contains(&e)), "{} {version:?}: {e:?}", m.name);
                }
                talk.output.advance(length);
            }
        }
    }
}

#[test]
fn a_table_that_fills_is_told_once_and_again_when_it_has_room() {
    use sluice_openflow::message::{SwitchConfig, TableMod, Vacancy};
    let mut talk = Talk::new();
    talk.switch.rules.set_limit(talk.session.bridge, 0, Some(10));
    talk.hear(&Message::SetConfig(SwitchConfig { miss_send_len: 100, ..SwitchConfig::default() }), 2);
    let mut masks = sluice_openflow::message::AsyncConfig::default();
    masks.primary.table_status = 0x18;
    assert_eq!(talk.hear(&Message::SetAsync(masks), 3), []);
    let vacancy = Some(Vacancy { down: 20, up: 50, current: 0 });
    assert_eq!(talk.hear(&Message::TableMod(TableMod { table: Some(0), config: 8, eviction: None, vacancy }), 4), []);
    let mut told = Vec::new();
    let mut next = |talk: &mut Talk| {
        while let Some(notice) = talk.switch.next_notice() {
            if let crate::daemon::switch::Notice::TableStatus(_, status) = notice {
                told.push((status.vacancy_down, status.desc.vacancy.map(|v| v.current)));
            }
        }
    };
    for priority in 0..10 {
        talk.flow_mod(&format!("priority={priority},actions=drop"));
        next(&mut talk);
    }
    talk.flow_mod("delete");
    next(&mut talk);
    assert_eq!(told, [(true, Some(10)), (false, Some(100))]);
}
