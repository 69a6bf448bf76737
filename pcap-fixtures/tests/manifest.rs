//! The manifest tells the truth: every fixture is there, is what it says, and gives what it must.

use std::collections::BTreeSet;

use sluice_fixtures::manifest::{count_kinds, fixture, fixtures, recorded_names};

#[test]
fn every_fixture_has_its_hash_its_number_of_frames_and_its_headers() {
    for f in fixtures().unwrap() {
        let frames = f.frames().unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(frames.len(), f.frames, "frames of {}", f.name);
        assert_eq!(count_kinds(&frames), f.headers, "headers of {}", f.name);
    }
}

#[test]
fn every_recording_is_listed_and_every_entry_says_why_and_whence() {
    let all = fixtures().unwrap();
    let listed: BTreeSet<_> = all.iter().filter(|f| !f.generated).map(|f| f.name.clone()).collect();
    assert_eq!(listed, recorded_names().into_iter().collect());
    assert!(all.iter().all(|f| !f.why.is_empty() && !f.source.is_empty() && !f.expected.is_empty()));
    assert_eq!(all.iter().map(|f| &f.name).collect::<BTreeSet<_>>().len(), all.len());
}

#[test]
fn a_fixture_that_is_not_listed_is_refused() {
    let error = fixture("nothing").unwrap_err();
    assert_eq!(error.to_string(), "nothing: not in the manifest");
}
