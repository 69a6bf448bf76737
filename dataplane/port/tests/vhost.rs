//! vhost-user ports with a front of our own: real sockets, real shared memory.

#[path = "support/driver.rs"]
mod driver;
#[path = "support/front.rs"]
mod front;

use std::path::PathBuf;
use std::sync::mpsc::{channel, Receiver};
use std::time::{Duration, Instant};

use front::*;
use sluice_frame::{Frame, Gso, Meta, Pool};
use sluice_port::vhost::{Event, Mode, VhostOptions, VhostPort};
use sluice_port::{Port, SendDrop, SendOutcome};

const BASIC: u64 = PROTOCOL | VERSION_1 | MRG_RXBUF | INDIRECT;
const OFFLOADS: u64 = CSUM | GUEST_CSUM | HOST_TSO4 | GUEST_TSO4;

struct Switch {
    port: Box<VhostPort>,
    pool: Pool,
    events: Receiver<Event>,
    path: PathBuf,
    /// Queues that are served apart from the port.
    apart: Vec<(u16, Box<dyn Port>)>,
    /// Frames that came while the front was busy with messages.
    early: Vec<(Meta, Vec<u8>)>,
}

impl Switch {
    fn new(mode: Mode, name: &str) -> Switch {
        Switch::with(mode, name, false, None)
    }

    fn with(mode: Mode, name: &str, iommu: bool, mtu: Option<u16>) -> Switch {
        let path = std::env::temp_dir().join(format!("sluice-vhost-{}-{name}.sock", std::process::id()));
        let (tell, events) = channel();
        let options = VhostOptions { path: path.clone(), mode, mtu, iommu };
        let observer = Box::new(move |e| drop(tell.send(e)));
        let port = Box::new(VhostPort::open(name, &options, observer).unwrap());
        Switch { port, pool: Pool::new(2048, 1024).unwrap(), events, path, apart: Vec::new(), early: Vec::new() }
    }

    /// Runs the port until the front did this.
    fn until(&mut self, what: impl Fn(&Event) -> bool) -> Event {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let frames = self.turn();
            assert_eq!(frames.len(), 0, "nothing is sent yet");
            while let Ok(e) = self.events.try_recv() {
                if what(&e) {
                    return e;
                }
            }
            assert!(Instant::now() < end, "the front does not do it");
            std::thread::yield_now();
        }
    }

    fn until_up(&mut self) {
        self.until(|e| matches!(e, Event::Up { .. }));
    }

    fn turn(&mut self) -> Vec<(Meta, Vec<u8>)> {
        let mut frames = std::mem::take(&mut self.early);
        let mut out = Vec::new();
        self.port.receive(&mut self.pool, &mut out, 64).unwrap();
        for (_, intake) in &mut self.apart {
            intake.receive(&mut self.pool, &mut out, 64).unwrap();
        }
        frames.extend(out.iter().map(|f: &Frame| (f.meta, f.to_vec())));
        out.into_iter().for_each(|f| self.pool.free(f));
        frames
    }

    fn expect(&mut self, n: usize) -> Vec<(Meta, Vec<u8>)> {
        let end = Instant::now() + Duration::from_secs(10);
        let mut all = Vec::new();
        while all.len() < n {
            all.extend(self.turn());
            assert!(Instant::now() < end, "{} of {n} frames came", all.len());
        }
        all
    }

    fn send(&mut self, frames: &[(Meta, &[u8])]) -> SendOutcome {
        let mut batch = Vec::new();
        for (meta, bytes) in frames {
            let mut f = self.pool.copy_in(bytes).unwrap();
            f.meta = *meta;
            batch.push(f);
        }
        let outcome = self.port.send(&mut self.pool, &mut batch);
        assert!(batch.is_empty());
        outcome
    }

    fn send_plain(&mut self, bytes: &[u8]) -> SendOutcome {
        self.send(&[(Meta::default(), bytes)])
    }

    fn close(mut self) {
        assert_eq!(self.pool.outstanding(), 0);
        self.port.close(&mut self.pool);
    }
}

