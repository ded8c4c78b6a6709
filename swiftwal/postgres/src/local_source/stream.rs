//! The events of a local backup.
//!
//! The archives of the tablespaces come first, then that of the data directory. The control file is read when everything
//! else has been, then the server ends the backup: only then is the content of `backup_label` known. So the label is
//! near the end of its archive, and the control file is the last file of the cluster, as in PostgreSQL's archives.

use std::{collections::VecDeque, path::Path};

use async_trait::async_trait;
use tokio::{task::spawn_blocking, time::sleep_until};

use super::{
    chunk::{Chunk, FileSum},
    copy::Copy,
    damage::Damage,
    directory::DataDirectory,
    ending::Ending,
    failure::{shown, unexpected},
    manifest::{Manifest, ManifestFile},
    pace::Pace,
    page_checks::PageChecks,
    server::{Cluster, Server, Stop},
    sizes::archive_bytes,
    tablespace_map, wal,
    walk::Tree,
};
use crate::{
    BackupStart, BaseBackupEvent, BaseBackupRequest, BaseBackupStream, ChunkPool, ExpectedArchive, Lsn,
    SegmentSize, ServerFacts, SourceError, Tablespace, Timeline, segments_between,
};

/// The manifest is sent in pieces of about this size.
const MANIFEST_BYTES: usize = 256 << 10;

/// A base backup in progress. Dropping it ends the session, and with it the backup.
#[derive(Debug)]
pub(super) struct LocalStream {
    server: Server,
    directory: DataDirectory,
    start: (Lsn, Timeline),
    /// The segment size, if the WAL is included.
    included_wal: Option<SegmentSize>,
    checks: Option<PageChecks>,
    pace: Pace,
    pool: ChunkPool,
    /// Those outside of the data directory.
    tablespaces: Vec<Tablespace>,
    /// The archives that haven't begun.
    archives: VecDeque<Archive>,
    stage: Stage,
    /// How much of the current archive has been returned.
    position: u64,
    /// Of the current file, so far.
    crc32c: u32,
    manifest: Manifest,
    damage: Damage,
    /// What comes next, before anything else is read.
    ready: VecDeque<BaseBackupEvent>,
}

#[derive(Debug)]
struct Archive {
    tablespace: Option<Tablespace>,
    tree: Tree,
}

#[derive(Debug)]
enum Stage {
    BetweenArchives,
    Tablespace(Copy),
    DataDirectory(Copy),
    /// The end of the data directory's archive.
    Ending(Copy, Stop),
    Finished,
}

impl LocalStream {
    /// Begins a backup of the server whose data directory is given.
    pub(super) async fn start(
        mut server: Server,
        cluster: &Cluster,
        directory: DataDirectory,
        request: &BaseBackupRequest,
    ) -> Result<Self, SourceError> {
        let facts = server.facts().await?;
        let start = server.start(&request.label, request.checkpoint).await?;
        directory.check_started(start.0)?;
        let tablespaces = directory.tablespaces()?;
        let version = facts.postgres_version.clone().unwrap_or_default();
        let archives = archives(&directory, &tablespaces, &version);
        let segment_size = facts.segment_size;
        let unknown_size = || unexpected("the server's size of WAL segments is unknown");

        let mut begun = begun(start, facts, cluster);
        begun.archives = Some(expected(&archives, request.estimate_size).await?);
        let included_wal = request.include_wal.then(|| segment_size.ok_or_else(unknown_size)).transpose()?;
        Ok(Self {
            server,
            directory,
            start,
            included_wal,
            checks: checks(start.0, cluster).filter(|_| !request.copy.skips_checksums),
            pace: Pace::new(request.copy.max_rate),
            pool: ChunkPool::default(),
            tablespaces,
            archives,
            stage: Stage::BetweenArchives,
            position: 0,
            crc32c: 0,
            manifest: Manifest::new(&version, cluster.system_identifier),
            damage: Damage::default(),
            ready: VecDeque::from([BaseBackupEvent::Started(begun)]),
        })
    }

    fn begin_archive(&mut self) {
        let Some(Archive { tablespace, tree }) = self.archives.pop_front() else { return };
        self.position = 0;
        let is_tablespace = tablespace.is_some();
        let copy = Copy::start(0, self.checks, self.pool.clone(), move |planner| {
            planner.tree(&tree)?;
            if is_tablespace { planner.end() } else { Ok(()) }
        });
        self.stage = if is_tablespace { Stage::Tablespace(copy) } else { Stage::DataDirectory(copy) };
        self.ready.push_back(BaseBackupEvent::Archive { tablespace });
    }

    /// Ends the backup on the server, and begins the end of the archive.
    async fn stop(&mut self) -> Result<(), SourceError> {
        let control = self.directory.read_control()?;
        let stop = self.server.stop(self.start.1).await?;
        tablespace_map::check(&stop.tablespace_map, &self.tablespaces)?;
        let ending = Ending::new(&stop, control);
        for (name, content, modified) in ending.files() {
            let (name, bytes) = (Path::new(name), content.len() as u64);
            let crc32c = crc32c::crc32c(content);
            self.manifest.add(ManifestFile { name, bytes, modified, crc32c });
        }
        let wal = self.included_wal.map(|size| segments_between(self.start.1, self.start.0, stop.lsn, size));
        let directory = self.directory.path.clone();
        let copy = Copy::start(self.position, None, self.pool.clone(), move |planner| {
            ending.add(planner, wal.map(|segments| (&*directory, segments)))
        });
        self.stage = Stage::Ending(copy, stop);
        Ok(())
    }

