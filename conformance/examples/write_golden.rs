//! Writes a golden repository: a sample of a version of the format, which a test of every later version reads.
//!
//! Run it once for each version of the format, when that is final, and commit the result:
//!
//! ```sh
//! cargo run -p swiftwal-conformance --example write_golden -- conformance/golden/v1
//! ```
//!
//! The sample contains two backups on two timelines, the second in several objects; their WAL in every compression,
//! with a `.backup` file, a history and two contents of a `.partial` file; and the leftovers of a crashed backup.
//! Beside it are the expected results.

use std::{fmt::Write as _, fs, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use swiftwal_compression::{Codec, Format};
use swiftwal_conformance::{Entry, SourceFault, SyntheticCluster, SyntheticSource, Tree};
use swiftwal_core::{
    ArchiveOptions, BackupMode, BackupOptions, BackupRecord, Limits, Options, Repository, SystemClock,
    archive_wal, backup,
};
use swiftwal_postgres::{BaseBackupRequest, Checkpoint, WalName};
use url::Url;

#[tokio::main]
async fn main() -> Result<()> {
    let place = std::env::args().nth(1).context("usage: write_golden DIRECTORY")?;
    fs::create_dir(&place)?;
    let place = fs::canonicalize(place)?;
    let golden = Golden {
        repository: open(&place.join("repository"))?,
        scratch: tempfile::tempdir()?,
        wal: String::new(),
    };
    golden.write(&place).await
}

fn open(directory: &Path) -> Result<Repository> {
    let location = Url::from_directory_path(directory).ok().context("the directory has no URL")?;
    let options = Options { create: true, ..Options::default() };
    let storage = swiftwal_backends::registry().open(&location, &options)?;
    // Each object contains one frame of a tar.
    let limits = Limits { max_object_bytes: 1, ..storage.limits() };
    Ok(Repository::new(storage.with_limits(limits), "the golden repository", Arc::new(SystemClock)))
}

struct Golden {
    repository: Repository,
    scratch: tempfile::TempDir,
    /// A line for each WAL file: the hash of its content, and its name.
    wal: String,
}

impl Golden {
    async fn write(mut self, place: &Path) -> Result<()> {
        let first = SyntheticCluster::new(1)
            .with_table_bytes(3000)
            .with_tablespace(16384, "/srv/golden")
            .with_file("base/caf\u{e9}", "a name that isn't ASCII\n");
        let second = first.promoted().with_file("base/long", &"0123456789abcde\n".repeat(6 << 16));
        for number in 3..=5 {
            self.archive_segment(
                &first,
                number,
                [Format::Zstd, Format::Gzip, Format::Lz4][number as usize % 3],
            )
            .await?;
        }
        self.back_up(place, &first.backup(3, 4), Format::Zstd).await?;
        let (name, text) = first.backup_history(3);
        self.archive(name, text.as_bytes(), Format::None).await?;
        let (name, text) = second.history(&[(first.timeline(), 5)]);
        self.archive(name, text.as_bytes(), Format::Zstd).await?;
        let partial = WalName::Partial(first.segment_name(6));
        self.archive(partial, &segment(&first, 6), Format::Zstd).await?;
        let mut other = segment(&first, 6);
        other[9000] = 1;
        self.archive_file(partial, &other, Format::Zstd).await?;
        for number in 5..=7 {
            self.archive_segment(&second, number, Format::Zstd).await?;
        }
        self.back_up(place, &second.backup(6, 6), Format::Lz4).await?;
        self.die_in_a_backup(&second.backup(7, 7).with_fault(SourceFault::StallsAfter(5 << 20))).await?;
        forget_machine(&place.join("repository/...uploading"))?;
        fs::write(place.join("wal.b3"), &self.wal)?;
        Ok(())
    }

    async fn archive_segment(
        &mut self,
        cluster: &SyntheticCluster,
        number: u64,
        format: Format,
    ) -> Result<()> {
        self.archive(cluster.wal_name(number), &segment(cluster, number), format).await
    }

    async fn archive(&mut self, name: WalName, content: &[u8], format: Format) -> Result<()> {
        writeln!(self.wal, "{}  {name}", blake3::hash(content))?;
        self.archive_file(name, content, format).await
    }

    async fn archive_file(&self, name: WalName, content: &[u8], format: Format) -> Result<()> {
        let file = self.scratch.path().join(name.to_string());
        fs::write(&file, content)?;
        let options = ArchiveOptions { codec: Codec::from(format), ..ArchiveOptions::default() };
        archive_wal(&self.repository, &file, &options).await?;
        Ok(())
    }

    /// Takes a backup, and records the expected result of restoring it.
    async fn back_up(&self, place: &Path, source: &SyntheticSource, format: Format) -> Result<BackupRecord> {
        let options = options(format);
        let record = backup(&self.repository, source, &options, &|_| {}, std::future::pending()).await?;
        let request = BaseBackupRequest::new(options.label);
        let mut expected = content(&source.data_directory(&request), "");
        for (_, tree) in source.tablespaces() {
            expected.push_str(&content(&tree, "tablespace/"));
        }
        fs::write(place.join(format!("{}.b3", record.key)), expected)?;
        Ok(record)
    }

    /// Begins a backup, and ends it as a crash would.
    async fn die_in_a_backup(&self, source: &SyntheticSource) -> Result<()> {
        let options = options(Format::Lz4);
        let taken = backup(&self.repository, source, &options, &|_| {}, std::future::pending());
        let died = tokio::time::timeout(Duration::from_secs(5), taken).await;
        anyhow::ensure!(died.is_err(), "the backup didn't stall: {died:?}");
        Ok(())
    }
}

/// Replaces the host and process in the markers below `directory`.
fn forget_machine(directory: &Path) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            forget_machine(&path)?;
            continue;
        }
        let mut marker: serde_json::Value = serde_json::from_slice(&fs::read(&path)?)?;
        (marker["host"], marker["pid"]) = ("db1".into(), 4711.into());
        fs::write(&path, marker.to_string())?;
    }
    Ok(())
}

fn options(format: Format) -> BackupOptions {
    BackupOptions {
        label: "golden".to_owned(),
        mode: BackupMode::Full,
        checkpoint: Checkpoint::Fast,
        include_wal: false,
        codec: Codec::from(format),
        archive_timeout: Duration::from_secs(60),
        copy: swiftwal_postgres::CopyOptions::default(),
        estimate_size: false,
    }
}

/// A segment that compresses well: a first page, followed by zeros.
fn segment(cluster: &SyntheticCluster, number: u64) -> Vec<u8> {
    let mut bytes = cluster.segment(number);
    bytes[100..].fill(0);
    bytes
}

/// Returns a line for each file: its hash and its name.
fn content(tree: &Tree, prefix: &str) -> String {
    let files = tree.iter().filter_map(|(path, entry)| match entry {
        Entry::File { bytes, .. } => Some(format!("{}  {prefix}{path}\n", blake3::hash(bytes))),
        Entry::Directory { .. } | Entry::Link { .. } => None,
    });
    files.collect()
}
