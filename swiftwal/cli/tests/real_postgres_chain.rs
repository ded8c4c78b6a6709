//! Restores of chains of incremental backups, compared byte for byte with what PostgreSQL's own pg_combinebackup makes.
//!
//! The name of a test contains its version, by which `cargo xtask test` skips what it can't install.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use xtask::{Log, Place, Postgres, Site, output, stdout};

xtask::on_versions! {
    env!("CARGO_BIN_EXE_swiftwal");
    postgresql_17, 17: a_chain_of_four, a_damaged_parent, a_single_database;
    postgresql_18, 18: a_chain_of_four, a_chain_on_a_local_backup, a_damaged_parent, killed_restores, a_single_database,
        a_relation_of_two_segments, checksums_that_were_switched_off;
    postgresql_19, 19: a_chain_of_four;
}

/// What is done to the cluster before each incremental backup.
const CHANGES: [&[&str]; 3] = [
    &[
        "update pgbench_accounts set abalance = 1 where aid % 1000 = 0",
        "delete from shrunk where x > 2000",
        "vacuum (truncate, freeze) shrunk",
        "insert into grown select generate_series(1, 50000)",
        "truncate emptied",
        "drop table dropped",
        "create table dropped as select generate_series(1, 3000) y",
        "update outside_table set x = x + 1 where x % 500 = 0",
        "update inside_table set x = x + 1 where x % 500 = 0",
        "create database during",
    ],
    &[
        "insert into shrunk select generate_series(1, 30000)",
        "delete from grown where x > 100",
        "vacuum (truncate) grown",
        "insert into emptied select generate_series(1, 3000)",
        "update pgbench_accounts set abalance = 2 where aid between 5000 and 6000",
        "create table late tablespace outside as select generate_series(1, 5000) x",
        "alter table moved set tablespace outside",
        "alter table untouched set tablespace inside",
        "create table late_inside tablespace inside as select generate_series(1, 5000) x",
        "create index on outside_table (x) tablespace outside",
    ],
    &[
        "delete from shrunk where x > 10",
        "vacuum (truncate) shrunk",
        "insert into shrunk select generate_series(1, 2000)",
        "insert into grown select generate_series(1, 100000)",
        "update outside_table set x = x + 1 where x % 700 = 0",
        "vacuum freeze pgbench_accounts",
        "delete from inside_table where x > 100",
        "vacuum (truncate) inside_table",
        "create unlogged table fleeting as select 1 x",
        "drop table vanished",
    ],
];

/// The tables whose rows are compared.
const TABLES: [&str; 10] = [
    "shrunk",
    "grown",
    "emptied",
    "dropped",
    "outside_table",
    "inside_table",
    "late",
    "late_inside",
    "moved",
    "untouched",
];

/// The files that a restore writes by itself.
const OWN_FILES: [&str; 3] = ["postgresql.auto.conf", "recovery.signal", "backup_manifest"];

fn a_chain_of_four(site: &Site) -> Result<()> {
    a_chain(site, "replication")
}

/// It has no links to the tablespaces, and an in-place tablespace is in the data directory's tar.
fn a_chain_on_a_local_backup(site: &Site) -> Result<()> {
    a_chain(site, "local")
}

/// Takes a full backup by a method, and three increments.
fn a_chain(site: &Site, method: &str) -> Result<()> {
    let old = begin(site)?;
    site.run(&["backup", "-c", "fast", "--method", method])?;
    for changes in CHANGES {
        changes.iter().try_for_each(|change| site.postgres.sql(change).map(drop))?;
        site.run(&["backup", "-c", "fast", "--incremental"])?;
    }
    site.postgres.archive_all()?;

    let new = site.scratch.path().join("new");
    let mapping = format!("{}={}", old.display(), new.display());
    let target = site.scratch.path().join("restored").display().to_string();
    let planned = site.run(&["restore", "latest", &target, "--dry-run", "--tablespace-mapping", &mapping])?;
    assert_eq!(planned.matches("(incremental)").count(), 3, "{planned}");
    assert_eq!(planned.matches("(full)").count(), 1, "{planned}");
    let restored = site.restore("restored", "latest", &["--tablespace-mapping", &mapping])?;
    compare(site, &restored)?;
    expect_rows(site, &restored, &TABLES)?;
    assert_eq!(restored.rows()?, site.postgres.rows()?);
    assert_eq!(restored.sql("select count(*) from pg_database where datname = 'during'")?, "1");
    Ok(())
}

