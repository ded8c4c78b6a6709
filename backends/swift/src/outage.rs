//! An outage that one of many requests has met: the others aren't tried.

use std::{error::Error as _, fmt::Write, sync::OnceLock};

use object_store::Result;

use crate::{
    error::{Error, Kind, StoreError},
    target::Target,
};

/// Keeps many requests from waiting for an outage one after the other: once one of them has failed for as long as
/// requests are retried, the others fail at once.
#[derive(Debug, Default)]
pub(crate) struct Outage(OnceLock<String>);

impl Outage {
    /// The request's outcome, or [`StoreError::NotTried`].
    pub(crate) async fn or<T>(&self, target: &Target, request: impl Future<Output = Result<T>>) -> Result<T> {
        if let Some(reason) = self.0.get() {
            let (target, reason) = (target.to_string(), reason.clone());
            return Err(StoreError::NotTried { target, reason }.into());
        }
        let outcome = request.await;
        if let Err(error) = &outcome
            && is_outage(error)
        {
            // Another may have met it first.
            let _ = self.0.set(in_full(error));
        }
        outcome
    }
}

/// True if the request wasn't served at all, rather than refused.
pub(crate) fn is_outage(error: &object_store::Error) -> bool {
    match Error::of(error).map(Error::kind) {
        Some(Kind::Auth(auth)) => !auth.is_refusal(),
        Some(Kind::Answer { status, .. }) => {
            status.is_server_error() || matches!(status.as_u16(), 408 | 429 | 498)
        }
        kind => kind.is_some_and(Kind::is_broken),
    }
}

/// What a request failed of, and of what that.
fn in_full(error: &object_store::Error) -> String {
    let mut text = String::new();
    let mut next = error.source();
    while let Some(error) = next {
        let divider = if text.is_empty() { "" } else { ": " };
        // Writing to a string can't fail.
        let _ = write!(text, "{divider}{error}");
        next = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use http::{Method, StatusCode};

    use super::*;

    async fn fail(outage: &Outage, status: u16) -> String {
        let kind = Kind::answer(StatusCode::from_u16(status).unwrap());
        let request = async { Err::<(), _>(Error::new(Method::DELETE, "c/a", 3, kind).into()) };
        outage.or(&Target::new("c", "a"), request).await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn after_an_outage_nothing_more_is_tried() {
        let outage = Outage::default();
        assert!(fail(&outage, 403).await.contains("403"));
        assert!(fail(&outage, 503).await.contains("503"));
        let error = outage.or(&Target::new("c", "b"), async { Ok(()) }).await.unwrap_err().to_string();
        assert!(error.contains("c/b") && error.contains("503"), "{error}");
    }
}
