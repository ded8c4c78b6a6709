use http::{HeaderMap, HeaderValue, Method, StatusCode, header as http_header};
use object_store::{PutMode, PutOptions, PutPayload, PutResult, Result, path::Path};

use super::{header, md5_hex, to_headers, unquoted};
use crate::{
    Error, StoreError,
    client::{Request, Response, rejected},
    store::Store,
};

/// Payloads up to here fit into one object nearly wherever Swift runs, so that `/info` isn't asked for them before they
/// were refused. Swift's own default is 5 GiB.
const MOSTLY_FITS: usize = 32 << 20;

impl Store {
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
            PutMode::Overwrite => self.segments_to_replace(&self.target(location)).await?,
            PutMode::Create => {
                headers.insert(http_header::IF_NONE_MATCH, HeaderValue::from_static("*"));
                Vec::new()
            }
            PutMode::Update(_) => return Err(not_implemented("replacing a certain version")),
        };
        let e_tag = self.put_whole(location, payload, headers).await?;
        self.remove_quietly(replaced).await;
        Ok(PutResult { e_tag: Some(e_tag), version: None, extensions: http::Extensions::new() })
    }

    /// Stores a payload as one object, or as a large one where that is too long for this cluster. Gives the entity tag.
    async fn put_whole(&self, location: &Path, payload: PutPayload, headers: HeaderMap) -> Result<String> {
        if !self.fits(payload.content_length()).await? {
            return self.put_long(location, payload, headers).await;
        }
        match self.put_plain(&self.container, location.as_ref(), payload.clone(), headers.clone()).await {
            Err(error) if self.is_too_long(&payload, &error).await => {
                self.put_long(location, payload, headers).await
            }
            outcome => outcome,
        }
    }

    async fn fits(&self, length: usize) -> Result<bool> {
        match self.client.known_info() {
            None if length <= MOSTLY_FITS => Ok(true),
            _ => Ok(length as u64 <= self.client.info().await?.max_file_size),
        }
    }

    /// Whether a payload was refused since this cluster takes shorter objects than others do.
    async fn is_too_long(&self, payload: &PutPayload, error: &object_store::Error) -> bool {
        let is_too_large = Error::of(error).and_then(Error::status) == Some(StatusCode::PAYLOAD_TOO_LARGE);
        // Where the limit can't be had, the refusal stands.
        is_too_large
            && self.client.info().await.is_ok_and(|info| payload.content_length() as u64 > info.max_file_size)
    }

    /// Stores one object in one piece, and gives its MD5, which Swift has checked.
    pub(crate) async fn put_plain(
        &self,
        container: &str,
        name: &str,
        payload: PutPayload,
        headers: HeaderMap,
    ) -> Result<String> {
        let md5 = md5_hex(&payload).await?;
        let mut request = Request::object(Method::PUT, container, name).body(payload);
        request.headers = headers;
        request.headers.insert(http_header::ETAG, tag(&md5, &request)?);
        stored(self.send(request).await?, &md5).await?;
        Ok(md5)
    }
}

/// An entity tag as a header's value.
fn tag(tag: &str, request: &Request) -> Result<HeaderValue, StoreError> {
    HeaderValue::from_str(tag)
        .map_err(|_| StoreError::Protocol { target: request.target(), reason: "no such tag".to_owned() })
}

/// Makes sure that the answer to a PUT says that `e_tag` was stored.
pub(crate) async fn stored(response: Response, e_tag: &str) -> Result<()> {
    let target = response.request.target.clone();
    match response.status {
        StatusCode::CREATED => {}
        StatusCode::ACCEPTED => return Err(StoreError::NotStored { target }.into()),
        StatusCode::PRECONDITION_FAILED => {
            return Err(object_store::Error::AlreadyExists {
                path: target,
                source: rejected(response).await.into(),
            });
        }
        // A 404 is no absent object here: the container went away meanwhile.
        StatusCode::NOT_FOUND => {
            return Err(object_store::Error::Generic {
                store: "Swift",
                source: rejected(response).await.into(),
            });
        }
        _ => return Err(rejected(response).await.into()),
    }
    match header(&response.headers, "etag").map(unquoted) {
        Some(found) if found != e_tag => {
            Err(StoreError::Damaged { target, expected: e_tag.to_owned(), found: found.to_owned() }.into())
        }
        _ => Ok(()),
    }
}

/// What the interface has and this store hasn't.
pub(super) fn not_implemented(operation: &str) -> object_store::Error {
    object_store::Error::NotImplemented { operation: operation.to_owned(), implementer: "Swift".to_owned() }
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt, stream};

    use super::*;
    use crate::{client::Origin, retry::Trouble};

    async fn outcome(status: u16, e_tag: &'static str) -> Result<()> {
        let (method, target) = (Method::PUT, "c/a".to_owned());
        let response = Response {
            status: StatusCode::from_u16(status).unwrap(),
            headers: [(http_header::ETAG, HeaderValue::from_static(e_tag))].into_iter().collect(),
            request: Origin { method, target, tries: 1, trans_id: None },
            body: stream::empty().boxed(),
            trouble: Trouble::default(),
        };
        stored(response, "aa").await
    }

    #[tokio::test]
    async fn only_201_with_the_tag_that_was_sent_is_stored() {
        assert!(outcome(201, "aa").await.is_ok());
        let source = |error: object_store::Error| match error {
            object_store::Error::Generic { source, .. } => *source.downcast::<StoreError>().unwrap(),
            other => panic!("{other:?}"),
        };
        assert!(matches!(source(outcome(202, "aa").await.unwrap_err()), StoreError::NotStored { .. }));
        assert!(matches!(source(outcome(201, "bb").await.unwrap_err()), StoreError::Damaged { .. }));
        let refused = outcome(412, "aa").await;
        assert!(matches!(refused, Err(object_store::Error::AlreadyExists { .. })), "{refused:?}");
    }
}
