//! Compares a WAL file with the stored one. Both are read as streams, whatever their size.

use std::io;

use object_store::{GetOptions, PutMode};
use swiftwal_compression::{Format, decoder};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::{
    error::{Error, Result},
    local::{blocking::blocking, content::Content},
    repository::{Repository, layout::ObjectName, path, wal_file::WalFile},
    storage::CreateInParts,
};

/// How many bytes are compared at once.
const CHUNK_BYTES: usize = 128 << 10;

impl Repository {
    /// Whether `object` has the content of `file`, in the compression `format`; none if there is no such object. The
    /// same content is durable when it returns.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] if the stored content can't be decompressed; [`Error::Local`], also if the file changed
    /// meanwhile.
    pub(crate) async fn compare_wal(
        &self,
        object: &ObjectName,
        file: &WalFile,
        format: Format,
    ) -> Result<Option<bool>> {
        let is_same = match self.storage().create_in_parts() {
            Some(storage) => self.compare_as_stream(object, file, format, &**storage).await?,
            None => self.compare_in_memory(object, file, format).await?,
        };
        file.ensure_unchanged()?;
        Ok(is_same)
    }

    async fn compare_as_stream(
        &self,
        object: &ObjectName,
        file: &WalFile,
        format: Format,
        storage: &dyn CreateInParts,
    ) -> Result<Option<bool>> {
        let opened = self.open_wal_object(object.clone(), format, GetOptions::default(), &|_| {}).await?;
        let Some(stored) = opened else { return Ok(None) };
        let is_same = self.is_same(object, file, stored.content()).await?;
        if is_same {
            // The process that stored it may have crashed before it was durable.
            storage.make_durable(&path(object)).await.map_err(self.failed("write", object))?;
        }
        Ok(Some(is_same))
    }

    /// As [`compare_wal`](Self::compare_wal), for a storage that makes an existing object durable only if it is put
    /// again completely.
    async fn compare_in_memory(
        &self,
        object: &ObjectName,
        file: &WalFile,
        format: Format,
    ) -> Result<Option<bool>> {
        let Some(stored) = self.read(object).await? else { return Ok(None) };
        let is_same = self.is_same(object, file, decoder(format, &*stored)).await?;
        if is_same {
            self.put(object, stored.into(), PutMode::Create).await?;
        }
        Ok(Some(is_same))
    }

    async fn is_same(
        &self,
        object: &ObjectName,
        file: &WalFile,
        mut stored: impl AsyncRead + Send + Unpin,
    ) -> Result<bool> {
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        let mut position = 0;
        loop {
            next_chunk(&mut stored, &mut chunk).await.map_err(|error| self.incomparable(object, error))?;
            if chunk.is_empty() {
                return Ok(position == file.bytes());
            }
            let end = position + chunk.len() as u64;
            let content = file.content().clone();
            let has = blocking(move || {
                let has = has_at(&content, &chunk, position);
                Ok((has, chunk))
            });
            let has_it;
            (has_it, chunk) = has.await?;
            if !has_it.map_err(Error::local("read", file.path()))? {
                return Ok(false);
            }
            position = end;
        }
    }

    fn incomparable(&self, object: &ObjectName, error: io::Error) -> Error {
        match self.unreadable(object, error) {
            Error::Damaged { object, reason } => {
                let hint = "if the file here is right, --force replaces what is stored";
                Error::Damaged { object, reason: format!("{reason}; {hint}") }
            }
            error => error,
        }
    }
}

/// Replaces the content of `chunk` with the next bytes. Only the last chunk is short, and empty ones follow it.
async fn next_chunk(stored: &mut (impl AsyncRead + Unpin), chunk: &mut Vec<u8>) -> io::Result<()> {
    chunk.clear();
    stored.take(CHUNK_BYTES as u64).read_to_end(chunk).await.map(drop)
}

/// Whether `content` contains these bytes at `position`.
fn has_at(content: &Content, bytes: &[u8], position: u64) -> io::Result<bool> {
    let mut found = vec![0; bytes.len()];
    let mut filled = 0;
    while filled < found.len() {
        match content.read_at(&mut found[filled..], position + filled as u64)? {
            0 => return Ok(false),
            read => filled += read,
        }
    }
    Ok(found == bytes)
}
