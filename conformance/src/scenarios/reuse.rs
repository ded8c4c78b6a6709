//! Scenarios of restore: directories with files of the same cluster, and what an interrupted restore left.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use swiftwal_core::{
    BackupChoice, BackupKey, Error, ErrorKind, RestoreEvent, RestoreOptions, Reuse, plan_restore, restore,
};

use super::site::{Site, request, restore_options, shown};
use crate::{
    SyntheticCluster, Tree,
    faulty::{Faults, ReadFault},
    subject::Subject,
};

const MARKER: &str = "swiftwal_restore_in_progress";

pub(crate) async fn a_delta_restore_leaves_what_a_fresh_one_would(subject: Subject) -> Result<()> {
    let site = Site::of(subject, cluster())?;
    let keys = [back_up(&site, 3).await?, back_up(&site, 4).await?];
    let elsewhere = site.subject.path("elsewhere");
    fs::create_dir(&elsewhere)?;
    fs::write(elsewhere.join("precious"), "x")?;
    for has_wal_directory in [false, true] {
        let place = Place::new(&site, has_wal_directory);
        site.restore_into(BackupChoice::Key(keys[0]), &place.data, &place.options).await?;
        for key in [keys[0], keys[1], keys[0]] {
            spoil(&place.data, &elsewhere)?;
            let stats = site.restore_into(BackupChoice::Key(key), &place.data, &place.delta()).await?;
            assert!(stats.kept_files > 0 && stats.kept_files < stats.files, "{stats:?}");
            place.assert_equal(&fresh(&site, key, &place).await?)?;
            assert!(!place.data.join(MARKER).exists());
        }
    }
    assert_eq!(Tree::read(&elsewhere)?.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["precious"]);
    Ok(())
}

pub(crate) async fn a_delta_restore_fetches_only_what_differs(subject: Subject) -> Result<()> {
    let site = Site::of(subject, SyntheticCluster::new(1).with_table_bytes(24 << 20))?;
    let record = site.take_with_wal(&site.cluster.backup(3, 3)).await?;
    let stored: u64 =
        record.objects.iter().filter(|object| object.tar_bytes.is_some()).map(|object| object.bytes).sum();
    let directory = site.subject.path("pgdata");
    site.restore_into(BackupChoice::Latest, &directory, &restore_options()).await?;
    fs::write(directory.join("pg_xact/0000"), [7; 8192])?;
    let options = RestoreOptions { reuse: Reuse::Cluster, ..restore_options() };
    let faults = Faults::none();
    let repository = site.subject.repository_with(&faults)?;
    let stats = restore(&repository, BackupChoice::Latest, &directory, &options, &|_| {}).await?;
    let fetched = stats.fetched_bytes.context("what was fetched is counted")?;
    assert!(fetched < stored / 2, "{fetched} of {stored}");
    let tar = format!("pg_basebackup_{}.tar.zst", record.key);
    let reads = faults.reads().iter().filter(|object| **object == tar).count();
    assert!((1..=4).contains(&reads), "{:?}", faults.reads());
    Ok(())
}

pub(crate) async fn a_dry_run_over_a_cluster_says_how_much_may_be_kept_and_changes_nothing(
    subject: Subject,
) -> Result<()> {
    let site = Site::of(subject, cluster())?;
    let keys = [back_up(&site, 3).await?, back_up(&site, 4).await?];
    for has_wal_directory in [false, true] {
        let place = Place::new(&site, has_wal_directory);
        site.restore_into(BackupChoice::Key(keys[0]), &place.data, &place.options).await?;
        let before = place.trees()?;
        fs::write(place.data.join("base/1/1003"), "")?;
        let choice = BackupChoice::Key(keys[0]);
        let plan = plan_restore(&site.repository, choice, &place.data, &place.delta(), &|_| {}).await?;
        let existing = plan.existing.context("the directory isn't empty")?;
        fs::write(place.data.join("base/1/1003"), b"another")?;
        let stats = site.restore_into(choice, &place.data, &place.delta()).await?;
        assert_eq!((existing.files, existing.may_be_kept), (stats.files, stats.kept_files), "{existing:?}");
        assert_eq!(Some(existing.stored_bytes), stats.fetched_bytes);
        place.assert_equal(&before)?;
    }
    Ok(())
}

