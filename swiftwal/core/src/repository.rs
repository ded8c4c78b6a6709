//! A repository: the objects of one PostgreSQL cluster, read and written by name.

pub(crate) mod backup;
pub(crate) mod choice;
pub(crate) mod clocks;
pub(crate) mod cluster;
pub(crate) mod completeness;
pub(crate) mod decimal;
pub(crate) mod history;
pub(crate) mod index;
pub(crate) mod inventory;
pub(crate) mod key;
pub(crate) mod label;
pub(crate) mod layout;
pub(crate) mod legacy;
pub(crate) mod legacy_traces;
pub(crate) mod markers;
pub(crate) mod needs;
pub(crate) mod preflight;
pub(crate) mod record;
pub(crate) mod seen;
pub(crate) mod segment_check;
pub(crate) mod strangers;
pub(crate) mod tar_stream;
pub(crate) mod timelines;
pub(crate) mod understood;
pub(crate) mod wal_object;
pub(crate) mod wal_variant;

use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, OnceLock},
};

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use object_store::{
    Attributes, GetResult, GetResultPayload, ObjectStoreExt, PutMode, PutOptions, PutPayload, path::Path,
};
use swiftwal_compression::Format;
use swiftwal_postgres::WalName;

use crate::{
    error::{Error, ErrorKind, Result},
    local::{clock::Clock, state_dir::StateDir},
    repository::{
        cluster::{ClusterIdentity, ClusterInfo},
        inventory::{Inventory, StoredObject, touched},
        key::BackupKey,
        layout::{BackupPart, ObjectName},
        record::BackupRecord,
        wal_object::ObserveSize,
    },
    storage::Storage,
};

/// The stored base backups and WAL of one PostgreSQL cluster.
///
/// Cheap to clone: clones share the storage.
#[derive(Clone, Debug)]
pub struct Repository {
    storage: Storage,
    location: Arc<str>,
    clock: Arc<dyn Clock>,
    /// What `cluster.json` said when it was first read.
    first_read: Arc<OnceLock<ClusterInfo>>,
    anew: bool,
}

/// How often a compression is added to `cluster.json` while others overwrite it.
const FORMAT_TRIES: u32 = 5;

/// The most that an object may have which is read as a whole, other than a WAL file. Only a damaged or forged one has
/// more.
const SMALL_OBJECT_BYTES: u64 = 16 << 20;

/// The most that a WAL file may have as stored: PostgreSQL's largest segment, and what compression adds to random
/// bytes.
const WAL_BYTES: u64 = (1 << 30) + (16 << 20);

/// What became of a conditional put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    Stored,
    NameTaken,
}

impl Repository {
    /// The repository in `storage`. `location` is how messages call it, and must hold no secret.
    pub fn new(storage: Storage, location: impl Into<String>, clock: Arc<dyn Clock>) -> Self {
        Self { storage, location: location.into().into(), clock, first_read: Arc::default(), anew: false }
    }

    /// Lets archive-wal and backup start a new repository where this machine has seen one that has vanished.
    #[must_use]
    pub fn starting_anew(self, anew: bool) -> Self {
        Self { anew, ..self }
    }

    /// How messages call it.
    #[must_use]
    pub fn location(&self) -> &str {
        &self.location
    }

    /// The storage beneath.
    #[must_use]
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Whose repository this is; none as long as nothing of a cluster was stored.
    ///
    /// # Errors
    /// [`Error::NewerFormat`], [`Error::NotUnderstood`] and [`Error::Damaged`], apart from the storage's own.
    pub async fn cluster(&self) -> Result<Option<ClusterInfo>> {
        let name = ObjectName::Cluster;
        let Some(bytes) = self.read(&name).await? else { return Ok(None) };
        let parsed = ClusterInfo::from_bytes(&name, &bytes);
        if let Ok(info) = &parsed {
            let _ = self.first_read.set(info.clone());
        }
        let info = parsed.map_err(|error| match error {
            Error::Damaged { object, reason } => Error::damaged(
                format!("{object} in {}", self.location),
                format!(
                    "{reason}; put a good copy back, or delete it: archive-wal --create and backup --create write it again"
                ),
            ),
            error => error,
        })?;
        self.note_seen(&info);
        Ok(Some(info))
    }

    /// As above, without a request if it was read before: the identity never changes.
    pub(crate) async fn cluster_once(&self) -> Result<Option<ClusterInfo>> {
        match self.first_read.get() {
            Some(known) => Ok(Some(known.clone())),
            None => self.cluster().await,
        }
    }

