//! Proves that a PUT has stored what it should: by the tag in the answer or, if there is none, by a request for the
//! object.

use http::{HeaderMap, StatusCode};
use object_store::Result;

use super::{head_unproven, header, unquoted};
use crate::{
    client::{Response, rejected},
    containers::Containers,
    error::StoreError,
    target::Target,
};

/// The content that an object should have after a PUT.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Content<'a> {
    pub(crate) e_tag: &'a str,
    /// The length. None if it isn't known.
    pub(crate) bytes: Option<u64>,
    /// Whether the tag was sent: then the server has compared the content with it.
    pub(crate) is_checked: bool,
}

/// Checks that a PUT with this response has stored the content.
///
/// # Errors
///
/// [`StoreError::Damaged`] and [`StoreError::Length`] if there is another content, [`StoreError::Unproven`] if nothing
/// shows what there is, `AlreadyExists` if the object was to be created, and the server's refusal.
pub(crate) async fn stored(
    containers: &Containers,
    target: &Target,
    response: Response,
    content: Content<'_>,
) -> Result<()> {
    let headers = accepted(response).await?;
    if header(&headers, "etag").is_some() {
        return Ok(content.is_shown_by(&headers, target)?);
    }
    let Some(headers) = head_unproven(containers, target).await? else {
        return Err(unproven(target, "it was accepted, and can't be found").into());
    };
    content.is_shown_by(&headers, target)?;
    Ok(content.has_length_in(&headers, target)?)
}

/// Returns the headers of a response that says that the object is stored.
async fn accepted(response: Response) -> Result<HeaderMap> {
    let target = response.request.target.clone();
    match response.status {
        StatusCode::CREATED => Ok(response.headers),
        StatusCode::ACCEPTED => Err(StoreError::NotStored { target }.into()),
        StatusCode::PRECONDITION_FAILED => {
            Err(object_store::Error::AlreadyExists { path: target, source: rejected(response).await.into() })
        }
        // Here a 404 means that the container was deleted meanwhile.
        StatusCode::NOT_FOUND => {
            Err(object_store::Error::Generic { store: "Swift", source: rejected(response).await.into() })
        }
        _ => Err(rejected(response).await.into()),
    }
}

impl Content<'_> {
    /// Compares the tag. Without one, the object has the content only if the server has compared that itself.
    fn is_shown_by(&self, headers: &HeaderMap, target: &Target) -> Result<(), StoreError> {
        match header(headers, "etag").map(unquoted) {
            Some(found) if found == self.e_tag => Ok(()),
            Some(found) => Err(StoreError::Damaged {
                target: target.to_string(),
                expected: self.e_tag.to_owned(),
                found: found.to_owned(),
            }),
            None if self.is_checked => Ok(()),
            None => Err(unproven(target, "the server doesn't return its tag")),
        }
    }

    /// Compares the length in the response to a HEAD.
    fn has_length_in(&self, headers: &HeaderMap, target: &Target) -> Result<(), StoreError> {
        let length = header(headers, "content-length").and_then(|length| length.parse().ok());
        match self.bytes.zip(length) {
            Some((end, position)) if position != end => {
                Err(StoreError::Length { target: target.to_string(), end, position })
            }
            _ => Ok(()),
        }
    }
}

fn unproven(target: &Target, reason: &str) -> StoreError {
    StoreError::Unproven { target: target.to_string(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt, stream};
    use http::{HeaderValue, Method, header as http_header};

    use super::*;
    use crate::{client::Origin, retry::Trouble};

    async fn outcome(status: u16) -> Result<HeaderMap> {
        let response = Response {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::from_iter([(http_header::ETAG, HeaderValue::from_static("aa"))]),
            request: Origin { method: Method::PUT, target: "c/a".to_owned(), tries: 1, trans_id: None },
            body: stream::empty().boxed(),
            trouble: Trouble::default(),
        };
        accepted(response).await
    }

    #[tokio::test]
    async fn only_201_means_that_it_is_stored() {
        assert!(outcome(201).await.is_ok());
        let older = outcome(202).await.unwrap_err();
        assert!(matches!(StoreError::of(&older), Some(StoreError::NotStored { .. })), "{older:?}");
        let refused = outcome(412).await;
        assert!(matches!(refused, Err(object_store::Error::AlreadyExists { .. })), "{refused:?}");
    }

    #[test]
    fn a_tag_must_be_the_expected_one_and_is_dispensable_only_if_the_server_has_compared_it() {
        let (target, content) =
            (Target::new("c", "a"), Content { e_tag: "aa", bytes: None, is_checked: false });
        let shown = |content: Content<'_>, tag: Option<&'static str>| {
            let tag = tag.map(|tag| (http_header::ETAG, HeaderValue::from_static(tag)));
            content.is_shown_by(&tag.into_iter().collect(), &target)
        };
        assert!(shown(content, Some("\"aa\"")).is_ok());
        assert!(matches!(shown(content, Some("bb")), Err(StoreError::Damaged { .. })));
        assert!(matches!(shown(content, None), Err(StoreError::Unproven { .. })));
        assert!(shown(Content { is_checked: true, ..content }, None).is_ok());
    }
}