/// Creates tables of each kind, and returns the location of the tablespace.
fn begin(site: &Site) -> Result<PathBuf> {
    site.postgres.configure(&["summarize_wal = on", "autovacuum = off"])?;
    site.postgres.reload()?;
    let old = site.scratch.directory("old")?;
    site.postgres.sql(&format!("create tablespace outside location '{}'", old.display()))?;
    // The restored server needs the setting, too.
    site.postgres.allow_in_place_tablespaces()?;
    site.postgres.sql("create tablespace inside location ''")?;
    site.postgres.pgbench_init(1)?;
    for table in ["shrunk", "grown", "emptied", "dropped", "moved", "untouched", "vanished"] {
        site.postgres.sql(&format!("create table {table} as select generate_series(1, 20000) x"))?;
    }
    for space in ["outside", "inside"] {
        let rows = "select generate_series(1, 20000) x";
        site.postgres.sql(&format!("create table {space}_table tablespace {space} as {rows}"))?;
    }
    site.postgres.sql("create table empty (x int)")?;
    site.postgres.sql("vacuum")?;
    Ok(old)
}

/// Compares a restored cluster with what pg_combinebackup makes of the same backups, and lets pg_verifybackup check both.
fn compare(site: &Site, restored: &Postgres) -> Result<()> {
    let combined = combine(site)?;
    for directory in [restored.data(), &combined] {
        stdout(site.scratch.command("pg_verifybackup").arg("--no-parse-wal").arg(directory))?;
    }
    let (ours, theirs) = (files(restored.data())?, files(&combined)?);
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    for (name, path) in &ours {
        // It names other directories.
        if name != "tablespace_map" {
            assert!(fs::read(path)? == fs::read(&theirs[name])?, "{name} differs");
        }
    }
    Ok(())
}

/// Returns the files below a data directory, by their names there, except those that a restore writes by itself.
fn files(data: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    let mut directories = vec![data.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            let name = path.strip_prefix(data)?.display().to_string();
            if fs::metadata(&path)?.is_dir() {
                directories.push(path);
            } else if !OWN_FILES.contains(&name.as_str()) {
                found.insert(name, path);
            }
        }
    }
    Ok(found)
}

/// Puts all backups together with PostgreSQL's program. Returns the data directory.
fn combine(site: &Site) -> Result<PathBuf> {
    let listed: Vec<Value> = serde_json::from_str(&site.run(&["--json", "list-backups"])?)?;
    let mut members = Vec::new();
    for backup in &listed {
        members.push(unpack(site, &backup["record"])?);
    }
    let combined = site.scratch.path().join("combined");
    let mut program = site.scratch.command("pg_combinebackup");
    for (oid, location) in &members.last().context("a backup")?.tablespaces {
        let new = site.scratch.path().join(format!("combined.{oid}"));
        program.arg(format!("--tablespace-mapping={}={}", location.display(), new.display()));
    }
    program.args(members.iter().map(|member| &member.data)).arg("--output").arg(&combined);
    stdout(&mut program)?;
    Ok(combined)
}

/// A backup that was unpacked with the standard tools.
struct Member {
    data: PathBuf,
    tablespaces: Vec<(String, PathBuf)>,
}

