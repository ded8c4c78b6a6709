//! The time of Swift's servers.

use std::time::SystemTime;

use http::Method;
use object_store::Result;

use super::Swift;
use crate::{client::Request, error::StoreError};

impl Swift {
    /// Returns the time of Swift's servers, with which they date objects, to the second. It comes from a recent
    /// response; without one, it costs a request.
    ///
    /// # Errors
    ///
    /// Those of any request, and [`StoreError::Protocol`] for a response without a date.
    pub async fn server_time(&self) -> Result<SystemTime> {
        let (client, container) = (&self.0.handles.containers.client, &self.0.handles.containers.container);
        if let Some(time) = client.server_time() {
            return Ok(time);
        }
        // Every response has a date, even one that says that the container is missing.
        client.send(Request::new(Method::HEAD, container)).await?;
        client.server_time().ok_or_else(|| {
            let reason = "the answer has no date that can be read".to_owned();
            StoreError::Protocol { target: container.clone(), reason }.into()
        })
    }
}
