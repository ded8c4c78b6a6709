//! Stops a series of requests when one of them has met an outage.

use std::{error::Error as _, fmt::Write, sync::OnceLock};

use object_store::Result;

use crate::{
    error::{Error, Kind, StoreError},
    target::Target,
};

/// Prevents many requests from waiting for one outage in turn: once one of them has used up its time for retries, the
/// others fail at once.
#[derive(Debug, Default)]
pub(crate) struct Outage(OnceLock<String>);

impl Outage {
    /// Returns the request's outcome, or [`StoreError::NotTried`].
    pub(crate) async fn or<T>(&self, target: &Target, request: impl Future<Output = Result<T>>) -> Result<T> {
        if let Some(reason) = self.0.get() {
            let (target, reason) = (target.to_string(), reason.clone());
            return Err(StoreError::NotTried { target, reason }.into());
        }
        let outcome = request.await;
        if let Err(error) = &outcome
            && is_outage(error)
        {
            // Another request may have met the outage first.
            let _ = self.0.set(in_full(error));
        }
        outcome
    }
}

/// Whether the request failed because of an outage, rather than being refused.
pub(crate) fn is_outage(error: &object_store::Error) -> bool {
    match Error::of(error).map(Error::kind) {
        Some(Kind::Auth(auth)) => !auth.is_refusal(),
        Some(Kind::Answer { status, .. }) => {
            status.is_server_error() || matches!(status.as_u16(), 408 | 429 | 498)
        }
        kind => kind.is_some_and(Kind::is_broken),
    }
}

/// The text of an error with all its causes.
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