/// Runs the switch in a thread until the front's part is done.
fn with_switch<T>(switch: &mut Switch, front: impl FnOnce() -> T + Send) -> T
where
    T: Send,
{
    std::thread::scope(|s| {
        let t = s.spawn(front);
        while !t.is_finished() {
            switch.early = switch.turn();
            std::thread::yield_now();
        }
        t.join().unwrap()
    })
}

/// Switch and front that are up, the front listening.
fn attached(name: &str, features: u64, pairs: usize, size: u16) -> (Switch, Front) {
    let path = std::env::temp_dir().join(format!("sluice-vhost-{}-{name}.sock", std::process::id()));
    let listener = listen(&path);
    let mut switch = Switch::new(Mode::Client, name);
    let front = with_switch(&mut switch, || {
        let mut f = Front::new(accept(&listener), features, pairs, size);
        f.start();
        f
    });
    switch.until_up();
    (switch, front)
}

fn frame(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 11 + seed * 5) as u8).collect()
}

fn layouts() -> [u64; 4] {
    [BASIC, BASIC | EVENT_INDEX, BASIC | PACKED, BASIC | PACKED | EVENT_INDEX]
}

#[test]
fn frames_pass_both_ways_in_order_whatever_the_layout() {
    for (i, features) in layouts().into_iter().enumerate() {
        let (mut switch, mut guest) = attached(&format!("both{i}"), features, 1, 64);
        for round in 0..20 {
            let sent: Vec<Vec<u8>> = (0..40).map(|n| frame(n + round, 60 + n * 30)).collect();
            for f in &sent {
                assert!(guest.send(0, f));
            }
            let got: Vec<Vec<u8>> = switch.expect(40).into_iter().map(|(_, f)| f).collect();
            assert_eq!(got, sent);
            for f in &sent {
                assert_eq!(switch.send_plain(f).sent, 1);
                let (header, bytes) = guest.expect(0);
                assert_eq!((&bytes, &header[..10]), (f, &[0; 10][..]));
            }
        }
        let stats = switch.port.stats();
        assert_eq!((stats.rx_packets, stats.tx_packets, stats.rx_errors, stats.tx_dropped), (800, 800, 0, 0));
        switch.close();
    }
}

#[test]
fn a_guest_that_sleeps_is_called_and_a_switch_that_sleeps_is_kicked() {
    for (i, features) in layouts().into_iter().enumerate() {
        let (mut switch, mut guest) = attached(&format!("sleep{i}"), features, 1, 64);
        was_called(&guest.pairs[0].calls[0]);
        // The guest polls: no calls, however many frames come.
        for n in 0..5 {
            switch.send_plain(&frame(n, 60));
            guest.expect(0);
        }
        if features & EVENT_INDEX == 0 {
            assert!(!was_called(&guest.pairs[0].calls[0]), "a guest that polls is not called");
        }
        guest.pairs[0].rx.want_calls(&guest.guest);
        switch.send_plain(&frame(1, 60));
        assert!(was_called(&guest.pairs[0].calls[0]), "a guest that sleeps is called");
        guest.expect(0);
        // The switch goes to sleep and is woken by the next frame.
        assert!(switch.port.arm());
        let fd = switch.port.poll_fd().unwrap();
        let mut p = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        unsafe { libc::poll(&mut p, 1, 0) };
        assert!(guest.send(0, &frame(2, 60)));
        assert_eq!(unsafe { libc::poll(&mut p, 1, 5000) }, 1, "the kick wakes the switch");
        assert_eq!(switch.expect(1).len(), 1);
        // Frames that wait already keep it awake.
        assert!(guest.send(0, &frame(3, 60)));
        assert!(!switch.port.arm());
        switch.expect(1);
        switch.close();
    }
}

