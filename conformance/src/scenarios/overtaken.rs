//! Scenarios of commands that delete, and of backups and other such commands that begin after they have made their plans.

use std::num::NonZeroU32;

use anyhow::Result;
use swiftwal_core::{
    BackupEvent, ErrorKind, PrunePolicy, archive_cleanup, discard_timeline, plan_archive_cleanup,
    plan_discard, plan_prune, prune,
};

use super::{
    prune::{plan, prune_to},
    site::{Site, refused, shown, site_with_chain},
    stray::Stray,
};
use crate::{
    SourceFault, SyntheticSource,
    faulty::{Faults, WriteFault},
    subject::Subject,
};

/// As that of a standby whose last restartpoint was before the newest backup.
fn of_a_standby(site: &Site) -> SyntheticSource {
    site.cluster.backup(4, 9)
}

/// Awaits `work` when a backup has begun that needs the WAL from segment 4 on.
async fn during_backup<T>(site: &Site, work: impl Future<Output = T>) -> T {
    let source = of_a_standby(site).with_fault(SourceFault::StallsAfter(64 << 10));
    site.during_backup(&source, |event| matches!(event, BackupEvent::Label(_)), work).await
}

async fn remove_markers(site: &Site) -> Result<()> {
    for name in site.subject.objects().await?.iter().filter(|name| name.starts_with("...uploading/")) {
        site.subject.delete(name).await?;
    }
    Ok(())
}

/// A command that finds such a backup before it writes its marks leaves none.
async fn assert_no_marks(site: &Site) -> Result<()> {
    let objects = site.subject.objects().await?;
    let is_mark = |name: &&String| name.starts_with("...removing_wal") || name.starts_with("...deleting");
    assert_eq!(objects.iter().find(is_mark), None);
    Ok(())
}

pub(crate) async fn wal_is_kept_for_a_backup_that_began_after_the_plan(subject: Subject) -> Result<()> {
    let (site, _) = site_with_chain(subject).await?;
    // Only WAL remains to be removed.
    prune_to(&site, 1, 100).await?;
    let before = site.subject.objects().await?;
    let pruning = plan(&site, 1, 0).await?;
    let cleanup = plan_archive_cleanup(&site.repository, site.cluster.wal_name(9), false).await?;
    during_backup(&site, async {
        for error in [
            refused(prune(&site.repository, &pruning).await),
            refused(archive_cleanup(&site.repository, &cleanup).await),
        ] {
            assert_eq!(error.kind(), ErrorKind::Refused);
            assert!(shown(&error).contains("may need WAL that was to be removed"), "{error}");
        }
        Ok::<_, anyhow::Error>(())
    })
    .await?;
    let after = site.subject.objects().await?;
    assert!(after.is_superset(&before));
    assert_no_marks(&site).await
}

pub(crate) async fn a_timeline_is_kept_for_a_backup_that_began_after_the_plan(
    subject: Subject,
) -> Result<()> {
    let stray = Stray::new(subject).await?;
    let site = &stray.site;
    let plan = plan_discard(&site.repository, stray.copy.timeline()).await?;
    // The last one may be promoted to the timeline while its backup is taken.
    for source in [stray.copy.backup(5, 5), stray.copy.backup(7, 7), site.cluster.backup(4, 4)] {
        let source = source.with_fault(SourceFault::StallsAfter(64 << 10));
        let (discarded, planned) = site
            .during_backup(&source, |event| matches!(event, BackupEvent::Label(_)), async {
                let discarded = discard_timeline(&site.repository, &plan).await;
                (discarded, plan_discard(&site.repository, stray.copy.timeline()).await)
            })
            .await;
        for error in [refused(discarded), refused(planned)] {
            assert!(error.to_string().contains("in progress"), "{error}");
        }
        assert!(site.listed_wal().await?.contains(&"00000002.history".to_owned()));
        assert_no_marks(site).await?;
        remove_markers(site).await?;
    }
    let later = site.cluster.backup(6, 6).with_fault(SourceFault::StallsAfter(64 << 10));
    site.during_backup(&later, |event| matches!(event, BackupEvent::Label(_)), async {
        discard_timeline(&site.repository, &plan).await
    })
    .await?;
    Ok(())
}

