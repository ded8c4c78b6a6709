//! The golden repositories: this version reads what each version of the format stored.
//!
//! They are never written again. A change of the format gets a new repository (`examples/write_golden.rs`), and the
//! older ones are kept.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use swiftwal_core::{
    BackupChoice, Clock, Error, Options, PrunePolicy, Repository, RestoreOptions, SystemClock, plan_prune,
    prune, restore, restore_wal, timelines,
};
use tempfile::TempDir;
use url::Url;

/// The files that a restore writes or changes.
const CHANGED: [&str; 3] = ["postgresql.auto.conf", "recovery.signal", "tablespace_map"];

/// A copy of a golden repository, as if it had been written two days ago.
struct Golden {
    place: PathBuf,
    copy: TempDir,
    repository: Repository,
}

impl Golden {
    fn new(version: &str) -> Result<Self> {
        let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(version);
        let copy = tempfile::tempdir()?;
        copy_of_old(&place.join("repository"), &copy.path().join("repository"))?;
        let location =
            Url::from_directory_path(copy.path().join("repository")).ok().context("it has no URL")?;
        let storage = swiftwal_backends::registry().open(&location, &Options::default())?;
        let repository = Repository::new(storage, "the golden repository", Arc::new(SystemClock));
        Ok(Self { place, copy, repository })
    }

    /// Returns the lines of an expectation, each the hash of a content and its name.
    fn expected(&self, file: &str) -> Result<BTreeSet<String>> {
        Ok(fs::read_to_string(self.place.join(file))?.lines().map(str::to_owned).collect())
    }

    async fn assert_restorable(&self, choice: BackupChoice, key: &str) -> Result<()> {
        let directory = self.copy.path().join(format!("restored-{key}"));
        let tablespace = self.copy.path().join(format!("tablespace-{key}"));
        let options = RestoreOptions {
            restore_command: "false".to_owned(),
            tablespace_mapping: vec![("/srv/golden".into(), tablespace.clone())],
            ..RestoreOptions::default()
        };
        let restored = restore(&self.repository, choice, &directory, &options, &|_| {}).await?;
        assert_eq!(restored.key.to_string(), key);
        let mut found = contents(&directory, "")?;
        found.extend(contents(&tablespace, "tablespace/")?);
        let expected = self.expected(&format!("{key}.b3"))?;
        // The locations of tablespaces are new, and a restore adds its settings.
        let is_changed = |line: &&String| CHANGED.contains(&&line[66..]);
        let missing: Vec<_> = expected.difference(&found).filter(|line| !is_changed(line)).collect();
        let added: Vec<_> = found.difference(&expected).filter(|line| !is_changed(line)).collect();
        assert!(missing.is_empty() && added.is_empty(), "missing {missing:#?}, added {added:#?}");
        Ok(())
    }
}

fn copy_of_old(from: &Path, to: &Path) -> Result<()> {
    let old = SystemTime::from(SystemClock.now()) - Duration::from_secs(2 * 86_400);
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_of_old(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
            File::options().write(true).open(&target)?.set_modified(old)?;
        }
    }
    Ok(())
}

/// Returns a line for each file below `directory`: its hash and its name.
fn contents(directory: &Path, prefix: &str) -> Result<BTreeSet<String>> {
    let mut lines = BTreeSet::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().display());
        if entry.file_type()?.is_dir() {
            lines.extend(contents(&entry.path(), &format!("{name}/"))?);
        } else if entry.file_type()?.is_file() {
            lines.insert(format!("{}  {name}", blake3::hash(&fs::read(entry.path())?)));
        }
    }
    Ok(lines)
}

fn names(directory: &Path) -> Result<BTreeSet<String>> {
    Ok(contents(directory, "")?.into_iter().map(|line| line[66..].to_owned()).collect())
}

#[tokio::test]
async fn version_1_is_listed_restored_and_pruned() -> Result<()> {
    let golden = Golden::new("v1")?;
    let repository = &golden.repository;
    let inventory = repository.inventory().await?;
    let keys: Vec<_> = inventory.backups.iter().map(|backup| backup.key.to_string()).collect();
    let [first, second] = keys.as_slice() else { panic!("{keys:?}") };
    let known: Vec<_> = timelines(repository).await?.iter().map(|branch| branch.timeline.get()).collect();
    assert_eq!(known, [1, 2]);

    golden.assert_restorable(BackupChoice::Key(first.parse()?), first).await?;
    golden.assert_restorable(BackupChoice::Latest, second).await?;
    let wal = golden.expected("wal.b3")?;
    assert_eq!(inventory.wal.iter().map(|wal| wal.name).collect::<BTreeSet<_>>().len(), wal.len());
    for line in &wal {
        let (hash, name) = line.split_once("  ").context("a hash and a name")?;
        let path = golden.copy.path().join("RECOVERYXLOG");
        restore_wal(repository, name.parse()?, &path, &|_| {}).await?;
        assert_eq!(blake3::hash(&fs::read(&path)?).to_string(), hash, "{name}");
    }

    let directory = golden.copy.path().join("repository");
    assert!(names(&directory)?.iter().any(|name| name.starts_with("...uploading/")));
    let policy = PrunePolicy::newest(NonZeroU32::MIN);
    let plan = plan_prune(repository, &policy).await?;
    prune(repository, &plan).await?;
    let left: Vec<_> = names(&directory)?.into_iter().filter(|name| !name.starts_with("wal_")).collect();
    let is_of_the_second = |name: &String| name.contains(second.as_str()) || name == "cluster.json";
    assert!(left.iter().all(is_of_the_second), "{left:?}");
    assert!(left.len() > 5, "{left:?}");
    fs::remove_dir_all(golden.copy.path().join(format!("restored-{second}")))?;
    fs::remove_dir_all(golden.copy.path().join(format!("tablespace-{second}")))?;
    golden.assert_restorable(BackupChoice::Latest, second).await?;
    let path = golden.copy.path().join("RECOVERYXLOG");
    let absent = restore_wal(repository, "000000010000000000000003".parse()?, &path, &|_| {}).await;
    assert!(matches!(absent, Err(Error::WalAbsent { .. })), "{absent:?}");
    restore_wal(repository, "000000020000000000000006".parse()?, &path, &|_| {}).await?;
    Ok(())
}
