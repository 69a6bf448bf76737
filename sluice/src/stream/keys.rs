//! Keys and certificates for TLS.
//!
//! Purpose: reads the three files that Open vSwitch's programs want (private key, certificate, the
//! authority's certificate) and makes of them what both ends of a connection need.
//! Invariant: a peer is believed when its certificate is signed by our authority, whatever name is in
//! it, as Open vSwitch does: its certificates name machines by made-up ids.
//! Deliberately does not know: connections.

mod verify;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use verify::Authority;

/// Where the files are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyFiles {
    /// Our private key, PEM.
    pub private_key: PathBuf,
    /// Our certificate, PEM.
    pub certificate: PathBuf,
    /// The authority's certificate, PEM.
    pub ca_certificate: PathBuf,
    /// Where the authority's file is missing: take its certificate from the first server that we
    /// connect to, and keep it in that file.
    pub bootstrap_ca: bool,
}

/// What TLS connections need. Clones share it.
#[derive(Clone, Debug)]
pub struct Keys {
    client: Arc<ClientConfig>,
    server: Option<Arc<ServerConfig>>,
}

impl Keys {
    /// Reads the files.
    pub fn load(files: &KeyFiles) -> Result<Keys, String> {
        let provider = Arc::new(ring::default_provider());
        let key = || {
            let path = &files.private_key;
            PrivateKeyDer::from_pem_file(path).map_err(|e| cannot(path, "private key", &e))
        };
        let chain = certificates(&files.certificate)?;
        let roots = match files.bootstrap_ca && !files.ca_certificate.exists() {
            true => None,
            false => Some(Arc::new(roots(&files.ca_certificate)?)),
        };
        let authority = Authority::new(roots.clone(), files.ca_certificate.clone(), provider.clone());
        let wrong = |e: rustls::Error| format!("{}: does not go with {}: {e}", files.certificate.display(), files.private_key.display());
        let client = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(authority))
            .with_client_auth_cert(chain.clone(), key()?)
            .map_err(wrong)?;
        let server = match roots {
            None => None,
            Some(roots) => {
                let clients = WebPkiClientVerifier::builder_with_provider(roots, provider.clone())
                    .build()
                    .map_err(|e| format!("{}: {e}", files.ca_certificate.display()))?;
                let server = ServerConfig::builder_with_provider(provider)
                    .with_safe_default_protocol_versions()
                    .map_err(|e| e.to_string())?
                    .with_client_cert_verifier(clients)
                    .with_single_cert(chain, key()?)
                    .map_err(wrong)?;
                Some(Arc::new(server))
            }
        };
        Ok(Keys { client: Arc::new(client), server })
    }

    pub(super) fn client(&self) -> Arc<ClientConfig> {
        self.client.clone()
    }

    /// `None` while the authority is not known: nobody could be believed.
    pub(super) fn server(&self) -> Option<Arc<ServerConfig>> {
        self.server.clone()
    }
}

fn cannot(path: &Path, what: &str, e: &dyn std::fmt::Display) -> String {
    format!("{}: cannot read a {what} in PEM form: {e}", path.display())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).map_err(|e| cannot(path, "certificate", &e))?;
    let chain = read.collect::<Result<Vec<_>, _>>().map_err(|e| cannot(path, "certificate", &e))?;
    if chain.is_empty() {
        return Err(cannot(path, "certificate", &"there is none in it"));
    }
    Ok(chain)
}

fn roots(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|e| cannot(path, "certificate", &e))?;
    }
    Ok(roots)
}