pub(crate) async fn an_empty_directory_is_filled_by_a_delta_restore_as_by_any_other(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    let key = back_up(&site, 3).await?;
    for reuse in [Reuse::Cluster, Reuse::Interrupted] {
        let place = Place::new(&site, false);
        let options = RestoreOptions { reuse, ..place.options.clone() };
        let stats = site.restore_into(BackupChoice::Key(key), &place.data, &options).await?;
        assert_eq!((stats.kept_files, stats.fetched_bytes), (0, None));
        place.assert_equal(&fresh(&site, key, &place).await?)?;
    }
    Ok(())
}

pub(crate) async fn a_directory_that_is_not_the_same_stopped_cluster_is_refused_and_not_changed(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    back_up(&site, 3).await?;
    let [ours, others] = [1, 2].map(|seed| SyntheticCluster::new(seed).backup(4, 4));
    let write = |path: &Path, bytes: &[u8]| {
        fs::create_dir_all(path.parent().unwrap_or(path)).and_then(|()| fs::write(path, bytes))
    };
    let lay_out = |tree: &Tree| -> Result<PathBuf> {
        let directory = site.subject.new_path("pgdata");
        for (path, entry) in tree.iter() {
            if let crate::Entry::File { bytes, .. } = entry {
                write(&directory.join(path), bytes)?;
            }
        }
        Ok(directory)
    };
    let trees = [ours, others].map(|source| source.data_directory(&request(false)));
    let running = lay_out(&trees[0])?;
    fs::write(running.join("postmaster.pid"), "1\n/data\n")?;
    let damaged = lay_out(&trees[0])?;
    fs::write(damaged.join("global/pg_control"), "x")?;
    let home = site.subject.new_path("home");
    write(&home.join("notes"), b"x")?;
    for (directory, reuse, reason) in [
        (&running, Reuse::Cluster, "contains postmaster.pid of process 1"),
        (&running, Reuse::Interrupted, "contains postmaster.pid"),
        (&damaged, Reuse::Cluster, "isn't the data directory of a cluster"),
        (&home, Reuse::Cluster, "isn't the data directory of a cluster"),
        (&home, Reuse::Interrupted, "isn't what an interrupted restore left"),
        (&lay_out(&trees[1])?, Reuse::Cluster, "belongs to another cluster"),
        (&lay_out(&trees[0])?, Reuse::Interrupted, "isn't what an interrupted restore left"),
        (&lay_out(&trees[0])?, Reuse::Nothing, "is not empty"),
    ] {
        let options = RestoreOptions { reuse, ..restore_options() };
        let error = site.refuse_restore(BackupChoice::Latest, directory, &options).await?;
        assert!(error.kind() == ErrorKind::Refused && error.to_string().contains(reason), "{error}");
    }
    Ok(())
}

