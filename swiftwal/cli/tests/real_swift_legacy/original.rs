//! A container as SwiftWAL 0.2.2 left it. Neither that program nor this one writes it: `pg_basebackup`, `gzip` and
//! python-swiftclient do.

use std::{collections::BTreeSet, fs, path::Path, path::PathBuf, process::Command, sync::Arc};

use anyhow::{Context, Result, anyhow};
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use swiftwal_core::{Clock, Options, PrunePolicy, Repository, StorageClock, SystemClock, plan_prune, prune};
use xtask::{Container, Installation, Postgres, Scratch, Swiftwal, stdout, swift_test_settings};

use crate::PROGRAM;

/// The keys of the backups, oldest first. The second has lost its label, the third has kept its marker.
pub(crate) const KEYS: [&str; 3] = ["20130828T1810Z", "20130829T1125Z", "20130830T0200Z"];
/// A backup whose deletion was interrupted, and then the deletion of that deletion's sign as well, before its last
/// segment was removed.
pub(crate) const DELETED: &str = "20130827T0200Z";
/// A backup whose upload is running or has crashed.
pub(crate) const DYING: &str = "20130831T0200Z";
/// SwiftWAL 0.2.2 never removed the label of a backup that it had pruned.
pub(crate) const LOST_LABEL: &str = "backup_label_20130801T0200Z.txt";

/// The id of every upload.
pub(crate) const UPLOAD: &str = "6f1f6e5c-11e3-8a8f-0d8c1f3f5a10";
/// The number of segments, of 5 GiB each in SwiftWAL 0.2.2, and an empty one, as it stored if the backup filled the
/// last one.
const SEGMENTS: usize = 3;

/// The container, its cluster, and this program, configured for both.
pub(crate) struct Original {
    pub(crate) scratch: Arc<Scratch>,
    pub(crate) swiftwal: Swiftwal,
    pub(crate) postgres: Postgres,
    pub(crate) backups: Vec<Backup>,
    /// The directory of the WAL files that are in the container.
    pub(crate) wal: PathBuf,
    /// The rows after recovery of all the WAL.
    pub(crate) rows: (u64, String),
    /// The names of all objects.
    pub(crate) stored: BTreeSet<String>,
}

pub(crate) struct Backup {
    pub(crate) key: String,
    pub(crate) bytes: u64,
    pub(crate) label: String,
}

impl Original {
    pub(crate) fn new() -> Result<Self> {
        let scratch = Scratch::new(Installation::ensure()?)?;
        let swiftwal = Swiftwal::on_swift(&scratch, Path::new(PROGRAM), swift_test_settings()?)?;
        let wal = scratch.directory("wal")?;
        let archive = format!("archive_command = 'cp \"%p\" {}/%f'", wal.display());
        let postgres = Postgres::create(&scratch, "data", &[&archive])?;
        postgres.start()?;
        postgres.pgbench_init(1)?;
        let mut original = Self {
            scratch,
            swiftwal,
            postgres,
            backups: Vec::new(),
            wal,
            rows: (0, String::new()),
            stored: BTreeSet::new(),
        };
        original.fill()?;
        original.stored = original.objects()?;
        Ok(original)
    }

    fn fill(&mut self) -> Result<()> {
        let tree = self.scratch.path().join("container");
        fs::create_dir(&tree)?;
        for (key, wal) in KEYS.into_iter().zip(["none", "none", "fetch"]) {
            self.postgres.sql("update pgbench_accounts set abalance = abalance + 1 where aid % 100 = 0")?;
            let backup = self.back_up(key, wal, &tree)?;
            self.backups.push(backup);
        }
        self.postgres.archive_all()?;
        self.rows = self.postgres.rows()?;
        stdout(
            Command::new("sh")
                .current_dir(&self.wal)
                .args(["-euc", "for file in *; do gzip -c \"$file\" > \"../container/wal_$file.gz\"; done"]),
        )?;
        for (key, numbers) in [(DELETED, 2..=2), (DYING, 1..=1)] {
            for number in numbers {
                write(&tree.join(segment(key, number)), b"what is left of a segment")?;
            }
        }
        write(&tree.join(LOST_LABEL), b"START WAL LOCATION: 0/2000028")?;
        self.upload(&tree)?;
        let backups = KEYS.into_iter().chain([DELETED]).map(|key| (object(key), key));
        let uploads = [KEYS[2], DYING].map(|key| (format!("...uploading/{}/{UPLOAD}", object(key)), key));
        let deletion = (format!("...to_delete/...to_delete%2F{}", object(DELETED)), DELETED);
        self.put_manifests(backups.chain(uploads).chain([deletion]))
    }

