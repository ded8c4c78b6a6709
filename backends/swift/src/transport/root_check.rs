//! What a certificate must be like to verify others with it.

use rustls::pki_types::UnixTime;
use x509_parser::{certificate::X509Certificate, parse_x509_certificate, time::ASN1Time};

/// Why a certificate of `OS_CACERT` can't verify the certificate that it has signed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum NoRoot {
    #[error("was signed with a certificate in the file of OS_CACERT that isn't a CA certificate")]
    NoAuthority,
    #[error(
        "was signed by an authority whose certificate in the file of OS_CACERT has expired, or isn't valid yet"
    )]
    NotValidNow,
}

fn parsed(certificate: &[u8]) -> Option<X509Certificate<'_>> {
    parse_x509_certificate(certificate).ok().map(|(_, certificate)| certificate)
}

/// Whether the certificate names itself as its issuer.
pub(super) fn is_self_issued(certificate: &[u8]) -> bool {
    parsed(certificate)
        .is_some_and(|certificate| certificate.subject().as_raw() == certificate.issuer().as_raw())
}

/// Checks that the certificate may sign others at this time, by the rules of OpenSSL, which the OpenStack tools use.
pub(super) fn check_root(certificate: &[u8], now: UnixTime) -> Result<(), NoRoot> {
    let parsed = parsed(certificate).ok_or(NoRoot::NoAuthority)?;
    let usage = parsed.key_usage().map_err(|_| NoRoot::NoAuthority)?;
    let constraints = parsed.basic_constraints().map_err(|_| NoRoot::NoAuthority)?;
    let may_sign = usage.map(|usage| usage.value.key_cert_sign());
    let is_authority = match constraints {
        Some(constraints) => constraints.value.ca && may_sign != Some(false),
        // Version 1 can't say it: only one that signed itself is taken for an authority's.
        None if parsed.version().0 == 0 => is_self_issued(certificate),
        None => may_sign == Some(true),
    };
    if !is_authority {
        return Err(NoRoot::NoAuthority);
    }
    let now = i64::try_from(now.as_secs()).ok().and_then(|now| ASN1Time::from_timestamp(now).ok());
    match now.is_some_and(|now| parsed.validity().is_valid_at(now)) {
        true => Ok(()),
        false => Err(NoRoot::NotValidNow),
    }
}