fn unpack(site: &Site, record: &Value) -> Result<Member> {
    let key = record["key"].as_str().context("a key")?;
    let repository = repository(site)?;
    let decompress = |name: &str, to: &Path| {
        stdout(site.scratch.command("zstd").args(["-dqf", "-o"]).arg(to).arg(repository.join(name)))
    };
    let tar = site.scratch.path().join("unpacked.tar");
    let extract = |name: &str, directory: &str| -> Result<PathBuf> {
        let directory = site.scratch.path().join(directory);
        stdout(site.scratch.command("mkdir").args(["-p", "-m", "700"]).arg(&directory))?;
        decompress(name, &tar)?;
        stdout(site.scratch.command("tar").arg("-xf").arg(&tar).arg("-C").arg(&directory))?;
        fs::remove_file(&tar)?;
        Ok(directory)
    };
    let data = extract(&format!("pg_basebackup_{key}.tar.zst"), key)?;
    decompress(&format!("backup_manifest_{key}.zst"), &data.join("backup_manifest"))?;
    let mut tablespaces = Vec::new();
    for object in record["objects"].as_array().into_iter().flatten() {
        let name = object["name"].as_str().context("a name")?;
        let Some(location) = object["tablespace_location"].as_str() else { continue };
        if !location.starts_with('/') {
            extract(name, &format!("{key}/{location}"))?;
            continue;
        }
        let oid = name.split('.').nth(1).context("a number")?;
        let location = extract(name, &format!("{key}.{oid}"))?;
        let link = data.join("pg_tblspc").join(oid);
        if link.is_symlink() {
            fs::remove_file(&link)?;
        }
        symlink(&location, link)?;
        tablespaces.push((oid.to_owned(), location));
    }
    Ok(Member { data, tablespaces })
}

fn repository(site: &Site) -> Result<&Path> {
    let Place::Directory(repository) = site.swiftwal.place() else { bail!("not a directory") };
    Ok(repository)
}

/// Checks that the restored server starts, ends its recovery, and has the rows of the original.
fn expect_rows(site: &Site, restored: &Postgres, tables: &[&str]) -> Result<()> {
    restored.start()?;
    restored.wait_for_promotion()?;
    for table in tables {
        let rows = format!("select count(*), sum(hashtextextended(t::text, 0)) from {table} t");
        assert_eq!(restored.sql(&rows)?, site.postgres.sql(&rows)?, "{table}");
    }
    Ok(())
}

/// Restores that are killed at many lines of their log are completed by the next one, and the result is that of a restore
/// that wasn't: what pg_combinebackup makes.
fn killed_restores(site: &Site) -> Result<()> {
    let old = begin(site)?;
    site.run(&["backup", "-c", "fast", "--method", "replication"])?;
    let first = newest(site)?;
    for changes in &CHANGES[..2] {
        changes.iter().try_for_each(|change| site.postgres.sql(change).map(drop))?;
        site.run(&["backup", "-c", "fast", "--incremental"])?;
    }
    site.postgres.archive_all()?;
    let place = |name: &str| {
        let space = site.scratch.path().join(format!("{name}.space"));
        let mapping = format!("{}={}", old.display(), space.display());
        (site.scratch.path().join(name).display().to_string(), space, mapping)
    };
    let (fresh, fresh_space, mapping) = place("fresh");
    let restored = site.restore("fresh", "latest", &["--tablespace-mapping", &mapping])?;
    compare(site, &restored)?;

    let mut interrupted = [0, 0, 0];
    for (kind, (before, killed, next)) in [
        (None, None, "--resume"),
        (None, Some("--resume"), "--resume"),
        (Some(&first), Some("--delta"), "--delta"),
    ]
    .into_iter()
    .enumerate()
    {
        let restore = |name: &str, option: Option<&str>| {
            let (data, _, mapping) = place(name);
            let mut command =
                site.command(&["-vv", "restore", "latest", &data, "--tablespace-mapping", &mapping]);
            command.args(option);
            command
        };
        let prepare = |name: &str| {
            let (_, _, mapping) = place(name);
            before.map_or(Ok(()), |key: &String| {
                site.restore(name, key, &["--tablespace-mapping", &mapping]).map(drop)
            })
        };
        prepare(&format!("whole-{kind}"))?;
        let log = Log::of(&mut restore(&format!("whole-{kind}"), killed))?;
        // The last line, and some before it: a restore takes seconds.
        for line in log.lines().rev().step_by(5) {
            let name = format!("killed-{kind}-{line}");
            prepare(&name)?;
            let (data, space, _) = place(&name);
            let is_killed = log.kill_at(&mut restore(&name, killed), line)?;
            let has = |file: &str| Path::new(&data).join(file).exists();
            if has("swiftwal_restore_in_progress") {
                assert!(is_killed && (!has("global/pg_control") || before.is_some()), "{name}");
                interrupted[kind] += 1;
            }
            let next = if has("global/pg_control") { "--delta" } else { next };
            stdout(&mut restore(&name, Some(next))).with_context(|| name.clone())?;
            for (found, fresh) in [(Path::new(&data), Path::new(&fresh)), (&space, &fresh_space)] {
                assert_equal(found, fresh).with_context(|| name.clone())?;
            }
            fs::remove_dir_all(&data)?;
            fs::remove_dir_all(&space)?;
        }
    }
    assert!(interrupted.iter().all(|count| *count > 0), "{interrupted:?}");
    expect_rows(site, &restored, &["shrunk", "grown", "outside_table", "moved", "untouched"])
}

