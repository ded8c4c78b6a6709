//! The servers' time.

use std::time::SystemTime;

use http::Method;
use object_store::Result;

use super::Swift;
use crate::{client::Request, error::StoreError};

impl Swift {
    /// The servers' time, by which they date what is stored: to the second, from the date of an answer. Where none came
    /// a moment ago, it costs a request.
    ///
    /// # Errors
    ///
    /// Those of any request, and [`StoreError::Protocol`] for an answer without a date.
    pub async fn server_time(&self) -> Result<SystemTime> {
        let (client, container) = (&self.0.containers.client, &self.0.containers.container);
        if let Some(time) = client.server_time() {
            return Ok(time);
        }
        // Any answer has a date, one that the container isn't there too.
        client.send(Request::new(Method::HEAD, container)).await?;
        client.server_time().ok_or_else(|| {
            let reason = "the answer has no date that can be read".to_owned();
            StoreError::Protocol { target: container.clone(), reason }.into()
        })
    }
}
