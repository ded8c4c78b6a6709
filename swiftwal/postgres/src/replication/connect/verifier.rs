//! Verifies a server's certificate as libpq does.

#[cfg(test)]
mod tests;

use std::{io, sync::Arc};

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

use super::certificate::{self, NoRoot};
use crate::printable;

/// The certificates of a file.
#[derive(Debug)]
pub(super) struct Trusted(Vec<CertificateDer<'static>>);

impl Trusted {
    /// Trusts these certificates: an authority's to sign others, and a self-signed one as the server's own.
    pub(super) fn new(certificates: Vec<CertificateDer<'static>>) -> Self {
        Self(certificates)
    }

    /// Verifies a certificate as OpenSSL does: a root must be an authority's, and valid now.
    fn verify(
        &self,
        certificate: &CertificateDer<'_>,
        verify_with: impl Fn(&RootCertStore) -> Result<(), Error>,
        now: UnixTime,
    ) -> Result<(), Error> {
        if self.0.contains(certificate) && certificate::is_self_issued(certificate) {
            match verify_with(&store([certificate])) {
                // The self-signed certificates that PostgreSQL's manual shows are marked as an authority's. The time has
                // been checked before.
                Err(Error::InvalidCertificate(error)) if is_of_authority(&error) => return Ok(()),
                // It names itself as its issuer, but another certificate of the same name has signed it.
                Err(Error::InvalidCertificate(
                    CertificateError::BadSignature | CertificateError::UnknownIssuer,
                )) => {}
                verified => return verified,
            }
        }
        let usable = |root: &&CertificateDer<'_>| certificate::check_root(root, now).is_ok();
        verify_with(&store(self.0.iter().filter(usable))).map_err(|error| {
            let refused = self.0.iter().find(|root| !usable(root) && verify_with(&store([*root])).is_ok());
            match refused.map(|root| certificate::check_root(root, now)) {
                Some(Err(reason)) => CertificateError::Other(OtherError(Arc::new(reason))).into(),
                _ => error,
            }
        })
    }
}

/// Certificates that can't be decoded are left out.
fn store<'a>(roots: impl IntoIterator<Item = &'a CertificateDer<'a>>) -> RootCertStore {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots.into_iter().map(|root| root.clone().into_owned()));
    store
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
        let verify_with = |roots: &RootCertStore| {
            verify_server_cert_signed_by_trust_anchor(&parsed, roots, intermediates, now, algorithms)
        };
        trusted.verify(end_entity, verify_with, now)?;
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
    other(error)
}

fn other<T: std::error::Error + 'static>(error: &CertificateError) -> Option<&T> {
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
            let common_name = certificate::common_name(certificate);
            if common_name.is_some_and(|common_name| fits(&common_name, host)) {
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
            error => match other::<NoRoot>(error) {
                Some(reason) => return reason.to_string(),
                None => return printable(&error.to_string()).to_string(),
            },
        },
        _ => return printable(&error.to_string()).to_string(),
    };
    text.to_owned()
}
