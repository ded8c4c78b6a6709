//! archive-wal: check the file → compress → put if absent → identical? fine : refuse.

mod compress;
mod wal_file;

use std::path::Path;

use object_store::{PutMode, PutPayload};
use swiftwal_compression::{Codec, Format, decoder};
use tokio::io::{AsyncRead, AsyncReadExt};

use self::{compress::compress, wal_file::WalFile};
use crate::{Error, Repository, Result, repository::Put};

/// How a WAL file is to be archived.
#[derive(Clone, Copy, Debug, Default)]
pub struct ArchiveOptions {
    /// How it is compressed.
    pub codec: Codec,
    /// Whether another content under the same name is replaced.
    pub force: bool,
}

/// What archiving a WAL file came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Archived {
    /// It is stored now.
    Stored {
        /// Its size as stored.
        stored_bytes: u64,
    },
    /// The same content was stored before.
    AlreadyThere,
}

/// Stores the WAL file at `path` under its own name. When it returns, this content is durable under this name.
///
/// It needs no listing, so it works where listings lag behind or fail.
///
/// # Errors
/// [`Error::Refused`] for a name that is no WAL file's, a segment of another cluster, and (unless forced) where
/// another content has the name; [`Error::Damaged`] for a segment of wrong size or with a wrong first page.
/// Nothing was overwritten then.
pub async fn archive_wal(repository: &Repository, path: &Path, options: &ArchiveOptions) -> Result<Archived> {
    let file = WalFile::open(path)?;
    if options.force {
        return replace(repository, &file, options.codec).await;
    }
    let format = options.codec.format();
    let formats = repository.claim_unless_known(file.identity().as_ref(), format).await?;
    let mut stored = Vec::new();
    for other in formats.into_iter().filter(|other| *other != format) {
        if repository.size(&file.object(other)).await?.is_some() {
            stored.push(other);
        }
    }
    add(repository, &file, options.codec, stored).await
}

/// Stores the file where nothing has its name, in any of the `stored` compressions or the one asked for.
async fn add(repository: &Repository, file: &WalFile, codec: Codec, stored: Vec<Format>) -> Result<Archived> {
    if let Some(format) = stored.first() {
        return already_there(repository, file, *format).await;
    }
    let payload = compress_and_prepare(repository, file, codec).await?;
    let stored_bytes = payload.content_length() as u64;
    match repository.put(&file.object(codec.format()), payload, PutMode::Create).await? {
        Put::Stored => Ok(Archived::Stored { stored_bytes }),
        Put::NameTaken => already_there(repository, file, codec.format()).await,
    }
}

/// Stores the file in place of what has its name, in whatever compressions. It keeps the one in which restore-wal finds
/// the file: at no moment may it find none, and from the put on it finds this content.
async fn replace(repository: &Repository, file: &WalFile, codec: Codec) -> Result<Archived> {
    let codec = match repository.wal_format(file.name).await? {
        Some(format) if format != codec.format() => Codec::from(format),
        _ => codec,
    };
    // What this machine remembers isn't enough for who overwrites.
    repository.claim(file.identity().as_ref(), Some(codec.format())).await?;
    let payload = compress_and_prepare(repository, file, codec).await?;
    let stored_bytes = payload.content_length() as u64;
    repository.put(&file.object(codec.format()), payload, PutMode::Overwrite).await?;
    let others = Format::ALL.into_iter().filter(|other| *other != codec.format());
    let stale: Vec<_> = others.map(|other| file.object(other)).collect();
    repository.delete_all(stale.into_iter()).await?;
    Ok(Archived::Stored { stored_bytes })
}

/// The file compressed, while the storage gets ready for it.
async fn compress_and_prepare(repository: &Repository, file: &WalFile, codec: Codec) -> Result<PutPayload> {
    let object = file.object(codec.format());
    let prepare = async { repository.storage().prepare().await.map_err(repository.failed("write", object)) };
    let (payload, ()) = tokio::try_join!(compress(file, codec), prepare)?;
    Ok(payload)
}

/// Fine if what is stored in this compression is the very content of `file`; otherwise somebody has to look.
async fn already_there(repository: &Repository, file: &WalFile, format: Format) -> Result<Archived> {
    let object = file.object(format);
    let Some(stored) = repository.read(&object).await? else {
        return Err(Error::Refused(format!(
            "{object} was there and is gone: it is being deleted; try again"
        )));
    };
    if is_same(file, format, &stored).await? {
        // Who stored it may have died before it was durable, and a put sees to that.
        repository.put(&object, stored.into(), PutMode::Create).await?;
        return Ok(Archived::AlreadyThere);
    }
    Err(Error::Refused(format!(
        "{object} is already in {} with another content than {}; most likely two clusters archive into one \
         repository. It was not overwritten: only if you are sure that the file here is the right one, use --force",
        repository.location(),
        file.path.display(),
    )))
}

async fn is_same(file: &WalFile, format: Format, stored: &[u8]) -> Result<bool> {
    let local = tokio::fs::File::from_std(file.reopen()?);
    let object = file.object(format);
    let stored = decoder(format, stored);
    let (mut local, mut stored) = (Chunks::new(local), Chunks::new(stored));
    loop {
        let ours = local.next().await.map_err(Error::local("read", &file.path))?;
        let theirs = stored.next().await.map_err(|error| {
            let hint = "if the file here is right, --force replaces what is stored";
            Error::damaged(&object, format!("{error}; {hint}"))
        })?;
        if ours != theirs {
            return Ok(false);
        }
        if ours.is_empty() {
            return Ok(true);
        }
    }
}

/// Reads in pieces of one size, so that two readers can be compared piece by piece.
struct Chunks<R> {
    reader: R,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Chunks<R> {
    const BYTES: u64 = 128 << 10;

    fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::new() }
    }

    /// The next piece; only the last can be short, and after it come empty ones.
    async fn next(&mut self) -> std::io::Result<&[u8]> {
        self.buffer.clear();
        (&mut self.reader).take(Self::BYTES).read_to_end(&mut self.buffer).await?;
        Ok(&self.buffer)
    }
}
