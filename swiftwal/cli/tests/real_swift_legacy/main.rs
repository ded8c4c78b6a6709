//! A container as SwiftWAL 0.2.2 left it, created by other programs from a real cluster: it is listed, restored from,
//! archived into and pruned without conversion.

mod migrating;
mod original;
#[path = "../real_docs/page.rs"]
mod page;

use std::{collections::BTreeSet, fs, sync::LazyLock};

use anyhow::{Context, Result, anyhow};
use xtask::{Postgres, output};

use self::original::{DELETED, DYING, KEYS, LOST_LABEL, Original};

const PROGRAM: &str = env!("CARGO_BIN_EXE_swiftwal");

/// A container for the tests that don't change it.
static ORIGINAL: LazyLock<Result<Original>> = LazyLock::new(Original::new);

fn original() -> Result<&'static Original> {
    ORIGINAL.as_ref().map_err(|error| anyhow!("{error:#}"))
}

#[test]
#[ignore = "needs PostgreSQL and Swift: run by cargo xtask test"]
fn the_original_s_backups_are_listed_with_their_sizes_and_labels() -> Result<()> {
    let original = original()?;
    assert_eq!(original.run(&["list-backups"])?.lines().collect::<Vec<_>>(), KEYS);
    let listed: serde_json::Value = serde_json::from_str(&original.run(&["--json", "list-backups"])?)?;
    for (backup, made) in listed.as_array().context("a list")?.iter().zip(&original.backups) {
        // Swift's listing shows 0 bytes for each.
        assert_eq!(
            backup["objects"].as_array().map(|objects| objects[0]["bytes"].clone()),
            Some(made.bytes.into())
        );
        assert_eq!(original.run(&["label", &made.key])?, made.label);
    }
    assert!(!original.objects()?.contains("backup_label_20130829T1125Z.txt"), "that one is in the tar alone");
    let verbose = output(&mut original.swiftwal.command(&["-v", "list-backups"]))?;
    let warning = format!("backup {} of SwiftWAL 0.2.2 may be incomplete", KEYS[1]);
    assert!(String::from_utf8_lossy(&verbose.stderr).contains(&warning), "{verbose:?}");
    let error = output(&mut original.swiftwal.command(&["label", DELETED]))?;
    assert!(String::from_utf8_lossy(&error.stderr).contains("there is no backup"), "{error:?}");
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL and Swift: run by cargo xtask test"]
fn servers_start_on_the_original_s_backups_and_replay_its_wal() -> Result<()> {
    let original = original()?;
    for key in KEYS {
        let restored = Postgres::open(&original.scratch, &original.scratch.path().join(key));
        original.run(&["restore", &key.to_lowercase(), &restored.data().to_string_lossy()])?;
        restored.start()?;
        restored.wait_for_promotion()?;
        assert_eq!(restored.rows()?, original.rows, "{key}");
        restored.stop()?;
    }
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL and Swift: run by cargo xtask test"]
fn a_segment_that_the_original_stored_is_known_and_another_of_its_name_refused() -> Result<()> {
    let original = original()?;
    let segment = original.wal.join(original.first_segment()?);
    original.run(&["archive-wal", &segment.to_string_lossy()])?;

    let mut content = fs::read(&segment)?;
    *content.last_mut().context("a segment has bytes")? ^= 1;
    fs::write(&segment, content)?;
    let refused = output(&mut original.swiftwal.command(&["archive-wal", &segment.to_string_lossy()]))?;
    assert!((1..=125).contains(&refused.status.code().unwrap_or(0)), "{refused:?}");
    let added: Vec<_> = original.objects()?.difference(&original.stored).cloned().collect();
    assert_eq!(added, ["cluster.json"]);
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL and Swift: run by cargo xtask test"]
fn the_original_s_container_is_pruned_and_what_may_live_is_let_alone() -> Result<()> {
    let original = Original::new()?;
    // From now on this program archives, and takes the backups.
    let archive = format!("archive_command = '{}'", original.swiftwal.archive_command());
    original.postgres.configure(&[&archive])?;
    original.postgres.reload()?;
    original.run(&["backup", "-c", "fast"])?;
    let before = original.objects()?;
    let new: BTreeSet<_> = before.difference(&original.stored).cloned().collect();

    let prune_to_two = ["prune", "--keep-backups", "2", "--keep-wals", "0"];
    let planned = original.run(&[&prune_to_two[..], &["-n"]].concat())?;
    assert!(planned.contains("Removing 2 backups, 20130828T1810Z -> 20130829T1125Z"), "{planned}");
    assert_eq!(original.objects()?, before);

    // An upload that may still be running may need any WAL.
    // With -v, it shows what each backup is kept for, as the plan does.
    assert_eq!(original.run(&[&["-v"], &prune_to_two[..]].concat())?, planned);
    let stays = |object: &String| {
        let may_live = object.starts_with("wal_") || object.contains(DYING) || object == LOST_LABEL;
        may_live || object.contains(KEYS[2]) || new.contains(object)
    };
    let before: BTreeSet<_> = before.into_iter().filter(stays).collect();
    assert_eq!(original.objects()?, before);

    // A day later the only leftovers of SwiftWAL 0.2.2 are the kept backup and what it needs; then they are gone as
    // well.
    original.prune_tomorrow(2)?;
    let first_wal = original.backups[2].first_wal()?;
    let stays = |object: &String| match object.strip_prefix("wal_") {
        Some(wal) => wal >= first_wal.as_str(),
        None => !object.contains(DYING) && object != LOST_LABEL,
    };
    assert_eq!(original.objects()?, before.into_iter().filter(stays).collect());
    let restored = original.scratch.path().join("restored");
    original.run(&["restore", KEYS[2], &restored.to_string_lossy()])?;
    original.prune_tomorrow(1)?;
    assert!(original.objects()?.iter().all(|object| new.contains(object)), "{:?}", original.objects()?);
    Ok(())
}
