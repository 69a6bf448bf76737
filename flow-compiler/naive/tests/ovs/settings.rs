//! Port and bridge settings of the stock switch, as the world wants them.

use sluice_naive::{BridgeSpec, MirrorSpec, PortSettings, PriorityTags, VlanMode, World};

use super::{port_name, Ovs};

impl Ovs {
    /// Makes ports and bridges be as the world says; rules are not touched.
    #[allow(dead_code)] // not every test binary changes settings
    pub fn configure(&mut self, world: &World) -> Result<(), String> {
        let mut args: Vec<String> = Vec::new();
        let mut floods = Vec::new();
        for (b, bridge) in world.bridges.iter().enumerate() {
            configure_bridge(&mut args, b, bridge);
            for p in &bridge.ports {
                let name = port_name(b, p.number);
                configure_port(&mut args, &name, &p.settings);
                floods.push((b, p.number, p.settings.no_flood));
            }
        }
        for (b, bridge) in world.bridges.iter().enumerate() {
            for (i, m) in bridge.mirrors.iter().enumerate() {
                add_mirror(&mut args, b, i, m);
            }
        }
        let all: Vec<&str> = args.iter().map(String::as_str).collect();
        self.vsctl(&all)?;
        for (b, port, no_flood) in floods {
            let target = format!("unix:{}", self.path(&format!("br{b}.mgmt")));
            let what = if no_flood { "no-flood" } else { "flood" };
            self.ofctl(&["mod-port", &target, &port.to_string(), what], None)?;
        }
        Ok(())
    }
}

fn push(args: &mut Vec<String>, words: &[&str]) {
    args.push("--".into());
    args.extend(words.iter().map(|w| w.to_string()));
}

fn numbers(list: &[u16]) -> String {
    list.iter().map(u16::to_string).collect::<Vec<_>>().join(",")
}

fn configure_bridge(args: &mut Vec<String>, b: usize, spec: &BridgeSpec) {
    let name = format!("br{b}");
    push(args, &["clear", "bridge", &name, "mirrors"]);
    push(args, &["set", "bridge", &name, &format!("other_config:forward-bpdu={}", spec.forward_bpdu)]);
    push(args, &["set", "bridge", &name, &format!("flood_vlans=[{}]", numbers(&spec.flood_vlans))]);
}

fn configure_port(args: &mut Vec<String>, name: &str, s: &PortSettings) {
    let mode = match s.mode {
        VlanMode::Trunk => "trunk",
        VlanMode::Access => "access",
        VlanMode::NativeTagged => "native-tagged",
        VlanMode::NativeUntagged => "native-untagged",
        VlanMode::Dot1qTunnel => "dot1q-tunnel",
    };
    let priority = match s.priority_tags {
        PriorityTags::Never => "never",
        PriorityTags::IfNonzero => "if-nonzero",
        PriorityTags::Always => "always",
    };
    let tag = s.tag.map_or("tag=[]".to_string(), |t| format!("tag={t}"));
    let (trunks, cvlans) = (format!("trunks=[{}]", numbers(&s.trunks)), format!("cvlans=[{}]", numbers(&s.cvlans)));
    let qinq = if s.service_8021q { "802.1q" } else { "802.1ad" };
    push(args, &[
        "set", "port", name, &format!("vlan_mode={mode}"), &tag, &trunks, &cvlans,
        &format!("other_config:priority-tags={priority}"), &format!("other_config:qinq-ethtype={qinq}"),
        &format!("protected={}", s.protected),
    ]);
}

fn add_mirror(args: &mut Vec<String>, b: usize, i: usize, m: &MirrorSpec) {
    let id = format!("@m{b}x{i}");
    let ports = |list: &[u32]| list.iter().map(|p| format!("@p{b}x{p}")).collect::<Vec<_>>().join(",");
    let mut named: Vec<u32> = m.src.iter().chain(&m.dst).chain(&m.to_port).copied().collect();
    named.sort_unstable();
    named.dedup();
    for p in named {
        let get = format!("--id=@p{b}x{p}");
        if !args.contains(&get) {
            push(args, &[&get, "get", "port", &port_name(b, p)]);
        }
    }
    let mut words = vec![
        format!("--id={id}"),
        "create".into(),
        "mirror".into(),
        format!("name=m{i}"),
        format!("select_all={}", m.all),
        format!("select_src_port=[{}]", ports(&m.src)),
        format!("select_dst_port=[{}]", ports(&m.dst)),
        format!("select_vlan=[{}]", numbers(&m.vlans)),
    ];
    words.extend(m.to_port.map(|p| format!("output_port=@p{b}x{p}")));
    words.extend(m.to_vlan.map(|v| format!("output_vlan={v}")));
    words.extend(m.snaplen.map(|v| format!("snaplen={v}")));
    args.push("--".into());
    args.extend(words);
    push(args, &["add", "bridge", &format!("br{b}"), "mirrors", &id]);
}