    /// Takes a backup, and puts its segments and its label into `tree`.
    fn back_up(&self, key: &str, wal: &str, tree: &Path) -> Result<Backup> {
        let directory = self.scratch.path().join(format!("backup-{key}"));
        let mut pg_basebackup = self.postgres.client("pg_basebackup");
        pg_basebackup.args(["--format=tar", "--gzip", "--checkpoint=fast", "--wal-method", wal, "--pgdata"]);
        stdout(pg_basebackup.arg(&directory))?;
        let tar = directory.join("base.tar.gz");
        let content = fs::read(&tar)?;
        for (part, number) in content.chunks(content.len().div_ceil(SEGMENTS)).chain([&[][..]]).zip(1..) {
            write(&tree.join(segment(key, number)), part)?;
        }
        let label = stdout(Command::new("tar").arg("-xzOf").arg(&tar).arg("backup_label"))?;
        if key != KEYS[1] {
            write(&tree.join(format!("backup_label_{key}.txt")), label.as_bytes())?;
        }
        Ok(Backup { key: key.to_owned(), bytes: content.len() as u64, label })
    }

    fn upload(&self, tree: &Path) -> Result<()> {
        let mut swift = self.container()?.client(&["upload", self.container()?.name()]);
        for entry in fs::read_dir(tree)? {
            swift.arg(entry?.file_name());
        }
        stdout(swift.current_dir(tree)).map(drop)
    }

    /// Stores objects with these names that consist of the segments of a backup.
    fn put_manifests(&self, manifests: impl Iterator<Item = (String, &'static str)>) -> Result<()> {
        let container = self.container()?;
        let mut script = "eval \"$(swift auth)\"".to_owned();
        for (name, key) in manifests {
            let (container, name, object) = (container.name(), name.replace('%', "%25"), object(key));
            script += &format!(
                "\ncurl -sSf -X PUT -H \"X-Auth-Token: $OS_AUTH_TOKEN\" -H 'Content-Length: 0' \
                 -H 'X-Object-Manifest: {container}/...seg/{object}/{UPLOAD}/' \"$OS_STORAGE_URL/{container}/{name}\"",
            );
        }
        stdout(&mut container.shell(&script)).map(drop)
    }

    pub(crate) fn container(&self) -> Result<&Container> {
        self.swiftwal.place().container().context("it is on Swift")
    }

    /// Returns the names of all objects, including hidden ones.
    pub(crate) fn objects(&self) -> Result<BTreeSet<String>> {
        Ok(self.swiftwal.stored()?.into_iter().collect())
    }

    /// Returns the name of the oldest archived segment.
    pub(crate) fn first_segment(&self) -> Result<&str> {
        let mut wal =
            self.stored.iter().filter_map(|object| object.strip_prefix("wal_")?.strip_suffix(".gz"));
        wal.find(|name| name.len() == 24).context("the original has archived segments")
    }

    /// Runs this program on the container.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.swiftwal.command(arguments);
        stdout(command.envs(self.postgres.environment()))
    }

    /// Prunes as in 25 hours.
    pub(crate) fn prune_tomorrow(&self, keep_backups: u32) -> Result<()> {
        let container = self.container()?;
        let options =
            Options { settings: container.settings().iter().cloned().collect(), ..Options::default() };
        let location = self.swiftwal.place().url();
        let storage = swiftwal_backends::registry().open(&location.parse()?, &options)?;
        let storage = storage.with_clock(Arc::new(Tomorrow));
        let repository = Repository::new(storage, location, Arc::new(Tomorrow));
        let keep_backups = keep_backups.try_into()?;
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(async {
            let plan = plan_prune(&repository, &PrunePolicy::newest(keep_backups)).await?;
            prune(&repository, &plan).await.map_err(|error| anyhow!(error))
        })
    }
}

impl Backup {
    /// Returns the segment with which recovery begins.
    pub(crate) fn first_wal(&self) -> Result<String> {
        let (_, name) = self.label.split_once("(file ").context("a label names a file")?;
        Ok(name.split_once(')').context("a label closes its parentheses")?.0.to_owned())
    }
}

/// The clock of this machine and of the storage, 25 hours ahead.
#[derive(Debug)]
struct Tomorrow;

impl Clock for Tomorrow {
    fn now(&self) -> Timestamp {
        SystemClock.now() + SignedDuration::from_hours(25)
    }
}

#[async_trait]
impl StorageClock for Tomorrow {
    async fn now(&self) -> object_store::Result<Timestamp> {
        Ok(Clock::now(self))
    }
}

fn object(key: &str) -> String {
    format!("pg_basebackup_{key}.tgz")
}

fn segment(key: &str, number: u32) -> String {
    format!("...seg/{}/{UPLOAD}/{number:06}", object(key))
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(path, content).with_context(|| format!("writing {}", path.display()))
}
