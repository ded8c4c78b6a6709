use futures::{FutureExt, TryStreamExt};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use object_store::{CopyMode, Result, path::Path};
use percent_encoding::utf8_percent_encode;

use super::{Shape, attributes, stored};
use crate::{
    StoreError,
    bulk::{Target, at_once},
    client::{PATH, Request, Response},
    large::Segment,
    store::{Store, rejected},
};

const COPY_FROM: HeaderName = HeaderName::from_static("x-copy-from");

impl Store {
    /// Copies an object within the container, attributes included, without its bytes passing through here.
    ///
    /// The copy of a large object has segments of its own, so that each can be deleted without the other; that
    /// of a dynamic one is a static one. [`CopyMode::Create`] looks whether the name is taken and then copies:
    /// it is no lock.
    pub(crate) async fn copy(&self, from: &Path, to: &Path, mode: CopyMode) -> Result<()> {
        let source = self.send(Request::object(Method::HEAD, &self.container, from.as_ref())).await?;
        if !source.status.is_success() {
            return Err(rejected(source).await.into());
        }
        let (from, to) =
            (Target::new(&self.container, from.as_ref()), Target::new(&self.container, to.as_ref()));
        let replaced = match mode {
            CopyMode::Overwrite => self.segments_to_replace(&to).await?,
            CopyMode::Create if self.shape(&to).await?.is_none() => Vec::new(),
            CopyMode::Create => {
                let source = "there is an object of this name".into();
                return Err(object_store::Error::AlreadyExists { path: to.name, source });
            }
        };
        match Shape::of(&source.headers) {
            Shape::Plain => self.copy_plain(&from, &to).await?,
            shape => self.copy_large(&from, &to, &shape, attributes::raw(&source.headers)).await?,
        }
        self.remove_quietly(replaced).await;
        Ok(())
    }

    async fn copy_plain(&self, from: &Target, to: &Target) -> Result<()> {
        let response = self.request_copy(from, to).await?;
        match response.status {
            StatusCode::CREATED => Ok(()),
            StatusCode::ACCEPTED => Err(StoreError::NotStored { target: response.request.target }.into()),
            _ => Err(rejected(response).await.into()),
        }
    }

    async fn request_copy(&self, from: &Target, to: &Target) -> Result<Response> {
        let encoded = |text| utf8_percent_encode(text, PATH);
        let path = format!("{}/{}", encoded(&from.container), encoded(&from.name));
        let path = HeaderValue::try_from(path)
            .map_err(|error| StoreError::Protocol { target: from.to_string(), reason: error.to_string() })?;
        self.send(Request::object(Method::PUT, &to.container, &to.name).header(COPY_FROM, path)).await
    }

    async fn copy_large(&self, from: &Target, to: &Target, shape: &Shape, headers: HeaderMap) -> Result<()> {
        let segments = self.leaves(from, shape).await?;
        if segments.is_empty() {
            return self
                .put_plain(&to.container, &to.name, object_store::PutPayload::new(), headers)
                .await
                .map(drop);
        }
        let place = self.new_place(&to.name);
        let names = (0..segments.len()).map(|number| Target::new(&self.segments, place.segment(number, 0)));
        let names: Vec<_> = names.collect();
        let copied = async {
            let copies = segments
                .into_iter()
                .zip(&names)
                .map(|(segment, name)| self.copy_segment(segment, name).boxed());
            let copies: Vec<_> = at_once(copies).try_collect().await?;
            self.write_manifests(to, &place, copies, headers).await
        };
        let copied = copied.await;
        if copied.is_err() {
            self.discard_quietly(to, &place, names).await;
        }
        copied.map(drop)
    }

    async fn copy_segment(&self, segment: Segment, to: &Target) -> Result<Segment> {
        let from = segment.target().ok_or_else(|| StoreError::Protocol {
            target: segment.name.clone(),
            reason: "a segment has a container and a name".to_owned(),
        })?;
        stored(self.request_copy(&from, to).await?, &segment.e_tag).await?;
        Ok(Segment { name: to.path(), ..segment })
    }

    /// The segments of a large object that aren't large objects themselves, in their order.
    async fn leaves(&self, object: &Target, shape: &Shape) -> Result<Vec<Segment>> {
        let refused =
            |reason: &str| StoreError::Large { target: object.to_string(), reason: reason.to_owned() };
        if let Shape::Dynamic { container, prefix } = shape {
            let mut entries = self.names_under(container, prefix).await?;
            entries.retain(|entry| entry.bytes > 0);
            if entries.iter().any(crate::listing::Entry::is_static) {
                return Err(refused("a segment of it is a large object itself").into());
            }
            let segment = |entry: crate::listing::Entry| Segment {
                name: Target::new(container, entry.name).path(),
                e_tag: entry.hash,
                bytes: entry.bytes,
                range: None,
                nested: false,
            };
            return Ok(entries.into_iter().map(segment).collect());
        }
        let mut segments = self.unfold(self.manifest(object).await?.unwrap_or_default()).await?;
        if segments.iter().any(|segment| segment.nested && segment.range.is_some()) {
            return Err(refused("its manifest names a range of another large object").into());
        }
        segments.retain(|segment| !segment.nested);
        Ok(segments)
    }
}