#[test]
fn big_packets_stay_big_between_capable_guests_and_are_cut_for_others() {
    let tcp = tcp_frame(40_000);
    let meta = Meta { needs_csum: true, csum_start: 34, csum_offset: 16, gso: Gso::Tcp4, gso_size: 1448, hdr_len: 54, ..Meta::default() };
    for packed in [0, PACKED] {
        let (mut switch, mut guest) = attached(&format!("big{}", packed >> 34), BASIC | OFFLOADS | packed, 1, 64);
        let mut header = [0; HEADER];
        header[..10].copy_from_slice(&[1, 1, 54, 0, 0xa8, 5, 34, 0, 16, 0]);
        assert!(guest.send_with(0, &header, &tcp));
        let got = switch.expect(1).remove(0);
        assert_eq!((got.0, &got.1), (meta, &tcp));
        assert_eq!(switch.send(&[(meta, &tcp)]).sent, 1);
        let (header, bytes) = guest.expect(0);
        assert_eq!(bytes, tcp);
        assert_eq!(header[..10], [1, 1, 54, 0, 0xa8, 5, 34, 0, 16, 0]);
        assert!(header[10] > 1, "several buffers");
        switch.close();
        // A guest without offloads gets it in pieces, complete.
        let (mut switch, mut guest) = attached(&format!("cut{}", packed >> 34), BASIC | packed, 1, 64);
        assert_eq!(switch.send(&[(meta, &tcp)]).sent, 1);
        for i in 0..28 {
            let (header, bytes) = guest.expect(0);
            assert_eq!(header[..2], [0, 0], "piece {i}: nothing left undone");
            assert!(bytes.len() <= 1448 + 54);
        }
        assert!(guest.receive(0).is_none());
        switch.close();
    }
}

/// TCP over IPv4 whose checksum holds the pseudo header.
fn tcp_frame(payload: usize) -> Vec<u8> {
    let mut f = vec![0u8; 54 + payload];
    f[12..14].copy_from_slice(&[8, 0]);
    let total = (40 + payload) as u16;
    f[14..26].copy_from_slice(&[0x45, 0, (total >> 8) as u8, total as u8, 0, 1, 0x40, 0, 64, 6, 0, 0]);
    f[26..34].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
    f[46] = 0x50;
    f
}

#[test]
fn a_front_that_dies_and_comes_back_goes_on_as_does_a_switch() {
    for (i, features) in layouts().into_iter().enumerate() {
        let name = format!("back{i}");
        let path = std::env::temp_dir().join(format!("sluice-vhost-{}-{name}.sock", std::process::id()));
        let listener = listen(&path);
        let mut switch = Switch::new(Mode::Client, &name);
        let mut guest = with_switch(&mut switch, || {
            let mut f = Front::new(accept(&listener), features, 1, 32);
            f.start();
            f
        });
        switch.until_up();
        for round in 0..10 {
            assert!(guest.send(0, &frame(round, 80)));
            assert_eq!(switch.expect(1)[0].1, frame(round, 80));
            assert_eq!(switch.send_plain(&frame(round, 90)).sent, 1);
            assert_eq!(guest.expect(0).1, frame(round, 90));
            if round % 2 == 0 {
                // The front's process dies: its guest begins anew.
                guest.socket.shutdown(std::net::Shutdown::Both).unwrap();
                switch.until(|e| matches!(e, Event::Down));
                guest.reset_rings();
            } else {
                // The switch dies: the guest goes on where it was.
                switch.close();
                switch = Switch::new(Mode::Client, &name);
                guest.collect_sent();
                if features & PACKED != 0 {
                    // Without a record of chains in flight only the driver knows where a packed ring is.
                    guest.reset_rings();
                }
            }
            guest = with_switch(&mut switch, || {
                guest.reconnect(accept(&listener));
                guest.start();
                guest
            });
            switch.until_up();
        }
        switch.close();
    }
}