pub(crate) async fn no_backup_begins_on_wal_that_is_being_removed(subject: Subject) -> Result<()> {
    let (site, keys) = site_with_chain(subject).await?;
    let mark = |number| format!("...removing_wal/{}", site.cluster.wal_name(number));
    for (last, is_refused) in [(3, false), (4, true), (7, true)] {
        site.subject.put(&mark(last), Vec::new()).await?;
        let taken = site.take(&of_a_standby(&site)).await;
        if is_refused {
            let error = refused(taken);
            assert_eq!(error.kind(), ErrorKind::Refused);
            assert!(shown(&error).contains(&mark(last)), "{error}");
        } else {
            let source = of_a_standby(&site);
            site.assert_restorable(&taken?, &source).await?;
        }
        site.subject.delete(&mark(last)).await?;
        site.wait_hours(1);
    }
    assert_eq!(site.listed().await?.len(), keys.len() + 1);
    // The standby may be promoted to another timeline while its backup is taken.
    site.subject.put(&format!("...removing_wal/{}", site.cluster.promoted().wal_name(4)), Vec::new()).await?;
    let error = refused(site.take(&of_a_standby(&site)).await);
    assert!(shown(&error).contains("CHECKPOINT on the primary"), "{error}");
    site.take(&site.cluster.backup(5, 9)).await?;
    Ok(())
}

pub(crate) async fn the_mark_of_a_removal_of_wal_goes_when_that_has_ended(subject: Subject) -> Result<()> {
    let (site, _) = site_with_chain(subject).await?;
    let mark = |number| format!("...removing_wal/{}", site.cluster.wal_name(number));
    let (ended, running) = (mark(4), mark(6));
    for mark in [&ended, &running] {
        site.subject.put(mark, Vec::new()).await?;
    }
    prune_to(&site, 1, 0).await?;
    let objects = site.subject.objects().await?;
    assert!(!objects.contains(&ended) && objects.contains(&running));
    for is_old in [false, true] {
        let plan = plan_archive_cleanup(&site.repository, site.cluster.wal_name(2), false).await?;
        assert_eq!(plan.remove.len(), 0);
        archive_cleanup(&site.repository, &plan).await?;
        assert_ne!(site.subject.objects().await?.contains(&running), is_old);
        site.wait_hours(25);
    }
    // It is dated as before.
    site.subject.put(&running, Vec::new()).await?;
    prune_to(&site, 1, 0).await?;
    assert!(!site.subject.objects().await?.contains(&running));
    Ok(())
}

/// Another command has finished first, or this one was suspended for a day.
pub(crate) async fn wal_is_kept_for_a_backup_that_began_when_the_mark_was_gone(
    subject: Subject,
) -> Result<()> {
    let (site, [_, child, newest]) = site_with_chain(subject).await?;
    let plan = plan(&site, 1, 0).await?;
    let faults = Faults::holding(format!("...deleting/{child}"));
    let repository = site.subject.repository_with(&faults)?;
    let meanwhile = async {
        faults.held().await;
        site.subject.delete(&format!("...removing_wal/{}", site.cluster.wal_name(4))).await?;
        let taken = site.take(&of_a_standby(&site)).await?;
        faults.let_go();
        Ok::<_, anyhow::Error>(taken)
    };
    let (pruned, taken) = tokio::join!(prune(&repository, &plan), meanwhile);
    let error = refused(pruned);
    assert!(shown(&error).contains("may need WAL that was to be removed"), "{error}");
    let taken = taken?;
    site.assert_restorable(&taken, &of_a_standby(&site)).await?;
    assert_eq!(site.listed().await?, [newest, taken.key]);
    Ok(())
}

