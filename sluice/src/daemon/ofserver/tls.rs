//! Connections with TLS.
//!
//! Invariant: without keys nothing is sent in the clear instead.
//! Deliberately does not know: where keys come from.

use std::io;
use std::net::SocketAddr;

use super::Server;
use crate::stream::keys::Keys;
use crate::stream::socket::Stream;

impl Server {
    /// Keys for connections from now on; those that hold are kept.
    pub fn set_keys(&mut self, keys: Option<Keys>) {
        self.keys = keys;
    }

    pub(super) fn dial_tls(&self, address: SocketAddr) -> io::Result<Stream> {
        let missing = || io::Error::other("there are no keys for TLS: set the SSL table or --private-key, --certificate, --ca-cert");
        Stream::tls(address, self.keys.as_ref().ok_or_else(missing)?)
    }
}
