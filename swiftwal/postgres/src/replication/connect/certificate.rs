//! Reads what a certificate says of itself: the algorithm of its signature, its public key and its common name, and
//! whether it may sign others.

use ring::digest::{self, Algorithm, SHA256, SHA384, SHA512};
use rustls::pki_types::UnixTime;
use x509_parser::{certificate::X509Certificate, parse_x509_certificate, time::ASN1Time};

/// Object identifiers of signature algorithms, in DER.
const RSA: [u8; 8] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
const ECDSA: [u8; 6] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];

/// Why a certificate can't be the root that another one is verified with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoRoot {
    #[error("the certificate in sslrootcert that has signed the server's isn't that of an authority")]
    NoAuthority,
    #[error("the authority's certificate in sslrootcert has expired, or isn't valid yet")]
    NotValidNow,
}

fn parsed(certificate: &[u8]) -> Option<X509Certificate<'_>> {
    parse_x509_certificate(certificate).ok().map(|(_, certificate)| certificate)
}

/// Returns the hash of a certificate that binds a channel to it (`tls-server-end-point`, RFC 5929): made by the hash of its
/// signature, with SHA-256 in place of MD5 and SHA-1. `None` if the signature names no single hash that is known, as
/// Ed25519 and RSA-PSS don't.
pub(super) fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let hash = hash_of(parsed(certificate)?.signature_algorithm.algorithm.as_bytes())?;
    Some(digest::digest(hash, certificate).as_ref().to_vec())
}

fn hash_of(algorithm: &[u8]) -> Option<&'static Algorithm> {
    match (algorithm.strip_prefix(&RSA), algorithm.strip_prefix(&ECDSA)) {
        // md5, sha1, sha256
        (Some([0x04 | 0x05 | 0x0b]), _) => Some(&SHA256),
        (Some([0x0c]), _) => Some(&SHA384),
        (Some([0x0d]), _) => Some(&SHA512),
        // sha1, sha256
        (_, Some([0x01] | [0x03, 0x02])) => Some(&SHA256),
        (_, Some([0x03, 0x03])) => Some(&SHA384),
        (_, Some([0x03, 0x04])) => Some(&SHA512),
        _ => None,
    }
}

/// Returns the public key as it stands in the certificate: a `SubjectPublicKeyInfo`.
pub(super) fn public_key(certificate: &[u8]) -> Option<&[u8]> {
    Some(parsed(certificate)?.tbs_certificate.subject_pki.raw)
}

/// Returns the first common name of the subject, which is the one that libpq compares.
pub(super) fn common_name(certificate: &[u8]) -> Option<String> {
    let certificate = parsed(certificate)?;
    let name = certificate.subject().iter_common_name().next()?;
    name.as_str().ok().map(str::to_owned)
}

/// Whether the certificate names itself as its issuer.
pub(super) fn is_self_issued(certificate: &[u8]) -> bool {
    parsed(certificate)
        .is_some_and(|certificate| certificate.subject().as_raw() == certificate.issuer().as_raw())
}

