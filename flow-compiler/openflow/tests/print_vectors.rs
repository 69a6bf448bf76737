//! Messages are printed as `ovs-ofctl` prints them.

use sluice_openflow::print::format_message;
use sluice_openflow::text::Names;

const PRINTED: &str = include_str!("vectors/printed.txt");

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

#[test]
fn replies_and_errors_read_as_ovs_ofctl_writes_them() {
    let mut count = 0;
    for case in PRINTED.split("\n@").skip(1) {
        let (hex, want) = case.split_once('\n').expect("a message and its text");
        let got = format_message(&unhex(hex), &Names::new());
        assert_eq!(got.trim_end_matches('\n'), want.trim_end_matches('\n'), "{hex}");
        assert!(got.ends_with('\n'));
        count += 1;
    }
    assert!(count > 20, "{count}");
}

#[test]
fn any_bytes_give_some_text() {
    for line in include_str!("vectors/sent.tsv").lines().filter(|l| !l.starts_with('#')) {
        let bytes = unhex(line.split('\t').nth(2).expect("three columns"));
        for len in 0..=bytes.len() {
            let mut cut = bytes[..len].to_vec();
            assert!(!format_message(&cut, &Names::new()).is_empty());
            if len >= 4 {
                cut[2..4].copy_from_slice(&(len as u16).to_be_bytes());
                assert!(!format_message(&cut, &Names::new()).is_empty());
            }
        }
    }
}

#[test]
fn a_chain_of_errors_about_errors_is_not_followed() {
    let mut message = vec![4, 1, 0, 12, 0, 0, 0, 1, 0, 1, 0, 6];
    while message.len() + 12 <= 0xffff {
        let mut outer = vec![4, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0, 6];
        outer.extend(&message);
        let len = (outer.len() as u16).to_be_bytes();
        outer[2..4].copy_from_slice(&len);
        message = outer;
    }
    assert!(format_message(&message, &Names::new()).contains("OFPBRC_BAD_LEN"));
}
