//! timeline discard.

use anyhow::Result;
use swiftwal_compression::{Format, compress_frame};
use swiftwal_core::{ErrorKind, discard_timeline, plan_discard, timelines};
use swiftwal_postgres::Timeline;

use super::{
    prune::{plan, prune_to},
    site::{Site, refused, restore_options},
    stray::{Stray, restore_latest},
};
use crate::{
    faulty::{Faults, WriteFault},
    subject::Subject,
};

pub(crate) async fn a_discarded_timeline_goes_with_its_history_last(subject: Subject) -> Result<()> {
    let stray = Stray::new(subject).await?;
    let site = &stray.site;
    let faults = Faults::none();
    let repository = site.subject.repository_with(&faults)?;
    let before = site.subject.objects().await?;
    let plan = plan_discard(&repository, stray.copy.timeline()).await?;
    assert_eq!(site.subject.objects().await?, before, "a plan alone changes nothing");
    discard_timeline(&repository, &plan).await?;
    let deleted: Vec<_> = faults.writes().into_iter().map(|call| call.object).collect();
    let (segment, mark) = ("wal_000000020000000000000005.zst", "...removing_wal/000000020000000000000005");
    assert_eq!(deleted, [mark, segment, mark, "wal_00000002.history.zst"]);
    let [_, _, third] = stray.keys();
    assert_eq!(restore_latest(site, &restore_options()).await?.0, third);
    assert_eq!(prune_to(site, 1, 0).await?.keep_backups, [third]);
    Ok(())
}

pub(crate) async fn an_interrupted_discard_is_finished_by_the_next_one(subject: Subject) -> Result<()> {
    let stray = Stray::new(subject).await?;
    let two = stray.copy.timeline();
    for n in 1..=3 {
        let repository = stray.site.subject.repository_with(&Faults::at_write(n, WriteFault::Dies))?;
        let plan = plan_discard(&repository, two).await?;
        refused(discard_timeline(&repository, &plan).await);
        assert!(stray.site.listed_wal().await?.contains(&"00000002.history".to_owned()));
    }
    let plan = plan_discard(&stray.site.repository, two).await?;
    discard_timeline(&stray.site.repository, &plan).await?;
    assert_eq!(timelines(&stray.site.repository).await?.len(), 1);
    prune_to(&stray.site, 1, 0).await?;
    assert!(!stray.site.subject.objects().await?.iter().any(|name| name.starts_with("...")));
    Ok(())
}

async fn assert_not_discarded(site: &Site, timeline: Timeline, told: &[&str]) -> Result<()> {
    let before = site.subject.objects().await?;
    let error = refused(plan_discard(&site.repository, timeline).await);
    assert!(matches!(error.kind(), ErrorKind::Refused | ErrorKind::Damaged), "{error}");
    for told in told {
        assert!(super::site::shown(&error).contains(told), "{told} isn't in: {error}");
    }
    assert_eq!(site.subject.objects().await?, before);
    Ok(())
}

pub(crate) async fn a_timeline_that_something_needs_is_not_discarded(subject: Subject) -> Result<()> {
    let stray = Stray::new(subject).await?;
    let (site, copy) = (&stray.site, &stray.copy);
    let (one, two) = (site.cluster.timeline(), copy.timeline());
    let third = copy.promoted();
    let key = stray.keys()[2].to_string();
    assert_not_discarded(site, one, &[&key]).await?;
    assert_not_discarded(site, third.timeline(), &["no timeline 3"]).await?;

    let marker = "...uploading/20130828T1810Z/4d2e";
    site.subject.put(marker, "{}").await?;
    assert_not_discarded(site, two, &["in progress"]).await?;
    site.subject.delete(marker).await?;

    // Timeline 3 branched off timeline 2.
    site.archive_of(&third, 6..=6).await?;
    assert_not_discarded(site, two, &["00000003.history"]).await?;
    let (history, text) = third.history(&[(one, 5), (two, 6)]);
    site.archive_as(history, text.as_bytes()).await?;
    assert_not_discarded(site, two, &["timeline 3"]).await?;
    let plan = plan_discard(&site.repository, third.timeline()).await?;
    discard_timeline(&site.repository, &plan).await?;

    let backup = site.back_up_of(copy, 6, 6).await?;
    assert_not_discarded(site, two, &[&format!("pg_basebackup_{}.json", backup.key)]).await?;
    site.subject.delete(&format!("pg_basebackup_{}.json", backup.key)).await?;
    plan_discard(&site.repository, two).await?;

    // A history that can't be read may name it.
    site.subject.put("wal_00000003.history.zst", "damaged").await?;
    assert_not_discarded(site, two, &["00000003.history", "timeline discard 3"]).await
}

