//! Verifies a server's certificate with the certificates of `OS_CACERT`.

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{ParsedCertificate, VerifierBuilderError},
};

/// The certificates that `OS_CACERT` names.
#[derive(Debug)]
pub(super) struct Roots {
    pub(super) store: RootCertStore,
    pub(super) certificates: Vec<CertificateDer<'static>>,
}

/// Accepts a certificate that one of the roots has signed; or that is a root itself, as a self-signed one, which
/// `openssl req -x509` marks as an authority's, and whose name is only in its subject if none is given in an extension.
/// Name and time must fit in any case.
#[derive(Debug)]
pub(super) struct RootsVerifier {
    roots: Arc<Roots>,
    chains: Arc<WebPkiServerVerifier>,
}

impl RootsVerifier {
    pub(super) fn new(
        roots: &Arc<Roots>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, VerifierBuilderError> {
        let chains = WebPkiServerVerifier::builder_with_provider(roots.store.clone().into(), provider);
        Ok(Self { roots: Arc::clone(roots), chains: chains.build()? })
    }
}

impl ServerCertVerifier for RootsVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.chains.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The time has been checked before either of these.
            Err(Error::InvalidCertificate(error))
                if (is_of_authority(&error) || is_nameless(&error))
                    && self.roots.certificates.contains(end_entity) =>
            {
                verify_name(end_entity, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

/// Whether the certificate was refused because it is marked as that of an authority.
pub(super) fn is_of_authority(error: &CertificateError) -> bool {
    let CertificateError::Other(OtherError(cause)) = error else { return false };
    matches!(cause.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

/// Whether the certificate was refused because it has no names outside its subject.
fn is_nameless(error: &CertificateError) -> bool {
    matches!(error, CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty())
}

/// Checks that the certificate is for this host. Its common name counts if it has no other names, as for curl.
fn verify_name(certificate: &CertificateDer<'_>, host: &ServerName<'_>) -> Result<(), Error> {
    match verify_server_name(&ParsedCertificate::try_from(certificate)?, host) {
        Err(Error::InvalidCertificate(error)) if is_nameless(&error) => {
            let parsed = webpki::EndEntityCert::try_from(certificate).ok();
            let name = parsed.as_ref().and_then(|parsed| common_name(parsed.subject()));
            let is_host = name.is_some_and(|name| name.eq_ignore_ascii_case(host.to_str().as_bytes()));
            if is_host { Ok(()) } else { Err(error.into()) }
        }
        verified => verified,
    }
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
