//! Building the switch that the command line asks for, running it, and reading its counters.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use sluice_flow::action::OfPort;
use sluice_flow::key::slot;
use sluice_flow::program::{Ingress, Port, PortKind, Tunnel as TunnelPort};
use sluice_flow::underlay::{Device, Exit, Route, Underlay};
use sluice_flow::verdict::{OuterTos, OuterTtl};
use sluice_flow::{Change, DropReason, PortIdx};
use sluice_frame::{Frame, Pool};
use sluice_openflow::text::{format_actions, format_match, parse_flow_file, Names};
use sluice_openflow::version::Version;
use sluice_openflow::{Action, FlowMod, PortNo};
use sluice_port::pcap::{Output, PcapPort, Repeat};
use sluice_port::{Offloads, PortError, PortStats, SendOutcome};

use super::{Args, Figures, RuleFigures, Tunnel};
use crate::inline::Inline;

/// Chunks of frame memory: enough for a full turn of every port, small enough to stay in the cache.
const CHUNKS: usize = 2048;
const CHUNK: usize = 4096;
/// Flows that the cache may hold.
const FLOWS: usize = 1 << 21;
/// Packets that one millisecond of the switch's own time stands for.
const PACKETS_PER_MS: u64 = 1000;
const VXLAN_PORT: u16 = 4789;

/// Runs the replay.
pub fn run(args: &Args) -> Result<Figures, String> {
    let version = version(args)?;
    let mut bridges = vec![rules(&args.flows)?];
    if let Some(second) = &args.second_bridge {
        bridges.push(rules(second)?);
    }
    let mut switch = Inline::new(CHUNK, CHUNKS, FLOWS).map_err(|e| e.to_string())?;
    let files = build(&mut switch, args, &bridges)?;
    for (i, mods) in bridges.iter().enumerate() {
        switch.flow_mods(i as u16, mods, version).map_err(|e| format!("rule {} of bridge {i}: {}", e.index + 1, e.error))?;
    }
    let measured = go(&mut switch, args);
    for (path, file) in files {
        file.finish().map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(figures(&mut switch, bridges.len() as u16, measured))
}

fn version(args: &Args) -> Result<Version, String> {
    let Some(text) = &args.protocol else { return Ok(Version::V14) };
    let all = [
        ("OpenFlow10", Version::V10),
        ("OpenFlow11", Version::V11),
        ("OpenFlow12", Version::V12),
        ("OpenFlow13", Version::V13),
        ("OpenFlow14", Version::V14),
        ("OpenFlow15", Version::V15),
    ];
    let found = all.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    found.map(|(_, v)| v).ok_or_else(|| format!("-O: '{text}' is not an OpenFlow version (OpenFlow10 to OpenFlow15)"))
}

fn rules(path: &Path) -> Result<Vec<FlowMod>, String> {
    let text = match path.to_str() {
        Some("-") => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map(|_| text)
        }
        _ => std::fs::read_to_string(path),
    }
    .map_err(|e| format!("{}: {e}", path.display()))?;
    parse_flow_file(&text, &Names::new()).map_err(|e| format!("{}: {e}", path.display()))
}

/// A capture port that the switch owns and whose file can still be completed at the end.
struct Shared {
    name: String,
    port: Arc<Mutex<PcapPort>>,
}

impl Shared {
    fn with<T>(&self, f: impl FnOnce(&mut PcapPort) -> T) -> T {
        f(&mut self.port.lock().unwrap_or_else(PoisonError::into_inner))
    }
    fn finish(&self) -> Result<(), PortError> {
        self.with(PcapPort::finish)
    }
}

impl sluice_port::Port for Shared {
    fn name(&self) -> &str {
        &self.name
    }
    fn receive(&mut self, pool: &mut Pool, out: &mut Vec<Frame>, max: usize) -> Result<usize, PortError> {
        self.with(|p| p.receive(pool, out, max))
    }
    fn send(&mut self, pool: &mut Pool, frames: &mut Vec<Frame>) -> SendOutcome {
        self.with(|p| p.send(pool, frames))
    }
    fn poll_fd(&self) -> Option<std::os::fd::RawFd> {
        None
    }
    fn stats(&self) -> PortStats {
        self.with(|p| p.stats())
    }
    fn offloads(&self) -> Offloads {
        self.with(|p| p.offloads())
    }
    fn is_finished(&self) -> bool {
        self.with(|p| p.is_finished())
    }
}

