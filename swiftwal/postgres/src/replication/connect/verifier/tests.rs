//! Which certificates of a file count as a root.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, DnValue, IsCa, KeyPair, date_time_ymd,
};
use rustls::crypto::ring;

use super::*;

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn params(name: &str, is_ca: IsCa) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = is_ca;
    params
}

fn authority(change: impl FnOnce(&mut CertificateParams)) -> Issuer {
    let mut params = params("authority", IsCa::Ca(BasicConstraints::Unconstrained));
    change(&mut params);
    Issuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Issues a certificate for `server`.
fn issued(issuer: &Issuer) -> CertificateDer<'static> {
    let certificate = params("server", IsCa::NoCa).signed_by(&KeyPair::generate().unwrap(), issuer);
    certificate.unwrap().der().clone()
}

/// Verifies a certificate at the beginning of 2026, and returns the error's text.
fn verify(roots: &[&CertificateDer<'static>], certificate: &CertificateDer<'_>) -> Result<(), String> {
    let trusted = Trusted::new(roots.iter().map(|root| (*root).clone()).collect());
    let verifier = Verifier::new(Some(trusted), Some("server".to_owned()), &ring::default_provider());
    let now = UnixTime::since_unix_epoch(Duration::from_secs(1_767_225_600));
    let name = ServerName::try_from("server").unwrap();
    let verified = verifier.verify_server_cert(certificate, &[], &name, &[], now);
    verified.map(drop).map_err(|error| problem(&io::Error::other(error)))
}

#[test]
fn an_expired_authority_is_no_root() {
    let valid = authority(|_| {});
    assert_eq!(verify(&[valid.der()], &issued(&valid)), Ok(()));
    let expired = authority(|params| params.not_after = date_time_ymd(2025, 12, 31));
    let error = verify(&[valid.der(), expired.der()], &issued(&expired)).unwrap_err();
    assert!(error.contains("has expired, or isn't valid yet"), "{error}");
}

#[test]
fn a_servers_certificate_is_no_root_of_others() {
    let server = Issuer::self_signed(params("server", IsCa::NoCa), KeyPair::generate().unwrap()).unwrap();
    let error = verify(&[server.der()], &issued(&server)).unwrap_err();
    assert!(error.contains("isn't that of an authority"), "{error}");
}

#[test]
fn a_self_signed_certificate_is_accepted_as_the_servers_own_as_long_as_it_is_valid() {
    for is_ca in [IsCa::NoCa, IsCa::ExplicitNoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let key = KeyPair::generate().unwrap();
        let own = params("server", is_ca).self_signed(&key).unwrap();
        assert_eq!(verify(&[own.der()], own.der()), Ok(()), "{is_ca:?}");
        let mut params = params("server", is_ca);
        params.not_after = date_time_ymd(2025, 12, 31);
        let expired = params.self_signed(&key).unwrap();
        let error = verify(&[expired.der()], expired.der()).unwrap_err();
        assert_eq!(error, "the server's certificate has expired");
    }
}

#[test]
fn a_server_with_the_name_of_its_authority_is_trusted_though_its_own_certificate_is_there_too() {
    let authority = Issuer::self_signed(
        params("server", IsCa::Ca(BasicConstraints::Unconstrained)),
        KeyPair::generate().unwrap(),
    );
    let authority = authority.unwrap();
    let own = issued(&authority);
    assert_eq!(verify(&[authority.der(), &own], &own), Ok(()));
    assert_eq!(
        verify(&[&own], &own),
        Err("no authority in sslrootcert has signed the server's certificate".to_owned())
    );
}

#[test]
fn a_common_name_in_another_encoding_is_none() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, DnValue::BmpString("server".try_into().unwrap()));
    let own = params.self_signed(&key).unwrap();
    assert_eq!(
        verify(&[own.der()], own.der()),
        Err("the server's certificate isn't for this host".to_owned())
    );
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