/// Another cluster's tablespace must not be taken for this one's.
pub(crate) async fn only_the_clusters_own_directories_of_tablespaces_are_reused(
    subject: Subject,
) -> Result<()> {
    let site = Site::of(subject, cluster())?;
    let key = back_up(&site, 3).await?;
    let place = Place::new(&site, false);
    site.restore_into(BackupChoice::Key(key), &place.data, &place.options).await?;
    let foreign = site.subject.new_path("foreign");
    fs::create_dir_all(foreign.join("PG_15_202209061"))?;
    let options =
        RestoreOptions { tablespace_mapping: vec![("/srv/fast".into(), foreign.clone())], ..place.delta() };
    let error = site.refuse_restore(BackupChoice::Key(key), &place.data, &options).await?;
    assert!(error.to_string().contains("is not empty"), "{error}");
    assert!(place.data.join("global/pg_control").exists() && !place.data.join(MARKER).exists());

    // Another program's file in a directory of the cluster isn't touched.
    fs::write(place.space.join("notes"), "x")?;
    let moved = site.subject.new_path("moved");
    site.restore_into(BackupChoice::Key(key), &place.data, &place.delta()).await?;
    assert_eq!(fs::read(place.space.join("notes"))?, b"x");
    let options = RestoreOptions { tablespace_mapping: vec![("/srv/fast".into(), moved)], ..place.delta() };
    let (_, notices) =
        Site::restore_noting(&site.repository, BackupChoice::Key(key), &place.data, &options).await?;
    let notices = notices.concat();
    let space = place.space.canonicalize()?.display().to_string();
    assert!(notices.contains("used before") && notices.contains(&space), "{notices}");
    assert!(place.space.join("PG_15_202209061").exists());
    Ok(())
}

pub(crate) async fn an_interrupted_restore_can_not_be_started_and_is_completed_by_the_same_command(
    subject: Subject,
) -> Result<()> {
    let site = Site::of(subject, cluster())?;
    let keys = [back_up(&site, 3).await?, back_up(&site, 4).await?];
    let (mut n, mut left) = (1, 0);
    // The last calls belong to the tars; then no fault strikes.
    loop {
        let place = Place::new(&site, n % 2 == 0);
        let key = BackupChoice::Key(keys[1]);
        let (faults, delta) = (Faults::at_read(n, ReadFault::Fails), n % 3 != 0);
        let options = if delta {
            site.restore_into(BackupChoice::Key(keys[0]), &place.data, &place.options).await?;
            place.delta()
        } else {
            RestoreOptions { reuse: Reuse::Interrupted, ..place.options.clone() }
        };
        let repository = site.subject.repository_with(&faults)?;
        let interrupted = restore(&repository, key, &place.data, &options, &|_| {}).await;
        if faults.reads().len() < n {
            interrupted?;
            break;
        }
        if interrupted.is_err() && place.data.join(MARKER).exists() {
            left += 1;
            assert!(!place.data.join("global/pg_control").exists());
            let error = site.refuse_restore(key, &place.data, &place.options).await?;
            assert!(shown(&error).contains("use --resume to complete it"), "{error}");
        }
        // Either option completes it.
        let resumed = RestoreOptions { reuse: Reuse::Interrupted, ..place.options.clone() };
        let is_complete = place.data.join("global/pg_control").exists();
        let again = if left % 2 == 0 || is_complete { place.delta() } else { resumed };
        site.restore_into(key, &place.data, &again).await.with_context(|| format!("after fault {n}"))?;
        place.assert_equal(&fresh(&site, keys[1], &place).await?)?;
        n += 1;
    }
    assert!(left > 2, "it was interrupted {left} times");
    Ok(())
}

pub(crate) async fn a_dropped_delta_restore_is_completed_by_the_next(subject: Subject) -> Result<()> {
    let site = Site::of(subject, SyntheticCluster::new(1).with_table_bytes(20 << 20))?;
    let keys = [back_up(&site, 3).await?, back_up(&site, 4).await?];
    let place = Place::new(&site, false);
    site.restore_into(BackupChoice::Key(keys[0]), &place.data, &place.options).await?;
    let (sender, mut progress) = tokio::sync::mpsc::unbounded_channel();
    let observe = |event: RestoreEvent<'_>| {
        if let RestoreEvent::Progress { .. } = event {
            let _ = sender.send(());
        }
    };
    let options = place.delta();
    tokio::select! {
        outcome = restore(&site.repository, BackupChoice::Latest, &place.data, &options, &observe) => {
            panic!("it can't be done before its last file is written: {outcome:?}")
        }
        written = progress.recv() => assert!(written.is_some()),
    }
    // The first one ends in its own threads, and keeps the directory locked until then.
    let stats = loop {
        match site.restore_into(BackupChoice::Latest, &place.data, &options).await {
            Err(Error::Refused(refusal)) if refusal.to_string().contains("another process is restoring") => {
                tokio::task::yield_now().await;
            }
            outcome => break outcome?,
        }
    };
    assert_eq!(stats.key, keys[1]);
    place.assert_equal(&fresh(&site, keys[1], &place).await?)
}

