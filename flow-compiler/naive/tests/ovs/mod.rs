//! A private stock Open vSwitch with dummy ports, as a subject.
//!
//! Frames go in through its control socket and come out in a pcap file per port. After each frame
//! its flow cache is emptied, so that each frame is decided by the rules as they are then.

mod control;
mod settings;
mod tap;

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use control::Control;
use sluice_flow::action::LOCAL;
use sluice_naive::generate::{topology, version};
use sluice_openflow::message::GroupMod;
use sluice_naive::{Input, Output, RuleHits, Subject, World};
use tap::PcapTail;

/// A running switch; gone when dropped.
pub struct Ovs {
    dir: PathBuf,
    children: Vec<Child>,
    control: Option<Control>,
    taps: HashMap<(usize, u32), PcapTail>,
}

fn run(program: &str, args: &[&str], dir: &Path, input: Option<&str>) -> Result<String, String> {
    let mut child = Command::new(program)
        .args(args)
        .env("OVS_RUNDIR", dir)
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("{program}: {e}"))?;
    if let (Some(text), Some(mut stdin)) = (input, child.stdin.take()) {
        stdin.write_all(text.as_bytes()).map_err(|e| format!("{program}: {e}"))?;
    }
    let out = child.wait_with_output().map_err(|e| format!("{program}: {e}"))?;
    if !out.status.success() {
        return Err(format!("{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr)));
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Waits for a socket that a process makes when it is ready.
fn wait_for(path: &Path) -> Result<(), String> {
    let start = std::time::Instant::now();
    while !path.exists() {
        if start.elapsed().as_secs() > 20 {
            return Err(format!("{} did not appear", path.display()));
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    Ok(())
}

fn port_name(bridge: usize, port: u32) -> String {
    if port == LOCAL {
        format!("br{bridge}")
    } else {
        format!("b{bridge}p{port}")
    }
}

impl Ovs {
    /// Is there a stock Open vSwitch on this machine?
    pub fn installed() -> bool {
        let found = |p: &str| Command::new(p).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
        found("ovs-vswitchd") && found("ovsdb-server") && found("ovs-ofctl") && Path::new(SCHEMA).exists()
    }

    /// Starts one with the bridges and ports of the usual topology.
    #[allow(dead_code)]
    pub fn start(tag: &str) -> Result<Ovs, String> {
        Ovs::start_on(tag, &topology())
    }

    /// Starts one with these bridges and ports.
    pub fn start_on(tag: &str, world: &World) -> Result<Ovs, String> {
        let dir = std::env::temp_dir().join(format!("sluice-ovs-{}-{tag}", std::process::id()));
        std::fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        let mut ovs = Ovs { dir, children: Vec::new(), control: None, taps: HashMap::new() };
        ovs.start_processes()?;
        ovs.make_ports(world)?;
        Ok(ovs)
    }

    fn path(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    fn spawn(&mut self, program: &str, args: &[String]) -> Result<(), String> {
        let child = Command::new(program)
            .args(args)
            .envs([("OVS_RUNDIR", &self.dir), ("OVS_LOGDIR", &self.dir), ("OVS_DBDIR", &self.dir)])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("{program}: {e}"))?;
        self.children.push(child);
        Ok(())
    }

    fn start_processes(&mut self) -> Result<(), String> {
        let (db, socket) = (self.path("conf.db"), self.path("db.sock"));
        run("ovsdb-tool", &["create", &db, SCHEMA], &self.dir, None)?;
        let args = [format!("--remote=punix:{socket}"), "-vconsole:off".into(), format!("--unixctl={}", self.path("db.ctl")), db];
        self.spawn("ovsdb-server", &args)?;
        wait_for(Path::new(&socket))?;
        self.vsctl(&["--no-wait", "init"])?;
        let args = [
            "--enable-dummy=override".to_string(),
            "--disable-system".into(),
            "-vconsole:off".into(),
            format!("--log-file={}", self.path("vswitchd.log")),
            format!("--unixctl={}", self.path("vswitchd.ctl")),
            format!("unix:{socket}"),
        ];
        self.spawn("ovs-vswitchd", &args)?;
        let socket = self.dir.join("vswitchd.ctl");
        wait_for(&socket)?;
        self.control = Some(Control::connect(&socket)?);
        // 3.1's vectorised actions write the hop limit into the flow label.
        let scalar = self.control()?.call("odp-execute/action-impl-set", &["scalar".into()]);
        scalar.map(|_| ()).or(Ok(()))
    }

    fn vsctl(&self, args: &[&str]) -> Result<String, String> {
        let db = format!("--db=unix:{}", self.path("db.sock"));
        // The socket is there a moment before the server listens to it.
        let all: Vec<&str> = ["--timeout=20", "--retry", &db].into_iter().chain(args.iter().copied()).collect();
        run("ovs-vsctl", &all, &self.dir, None)
    }

    fn make_ports(&mut self, world: &World) -> Result<(), String> {
        for (b, bridge) in world.bridges.iter().enumerate() {
            let br = format!("br{b}");
            let all = "protocols=OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15";
            self.vsctl(&["add-br", &br, "--", "set", "bridge", &br, "datapath_type=dummy", "fail_mode=secure", all])?;
            let maps: Vec<String> = sluice_naive::world::OPTIONS
                .iter()
                .map(|(n, m)| format!("{{class={},type={},len={}}}->tun_metadata{n}", m.class, m.kind, m.len))
                .collect();
            let target = format!("unix:{}", self.path(&format!("{br}.mgmt")));
            self.ofctl(&["add-tlv-map", &target, &maps.join(",")], None)?;
            let taps = bridge.ports.iter().filter(|p| p.peer.is_none()).map(|p| p.number).chain([LOCAL]);
            for port in taps {
                let file = self.dir.join(format!("{}.pcap", port_name(b, port)));
                self.taps.insert((b, port), PcapTail::new(file));
            }
            let local = format!("options:tx_pcap={}", self.path(&format!("{br}.pcap")));
            self.vsctl(&["set", "interface", &br, &local])?;
            let mut all: Vec<String> = Vec::new();
            for p in &bridge.ports {
                let name = port_name(b, p.number);
                let number = format!("ofport_request={}", p.number);
                let access = p.settings.tag.map(|v| format!("tag={v}"));
                let (kind, option) = match p.peer {
                    Some((peer, n)) => ("type=patch", format!("options:peer={}", port_name(peer, n))),
                    None => ("type=dummy", format!("options:tx_pcap={}", self.path(&format!("{name}.pcap")))),
                };
                let mut args = vec!["add-port", &br, &name];
                args.extend(access.as_deref());
                args.extend(["--", "set", "interface", &name, kind, &option, &number]);
                all.extend(args.iter().map(|a| a.to_string()));
                all.push("--".into());
            }
            all.pop();
            self.vsctl(&all.iter().map(String::as_str).collect::<Vec<_>>())?;
        }
        Ok(())
    }

    fn ofctl(&self, args: &[&str], input: Option<&str>) -> Result<String, String> {
        run("ovs-ofctl", args, &self.dir, input)
    }

    /// A command to the control socket.
    #[allow(dead_code)]
    pub fn appctl(&mut self, method: &str, args: &[&str]) -> Result<String, String> {
        let args: Vec<String> = args.iter().map(|a| a.to_string()).collect();
        self.control()?.call(method, &args)
    }

    fn control(&mut self) -> Result<&mut Control, String> {
        self.control.as_mut().ok_or_else(|| "not connected".to_string())
    }

    fn add_groups(&self, bridge: usize, groups: &[(String, GroupMod)]) -> Result<(), String> {
        let target = format!("unix:{}", self.path(&format!("br{bridge}.mgmt")));
        // 3.1 stops when a group goes that a rule names twice: rules first.
        self.ofctl(&["-O", "OpenFlow13", "del-flows", &target], None)?;
        self.ofctl(&["-O", "OpenFlow15", "del-groups", &target], None)?;
        let text: String = groups.iter().map(|(l, _)| format!("{l}\n")).collect();
        self.ofctl(&["-O", "OpenFlow15", "add-groups", &target, "-"], Some(&text)).map(|_| ())
    }

    fn add_rules(&self, bridge: usize, lines: &[String]) -> Result<(), String> {
        let target = format!("unix:{}", self.path(&format!("br{bridge}.mgmt")));
        self.ofctl(&["-O", "OpenFlow13", "del-flows", &target], None)?;
        for wanted in ["OpenFlow10", "OpenFlow13", "OpenFlow15"] {
            let text: String = lines.iter().filter(|l| version(l) == wanted).map(|l| format!("{l}\n")).collect();
            if text.is_empty() {
                continue;
            }
            let version = wanted;
            self.ofctl(&["-O", version, "add-flows", &target, "-"], Some(&text))?;
        }
        Ok(())
    }

    /// Sends lines of flow-mods, in order.
    #[allow(dead_code)] // not every test binary drives rules alone
    pub fn flow_mods(&self, bridge: usize, version: &str, lines: &[String]) -> Result<(), String> {
        let target = format!("unix:{}", self.path(&format!("br{bridge}.mgmt")));
        let text: String = lines.iter().map(|l| format!("{l}\n")).collect();
        self.ofctl(&["-O", version, "add-flows", &target, "-"], Some(&text)).map(|_| ())
    }

    /// Sends lines of flow-mods as one bundle. What they removed is gone when this returns.
    #[allow(dead_code)]
    pub fn bundle(&mut self, bridge: usize, version: &str, lines: &[String]) -> Result<(), String> {
        let target = format!("unix:{}", self.path(&format!("br{bridge}.mgmt")));
        let text: String = lines.iter().map(|l| format!("{l}\n")).collect();
        let done = self.ofctl(&["-O", version, "--bundle", "add-flows", &target, "-"], Some(&text));
        // Removed rules go a grace period later, when each thread has been idle once.
        self.control()?.settle(20)?;
        std::thread::sleep(std::time::Duration::from_millis(20));
        done.map(|_| ())
    }

    /// The rules, as they are shown.
    #[allow(dead_code)]
    pub fn dump(&self, bridge: usize, version: &str) -> Result<Vec<String>, String> {
        let target = format!("unix:{}", self.path(&format!("br{bridge}.mgmt")));
        let text = self.ofctl(&["-O", version, "dump-flows", "--no-stats", &target], None)?;
        Ok(text.lines().map(str::to_string).collect())
    }

    /// What the switch says of a frame's way through the tables.
    #[allow(dead_code)]
    pub fn trace(&mut self, input: &Input) -> Result<String, String> {
        let flow = format!("in_port={}", input.port);
        let args = [format!("br{}", input.bridge), flow, hex(&input.bytes)];
        self.control()?.call("ofproto/trace", &args)
    }
}

const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

impl Subject for Ovs {
    fn name(&self) -> String {
        "Open vSwitch".into()
    }

    fn load(&mut self, world: &World) -> Result<(), String> {
        for (i, bridge) in world.bridges.iter().enumerate() {
            self.add_groups(i, &bridge.groups)?;
            self.add_rules(i, &bridge.text)?;
            self.control()?.call("fdb/flush", &[format!("br{i}")])?;
        }
        self.control()?.call("revalidator/purge", &[])?;
        Ok(())
    }

    fn packet(&mut self, input: &Input, _now: u64) -> Result<Vec<Output>, String> {
        // The dummy port makes a buffer of half this text's length: blanks leave room for longer headers and texts.
        let args = [port_name(input.bridge, input.port), hex(&input.bytes) + &" ".repeat(256)];
        let control = self.control()?;
        control.call("netdev-dummy/receive", &args)?;
        // At most ten requests are served before the switch looks at its ports again.
        control.settle(60)?;
        control.call("revalidator/purge", &[])?;
        let mut out = Vec::new();
        for ((bridge, port), tap) in &mut self.taps {
            for bytes in tap.read()? {
                out.push(Output { bridge: *bridge, port: *port, bytes });
            }
        }
        Ok(out)
    }

    fn hits(&mut self) -> Result<Option<Vec<RuleHits>>, String> {
        let mut all = Vec::new();
        for bridge in 0..topology().bridges.len() {
            let target = format!("unix:{}", self.path(&format!("br{bridge}.mgmt")));
            let text = self.ofctl(&["-O", "OpenFlow13", "dump-flows", &target], None)?;
            all.extend(text.lines().skip(1).filter_map(|l| rule_hits(bridge, l)));
        }
        all.sort();
        Ok(Some(all))
    }
}

/// `table`, `priority` and `n_packets` of a line of a dump.
fn rule_hits(bridge: usize, line: &str) -> Option<RuleHits> {
    let before = line.split(" actions=").next()?;
    let number = |name: &str| {
        let word = before.split([',', ' ']).find_map(|w| w.strip_prefix(name)?.strip_prefix('='));
        word.and_then(|w| w.parse::<u64>().ok())
    };
    Some(RuleHits {
        bridge,
        table: u8::try_from(number("table")?).ok()?,
        priority: u16::try_from(number("priority").unwrap_or(0x8000)).ok()?,
        matching: String::new(),
        packets: number("n_packets")?,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

impl Drop for Ovs {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::env::var_os("SLUICE_KEEP").is_none() {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}
