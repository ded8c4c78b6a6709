use std::{fmt, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    Result, path::Path,
};

use super::{
    dates::Dates,
    faults::{Faults, ReadFault, injected},
    upload::FaultyUpload,
};

/// Passes every call on, unless its [`Faults`] say otherwise.
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
        if self.faults.list() {
            return futures::stream::once(async { Err(injected()) }).boxed();
        }
        let (dates, faults) = (self.dates.clone(), self.faults.clone());
        let shown = move |object: &ObjectMeta| std::future::ready(faults.shows(&object.location));
        list(&*self.inner).try_filter(shown).map_ok(move |object| dates.dated(object)).boxed()
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
        let verdict = self.faults.write("put", location);
        self.faults.room()?;
        verdict.begin()?;
        let result = self.inner.put_opts(location, payload, opts).await?;
        self.dates.written(location);
        verdict.reply(result)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let verdict = self.faults.write("begin", location);
        self.faults.room()?;
        verdict.begin()?;
        let inner = self.inner.put_multipart_opts(location, opts).await?;
        let upload = FaultyUpload::new(inner, location.clone(), self.faults.clone(), self.dates.clone());
        verdict.reply(Box::new(upload))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let fault = self.faults.read(location);
        if fault == Some(ReadFault::Fails) {
            return Err(injected());
        }
        if !self.faults.has(location) {
            let source = "it was told to have vanished".into();
            return Err(object_store::Error::NotFound { path: location.to_string(), source });
        }
        let result = self.inner.get_opts(location, options).await;
        let result = result.map_err(|error| self.faults.absence(error))?;
        let Some(fault) = fault else { return Ok(result) };
        let (meta, range) = (result.meta.clone(), result.range.clone());
        let (attributes, extensions) = (result.attributes.clone(), result.extensions.clone());
        let body = spoil(result.bytes().await?, fault);
        let payload = GetResultPayload::Stream(futures::stream::once(async { Ok(body) }).boxed());
        Ok(GetResult { payload, meta, range, attributes, extensions })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let fault = self.faults.read(location);
        if fault == Some(ReadFault::Fails) {
            return Err(injected());
        }
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
                let verdict = faults.write("delete", &location);
                verdict.begin()?;
                inner.delete(&location).await?;
                verdict.reply(location)
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
        if self.faults.list() {
            return Err(injected());
        }
        let mut result = self.inner.list_with_delimiter(prefix).await?;
        result.objects = result.objects.into_iter().map(|object| self.dates.dated(object)).collect();
        Ok(result)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let verdict = self.faults.write("copy", to);
        verdict.begin()?;
        self.inner.copy_opts(from, to, options).await?;
        self.dates.written(to);
        verdict.reply(())
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let verdict = self.faults.write("rename", to);
        verdict.begin()?;
        self.inner.rename_opts(from, to, options).await?;
        self.dates.written(to);
        verdict.reply(())
    }
}

/// The body as a broken line or disk would give it: cut in the middle, or with one bit wrong there.
fn spoil(body: Bytes, fault: ReadFault) -> Bytes {
    let middle = body.len() / 2;
    match fault {
        ReadFault::Cut => body.slice(..middle),
        ReadFault::Fails | ReadFault::FlipsBit => {
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
            }
            assert_eq!(read(&store).await.unwrap(), "abcd");
        }
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
