//! Requests a token in advance.

use async_trait::async_trait;
use object_store::Result;
use object_store_swift::Swift;
use swiftwal_core::Prepare;

/// Makes sure that there is a valid token.
#[derive(Debug)]
pub(super) struct Token(pub(super) Swift);

#[async_trait]
impl Prepare for Token {
    async fn prepare(&self) -> Result<()> {
        self.0.authenticate().await
    }
}
