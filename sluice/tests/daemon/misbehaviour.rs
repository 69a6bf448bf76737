//! Peers that stall, lie or talk nonsense.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::support::{can_make_namespaces, Daemon, Place};
use super::{ofctl, two_ports, TWO_PORTS};

const HELLO_13: [u8; 8] = [4, 0, 0, 8, 0, 0, 0, 1];

fn connect(place: &Place) -> UnixStream {
    let stream = UnixStream::connect(place.rundir().join("br0.mgmt")).expect("the bridge's socket");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    stream.set_write_timeout(Some(Duration::from_millis(300))).expect("a timeout");
    stream
}

/// Everything until the daemon closes.
fn rest(mut stream: UnixStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    bytes
}

#[test]
fn what_is_not_openflow_ends_its_own_connection_only() {
    if !can_make_namespaces("hostile peers") {
        return;
    }
    let place = two_ports();
    let config = place.write("node.toml", TWO_PORTS);
    let daemon = Daemon::start(&place, &config, "br0");
    let openings: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\n\r\n",
        &[4, 0, 0, 4, 0, 0, 0, 1],
        &[4, 2, 0, 8, 0, 0, 0, 1],
        &[0, 0, 0, 8, 0, 0, 0, 1],
    ];
    for opening in openings {
        let mut stream = connect(&place);
        stream.write_all(opening).expect("a write");
        let heard = rest(stream);
        assert_eq!(heard.get(1), Some(&0), "a hello, then the end: {heard:?}");
    }
    // After the hello, a header that does not even cover itself.
    let mut stream = connect(&place);
    stream.write_all(&HELLO_13).expect("a write");
    stream.write_all(&[4, 2, 0, 3, 0, 0, 0, 2]).expect("a write");
    rest(stream);
    assert!(ofctl(&place, "show br0").contains("p1"));
    assert_eq!(daemon.stop(), Some(0));
}

/// A generator of test bytes: xorshift.
struct Bytes(u64);

impl Bytes {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[test]
fn random_messages_are_answered_or_refused_and_change_no_more_than_they_say() {
    if !can_make_namespaces("random messages") {
        return;
    }
    let place = two_ports();
    let config = place.write("node.toml", TWO_PORTS);
    let daemon = Daemon::start(&place, &config, "br0");
    let mut random = Bytes(0x5eed_0f0f_5eed);
    for version in 1..=6u8 {
        let mut stream = connect(&place);
        let mut reader = stream.try_clone().expect("a second handle");
        let drain = std::thread::spawn(move || {
            let mut bytes = [0; 65536];
            while matches!(reader.read(&mut bytes), Ok(n) if n > 0) {}
        });
        stream.write_all(&[version, 0, 0, 8, 0, 0, 0, 1]).expect("a write");
        for xid in 0..3000u32 {
            let length = 8 + (random.next() % 120) as u16;
            let mut message = vec![version, (random.next() % 36) as u8];
            message.extend_from_slice(&length.to_be_bytes());
            message.extend_from_slice(&xid.to_be_bytes());
            while message.len() < usize::from(length) {
                // Small numbers reach further than random ones.
                let byte = if random.next() % 3 == 0 { random.next() as u8 } else { (random.next() % 4) as u8 };
                message.push(byte);
            }
            if stream.write_all(&message).is_err() {
                break;
            }
        }
        drop(stream.shutdown(std::net::Shutdown::Both));
        drain.join().expect("the reader");
    }
    assert!(ofctl(&place, "show br0").contains("p1"));
    ofctl(&place, "-O OpenFlow13 dump-flows br0");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_peer_that_does_not_read_holds_up_nobody_and_costs_little() {
    if !can_make_namespaces("stalled peer") {
        return;
    }
    let place = two_ports();
    let config = place.write("node.toml", TWO_PORTS);
    let daemon = Daemon::start(&place, &config, "br0");
    let rules: String = (0..2000).map(|i| format!("priority={i},ip,nw_src=10.{}.{}.0/24,actions=1\n", i / 250, i % 250)).collect();
    let file = place.write("rules.txt", &rules);
    ofctl(&place, &format!("--bundle add-flows br0 {}", file.display()));
    let memory = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("proc");
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap_or("").to_string();
        line.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok()).expect("memory")
    };
    let before = memory();
    // OFPMP_FLOW for everything, thousands of times, and never a read.
    let mut request = vec![4, 18, 0, 56, 0, 0, 0, 9, 0, 1, 0, 0, 0, 0, 0, 0];
    request.extend_from_slice(&[0xff, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    request.extend_from_slice(&[0; 16]);
    request.extend_from_slice(&[0, 1, 0, 4, 0, 0, 0, 0]);
    let mut stalled = Vec::new();
    for _ in 0..4 {
        let mut stream = connect(&place);
        stream.write_all(&HELLO_13).expect("a write");
        for _ in 0..5000 {
            if stream.write_all(&request).is_err() {
                break;
            }
        }
        stalled.push(stream);
    }
    for _ in 0..20 {
        ofctl(&place, "add-flow br0 priority=9,arp,actions=2");
    }
    assert_eq!(ofctl(&place, "--no-stats dump-flows br0").lines().count(), 2001);
    let grown = memory().saturating_sub(before);
    assert!(grown < 20_000, "four stalled peers cost {grown} KiB");
}
