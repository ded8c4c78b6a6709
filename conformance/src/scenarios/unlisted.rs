//! Listings fail, but objects can be read: Swift's container servers are down, or a directory has no read permission.

use anyhow::{Context, Result};
use swiftwal_core::{BackupChoice, BackupEvent, BackupOptions, ErrorKind, backup};

use super::{
    command::{Command, Scene},
    site::{Site, options, refused, restore_options, shown},
    snapshot::Snapshot,
};
use crate::{
    faulty::{Faults, HINT},
    subject::Subject,
};

/// The commands that request what they need by name.
const BY_NAME: [Command; 6] = [
    Command::ArchiveWal,
    Command::ArchiveWalAgain,
    Command::ArchiveWalByForce,
    Command::RestoreWal,
    Command::Label,
    Command::Restore,
];

/// The table of all commands.
pub(crate) async fn what_is_asked_for_by_its_name_works_and_the_rest_fails_and_changes_nothing(
    subject: Subject,
) -> Result<()> {
    let scene = Scene::new(subject).await?;
    let whole = Snapshot::of(&scene.site.subject).await?;
    for command in Command::ALL {
        let before = scene.site.subject.everything().await?;
        let repository = scene.site.subject.repository_with(&Faults::at_every_listing())?;
        let outcome = command.run(&scene, &repository).await;
        command.check(&scene, outcome.is_ok()).await.with_context(|| format!("{command:?}: {outcome:?}"))?;
        if BY_NAME.contains(&command) {
            assert!(outcome.is_ok(), "{command:?}: {outcome:?}");
            whole.put_back(&scene.site.subject).await?;
            continue;
        }
        let error = refused(outcome);
        assert_eq!(error.kind(), ErrorKind::Failed, "{command:?}: {error}");
        assert!(shown(&error).contains(HINT), "{command:?}: {error}");
        assert_eq!(scene.site.subject.everything().await?, before, "{command:?}");
    }
    Ok(())
}

pub(crate) async fn a_restore_by_key_says_why_other_timelines_are_not_known(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let record = site.back_up(3, 4).await?;
    let repository = site.subject.repository_with(&Faults::at_every_listing())?;
    let directory = site.subject.new_path("pgdata");
    let choice = BackupChoice::Key(record.key);
    let (_, said) = Site::restore_noting(&repository, choice, &directory, &restore_options()).await?;
    let said = said.concat();
    assert!(said.contains("injected failure") && said.contains(HINT), "{said}");
    Ok(())
}

pub(crate) async fn a_backup_whose_wal_is_missing_says_why_the_stored_wal_is_not_known(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(3..=3).await?;
    let faults = Faults::none();
    let observe = |event: BackupEvent<'_>| {
        if let BackupEvent::WaitingForWal(_) = event {
            faults.stop_listings();
        }
    };
    let hurried = BackupOptions { archive_timeout: std::time::Duration::from_millis(200), ..options() };
    let repository = site.subject.repository_with(&faults)?;
    let source = site.cluster.backup(3, 4);
    let error = refused(backup(&repository, &source, &hurried, &observe, std::future::pending()).await);
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    let text = error.to_string();
    assert!(text.contains("000000010000000000000004") && text.contains("injected failure"), "{text}");
    assert!(text.contains(HINT), "{text}");
    Ok(())
}
