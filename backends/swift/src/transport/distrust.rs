//! Why a server's certificate isn't accepted, and what to do about it.

use std::fmt;

use jiff::Timestamp;
use rustls::{CertificateError, pki_types::UnixTime};

use super::verifier::is_of_authority;

/// The reason why a certificate isn't accepted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Distrust {
    /// It is for the hosts `names`.
    WrongName {
        host: String,
        names: Vec<String>,
    },
    /// With its end.
    Expired(Option<Timestamp>),
    /// With its beginning.
    NotYetValid(Option<Timestamp>),
    Revoked,
    /// No known authority has signed it.
    UnknownIssuer,
    /// It is marked as that of an authority, and isn't among those that are given.
    OfAuthority,
    Other,
}

impl Distrust {
    pub(super) fn of(error: &CertificateError) -> Self {
        match error {
            CertificateError::NotValidForNameContext { expected, presented } => Self::WrongName {
                host: expected.to_str().into_owned(),
                names: presented.iter().map(|name| plain(name)).collect(),
            },
            CertificateError::ExpiredContext { not_after, .. } => Self::Expired(timestamp(*not_after)),
            CertificateError::Expired => Self::Expired(None),
            CertificateError::NotValidYetContext { not_before, .. } => {
                Self::NotYetValid(timestamp(*not_before))
            }
            CertificateError::NotValidYet => Self::NotYetValid(None),
            CertificateError::Revoked => Self::Revoked,
            // An authority of the same name, but with another key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownIssuer,
            error if is_of_authority(error) => Self::OfAuthority,
            _ => Self::Other,
        }
    }

    /// What to do about it. `is_ca_given` says whether `OS_CACERT` is set.
    pub(super) fn hint(&self, is_ca_given: bool) -> String {
        match self {
            Self::WrongName { names, .. } if names.is_empty() => {
                "the certificate names no host: create one with the host as its subjectAltName".to_owned()
            }
            Self::WrongName { names, .. } => format!(
                "the certificate is for {}: use such a name in OS_AUTH_URL or OS_STORAGE_URL, or get a certificate for \
                 this one",
                names.join(", ")
            ),
            Self::Expired(_) => "renew it on the server, or check this machine's clock".to_owned(),
            Self::NotYetValid(_) => "check this machine's clock".to_owned(),
            Self::Revoked => "replace it on the server".to_owned(),
            Self::UnknownIssuer | Self::OfAuthority if is_ca_given => {
                "add the certificate of the authority that has signed it to the file of OS_CACERT, or this certificate \
                 itself if it is self-signed"
                    .to_owned()
            }
            Self::UnknownIssuer | Self::OfAuthority => {
                "set OS_CACERT to a file with the certificate of the authority that has signed it, or with this \
                 certificate itself if it is self-signed"
                    .to_owned()
            }
            Self::Other => "check the certificate on the server, and the file of OS_CACERT if that is set".to_owned(),
        }
    }
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongName { host, .. } => write!(f, "the server's certificate isn't for {host}"),
            Self::Expired(Some(end)) => write!(f, "the server's certificate expired at {end}"),
            Self::Expired(None) => f.write_str("the server's certificate has expired"),
            Self::NotYetValid(Some(start)) => {
                write!(f, "the server's certificate isn't valid before {start}")
            }
            Self::NotYetValid(None) => f.write_str("the server's certificate isn't valid yet"),
            Self::Revoked => f.write_str("the server's certificate is revoked"),
            Self::UnknownIssuer | Self::OfAuthority | Self::Other => {
                f.write_str("the server's certificate isn't trusted")
            }
        }
    }
}

/// The name in a description such as `DnsName("localhost")`.
fn plain(name: &str) -> String {
    name.split('"').nth(1).unwrap_or(name).to_owned()
}

fn timestamp(time: UnixTime) -> Option<Timestamp> {
    Timestamp::from_second(time.as_secs().try_into().ok()?).ok()
}
