//! The host's tables as the kernel's own tools see them, in a namespace of the test's own.

mod support;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use sluice_frame::Pool;
use sluice_port::netlink::{Address, Change, Host, Tables};
use sluice_port::packet::PacketPort;
use sluice_port::Device;
use support::{receive_until, Namespace};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Follows until the tables are as wanted; returns the changes on the way.
fn follow_until(host: &mut Host, what: &str, wanted: impl Fn(&Tables) -> bool) -> Vec<Change> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut changes = Vec::new();
    loop {
        host.follow(&mut changes).unwrap();
        if wanted(host.tables()) {
            return changes;
        }
        assert!(Instant::now() < deadline, "never came about: {what}");
        let mut p = libc::pollfd { fd: host.poll_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd that outlives the call.
        unsafe { libc::poll(&mut p, 1, 100) };
    }
}

/// Compares a look-up with `ip route get`.
fn agrees(ns: &Namespace, host: &Host, address: &str) {
    let out = ns.command("ip").args(["-o", "route", "get", address]).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let word = |key: &str| text.split_whitespace().skip_while(|w| *w != key).nth(1).map(str::to_owned);
    let found = host.tables().route_to(ip(address));
    let usable = out.status.success() && !text.starts_with("blackhole") && !text.starts_with("unreachable");
    if !usable {
        assert_eq!(found, None, "{address}");
        return;
    }
    let hop = found.unwrap_or_else(|| panic!("{address}: no route here, there: {text}"));
    assert_eq!(host.tables().link(hop.link).map(|l| l.name.clone()), word("dev"), "{address}: {text}");
    assert_eq!(hop.gateway.map(|g| g.to_string()), word("via"), "{address}: {text}");
    if let Some(source) = hop.source {
        assert_eq!(Some(source.to_string()), word("src"), "{address}: {text}");
    }
}

#[test]
fn routes_are_found_as_the_kernel_finds_them_and_followed_as_they_change() {
    let Some(ns) = Namespace::new("netlink routes") else { return };
    let Some(far) = Namespace::new("netlink routes") else { return };
    ns.veth("u0", &far, "u1");
    ns.veth("w0", &far, "w1");
    ns.ip("addr add 10.90.0.1/24 dev u0");
    ns.ip("addr add 10.91.0.1/24 dev w0");
    ns.ip("route add default via 10.90.0.254");
    ns.ip("route add 172.16.0.0/12 via 10.91.0.254");
    let mut host = ns.inside(|| Host::open().unwrap());
    let probes = ["10.90.0.7", "10.91.0.7", "8.8.8.8", "172.16.3.4", "172.31.255.255", "172.32.0.1", "10.92.0.1", "10.93.0.1"];
    let compare = |host: &Host| probes.iter().for_each(|p| agrees(&ns, host, p));
    compare(&host);
    assert_eq!(host.tables().link_by_name("u0").unwrap().kind.as_deref(), Some("veth"));
    assert_eq!(host.tables().link_by_name("u0").unwrap().mtu, 1500);

    ns.ip("route add 10.92.0.0/16 via 10.90.0.9 src 10.90.0.1 metric 50");
    ns.ip("route add 10.92.0.0/24 via 10.91.0.9 metric 10");
    ns.ip("route add 10.92.0.0/24 via 10.91.0.8 metric 5");
    ns.ip("route add blackhole 10.93.0.0/16");
    follow_until(&mut host, "new routes", |t| t.routes().any(|r| r.prefix.to_string() == "10.93.0.0/16"));
    compare(&host);

    ns.ip("route replace 172.16.0.0/12 via 10.90.0.77");
    ns.ip("route del 10.92.0.0/24 via 10.91.0.8");
    follow_until(&mut host, "changed routes", |t| {
        t.route_to(ip("10.92.0.1")).is_some_and(|n| n.gateway == Some(ip("10.91.0.9")))
    });
    compare(&host);

    // The kernel drops the routes of a link that goes down without a word about each.
    ns.ip("link set w0 down");
    follow_until(&mut host, "link down", |t| t.link_by_name("w0").is_some_and(|l| !l.up) && t.routes().count() == 5);
    compare(&host);
    ns.ip("link set w0 up");
    ns.ip("route add 10.92.0.0/24 nexthop via 10.91.0.21 dev w0 nexthop via 10.91.0.22 dev w0");
    follow_until(&mut host, "multipath", |t| t.route_to(ip("10.92.0.1")).is_some_and(|n| n.gateway == Some(ip("10.91.0.21"))));

    let gone = host.tables().link_by_name("u0").unwrap().index;
    ns.ip("link del u0");
    let changes = follow_until(&mut host, "link gone", |t| t.link(gone).is_none());
    assert!(changes.contains(&Change::LinkGone(gone)));
    follow_until(&mut host, "routes gone", |t| t.route_to(ip("8.8.8.8")).is_none());
    assert!(host.tables().owner_of(ip("10.90.0.1")).is_none());
}

