//! Reads the object that holds a WAL file, in whichever compression it is stored.
//!
//! restore-wal and the readers of timeline histories call it. A wrong "absent" makes PostgreSQL promote, and a wrong
//! failure stops a recovery whose WAL is there: so every name that the file can have is asked for, whatever became
//! of the others, and only proof from all of them counts as absence.

use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream::FuturesUnordered};
use swiftwal_compression::Format;
use swiftwal_postgres::WalName;
use tokio::time::timeout;

use crate::{
    error::{Error, Result},
    repository::{Repository, layout::ObjectName},
};

/// How long one compression is waited for before the next one is asked for as well, and the others when one has failed.
/// While a storage can't prove that an object is absent, asking for one that isn't there can take minutes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Is told the size of an object that is going to be read.
pub(crate) type ObserveSize<'a> = &'a (dyn Fn(u64) + Send + Sync);

/// The content of the object that holds `name`, and how it is compressed.
///
/// It asks for every compression there is, the likeliest first, and relies on no list of those in use, which may be
/// outdated. A file that isn't there, and yet is listed, is not absent.
pub(crate) async fn find(
    repository: &Repository,
    name: WalName,
    observe_size: ObserveSize<'_>,
) -> Result<(Format, Bytes)> {
    if let Some(found) = ask(repository, name, Format::ALL, observe_size).await? {
        return Ok(found);
    }
    let location = repository.location().to_owned();
    // SwiftWAL 0.2.2 left no cluster.json; but a place with nothing at all is no archive.
    if repository.cluster().await?.is_none() && repository.is_empty().await? {
        return Err(Error::NoRepository { location });
    }
    match repository.listed_wal(name).await? {
        Some(format) => listed(repository, name, format).await,
        None => Err(Error::WalAbsent { name, location }),
    }
}

/// The file by its names in `formats`, the likeliest first; none if the storage proved that it is under none of them.
pub(crate) async fn ask(
    repository: &Repository,
    name: WalName,
    formats: impl IntoIterator<Item = Format>,
    observe_size: ObserveSize<'_>,
) -> Result<Option<(Format, Bytes)>> {
    let mut failed: Option<Error> = None;
    let mut formats = formats.into_iter().fuse();
    let mut asked = FuturesUnordered::new();
    loop {
        let next = formats.next();
        if let Some(format) = next {
            let object = ObjectName::Wal { name, format };
            asked.push(async move { (format, repository.read_observed(&object, observe_size).await) });
        }
        let patience = if next.is_none() && failed.is_none() { Duration::MAX } else { PATIENCE };
        let answer = timeout(patience, asked.next()).await;
        match answer {
            Ok(Some((format, Ok(Some(stored))))) => return Ok(Some((format, stored))),
            Ok(Some((_, Err(error)))) => failed = failed.or(Some(error)),
            Ok(None) if next.is_none() => return failed.map_or(Ok(None), Err),
            Err(_) if next.is_none() => failed.take().map_or(Ok(()), Err)?,
            Ok(Some((_, Ok(None))) | None) | Err(_) => {}
        }
    }
}

/// The content of a file that wasn't there when it was asked for, and is listed: it was stored meanwhile, or the
/// storage has lost it, or it was pruned and the listing lags. Swift sets aside an object that it finds damaged, and
/// answers from then on that there is no such object.
async fn listed(repository: &Repository, name: WalName, format: Format) -> Result<(Format, Bytes)> {
    let object = ObjectName::Wal { name, format };
    let stored = repository.read(&object).await?;
    let hint = "if it wasn't pruned just now and a server's pg_wal still has the file, store it again with archive-wal";
    stored
        .map(|stored| (format, stored))
        .ok_or_else(|| Error::damaged(object, format!("it is listed but can't be read; {hint}")))
}
