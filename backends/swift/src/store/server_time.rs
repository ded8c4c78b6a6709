use std::time::SystemTime;

use http::{HeaderMap, Method, header};
use jiff::fmt::rfc2822::DateTimeParser;
use object_store::Result;

use super::Swift;
use crate::{StoreError, client::Request};

impl Swift {
    /// Asks for the servers' time, by which they date what is stored: to the second, from the date of an answer.
    ///
    /// # Errors
    ///
    /// Those of any request, and [`StoreError::Protocol`] for an answer without a date.
    pub async fn server_time(&self) -> Result<SystemTime> {
        let container = &self.0.container;
        // Any answer has a date, one that the container isn't there too.
        let response = self.0.client.send(Request::new(Method::HEAD, container)).await?;
        date(&response.headers).ok_or_else(|| {
            let reason = "the answer has no date that can be read".to_owned();
            StoreError::Protocol { target: container.clone(), reason }.into()
        })
    }
}

fn date(headers: &HeaderMap) -> Option<SystemTime> {
    let text = headers.get(header::DATE)?.to_str().ok()?;
    Some(DateTimeParser::new().parse_timestamp(text).ok()?.into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_date_of_an_answer_is_read() {
        let mut headers = HeaderMap::new();
        assert_eq!(date(&headers), None);
        headers.insert(header::DATE, HeaderValue::from_static("Tue, 14 Nov 2023 22:13:20 GMT"));
        assert_eq!(date(&headers), Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)));
        headers.insert(header::DATE, HeaderValue::from_static("soon"));
        assert_eq!(date(&headers), None);
    }
}