    fn finish(&mut self, stop: &Stop) -> Result<(), SourceError> {
        if let Some(size) = self.included_wal {
            let segments = segments_between(self.start.1, self.start.0, stop.lsn, size);
            wal::ensure_kept(&self.directory.path, segments)?;
        }
        let text = self.manifest.finish(stop.timeline, (self.start.0, stop.lsn));
        self.ready.push_back(BaseBackupEvent::Manifest(text));
        self.ready.extend(self.damage.event());
        self.ready.push_back(BaseBackupEvent::Finished { lsn: stop.lsn, timeline: stop.timeline });
        Ok(())
    }

    fn take(&mut self, chunk: Chunk) {
        for name in &chunk.skipped {
            let text = format!("{} is neither a file nor a directory; the backup lacks it", shown(name));
            self.ready.push_back(BaseBackupEvent::Warning(text));
        }
        for piece in &chunk.files {
            self.ready.extend(self.damage.add(piece).into_iter().map(BaseBackupEvent::Warning));
            self.add_to_manifest(piece);
        }
        if self.manifest.len() >= MANIFEST_BYTES {
            self.ready.push_back(BaseBackupEvent::Manifest(self.manifest.take()));
        }
        self.position += chunk.data.len() as u64;
        if !chunk.data.is_empty() {
            self.ready.push_back(BaseBackupEvent::Data(chunk.data));
        }
    }

    /// The included WAL isn't in the manifest: it is checked when it is replayed.
    fn add_to_manifest(&mut self, piece: &FileSum) {
        let FileSum { member, bytes, crc32c, is_last, .. } = piece;
        self.crc32c = match self.crc32c {
            // The same, and far slower to calculate: most files have one piece.
            0 => *crc32c,
            before => crc32c::crc32c_combine(before, *crc32c, *bytes),
        };
        if *is_last {
            let crc32c = std::mem::take(&mut self.crc32c);
            if !member.name.starts_with("pg_wal") {
                let (name, bytes, modified) = (member.name.as_path(), member.bytes, member.modified);
                self.manifest.add(ManifestFile { name, bytes, modified, crc32c });
            }
        }
    }

    /// Returns the next chunk of the current archive; `None` at its end. A lost session is noticed at once.
    async fn chunk(&mut self) -> Result<Option<Chunk>, SourceError> {
        let copy = match &mut self.stage {
            Stage::Tablespace(copy) | Stage::DataDirectory(copy) | Stage::Ending(copy, _) => copy,
            Stage::BetweenArchives | Stage::Finished => return Ok(None),
        };
        let pace = &mut self.pace;
        let paced = async {
            let chunk = copy.next().await?;
            let bytes = chunk.as_ref().map_or(0, |chunk| chunk.data.len());
            sleep_until(pace.add(bytes)).await;
            Ok(chunk)
        };
        tokio::select! {
            biased;
            chunk = paced => chunk,
            error = self.server.lost() => Err(error),
        }
    }

    async fn advance(&mut self) -> Result<(), SourceError> {
        if let Some(chunk) = self.chunk().await? {
            self.take(chunk);
            return Ok(());
        }
        match std::mem::replace(&mut self.stage, Stage::BetweenArchives) {
            Stage::DataDirectory(_) => self.stop().await,
            Stage::Ending(_, stop) => {
                self.stage = Stage::Finished;
                self.finish(&stop)
            }
            Stage::BetweenArchives | Stage::Tablespace(_) | Stage::Finished => {
                self.begin_archive();
                Ok(())
            }
        }
    }
}

#[async_trait]
impl BaseBackupStream for LocalStream {
    async fn next(&mut self) -> Result<Option<BaseBackupEvent>, SourceError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            if matches!(self.stage, Stage::Finished) {
                return Ok(None);
            }
            self.advance().await?;
        }
    }
}

fn begun((lsn, timeline): (Lsn, Timeline), facts: ServerFacts, cluster: &Cluster) -> BackupStart {
    let mut begun = BackupStart::new(lsn, timeline);
    begun.system_identifier = Some(facts.system_identifier);
    begun.postgres_version = facts.postgres_version;
    begun.segment_size = facts.segment_size;
    begun.data_checksums = Some(cluster.data_checksums);
    begun
}

/// Without data checksums there is nothing to check.
fn checks(start: Lsn, cluster: &Cluster) -> Option<PageChecks> {
    let Cluster { page_bytes, segment_blocks, data_checksums, .. } = *cluster;
    data_checksums.then_some(PageChecks { start, page_bytes, segment_blocks })
}

/// Returns the archives in the order in which they come.
fn archives(directory: &DataDirectory, tablespaces: &[Tablespace], major_version: &str) -> VecDeque<Archive> {
    let data_directory = Archive { tablespace: None, tree: directory.tree(tablespaces) };
    let archive = |tablespace: &Tablespace| {
        let tree = directory.tablespace_tree(tablespace, major_version);
        Archive { tablespace: Some(tablespace.clone()), tree }
    };
    tablespaces.iter().map(archive).chain([data_directory]).collect()
}

async fn expected(
    archives: &VecDeque<Archive>,
    with_sizes: bool,
) -> Result<Vec<ExpectedArchive>, SourceError> {
    let mut expected = Vec::new();
    for Archive { tablespace, tree } in archives {
        let bytes = if with_sizes {
            let tree = tree.clone();
            let bytes = spawn_blocking(move || archive_bytes(&tree)).await;
            Some(bytes.map_err(|error| unexpected("the size can't be estimated").caused_by(error))??)
        } else {
            None
        };
        expected.push(ExpectedArchive { tablespace: tablespace.clone(), bytes });
    }
    Ok(expected)
}
