//! Signed URLs, for callers that know only `object_store`.

use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use object_store::{Result, path::Path, signer::Signer};
use url::Url;

use super::Swift;

/// As [`Swift::signed_url`]. Further parameters and headers can't be signed.
#[async_trait]
impl Signer for Swift {
    async fn signed_url(&self, method: Method, path: &Path, expires_in: Duration) -> Result<Url> {
        Self::signed_url(self, method, path, expires_in).await
    }
}
