//! The store that injects faults: every call passes through its [`Faults`].

use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
    RenameOptions, Result, path::Path,
};

use super::{
    dates::Dates,
    faults::{Faults, ReadFault},
    upload::FaultyUpload,
};

/// Passes on every call, unless its [`Faults`] change it.
#[derive(Debug)]
pub(super) struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    faults: Faults,
    dates: Dates,
}

impl FaultyStore {
    pub(super) fn new(inner: Arc<dyn ObjectStore>, faults: Faults, dates: Dates) -> Self {
        Self { inner, faults, dates }
    }

    fn listed(
        &self,
        list: impl FnOnce(&dyn ObjectStore) -> BoxStream<'static, Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let (dates, faults, hiding) = (self.dates.clone(), self.faults.clone(), self.faults.clone());
        let shown = move |object: &ObjectMeta| std::future::ready(hiding.shows(&object.location));
        let objects = list(&*self.inner).try_filter(shown).map_ok(move |object| dates.dated(object));
        let listing = async move { faults.list().await.map(|()| objects) };
        futures::stream::once(listing).try_flatten().boxed()
    }

    /// The body, byte by byte.
    fn trickling(&self, result: GetResult) -> GetResult {
        let (meta, range) = (result.meta.clone(), result.range.clone());
        let (attributes, extensions) = (result.attributes.clone(), result.extensions.clone());
        let faults = self.faults.clone();
        let given = futures::stream::once(single_bytes(result)).try_flatten().and_then(move |byte| {
            let faults = faults.clone();
            async move {
                faults.byte().await;
                Ok(byte)
            }
        });
        GetResult { payload: GetResultPayload::Stream(given.boxed()), meta, range, attributes, extensions }
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faulty {}", self.inner)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let effect = self.faults.write("put", location);
        self.faults.room()?;
        effect.begin().await?;
        let mode = if self.faults.is_stored_again(location) { PutMode::Overwrite } else { opts.mode.clone() };
        let result = self.inner.put_opts(location, payload, PutOptions { mode, ..opts }).await?;
        self.dates.written(location);
        effect.reply(result).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let effect = self.faults.write("begin", location);
        self.faults.room()?;
        effect.begin().await?;
        let inner = self.inner.put_multipart_opts(location, opts).await?;
        let upload = FaultyUpload::new(inner, location.clone(), self.faults.clone(), self.dates.clone());
        effect.reply(Box::new(upload) as _).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let fault = self.faults.read(location).await?;
        if !self.faults.has(location) {
            let source = "it is made to look missing".into();
            return Err(object_store::Error::NotFound { path: location.to_string(), source });
        }
        let result = self.inner.get_opts(location, options).await;
        self.faults.hold(location).await;
        let result = result.map_err(|error| self.faults.absence(error))?;
        let fault = match fault {
            None if self.faults.trickles() => return Ok(self.trickling(result)),
            None => return Ok(result),
            Some(fault) => fault,
        };
        let (meta, range) = (result.meta.clone(), result.range.clone());
        let (attributes, extensions) = (result.attributes.clone(), result.extensions.clone());
        let body = spoil(result.bytes().await?, fault);
        let payload = GetResultPayload::Stream(futures::stream::once(async { Ok(body) }).boxed());
        Ok(GetResult { payload, meta, range, attributes, extensions })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let fault = self.faults.read(location).await?;
        let bodies = self.inner.get_ranges(location, ranges).await?;
        Ok(match fault {
            Some(fault) => bodies.into_iter().map(|body| spoil(body, fault)).collect(),
            None => bodies,
        })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (inner, faults) = (Arc::clone(&self.inner), self.faults.clone());
        let deleted = locations.then(move |location| {
            let (inner, faults) = (Arc::clone(&inner), faults.clone());
            async move {
                let location = location?;
                let effect = faults.write("delete", &location);
                effect.begin().await?;
                inner.delete(&location).await?;
                effect.reply(location).await
            }
        });
        deleted.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(|inner| inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(|inner| inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.faults.list().await?;
        let mut result = self.inner.list_with_delimiter(prefix).await?;
        result.objects = result.objects.into_iter().map(|object| self.dates.dated(object)).collect();
        Ok(result)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let effect = self.faults.write("copy", to);
        effect.begin().await?;
        self.inner.copy_opts(from, to, options).await?;
        self.dates.written(to);
        effect.reply(()).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let effect = self.faults.write("rename", to);
        effect.begin().await?;
        self.inner.rename_opts(from, to, options).await?;
        self.dates.written(to);
        effect.reply(()).await
    }
}

/// The body in pieces of one byte.
async fn single_bytes(result: GetResult) -> Result<BoxStream<'static, Result<Bytes>>> {
    let body = result.bytes().await?;
    Ok(futures::stream::iter((0..body.len()).map(move |at| Ok(body.slice(at..=at)))).boxed())
}

/// Returns the body as a broken connection or disk would: truncated in the middle, or with one wrong bit there.
fn spoil(body: Bytes, fault: ReadFault) -> Bytes {
    let middle = body.len() / 2;
    match fault {
        ReadFault::Cut => body.slice(..middle),
        ReadFault::Fails | ReadFault::FlipsBit | ReadFault::Hangs => {
            let mut body = Vec::from(body);
            if let Some(byte) = body.get_mut(middle) {
                *byte ^= 1;
            }
            body.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;
    use crate::{ManualClock, faulty::WriteFault};

    fn store(faults: &Faults) -> FaultyStore {
        FaultyStore::new(Arc::new(InMemory::new()), faults.clone(), Dates::new(ManualClock::new()))
    }

    #[tokio::test]
    async fn each_write_fault_does_what_it_says() {
        let name = Path::from("x");
        for (fault, stored, works_afterwards) in [
            (WriteFault::FailsOnce, false, true),
            (WriteFault::Dies, false, false),
            (WriteFault::LosesReply, true, true),
        ] {
            let store = store(&Faults::at_write(1, fault));
            store.put(&name, "a".into()).await.unwrap_err();
            assert_eq!(store.inner.head(&name).await.is_ok(), stored, "{fault:?}");
            assert_eq!(store.put(&name, "b".into()).await.is_ok(), works_afterwards, "{fault:?}");
        }
    }

    #[tokio::test]
    async fn each_read_fault_does_what_it_says() {
        for (n, fault) in (2..).zip(ReadFault::ALL) {
            let store = store(&Faults::at_read(n, fault));
            store.put(&Path::from("x"), "abcd".into()).await.unwrap();
            for _ in 1..n {
                assert_eq!(read(&store).await.unwrap(), "abcd");
            }
            match fault {
                ReadFault::Fails => drop(read(&store).await.unwrap_err()),
                ReadFault::Cut => assert_eq!(read(&store).await.unwrap(), "ab"),
                ReadFault::FlipsBit => assert_eq!(read(&store).await.unwrap(), "abbd"),
                ReadFault::Hangs => panic!("it isn't one of them"),
            }
            assert_eq!(read(&store).await.unwrap(), "abcd");
        }
    }

    #[tokio::test]
    async fn after_a_call_that_hangs_none_returns_and_what_it_should_have_done_is_done_or_not() {
        let name = Path::from("x");
        for (fault, stored) in [(WriteFault::Hangs, false), (WriteFault::HangsWhenDone, true)] {
            let faults = Faults::at_write(1, fault);
            let store = store(&faults);
            tokio::select! {
                put = store.put(&name, "abcd".into()) => panic!("{put:?}"),
                () = faults.hung() => {}
            }
            assert_eq!(store.inner.head(&name).await.is_ok(), stored, "{fault:?}");
            tokio::select! {
                read = read(&store) => panic!("{read:?}"),
                () = faults.hung() => {}
            }
        }
    }

    #[tokio::test]
    async fn what_trickles_comes_byte_by_byte_as_it_is_given() {
        let faults = Faults::trickling();
        let store = store(&faults);
        store.put(&Path::from("x"), "abcd".into()).await.unwrap();
        let mut body = store.get(&Path::from("x")).await.unwrap().into_stream();
        for byte in ["a", "b", "c", "d"] {
            tokio::select! {
                biased;
                byte = body.next() => panic!("{byte:?}"),
                () = faults.wanted() => {}
            }
            faults.give();
            assert_eq!(body.next().await.unwrap().unwrap(), byte);
        }
        assert!(body.next().await.is_none());
    }

    async fn read(store: &FaultyStore) -> Result<Bytes> {
        store.get(&Path::from("x")).await?.bytes().await
    }

    #[tokio::test]
    async fn an_object_is_as_old_as_the_manual_clock_makes_it() {
        let clock = ManualClock::new();
        let store = FaultyStore::new(Arc::new(InMemory::new()), Faults::none(), Dates::new(clock.clone()));
        store.put(&Path::from("old"), "x".into()).await.unwrap();
        clock.advance(jiff::SignedDuration::from_hours(25));
        store.put(&Path::from("young"), "x".into()).await.unwrap();
        let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
        let age = listed[1].last_modified - listed[0].last_modified;
        assert_eq!(age.num_hours(), 25);
    }
}