/// Makes bridges, ports and tunnels; answers the output files, to be completed.
fn build(switch: &mut Inline, args: &Args, bridges: &[Vec<FlowMod>]) -> Result<Vec<(std::path::PathBuf, Shared)>, String> {
    let mut files = Vec::new();
    let mut devices: BTreeMap<OfPort, PortIdx> = BTreeMap::new();
    let joined: BTreeSet<OfPort> = args.patches.iter().map(|p| p.0).chain(args.tunnels.iter().map(|t| t.port)).collect();
    for (i, mods) in bridges.iter().enumerate() {
        let bridge = i as u16;
        switch.add_bridge(bridge);
        let taken: BTreeSet<OfPort> = if i == 0 { joined.clone() } else { args.patches.iter().map(|p| p.1).collect() };
        let mut ports = ports_named(mods);
        if i == 0 {
            ports.extend(&args.ports);
            ports.extend(args.inputs.iter().chain(&args.outputs).map(|(n, _)| *n));
            ports.extend(args.tunnels.iter().map(|t| t.by));
        }
        for port in ports.difference(&taken) {
            let device = if i == 0 { capture_port(args, *port, &mut files)? } else { idle_port(*port) };
            let idx = switch.add_device(bridge, *port, device);
            if i == 0 {
                devices.insert(*port, idx);
            }
        }
    }
    for &(near, far) in &args.patches {
        switch.add_port(0, near, PortKind::Patch { bridge: 1, port: far });
        switch.add_port(1, far, PortKind::Patch { bridge: 0, port: near });
    }
    tunnels(switch, &args.tunnels, &devices);
    Ok(files)
}

fn idle_port(port: OfPort) -> Box<dyn sluice_port::Port> {
    Box::new(PcapPort::new(&port.to_string(), Repeat::Times(0), Output::Discard))
}

fn capture_port(
    args: &Args,
    port: OfPort,
    files: &mut Vec<(std::path::PathBuf, Shared)>,
) -> Result<Box<dyn sluice_port::Port>, String> {
    let of = |list: &[(u32, std::path::PathBuf)]| list.iter().find(|(n, _)| *n == port).map(|(_, f)| f.clone());
    let (input, output) = (of(&args.inputs), of(&args.outputs));
    let name = port.to_string();
    let sink = match &output {
        Some(path) => Output::create(path).map_err(|e| e.to_string())?,
        None => Output::Discard,
    };
    let repeat = if args.seconds.is_some() { Repeat::Forever } else { Repeat::Times(args.rounds) };
    let source = match &input {
        Some(path) => PcapPort::open(&name, path, repeat, sink).map_err(|e| e.to_string())?,
        None => PcapPort::new(&name, Repeat::Times(0), sink),
    };
    if let Some(path) = output {
        let port = Arc::new(Mutex::new(source));
        files.push((path, Shared { name: name.clone(), port: port.clone() }));
        return Ok(Box::new(Shared { name, port }));
    }
    Ok(Box::new(source))
}

/// Ports that rules match or send to: they exist, so that what rules send there is sent.
fn ports_named(mods: &[FlowMod]) -> BTreeSet<OfPort> {
    let mut all = BTreeSet::new();
    for m in mods {
        if m.matching.mask.covers(slot::IN_PORT) {
            all.insert(m.matching.value.get(slot::IN_PORT) as OfPort);
        }
        ports_in(&m.actions, &mut all);
    }
    all
}

fn ports_in(actions: &[Action], all: &mut BTreeSet<OfPort>) {
    for a in actions {
        match a {
            Action::Output { port, .. } | Action::OutputTrunc { port, .. } | Action::Enqueue { port, .. } => {
                if *port == PortNo::LOCAL || port.0 < PortNo::MAX.0 {
                    all.insert(port.0);
                }
            }
            Action::WriteActions(inner) | Action::Clone(inner) => ports_in(inner, all),
            _ => {}
        }
    }
}

