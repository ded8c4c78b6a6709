//! Writes that must not replace an object: [`PutMode::Create`](object_store::PutMode::Create), and uploads that create.
//!
//! Every such PUT has `If-None-Match: *`. radosgw ignores it and replaces the object. So, unless the server is known to
//! keep existing objects, the object is requested first, and its tag is compared afterwards, which shows a writer of
//! another content whose PUT came later. What remains are two writers at the same moment: the first may have compared
//! its tag before the second one's PUT. Then the second one's content survives, and both receive a success.

use object_store::Result;

use crate::{
    containers::Containers,
    object::{head_unproven, header, unquoted},
    target::Target,
};

/// The name of an object that is going to be created was free.
#[derive(Debug)]
#[must_use = "the tag must be compared after the PUT"]
pub(crate) struct FreeName {
    /// Whether the server itself keeps an existing object.
    is_kept: bool,
}

impl FreeName {
    /// Checks that there is no such object, unless the server does that with each PUT. A missing container is left to
    /// the PUT.
    ///
    /// # Errors
    ///
    /// `AlreadyExists`.
    pub(crate) async fn ensure(containers: &Containers, target: &Target) -> Result<Self> {
        let dialect = containers.client.dialect();
        if dialect.keeps_existing() == Some(true) {
            return Ok(Self { is_kept: true });
        }
        if tag_of(containers, target).await?.is_some() {
            return Err(taken(target, "there is an object of this name"));
        }
        // The answer may have shown what kind of server it is.
        Ok(Self { is_kept: dialect.keeps_existing() == Some(true) })
    }

    /// Checks, after the PUT, that the object is the one that was stored.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if another writer has replaced or deleted it.
    pub(crate) async fn confirm(self, containers: &Containers, target: &Target, e_tag: &str) -> Result<()> {
        if self.is_kept {
            return Ok(());
        }
        match tag_of(containers, target).await? {
            Some(found) if found != e_tag => {
                Err(taken(target, "another writer has stored an object of this name at the same moment"))
            }
            Some(_) => Ok(()),
            None => {
                Err(taken(target, "it disappeared after it was stored; another writer may have deleted it"))
            }
        }
    }
}

/// Returns the tag of an object, which may be empty. None if there is no such object.
async fn tag_of(containers: &Containers, target: &Target) -> Result<Option<String>> {
    let headers = head_unproven(containers, target).await?;
    Ok(headers.map(|headers| header(&headers, "etag").map(unquoted).unwrap_or_default().to_owned()))
}

fn taken(target: &Target, reason: &str) -> object_store::Error {
    object_store::Error::AlreadyExists { path: target.to_string(), source: reason.into() }
}
