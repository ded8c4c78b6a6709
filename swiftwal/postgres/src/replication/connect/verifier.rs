//! Verifies a server's certificate as libpq does.

use std::io;

use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime},
    server::ParsedCertificate,
};

use super::certificate;
use crate::printable;

/// The certificates of a file.
#[derive(Debug)]
pub(super) struct Trusted {
    store: RootCertStore,
    certificates: Vec<CertificateDer<'static>>,
}

impl Trusted {
    /// Trusts these certificates. One that can't be decoded is trusted only as a server's own.
    pub(super) fn new(certificates: Vec<CertificateDer<'static>>) -> Self {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(certificates.iter().cloned());
        Self { store, certificates }
    }
}

/// Accepts any certificate, or only those that an authority has signed; and of these, any, or only those for a host. The
/// server must have the certificate's key in any case, since authentication can be bound to the certificate.
#[derive(Debug)]
pub(super) struct Verifier {
    trusted: Option<Trusted>,
    host: Option<String>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    pub(super) fn new(trusted: Option<Trusted>, host: Option<String>, provider: &CryptoProvider) -> Self {
        Self { trusted, host, algorithms: provider.signature_verification_algorithms }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(trusted) = &self.trusted else { return Ok(ServerCertVerified::assertion()) };
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.algorithms.all;
        let verified = verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &trusted.store,
            intermediates,
            now,
            algorithms,
        );
        match verified {
            // The self-signed certificates that PostgreSQL's manual shows are marked as an authority's. The time has been
            // checked before.
            Err(Error::InvalidCertificate(error))
                if is_of_authority(&error) && trusted.certificates.contains(end_entity) => {}
            verified => verified?,
        }
        if let Some(host) = &self.host {
            verify_name(end_entity, &parsed, host)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match verify_tls12_signature(message, certificate, signature, &self.algorithms) {
            Err(error) if is_of_old_version(&error) => self.verify_by_key(message, certificate, signature),
            verified => verified,
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match verify_tls13_signature(message, certificate, signature, &self.algorithms) {
            Err(error) if is_of_old_version(&error) => self.verify_by_key(message, certificate, signature),
            verified => verified,
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl Verifier {
    /// Verifies a signature by the key in a certificate of version 1, which is all that is needed of it: OpenSSL makes such
    /// certificates if no extensions are asked for.
    fn verify_by_key(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let bad = || Error::InvalidCertificate(CertificateError::BadEncoding);
        let info = SubjectPublicKeyInfoDer::from(certificate::public_key(certificate).ok_or_else(bad)?);
        let key = webpki::RawPublicKeyEntity::try_from(&info).map_err(|_| bad())?;
        let schemes = self.algorithms.mapping.iter().filter(|(scheme, _)| *scheme == signature.scheme);
        let mut algorithms = schemes.flat_map(|(_, algorithms)| algorithms.iter());
        match algorithms
            .any(|algorithm| key.verify_signature(*algorithm, message, signature.signature()).is_ok())
        {
            true => Ok(HandshakeSignatureValid::assertion()),
            false => Err(CertificateError::BadSignature.into()),
        }
    }
}

/// Whether the certificate was refused because it is marked as that of an authority.
fn is_of_authority(error: &CertificateError) -> bool {
    matches!(webpki_error(error), Some(webpki::Error::CaUsedAsEndEntity))
}

/// Whether the certificate has version 1 or 2.
fn is_of_old_version(error: &Error) -> bool {
    let Error::InvalidCertificate(error) = error else { return false };
    matches!(webpki_error(error), Some(webpki::Error::UnsupportedCertVersion))
}

fn webpki_error(error: &CertificateError) -> Option<&webpki::Error> {
    let CertificateError::Other(OtherError(cause)) = error else { return None };
    cause.downcast_ref()
}

/// Checks that the certificate is for this host. Its common name counts only if it has no other names.
fn verify_name(
    certificate: &CertificateDer<'_>,
    parsed: &ParsedCertificate<'_>,
    host: &str,
) -> Result<(), Error> {
    let name = ServerName::try_from(host).map_err(|_| CertificateError::NotValidForName)?;
    match verify_server_name(parsed, &name) {
        Err(Error::InvalidCertificate(error)) if is_nameless(&error) => {
            let entity = webpki::EndEntityCert::try_from(certificate).ok();
            let common_name = entity.as_ref().and_then(|entity| common_name(entity.subject()));
            if common_name.is_some_and(|common_name| fits(common_name, host)) {
                Ok(())
            } else {
                Err(error.into())
            }
        }
        verified => verified,
    }
}

/// Whether the certificate was refused because it has no names outside its subject.
fn is_nameless(error: &CertificateError) -> bool {
    matches!(error, CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty())
}

/// Finds the common name in a subject: the text after the identifier 2.5.4.3, which begins with its type and its length.
fn common_name(subject: &[u8]) -> Option<&str> {
    const IDENTIFIER: [u8; 5] = [6, 3, 0x55, 4, 3];
    let start = subject.windows(IDENTIFIER.len()).rposition(|window| window == IDENTIFIER)?;
    let [_, length, text @ ..] = subject.get(start + IDENTIFIER.len()..)? else { return None };
    std::str::from_utf8(text.get(..usize::from(*length))?).ok()
}

/// Whether a common name is the host, or a pattern `*.domain` for it.
fn fits(common_name: &str, host: &str) -> bool {
    match (common_name.strip_prefix("*."), host.split_once('.')) {
        (Some(domain), Some((_, of_host))) => domain.contains('.') && domain.eq_ignore_ascii_case(of_host),
        (Some(_), None) => false,
        (None, _) => common_name.eq_ignore_ascii_case(host),
    }
}

/// Says why a handshake failed.
pub(super) fn problem(error: &io::Error) -> String {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
    let text = match cause {
        Some(Error::InvalidCertificate(error)) => match error {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "no authority in sslrootcert has signed the server's certificate"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "the server's certificate isn't for this host"
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the server's certificate has expired"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the server's certificate isn't valid yet"
            }
            error if is_of_authority(error) => {
                "the server's certificate is marked as that of an authority, and isn't in sslrootcert"
            }
            error if matches!(webpki_error(error), Some(webpki::Error::UnsupportedCertVersion)) => {
                "the server's certificate has version 1, which can't be verified; create one of version 3, or use --method \
                 pg_basebackup"
            }
            _ => return printable(&error.to_string()).to_string(),
        },
        _ => return printable(&error.to_string()).to_string(),
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_common_name_is_found_and_one_that_is_cut_off_is_not() {
        let subject = b"\x06\x03\x55\x04\x0a\x0c\x01x\x06\x03\x55\x04\x03\x0c\x09localhost";
        assert_eq!(common_name(subject), Some("localhost"));
        assert_eq!(common_name(&subject[..subject.len() - 1]), None);
    }

    #[test]
    fn a_common_name_fits_its_host_and_a_pattern_one_label() {
        for (name, host, expected) in [
            ("db1", "DB1", true),
            ("db1", "db2", false),
            ("*.example.org", "db1.example.org", true),
            ("*.example.org", "a.db1.example.org", false),
            ("*.example.org", "example.org", false),
            ("*.org", "example.org", false),
        ] {
            assert_eq!(fits(name, host), expected, "{name} {host}");
        }
    }
}
