//! Scenarios with the history files of timelines: missing, in another compression, or not in UTF-8.

use std::num::NonZeroU32;

use anyhow::Result;
use swiftwal_core::{
    ArchiveOptions, BackupChoice, PrunePolicy, TargetTimeline, plan_archive_cleanup, plan_prune, restore,
};

use super::{
    prune::{plan, prune_to},
    site::{Site, restore_options},
    stray::{on, restore_latest, store_history},
};
use crate::{faulty::Faults, subject::Subject};

/// The history was lost, or the server was promoted while archiving was off.
pub(crate) async fn a_backup_on_a_timeline_without_history_is_the_newest(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let (second, third) = (site.cluster.promoted(), site.cluster.promoted().promoted());
    site.back_up(3, 4).await?;
    store_history(&site, &second, 5).await?;
    site.back_up_of(&second, 6, 7).await?;
    let newest = site.back_up_of(&third, 9, 10).await?;
    let (key, timeline) = restore_latest(&site, &restore_options()).await?;
    assert_eq!((key, timeline.as_str()), (newest.key, "latest"));
    // PostgreSQL refuses a timeline that is given by number and has no history.
    let (key, timeline) = restore_latest(&site, &on(TargetTimeline::Id(third.timeline()))).await?;
    assert_eq!((key, timeline.as_str()), (newest.key, "current"));
    let plan = prune_to(&site, 1, 0).await?;
    assert!(plan.keep_backups.contains(&newest.key), "{plan:?}");
    Ok(())
}

/// PostgreSQL looks for the next history, and stops at a missing one.
pub(crate) async fn timelines_beyond_a_missing_history_are_not_followed(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let (second, fourth) = (site.cluster.promoted(), site.cluster.promoted().promoted().promoted());
    let backup = site.back_up(3, 4).await?;
    store_history(&site, &second, 7).await?;
    store_history(&site, &fourth, 4).await?;
    let (key, _) = restore_latest(&site, &restore_options()).await?;
    assert_eq!(key, backup.key, "timeline 4 left before its end, but PostgreSQL stops at 2");
    Ok(())
}

/// A listing doesn't show it yet. Of two processes that wrote `cluster.json` at once, one has lost its change.
pub(crate) async fn a_history_of_a_compression_that_cluster_json_lacks_is_found(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    let second = site.cluster.promoted();
    let shared = site.back_up(3, 4).await?;
    let before = site.subject.get("cluster.json").await?;
    let (history, text) = second.history(&[(site.cluster.timeline(), 5)]);
    let lz4 = ArchiveOptions { codec: "lz4".parse()?, ..ArchiveOptions::default() };
    site.archive_with(history, text.as_bytes(), &lz4).await?;
    site.subject.put("cluster.json", before).await?;
    let abandoned = site.back_up(7, 8).await?;
    let repository = site.subject.repository_with(&Faults::hiding("wal_00000002.history.lz4"))?;
    let policy = PrunePolicy::newest(NonZeroU32::MIN);
    let plan = plan_prune(&repository, &policy).await?;
    assert_eq!(plan.keep_backups, [shared.key, abandoned.key], "only the older one leads to timeline 2");
    Ok(())
}

/// PostgreSQL writes the name of a restore point into the history, in whatever encoding the client sent.
pub(crate) async fn a_history_that_is_not_utf8_is_read_as_postgresql_reads_it(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    let second = site.cluster.promoted();
    let shared = site.back_up(3, 4).await?;
    let (history, _) = second.history(&[]);
    let text = b"1\t0/500000\tat restore point \"vor der \xC4nderung\"\n";
    site.archive_as(history, text).await?;
    assert_eq!(site.restored_wal(history).await?, text);
    let newest = site.back_up_of(&second, 6, 7).await?;
    assert_eq!(restore_latest(&site, &restore_options()).await?.0, newest.key);
    let two = on(TargetTimeline::Id(second.timeline()));
    assert_eq!(restore_latest(&site, &two).await?.0, newest.key);
    assert_eq!(plan(&site, 2, 0).await?.keep_backups, [shared.key, newest.key]);
    plan_archive_cleanup(&site.repository, site.cluster.wal_name(9), false).await?;
    Ok(())
}

/// Another prune removed them a moment ago, and the listing lags.
pub(crate) async fn a_record_or_history_that_is_listed_but_gone_stops_no_command(
    subject: Subject,
) -> Result<()> {
    let site = Site::new(subject)?;
    let second = site.cluster.promoted();
    let gone = site.back_up(2, 3).await?;
    let kept = site.back_up(6, 7).await?;
    store_history(&site, &second, 9).await?;
    for object in [format!("pg_basebackup_{}.json", gone.key), "wal_00000002.history.zst".to_owned()] {
        let repository = site.subject.repository_with(&Faults::vanished(&object))?;
        let policy = PrunePolicy::newest(NonZeroU32::MIN);
        let plan = plan_prune(&repository, &policy).await?;
        assert_eq!(plan.keep_backups, [kept.key], "{object}");
        assert!(plan.notices.iter().any(|notice| notice.contains(&object)), "{:?}", plan.notices);
        plan_archive_cleanup(&repository, site.cluster.wal_name(6), false).await?;
        let directory = site.subject.new_path("pgdata");
        let stats =
            restore(&repository, BackupChoice::Latest, &directory, &restore_options(), &|_| {}).await?;
        assert_eq!(stats.key, kept.key, "{object}");
    }
    Ok(())
}
