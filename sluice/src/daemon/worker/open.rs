//! Opening and closing devices.
//!
//! Purpose: from what a port shall be to something that frames enter and leave by.
//! Invariant: runs on the worker's thread, because frames live in the worker's pool.
//! Deliberately does not know: bridges, OpenFlow numbers.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use sluice_frame::Pool;
use sluice_ovsdb_bridge::{Io, VhostUser};
use sluice_port::afxdp::{open_best, AfXdpPort, Take, Umem, XdpOptions};
use sluice_port::packet::PacketPort;
use sluice_port::tap::{TapKeeper, TapOptions, TapPort};
use sluice_port::vhost::{Mode, Observer, VhostOptions, VhostPort};
use sluice_port::{Device, Port, PortError, Trouble};

use crate::daemon::netns::Namespace;

/// What a device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// It exists on the host.
    Existing {
        /// How frames are taken and sent.
        io: Io,
        /// Receive queues that it is to have.
        queues: Option<u16>,
        /// Only frames of our tunnels are taken; the host keeps the rest.
        only_ours: Option<OnlyOurs>,
    },
    /// A tap that is made.
    Tap {
        /// Its MAC address.
        mac: Option<[u8; 6]>,
    },
    /// A vhost-user socket.
    Vhost(VhostUser),
}

/// Which frames of a device of the host are ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnlyOurs {
    /// Our tunnels' addresses.
    pub local: Vec<IpAddr>,
    /// Their UDP port.
    pub udp_port: u16,
    /// Only what may be a piece of a packet for them, which the host gets as well.
    pub pieces: bool,
}

/// What to open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceSpec {
    /// Name of the device.
    pub name: String,
    /// What it is.
    pub kind: DeviceKind,
    /// MAC address to set on a device that exists.
    pub mac: Option<[u8; 6]>,
    /// MTU to set.
    pub mtu: Option<u16>,
    /// What a device that is made is marked with.
    pub mark: Option<String>,
    /// Where a tap that an earlier daemon made has gone.
    pub elsewhere: Option<Elsewhere>,
}

/// A tap of ours in another network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// The namespace.
    pub namespace: Namespace,
    /// Its name there.
    pub name: String,
}

/// What was found out on opening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// How it was opened.
    pub how: String,
    /// The device's MAC address.
    pub mac: Option<[u8; 6]>,
    /// The device's driver, its version and its firmware's; empty where the device does not tell.
    pub driver: [String; 3],
    /// It is in another network namespace.
    pub elsewhere: bool,
}

/// What opening needs of the worker.
pub struct Means<'a> {
    /// Memory for frames.
    pub pool: &'a mut Pool,
    /// The same for AF_XDP.
    pub umem: &'a Arc<Umem>,
    /// Where is written down what devices were like.
    pub records: &'a Path,
}

/// Opens a device. With it comes what can remove a device that was made.
pub fn open(spec: &DeviceSpec, means: Means<'_>, observer: Observer) -> Result<(Box<dyn Port>, Opened, Option<TapKeeper>), PortError> {
    match &spec.kind {
        DeviceKind::Vhost(vhost) => open_vhost(spec, vhost, observer).map(|(port, facts)| (port, facts, None)),
        DeviceKind::Tap { .. } if spec.elsewhere.is_some() => open_elsewhere(spec),
        DeviceKind::Tap { mac } => {
            let mtu = spec.mtu.map(u32::from);
            let options = TapOptions { persistent: true, mac: *mac, mtu, up: false };
            let port = TapPort::open(&spec.name, options)?;
            let mac = port.device().mac().ok();
            let driver = port.device().driver_facts().unwrap_or_default();
            if let Some(mark) = &spec.mark {
                // A device that cannot be marked stays after a crash, which costs no more than its name.
                let _ = std::fs::write(alias_of(&spec.name), mark);
            }
            let keeper = port.keeper();
            Ok((Box::new(port), Opened { how: "tap".to_string(), mac, driver, elsewhere: false }, keeper))
        }
        DeviceKind::Existing { io, queues, only_ours } => {
            let device = Device::open(&spec.name)?;
            if let Some(mtu) = spec.mtu {
                device.set_mtu(u32::from(mtu))?;
            }
            if let Some(mac) = spec.mac.filter(|mac| device.mac().ok() != Some(*mac)) {
                device.set_mac(mac)?;
            }
            let mac = device.mac().ok();
            let driver = device.driver_facts().unwrap_or_default();
            let records = Some(means.records.to_path_buf());
            let options = XdpOptions { take: take(only_ours.as_ref()), queues: queues.map(u32::from), records, ..XdpOptions::default() };
            let (port, how) = existing(&spec.name, *io, &options, means)?;
            Ok((port, Opened { how, mac, driver, elsewhere: false }, None))
        }
    }
}