#[test]
fn rings_stop_and_go_on_where_they_were() {
    for features in layouts() {
        let (mut switch, mut guest) = attached(&format!("stop{features:x}"), features, 1, 8);
        for round in 0..30 {
            assert!(guest.send(0, &frame(round, 100)));
            switch.expect(1);
            switch.send_plain(&frame(round, 70));
            guest.expect(0);
            guest.collect_sent();
            let bases = with_switch(&mut switch, || {
                if round % 2 == 0 {
                    // QEMU resets the device before it asks where its rings are.
                    guest.tell(39, &0u64.to_ne_bytes(), &[]);
                }
                [guest.stop_ring(0), guest.stop_ring(1)]
            });
            assert_eq!(bases[0] & 0x7fff, (round as u32 + 1) % if features & PACKED != 0 { 8 } else { 1 << 15 }, "round {round}");
            assert_eq!(bases[1] & 0xffff, guest.pairs[0].tx.base(), "round {round}");
            assert_eq!(switch.send_plain(&frame(1, 60)).dropped_for(SendDrop::Down), 1);
            with_switch(&mut switch, || {
                guest.start_ring(0, bases[0]);
                guest.start_ring(1, bases[1]);
            });
        }
        switch.close();
    }
}

#[test]
fn several_queues_are_all_served_and_flows_keep_to_one() {
    let (mut switch, mut guest) = attached("queues", BASIC | MQ, 4, 64);
    for pair in 0..4 {
        assert!(guest.send(pair, &frame(pair, 60)));
    }
    let mut got: Vec<Vec<u8>> = switch.expect(4).into_iter().map(|(_, f)| f).collect();
    got.sort();
    let mut sent: Vec<Vec<u8>> = (0..4).map(|p| frame(p, 60)).collect();
    sent.sort();
    assert_eq!(got, sent);
    let mut seen = std::collections::BTreeMap::new();
    for i in 0..200u32 {
        let mut f = tcp_frame(20);
        f[29] = (i % 50) as u8;
        switch.send_plain(&f);
        let pair = (0..4).find(|p| guest.receive(*p).is_some()).expect("one queue has it");
        assert_eq!(*seen.entry(i % 50).or_insert(pair), pair, "a flow changed its queue");
    }
    let used: std::collections::BTreeSet<usize> = seen.values().copied().collect();
    assert_eq!(used.len(), 4);
    switch.close();
}

/// Says whether a ring is used, while the switch goes on.
fn enable(switch: &mut Switch, guest: &Front, ring: u32, on: u32) {
    let message = [ring.to_ne_bytes(), on.to_ne_bytes()].concat();
    with_switch(switch, || guest.tell(18, &message, &[]));
}

/// Sends by each pair and expects it from whoever serves that one: 0 is the port, and which are served.
fn each_is_heard(switch: &mut Switch, guest: &mut Front, served: &[usize]) {
    for pair in 0..guest.pairs.len() {
        assert!(guest.send(pair, &frame(pair, 60)) && guest.send(pair, &frame(pair + 10, 70)));
    }
    for &pair in served {
        let (end, mut got) = (Instant::now() + Duration::from_secs(10), Vec::new());
        while got.len() < 2 {
            let port: &mut dyn Port = if pair == 0 { &mut *switch.port } else { &mut *switch.apart[pair - 1].1 };
            let mut out = Vec::new();
            port.receive(&mut switch.pool, &mut out, 64).unwrap();
            got.extend(out.iter().map(Frame::to_vec));
            out.into_iter().for_each(|f| switch.pool.free(f));
            assert!(Instant::now() < end, "queue {pair}: {got:?}");
        }
        assert_eq!(got, [frame(pair, 60), frame(pair + 10, 70)], "by queue {pair}, in order");
    }
    for _ in 0..100 {
        assert!(switch.turn().is_empty(), "a frame came twice, or by a queue that is not used");
    }
}

