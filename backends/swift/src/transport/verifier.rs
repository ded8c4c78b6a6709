//! Verifies a server's certificate with the certificates of `OS_CACERT`.

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

use super::root_check::{NoRoot, check_root, is_self_issued};

/// The certificates that `OS_CACERT` names.
#[derive(Debug)]
pub(super) struct Roots {
    pub(super) certificates: Vec<CertificateDer<'static>>,
}

/// Accepts a certificate that an authority among the roots has signed, if that one's certificate is valid now; or that is a
/// root itself, as a self-signed one, which `openssl req -x509` marks as an authority's, and whose name is only in its
/// subject if none is given in an extension. Name and time must fit in any case.
#[derive(Debug)]
pub(super) struct RootsVerifier {
    roots: Arc<Roots>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl RootsVerifier {
    pub(super) fn new(roots: &Arc<Roots>, provider: &CryptoProvider) -> Self {
        Self { roots: Arc::clone(roots), algorithms: provider.signature_verification_algorithms }
    }
}

impl Roots {
    fn verify(
        &self,
        certificate: &CertificateDer<'_>,
        verify_with: impl Fn(&RootCertStore) -> Result<(), Error>,
        now: UnixTime,
    ) -> Result<(), Error> {
        if self.certificates.contains(certificate) && is_self_issued(certificate) {
            match verify_with(&store([certificate])) {
                // The time has been checked before.
                Err(Error::InvalidCertificate(error)) if is_of_authority(&error) => return Ok(()),
                // It didn't sign itself: its authority has the same name.
                Err(Error::InvalidCertificate(
                    CertificateError::BadSignature | CertificateError::UnknownIssuer,
                )) => {}
                verified => return verified,
            }
        }
        let usable = |root: &&CertificateDer<'_>| check_root(root, now).is_ok();
        verify_with(&store(self.certificates.iter().filter(usable))).map_err(|error| {
            let signed = |root: &&CertificateDer<'_>| !usable(root) && verify_with(&store([*root])).is_ok();
            let reason = self.certificates.iter().find(signed).map(|root| check_root(root, now));
            match reason {
                Some(Err(reason)) => CertificateError::Other(OtherError(Arc::new(reason))).into(),
                _ => error,
            }
        })
    }
}

fn store<'a>(roots: impl IntoIterator<Item = &'a CertificateDer<'a>>) -> RootCertStore {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots.into_iter().map(|root| root.clone().into_owned()));
    store
}

impl ServerCertVerifier for RootsVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.algorithms.all;
        let verify_with = |roots: &RootCertStore| {
            verify_server_cert_signed_by_trust_anchor(&parsed, roots, intermediates, now, algorithms)
        };
        self.roots.verify(end_entity, verify_with, now)?;
        match verify_server_name(&parsed, server_name) {
            Err(Error::InvalidCertificate(error))
                if is_nameless(&error) && self.roots.certificates.contains(end_entity) =>
            {
                verify_common_name(end_entity, server_name, error)?;
            }
            verified => verified?,
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Whether the certificate was refused because it is marked as that of an authority.
pub(super) fn is_of_authority(error: &CertificateError) -> bool {
    matches!(other(error), Some(webpki::Error::CaUsedAsEndEntity))
}

/// Why what has signed the certificate isn't accepted as a root, if it was refused for that.
pub(super) fn root_refusal(error: &CertificateError) -> Option<NoRoot> {
    other(error).copied()
}

fn other<T: std::error::Error + 'static>(error: &CertificateError) -> Option<&T> {
    let CertificateError::Other(OtherError(cause)) = error else { return None };
    cause.downcast_ref()
}

/// Whether the certificate was refused because it has no names outside its subject.
fn is_nameless(error: &CertificateError) -> bool {
    matches!(error, CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty())
}

/// Checks that the common name is that of this host, as curl does it for a certificate without other names.
fn verify_common_name(
    certificate: &CertificateDer<'_>,
    host: &ServerName<'_>,
    nameless: CertificateError,
) -> Result<(), Error> {
    let parsed = webpki::EndEntityCert::try_from(certificate).ok();
    let name = parsed.as_ref().and_then(|parsed| common_name(parsed.subject()));
    let is_host = name.is_some_and(|name| name.eq_ignore_ascii_case(host.to_str().as_bytes()));
    if is_host { Ok(()) } else { Err(nameless.into()) }
}

/// Finds the common name in a subject: the text after the identifier 2.5.4.3, which begins with its type and its length.
fn common_name(subject: &[u8]) -> Option<&[u8]> {
    const IDENTIFIER: [u8; 5] = [6, 3, 0x55, 4, 3];
    let start = subject.windows(IDENTIFIER.len()).rposition(|window| window == IDENTIFIER)?;
    let [_, length, text @ ..] = subject.get(start + IDENTIFIER.len()..)? else { return None };
    text.get(..usize::from(*length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_common_name_is_found_and_one_that_is_cut_off_is_not() {
        let subject = b"\x06\x03\x55\x04\x0a\x0c\x01x\x06\x03\x55\x04\x03\x0c\x09localhost";
        assert_eq!(common_name(subject), Some(&b"localhost"[..]));
        assert_eq!(common_name(&subject[..subject.len() - 1]), None);
        assert_eq!(common_name(&subject[..9]), None);
    }
}
