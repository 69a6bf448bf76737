//! Connections beyond the bridge's own socket.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use super::support::{can_make_namespaces, Daemon};
use super::{ofctl, two_ports, TWO_PORTS};

fn with_controllers(list: &str) -> String {
    TWO_PORTS.replacen("fail_mode", &format!("controllers = [{list}]\nfail_mode"), 1)
}

#[test]
fn a_bridge_listens_on_tcp_where_configured() {
    if !can_make_namespaces("ptcp") {
        return;
    }
    let place = two_ports();
    let config = place.write("node.toml", &with_controllers("\"ptcp:16653:127.0.0.1\""));
    let _daemon = Daemon::start(&place, &config, "br0");
    assert!(ofctl(&place, "-O OpenFlow13 show tcp:127.0.0.1:16653").contains("(OF1.3)"));
}

#[test]
fn a_controller_is_connected_to_again_and_hears_of_rules_that_go() {
    if !can_make_namespaces("controller connection") {
        return;
    }
    let place = two_ports();
    let path = place.directory.join("controller");
    let listener = UnixListener::bind(&path).expect("a socket");
    let config = place.write("node.toml", &with_controllers(&format!("\"unix:{}\"", path.display())));
    let _daemon = Daemon::start(&place, &config, "br0");
    let (first, _) = listener.accept().expect("a connection");
    drop(first);
    let (mut stream, _) = listener.accept().expect("another connection");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    stream.write_all(&[4, 0, 0, 8, 0, 0, 0, 1]).expect("a hello");
    // A barrier's answer says that the hello was taken.
    stream.write_all(&[4, 20, 0, 8, 0, 0, 0, 7]).expect("a barrier");
    let mut seen = Vec::new();
    while !has_message(&seen, 21) {
        read_more(&mut stream, &mut seen);
    }
    ofctl(&place, "add-flow br0 send_flow_rem,priority=77,actions=drop");
    ofctl(&place, "del-flows br0");
    while !has_message(&seen, 11) {
        read_more(&mut stream, &mut seen);
    }
}

#[test]
fn a_controller_that_falls_silent_is_asked_then_left_and_tried_again() {
    if !can_make_namespaces("silent controller") {
        return;
    }
    let place = two_ports();
    let path = place.directory.join("controller");
    let listener = UnixListener::bind(&path).expect("a socket");
    let config = place.write("node.toml", &with_controllers(&format!("\"unix:{}\"", path.display())));
    let _daemon = Daemon::start(&place, &config, "br0");
    let (mut silent, _) = listener.accept().expect("a connection");
    silent.write_all(&[4, 0, 0, 8, 0, 0, 0, 1]).expect("a hello");
    let mut heard = Vec::new();
    silent.read_to_end(&mut heard).expect("the end of the connection");
    assert!(has_message(&heard, 2), "an echo request came before the end");
    listener.accept().expect("another connection");
}

fn read_more(stream: &mut impl Read, seen: &mut Vec<u8>) {
    let mut bytes = [0; 4096];
    let n = stream.read(&mut bytes).expect("a message within ten seconds");
    assert!(n > 0, "the daemon stays connected");
    seen.extend_from_slice(&bytes[..n]);
}

/// Whether a whole stream of messages has one of this type.
fn has_message(mut stream: &[u8], kind: u8) -> bool {
    while let [_, this, high, low, ..] = stream {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if stream.len() < length {
            return false;
        }
        if *this == kind {
            return true;
        }
        stream = &stream[length.max(8)..];
    }
    false
}
