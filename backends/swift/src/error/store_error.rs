//! The errors that the store itself detects.

use std::borrow::Cow;

use http::Method;
use thiserror::Error as ThisError;

use super::Error;

/// An error that the store itself detects.
///
/// It is the source of an [`object_store::Error`].
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum StoreError {
    /// The container doesn't exist, so nothing is known about its objects.
    #[error("there is no container {container}")]
    MissingContainer {
        /// The name of the container.
        container: String,
    },
    /// A container can't be created with the requested storage policy.
    #[error("can't create container {container} with the storage policy '{}'", .policy.escape_debug())]
    Policy {
        /// The name of the container.
        container: String,
        /// The requested policy.
        policy: String,
        /// The policies that the cluster lists.
        known: Vec<String>,
        /// Swift's error.
        source: Box<Error>,
    },
    /// Swift accepted the request (202) but kept the stored object, whose timestamp is newer.
    #[error("{target} was not stored: Swift has a newer one")]
    NotStored {
        /// Container and object.
        target: String,
    },
    /// The server has accepted the object, and doesn't show that it has stored its content.
    #[error("it isn't certain that {target} is stored: {reason}")]
    Unproven {
        /// Container and object.
        target: String,
        /// What is missing.
        reason: String,
    },
    /// The content doesn't match its checksum.
    #[error("{target} is damaged: its MD5 should be {expected} and is {found}")]
    Damaged {
        /// Container and object.
        target: String,
        /// The expected MD5, in hexadecimal.
        expected: String,
        /// The MD5 of the content that was received.
        found: String,
    },
    /// The number of bytes differs from the announced one.
    #[error("{target} ended at byte {position} instead of {end}")]
    Length {
        /// Container and object.
        target: String,
        /// The position at which the content should have ended.
        end: u64,
        /// The position at which it ended.
        position: u64,
    },
    /// A response is malformed.
    #[error("the answer for {target} can't be understood: {reason}")]
    Protocol {
        /// Container and object.
        target: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Swift would drop or change this attribute.
    #[error("the attribute {name} can't be stored in Swift: {reason}")]
    Attribute {
        /// The name of the attribute.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A multipart upload can't be completed.
    #[error("the upload of {target} is incomplete: {reason}")]
    Upload {
        /// Container and object.
        target: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The object that was read no longer exists.
    #[error("{target} was replaced or deleted while it was read")]
    Changed {
        /// Container and object.
        target: String,
    },
    /// One of many requests wasn't sent, since an earlier one met an outage.
    #[error("{target} was not tried after another failed: {reason}")]
    NotTried {
        /// Container and object.
        target: String,
        /// The failure of the earlier request.
        reason: String,
    },
    /// A URL can't be signed.
    #[error("can't sign a URL for {target}: {reason}")]
    Signing {
        /// Container and object.
        target: String,
        /// The reason.
        reason: SigningProblem,
    },
    /// A large object can't be handled completely.
    #[error("the large object {target} can't be handled: {reason}")]
    Large {
        /// Container and object.
        target: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// The reason why a URL can't be signed.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum SigningProblem {
    /// The store has no key.
    #[error("the store has no Temp-URL-Key")]
    NoKey,
    /// The cluster accepts no signed URLs, or none that this crate can sign.
    #[error("this cluster accepts none")]
    NotOffered,
    /// Signed URLs allow only GET, HEAD, PUT, POST and DELETE.
    #[error("there are none for the method {0}")]
    Method(Method),
    /// The time of expiry is too far in the future.
    #[error("its time of expiry is too late")]
    Expiry,
}

impl StoreError {
    /// What to do about the error, if that is known.
    #[must_use]
    pub fn hint(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::MissingContainer { .. } => "check its name and the account".into(),
            Self::Policy { known, .. } if known.is_empty() => {
                "ask the operator of the cluster which policies there are".into()
            }
            Self::Policy { known, .. } => format!("this cluster has {}", known.join(", ")).into(),
            Self::NotStored { .. } => "check the clocks of its proxy servers".into(),
            Self::Changed { .. } => "read it again".into(),
            Self::Signing { reason: SigningProblem::NoKey, .. } => {
                "set the account's key with SwiftBuilder::with_temp_url_key".into()
            }
            Self::Signing { reason: SigningProblem::NotOffered, .. } => {
                "ask the operator of the cluster for the tempurl middleware".into()
            }
            _ => return None,
        })
    }

    /// Whether an error of the store was caused by a missing container.
    pub(crate) fn is_missing_container(error: &object_store::Error) -> bool {
        matches!(Self::of(error), Some(Self::MissingContainer { .. }))
    }

    /// Whether an error of the store says that an object has another content than it should.
    pub(crate) fn is_other_content(error: &object_store::Error) -> bool {
        matches!(Self::of(error), Some(Self::Damaged { .. } | Self::Length { .. }))
    }

    /// Returns the error of this type that caused an error of the store.
    pub(crate) fn of(error: &object_store::Error) -> Option<&Self> {
        std::error::Error::source(error).and_then(|source| source.downcast_ref())
    }
}

impl From<StoreError> for object_store::Error {
    fn from(error: StoreError) -> Self {
        Self::Generic { store: "Swift", source: Box::new(error) }
    }
}
