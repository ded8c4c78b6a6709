//! A repository: the objects of one PostgreSQL cluster, read and written by name.

use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{Attributes, GetResult, ObjectStoreExt, PutMode, PutOptions, PutPayload, path::Path};
use swiftwal_compression::Format;
use swiftwal_postgres::WalName;

use crate::{
    BackupKey, BackupPart, BackupRecord, Clock, ClusterIdentity, ClusterInfo, Error, ErrorKind, Inventory,
    ObjectName, Result, Storage,
    inventory::{InventoryBuilder, StoredObject, touched},
    memory::Memory,
};

/// The stored base backups and WAL of one PostgreSQL cluster.
///
/// Cheap to clone: clones share the storage.
#[derive(Clone, Debug)]
pub struct Repository {
    storage: Storage,
    location: Arc<str>,
    clock: Arc<dyn Clock>,
    /// Of the cluster it belongs to, once `cluster.json` was read.
    system_identifier: Arc<OnceLock<u64>>,
}

/// How often a compression is added to `cluster.json` while others overwrite it.
const FORMAT_TRIES: u32 = 5;

/// What became of a conditional put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    Stored,
    NameTaken,
}

impl Repository {
    /// The repository in `storage`. `location` is how messages call it, and must hold no secret.
    pub fn new(storage: Storage, location: impl Into<String>, clock: Arc<dyn Clock>) -> Self {
        Self { storage, location: location.into().into(), clock, system_identifier: Arc::default() }
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
        let info = ClusterInfo::from_bytes(&name, &bytes);
        if let Ok(info) = &info {
            // It never changes, so the first one read stands.
            let _ = self.system_identifier.set(info.identity.system_identifier);
        }
        info.map(Some).map_err(|error| match error {
            Error::Damaged { object, reason } => Error::damaged(
                format!("{object} in {}", self.location),
                format!(
                    "{reason}; put a good copy back, or delete it: archive-wal and backup write it again"
                ),
            ),
            error => error,
        })
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

    /// Checks that the repository belongs to the cluster `identity`, makes it so where it was nobody's yet, and
    /// sees to it that `cluster.json` names `format`. Returns every compression that a WAL file here may have.
    ///
    /// A file that doesn't tell whose it is comes without identity: it is taken on trust.
    ///
    /// # Errors
    /// [`Error::Refused`] where the repository belongs to another cluster.
    pub(crate) async fn claim(
        &self,
        identity: Option<&ClusterIdentity>,
        format: Option<Format>,
    ) -> Result<BTreeSet<Format>> {
        let known = match (self.cluster().await?, identity) {
            (Some(known), _) => known,
            (None, None) => return Ok(Format::ALL.into()),
            (None, Some(identity)) => self.found(identity, format).await?,
        };
        if let Some(identity) = identity {
            known.check(identity, &self.location)?;
        }
        let known = match format {
            Some(format) if !known.wal_formats.contains(&format) => self.add_format(known, format).await?,
            _ => known,
        };
        if let Some(memory) = self.storage.memory() {
            Memory::new(memory).remember(self.clock.now(), &known);
        }
        Ok(known.wal_formats)
    }

    /// The same, without a request where this machine saw a moment ago that nothing is to be done.
    pub(crate) async fn claim_unless_known(
        &self,
        identity: Option<&ClusterIdentity>,
        format: Format,
    ) -> Result<BTreeSet<Format>> {
        let known = self.storage.memory().and_then(|memory| Memory::new(memory).recall(self.clock.now()));
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

    /// Adds a compression to `cluster.json`. Who does so at the same time may overwrite it: so it looks again, a few
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

    /// Writes the first `cluster.json`; where somebody else was faster, theirs stands.
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
        match self.system_identifier.get() {
            Some(known) => Ok(Some(*known)),
            None => Ok(self.cluster().await?.map(|info| info.identity.system_identifier)),
        }
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

    /// The same for who is going to delete something: where a listing lags behind, and doesn't show a commit record yet,
    /// the storage itself is asked for it. Backups whose record isn't theirs are set aside.
    pub(crate) async fn inventory_with_every_record(&self) -> Result<Inventory> {
        let mut inventory = self.inventory().await?;
        for key in inventory.without_record() {
            let name = BackupRecord::object_name(key);
            if let Some(bytes) = self.size(&name).await? {
                inventory.commit(key, StoredObject { name, bytes });
            }
        }
        self.set_strangers_aside(&mut inventory).await?;
        Ok(inventory)
    }

    /// Everything that is stored; none where there is nothing at all.
    pub(crate) async fn list(&self) -> Result<Option<Inventory>> {
        let mut objects = self.storage.store().list(None);
        let mut builder = None;
        while let Some(object) = objects.try_next().await.map_err(self.failed("list", "objects"))? {
            let builder = builder.get_or_insert_with(Inventory::builder);
            builder.add(object.location.as_ref(), object.size, touched(&object));
            let is_tar = || {
                let name = ObjectName::parse(object.location.as_ref());
                matches!(name, ObjectName::Backup { part: BackupPart::Tar { .. }, .. })
            };
            if object.size > self.storage.part_bytes() as u64 && is_tar() {
                builder.keep(object);
            }
        }
        Ok(builder.map(InventoryBuilder::finish))
    }

    /// Whether anything at all is stored here.
    pub(crate) async fn is_empty(&self) -> Result<bool> {
        let first = self.storage.store().list(None).try_next().await;
        Ok(first.map_err(self.failed("list", "objects"))?.is_none())
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

    /// The whole of an object; none if it is proven absent.
    pub(crate) async fn read(&self, name: &ObjectName) -> Result<Option<Bytes>> {
        let Some(object) = self.open(name).await? else { return Ok(None) };
        let expected = object.meta.size;
        let bytes = object.bytes().await.map_err(self.failed("read", name))?;
        if bytes.len() as u64 != expected {
            return Err(Error::damaged(name, format!("{} of its {expected} bytes came", bytes.len())));
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

    /// Stores an object whole and durably, or not at all.
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
    /// something fails here before it says so.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn check_removal(&self) -> Result<()> {
        let probe = path(&ObjectName::Hidden("...removing".to_owned()));
        let store = self.storage.store();
        store.put(&probe, PutPayload::new()).await.map_err(self.failed("remove", "objects"))?;
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
