//! Writing: an object in one piece, or a large one where the cluster doesn't take it in one.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, StatusCode, header as http_header};
use object_store::{PutMode, PutOptions, PutPayload, PutResult, Result, path::Path};

use crate::{
    containers::Containers,
    deletion::Deletion,
    error::{Error, not_implemented},
    large::LargeObjects,
    manifests::Manifests,
    object::{put_plain, to_headers},
};

/// Payloads up to here fit into one object nearly wherever Swift runs, so that `/info` isn't asked for them before they
/// were refused. Swift's own default is 5 GiB.
const MOSTLY_FITS: usize = 32 << 20;

/// Stores objects.
#[derive(Clone, Debug)]
pub(crate) struct Writing {
    containers: Arc<Containers>,
    manifests: Manifests,
    deletion: Deletion,
    large: LargeObjects,
}

impl Writing {
    pub(crate) fn new(
        containers: &Arc<Containers>,
        manifests: &Manifests,
        deletion: &Deletion,
        large: &LargeObjects,
    ) -> Self {
        Self {
            containers: Arc::clone(containers),
            manifests: manifests.clone(),
            deletion: deletion.clone(),
            large: large.clone(),
        }
    }

    /// Stores a payload under a name, its attributes with it.
    ///
    /// What was there is replaced in one step; the segments it had, if it was a large object, go afterwards.
    pub(crate) async fn put(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let mut headers = to_headers(&options.attributes)?;
        let replaced = match options.mode {
            PutMode::Overwrite => {
                self.manifests.segments_to_replace(&self.containers.target(location)).await?
            }
            PutMode::Create => {
                headers.insert(http_header::IF_NONE_MATCH, HeaderValue::from_static("*"));
                Vec::new()
            }
            PutMode::Update(_) => return Err(not_implemented("replacing a certain version")),
        };
        let e_tag = self.put_whole(location, payload, headers).await?;
        self.deletion.remove_quietly(replaced).await;
        Ok(PutResult { e_tag: Some(e_tag), version: None, extensions: http::Extensions::new() })
    }

    /// Stores a payload as one object, or as a large one where that is too long for this cluster. Gives the entity tag.
    async fn put_whole(&self, location: &Path, payload: PutPayload, headers: HeaderMap) -> Result<String> {
        if !self.fits(payload.content_length()).await? {
            return self.large.put_long(location, payload, headers).await;
        }
        let target = self.containers.target(location);
        match put_plain(&self.containers, &target, payload.clone(), headers.clone()).await {
            Err(error) if self.is_too_long(&payload, &error).await => {
                self.large.put_long(location, payload, headers).await
            }
            outcome => outcome,
        }
    }

    async fn fits(&self, length: usize) -> Result<bool> {
        match self.containers.client.known_info() {
            None if length <= MOSTLY_FITS => Ok(true),
            _ => Ok(length as u64 <= self.containers.client.info().await?.max_file_size),
        }
    }

    /// Whether a payload was refused since this cluster takes shorter objects than others do.
    async fn is_too_long(&self, payload: &PutPayload, error: &object_store::Error) -> bool {
        let is_too_large = Error::of(error).and_then(Error::status) == Some(StatusCode::PAYLOAD_TOO_LARGE);
        // Where the limit can't be had, the refusal stands.
        is_too_large
            && self
                .containers
                .client
                .info()
                .await
                .is_ok_and(|info| payload.content_length() as u64 > info.max_file_size)
    }
}