#[test]
fn queues_of_a_guest_are_served_apart_while_it_disables_them_dies_and_comes_back() {
    for packed in [0, PACKED] {
        let name = format!("apart{packed:x}");
        let path = std::env::temp_dir().join(format!("sluice-vhost-{}-{name}.sock", std::process::id()));
        let listener = listen(&path);
        let mut switch = Switch::new(Mode::Client, &name);
        let mut guest = with_switch(&mut switch, || {
            let mut f = Front::new(accept(&listener), BASIC | MQ | packed, 3, 64);
            f.start();
            f
        });
        switch.until(|e| *e == Event::Pairs(3));
        switch.apart = switch.port.intakes();
        assert_eq!(switch.apart.iter().map(|(n, _)| *n).collect::<Vec<_>>(), [1, 2]);
        assert!(switch.port.intakes().is_empty(), "each is given away once");
        // What the worker said was heard before a message that came after it.
        enable(&mut switch, &guest, 1, 1);
        each_is_heard(&mut switch, &mut guest, &[0, 1, 2]);
        // A queue that is disabled keeps what is in it until it is enabled again.
        enable(&mut switch, &guest, 3, 0);
        each_is_heard(&mut switch, &mut guest, &[0, 2]);
        enable(&mut switch, &guest, 3, 1);
        let kept: Vec<_> = switch.expect(2).into_iter().map(|(_, f)| f).collect();
        assert_eq!(kept, [frame(1, 60), frame(11, 70)]);
        // What is sent goes by the port, as ever.
        assert_eq!(switch.send_plain(&tcp_frame(20)).sent, 1);
        // The guest dies and comes back with the same rings.
        guest.socket.shutdown(std::net::Shutdown::Both).unwrap();
        switch.until(|e| matches!(e, Event::Down));
        guest.reset_rings();
        let mut guest = with_switch(&mut switch, || {
            guest.reconnect(accept(&listener));
            guest.start();
            guest
        });
        switch.until_up();
        each_is_heard(&mut switch, &mut guest, &[0, 1, 2]);
        // It breaks the rules in a queue that is served apart.
        let at = guest.pairs[2].tx.desc;
        guest.send(2, &frame(1, 60));
        (0..64).for_each(|i| guest.guest.write(at + 16 * i, &[0xff; 12]));
        switch.until(|e| matches!(e, Event::Broken(why) if why.contains("ring 5")));
        // One of them is closed, as with its worker; then the port.
        while let Some((_, intake)) = switch.apart.pop() {
            intake.close(&mut switch.pool);
        }
        switch.close();
    }
}

#[test]
fn the_switch_may_be_the_one_that_listens() {
    let mut switch = Switch::new(Mode::Server, "server");
    let path = switch.path.clone();
    for round in 0..5 {
        let mut guest = with_switch(&mut switch, || {
            let mut f = Front::new(connect(&path), BASIC, 1, 16);
            f.start();
            f
        });
        switch.until_up();
        assert!(guest.send(0, &frame(round, 80)));
        switch.expect(1);
        drop(guest);
        switch.until(|e| matches!(e, Event::Down));
    }
    let second = VhostPort::open(
        "second",
        &VhostOptions { path: path.clone(), mode: Mode::Server, mtu: None, iommu: false },
        Box::new(drop),
    );
    assert!(second.err().unwrap().to_string().contains("another process listens"));
    switch.close();
    assert!(!path.exists(), "the socket goes with its port");
}

#[test]
fn a_guest_that_breaks_the_rules_loses_its_session_and_may_come_back() {
    let name = "broken";
    let path = std::env::temp_dir().join(format!("sluice-vhost-{}-{name}.sock", std::process::id()));
    let listener = listen(&path);
    let mut switch = Switch::new(Mode::Client, name);
    let mut guest = with_switch(&mut switch, || {
        let mut f = Front::new(accept(&listener), BASIC, 1, 16);
        f.start();
        f
    });
    switch.until_up();
    // More available than the ring holds.
    guest.guest.put16(guest.pairs[0].tx.driver + 2, 500);
    let why = switch.until(|e| matches!(e, Event::Broken(_)));
    assert!(matches!(&why, Event::Broken(w) if w.contains("ring 1: more descriptors")), "{why:?}");
    assert_eq!(switch.send_plain(&frame(1, 60)).dropped_for(SendDrop::Down), 1);
    guest.reset_rings();
    let mut guest = with_switch(&mut switch, || {
        guest.reconnect(accept(&listener));
        guest.start();
        guest
    });
    switch.until_up();
    assert!(guest.send(0, &frame(2, 80)));
    assert_eq!(switch.expect(1)[0].1, frame(2, 80));
    switch.close();
}