pub(crate) async fn the_only_timeline_is_not_discarded(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    site.archive(3..=4).await?;
    assert_not_discarded(&site, site.cluster.timeline(), &["is the only one in"]).await
}

/// It may have been taken on the timeline.
pub(crate) async fn where_an_old_backup_tells_nothing_no_timeline_is_discarded(
    subject: Subject,
) -> Result<()> {
    let stray = Stray::new(subject).await?;
    let (site, two) = (&stray.site, stray.copy.timeline());
    let empty = compress_frame(Format::Gzip.into(), b"")?;
    site.subject.put("pg_basebackup_20130801T0200Z.tgz", empty).await?;
    assert_not_discarded(site, two, &["20130801T0200Z", "doesn't show which timeline"]).await
}

/// Otherwise what stops prune could never be removed.
pub(crate) async fn a_stray_timeline_whose_own_history_is_damaged_is_discarded(
    subject: Subject,
) -> Result<()> {
    let stray = Stray::new(subject).await?;
    let (site, two) = (&stray.site, stray.copy.timeline());
    let third = stray.copy.promoted();
    let history = third.history(&[(site.cluster.timeline(), 5), (two, 6)]);
    site.archive_as(history.0, history.1.as_bytes()).await?;
    site.subject.put("wal_00000002.history.zst", "damaged").await?;
    assert_not_discarded(site, two, &["timeline 3"]).await?;
    let error = super::site::shown(&refused(plan(site, 1, 0).await));
    assert!(error.contains("00000002.history") && error.contains("timeline discard 2"), "{error}");

    site.subject.delete("wal_00000003.history.zst").await?;
    let discarded = plan_discard(&site.repository, two).await?;
    discard_timeline(&site.repository, &discarded).await?;
    assert!(!site.listed_wal().await?.iter().any(|name| name.starts_with("00000002")));
    assert_eq!(plan(site, 1, 0).await?.keep_backups, [stray.keys()[2]]);
    Ok(())
}

/// PostgreSQL looks for one history after the other, so a gap would hide those behind it.
pub(crate) async fn the_history_of_a_discarded_timeline_stays_where_a_later_one_is_found_by_it(
    subject: Subject,
) -> Result<()> {
    let stray = Stray::new(subject).await?;
    let site = &stray.site;
    let production = stray.copy.promoted();
    let (history, text) = production.history(&[(site.cluster.timeline(), 11)]);
    site.archive_as(history, text.as_bytes()).await?;
    site.archive_of(&production, 11..=12).await?;
    let plan = plan_discard(&site.repository, stray.copy.timeline()).await?;
    assert!(
        plan.notices.iter().any(|notice| notice.contains("00000002.history is kept")),
        "{:?}",
        plan.notices
    );
    discard_timeline(&site.repository, &plan).await?;
    let listed = site.listed_wal().await?;
    assert!(
        listed.contains(&"00000002.history".to_owned())
            && !listed.contains(&stray.copy.segment_name(5).to_string())
    );
    assert_eq!(restore_latest(site, &restore_options()).await?.0, stray.keys()[2]);
    Ok(())
}