pub(crate) async fn without_an_index_nothing_is_reused_and_nothing_changed(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let key = back_up(&site, 3).await?;
    let place = Place::new(&site, false);
    site.restore_into(BackupChoice::Key(key), &place.data, &place.options).await?;
    let object = format!("pg_basebackup_{key}.index.zst");
    let stored = site.subject.get(&object).await?;
    site.subject.put(&object, stored.slice(..stored.len() - 1)).await?;
    let error = site.refuse_restore(BackupChoice::Key(key), &place.data, &place.delta()).await?;
    assert!(shown(&error).contains("restore into an empty directory"), "{error}");
    Ok(())
}

pub(crate) async fn a_delta_restore_removes_neither_a_repository_nor_what_is_roots(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    let key = back_up(&site, 3).await?;
    let place = Place::new(&site, false);
    site.restore_into(BackupChoice::Key(key), &place.data, &place.options).await?;
    let (backups, found) = (place.data.join("more/backups"), place.data.join("base/lost+found"));
    fs::create_dir_all(&backups)?;
    fs::write(backups.join("cluster.json"), "{}")?;
    fs::create_dir_all(&found)?;
    fs::write(found.join("#7"), "roots")?;
    let error = site.refuse_restore(BackupChoice::Key(key), &place.data, &place.delta()).await?;
    assert!(shown(&error).contains("contains a repository"), "{error}");

    fs::remove_file(backups.join("cluster.json"))?;
    site.restore_into(BackupChoice::Key(key), &place.data, &place.delta()).await?;
    assert!(!place.data.join("more").exists());
    assert_eq!(fs::read(found.join("#7"))?, b"roots");
    Ok(())
}

pub(crate) async fn wal_that_is_not_stored_is_given_up_only_if_asked(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let key = back_up(&site, 3).await?;
    for is_linked in [false, true] {
        let place = Place::new(&site, false);
        site.restore_into(BackupChoice::Key(key), &place.data, &place.options).await?;
        let wal = place.data.join("pg_wal");
        let kept = if is_linked { site.subject.new_path("linked") } else { wal.clone() };
        if is_linked {
            move_directory(&wal, &kept)?;
            symlink(&kept, &wal)?;
        }
        fs::create_dir_all(kept.join("archive_status"))?;
        fs::write(kept.join("archive_status/0000000100000000000000AA.ready"), "")?;
        fs::write(kept.join("0000000100000000000000AA"), "wal")?;
        let error = site.refuse_restore(BackupChoice::Key(key), &place.data, &place.delta()).await?;
        let told = shown(&error);
        assert!(told.contains("1 of the files") && told.contains("--discard-wal"), "{told}");

        let options = RestoreOptions { discard_wal: true, ..place.delta() };
        site.restore_into(BackupChoice::Key(key), &place.data, &options).await?;
        assert!(!wal.join("0000000100000000000000AA").exists());
        assert_eq!(kept.join("0000000100000000000000AA").exists(), is_linked);
    }
    Ok(())
}

/// A cluster with a tablespace, whose backups have several frames. Its server was started after a restore that was
/// interrupted before its first change.
fn cluster() -> SyntheticCluster {
    let cluster = SyntheticCluster::new(1).with_table_bytes(9 << 20).with_tablespace(16400, "/srv/fast");
    cluster.with_file(MARKER, "backup 20130828T1810Z, by process 1 on host db1, of cluster 7\n")
}

async fn back_up(site: &Site, number: u64) -> Result<BackupKey> {
    let record = site.take_with_wal(&site.cluster.backup(number, number)).await?;
    site.wait_hours(1);
    Ok(record.key)
}

