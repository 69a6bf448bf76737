//! Real clients behind a translation: path MTU discovery, FTP in all its ways, TFTP.

use crate::node::{Guest, Node};
use crate::support::can_make_namespaces;

/// Clients are seen as this outside.
const OUTSIDE: [&str; 2] = ["192.0.2.240", "2001:db8:2::f0"];
const CLIENT_MAC: &str = "02:00:00:00:00:01";
const SERVER_MAC: &str = "02:00:00:00:00:02";

/// A client behind port 1, a server behind port 2 that knows only the outside addresses.
struct Pair {
    client: Guest,
    server: Guest,
    node: Node,
}

/// What port 1 begins is translated and, where `alg` says so, helped; what is announced may come in.
fn rules(alg: &str) -> String {
    let mut all = String::new();
    for (ip, outside) in [("ip", OUTSIDE[0]), ("ipv6", OUTSIDE[1])] {
        let v = if ip == "ip" { "" } else { "6" };
        all += &format!(
            "table=0,priority=10,{ip},actions=ct(table=1,zone=7,nat)\n\
             table=1,priority=20,tcp{v},in_port=1,tp_dst=21,ct_state=+trk+new-rel,actions=ct(commit,zone=7,{ftp}nat(src={outside}),table=2)\n\
             table=1,priority=20,udp{v},in_port=1,tp_dst=69,ct_state=+trk+new-rel,actions=ct(commit,zone=7,{tftp}nat(src={outside}),table=2)\n\
             table=1,priority=15,{ip},ct_state=+trk+new+rel,actions=ct(commit,zone=7,nat,table=2)\n\
             table=1,priority=10,{ip},in_port=1,ct_state=+trk+new,actions=ct(commit,zone=7,nat(src={outside}),table=2)\n\
             table=1,priority=8,{ip},ct_state=+trk+est,actions=resubmit(,2)\n\
             table=1,priority=8,{ip},ct_state=+trk+rel,actions=resubmit(,2)\n",
            ftp = if alg.is_empty() { "" } else { "alg=ftp," },
            tftp = if alg.is_empty() { "" } else { "alg=tftp," },
        );
    }
    all + "table=2,priority=1,in_port=1,actions=output:2\ntable=2,priority=1,in_port=2,actions=output:1\n"
}

fn pair(test: &str, rules: &str) -> Option<Pair> {
    if !can_make_namespaces(test) {
        return None;
    }
    let node = Node::start();
    node.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev fail_mode=secure");
    let client = Guest::plug(&node, "br0", 1, CLIENT_MAC, &["10.1.0.1/24", "fd01::1/64"], "");
    let server = Guest::plug(&node, "br0", 2, SERVER_MAC, &["192.0.2.1/24", "2001:db8:2::1/64"], "");
    // No ARP and no neighbour discovery: each knows the other's hardware address.
    client.must(
        "sh -c 'ip route add default via 10.1.0.254 && ip neigh add 10.1.0.254 lladdr 02:00:00:00:00:02 dev eth0 && \
         ip -6 route add default via fd01::fe && ip -6 neigh add fd01::fe lladdr 02:00:00:00:00:02 dev eth0'",
    );
    server.must(&format!(
        "sh -c 'ip neigh add {} lladdr {CLIENT_MAC} dev eth0; ip -6 neigh add {} lladdr {CLIENT_MAC} dev eth0'",
        OUTSIDE[0], OUTSIDE[1]
    ));
    let file = node.place.write("rules", rules);
    node.ofctl(&format!("add-flows unix:{} {}", node.file("br0.mgmt").display(), file.display()));
    Some(Pair { client, server, node })
}

impl Pair {
    fn connections(&self, words: &str) -> String {
        self.node.place.sh(&format!("ovs-appctl -t {} dpctl/dump-conntrack {words}", self.node.file("switch.ctl").display()))
    }
}

/// A file that tells truncated or mixed-up copies.
fn content(bytes: usize) -> String {
    (0..bytes / 8).map(|i| format!("{i:07}\n")).collect()
}

#[test]
fn the_path_mtu_is_discovered_through_a_translation() {
    let Some(p) = pair("path MTU", &rules("")) else { return };
    // The server is a router now: behind it a narrow link, and the true server.
    let inner = format!("{}-in", p.server.0);
    p.node.place.host(&format!("ip netns add {inner}"));
    let inner = Guest(inner);
    p.server.must(&format!(
        "sh -c 'ip link add narrow type veth peer name eth0 netns {0} && ip link set narrow up mtu 1300 && ip -n {0} link set eth0 up && \
         ip addr add 198.51.100.1/24 dev narrow && ip -n {0} addr add 198.51.100.2/24 dev eth0 && ip -n {0} route add default via 198.51.100.1 && \
         ip addr add 2001:db8:5::1/64 dev narrow nodad && ip -n {0} addr add 2001:db8:5::2/64 dev eth0 nodad && ip -n {0} -6 route add default via 2001:db8:5::1 && \
         sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1'",
        inner.0
    ));
    let place = p.node.place.directory.display().to_string();
    let big = content(400_000);
    p.node.place.write("big", &big);
    let _sink = inner.serve(&format!("socat -u TCP6-LISTEN:9000,reuseaddr,fork OPEN:{place}/got,creat,append"), 't', 9000);
    for (n, to) in ["198.51.100.2", "[2001:db8:5::2]"].iter().enumerate() {
        p.client.must(&format!("timeout 10 socat -u FILE:{place}/big TCP:{to}:9000"));
        crate::support::wait_for("all of it", || {
            std::fs::metadata(p.node.place.directory.join("got")).is_ok_and(|m| m.len() as usize == big.len() * (n + 1))
        });
        let bare = to.trim_matches(['[', ']']);
        let route = p.client.must(&format!("ip route get {bare}"));
        assert!(route.contains("mtu 1300"), "the client learned it from an error about its own packet: {route}");
    }
    assert_eq!(std::fs::read_to_string(p.node.place.directory.join("got")).unwrap(), big.repeat(2));
}