#[test]
fn ipv6_routes_are_found_too() {
    let Some(ns) = Namespace::new("netlink v6") else { return };
    ns.ip("link add d0 type veth peer name d9");
    ns.ip("link set d0 up");
    ns.ip("link set d9 up");
    ns.ip("addr add fd90::1/64 dev d0 nodad");
    let mut host = ns.inside(|| Host::open().unwrap());
    ns.ip("-6 route add fd91::/32 via fd90::99");
    ns.ip("-6 route add default via fd90::fe");
    follow_until(&mut host, "v6 default", |t| t.route_to(ip("2001:db8::1")).is_some());
    for p in ["fd90::5", "fd91::5", "2001:db8::1"] {
        agrees(&ns, &host, p);
    }
}

#[test]
fn addresses_are_given_and_neighbours_are_resolved_on_request() {
    let (Some(ns), Some(far)) = (Namespace::new("netlink neighbours"), Namespace::new("netlink neighbours")) else { return };
    ns.veth("u0", &far, "u1");
    far.ip("addr add 10.94.0.2/24 dev u1");
    let mut host = ns.inside(|| Host::open().unwrap());
    let link = host.tables().link_by_name("u0").unwrap().index;
    let address = Address { link, address: ip("10.94.0.1"), length: 24 };
    host.add_address(address).unwrap();
    host.add_address(address).unwrap();
    follow_until(&mut host, "address", |t| t.owner_of(ip("10.94.0.1")) == Some(link));
    assert!(ns.ip("addr show dev u0").contains("10.94.0.1/24 brd 10.94.0.255"));

    let mac = far.inside(|| Device::open("u1").unwrap().mac().unwrap());
    host.request_neighbour(link, ip("10.94.0.2")).unwrap();
    follow_until(&mut host, "neighbour", |t| t.neighbour(link, ip("10.94.0.2")) == Some(mac));

    // One that does not answer: the kernel asks, and the answer stays away.
    let mut pool = Pool::new(2048, 256).unwrap();
    let mut seen = far.inside(|| PacketPort::open("u1").unwrap());
    host.request_neighbour(link, ip("10.94.0.77")).unwrap();
    let f = receive_until(&mut seen, &mut pool, |b| b.get(12..14) == Some(&[8, 6]) && b.get(38..42) == Some(&[10, 94, 0, 77]));
    pool.free(f);
    assert_eq!(host.tables().neighbour(link, ip("10.94.0.77")), None);

    ns.ip("neigh del 10.94.0.2 dev u0");
    follow_until(&mut host, "neighbour gone", |t| t.neighbour(link, ip("10.94.0.2")).is_none());
    host.remove_address(address).unwrap();
    follow_until(&mut host, "address gone", |t| t.owner_of(ip("10.94.0.1")).is_none());
    let refused = host.add_address(Address { link: 9999, ..address }).unwrap_err();
    assert!(refused.to_string().contains("add address 10.94.0.1/24: No such device"), "{refused}");
}

#[test]
fn a_link_that_is_renamed_and_changed_is_told() {
    let Some(ns) = Namespace::new("netlink links") else { return };
    let mut host = ns.inside(|| Host::open().unwrap());
    ns.ip("link add d0 type veth peer name d9");
    ns.ip("link set d9 up");
    follow_until(&mut host, "new link", |t| t.link_by_name("d0").is_some());
    let device = ns.inside(|| Device::open("d0").unwrap());
    device.set_mtu(1400).unwrap();
    device.set_mac([2, 0, 0, 0, 9, 9]).unwrap();
    device.set_up(true).unwrap();
    let wanted = |t: &Tables| t.link_by_name("d0").is_some_and(|l| l.mtu == 1400 && l.mac == [2, 0, 0, 0, 9, 9] && l.running);
    follow_until(&mut host, "changed link", wanted);
    device.set_up(false).unwrap();
    ns.ip("link set d0 name d1");
    follow_until(&mut host, "renamed link", |t| t.link_by_name("d0").is_none() && t.link_by_name("d1").is_some());
    let before = host.generation();
    host.follow(&mut Vec::new()).unwrap();
    assert_eq!(host.generation(), before, "nothing happened, nothing changed");
}

#[test]
fn more_changes_than_the_queue_holds_lose_nothing() {
    let Some(ns) = Namespace::new("netlink overrun") else { return };
    ns.ip("link add d0 type veth peer name d9");
    ns.ip("link set d0 up");
    ns.ip("link set d9 up");
    ns.ip("addr add 10.95.0.1/16 dev d0");
    let mut host = ns.inside(|| Host::open().unwrap());
    let mut batch = String::new();
    for i in 0..60_000u32 {
        batch.push_str(&format!("route add 100.{}.{}.{}/32 dev d0\n", 64 + (i >> 16), i >> 8 & 255, i & 255));
    }
    let file = std::env::temp_dir().join(format!("sluice-routes-{}", std::process::id()));
    std::fs::write(&file, &batch).unwrap();
    let out = ns.command("ip").args(["-batch"]).arg(&file).output();
    let _ = std::fs::remove_file(&file);
    assert!(out.unwrap().status.success());
    let changes = follow_until(&mut host, "60000 routes", |t| {
        t.routes().filter(|r| r.prefix.length() == 32).count() == 60_000
    });
    println!("queue overran: {}", changes.contains(&Change::Cleared));
    assert_eq!(host.tables().route_to(ip("100.64.200.7")).map(|n| n.gateway), Some(None));
}