/// The first prune would remove them because they are a day old.
pub(crate) async fn marks_that_another_prune_writes_again_are_kept(subject: Subject) -> Result<()> {
    let (site, [full, child, _]) = site_with_chain(subject).await?;
    let mut marks = [full, child].map(|key| format!("...deleting/{key}")).to_vec();
    marks.push(format!("...removing_wal/{}", site.cluster.wal_name(4)));
    for mark in &marks {
        site.subject.put(mark, Vec::new()).await?;
    }
    site.wait_hours(25);
    let first = plan(&site, 2, 0).await?;
    assert!(marks.iter().all(|mark| first.leftovers.contains(mark)), "{:?}", first.leftovers);
    let cleanup = plan_archive_cleanup(&site.repository, site.cluster.wal_name(2), false).await?;
    // It is killed when it has written its marks.
    let second = site.subject.repository_with(&Faults::at_write(marks.len() + 1, WriteFault::Dies))?;
    refused(prune(&second, &plan(&site, 1, 0).await?).await);
    prune(&site.repository, &first).await?;
    archive_cleanup(&site.repository, &cleanup).await?;
    let objects = site.subject.objects().await?;
    assert!(marks.iter().all(|mark| objects.contains(mark)), "{objects:?}");
    Ok(())
}

/// Two prunes that keep different numbers of backups.
pub(crate) async fn a_prune_keeps_the_marks_of_another(subject: Subject) -> Result<()> {
    let (site, [full, child, _]) = site_with_chain(subject).await?;
    let marks = [full, child].map(|key| format!("...deleting/{key}"));
    for mark in &marks {
        site.subject.put(mark, Vec::new()).await?;
    }
    let kept = prune_to(&site, 2, 0).await?;
    assert_eq!(kept.notices.len(), 2, "{:?}", kept.notices);
    for (mark, notice) in marks.iter().zip(&kept.notices) {
        assert!(site.subject.objects().await?.contains(mark));
        assert!(notice.contains(mark), "{notice}");
    }
    site.wait_hours(25);
    prune_to(&site, 2, 0).await?;
    for mark in &marks {
        assert!(!site.subject.objects().await?.contains(mark));
    }
    Ok(())
}

/// Another prune removes its marks after a day.
pub(crate) async fn a_prune_that_was_suspended_deletes_nothing_more(subject: Subject) -> Result<()> {
    let (site, [full, child, newest]) = site_with_chain(subject).await?;
    let plan = plan(&site, 1, 0).await?;
    let faults = Faults::holding(format!("...deleting/{child}"));
    let repository = site.subject.repository_with(&faults)?;
    let suspending = async {
        faults.held().await;
        site.subject.delete(&format!("...deleting/{full}")).await?;
        faults.let_go();
        Ok::<_, anyhow::Error>(())
    };
    let (pruned, suspended) = tokio::join!(prune(&repository, &plan), suspending);
    suspended?;
    let error = refused(pruned).to_string();
    assert!(
        error.contains(&format!("...deleting/{full}")) && error.contains("another prune has removed it"),
        "{error}"
    );
    assert_eq!(site.listed().await?, [full, newest]);
    Ok(())
}

pub(crate) async fn a_backup_that_another_prune_deletes_is_not_called_incomplete(
    subject: Subject,
) -> Result<()> {
    let (site, [full, ..]) = site_with_chain(subject).await?;
    let label = format!("backup_label_{full}.txt");
    let faults = Faults::holding(&label);
    let repository = site.subject.repository_with(&faults)?;
    let policy = PrunePolicy::newest(NonZeroU32::MAX);
    let other = async {
        faults.held().await;
        prune_to(&site, 1, 0).await?;
        faults.let_go();
        Ok::<_, anyhow::Error>(())
    };
    let (planned, pruned) = tokio::join!(plan_prune(&repository, &policy), other);
    pruned?;
    let error = refused(planned).to_string();
    assert!(error.contains("was deleted by another command"), "{error}");
    Ok(())
}