    /// Remembers on this machine what was seen, unless that would hide that another repository was seen before.
    fn note_seen(&self, info: &ClusterInfo) {
        let Some(state_dir) = self.storage.state_dir() else { return };
        let found = info.identity.system_identifier;
        if state_dir.seen().is_none_or(|seen| seen.system_identifier == found) {
            state_dir.remember(self.clock.now(), info);
        }
    }

    /// Remembers on this machine that the repository is there, after something else than `cluster.json` was read from
    /// it. Does nothing where that could cost a request each time.
    pub(crate) async fn note_read(&self) {
        if self.storage.state_dir().is_some() && self.storage.identity_cache().is_none() && !self.is_proven()
        {
            // Whoever writes to it, or deletes from it, will be told what is wrong with it.
            drop(self.cluster().await);
        }
    }

    /// Whose repository this is, for a command that stores: none if it is new.
    ///
    /// # Errors
    /// As [`cluster`](Self::cluster); [`Error::NotAsSeen`] where it isn't new to this machine, and has vanished.
    pub(crate) async fn cluster_or_new(&self) -> Result<Option<ClusterInfo>> {
        let found = self.cluster().await?;
        if found.is_none() && !self.anew {
            self.refuse_other_than_seen(None)?;
        }
        Ok(found)
    }

    /// Checks that this is a repository, and the one that this machine knows, for a command that deletes.
    ///
    /// # Errors
    /// As [`cluster`](Self::cluster); [`Error::NotAsSeen`]; [`Error::NoRepository`] where that can be told at once.
    pub(crate) async fn check_before_deleting(&self) -> Result<()> {
        let found = self.cluster().await?;
        self.refuse_other_than_seen(found.as_ref())?;
        if found.is_none() && !self.shows_ours_at_its_top().await? {
            return Err(Error::NoRepository { location: self.location.to_string() });
        }
        Ok(())
    }

