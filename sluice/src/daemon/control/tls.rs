//! Which keys TLS connections use: those of the command line, or of the database's SSL row.
//!
//! Invariant: keys that cannot be read leave the ones before in use, and are told.

use std::path::PathBuf;

use sluice_ovsdb_bridge as desired;

use super::Control;
use crate::daemon::args;
use crate::stream::keys::{KeyFiles, Keys};

/// The command line's keys; none where it gives none.
pub(super) fn of_command_line(tls: &args::Tls) -> Result<Option<Keys>, String> {
    files_of(tls)?.map(|files| Keys::load(&files)).transpose()
}

fn files_of(tls: &args::Tls) -> Result<Option<KeyFiles>, String> {
    let ca = tls.bootstrap_ca_cert.clone().or_else(|| tls.ca_cert.clone());
    match (&tls.private_key, &tls.certificate, ca) {
        (None, None, None) => Ok(None),
        (Some(private_key), Some(certificate), Some(ca_certificate)) => Ok(Some(KeyFiles {
            private_key: private_key.clone(),
            certificate: certificate.clone(),
            ca_certificate,
            bootstrap_ca: tls.bootstrap_ca_cert.is_some(),
        })),
        _ => Err("TLS needs all of --private-key, --certificate and --ca-cert (or --bootstrap-ca-cert)".to_string()),
    }
}

impl Control {
    /// Takes the keys that the configuration names, else the command line's.
    pub(super) fn set_keys(&mut self, wanted: Option<desired::Tls>) {
        let loaded = match wanted {
            None => of_command_line(&self.args.tls),
            Some(tls) => Keys::load(&KeyFiles {
                private_key: PathBuf::from(tls.private_key),
                certificate: PathBuf::from(tls.certificate),
                ca_certificate: PathBuf::from(tls.ca_certificate),
                bootstrap_ca: tls.bootstrap_ca,
            })
            .map(Some),
        };
        match loaded {
            Ok(keys) => {
                self.server.set_keys(keys.clone());
                self.keys = keys;
            }
            Err(e) => crate::log!(Error, "", "TLS keys not taken: {e}"),
        }
    }
}