/// The directories of a restore.
struct Place {
    data: PathBuf,
    space: PathBuf,
    wal: Option<PathBuf>,
    options: RestoreOptions,
}

impl Place {
    fn new(site: &Site, has_wal_directory: bool) -> Self {
        let has_space = site.cluster.backup(3, 3).tablespaces().next().is_some();
        let (data, space) = (site.subject.new_path("pgdata"), site.subject.new_path("space"));
        let wal = has_wal_directory.then(|| site.subject.new_path("wal"));
        let tablespace_mapping =
            if has_space { vec![("/srv/fast".into(), space.clone())] } else { Vec::new() };
        let options = RestoreOptions { tablespace_mapping, wal_directory: wal.clone(), ..restore_options() };
        Self { data, space, wal, options }
    }

    fn delta(&self) -> RestoreOptions {
        RestoreOptions { reuse: Reuse::Cluster, ..self.options.clone() }
    }

    fn trees(&self) -> Result<Vec<Tree>> {
        let directories =
            [Some(&self.data), Some(&self.space).filter(|space| space.exists()), self.wal.as_ref()];
        directories.into_iter().flatten().map(|directory| Ok(Tree::read(directory)?)).collect()
    }

    /// Compares the content with that of a fresh restore.
    fn assert_equal(&self, fresh: &[Tree]) -> Result<()> {
        for (found, fresh) in self.trees()?.iter().zip(fresh) {
            let differences = fresh.differences(found);
            assert!(differences.is_empty(), "{differences:#?}");
        }
        Ok(())
    }
}

/// Returns the content of a fresh restore into the same directories, which keep their content.
async fn fresh(site: &Site, key: BackupKey, place: &Place) -> Result<Vec<Tree>> {
    let directories =
        [Some(&place.data), Some(&place.space).filter(|space| space.exists()), place.wal.as_ref()];
    let aside = |directory: &Path| directory.with_extension("aside");
    for directory in directories.into_iter().flatten() {
        move_directory(directory, &aside(directory))?;
    }
    site.restore_into(BackupChoice::Key(key), &place.data, &place.options).await?;
    let trees = place.trees()?;
    for directory in directories.into_iter().flatten() {
        fs::remove_dir_all(directory)?;
        move_directory(&aside(directory), directory)?;
    }
    Ok(trees)
}

#[expect(clippy::disallowed_methods, reason = "nothing is published")]
fn move_directory(from: &Path, to: &Path) -> Result<()> {
    Ok(fs::rename(from, to)?)
}

/// Changes a data directory in each way in which it can differ from a backup.
fn spoil(data: &Path, elsewhere: &Path) -> Result<()> {
    fs::write(data.join("pg_xact/0000"), [1; 8192])?;
    fs::write(data.join("base/1/1003"), "")?;
    fs::remove_file(data.join("postgresql.conf"))?;
    fs::write(data.join("postgresql.auto.conf"), "work_mem = '1TB'\n")?;
    fs::set_permissions(data.join("PG_VERSION"), fs::Permissions::from_mode(0o644))?;
    fs::set_permissions(data.join("base/5"), fs::Permissions::from_mode(0o755))?;
    fs::remove_file(data.join("base/1/1002"))?;
    fs::create_dir_all(data.join("base/1/1002/more"))?;
    fs::remove_dir_all(data.join("pg_xact"))?;
    symlink(elsewhere, data.join("pg_xact"))?;
    fs::remove_file(data.join("base/1/1001"))?;
    symlink(elsewhere.join("precious"), data.join("base/1/1001"))?;
    fs::create_dir_all(data.join("log/old"))?;
    symlink(elsewhere, data.join("log/old/link"))?;
    for name in ["standby.signal", "log/old/server.log", "base/5/99999", "pg_wal/0000000100000000000000AA"] {
        fs::write(data.join(name), "x")?;
    }
    Ok(())
}
