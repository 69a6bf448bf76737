//! A node whose switch follows a real `ovsdb-server`, in a namespace of its own.

use std::path::PathBuf;
use std::process::{Child, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::support::{wait_for, Place};

static STARTS: AtomicU32 = AtomicU32::new(0);

/// A child that ends with its owner.
pub struct Running(pub Child);

impl Running {
    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let sent = std::process::Command::new("kill").args(["-s", name, &self.0.id().to_string()]).status();
        assert!(sent.is_ok_and(|s| s.success()), "kill -s {name}");
    }

    /// Kills it at once.
    pub fn kill(mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The node. Fields are dropped in this order: the switch before its database and its place.
pub struct Node {
    pub switch: Option<Running>,
    pub server: Option<Running>,
    /// More words for `ovsdb-server`.
    pub server_words: Vec<String>,
    pub place: Place,
}

impl Node {
    /// A node with an initialized, empty database and a switch that serves it.
    pub fn start() -> Node {
        let mut node = Node::without_switch();
        node.start_switch();
        node
    }

    /// A node with an initialized, empty database.
    pub fn without_switch() -> Node {
        let place = Place::new();
        std::fs::create_dir_all(place.rundir()).expect("a run directory");
        let mut node = Node { switch: None, server: None, server_words: Vec::new(), place };
        node.create_database("/usr/share/openvswitch/vswitch.ovsschema");
        node.start_server();
        node.vsctl("--no-wait init");
        node
    }

    /// A file in the run directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.place.rundir().join(name)
    }

    /// A new, empty database.
    pub fn create_database(&self, schema: &str) {
        let path = self.file("conf.db");
        let _ = std::fs::remove_file(&path);
        self.place.sh(&format!("ovsdb-tool create {} {schema}", path.display()));
    }

    /// Starts `ovsdb-server`.
    pub fn start_server(&mut self) {
        let file = |name: &str| self.file(name).display().to_string();
        let child = self
            .place
            .in_namespace("ovsdb-server")
            .args(["--no-chdir", "-vconsole:off", &format!("--unixctl={}", file("ovsdb.ctl"))])
            .args([format!("--remote=punix:{}", file("db.sock")), format!("--log-file={}", file("ovsdb.log")), file("conf.db")])
            .args(&self.server_words)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("ovsdb-server starts");
        self.server = Some(Running(child));
        wait_for("ovsdb-server", || std::os::unix::net::UnixStream::connect(self.file("db.sock")).is_ok());
    }

    /// Starts a switch: the one named by `SLUICE_TEST_VSWITCHD`, else ours. Returns when it follows
    /// the database.
    pub fn start_switch(&mut self) {
        self.spawn_switch(env!("CARGO_BIN_EXE_sluiced"));
        wait_for("the switch", || self.column("Open_vSwitch . cur_cfg") == self.column("Open_vSwitch . next_cfg") && self.log().contains("serving in"));
        // A value that was there already would be no change, and `ovs-vsctl` would wait for nothing.
        let start = STARTS.fetch_add(1, Ordering::Relaxed);
        self.vsctl(&format!("--timeout=20 set Open_vSwitch . external_ids:up={start}"));
    }

    /// Starts a program in the switch's place.
    pub fn spawn_switch(&mut self, program: &str) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.file("switch.log")).expect("a log file");
        let child = self
            .place
            .in_namespace(program)
            .arg(format!("unix:{}", self.file("db.sock").display()))
            .arg(format!("--unixctl={}", self.file("switch.ctl").display()))
            .env("OVS_LOGDIR", self.place.rundir())
            .env("OVS_DBDIR", self.place.rundir())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the switch starts");
        self.switch = Some(Running(child));
    }

    /// What the switch wrote.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.file("switch.log")).unwrap_or_default()
    }

    /// Runs the stock `ovs-vsctl`; it must succeed.
    pub fn vsctl(&self, words: &str) -> String {
        let output = self.try_vsctl(words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "ovs-vsctl {words}: {said}\n{}", self.log());
        String::from_utf8_lossy(&output.stdout).trim_end().to_string()
    }

    /// Runs the stock `ovs-vsctl`.
    pub fn try_vsctl(&self, words: &str) -> Output {
        let socket = self.file("db.sock");
        self.place.try_sh(&format!("ovs-vsctl --timeout=20 --db=unix:{} {words}", socket.display()))
    }

    /// A column, as `ovs-vsctl get` prints it.
    pub fn column(&self, what: &str) -> String {
        String::from_utf8_lossy(&self.try_vsctl(&format!("--if-exists get {what}")).stdout).trim().to_string()
    }

    /// Runs the stock `ovs-ofctl`; it must succeed.
    pub fn ofctl(&self, words: &str) -> String {
        self.place.sh(&format!("ovs-ofctl {words}"))
    }

    /// Sends pings; gives how many came back.
    pub fn pings(&self, from: &str, to: &str, count: u32) -> u32 {
        let words = format!("netns exec {from} ping -n -q -i 0.02 -W 1 -c {count} {to}");
        let output = std::process::Command::new("ip").args(words.split(' ')).output().expect("ping");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let received = said.split(" received").next().and_then(|s| s.rsplit(", ").next());
        received.and_then(|n| n.trim().parse().ok()).unwrap_or(0)
    }

    /// Moves an internal port into a namespace of its own, as a tutorial does. Gives its name.
    pub fn guest(&self, port: &str, address: &str) -> Guest {
        let name = format!("{}{port}", self.place.netns);
        let ours = &self.place.netns;
        self.place.host(&format!(
            "ip netns add {name} && ip -n {ours} link set {port} netns {name} && \
             ip -n {name} link set lo up && ip -n {name} addr add {address} dev {port} && ip -n {name} link set {port} up"
        ));
        Guest(name)
    }
}

/// A namespace that goes with its owner.
pub struct Guest(pub String);

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = std::process::Command::new("ip").args(["netns", "del", &self.0]).output();
    }
}