#[test]
fn a_guest_whose_memory_shrinks_loses_its_own_port_and_no_other() {
    use std::os::fd::AsRawFd;
    for features in [BASIC, BASIC | PACKED] {
        let (mut other, mut neighbour) = attached("shrinks-not", features, 1, 16);
        let (mut switch, guest) = attached("shrinks", features, 1, 16);
        // The front itself must not touch it from here on.
        // SAFETY: no memory is passed.
        assert_eq!(unsafe { libc::ftruncate(guest.guest.fd.as_raw_fd(), 0) }, 0);
        switch.send_plain(&frame(1, 60));
        let why = switch.until(|e| matches!(e, Event::Broken(_)));
        assert!(matches!(&why, Event::Broken(w) if w.contains("shortened")), "{why:?}");
        assert_eq!(switch.send_plain(&frame(1, 60)).dropped_for(SendDrop::Down), 1);
        assert!(neighbour.send(0, &frame(2, 80)));
        assert_eq!(other.expect(1)[0].1, frame(2, 80), "the neighbour did not notice");
        switch.close();
        other.close();
    }
}

#[test]
fn postcopy_and_unknown_messages_are_refused_with_a_reason() {
    let (mut switch, guest) = attached("postcopy", BASIC, 1, 16);
    for (request, word) in [(28u32, "postcopy"), (99, "message 99")] {
        let answer = with_switch(&mut switch, || guest.try_tell(request, &[0; 8], &[]).unwrap());
        assert_eq!(answer, 1);
        let e = switch.until(|e| matches!(e, Event::Refused(_)));
        assert!(matches!(&e, Event::Refused(w) if w.contains(word)), "{e:?}");
    }
    switch.close();
}

#[test]
fn an_announcement_is_handed_in_as_if_the_guest_had_sent_it() {
    let (mut switch, guest) = attached("rarp", BASIC, 1, 16);
    let end = Instant::now() + Duration::from_secs(10);
    guest.socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    send_message(&guest.socket, 19, 0, &[2, 0, 0, 0, 0, 7, 0, 0], &[]).unwrap();
    loop {
        let got = switch.turn();
        if let Some((_, f)) = got.first() {
            assert_eq!((&f[6..14], f.len()), (&[2, 0, 0, 0, 0, 7, 0x80, 0x35][..], 60));
            break;
        }
        assert!(Instant::now() < end);
        std::thread::yield_now();
    }
    switch.close();
}

#[test]
fn pages_that_are_written_are_logged_while_the_guest_moves() {
    for packed in [0, PACKED] {
        let name = format!("log{}", packed >> 34);
        let (mut switch, mut guest) = attached(&name, BASIC | LOG_ALL | packed, 1, 16);
        let pages = (driver::BASE + (16 << 20)) / 4096;
        let log = driver::Guest::new(pages.div_ceil(8).next_multiple_of(4096) * 2);
        let body = [(log.len).to_ne_bytes(), 0u64.to_ne_bytes()].concat();
        use std::os::fd::AsRawFd;
        with_switch(&mut switch, || {
            send_message(&guest.socket, 6, 0, &body, &[log.fd.as_raw_fd()]).unwrap();
            let (request, ..) = read_message(&guest.socket).unwrap();
            assert_eq!(request, 6);
        });
        assert!(switch.turn().is_empty());
        assert_eq!(switch.send_plain(&frame(1, 900)).sent, 1);
        guest.expect(0);
        let bits = std::fs::read(format!("/proc/self/fd/{}", log.fd.as_raw_fd())).unwrap();
        let dirty: Vec<u64> = (0..pages).filter(|p| bits[(p / 8) as usize] & 1 << (p % 8) != 0).collect();
        assert!((2..=4).contains(&dirty.len()), "a buffer's page and the ring's: {dirty:x?}");
        assert!(dirty.contains(&(guest.pairs[0].rx.device / 4096)) || packed != 0);
        switch.close();
    }
}

