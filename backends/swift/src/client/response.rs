//! The response to a request, and the request that it belongs to.

use bytes::Bytes;
use futures::stream::BoxStream;
use http::{HeaderMap, Method, StatusCode};

use super::Request;
use crate::{
    error::{Error, Kind},
    retry::{Failure, Token, Trouble, classify},
    transport::{Broken, whole},
};

/// The longest report on a deletion or a manifest that is read.
pub(crate) const REPORT_LIMIT: usize = 16 << 20;

/// A response whose head has arrived and whose body hasn't been read yet.
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) request: Origin,
    pub(crate) body: BoxStream<'static, Result<Bytes, Error>>,
    /// The time for which the request has made no progress.
    pub(crate) trouble: Trouble,
}

/// The request that a response belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) tries: u32,
    pub(crate) trans_id: Option<String>,
}

impl Origin {
    /// Describes a request that hasn't been sent yet.
    pub(super) fn new(request: &Request) -> Self {
        Self { method: request.method.clone(), target: request.target(), tries: 0, trans_id: None }
    }

    pub(crate) fn error(&self, kind: Kind) -> Error {
        Error::new(self.method.clone(), &self.target, self.tries, kind).with_trans_id(self.trans_id.clone())
    }

    /// The failure of a try without a complete response.
    pub(super) fn broken(&self, broken: Broken, token: Token) -> Failure<Error> {
        let (idle, verdict) = (broken.idle(), classify(broken.outcome(), token));
        Failure { idle, ..Failure::judged(self.error(broken.into()), verdict) }
    }
}

impl Response {
    /// Reads the complete body, which must not be longer than `limit` bytes.
    pub(crate) async fn bytes(self, limit: usize) -> Result<Bytes, Error> {
        let body = whole(self.body, limit).await;
        let body = body.inspect_err(|error| {
            self.trouble.note(error.kind().idle());
        });
        body?.ok_or_else(|| self.request.error(Kind::TooLong { limit }))
    }

    /// The body as a stream. If it is cut off, or silent for too long, the stream ends with an error.
    pub(crate) fn into_stream(self) -> BoxStream<'static, Result<Bytes, Error>> {
        self.body
    }
}

/// The error of a response that refuses the request. It contains the text of the body, if that is readable.
pub(crate) async fn rejected(response: Response) -> Error {
    const MOST_WORTH_READING: usize = 16 << 10;
    let (status, request) = (response.status, response.request.clone());
    let body = response.bytes(MOST_WORTH_READING).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&body);
    // Swift's HTML pages contain no more than the status.
    let detail = if text.starts_with('<') { "" } else { text.trim() };
    request.error(Kind::Answer { status, detail: detail.chars().take(300).collect() })
}
