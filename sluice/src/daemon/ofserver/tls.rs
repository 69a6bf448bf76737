//! Connections with TLS, once there are keys.

use std::io;
use std::net::SocketAddr;

use super::socket::Listener;
use super::Server;
use crate::stream::socket::Stream;

impl Server {
    pub(super) fn dial_tls(&self, _: SocketAddr) -> io::Result<Stream> {
        Err(io::Error::other("TLS is not there yet; use tcp or unix"))
    }

    pub(super) fn listen_tls(&self, _: SocketAddr) -> io::Result<Listener> {
        Err(io::Error::other("TLS is not there yet; use tcp or unix"))
    }
}
