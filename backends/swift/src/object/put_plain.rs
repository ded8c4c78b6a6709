//! Stores one object in one piece, and interprets the response to a PUT.

use http::{HeaderMap, HeaderValue, Method, StatusCode, header as http_header};
use object_store::{PutPayload, Result};

use super::{header, md5_hex, unquoted};
use crate::{
    client::{Request, Response, rejected},
    containers::Containers,
    error::StoreError,
    target::Target,
};

/// Stores one object in one piece, and returns its MD5, which Swift has checked.
pub(crate) async fn put_plain(
    containers: &Containers,
    target: &Target,
    payload: PutPayload,
    headers: HeaderMap,
) -> Result<String> {
    let md5 = md5_hex(&payload).await?;
    let mut request = Request::object(Method::PUT, &target.container, &target.name).body(payload);
    request.headers = headers;
    request.headers.insert(http_header::ETAG, tag(&md5, &request)?);
    stored(containers.send(request).await?, &md5).await?;
    Ok(md5)
}

/// Returns an entity tag as a header's value.
fn tag(tag: &str, request: &Request) -> Result<HeaderValue, StoreError> {
    HeaderValue::from_str(tag).map_err(|_| StoreError::Protocol {
        target: request.target(),
        reason: "invalid entity tag".to_owned(),
    })
}

/// Checks that the response to a PUT confirms that `e_tag` was stored. One without a tag confirms it as well: Swift has
/// compared the content with the tag that was sent.
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
        // Here a 404 means that the container was deleted meanwhile.
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
