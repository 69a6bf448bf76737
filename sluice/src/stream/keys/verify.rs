//! Whether a server is to be believed.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature, CryptoProvider};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme};

/// The authority that we believe, or the file into which the first one goes.
#[derive(Debug)]
pub(super) struct Authority {
    roots: Mutex<Option<Arc<RootCertStore>>>,
    file: PathBuf,
    provider: Arc<CryptoProvider>,
}

impl Authority {
    pub(super) fn new(roots: Option<Arc<RootCertStore>>, file: PathBuf, provider: Arc<CryptoProvider>) -> Authority {
        Authority { roots: Mutex::new(roots), file, provider }
    }

    /// Takes the last certificate of a first server's chain for the authority's.
    fn bootstrap(&self, last: &CertificateDer<'_>) -> Result<Arc<RootCertStore>, Error> {
        let mut roots = RootCertStore::empty();
        roots.add(last.clone().into_owned())?;
        let written = std::fs::OpenOptions::new().write(true).create_new(true).open(&self.file);
        written.and_then(|mut file| std::io::Write::write_all(&mut file, pem(last).as_bytes())).map_err(|e| {
            let why = std::io::Error::new(e.kind(), format!("{}: cannot keep the authority's certificate: {e}", self.file.display()));
            Error::Other(OtherError(Arc::new(why)))
        })?;
        Ok(Arc::new(roots))
    }
}

impl ServerCertVerifier for Authority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut roots = self.roots.lock().unwrap_or_else(PoisonError::into_inner);
        let known = match &*roots {
            Some(known) => known.clone(),
            None => {
                let last = intermediates.last().ok_or(CertificateError::UnknownIssuer)?;
                self.bootstrap(last)?
            }
        };
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &known, intermediates, now, algorithms)?;
        *roots = Some(known);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn pem(certificate: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for (i, three) in certificate.chunks(3).enumerate() {
        let bits = three.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let digit = DIGITS.get((bits >> (18 - 6 * place) & 63) as usize).copied().unwrap_or(b'A');
            text.push(if place > three.len() { '=' } else { char::from(digit) });
        }
        if i % 16 == 15 {
            text.push('\n');
        }
    }
    text.push_str("\n-----END CERTIFICATE-----\n");
    text
}