/// Compares all files of two restored directories, except the one that names other directories.
fn assert_equal(found: &Path, expected: &Path) -> Result<()> {
    let (found, expected) = (files(found)?, files(expected)?);
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, path) in found.iter().filter(|(name, _)| *name != "tablespace_map") {
        assert!(fs::read(path)? == fs::read(&expected[name])?, "{name} differs");
    }
    Ok(())
}

/// The other databases take no room, and the one that is wanted has all its rows.
fn a_single_database(site: &Site) -> Result<()> {
    begin(site)?;
    let in_database = |server: &Postgres, name: &str, statement: &str| {
        let mut psql = site.scratch.command("psql");
        psql.envs(server.environment()).args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", name, "-c", statement]);
        stdout(&mut psql)
    };
    for name in ["shop", "blog"] {
        site.postgres.sql(&format!("create database {name}"))?;
        in_database(&site.postgres, name, "create table t as select generate_series(1, 100000) x")?;
    }
    site.run(&["backup", "-c", "fast", "--method", "replication"])?;
    for changes in
        ["update t set x = x + 1 where x % 1000 = 0", "insert into t select generate_series(1, 50000)"]
    {
        for name in ["shop", "blog"] {
            in_database(&site.postgres, name, changes)?;
        }
        site.run(&["backup", "-c", "fast", "--incremental"])?;
    }
    site.postgres.archive_all()?;
    let old = site.scratch.path().join("old");
    let mapping = format!("{}={}", old.display(), site.scratch.path().join("new").display());
    let options = ["--database", "shop", "--tablespace-mapping", &mapping];
    let restored = site.restore("restored", "latest", &options)?;
    let blog = site.postgres.sql("select oid from pg_database where datname = 'blog'")?;
    let directory = restored.data().join("base").join(blog.trim());
    let mut used = 0;
    for entry in fs::read_dir(directory)? {
        used += entry?.metadata()?.blocks() * 512;
    }
    assert!(used < 100_000, "the other database takes {used} bytes");
    restored.start()?;
    restored.wait_for_promotion()?;
    let rows = "select count(*), sum(x) from t";
    assert_eq!(in_database(&restored, "shop", rows)?, in_database(&site.postgres, "shop", rows)?);
    assert!(in_database(&restored, "blog", "select 1").is_err());
    restored.sql("drop database blog").map(drop)
}

fn newest(site: &Site) -> Result<String> {
    let listed: Vec<Value> = serde_json::from_str(&site.run(&["--json", "list-backups"])?)?;
    Ok(listed.last().context("a backup")?["record"]["key"].as_str().context("a key")?.to_owned())
}