#[test]
fn addresses_behind_an_iommu_are_translated_by_the_front() {
    for packed in [0, PACKED] {
        let name = format!("iommu{}", packed >> 34);
        let path = std::env::temp_dir().join(format!("sluice-vhost-{}-{name}.sock", std::process::id()));
        let listener = listen(&path);
        let mut switch = Switch::with(Mode::Client, &name, true, None);
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        use std::os::fd::AsRawFd;
        let mut guest = with_switch(&mut switch, || {
            let mut f = Front::new(accept(&listener), BASIC | IOMMU | packed, 1, 16);
            f.iova = 0x5500_0000_0000;
            f.tell(21, &[], &[theirs.as_raw_fd()]);
            f.start();
            f
        });
        // Nothing is known yet: every miss is asked for and answered, page by page.
        ours.set_nonblocking(true).unwrap();
        let (mut asked, mut sent, mut up) = (0, false, false);
        let end = Instant::now() + Duration::from_secs(20);
        let got = loop {
            assert!(Instant::now() < end, "asked {asked} times, up {up}");
            let got = switch.turn();
            if let Some((_, f)) = got.first() {
                break f.clone();
            }
            let mut m = [0u8; 44];
            if matches!(std::io::Read::read(&mut &ours, &mut m), Ok(44)) {
                let address = u64::from_ne_bytes(m[12..20].try_into().unwrap()) & !4095;
                asked += 1;
                let mut body = [0u8; 32];
                for (to, word) in body.chunks_exact_mut(8).zip([address, 4096, address - guest.iova + driver::USER]) {
                    to.copy_from_slice(&word.to_ne_bytes());
                }
                (body[24], body[25]) = (3, 2);
                with_switch(&mut switch, || guest.tell(22, &body, &[]));
            }
            up |= switch.events.try_iter().any(|e| matches!(e, Event::Up { .. }));
            if up && !sent {
                sent = guest.send(0, &frame(4, 500));
            }
        };
        assert_eq!(got, frame(4, 500));
        assert!(asked >= 2, "{asked}");
        switch.close();
    }
}

#[test]
fn frames_beyond_the_mtu_are_counted_and_not_sent() {
    let name = "mtu";
    let path = std::env::temp_dir().join(format!("sluice-vhost-{}-{name}.sock", std::process::id()));
    let listener = listen(&path);
    let mut switch = Switch::with(Mode::Client, name, false, Some(1400));
    let _guest = with_switch(&mut switch, || {
        let mut f = Front::new(accept(&listener), BASIC, 1, 16);
        f.start();
        f
    });
    switch.until_up();
    assert_eq!(switch.send_plain(&frame(1, 1418)).sent, 1);
    assert_eq!(switch.send_plain(&frame(1, 1419)).dropped_for(SendDrop::TooLong), 1);
    switch.close();
}

/// Asks for a record of chains in flight and gives it back, as a front does on every connection.
fn share_record(guest: &Front, record: Option<std::os::fd::OwnedFd>, size: u16) -> std::os::fd::OwnedFd {
    use std::os::fd::AsRawFd;
    let mut body = [0u8; 24];
    body[16..18].copy_from_slice(&2u16.to_ne_bytes());
    body[18..20].copy_from_slice(&size.to_ne_bytes());
    let (answer, fd) = guest.ask_bytes(31, &body);
    let record = record.unwrap_or_else(|| fd.expect("a record"));
    body[..8].copy_from_slice(&answer[..8]);
    guest.tell(32, &body, &[record.as_raw_fd()]);
    record
}

/// Writes what a switch leaves in a record that dies after it marked a chain and before it showed it.
fn mark(record: &std::os::fd::OwnedFd, at: u64, bytes: &[u8]) {
    use std::os::fd::AsRawFd;
    let n = unsafe { libc::pwrite(record.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), at as i64) };
    assert_eq!(n, bytes.len() as isize);
}

fn peek(record: &std::os::fd::OwnedFd, at: u64, len: usize) -> Vec<u8> {
    use std::os::fd::AsRawFd;
    let mut bytes = vec![0; len];
    assert_eq!(unsafe { libc::pread(record.as_raw_fd(), bytes.as_mut_ptr().cast(), len, at as i64) }, len as isize);
    bytes
}

