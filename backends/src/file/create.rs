//! Creates objects in parts: a temporary file that gets its name by a hard link, which never overwrites.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path as FilePath, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use object_store::{MultipartUpload, PutPayload, PutResult, Result, UploadPart, path::Path};
use swiftwal_core::CreateInParts;
use tokio::task::spawn_blocking;

use super::{
    durable::{Parents, sync, sync_object},
    error::Error,
    root::Root,
    store::FileStore,
    trace::Trace,
    write_error::{Upload, explain},
};

#[async_trait]
impl CreateInParts for FileStore {
    async fn create(&self, location: &Path) -> Result<Box<dyn MultipartUpload>> {
        let (dir, trace) = (self.root().path(), Trace::new("WRITE", location.as_ref()));
        let _parents = explain(dir, self.blocking(location, Parents::make).await)?;
        let staged = explain(dir, self.blocking(location, |_, path| Staged::new(path)).await)?;
        let upload = Creation { root: Arc::clone(self.root()), staged: Some(Arc::new(staged)), offset: 0 };
        Ok(Box::new(Upload { upload: Box::new(upload), dir: dir.into(), trace, bytes: 0 }))
    }

    async fn takes_parts_of(&self, _bytes: usize) -> Result<bool> {
        Ok(true)
    }

    async fn make_durable(&self, location: &Path) -> Result<()> {
        let trace = Trace::new("FLUSH", location.as_ref());
        trace.ended(None, self.blocking(location, sync_object).await)
    }
}

/// An upload that must not overwrite an object.
#[derive(Debug)]
struct Creation {
    root: Arc<Root>,
    /// None after the upload has ended.
    staged: Option<Arc<Staged>>,
    /// The offset of the next part.
    offset: u64,
}

#[async_trait]
impl MultipartUpload for Creation {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (staged, offset) = (self.staged(), self.offset);
        self.offset += data.content_length() as u64;
        Box::pin(async move {
            let staged = staged?;
            Ok(spawn_blocking(move || staged.write(&data, offset)).await??)
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let (staged, root) = (self.staged()?, Arc::clone(&self.root));
        self.staged = None;
        spawn_blocking(move || staged.publish(&root)).await??;
        Ok(PutResult { e_tag: None, version: None, extensions: Default::default() })
    }

    async fn abort(&mut self) -> Result<()> {
        self.staged = None;
        Ok(())
    }
}

impl Creation {
    fn staged(&self) -> Result<Arc<Staged>> {
        let ended = || object_store::Error::Generic { store: "file", source: "the upload has ended".into() };
        self.staged.clone().ok_or_else(ended)
    }
}

/// A temporary file, named like those of `LocalFileSystem`'s uploads. It is removed when it is dropped; if the process
/// is killed, the sweep finds it.
#[derive(Debug)]
struct Staged {
    file: File,
    path: PathBuf,
    target: PathBuf,
}

impl Staged {
    fn new(target: &FilePath) -> Result<Self, Error> {
        for number in 1_u64.. {
            let mut path = target.as_os_str().to_owned();
            path.push(format!("#{number}"));
            let path = PathBuf::from(path);
            match File::create_new(&path) {
                Ok(file) => return Ok(Self { file, path, target: target.to_owned() }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(Error::Store { path, source }),
            }
        }
        unreachable!("there are not so many files")
    }

    fn write(&self, data: &PutPayload, mut offset: u64) -> Result<(), Error> {
        for chunk in data {
            self.file.write_all_at(chunk, offset).map_err(|source| self.failed(source))?;
            offset += chunk.len() as u64;
        }
        Ok(())
    }

    /// Gives the file its name, durably. If the name is taken, the existing object is made durable.
    fn publish(&self, root: &Root) -> Result<()> {
        self.file.sync_all().map_err(|source| self.failed(source))?;
        match fs::hard_link(&self.path, &self.target) {
            Ok(()) => {
                let parent = self.target.parent().unwrap_or_else(|| root.path());
                let synced = sync(parent);
                synced.map_err(|source| Error::Flush { path: parent.to_owned(), source })?;
                Ok(())
            }
            Err(source) if source.kind() == io::ErrorKind::AlreadyExists => {
                sync_object(root, &self.target)?;
                let path = self.target.display().to_string();
                Err(object_store::Error::AlreadyExists { path, source: source.into() })
            }
            Err(source) => Err(self.failed(source).into()),
        }
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Store { path: self.target.clone(), source }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
