//! Guests behind vhost-user sockets, as the daemon serves them.

#[path = "../../../dataplane/port/tests/support/driver.rs"]
mod driver;
#[path = "../../../dataplane/port/tests/support/front.rs"]
mod front;

use std::time::{Duration, Instant};

use front::{accept, connect, listen, Front, CSUM, EVENT_INDEX, GUEST_CSUM, GUEST_TSO4, HOST_TSO4, INDIRECT, MQ, MRG_RXBUF, PACKED, PROTOCOL, VERSION_1};

use super::support::{can_make_namespaces, wait_for, Daemon, Place};
use super::ofctl;

const SPLIT: u64 = PROTOCOL | VERSION_1 | MRG_RXBUF | INDIRECT | EVENT_INDEX;

/// A bridge with a guest that listens and one that connects.
fn config(place: &Place) -> std::path::PathBuf {
    let text = format!(
        "[[bridge]]\nname = \"br0\"\n\
         [[bridge.port]]\nname = \"vA\"\nkind = \"dpdkvhostuserclient\"\nvhost_server_path = \"{}\"\nofport_request = 1\n\
         [[bridge.port]]\nname = \"vB\"\nkind = \"dpdkvhostuser\"\nofport_request = 2\n",
        place.directory.join("vA.sock").display()
    );
    place.write("node.toml", &text)
}

fn frame(to: u8, from: u8, n: u8) -> Vec<u8> {
    let mut f = vec![n; 80];
    f[..6].copy_from_slice(&[2, 0, 0, 0, 0, to]);
    f[6..12].copy_from_slice(&[2, 0, 0, 0, 0, from]);
    f[12..14].copy_from_slice(&[0x88, 0xb5]);
    f
}

/// Sends until it arrives: right after a start the switch may not have both ends yet.
fn until_it_arrives(from: &mut Front, to: &mut Front, bytes: &[u8]) {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        from.send(0, bytes);
        let soon = Instant::now() + Duration::from_millis(50);
        while Instant::now() < soon {
            while let Some((_, got)) = to.receive(0) {
                if got == bytes {
                    return;
                }
            }
            std::thread::yield_now();
        }
        assert!(Instant::now() < end, "the frame does not arrive");
    }
}

#[test]
fn guests_reach_each_other_and_go_on_after_either_side_was_killed() {
    if !can_make_namespaces("vhost-user guests") {
        return;
    }
    let place = Place::new();
    let config = config(&place);
    let listener = listen(&place.directory.join("vA.sock"));
    let daemon = Daemon::start(&place, &config, "br0");
    let offloads = CSUM | GUEST_CSUM | HOST_TSO4 | GUEST_TSO4;
    let mut a = Front::new(accept(&listener), SPLIT | offloads, 1, 64);
    let mut b = Front::new(connect(&place.rundir().join("vB")), (SPLIT & !EVENT_INDEX) | PACKED, 1, 64);
    a.start();
    b.start();
    until_it_arrives(&mut a, &mut b, &frame(0xb, 0xa, 1));
    until_it_arrives(&mut b, &mut a, &frame(0xa, 0xb, 2));
    let shown = ofctl(&place, "show br0");
    assert!(shown.contains("1(vA)") && shown.contains("2(vB)"), "{shown}");
    assert!(!shown.contains("LINK_DOWN") || shown.matches("LINK_DOWN").count() == 1, "only LOCAL is down: {shown}");
    // A guest's VMM dies and comes back.
    drop(b);
    let mut b = Front::new(connect(&place.rundir().join("vB")), SPLIT, 1, 64);
    b.start();
    until_it_arrives(&mut a, &mut b, &frame(0xb, 0xa, 3));
    // The switch dies and comes back; guest A goes on where it was.
    drop(daemon);
    let _daemon = Daemon::start(&place, &config, "br0");
    a.collect_sent();
    a.reconnect(accept(&listener));
    a.start();
    b.reset_rings();
    b.reconnect(connect(&place.rundir().join("vB")));
    b.start();
    until_it_arrives(&mut b, &mut a, &frame(0xa, 0xb, 4));
    until_it_arrives(&mut a, &mut b, &frame(0xb, 0xa, 5));
}

#[test]
fn a_guest_that_sleeps_wakes_a_daemon_that_sleeps() {
    if !can_make_namespaces("sleeping vhost-user guests") {
        return;
    }
    let place = Place::new();
    let config = config(&place);
    let listener = listen(&place.directory.join("vA.sock"));
    let _daemon = Daemon::start(&place, &config, "br0");
    let mut a = Front::new(accept(&listener), SPLIT & !EVENT_INDEX, 1, 64);
    let mut b = Front::new(connect(&place.rundir().join("vB")), SPLIT, 1, 64);
    a.start();
    b.start();
    until_it_arrives(&mut a, &mut b, &frame(0xb, 0xa, 1));
    for n in 0..50 {
        // The switch asks for kicks as soon as it has nothing to do.
        let end = Instant::now() + Duration::from_secs(10);
        while !a.pairs[0].tx.wants_kick(&a.guest) {
            assert!(Instant::now() < end, "an idle switch asks to be told");
            std::thread::yield_now();
        }
        let sent = frame(0xb, 0xa, n);
        assert!(a.send(0, &sent));
        assert_eq!(b.expect(0).1, sent);
    }
}

