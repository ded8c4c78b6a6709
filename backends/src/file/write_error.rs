//! Hints for failures to write to a directory.

use std::{error::Error as StdError, io, iter, path::Path};

use async_trait::async_trait;
use object_store::{MultipartUpload, PutPayload, PutResult, Result, UploadPart};

use super::{error::Error, trace::Trace};

/// Returns a hint for a failure to write that concerns the whole file system.
pub(super) fn write_hint(kind: io::ErrorKind) -> Option<&'static str> {
    match kind {
        io::ErrorKind::StorageFull => Some(
            "its file system is full: enlarge it, or free some space there (swiftwal prune removes old backups and WAL)",
        ),
        io::ErrorKind::QuotaExceeded => Some("raise the quota of the user that this program runs as"),
        io::ErrorKind::ReadOnlyFilesystem => {
            Some("its file system is mounted read-only: find out why, and mount it read-write")
        }
        _ => None,
    }
}

/// Adds a hint to a failure to write below `dir`, if there is one.
pub(super) fn explain<T>(dir: &Path, outcome: Result<T>) -> Result<T> {
    outcome.map_err(|error| match cause(&error).and_then(write_hint) {
        Some(hint) => Error::Write { dir: dir.to_owned(), hint, source: inner(error) }.into(),
        None => error,
    })
}

/// Returns the kind of the system's error that caused `error`.
fn cause(error: &object_store::Error) -> Option<io::ErrorKind> {
    let causes = iter::successors(Some(error as &dyn StdError), |&error| error.source());
    causes.filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind).next()
}

/// Returns the source of an error whose own message says nothing.
fn inner(error: object_store::Error) -> Box<dyn StdError + Send + Sync> {
    match error {
        object_store::Error::Generic { source, .. } => source,
        error => Box::new(error),
    }
}

/// An upload whose failures have hints.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) upload: Box<dyn MultipartUpload>,
    pub(super) dir: Box<Path>,
    pub(super) trace: Trace,
    pub(super) bytes: u64,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.bytes += data.content_length() as u64;
        let (part, dir) = (self.upload.put_part(data), self.dir.clone());
        Box::pin(async move { explain(&dir, part.await) })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let outcome = explain(&self.dir, self.upload.complete().await);
        self.trace.ended(Some(self.bytes), outcome)
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::error::hint;

    fn explained(code: i32) -> String {
        let system = io::Error::from_raw_os_error(code);
        let error = object_store::Error::Generic { store: "LocalFileSystem", source: system.into() };
        let error = explain::<()>(Path::new("/backup"), Err(error)).unwrap_err();
        let hint = error.source().and_then(hint);
        format!("{error}; {}", hint.unwrap_or_default())
    }

    #[test]
    fn a_full_or_read_only_file_system_is_reported_with_a_hint() {
        for (code, expected) in
            [(28, "swiftwal prune"), (30, "mount it read-write"), (122, "raise the quota")]
        {
            let told = explained(code);
            assert!(told.contains("can't write to /backup; ") && told.contains(expected), "{told}");
        }
        assert!(!explained(5).contains("can't write to /backup"));
    }
}
