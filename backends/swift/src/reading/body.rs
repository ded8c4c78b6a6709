//! The body of an object that is read. It is resumed where it breaks off, and verified.

use std::ops::Range;

use bytes::Bytes;
use futures::{
    StreamExt,
    stream::{BoxStream, try_unfold},
};
use http::{HeaderValue, Method, StatusCode, header as http_header};
use object_store::{Result, path::Path};

use super::{Reading, check::Check, content_range::content_range};
use crate::{
    client::{Request, Response, rejected},
    error::{Error, StoreError},
    manifests::changed,
    object::header,
    retry::Breaks,
    target::Target,
};

/// The content of an object as a stream. It is resumed where it breaks off, and its length and checksum are verified.
pub(super) struct Body {
    reading: Reading,
    location: Path,
    /// The tag of the complete object, as Swift sent it. Without one, a body that broke off can't be resumed.
    e_tag: Option<HeaderValue>,
    /// The range that hasn't been received yet.
    left: Range<u64>,
    stream: BoxStream<'static, Result<Bytes, Error>>,
    check: Check,
    breaks: Breaks,
}

impl Body {
    pub(super) fn new(reading: &Reading, location: &Path, range: Range<u64>, response: Response) -> Self {
        let e_tag = response.headers.get(http_header::ETAG).cloned();
        Self {
            reading: reading.clone(),
            location: location.clone(),
            check: Check::of(&response),
            e_tag,
            left: range,
            stream: response.into_stream(),
            breaks: Breaks::default(),
        }
    }

    pub(super) fn into_stream(self) -> BoxStream<'static, Result<Bytes>> {
        try_unfold(self, Self::next).boxed()
    }

    async fn next(mut self) -> Result<Option<(Bytes, Self)>> {
        if let Check::Manifest { e_tag } = &self.check {
            self.check = Check::read_manifest(&self.reading.handles.manifests, &self.target(), e_tag).await?;
        }
        loop {
            match self.stream.next().await {
                Some(Ok(chunk)) if chunk.is_empty() => {}
                Some(Ok(chunk)) => {
                    self.take(&chunk)?;
                    return Ok(Some((chunk, self)));
                }
                // The stream is polled to its end even when all bytes have arrived: that returns the connection to the
                // pool.
                _ if self.left.is_empty() => return self.finish(),
                Some(Err(error)) => self.resume(Some(error)).await?,
                None => self.resume(None).await?,
            }
        }
    }

    fn take(&mut self, chunk: &Bytes) -> Result<()> {
        let position = self.left.start + chunk.len() as u64;
        if position > self.left.end {
            return Err(self.length(position).into());
        }
        self.left.start = position;
        self.breaks.clear();
        let target = self.target();
        if let Check::Stretches(stretches) = &mut self.check {
            stretches.update(chunk, &target)?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Option<(Bytes, Self)>> {
        let target = self.target();
        if let Check::Stretches(stretches) = &mut self.check {
            stretches.end(&target)?;
        }
        Ok(None)
    }

    /// Requests the rest of the same content. `error` is the reason why the body broke off, unless it just ended.
    async fn resume(&mut self, error: Option<Error>) -> Result<()> {
        let idle = error.as_ref().map(|error| error.kind().idle()).unwrap_or_default();
        let goes_on = self.e_tag.is_some() && self.breaks.again(idle).await;
        let Some(e_tag) = self.e_tag.clone().filter(|_| goes_on) else {
            let short = || self.length(self.left.start).into();
            return Err(error.map_or_else(short, Into::into));
        };
        let range = range_header(&self.left).map_err(|_| self.length(self.left.start))?;
        let request =
            Request::object(Method::GET, &self.reading.handles.containers.container, self.location.as_ref())
                .header(http_header::RANGE, range)
                .within(self.breaks.trouble());
        let response = self.reading.handles.containers.send(request).await?;
        if response.status != StatusCode::PARTIAL_CONTENT {
            return Err(rejected(response).await.into());
        }
        // `If-Match` isn't sent, since radosgw refuses it for every static large object.
        if response.headers.get(http_header::ETAG) != Some(&e_tag) {
            return Err(changed(&self.target()));
        }
        let range = header(&response.headers, "content-range").and_then(content_range);
        if range.map(|(range, _)| range) != Some(self.left.clone()) {
            let reason = format!("requested bytes {:?}, but received others", self.left);
            return Err(StoreError::Protocol { target: self.target().to_string(), reason }.into());
        }
        self.stream = response.into_stream();
        Ok(())
    }

    fn length(&self, position: u64) -> StoreError {
        StoreError::Length { target: self.target().to_string(), end: self.left.end, position }
    }

    fn target(&self) -> Target {
        self.reading.handles.containers.target(&self.location)
    }
}

fn range_header(range: &Range<u64>) -> Result<HeaderValue, http::header::InvalidHeaderValue> {
    HeaderValue::from_str(&format!("bytes={}-{}", range.start, range.end - 1))
}
