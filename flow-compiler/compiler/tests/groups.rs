//! Groups and meters keep OpenFlow's promises, error for error as Open vSwitch.

use sluice_compiler::rules::{GROUP_ALL, GROUP_ANY, METER_ALL};
use sluice_compiler::{Filter, Mod, Reference, RemovedReason, RuleSet};
use sluice_flow::Change;
use sluice_openflow::action::FlowFlags;
use sluice_openflow::message::{
    Bucket, GroupCommand, GroupMod, MeterBand, MeterBandKind, MeterCommand, MeterConfig, MeterMod, ANY_GROUP,
};
use sluice_openflow::{Action, FlowMod, FlowModCommand, Match, OfpError, PortNo, Version};

const V: Version = Version::V15;
const FIRST: u32 = 0xffff_fffd;
const LAST: u32 = 0xffff_fffe;
const ALL: u32 = 0xffff_ffff;

fn bucket(id: u32, port: u32) -> Bucket {
    let actions = vec![Action::Output { port: PortNo(port), max_len: 0 }];
    Bucket { weight: 0, watch_port: PortNo::NONE, watch_group: ANY_GROUP, id, actions }
}

fn group(command: GroupCommand, id: u32, at: u32, buckets: &[u32]) -> GroupMod {
    let buckets = buckets.iter().map(|b| bucket(*b, *b)).collect();
    GroupMod { command, kind: 0, id, command_bucket_id: at, buckets, properties: Vec::new() }
}

fn rule(priority: u16, actions: Vec<Action>) -> FlowMod {
    FlowMod {
        command: FlowModCommand::Add,
        table: Some(0),
        priority,
        matching: Match::ANY,
        cookie: 0,
        cookie_mask: 0,
        new_cookie: Some(0),
        idle_timeout: 0,
        hard_timeout: 0,
        importance: 0,
        buffer_id: u32::MAX,
        out_port: PortNo::NONE,
        out_group: GROUP_ANY,
        flags: FlowFlags::default(),
        actions,
    }
}

fn apply(rules: &mut RuleSet, gm: &GroupMod) -> Result<usize, OfpError> {
    rules.apply_group(0, gm, 0).map(|a| a.changes.len()).map_err(|e| e.code)
}

fn buckets(rules: &RuleSet, id: u32) -> Vec<u32> {
    rules.describe_groups(0, id).into_iter().flat_map(|g| g.buckets).map(|b| b.id).collect()
}

#[test]
fn a_group_is_added_once_changed_when_it_exists_and_deleted_in_any_case() {
    use GroupCommand::{Add, AddOrModify, Delete, Modify};
    let mut rules = RuleSet::new();
    assert_eq!(apply(&mut rules, &group(Modify, 1, ALL, &[1])), Err(OfpError::OFPGMFC_UNKNOWN_GROUP));
    assert_eq!(apply(&mut rules, &group(Add, 1, ALL, &[1])), Ok(1));
    assert_eq!(apply(&mut rules, &group(Add, 1, ALL, &[2])), Err(OfpError::OFPGMFC_GROUP_EXISTS));
    assert_eq!(apply(&mut rules, &group(AddOrModify, 2, ALL, &[1])), Ok(1));
    assert_eq!(apply(&mut rules, &group(AddOrModify, 2, ALL, &[5])), Ok(1));
    assert_eq!(buckets(&rules, 2), [5]);
    assert_eq!(apply(&mut rules, &group(Add, 0xffff_ff01, ALL, &[])), Err(OfpError::OFPGMFC_INVALID_GROUP));
    assert_eq!(apply(&mut rules, &group(Delete, 77, ALL, &[])), Ok(0));
    assert_eq!(apply(&mut rules, &group(Delete, GROUP_ALL, ALL, &[])), Ok(2));
    assert!(rules.describe_groups(0, GROUP_ALL).is_empty());
}