    fn refuse_other_than_seen(&self, found: Option<&ClusterInfo>) -> Result<()> {
        let found = found.map(|info| info.identity.system_identifier);
        let seen = self.storage.state_dir().and_then(|state_dir| Some((state_dir, state_dir.seen()?)));
        match seen {
            Some((state_dir, seen)) if found != Some(seen.system_identifier) => Err(Error::NotAsSeen {
                location: self.location.to_string(),
                date: seen.date(),
                expected: seen.system_identifier,
                found,
                state: state_dir.path().to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// As [`refuse_unknown`](Self::refuse_unknown), without a request where this machine read `cluster.json` within the
    /// last minutes. What it reads is noted on this machine.
    ///
    /// # Errors
    /// [`Error::NewerFormat`], [`Error::NotUnderstood`].
    pub async fn refuse_unknown_unless_seen(&self) -> Result<()> {
        let now = self.clock.now();
        let cache = self.storage.identity_cache();
        if cache.is_some_and(|state_dir| StateDir::up_to_date(state_dir, now).is_some()) {
            return Ok(());
        }
        match self.cluster().await {
            Err(error @ (Error::NewerFormat { .. } | Error::NotUnderstood { .. })) => Err(error),
            Ok(Some(known)) => {
                cache.inspect(|state_dir| state_dir.remember(now, &known));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Refuses a repository that demands more than this program knows. That `cluster.json` can't be read is left for
    /// what needs it.
    ///
    /// # Errors
    /// [`Error::NewerFormat`], [`Error::NotUnderstood`].
    pub async fn refuse_unknown(&self) -> Result<()> {
        match self.cluster().await {
            Err(error @ (Error::NewerFormat { .. } | Error::NotUnderstood { .. })) => Err(error),
            _ => Ok(()),
        }
    }

    /// Checks that the repository belongs to the cluster `identity`, or claims it if it belongs to none yet, and
    /// sees to it that `cluster.json` names `format`. Returns every compression that a WAL file here may have.
    ///
    /// A file that doesn't tell whose it is comes without identity: it is taken on trust.
    ///
    /// # Errors
    /// [`Error::Refused`] where the repository belongs to another cluster; [`Error::NotAsSeen`].
    pub(crate) async fn claim(
        &self,
        identity: Option<&ClusterIdentity>,
        format: Option<Format>,
    ) -> Result<BTreeSet<Format>> {
        let known = match (self.cluster_or_new().await?, identity) {
            (Some(known), _) => known,
            (None, None) => return Ok(Format::ALL.into()),
            (None, Some(identity)) => self.found(identity, format).await?,
        };
        match identity {
            Some(identity) => known.check(identity, &self.location)?,
            None if self.anew => {}
            None => self.refuse_other_than_seen(Some(&known))?,
        }
        let known = match format {
            Some(format) if !known.wal_formats.contains(&format) => self.add_format(known, format).await?,
            _ => known,
        };
        if let Some(state_dir) = self.storage.state_dir() {
            state_dir.remember(self.clock.now(), &known);
        }
        Ok(known.wal_formats)
    }

    /// As above, without a request if this machine saw a moment ago that nothing is to be done.
    pub(crate) async fn claim_unless_known(
        &self,
        identity: Option<&ClusterIdentity>,
        format: Format,
    ) -> Result<BTreeSet<Format>> {
        let now = self.clock.now();
        let known = self.storage.identity_cache().and_then(|state_dir| StateDir::up_to_date(state_dir, now));
        let fits = |known: &ClusterInfo| {
            let is_ours = identity.is_none_or(|identity| known.check(identity, &self.location).is_ok());
            // In several compressions, the file is looked for in the others, and Swift only proves an absence without its
            // container servers right after it has given something of the container: so cluster.json is read.
            is_ours && known.wal_formats.iter().eq([&format])
        };
        match known.filter(fits) {
            Some(known) => Ok(known.wal_formats),
            None => self.claim(identity, Some(format)).await,
        }
    }

    /// Adds a compression to `cluster.json`. Another process may overwrite it at the same time, so it checks again, a few
    /// times. A format that is lost all the same costs an archive-wal its look for the same file in that format.
    async fn add_format(&self, mut known: ClusterInfo, format: Format) -> Result<ClusterInfo> {
        for _ in 0..FORMAT_TRIES {
            if !known.wal_formats.insert(format) {
                break;
            }
            self.write_cluster(&known, PutMode::Overwrite).await?;
            known = self.cluster().await?.unwrap_or(known);
        }
        Ok(known)
    }

    /// Writes the first `cluster.json`, unless another process was faster.
    async fn found(&self, identity: &ClusterIdentity, format: Option<Format>) -> Result<ClusterInfo> {
        // SwiftWAL 0.2.2 left no cluster.json, so there may be WAL of other compressions already.
        let stored = self.list().await?.unwrap_or_default().wal;
        let wal_formats = stored.iter().map(|wal| wal.format).chain(format).collect();
        let new = ClusterInfo::new(identity.clone(), wal_formats);
        self.write_cluster(&new, PutMode::Create).await?;
        // Read back, whatever the answer: on some storage two may be told that theirs was stored.
        let stands = self.cluster().await?;
        stands.ok_or_else(|| Error::damaged(ObjectName::Cluster, "it was written, and can't be read"))
    }

    async fn write_cluster(&self, info: &ClusterInfo, mode: PutMode) -> Result<Put> {
        let name = ObjectName::Cluster;
        let mut bytes = serde_json::to_vec_pretty(info).map_err(|error| Error::damaged(&name, error))?;
        bytes.push(b'\n');
        self.put(&name, bytes.into(), mode).await
    }

    /// The commit record of a backup.
    ///
    /// # Errors
    /// [`Error::UnknownBackup`] where it has none, [`Error::Damaged`], [`Error::NewerFormat`],
    /// [`Error::NotUnderstood`], and [`Error::Stranger`] where it is the record of another backup or cluster.
    pub async fn record(&self, key: BackupKey) -> Result<BackupRecord> {
        match self.record_if_there(key).await? {
            Some(record) => Ok(record),
            None => Err(self.unknown_backup(key).await),
        }
    }

    /// The commit record of a backup; none if it is proven absent.
    pub(crate) async fn record_if_there(&self, key: BackupKey) -> Result<Option<BackupRecord>> {
        let name = BackupRecord::object_name(key);
        let Some(bytes) = self.read(&name).await? else { return Ok(None) };
        let record = BackupRecord::from_bytes(key, &bytes)?;
        self.refuse_stranger(&record, self.system_identifier().await?)?;
        Ok(Some(record))
    }

    /// PostgreSQL's system identifier of the cluster it belongs to; none where `cluster.json` is missing.
    pub(crate) async fn system_identifier(&self) -> Result<Option<u64>> {
        Ok(self.cluster_once().await?.map(|info| info.identity.system_identifier))
    }

    /// What to say where the backup `wanted` isn't there.
    pub(crate) async fn unknown_backup(&self, wanted: impl ToString + Send) -> Error {
        let keys: Vec<_> = match self.inventory().await {
            Ok(inventory) => inventory.backups.iter().map(|backup| backup.key.to_string()).collect(),
            Err(error) if error.kind() == ErrorKind::Failed => {
                let (wanted, location) = (wanted.to_string(), self.location.to_string());
                return Error::UnknownBackup {
                    wanted,
                    location,
                    hint: format!("which there are isn't known: {error}"),
                };
            }
            Err(error) => return error,
        };
        let location = self.location.to_string();
        let hint = match keys.as_slice() {
            [] => return Error::NoBackup { location },
            [only] => format!("there is {only}"),
            [oldest, .., newest] => {
                format!("there are {}, from {oldest} to {newest}; see list-backups", keys.len())
            }
        };
        Error::UnknownBackup { wanted: wanted.to_string(), location, hint }
    }

    /// Everything that is stored, by one listing.
    ///
    /// A listing may lag behind on some storage: nothing is absent because it isn't in here.
    ///
    /// # Errors
    /// [`Error::NoRepository`] where nothing at all is listed: an unmounted disk looks like that; and those of the
    /// storage.
    pub async fn inventory(&self) -> Result<Inventory> {
        match self.list().await? {
            Some(inventory) => Ok(inventory),
            None => Err(Error::NoRepository { location: self.location.to_string() }),
        }
    }

    /// As [`inventory`](Self::inventory), for a caller that deletes: asks the storage itself for commit records that the
    /// listing doesn't show yet.
    pub(crate) async fn inventory_with_every_record(&self) -> Result<Inventory> {
        let mut inventory = self.inventory().await?;
        for key in inventory.without_record() {
            let name = BackupRecord::object_name(key);
            if let Some(bytes) = self.size(&name).await? {
                inventory.commit(key, StoredObject { name, bytes });
            }
        }
        Ok(inventory)
    }

    /// Everything that is stored; none where there is nothing at all.
    pub(crate) async fn list(&self) -> Result<Option<Inventory>> {
        if !self.is_proven() && !self.shows_ours_at_its_top().await? {
            return Ok(None);
        }
        let mut objects = self.storage.store().list(None);
        let mut builder = Inventory::builder();
        let mut is_empty = true;
        while let Some(object) = objects.try_next().await.map_err(self.failed("list", "objects"))? {
            let name = object.location.as_ref();
            is_empty &= !is_ours(name);
            builder.add(name, object.size, touched(&object));
            let is_tar = || {
                let name = ObjectName::parse(object.location.as_ref());
                matches!(name, ObjectName::Backup { part: BackupPart::Tar { .. }, .. })
            };
            if object.size > self.storage.limits().part_bytes as u64 && is_tar() {
                builder.keep(object);
            }
        }
        if is_empty {
            return Ok(None);
        }
        self.note_read().await;
        Ok(Some(builder.finish()))
    }

    /// Whether nothing of a repository is listed here.
    pub(crate) async fn is_empty(&self) -> Result<bool> {
        if !self.shows_ours_at_its_top().await? {
            return Ok(true);
        }
        let mut objects = self.storage.store().list(None);
        while let Some(object) = objects.try_next().await.map_err(self.failed("list", "objects"))? {
            if is_ours(object.location.as_ref()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether it was seen to be a repository: its `cluster.json` was read.
    fn is_proven(&self) -> bool {
        self.first_read.get().is_some()
    }

    /// Whether a name of ours is at the storage's top; true where a look costs as much as a listing.
    async fn shows_ours_at_its_top(&self) -> Result<bool> {
        match self.storage.top_names() {
            Some(names) => names.any(is_ours).await.map_err(self.failed("list", "objects")),
            None => Ok(true),
        }
    }

    /// The compression in which restore-wal finds this WAL file; none if it is proven absent.
    pub(crate) async fn wal_format(&self, name: WalName) -> Result<Option<Format>> {
        for format in Format::ALL {
            if self.size(&ObjectName::Wal { name, format }).await?.is_some() {
                return Ok(Some(format));
            }
        }
        Ok(None)
    }

    /// A compression in which a listing shows this WAL file.
    pub(crate) async fn listed_wal(&self, name: WalName) -> Result<Option<Format>> {
        // What comes before every name of it: listings are asked for what comes after.
        let mut before = ObjectName::Wal { name, format: Format::None }.to_string();
        before.pop();
        let mut objects = self.storage.store().list_with_offset(None, &Path::from(before));
        while let Some(object) = objects.try_next().await.map_err(self.failed("list", "objects"))? {
            if let ObjectName::Wal { name: listed, format } = ObjectName::parse(object.location.as_ref())
                && listed == name
            {
                return Ok(Some(format));
            }
        }
        Ok(None)
    }

    /// The content of an object; none if it is proven to be missing.
    ///
    /// # Errors
    /// [`Error::Damaged`] also where it is larger than any such object can be: it isn't read then.
    pub(crate) async fn read(&self, name: &ObjectName) -> Result<Option<Bytes>> {
        self.read_observed(name, &|_| {}).await
    }

    /// As [`read`](Self::read); `observe_size` is told how many bytes are going to be read.
    pub(crate) async fn read_observed(
        &self,
        name: &ObjectName,
        observe_size: ObserveSize<'_>,
    ) -> Result<Option<Bytes>> {
        let Some(object) = self.open(name).await? else { return Ok(None) };
        let expected = object.meta.size;
        observe_size(expected);
        let limit = most_bytes(name);
        if expected > limit {
            let reason = format!("it has {expected} bytes, and such an object has {limit} at most");
            return Err(Error::damaged(name, reason));
        }
        let bytes = whole(object).await.map_err(self.failed("read", name))?;
        if bytes.len() as u64 != expected {
            let reason = match bytes.len() as u64 {
                came if came > expected => format!("more than its {expected} bytes came"),
                came => format!("{came} of its {expected} bytes came"),
            };
            return Err(Error::damaged(name, reason));
        }
        Ok(Some(bytes))
    }

    /// An object, to be read as a stream; none if it is proven absent.
    pub(crate) async fn open(&self, name: &ObjectName) -> Result<Option<GetResult>> {
        absent_is_none(self.storage.store().get(&path(name)).await).map_err(self.failed("read", name))
    }

    /// The size of an object; none if it is proven absent.
    pub(crate) async fn size(&self, name: &ObjectName) -> Result<Option<u64>> {
        let head = absent_is_none(self.storage.store().head(&path(name)).await);
        Ok(head.map_err(self.failed("look at", name))?.map(|meta| meta.size))
    }

    /// Stores an object completely and durably, or not at all.
    pub(crate) async fn put(&self, name: &ObjectName, payload: PutPayload, mode: PutMode) -> Result<Put> {
        let options = PutOptions { mode, attributes: Attributes::new(), ..PutOptions::default() };
        match self.storage.store().put_opts(&path(name), payload, options).await {
            Ok(_) => Ok(Put::Stored),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Put::NameTaken),
            Err(source) => Err(self.failed("write", name)(source)),
        }
    }

    /// The same for a name that nothing should have, and that is taken all the same if something has it: on some
    /// storage, replacing costs a look at what is there.
    pub(crate) async fn put_new(&self, name: &ObjectName, payload: PutPayload) -> Result<()> {
        if self.put(name, payload.clone(), PutMode::Create).await? == Put::NameTaken {
            self.put(name, payload, PutMode::Overwrite).await?;
        }
        Ok(())
    }

    /// Deletes an object; one that is already gone is no error.
    pub(crate) async fn delete(&self, name: &ObjectName) -> Result<()> {
        let deleted = absent_is_none(self.storage.store().delete(&path(name)).await);
        deleted.map(drop).map_err(self.failed("delete", name))
    }

    /// Proves that objects can be removed here, by storing and deleting an empty one: a command that is going to remove
    /// something fails here before it says so. That a full storage takes no object proves nothing against it.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn check_removal(&self) -> Result<()> {
        let probe = path(&ObjectName::Hidden("...removing".to_owned()));
        let store = self.storage.store();
        match store.put(&probe, PutPayload::new()).await {
            Err(error) if self.storage.is_full(&error) => return Ok(()),
            stored => drop(stored.map_err(self.failed("remove", "objects"))?),
        }
        absent_is_none(store.delete(&probe).await).map(drop).map_err(self.failed("remove", "objects"))
    }

    /// Deletes many objects, as few requests as the storage can; those already gone are no error.
    ///
    /// They go in no particular order, and all that can go are gone when an error is returned.
    pub(crate) async fn delete_all(
        &self,
        names: impl Iterator<Item = ObjectName> + Send + 'static,
    ) -> Result<()> {
        let paths = futures::stream::iter(names.map(|name| Ok(path(&name))));
        let mut deleted = self.storage.store().delete_stream(Box::pin(paths));
        let mut outcome = Ok(());
        loop {
            match absent_is_none(deleted.try_next().await) {
                Ok(Some(None)) => return outcome,
                Ok(_) => {}
                Err(source) => outcome = Err(self.failed("delete", "objects")(source)),
            }
        }
    }

    /// What to say where an object of a backup isn't there.
    pub(crate) fn missing(&self, object: impl ToString) -> Error {
        Error::Missing { object: object.to_string(), location: self.location.to_string() }
    }

    /// For `map_err`: what was being done to which object.
    pub(crate) fn failed<'a>(
        &'a self,
        action: &'static str,
        object: impl ToString + 'a,
    ) -> impl FnOnce(object_store::Error) -> Error + 'a {
        move |source| Error::Storage {
            action,
            object: object.to_string(),
            location: self.location.to_string(),
            hint: self.storage.hint(&source),
            source: match source {
                // Say nothing that their source doesn't say in better words.
                object_store::Error::Generic { source, .. }
                | object_store::Error::Unauthenticated { source, .. }
                | object_store::Error::PermissionDenied { source, .. } => source,
                source => Box::new(source),
            },
        }
    }

    /// What an error while reading `object` as a stream means: the storage's own trouble, or damage.
    pub(crate) fn unreadable(&self, object: &ObjectName, error: io::Error) -> Error {
        match error.downcast::<object_store::Error>() {
            Ok(source) => self.failed("read", object)(source),
            Err(error) => Error::damaged(object, error),
        }
    }
}

/// Whether a name at the top of a storage is one that this program writes, or the directory of such names.
fn is_ours(name: &str) -> bool {
    !matches!(ObjectName::parse(name), ObjectName::Foreign(_))
}

/// The most bytes that an object may have which is read as a whole.
fn most_bytes(name: &ObjectName) -> u64 {
    let is_wal = matches!(name, ObjectName::Wal { .. } | ObjectName::WalVariant { .. });
    if is_wal { WAL_BYTES } else { SMALL_OBJECT_BYTES }
}

/// The content of an object; where more comes than its size says, the beginning of it.
async fn whole(object: GetResult) -> object_store::Result<Bytes> {
    let expected = object.meta.size;
    let GetResultPayload::Stream(mut stream) = object.payload else {
        // A file is read up to the size that it had when it was opened.
        return object.bytes().await;
    };
    let mut content = BytesMut::with_capacity(usize::try_from(expected).unwrap_or(usize::MAX));
    while let Some(piece) = stream.try_next().await? {
        content.extend_from_slice(&piece);
        if content.len() as u64 > expected {
            break;
        }
    }
    Ok(content.freeze())
}

/// Where an object lies in the store: under that very name, percent signs included.
pub(crate) fn path(name: &ObjectName) -> Path {
    let name = name.to_string();
    Path::parse(&name).unwrap_or_else(|_| Path::from(name))
}

fn absent_is_none<T>(answer: object_store::Result<T>) -> object_store::Result<Option<T>> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use object_store::memory::InMemory;

    use super::*;
    use crate::{local::clock::SystemClock, storage::TopNames};

    #[derive(Debug)]
    struct Top(&'static [&'static str]);

    #[async_trait]
    impl TopNames for Top {
        async fn any(&self, wanted: for<'a> fn(&'a str) -> bool) -> object_store::Result<bool> {
            Ok(self.0.iter().any(|name| wanted(name)))
        }
    }

    #[tokio::test]
    async fn a_place_with_no_name_of_ours_at_its_top_is_not_listed() {
        let store = InMemory::new();
        store.put(&"wal_00000002.history".into(), "x".into()).await.unwrap();
        let store = Arc::new(store);
        for (top, is_repository) in
            [(&["home", "etc"][..], false), (&["home", "...uploading"], true), (&["cluster.json"], true)]
        {
            let storage = Storage::new(Arc::<InMemory>::clone(&store)).with_top_names(Arc::new(Top(top)));
            let repository = Repository::new(storage, "x", Arc::new(SystemClock));
            assert_eq!(repository.inventory().await.is_ok(), is_repository, "{top:?}");
            assert_eq!(repository.is_empty().await.unwrap(), !is_repository, "{top:?}");
        }
    }
}
