use bytes::Bytes;
use futures::stream::BoxStream;
use http::{HeaderMap, Method, StatusCode};

use super::{Request, http::whole};
use crate::{Error, Kind, retry::Trouble};

/// An answer whose head is here and whose body is still to come.
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) request: Origin,
    pub(crate) body: BoxStream<'static, Result<Bytes, Error>>,
    /// Of the request.
    pub(crate) trouble: Trouble,
}

/// Which request an answer is to.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) tries: u32,
    pub(crate) trans_id: Option<String>,
}

impl Origin {
    /// A request that wasn't sent yet.
    pub(super) fn new(request: &Request) -> Self {
        Self { method: request.method.clone(), target: request.target(), tries: 0, trans_id: None }
    }

    pub(crate) fn error(&self, kind: Kind) -> Error {
        Error::new(self.method.clone(), &self.target, self.tries, kind).with_trans_id(self.trans_id.clone())
    }
}

impl Response {
    /// The complete body, which must not be longer than `limit` bytes.
    pub(crate) async fn bytes(self, limit: usize) -> Result<Bytes, Error> {
        let body = whole(self.body, limit).await;
        let body = body.inspect_err(|error| {
            self.trouble.note(error.kind().idle());
        });
        body?.ok_or_else(|| self.request.error(Kind::TooLong { limit }))
    }

    /// The body as it comes. A body cut short, or silent for too long, ends in an error.
    pub(crate) fn into_stream(self) -> BoxStream<'static, Result<Bytes, Error>> {
        self.body
    }
}
