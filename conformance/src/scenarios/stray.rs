//! A copy of the server that was started for a test and archived on a timeline of its own.

use anyhow::Result;
use swiftwal_core::{BackupChoice, BackupKey, BackupRecord, Error, RestoreOptions, TargetTimeline};

use super::site::{Site, restore_options};
use crate::{SyntheticCluster, subject::Subject};

/// Production on timeline 1 with three backups, and timeline 2 of a copy of the first one, which was started for a test
/// between the first two and archived one segment.
pub(super) struct Stray {
    pub(super) site: Site,
    pub(super) copy: SyntheticCluster,
    pub(super) backups: [BackupRecord; 3],
}

impl Stray {
    pub(super) async fn new(subject: Subject) -> Result<Self> {
        let site = Site::new(subject)?;
        let copy = site.cluster.promoted();
        let first = site.back_up(3, 4).await?;
        store_history(&site, &copy, 5).await?;
        site.archive_of(&copy, 5..=5).await?;
        let second = site.back_up(6, 7).await?;
        site.archive(8..=8).await?;
        let third = site.back_up(9, 10).await?;
        Ok(Self { site, copy, backups: [first, second, third] })
    }

    pub(super) fn keys(&self) -> [BackupKey; 3] {
        self.backups.each_ref().map(|backup| backup.key)
    }
}

/// Archives the history of `copy`, which left the site's timeline at the start of that segment.
pub(super) async fn store_history(site: &Site, copy: &SyntheticCluster, number: u64) -> Result<()> {
    let (history, text) = copy.history(&[(site.cluster.timeline(), number)]);
    site.archive_as(history, text.as_bytes()).await?;
    Ok(())
}

/// Returns options that name the timeline to follow.
pub(super) fn on(timeline: TargetTimeline) -> RestoreOptions {
    RestoreOptions { target_timeline: Some(timeline), ..restore_options() }
}

/// Restores the newest backup, and returns its key and the timeline in the settings.
pub(super) async fn restore_latest(
    site: &Site,
    options: &RestoreOptions,
) -> Result<(BackupKey, String), Error> {
    restore_choice(site, BackupChoice::Latest, options).await
}

/// As [`restore_latest`], for this choice.
pub(super) async fn restore_choice(
    site: &Site,
    choice: BackupChoice,
    options: &RestoreOptions,
) -> Result<(BackupKey, String), Error> {
    let directory = site.subject.new_path("pgdata");
    let stats = site.restore_into(choice, &directory, options).await?;
    let settings = std::fs::read_to_string(directory.join("postgresql.auto.conf")).unwrap_or_default();
    let timeline =
        settings.lines().filter_map(|line| line.strip_prefix("recovery_target_timeline = ")).next_back();
    Ok((stats.key, timeline.unwrap_or_default().trim_matches('\'').to_owned()))
}
