//! Stores objects: in one piece, or as a large object if the cluster doesn't accept the length.

mod probe;

use http::{HeaderMap, HeaderValue, StatusCode, header as http_header};
use object_store::{PutMode, PutOptions, PutPayload, PutResult, Result, path::Path};

use self::probe::probe;
use crate::{
    create_only::FreeName,
    error::{Error, not_implemented},
    handles::Handles,
    large::LargeObjects,
    object::{put_plain, to_headers},
};

/// Payloads of at most this size fit into one object on nearly every Swift, so `/info` isn't requested before one was
/// refused. Swift's default limit is 5 GiB.
const MOSTLY_FITS: usize = 32 << 20;

/// Stores objects.
#[derive(Clone, Debug)]
pub(crate) struct Writing {
    handles: Handles,
    large: LargeObjects,
}

impl Writing {
    pub(crate) fn new(handles: &Handles, large: &LargeObjects) -> Self {
        Self { handles: handles.clone(), large: large.clone() }
    }

    /// Stores a payload with its attributes.
    ///
    /// An existing object is replaced in one step. If it was a large one, its segments are removed afterwards.
    pub(crate) async fn put(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let mut headers = to_headers(&options.attributes)?;
        let replaced = match options.mode {
            PutMode::Overwrite => {
                self.handles
                    .manifests
                    .segments_to_replace(&self.handles.containers.target(location), |_| false)
                    .await?
            }
            PutMode::Create => {
                headers.insert(http_header::IF_NONE_MATCH, HeaderValue::from_static("*"));
                return Ok(result(self.create(location, payload, headers).await?));
            }
            PutMode::Update(_) => return Err(not_implemented("replacing a certain version")),
        };
        let e_tag = self.put_whole(location, payload, headers).await?;
        self.handles.deletion.remove_quietly(replaced).await;
        Ok(result(e_tag))
    }

    /// Stores a payload under a name that must be free, and returns the entity tag.
    async fn create(&self, location: &Path, payload: PutPayload, headers: HeaderMap) -> Result<String> {
        let containers = &self.handles.containers;
        let target = containers.target(location);
        let free = FreeName::ensure(containers, &target).await?;
        let e_tag = self.put_whole(location, payload, headers).await?;
        free.confirm(containers, &target, &e_tag).await?;
        probe(&self.handles, &target).await;
        Ok(e_tag)
    }

    /// Stores a payload as one object, or as a large one if it is too long for this cluster. Returns the entity tag.
    async fn put_whole(&self, location: &Path, payload: PutPayload, headers: HeaderMap) -> Result<String> {
        if !self.fits(payload.content_length()).await? {
            return self.large.put_long(location, payload, headers).await;
        }
        let target = self.handles.containers.target(location);
        match put_plain(&self.handles.containers, &target, payload.clone(), headers.clone()).await {
            Err(error) if self.is_too_long(&payload, &error).await => {
                self.large.put_long(location, payload, headers).await
            }
            outcome => outcome,
        }
    }

    async fn fits(&self, length: usize) -> Result<bool> {
        match self.handles.containers.client.known_info() {
            None if length <= MOSTLY_FITS => Ok(true),
            _ => Ok(length as u64 <= self.handles.containers.client.info().await?.max_file_size),
        }
    }

    /// Whether a payload was refused because this cluster accepts only shorter objects than most.
    async fn is_too_long(&self, payload: &PutPayload, error: &object_store::Error) -> bool {
        let is_too_large = Error::of(error).and_then(Error::status) == Some(StatusCode::PAYLOAD_TOO_LARGE);
        let is_longer = |most: u64| payload.content_length() as u64 > most;
        let client = &self.handles.containers.client;
        // If the limit is unknown, the payload stays refused.
        is_too_large && client.info_anew_at_once().await.is_ok_and(|info| is_longer(info.max_file_size))
    }
}

fn result(e_tag: String) -> PutResult {
    PutResult { e_tag: Some(e_tag), version: None, extensions: http::Extensions::new() }
}