/// Nothing is left of a restore that fails, and the error names what is damaged.
fn a_damaged_parent(site: &Site) -> Result<()> {
    let old = begin(site)?;
    site.run(&["backup", "-c", "fast", "--xlog", "--method", "replication"])?;
    site.postgres.sql("update pgbench_accounts set abalance = 1 where aid % 1000 = 0")?;
    site.run(&["backup", "-c", "fast", "--xlog", "--incremental"])?;
    let mut stored = site.swiftwal.stored()?;
    stored.retain(|name| name.starts_with("pg_basebackup_"));
    let tar = stored.iter().find(|name| name.ends_with("Z.tar.zst")).context("a tar")?;
    let path = repository(site)?.join(tar);
    let content = fs::read(&path)?;
    let file = File::options().write(true).open(&path)?;
    file.write_all_at(&[content[content.len() / 2] ^ 1], content.len() as u64 / 2)?;
    expect_failure(site, &old, tar)?;
    fs::remove_file(&path)?;
    expect_failure(site, &old, tar)
}

fn expect_failure(site: &Site, old: &Path, told: &str) -> Result<()> {
    let key = newest(site)?;
    let directory = site.scratch.path().join("refused");
    let target = directory.display().to_string();
    let new = directory.with_extension("space");
    let mapping = format!("{}={}", old.display(), new.display());
    let ended = output(&mut site.command(&["restore", &key, &target, "--tablespace-mapping", &mapping]))?;
    let said = String::from_utf8(ended.stderr)?;
    assert!(!ended.status.success() && said.contains(told), "{said}");
    assert!(!directory.exists() && !new.exists(), "{said}");
    Ok(())
}

/// pg_checksums writes no WAL, so the chain has pages of both kinds.
fn checksums_that_were_switched_off(site: &Site) -> Result<()> {
    let old = begin(site)?;
    site.run(&["backup", "-c", "fast", "--method", "replication"])?;
    site.postgres.archive_all()?;
    site.postgres.stop()?;
    stdout(site.scratch.command("pg_checksums").args(["--disable", "--pgdata"]).arg(site.postgres.data()))?;
    site.postgres.start()?;
    site.postgres.sql("update pgbench_accounts set abalance = 1 where aid % 1000 = 0")?;
    site.run(&["backup", "-c", "fast", "--incremental"])?;
    site.postgres.archive_all()?;
    let (directory, new) = (site.scratch.path().join("restored"), site.scratch.path().join("new"));
    let mapping = format!("{}={}", old.display(), new.display());
    let target = directory.display().to_string();
    let restore = ["restore", "latest", &target, "--tablespace-mapping", &mapping];
    let said = String::from_utf8(output(&mut site.command(&restore))?.stderr)?;
    assert!(said.contains("checksums were switched on or off between the backups"), "{said}");
    expect_rows(
        site,
        &Postgres::open(&site.scratch, &directory),
        &["shrunk", "outside_table", "pgbench_accounts"],
    )
}

/// The second segment goes and comes back between the backups.
fn a_relation_of_two_segments(site: &Site) -> Result<()> {
    site.postgres.configure(&[
        "summarize_wal = on",
        "autovacuum = off",
        "max_wal_size = 128MB",
        "wal_recycle = off",
    ])?;
    site.postgres.reload()?;
    let rows = "select x, repeat('x', 1950) y from generate_series";
    site.postgres.sql(&format!("create table large as {rows}(1, 535000) x"))?;
    let size = "select pg_relation_size('large') > 1 << 30";
    assert_eq!(site.postgres.sql(size)?, "t");
    site.run(&["backup", "-c", "fast", "--method", "replication"])?;
    for changes in [
        ["delete from large where x > 500000".to_owned(), "vacuum large".to_owned()],
        [
            format!("insert into large {rows}(1, 40000) x"),
            "update large set y = '' where x % 1000 = 1".to_owned(),
        ],
    ] {
        changes.iter().try_for_each(|change| site.postgres.sql(change).map(drop))?;
        site.run(&["backup", "-c", "fast", "--incremental"])?;
    }
    assert_eq!(site.postgres.sql(size)?, "t");
    site.postgres.archive_all()?;
    let restored = site.restore("restored", "latest", &[])?;
    compare(site, &restored)?;
    expect_rows(site, &restored, &["large"])
}