#[test]
fn chains_in_flight_are_given_back_by_the_next_life_of_the_switch() {
    for features in [BASIC, BASIC | PACKED] {
        let packed = features & PACKED != 0;
        let name = format!("flight{}", u8::from(packed));
        let path = std::env::temp_dir().join(format!("sluice-vhost-{}-{name}.sock", std::process::id()));
        let listener = listen(&path);
        let mut switch = Switch::new(Mode::Client, &name);
        let (mut guest, record) = with_switch(&mut switch, || {
            let mut f = Front::new(accept(&listener), features, 1, 8);
            let record = share_record(&f, None, 8);
            f.start();
            (f, record)
        });
        switch.until_up();
        for n in 0..13 {
            assert!(guest.send(0, &frame(n, 60)));
            switch.expect(1);
        }
        guest.collect_sent();
        let (head, entry) = if packed { (32u64, 32u64) } else { (16, 16) };
        let part = (head + entry * 8).next_multiple_of(64);
        let marks = |r: &std::os::fd::OwnedFd| (0..8).filter(|n| peek(r, part + head + entry * n, 1) == [1]).count();
        assert_eq!(marks(&record), 0, "nothing is in flight between batches");
        switch.close();
        // The next frame is available; the dead switch had marked it, and spoilt it in a packed ring.
        let before = guest.pairs[0].tx.base();
        assert!(guest.send(0, &frame(77, 60)));
        if packed {
            let place = (before & 0x7fff) as u64;
            let wrap = (before >> 15) as u8;
            let desc = guest.pairs[0].tx.desc + 16 * place;
            let d = guest.guest.read(desc, 16);
            let free = u16::from_ne_bytes(peek(&record, part + 12, 2).try_into().unwrap());
            let e = part + head + entry * u64::from(free);
            mark(&record, e + 4, &[free.to_ne_bytes(), 1u16.to_ne_bytes()].concat());
            mark(&record, e + 8, &100u64.to_ne_bytes());
            mark(&record, e + 16, &[&d[12..14], &d[14..16], &d[8..12], &d[0..8]].concat());
            mark(&record, e, &[1]);
            let next = if place + 1 == 8 { (0u16, wrap ^ 1) } else { (place as u16 + 1, wrap) };
            mark(&record, part + 16, &next.0.to_ne_bytes());
            mark(&record, part + 20, &[next.1]);
            guest.guest.write(desc + 8, &[0; 4]);
        } else {
            let slot = (before as u16).wrapping_sub(0) & 7;
            let id = guest.guest.get16(guest.pairs[0].tx.driver + 4 + 2 * u64::from(slot));
            let e = part + head + entry * u64::from(id);
            mark(&record, e + 6, &peek(&record, part + 12, 2));
            mark(&record, e + 8, &100u64.to_ne_bytes());
            mark(&record, e, &[1]);
            mark(&record, part + 12, &id.to_ne_bytes());
        }
        let mut switch = Switch::new(Mode::Client, &name);
        let base = guest.pairs[0].rx.base();
        let mut all = Vec::new();
        let (mut guest, record) = std::thread::scope(|s| {
            let t = s.spawn(|| {
                guest.reconnect(accept(&listener));
                let record = share_record(&guest, Some(record), 8);
                guest.share_memory();
                guest.start_ring(0, base);
                guest.start_ring(1, before);
                (guest, record)
            });
            while !t.is_finished() {
                all.extend(switch.turn());
                std::thread::yield_now();
            }
            t.join().unwrap()
        });
        while all.is_empty() {
            all.extend(switch.expect(1));
        }
        assert_eq!(all.remove(0).1, frame(77, 60), "packed {packed}");
        assert!(all.is_empty(), "given back once");
        assert!(guest.send(0, &frame(78, 60)));
        assert_eq!(switch.expect(1)[0].1, frame(78, 60));
        guest.collect_sent();
        assert_eq!((guest.pairs[0].tx.outstanding(), marks(&record)), (0, 0));
        switch.close();
    }
}
