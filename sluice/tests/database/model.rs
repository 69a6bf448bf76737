//! After any series of transactions the switch is what a fresh one makes of the same database.

use crate::node::Node;
use crate::support::can_make_namespaces;

/// A small generator of our own: the same series for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.roll(of.len() as u64) as usize]
    }
}

fn port(dice: &mut Dice) -> String {
    format!("p{}", dice.roll(8))
}

fn bridge(dice: &mut Dice) -> &'static str {
    dice.pick(&["br0", "br1", "br2"])
}

/// One transaction's words. Many make no sense at that moment; `ovs-vsctl` refuses those.
fn words(dice: &mut Dice) -> String {
    let (b, p) = (bridge(dice), port(dice));
    match dice.roll(17) {
        0 => format!("--may-exist add-br {b}"),
        1 => format!("--if-exists del-br {b}"),
        2..=5 => {
            let kind = dice.pick(&[
                "internal", "internal", "system", "tap", "vxlan options:remote_ip=192.0.2.9 options:key=7",
                "vxlan options:remote_ip=flow options:key=flow", "vxlan", "geneve options:remote_ip=192.0.2.9",
                "patch options:peer=p1", "patch options:peer=p2", "patch",
            ]);
            format!("add-port {b} {p} -- set interface {p} type={kind}")
        }
        6 => format!("--if-exists del-port {p}"),
        7 => format!("--if-exists set port {p} tag={}", dice.roll(4096)),
        8 => format!("--if-exists clear port {p} tag"),
        9 => format!("--if-exists set interface {p} ofport_request={}", 1 + dice.roll(12)),
        10 => format!("--if-exists set interface {p} type={}", dice.pick(&["internal", "system", "tap"])),
        11 => format!("--if-exists set bridge {b} fail_mode={}", dice.pick(&["secure", "standalone"])),
        12 => format!("--if-exists clear port {p} qos"),
        13 | 14 => {
            let kind = dice.pick(&["linux-htb", "linux-htb", "egress-policer", "trtcm-policer", "linux-noop", "linux-sfq"]);
            let (rate, queue) = (1_000_000 * (1 + dice.roll(90)), dice.roll(4));
            format!(
                "set port {p} qos=@q -- --id=@q create qos type={kind} other_config:max-rate={rate} other_config:cir={rate} \
                 other_config:cbs=20000 queues:{queue}=@n -- --id=@n create queue other_config:min-rate={} dscp={}",
                1000 * dice.roll(9000),
                dice.roll(64)
            )
        }
        15 => format!("--if-exists set port {p} vlan_mode={} trunks={}", dice.pick(&["trunk", "native-tagged"]), dice.roll(4096)),
        _ => {
            let id = dice.roll(1 << 30) + 1;
            format!("--if-exists set bridge {b} other_config:datapath-id={id:016x} other_config:hwaddr=02:00:00:00:00:{:02x}", dice.roll(256))
        }
    }
}

/// Everything that can be seen of the switch, but for times and counts.
fn seen(node: &Node) -> String {
    let mut all = node.vsctl("--columns=name,type,ofport,error list interface");
    let mut bridges: Vec<String> = node.vsctl("list-br").lines().map(str::to_string).collect();
    bridges.sort();
    let blocks: std::collections::BTreeSet<_> = all.split("\n\n").map(|block| block.trim().to_string()).collect();
    all = blocks.into_iter().collect::<Vec<_>>().join("\n\n");
    for bridge in bridges {
        all.push_str(&format!("\n== {bridge} {}\n", node.column(&format!("bridge {bridge} datapath_id"))));
        // Ports without a device have an address of the day, as in Open vSwitch.
        let ports = node.ofctl(&format!("-O OpenFlow14 dump-ports-desc {bridge}"));
        all.extend(ports.lines().map(|l| format!("{}\n", l.split(": addr:").next().unwrap_or(l))));
        let rules = node.ofctl(&format!("--no-stats dump-flows {bridge}"));
        all.push_str(&rules);
        let names = node.vsctl(&format!("list-ports {bridge}"));
        for port in names.lines() {
            let shown = node.place.try_sh(&format!("ovs-appctl -t {} qos/show {port}", node.file("switch.ctl").display()));
            let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
            all.extend(shown.lines().filter(|l| !l.contains("tx_")).map(|l| format!("{l}\n")));
            all.push_str(&node.column(&format!("port {port} status")));
        }
    }
    all
}

#[test]
fn any_series_of_transactions_ends_where_a_fresh_start_does() {
    if !can_make_namespaces("model") {
        return;
    }
    for seed in [1, 2, 3] {
        let mut dice = Dice(seed);
        let mut node = Node::start();
        let mut series = Vec::new();
        for _ in 0..40 {
            let words = words(&mut dice);
            let _ = node.try_vsctl(&words);
            series.push(words);
        }
        let _ = node.try_vsctl("set Open_vSwitch . external_ids:end=1");
        let before = seen(&node);
        if let Some(switch) = node.switch.take() {
            switch.kill();
        }
        node.start_switch();
        let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let mut after = seen(&node);
        while after != before && std::time::Instant::now() < end {
            after = seen(&node);
        }
        assert_eq!(after, before, "seed {seed}: {series:#?}\n{}", node.log());
    }
}