#[test]
fn buckets_are_inserted_behind_the_one_that_is_named_and_removed_one_by_one() {
    use GroupCommand::{Add, InsertBucket, RemoveBucket};
    let mut rules = RuleSet::new();
    apply(&mut rules, &group(Add, 8, ALL, &[0])).unwrap();
    apply(&mut rules, &group(InsertBucket, 8, 0, &[80, 81])).unwrap();
    apply(&mut rules, &group(InsertBucket, 8, FIRST, &[7])).unwrap();
    apply(&mut rules, &group(InsertBucket, 8, 80, &[9])).unwrap();
    apply(&mut rules, &group(InsertBucket, 8, LAST, &[3])).unwrap();
    assert_eq!(buckets(&rules, 8), [7, 0, 80, 9, 81, 3]);
    let refused = [
        (group(InsertBucket, 8, LAST, &[9]), OfpError::OFPGMFC_BUCKET_EXISTS),
        (group(InsertBucket, 8, 77, &[1]), OfpError::OFPGMFC_UNKNOWN_BUCKET),
        (group(RemoveBucket, 8, 99, &[]), OfpError::OFPGMFC_UNKNOWN_BUCKET),
        (group(RemoveBucket, 9, 1, &[]), OfpError::OFPGMFC_UNKNOWN_GROUP),
    ];
    for (gm, code) in refused {
        assert_eq!(apply(&mut rules, &gm), Err(code));
    }
    for at in [FIRST, LAST, 9] {
        apply(&mut rules, &group(RemoveBucket, 8, at, &[])).unwrap();
    }
    assert_eq!(buckets(&rules, 8), [0, 80, 81]);
    apply(&mut rules, &group(RemoveBucket, 8, ALL, &[])).unwrap();
    assert_eq!(buckets(&rules, 8), []);
}

#[test]
fn rules_name_groups_that_exist_and_go_with_them() {
    let mut rules = RuleSet::new();
    let to = |g| vec![Action::WriteActions(vec![Action::Group(g)])];
    let code = rules.apply(0, &rule(1, to(4)), V, 0).map(|_| ()).map_err(|e| e.code);
    assert_eq!(code, Err(OfpError::OFPBAC_BAD_OUT_GROUP));
    apply(&mut rules, &group(GroupCommand::Add, 4, ALL, &[1])).unwrap();
    rules.apply(0, &rule(1, to(4)), V, 0).unwrap();
    rules.apply(0, &rule(2, vec![Action::Group(4), Action::Group(4)]), V, 0).unwrap();
    rules.apply(0, &rule(3, vec![]), V, 0).unwrap();
    assert_eq!(rules.group_stats(0, 4, 5500)[0].ref_count, 2);
    assert_eq!(rules.group_stats(0, 4, 5500)[0].duration_sec, 5);
    let gone = rules.apply_group(0, &group(GroupCommand::Delete, 4, ALL, &[]), 0).unwrap();
    let reasons: Vec<_> = gone.removed.iter().map(|r| (r.flow.priority(), r.reason)).collect();
    assert_eq!(reasons, [(1, RemovedReason::GroupDelete), (2, RemovedReason::GroupDelete)]);
    assert!(matches!(gone.changes.last(), Some(Change::SetGroup { id: 4, to: None, .. })));
    assert_eq!(rules.dump(0, &Filter::default()).count(), 1);
}

#[test]
fn a_bundle_that_fails_leaves_neither_its_groups_nor_its_rules() {
    let mut rules = RuleSet::new();
    apply(&mut rules, &group(GroupCommand::Add, 1, ALL, &[1])).unwrap();
    let (new, changed, deleted) =
        (group(GroupCommand::Add, 2, ALL, &[2]), group(GroupCommand::Modify, 1, ALL, &[9]), group(GroupCommand::Delete, 1, ALL, &[]));
    let (user, bad) = (rule(1, vec![Action::Group(2)]), rule(2, vec![Action::Group(1)]));
    let all = [Mod::Group(&new), Mod::Flow(&user), Mod::Group(&changed), Mod::Group(&deleted), Mod::Flow(&bad)];
    let failed = rules.commit_mods(0, all.clone(), V, 0).map(|_| ()).unwrap_err();
    assert_eq!((failed.index, failed.error.code), (4, OfpError::OFPBAC_BAD_OUT_GROUP));
    assert_eq!((buckets(&rules, 1), rules.knows(0, Reference::Group(2))), (vec![1], false));
    assert!(rules.is_empty());
    rules.commit_mods(0, all.into_iter().take(4), V, 0).unwrap();
    assert!(rules.knows(0, Reference::Group(2)) && !rules.knows(0, Reference::Group(1)));
    assert_eq!(rules.len(), 1);
}

