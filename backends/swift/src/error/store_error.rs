//! Why the store refused or failed where Swift's answer alone doesn't say it.

use std::borrow::Cow;

use thiserror::Error as ThisError;

use super::Error;

/// Why a store refused or failed, where the answer of Swift alone doesn't say it.
///
/// Found as the source of an [`object_store::Error`].
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum StoreError {
    /// Whether an object exists can't be asked of a container that doesn't.
    #[error("there is no container {container}")]
    MissingContainer {
        /// The container.
        container: String,
    },
    /// A container that can't be made with the storage policy that was asked for.
    #[error("can't create container {container} with the storage policy {policy:?}")]
    Policy {
        /// The container.
        container: String,
        /// The policy.
        policy: String,
        /// The names of those that the cluster tells of.
        known: Vec<String>,
        /// What Swift said.
        source: Box<Error>,
    },
    /// Swift accepted the request (202) and kept what it had, which has a newer timestamp.
    #[error("{target} was not stored: Swift has a newer one")]
    NotStored {
        /// Container and object.
        target: String,
    },
    /// The content isn't what its checksum says.
    #[error("{target} is damaged: its MD5 should be {expected} and is {found}")]
    Damaged {
        /// Container and object.
        target: String,
        /// The MD5 that was announced, in hexadecimal.
        expected: String,
        /// The MD5 of what came.
        found: String,
    },
    /// Another number of bytes came than was announced.
    #[error("{target} should have gone on to byte {end} and ended at {position}")]
    Length {
        /// Container and object.
        target: String,
        /// Where the bytes announced end.
        end: u64,
        /// Where those that came end.
        position: u64,
    },
    /// An answer that doesn't have the form it should have.
    #[error("the answer for {target} can't be understood: {reason}")]
    Protocol {
        /// Container and object.
        target: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An attribute that Swift would lose or change.
    #[error("the attribute {name} can't be stored in Swift: {reason}")]
    Attribute {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A multipart upload that can't be completed.
    #[error("the upload of {target} is incomplete: {reason}")]
    Upload {
        /// Container and object.
        target: String,
        /// What is wrong with it.
        reason: String,
    },
    /// What was read isn't there any more.
    #[error("{target} was replaced or deleted while it was read")]
    Changed {
        /// Container and object.
        target: String,
    },
    /// One of many requests, not sent since another failed for want of a server.
    #[error("{target} was not tried after another failed: {reason}")]
    NotTried {
        /// Container and object.
        target: String,
        /// How the other failed.
        reason: String,
    },
    /// A large object that can't be handled completely.
    #[error("the large object {target} can't be handled: {reason}")]
    Large {
        /// Container and object.
        target: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl StoreError {
    /// What to do about it, where that can be told.
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
            _ => return None,
        })
    }

    /// Whether this is what an error of the store comes of.
    pub(crate) fn is_missing_container(error: &object_store::Error) -> bool {
        let source = std::error::Error::source(error).and_then(|source| source.downcast_ref());
        matches!(source, Some(Self::MissingContainer { .. }))
    }
}

impl From<StoreError> for object_store::Error {
    fn from(error: StoreError) -> Self {
        Self::Generic { store: "Swift", source: Box::new(error) }
    }
}