/// Checks that the certificate may sign others at this time, by OpenSSL's rules for a root.
pub(super) fn check_root(certificate: &[u8], now: UnixTime) -> Result<(), NoRoot> {
    let parsed = parsed(certificate).ok_or(NoRoot::NoAuthority)?;
    let usage = parsed.key_usage().map_err(|_| NoRoot::NoAuthority)?;
    let constraints = parsed.basic_constraints().map_err(|_| NoRoot::NoAuthority)?;
    let may_sign = usage.as_ref().map(|usage| usage.value.key_cert_sign());
    let is_authority = match constraints {
        Some(constraints) => constraints.value.ca && may_sign != Some(false),
        // Version 1 has no extensions, and no such certificate is known to be an authority's unless it signed itself.
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{
        BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose,
        PublicKeyData, SignatureAlgorithm, date_time_ymd,
    };

    use super::*;

    /// Returns a certificate that is signed so, and the length of the hash that binds to it.
    fn bound(algorithm: &'static SignatureAlgorithm) -> Option<usize> {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let certificate = CertificateParams::default().self_signed(&key).unwrap();
        let info = public_key(certificate.der()).unwrap();
        assert!(info.ends_with(key.der_bytes()));
        end_point(certificate.der()).map(|hash| hash.len())
    }

    #[test]
    fn the_hash_is_that_of_the_signature_and_ed25519_has_none() {
        assert_eq!(bound(&rcgen::PKCS_ECDSA_P256_SHA256), Some(32));
        assert_eq!(bound(&rcgen::PKCS_ECDSA_P384_SHA384), Some(48));
        assert_eq!(bound(&rcgen::PKCS_ED25519), None);
    }

    #[test]
    fn md5_and_sha_1_count_as_sha_256_and_rsa_pss_as_none() {
        let rsa = |last: u8| hash_of(&[&RSA[..], &[last]].concat());
        assert!([4, 5, 0xb].into_iter().all(|last| rsa(last) == Some(&SHA256)));
        assert!(rsa(0xc) == Some(&SHA384) && rsa(0xd) == Some(&SHA512));
        assert!(rsa(0xa).is_none() && rsa(0xe).is_none());
        assert!(hash_of(&[&ECDSA[..], &[1]].concat()) == Some(&SHA256));
        assert!(hash_of(&[&ECDSA[..], &[3, 4]].concat()) == Some(&SHA512));
    }

    #[test]
    fn what_is_no_certificate_has_neither_hash_nor_key() {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::default().self_signed(&key).unwrap();
        for length in 0..certificate.der().len() {
            let _ = (end_point(&certificate.der()[..length]), public_key(&certificate.der()[..length]));
        }
        for odd in [&b""[..], b"\x30", b"\x30\x84\xff\xff\xff\xff", b"\x30\x80", b"\x30\x83\xff\xff\xff"] {
            assert!(end_point(odd).is_none() && public_key(odd).is_none());
        }
    }

    /// Checks a certificate at the beginning of 2020.
    fn root(change: impl FnOnce(&mut CertificateParams)) -> Result<(), NoRoot> {
        let mut params = CertificateParams::default();
        (params.not_before, params.not_after) = (date_time_ymd(2019, 1, 1), date_time_ymd(2021, 1, 1));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        change(&mut params);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        check_root(certificate.der(), UnixTime::since_unix_epoch(Duration::from_secs(1_577_836_800)))
    }

    #[test]
    fn only_an_authority_is_a_root_and_only_as_long_as_it_is_valid() {
        assert_eq!(root(|_| {}), Ok(()));
        assert_eq!(root(|params| params.key_usages = vec![KeyUsagePurpose::KeyCertSign]), Ok(()));
        let no_authority = Err(NoRoot::NoAuthority);
        assert_eq!(root(|params| params.is_ca = IsCa::NoCa), no_authority);
        assert_eq!(root(|params| params.is_ca = IsCa::ExplicitNoCa), no_authority);
        assert_eq!(root(|params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature]), no_authority);
        assert_eq!(root(|params| params.not_after = date_time_ymd(2019, 12, 31)), Err(NoRoot::NotValidNow));
        assert_eq!(root(|params| params.not_before = date_time_ymd(2020, 1, 2)), Err(NoRoot::NotValidNow));
    }

    #[test]
    fn a_common_name_is_that_of_the_subject_and_not_what_looks_like_one() {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        // The bytes of a common name, within the name of the organisation.
        params.distinguished_name.push(DnType::OrganizationName, "\u{6}\u{3}U\u{4}\u{3}\u{c}\u{4}evil");
        let key = KeyPair::generate().unwrap();
        let named = |params: &CertificateParams| common_name(params.clone().self_signed(&key).unwrap().der());
        assert_eq!(named(&params), None);
        params.distinguished_name.push(DnType::CommonName, "db1");
        assert_eq!(named(&params).as_deref(), Some("db1"));
    }
}
