//! Why the certificate of a server or a proxy isn't accepted, and what to do about it.

use std::fmt;

use jiff::Timestamp;
use rustls::{CertificateError, pki_types::UnixTime};

use super::{
    root_check::NoRoot,
    verifier::{is_of_authority, root_refusal},
};

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
    /// What has signed it isn't, or is no longer, an authority's certificate.
    Root(NoRoot),
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
            error => root_refusal(error).map_or(Self::Other, Self::Root),
        }
    }

    /// What to do about it. `setting` names the host, and `is_ca_given` says whether `OS_CACERT` is set.
    pub(super) fn hint(&self, setting: &str, is_ca_given: bool) -> String {
        match self {
            Self::WrongName { names, .. } if names.is_empty() => {
                "the certificate names no host: create one with the host as its subjectAltName".to_owned()
            }
            Self::WrongName { names, .. } => format!(
                "the certificate is for {}: use such a name in {setting}, or get a certificate for this one",
                names.join(", ")
            ),
            Self::Expired(_) => "renew it, or check this machine's clock".to_owned(),
            Self::NotYetValid(_) => "check this machine's clock".to_owned(),
            Self::Revoked => "replace it".to_owned(),
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
            Self::Root(NoRoot::NoAuthority) => {
                "put the certificate of the authority that has signed it into that file".to_owned()
            }
            Self::Root(NoRoot::NotValidNow) => {
                "put the authority's new certificate into that file, or check this machine's clock".to_owned()
            }
            Self::Other => "check the certificate, and the file of OS_CACERT if that is set".to_owned(),
        }
    }
}

/// What is said after the name of the certificate.
impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongName { host, .. } => write!(f, "isn't for {host}"),
            Self::Expired(Some(end)) => write!(f, "expired at {end}"),
            Self::Expired(None) => f.write_str("has expired"),
            Self::NotYetValid(Some(start)) => {
                write!(f, "isn't valid before {start}")
            }
            Self::NotYetValid(None) => f.write_str("isn't valid yet"),
            Self::Revoked => f.write_str("is revoked"),
            Self::Root(reason) => reason.fmt(f),
            Self::UnknownIssuer | Self::OfAuthority | Self::Other => f.write_str("isn't trusted"),
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
