//! Objects that are listed but don't exist: a listing lags behind a deletion, or Swift has set aside a damaged object.

use anyhow::{Context, Result};
use swiftwal_core::{BackupKey, Error};

use super::{
    command::{Command, Scene, is_rightly_absent},
    site::shown,
    snapshot::Snapshot,
};
use crate::{faulty::Faults, subject::Subject};

/// One object of each kind, by a part of its name: needed by the older backup, by the newer one, by both, and by none.
fn phantoms(scene: &Scene) -> Vec<String> {
    let [older, newer] = scene.keys;
    let mut phantoms = vec![
        format!("pg_basebackup_{older}.json"),
        format!("pg_basebackup_{newer}.json"),
        format!("pg_basebackup_{newer}.tar.zst"),
        format!("pg_basebackup_{newer}.index.zst"),
        format!("backup_label_{newer}.txt"),
    ];
    phantoms.extend(["cluster.json", "wal_00000002.history.zst"].map(str::to_owned));
    phantoms
        .extend([1, 3, 6, 7, 8].map(|number| format!("wal_{}.zst", scene.site.cluster.segment_name(number))));
    phantoms
}

/// The table of object × command: a missing object is named, no other object takes its place, and what others need is
/// kept.
pub(crate) async fn what_is_listed_and_gone_harms_no_command(subject: Subject) -> Result<()> {
    let scene = Scene::new(subject).await?;
    let whole = Snapshot::of(&scene.site.subject).await?;
    let phantoms = phantoms(&scene);
    let table = phantoms.iter().flat_map(|phantom| Command::ALL.map(|command| (phantom, command)));
    for (phantom, command) in scene.site.subject.harness().cases(table) {
        let outcome = run(&scene, command, phantom).await;
        outcome.with_context(|| format!("{command:?} without {phantom}"))?;
        if command.changes() {
            whole.put_back(&scene.site.subject).await?;
        }
    }
    Ok(())
}

async fn run(scene: &Scene, command: Command, phantom: &str) -> Result<()> {
    let subject = &scene.site.subject;
    let before = subject.everything().await?;
    let repository = subject.repository_with(&Faults::vanished(phantom))?;
    let outcome = command.run(scene, &repository).await;
    command.check(scene, outcome.is_ok()).await?;
    if outcome.is_err() || !command.changes() {
        assert_eq!(subject.everything().await?, before, "{command:?} without {phantom}: {outcome:?}");
    }
    match outcome {
        Err(error) if !is_rightly_absent(command, &error) => assert_named(command, phantom, &error),
        Ok(()) if command.removes() => return assert_rest_is_complete(scene, command, phantom).await,
        _ => {}
    }
    Ok(())
}

/// A segment is named by PostgreSQL's name, and a backup without its record by its key.
fn assert_named(command: Command, phantom: &str, error: &Error) {
    let name = phantom.trim_start_matches("wal_").trim_end_matches(".zst");
    let name = name.trim_start_matches("pg_basebackup_").trim_end_matches(".json");
    assert!(shown(error).contains(name), "{command:?} doesn't name {phantom}: {error}");
}

/// No listed backup needed what was removed, except the one that lacks something anyway.
async fn assert_rest_is_complete(scene: &Scene, command: Command, phantom: &str) -> Result<()> {
    let listed = scene.site.listed().await?;
    let mut whole = 0;
    for key in scene.keys.into_iter().filter(|key| listed.contains(key)) {
        let lacks = phantom.contains(&key.to_string()) || needs(scene, key, phantom);
        if !lacks {
            scene.assert_restorable(key).await?;
            whole += 1;
        }
    }
    assert!(whole > 0, "{command:?} without {phantom} left no whole backup");
    Ok(())
}

/// Whether a backup can't become consistent without this segment.
fn needs(scene: &Scene, key: BackupKey, phantom: &str) -> bool {
    let needed = if key == scene.keys[0] { 3..=4 } else { 6..=7 };
    needed.into_iter().any(|number| phantom.contains(&scene.site.cluster.segment_name(number).to_string()))
}