#[test]
fn counts_go_to_the_definition_that_packets_met_and_start_over_with_another() {
    let mut rules = RuleSet::new();
    let serial = |changes: &[Change]| match changes {
        [Change::SetGroup { to: Some(g), .. }] => g.serial,
        _ => panic!("{changes:?}"),
    };
    let first = serial(&rules.apply_group(0, &group(GroupCommand::Add, 1, ALL, &[1, 2]), 0).unwrap().changes);
    rules.fold_group(first, None, 3, 300);
    rules.fold_group(first, Some(1), 1, 100);
    let stats = &rules.group_stats(0, 1, 0)[0];
    assert_eq!((stats.packets, stats.bytes, &stats.buckets[..]), (4, 400, &[(3, 300), (4, 400)][..]));
    let second = serial(&rules.apply_group(0, &group(GroupCommand::Modify, 1, ALL, &[1]), 0).unwrap().changes);
    rules.fold_group(first, None, 3, 300);
    rules.fold_group(second, Some(0), 1, 60);
    let stats = &rules.group_stats(0, 1, 0)[0];
    assert_eq!((stats.packets, stats.bytes, &stats.buckets[..]), (1, 60, &[(1, 60)][..]));
}

fn meter(command: MeterCommand, id: u32) -> MeterMod {
    let bands = vec![MeterBand { kind: MeterBandKind::Drop, rate: 5, burst_size: 0 }];
    MeterMod { command, config: MeterConfig { id, flags: 2, bands } }
}

#[test]
fn a_band_without_a_burst_has_a_tenth_of_a_second_or_the_longest_frame_but_never_more_than_a_second() {
    let burst = |flags, rate, burst_size| {
        let bands = vec![MeterBand { kind: MeterBandKind::Drop, rate, burst_size }];
        let mm = MeterMod { command: MeterCommand::Add, config: MeterConfig { id: 1, flags, bands } };
        match &RuleSet::new().apply_meter(0, &mm, 0).unwrap().changes[..] {
            [Change::SetMeter { to: Some(meter), .. }] => meter.bands[0].burst,
            other => panic!("{other:?}"),
        }
    };
    let (kbps, pktps, with_burst) = (1, 2, 4);
    assert_eq!(burst(kbps, 100_000, 0), 10_000);
    assert_eq!(burst(kbps, 1_000, 0), 525);
    assert_eq!(burst(kbps, 100, 0), 100);
    assert_eq!(burst(pktps, 1_000, 0), 100);
    assert_eq!(burst(pktps, 5, 0), 1);
    assert_eq!(burst(kbps | with_burst, 1_000, 7), 7);
    assert_eq!(burst(kbps | with_burst, 100_000, 0), 10_000);
}

#[test]
fn meters_are_added_once_and_take_their_rules_along() {
    use MeterCommand::{Add, Delete, Modify};
    let mut rules = RuleSet::new();
    let change = |rules: &mut RuleSet, command, id| {
        rules.apply_meter(0, &meter(command, id), 0).map(|a| a.removed.len()).map_err(|e| e.code)
    };
    assert_eq!(change(&mut rules, Modify, 7), Err(OfpError::OFPMMFC_UNKNOWN_METER));
    assert_eq!(change(&mut rules, Add, 0), Err(OfpError::OFPMMFC_INVALID_METER));
    for id in [7, 0xffff_fffd, 0xffff_fffe] {
        assert_eq!(change(&mut rules, Add, id), Ok(0));
    }
    assert_eq!(change(&mut rules, Add, 7), Err(OfpError::OFPMMFC_METER_EXISTS));
    let unknown = rules.apply(0, &rule(1, vec![Action::Meter(8)]), V, 0).map(|_| ()).map_err(|e| e.code);
    assert_eq!(unknown, Err(OfpError::OFPMMFC_INVALID_METER));
    rules.apply(0, &rule(1, vec![Action::Meter(7)]), V, 0).unwrap();
    assert_eq!(rules.meter_stats(0, 7, 0).unwrap()[0].flow_count, 1);
    assert_eq!(change(&mut rules, Delete, 7), Ok(1));
    assert_eq!(change(&mut rules, Delete, 7), Ok(0));
    let left: Vec<u32> = rules.meter_configs(0, METER_ALL).unwrap().iter().map(|m| m.id).collect();
    assert_eq!(left, [0xffff_fffe, 0xffff_fffd]);
    assert_eq!(rules.meter_configs(0, 7), None);
}