fn tunnels(switch: &mut Inline, tunnels: &[Tunnel], devices: &BTreeMap<OfPort, PortIdx>) {
    let mut underlay = Underlay::default();
    for t in tunnels {
        let Some(&idx) = devices.get(&t.by) else { continue };
        let (remote, local) = (IpAddr::V4(t.remote), IpAddr::V4(t.local));
        let device = underlay.devices.len();
        underlay.devices.push(Device {
            name: t.by.to_string(),
            mac: mac_for(t.local),
            addresses: vec![local],
            exit: Exit::Port(idx),
            mtu: u32::from(u16::MAX),
        });
        underlay.routes.push(Route { prefix: remote, len: 32, device, gateway: None, source: Some(local) });
        underlay.neighbours.insert((device, remote), mac_for(t.remote));
        let tunnel = TunnelPort {
            key: t.vni, out_key: t.vni,
            remote: Some(remote),
            local: Some(local),
            dst_port: VXLAN_PORT,
            tos: OuterTos::Set(0),
            ttl: OuterTtl::Set(64),
            df: true,
            csum: None,
            gbp: false,
            mark: 0,
        };
        let to = Some(Port { kind: PortKind::Tunnel(Arc::new(tunnel)), ..Port::device(0) });
        switch.change(&[
            Change::SetPort { bridge: 0, port: t.port, to },
            Change::SetIngress { device: idx, to: Some(Ingress::Underlay) },
        ]);
    }
    if !tunnels.is_empty() {
        switch.set_underlay(underlay);
    }
}

/// A locally administered address made of an IPv4 one: replay has no neighbours to ask.
fn mac_for(ip: std::net::Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = ip.octets();
    [0x02, 0x00, a, b, c, d]
}

struct Measured {
    cpu_s: f64,
    wall_s: f64,
}

fn go(switch: &mut Inline, args: &Args) -> Measured {
    let (wall, cpu) = (Instant::now(), cpu_seconds());
    loop {
        let now_ms = switch.worker().counters().received / PACKETS_PER_MS;
        let work = switch.turn(now_ms);
        let over = match args.seconds {
            Some(s) => wall.elapsed().as_secs_f64() >= s,
            None => work == 0 && switch.worker().is_finished(),
        };
        if over {
            return Measured { cpu_s: cpu_seconds() - cpu, wall_s: wall.elapsed().as_secs_f64() };
        }
        let _ = switch.take_punts();
    }
}

fn cpu_seconds() -> f64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    t.tv_sec as f64 + t.tv_nsec as f64 / 1e9
}

/// The processor's frequency as the kernel states it.
fn frequency_hz() -> f64 {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mhz = text.lines().find(|l| l.starts_with("cpu MHz")).and_then(|l| l.split(':').nth(1)?.trim().parse::<f64>().ok());
    mhz.unwrap_or(0.0) * 1e6
}

fn figures(switch: &mut Inline, bridges: u16, measured: Measured) -> Figures {
    let counters = switch.fold().counters.clone();
    let names = Names::new();
    let rules = (0..bridges).flat_map(|b| switch.dump(b)).map(|f| RuleFigures {
        bridge: f.bridge,
        table: f.table,
        priority: f.rule.priority,
        cookie: f.cookie,
        matching: format_match(
            &f.matching(),
            &names,
        ),
        actions: format_actions(&f.actions, &names),
        packets: f.packets,
        bytes: f.bytes,
    });
    let mut rules: Vec<_> = rules.collect();
    rules.sort_by(|a, b| (a.bridge, a.table, b.priority, &a.matching).cmp(&(b.bridge, b.table, a.priority, &b.matching)));
    let drops = DropReason::ALL.iter().map(|r| (*r, counters.dropped[*r as usize])).filter(|(_, n)| *n > 0).collect();
    Figures {
        packets_in: counters.received,
        packets_out: counters.sent,
        copied: counters.copied,
        punted: counters.punted,
        drops,
        seconds_cpu: measured.cpu_s,
        seconds_wall: measured.wall_s,
        hz: frequency_hz(),
        hits: counters.hits,
        misses: counters.misses,
        rules,
        conserved: counters.conserved(),
    }
}