/// The configuration with so many workers, written anew each time.
fn configs(place: &Place) -> impl Fn(usize) -> std::path::PathBuf + '_ {
    let ports = std::fs::read_to_string(config(place)).expect("the configuration");
    move |n| place.write("node.toml", &format!("[workers]\ncount = {n}\n{ports}"))
}

#[test]
fn guests_do_not_notice_that_their_worker_ends() {
    if !can_make_namespaces("vhost-user guests on other workers") {
        return;
    }
    let place = Place::new();
    let workers = configs(&place);
    let listener = listen(&place.directory.join("vA.sock"));
    let daemon = Daemon::start(&place, &workers(3), "br0");
    let mut a = Front::new(accept(&listener), SPLIT, 1, 64);
    let mut b = Front::new(connect(&place.rundir().join("vB")), SPLIT, 1, 64);
    a.start();
    b.start();
    for (n, count) in [1, 2, 3, 1].into_iter().enumerate() {
        until_it_arrives(&mut a, &mut b, &frame(0xb, 0xa, 2 * n as u8));
        workers(count);
        daemon.signal("HUP");
        until_it_arrives(&mut b, &mut a, &frame(0xa, 0xb, 2 * n as u8 + 1));
    }
    // What a front does is heard, although the worker that opened its port is gone.
    let gone = |daemon: &Daemon| daemon.log().matches("the guest's front has gone").count();
    wait_for("one worker", || daemon.log().matches("configuration read again").count() == 4);
    let before = gone(&daemon);
    drop(b);
    wait_for("word of the guest's end", || gone(&daemon) == before + 1);
    let mut b = Front::new(connect(&place.rundir().join("vB")), SPLIT, 1, 64);
    b.start();
    until_it_arrives(&mut a, &mut b, &frame(0xb, 0xa, 100));
}

#[test]
fn frames_of_each_queue_of_a_guest_keep_their_order_while_queues_move_and_go_and_come_back() {
    if !can_make_namespaces("a guest's queues at several workers") {
        return;
    }
    let place = Place::new();
    let workers = configs(&place);
    let listener = listen(&place.directory.join("vA.sock"));
    let daemon = Daemon::start(&place, &workers(2), "br0");
    let mut a = Front::new(accept(&listener), SPLIT | MQ, 3, 64);
    let mut b = Front::new(connect(&place.rundir().join("vB")), SPLIT, 1, 64);
    a.start();
    b.start();
    ofctl(&place, "add-flow br0 in_port=1,actions=output:2");
    until_it_arrives(&mut a, &mut b, &frame(0xb, 0xa, 0));
    let seats = || {
        let text = super::workers::queues(&place);
        text.split("pmd thread").skip(1).map(|w| w.matches("port: vA ").count()).collect::<Vec<_>>()
    };
    wait_for("the guest's queues at two workers", || seats().iter().sum::<usize>() == 3 && seats().iter().all(|n| *n > 0));

    let (mut sent, mut got) = ([0u32; 3], [0u32; 3]);
    let end = Instant::now() + Duration::from_secs(30);
    while got.iter().sum::<u32>() < 12_000 {
        let all: u32 = sent.iter().sum();
        // The guest does not use its last queue for a while.
        let used = if (6000..7000).contains(&all) { 2 } else { 3 };
        let pair = all as usize % used;
        if all < 12_000 && all - got.iter().sum::<u32>() < 40 {
            let mut f = frame(0xb, pair as u8, 0);
            f[14..18].copy_from_slice(&sent[pair].to_be_bytes());
            if a.send(pair, &f) {
                sent[pair] += 1;
                match sent.iter().sum::<u32>() {
                    n if n % 2000 == 1000 => {
                        workers([1, 2, 3, 2, 1, 2][n as usize / 2000]);
                        daemon.signal("HUP");
                    }
                    6000 => a.tell(18, &[5u32.to_ne_bytes(), 0u32.to_ne_bytes()].concat(), &[]),
                    6900 => a.tell(18, &[5u32.to_ne_bytes(), 1u32.to_ne_bytes()].concat(), &[]),
                    _ => {}
                }
            }
        }
        while let Some((_, f)) = b.receive(0) {
            if f[12..14] != [0x88, 0xb5] || f[11] > 2 {
                continue;
            }
            let (pair, number) = (usize::from(f[11]), u32::from_be_bytes(f[14..18].try_into().expect("four bytes")));
            assert_eq!(number, got[pair], "from queue {pair}");
            got[pair] += 1;
        }
        assert!(Instant::now() < end, "sent {sent:?}, arrived {got:?}");
    }
    assert_eq!(sent, got);
    let rule = || ofctl(&place, "dump-flows br0");
    wait_for("the rule's count", || rule().split("n_packets=").nth(1).and_then(|t| t.split(',').next()?.parse::<u64>().ok()).is_some_and(|n| n >= 12_000));
    assert!(!daemon.log().contains("|ERR|"), "{}", daemon.log());
    // The guest goes and comes back with fewer.
    drop(a);
    let mut a = Front::new(accept(&listener), SPLIT, 1, 64);
    a.start();
    until_it_arrives(&mut a, &mut b, &frame(0xb, 0xa, 100));
    assert_eq!(daemon.stop(), Some(0));
}
