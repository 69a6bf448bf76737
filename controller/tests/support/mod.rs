//! A private stock Open vSwitch in a network namespace of its own.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Runs until it is dropped; then nothing of it is left.
pub struct StockOvs {
    netns: String,
    pub rundir: PathBuf,
}

fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let out = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("{program}: {e}"))?;
    if !out.status.success() {
        return Err(format!("{program} {arguments:?}: {}", String::from_utf8_lossy(&out.stderr)));
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

impl StockOvs {
    /// A switch with br-int and br-tun; `None`, with a line that says why, where it cannot run.
    pub fn start(name: &str) -> Option<StockOvs> {
        let netns = format!("sluicectl-{name}-{}", std::process::id());
        if let Err(error) = run("ip", &["netns", "add", &netns]) {
            eprintln!("skipped: needs root and iproute2 ({error})");
            return None;
        }
        let rundir = std::env::temp_dir().join(&netns);
        let ovs = StockOvs { netns, rundir };
        if let Err(error) = ovs.launch() {
            eprintln!("skipped: needs openvswitch-switch ({error})");
            return None;
        }
        Some(ovs)
    }

    fn launch(&self) -> Result<(), String> {
        std::fs::create_dir_all(&self.rundir).map_err(|e| e.to_string())?;
        let d = self.rundir.display().to_string();
        let schema = "/usr/share/openvswitch/vswitch.ovsschema";
        self.inside(&["ovsdb-tool", "create", &format!("{d}/conf.db"), schema])?;
        for (program, extra) in [
            ("ovsdb-server", vec![format!("--remote=punix:{d}/db.sock"), format!("{d}/conf.db")]),
            ("ovs-vswitchd", vec![format!("unix:{d}/db.sock")]),
        ] {
            let options = [
                program.to_owned(),
                "--detach".to_owned(),
                "--no-chdir".to_owned(),
                "-vconsole:off".to_owned(),
                format!("--pidfile={d}/{program}.pid"),
                format!("--log-file={d}/{program}.log"),
                format!("--unixctl={d}/{program}.ctl"),
            ];
            let words: Vec<&str> = options.iter().chain(&extra).map(String::as_str).collect();
            self.inside(&words)?;
            if program == "ovsdb-server" {
                self.vsctl(&["--no-wait", "init"])?;
            }
        }
        for bridge in ["br-int", "br-tun"] {
            let set = ["--", "set", "bridge", bridge, "datapath_type=netdev", "fail_mode=secure"];
            self.vsctl(&[&["add-br", bridge], &set[..]].concat())?;
        }
        self.add_port("br-int", "patch-tun", &["type=patch", "options:peer=patch-int"]);
        self.add_port("br-tun", "patch-int", &["type=patch", "options:peer=patch-tun"]);
        Ok(())
    }

    fn inside(&self, words: &[&str]) -> Result<String, String> {
        let d = self.rundir.display();
        let env: Vec<String> =
            ["RUN", "LOG", "DB", "SYSCONF"].iter().map(|k| format!("OVS_{k}DIR={d}")).collect();
        let mut all = vec!["netns", "exec", &self.netns, "env"];
        all.extend(env.iter().map(String::as_str));
        all.extend(words);
        run("ip", &all)
    }

    fn vsctl(&self, words: &[&str]) -> Result<String, String> {
        let db = format!("--db=unix:{}/db.sock", self.rundir.display());
        self.inside(&[&["ovs-vsctl", "--timeout=20", &db], words].concat())
    }

    /// Adds a port.
    pub fn add_port(&self, bridge: &str, name: &str, settings: &[&str]) {
        let words = [&["add-port", bridge, name, "--", "set", "interface", name], settings].concat();
        self.vsctl(&words).expect("add-port");
    }

    /// Sets something in the database.
    pub fn set(&self, words: &[&str]) {
        self.vsctl(&[&["set"], words].concat()).expect("set");
    }

    /// `ovs-ofctl -O OpenFlow14 COMMAND BRIDGE ...`.
    pub fn ofctl(&self, command: &str, bridge: &str, more: &[&str]) -> String {
        let target = format!("unix:{}", self.rundir.join(format!("{bridge}.mgmt")).display());
        let words = [&["-O", "OpenFlow14", command, "--no-names", "--no-stats", &target], more].concat();
        let words = words.into_iter().filter(|w| command == "dump-flows" || *w != "--no-stats").collect::<Vec<_>>();
        run("ovs-ofctl", &words).expect("ovs-ofctl")
    }

    /// `ovs-appctl ...` of the switch.
    pub fn appctl(&self, words: &[&str]) -> String {
        let ctl = self.rundir.join("ovs-vswitchd.ctl").display().to_string();
        run("ovs-appctl", &[&["-t", &ctl], words].concat()).expect("ovs-appctl")
    }

    /// Datapath port numbers by name.
    pub fn datapath_ports(&self) -> HashMap<String, String> {
        let text = self.appctl(&["dpif/show"]);
        let ports = text.lines().filter_map(|line| {
            // "    vm1 2/3: (internal)"
            let (name, rest) = line.trim().split_once(' ')?;
            let (_, number) = rest.split_once(':')?.0.split_once('/')?;
            Some((name.to_owned(), number.to_owned()))
        });
        ports.collect()
    }

    /// Rules as sorted lines.
    pub fn rules(&self, bridge: &str) -> Vec<String> {
        let text = self.ofctl("dump-flows", bridge, &[]);
        let mut lines: Vec<String> =
            text.lines().filter(|l| l.contains("actions=")).map(|l| l.trim().to_owned()).collect();
        lines.sort();
        lines
    }
}

impl Drop for StockOvs {
    fn drop(&mut self) {
        for program in ["ovs-vswitchd", "ovsdb-server"] {
            end(&self.rundir.join(format!("{program}.pid")));
        }
        let _ = run("ip", &["netns", "delete", &self.netns]);
        let _ = std::fs::remove_dir_all(&self.rundir);
    }
}

/// Ends the process whose id is in a file, and waits until it has gone.
fn end(pid_file: &Path) {
    let Ok(pid) = std::fs::read_to_string(pid_file) else { return };
    let pid = pid.trim().to_owned();
    let _ = run("kill", &[&pid]);
    let proc = Path::new("/proc").join(&pid);
    let begin = std::time::Instant::now();
    while proc.exists() && begin.elapsed().as_secs() < 10 {
        std::thread::yield_now();
    }
}