#[test]
fn a_real_ftp_server_is_used_in_every_way_through_a_translation() {
    let Some(p) = pair("ftp", &rules("helped")) else { return };
    let place = p.node.place.directory.display().to_string();
    let text = content(100_000);
    let root = p.node.place.directory.join("ftp");
    std::fs::create_dir_all(root.join("empty")).unwrap();
    std::fs::write(root.join("file"), &text).unwrap();
    let config = "listen_ipv6=YES\nlisten=NO\nanonymous_enable=YES\nlocal_enable=NO\nrun_as_launching_user=YES\nconnect_from_port_20=NO\n\
                  port_enable=YES\npasv_enable=YES\nseccomp_sandbox=NO\none_process_model=YES\nbackground=NO\nno_anon_password=YES\n";
    let config = p.node.place.write("vsftpd.conf", &format!("{config}anon_root={place}/ftp\nsecure_chroot_dir={place}/ftp/empty\n"));
    p.node.place.host(&format!("chown root:root {0}; chmod 755 {place} {place}/ftp", config.display()));
    let _server = p.server.serve(&format!("vsftpd {}", config.display()), 't', 21);
    // Passive with EPSV and PASV, active with EPRT and PORT; over IPv6 only the extended ones are there.
    let ways = [
        ("192.0.2.1", ""),
        ("192.0.2.1", "--disable-epsv"),
        ("192.0.2.1", "-P -"),
        ("192.0.2.1", "-P - --disable-eprt"),
        ("[2001:db8:2::1]", ""),
        ("[2001:db8:2::1]", "-P -"),
    ];
    for (to, options) in ways {
        let before = p.connections("-m").matches(",parent=(").count();
        let got = p.client.must(&format!("curl -sS -g --max-time 10 {options} ftp://{to}/file"));
        assert!(got == text, "{to} {options}: {} bytes of {}", got.len(), text.len());
        let table = p.connections("-m");
        assert!(table.matches(",parent=(").count() > before, "{to} {options}: the data connection was expected: {table}");
    }
    let listed = p.client.must("lftp -c 'set net:max-retries 1; set net:timeout 5; set ftp:passive-mode off; open 192.0.2.1; cat file; ls'");
    assert!(listed.starts_with(&text) && listed.trim_end().ends_with("file"), "several data connections in one session");
    assert_eq!(p.node.counter("ct_refused_expected"), 0);
}

#[test]
fn tftp_answers_from_another_port_come_in_where_a_rule_asks() {
    let Some(p) = pair("tftp", &rules("helped")) else { return };
    let text = content(20_000);
    let root = p.node.place.directory.join("tftp");
    std::fs::create_dir_all(&root).unwrap();
    std::fs::write(root.join("file"), &text).unwrap();
    p.node.place.host(&format!("chmod -R a+rX {}", p.node.place.directory.display()));
    let _server = p.server.serve(&format!("in.tftpd -L -u root -s {}", root.display()), 'u', 69);
    for to in ["192.0.2.1", "[2001:db8:2::1]"] {
        let got = p.client.must(&format!("curl -sS -g --max-time 10 tftp://{to}/file"));
        assert!(got == text, "{to}: {} bytes of {}", got.len(), text.len());
    }
    assert!(p.connections("-m").contains(",helper=tftp"), "{}", p.connections("-m"));
}

#[test]
fn without_a_helper_no_data_connection_comes_in() {
    let Some(p) = pair("no helper", &rules("")) else { return };
    let root = p.node.place.directory.join("tftp");
    std::fs::create_dir_all(&root).unwrap();
    std::fs::write(root.join("file"), content(800)).unwrap();
    p.node.place.host(&format!("chmod -R a+rX {}", p.node.place.directory.display()));
    let _server = p.server.serve(&format!("in.tftpd -L -u root -s {}", root.display()), 'u', 69);
    let before = p.node.counter("drop_no_rule");
    assert!(!p.client.run("curl -s -g --max-time 1 tftp://192.0.2.1/file").status.success());
    assert!(p.node.counter("drop_no_rule") > before, "the answer is dropped and counted");
}
