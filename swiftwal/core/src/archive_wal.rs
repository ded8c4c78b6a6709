//! archive-wal: check the file → compress → put if absent → identical? fine : refuse.

mod compress;
mod variant;
mod wal_file;

use std::path::Path;

use object_store::{PutMode, PutPayload};
use swiftwal_compression::{Codec, Format, decoder};
use swiftwal_postgres::WalName;
use tokio::io::{AsyncRead, AsyncReadExt};

use self::{compress::compress, variant::store_beside, wal_file::WalFile};
use crate::{
    error::{Error, Refusal, Result},
    repository::{Put, Repository, layout::ObjectName, wal_variant::WalVariant},
};

/// The options of archiving a WAL file.
#[derive(Clone, Copy, Debug, Default)]
pub struct ArchiveOptions {
    /// The compression.
    pub codec: Codec,
    /// Replace different content under the same name.
    pub force: bool,
}

/// The outcome of archiving a WAL file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Archived {
    /// The file was stored.
    Stored {
        /// Its size as stored.
        stored_bytes: u64,
    },
    /// The same content was stored before.
    AlreadyThere,
}

/// Stores the WAL file at `path` under its own name. When it returns, this content is durable under this name; or beside
/// it, for a `.partial` or `.backup` file whose name has another content, which is warned of.
///
/// It needs no listing, so it works where listings lag behind or fail.
///
/// # Errors
/// [`Error::Refused`] for a name that is no WAL file's, a segment of another cluster, and (unless forced) where
/// another content has the name of a segment or history; [`Error::Damaged`] for a segment of wrong size or with a wrong first page.
/// Nothing was overwritten then.
pub async fn archive_wal(repository: &Repository, path: &Path, options: &ArchiveOptions) -> Result<Archived> {
    let file = WalFile::open(path)?;
    if options.force {
        return replace(repository, &file, options.codec).await;
    }
    let format = options.codec.format();
    let formats = repository.claim_unless_seen(file.identity().as_ref(), format).await?;
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
    let taken = match stored.first() {
        Some(format) => *format,
        None => {
            let object = file.object(codec.format());
            let payload = compress_and_prepare(repository, file, codec, &object).await?;
            let stored_bytes = payload.content_length() as u64;
            match repository.put(&object, payload, PutMode::Create).await? {
                Put::Stored => return Ok(Archived::Stored { stored_bytes }),
                Put::NameTaken => codec.format(),
            }
        }
    };
    if is_stored(repository, file, taken).await? {
        Ok(Archived::AlreadyThere)
    } else if WalVariant::are_possible(file.name) {
        store_beside(repository, file, codec).await
    } else {
        Err(another_content(repository, file, taken))
    }
}

/// Stores the file in place of whatever has its name. It keeps the compression in which restore-wal finds the file: at
/// no moment may it find none, and from the put on it finds this content.
///
/// The file in other compressions, which restore-wal only reads when it can't get an answer about this one, goes first:
/// it must not outlive the content that is replaced.
async fn replace(repository: &Repository, file: &WalFile, codec: Codec) -> Result<Archived> {
    let codec = match repository.wal_format(file.name).await? {
        Some(format) if format != codec.format() => Codec::from(format),
        _ => codec,
    };
    // To overwrite, what this machine remembers isn't enough.
    repository.claim(file.identity().as_ref(), Some(codec.format())).await?;
    let object = file.object(codec.format());
    let payload = compress_and_prepare(repository, file, codec, &object).await?;
    let others = Format::ALL.into_iter().filter(|other| *other != codec.format());
    let stale: Vec<_> = others.map(|other| file.object(other)).collect();
    repository.delete_all(stale.into_iter()).await?;
    let stored_bytes = payload.content_length() as u64;
    repository.put(&object, payload, PutMode::Overwrite).await?;
    Ok(Archived::Stored { stored_bytes })
}

/// The file compressed, while the storage gets ready for `object`.
async fn compress_and_prepare(
    repository: &Repository,
    file: &WalFile,
    codec: Codec,
    object: &ObjectName,
) -> Result<PutPayload> {
    let prepare = async { repository.storage().prepare().await.map_err(repository.failed("write", object)) };
    let (payload, ()) = tokio::try_join!(compress(file, codec), prepare)?;
    Ok(payload)
}

/// Whether what is stored in this compression is the very content of `file`, durably.
async fn is_stored(repository: &Repository, file: &WalFile, format: Format) -> Result<bool> {
    let object = file.object(format);
    let Some(stored) = repository.read(&object).await? else {
        return Err(Refusal::overtaken(
            format!("{object} disappeared while it was being compared"),
            "try again",
        )
        .into());
    };
    let is_same = is_same(file, &object, format, &stored).await?;
    if is_same {
        // Whichever process stored it may have crashed before it was durable, and a put sees to that.
        repository.put(&object, stored.into(), PutMode::Create).await?;
    }
    Ok(is_same)
}

/// Why a file isn't stored whose name has another content. A human has to decide which of the two is right.
fn another_content(repository: &Repository, file: &WalFile, format: Format) -> Error {
    let history_of = match file.name {
        WalName::History(timeline) => Some(timeline),
        _ => None,
    };
    let refusal = Refusal::AnotherContent {
        object: file.object(format).to_string(),
        location: repository.location().to_owned(),
        path: file.path.display().to_string(),
        history_of,
    };
    refusal.into()
}

/// Whether `stored`, which `object` holds in this compression, unpacks to the content of `file`.
async fn is_same(file: &WalFile, object: &ObjectName, format: Format, stored: &[u8]) -> Result<bool> {
    let local = tokio::fs::File::from_std(file.reopen()?);
    let stored = decoder(format, stored);
    let (mut local, mut stored) = (Chunks::new(local), Chunks::new(stored));
    loop {
        let ours = local.next().await.map_err(Error::local("read", &file.path))?;
        let theirs = stored.next().await.map_err(|error| {
            let hint = "if the file here is right, --force replaces what is stored";
            Error::damaged(object, format!("{error}; {hint}"))
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
