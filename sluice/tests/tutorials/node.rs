//! A node as tutorials have it: a network namespace with a database and a switch, driven by the stock
//! command lines.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::support::{can_make_namespaces, wait_for, Place};

const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// Whether these tests can run; says so when they cannot.
pub fn can_run(test: &str) -> bool {
    let found = |p: &str| Command::new(p).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    let installed = found("ovs-vsctl") && found("ovs-ofctl") && found("ovsdb-server") && Path::new(SCHEMA).exists();
    if !installed {
        println!("{test}: SKIPPED, it needs the tools of Open vSwitch (apt-get install openvswitch-switch)");
    }
    installed && can_make_namespaces(test)
}

/// A node. Everything is gone with it.
pub struct Node {
    /// Its namespace and directory.
    pub place: Place,
    children: Vec<Child>,
    machines: Vec<String>,
}

impl Node {
    /// With our switch.
    pub fn ours() -> Node {
        Node::start(env!("CARGO_BIN_EXE_sluiced"))
    }

    /// With a stock one.
    pub fn stock() -> Node {
        let node = Node::start("ovs-vswitchd");
        // Its ports' frames reach the host's own stack too, which must not answer ARP for the bridge.
        node.sh("sysctl -qw net.ipv4.conf.all.arp_ignore=1");
        node
    }

    /// With nothing but the kernel.
    pub fn bare() -> Node {
        Node { place: Place::new(), children: Vec::new(), machines: Vec::new() }
    }

    fn start(switch: &str) -> Node {
        let mut node = Node::bare();
        let dir = node.place.rundir();
        std::fs::create_dir_all(&dir).expect("a run directory");
        let path = |name: &str| dir.join(name).display().to_string();
        let (db, socket) = (path("conf.db"), path("db.sock"));
        node.sh(&format!("ovsdb-tool create {db} {SCHEMA}"));
        node.spawn("ovsdb-server", &[
            &format!("--remote=punix:{socket}"),
            "--remote=db:Open_vSwitch,Open_vSwitch,manager_options",
            &format!("--unixctl={}", path("db.ctl")),
            "-vconsole:off",
            &db,
        ]);
        wait_for("the database", || Path::new(&socket).exists());
        node.sh("ovs-vsctl --no-wait init");
        node.spawn(switch, &[
            &format!("unix:{socket}"),
            &format!("--unixctl={}", path("switch.ctl")),
            &format!("--log-file={}", path("switch.log")),
            "-vconsole:off",
        ]);
        wait_for("the switch", || node.place.try_sh("ovs-vsctl --timeout=1 add-br br0 -- set bridge br0 datapath_type=netdev").status.success()
            || node.place.try_sh("ovs-vsctl --no-wait br-exists br0").status.success() && node.place.try_sh("ovs-ofctl show br0").status.success());
        node
    }

    fn spawn(&mut self, program: &str, words: &[&str]) {
        let dir = self.place.rundir();
        let mut command = self.place.in_namespace(program);
        command.args(words).env("OVS_DBDIR", &dir).env("OVS_LOGDIR", &dir);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.children.push(child.expect(program));
    }

    /// Runs a command as in the tutorial; it must succeed. Gives what it printed.
    pub fn sh(&self, command: &str) -> String {
        self.place.sh(command)
    }

    /// Asks the switch.
    pub fn appctl(&self, command: &str) -> String {
        let socket = self.place.rundir().join("switch.ctl");
        self.sh(&format!("ovs-appctl -t {} {command}", socket.display()))
    }

    /// A machine: a namespace of its own that a device of this node is moved into.
    pub fn machine(&mut self, device: &str, address: &str) -> Machine {
        let name = format!("{}m{}", self.place.netns, self.machines.len());
        self.place.host(&format!("ip netns add {name}"));
        self.machines.push(name.clone());
        self.sh(&format!("ip link set {device} netns {name}"));
        self.place.host(&format!(
            "ip -n {name} addr add {address} dev {device} && ip -n {name} link set {device} up && ip -n {name} link set lo up"
        ));
        Machine { netns: name }
    }

    /// Joins two nodes by a cable: one device of this name at either end.
    pub fn cable(&self, other: &Node, device: &str) {
        self.sh(&format!("ip link add {device} type veth peer name {device} netns {}", other.place.netns));
        for node in [self, other] {
            node.sh(&format!("sysctl -qw net.ipv6.conf.{device}.disable_ipv6=1; ip link set {device} up"));
        }
    }

    /// Can this address be reached?
    pub fn pings(&self, address: &str) -> bool {
        self.place.try_sh(&format!("ping -c 1 -W 1 {address}")).status.success()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.place.rundir().join("switch.log")).unwrap_or_default();
            println!("--- log of {}\n{log}", self.place.netns);
        }
        for child in self.children.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
        for name in &self.machines {
            let _ = Command::new("ip").args(["netns", "del", name]).output();
        }
    }
}

/// A machine behind a switch.
pub struct Machine {
    /// Its namespace.
    pub netns: String,
}

impl Machine {
    /// Runs a command; gives what it printed and whether it succeeded.
    pub fn run(&self, command: &str) -> (String, bool) {
        let output = Command::new("ip").args(["netns", "exec", &self.netns, "sh", "-c", command]).output().expect("ip");
        (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.success())
    }

    /// Can this address be reached?
    pub fn pings(&self, address: &str) -> bool {
        self.run(&format!("ping -c 1 -W 1 {address}")).1
    }
}

/// A ping that goes on while something else happens.
pub struct Pinging {
    child: Child,
}

impl Pinging {
    /// Ten a second from a node.
    pub fn start(node: &Node, address: &str, count: u32) -> Pinging {
        let mut command = node.place.in_namespace("ping");
        command.args(["-i", "0.1", "-c", &count.to_string(), "-W", "1", address]);
        Pinging { child: command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("ping") }
    }

    /// How many answers came.
    pub fn answers(self) -> u32 {
        let output = self.child.wait_with_output().expect("ping");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let words = text.split(" received").next().and_then(|t| t.rsplit(' ').next());
        words.and_then(|n| n.parse().ok()).unwrap_or(0)
    }
}