/// Takes over a tap that was moved; its addresses, MAC and MTU are left as they are there.
fn open_elsewhere(spec: &DeviceSpec) -> Result<(Box<dyn Port>, Opened, Option<TapKeeper>), PortError> {
    let fail = |why: String| PortError::new(Trouble::Io, &spec.name, "take over tap device", why);
    let Some(Elsewhere { namespace, name }) = &spec.elsewhere else { return Err(fail("it is not elsewhere".to_string())) };
    let advice = |e: &dyn std::fmt::Display| {
        fail(format!("{e}; it is {name} in the network namespace {namespace}: move it back with its name, or remove it there"))
    };
    let options = TapOptions { persistent: true, ..TapOptions::default() };
    // A device that is not there would be made anew.
    let opened = namespace.within(|| Device::open(name).and_then(|_| TapPort::open(name, options)));
    let port = opened.map_err(|e| advice(&e))?.map_err(|e| advice(&e))?;
    let mac = port.device().mac().ok();
    let driver = port.device().driver_facts().unwrap_or_default();
    let keeper = port.keeper();
    let how = format!("tap {name} in the network namespace {namespace}");
    Ok((Box::new(port), Opened { how, mac, driver, elsewhere: true }, keeper))
}

fn open_vhost(spec: &DeviceSpec, vhost: &VhostUser, observer: Observer) -> Result<(Box<dyn Port>, Opened), PortError> {
    let (mode, word) = if vhost.server { (Mode::Server, "listening at") } else { (Mode::Client, "connecting to") };
    let path = vhost.path.clone().ok_or_else(|| {
        PortError::new(Trouble::Input, &spec.name, "open vhost-user socket", "no path is given; set options:vhost-server-path")
    })?;
    let how = format!("vhost-user, {word} {path}");
    let options = VhostOptions { path: path.into(), mode, mtu: spec.mtu, iommu: vhost.iommu };
    let port = VhostPort::open(&spec.name, &options, observer)?;
    Ok((Box::new(port), Opened { how, mac: None, driver: Default::default(), elsewhere: false }))
}

fn existing(
    name: &str,
    io: Io,
    options: &XdpOptions,
    Means { pool, umem, .. }: Means<'_>,
) -> Result<(Box<dyn Port>, String), PortError> {
    match io {
        Io::Packet => Ok((Box::new(PacketPort::open_for(name, &options.take)?), "packet socket".to_string())),
        Io::Afxdp => {
            let port = AfXdpPort::open(name, pool, umem, options)?;
            let how = port.description().to_owned();
            Ok((Box::new(port), how))
        }
        Io::Auto => {
            let best = open_best(name, pool, umem, options)?;
            Ok((best.port, best.reason))
        }
    }
}

fn take(only_ours: Option<&OnlyOurs>) -> Take {
    match only_ours {
        None => Take::Everything,
        Some(ours) if ours.pieces => Take::Fragments { local: ours.local.clone() },
        Some(ours) => Take::Tunnel { local: ours.local.clone(), udp_port: ours.udp_port },
    }
}

/// Where the kernel keeps a device's alias.
pub fn alias_of(name: &str) -> String {
    format!("/sys/class/net/{name}/ifalias")
}

/// Pins the calling thread to a CPU; where that is refused it runs anywhere.
pub fn pin(cpu: u16) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(usize::from(cpu));
    if let Err(e) = rustix::thread::sched_setaffinity(None, &set) {
        crate::log!(Warn, "worker", "cannot pin to CPU {cpu}: {e}; running on any");
    }
}
