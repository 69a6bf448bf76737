//! Which kind of port serves a device best, and why.

use std::sync::Arc;

use sluice_frame::Pool;

use super::{AfXdpPort, Take, Umem, XdpOptions};
use crate::packet::PacketPort;
use crate::{Port, PortError};

/// A port and how it came to be this kind.
pub struct Best {
    /// The port.
    pub port: Box<dyn Port>,
    /// Is it AF_XDP?
    pub is_afxdp: bool,
    /// How the device is served and why so, in one line.
    pub reason: String,
}

/// Opens a device by AF_XDP where that serves it without loss, else by a packet socket.
pub fn open_best(name: &str, pool: &mut Pool, umem: &Arc<Umem>, options: &XdpOptions) -> Result<Best, PortError> {
    let why_not = match unsuited(name, options)? {
        Some(why) => why,
        None => match AfXdpPort::open(name, pool, umem, options) {
            Ok(port) => {
                let reason = port.description().to_owned();
                return Ok(Best { port: Box::new(port), is_afxdp: true, reason });
            }
            Err(e) => format!("AF_XDP refused: {}", e.why()),
        },
    };
    let port = PacketPort::open_for(name, &options.take)?;
    let beside = match options.take {
        Take::Everything if port.is_shielded() => "",
        Take::Everything => "; this kernel gives the host's own stack its frames too",
        // The host sees tunnel packets too, and would answer that nobody listens.
        Take::Fragments { .. } => " beside the host's stack",
        Take::Tunnel { .. } => " beside the host's stack; hold a UDP socket on the tunnel port",
    };
    Ok(Best { port: Box::new(port), is_afxdp: false, reason: format!("packet socket{beside} ({why_not})") })
}

/// Why AF_XDP would lose something on this device.
fn unsuited(name: &str, options: &XdpOptions) -> Result<Option<String>, PortError> {
    let driver = crate::Device::open(name)?.driver();
    let everything = options.take == Take::Everything;
    Ok(match driver.as_deref() {
        // Tunnel packets are recognised and marked; a machine's large frames are worth more uncut.
        Some("veth") if everything && options.restore_offloads != Some(true) => {
            Some("veth: the other end leaves checksums and segmentation undone, which AF_XDP cannot mark".into())
        }
        Some("tun") if everything => Some("tun: a packet socket keeps its offloads".into()),
        _ => None,
    })
}
