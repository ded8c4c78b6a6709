//! Reads the certificate authorities that `OS_CACERT` names.

use std::path::Path;

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::{config::ConfigError, local_file::read_regular_file};

/// More than all certificates of a system have.
const MOST_BYTES_OF_ROOTS: u64 = 16 << 20;

/// Reads the certificates in a file in PEM form. Only these are then trusted.
pub(super) fn read_roots(path: &Path) -> Result<RootCertStore, ConfigError> {
    let pem = read_regular_file(path, MOST_BYTES_OF_ROOTS)
        .map_err(|error| ConfigError::file(path, format!("{error}; check OS_CACERT")))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let added = certificate.map_err(|error| error.to_string());
        let added = added.and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()));
        added.map_err(|problem| ConfigError::file(path, problem))?;
    }
    if roots.is_empty() {
        return Err(ConfigError::file(path, "there is no certificate in PEM form in it"));
    }
    Ok(roots)
}
