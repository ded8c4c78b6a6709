//! Reads the certificate authorities that `OS_CACERT` names.

use std::path::Path;

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::verifier::Roots;
use crate::{config::ConfigError, local_file::read_regular_file};

/// More than all certificates of a system have.
const MOST_BYTES_OF_ROOTS: u64 = 16 << 20;

/// Reads the certificates in a file in PEM form. Only these are then trusted. One that can't be decoded is skipped with
/// a warning, as long as there is another.
pub(super) fn read_roots(path: &Path) -> Result<Roots, ConfigError> {
    let pem = read_regular_file(path, MOST_BYTES_OF_ROOTS)
        .map_err(|error| ConfigError::file(path, format!("{error}; check OS_CACERT")))?;
    let mut roots = Roots { certificates: Vec::new() };
    let mut problems = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| error.to_string());
        let added = certificate.and_then(|certificate| {
            RootCertStore::empty().add(certificate.clone()).map_err(|error| error.to_string())?;
            Ok(certificate)
        });
        match added {
            Ok(certificate) => roots.certificates.push(certificate),
            Err(problem) => problems.push(problem),
        }
    }
    match (roots.certificates.is_empty(), problems.first()) {
        (true, Some(problem)) => return Err(ConfigError::file(path, problem)),
        (true, None) => return Err(ConfigError::file(path, "there is no certificate in PEM form in it")),
        (false, Some(problem)) => tracing::warn!(
            "OS_CACERT: {} of the certificates in {} can't be read and are skipped: {problem}",
            problems.len(),
            path.display()
        ),
        (false, None) => {}
    }
    Ok(roots)
}
