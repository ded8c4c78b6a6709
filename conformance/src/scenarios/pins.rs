//! Scenarios of keep, unkeep and delete.

use anyhow::Result;
use jiff::SignedDuration;
use swiftwal_core::{BackupChoice, BackupKey, Clock, ErrorKind, delete, keep, plan_delete, prune, unkeep};

use super::{
    prune::plan,
    retention::prove,
    site::{Site, refused, shown, site_with_chain},
};
use crate::{
    faulty::{Faults, WriteFault},
    subject::Subject,
};

const REASON: &str = "before the migration";

async fn back_up_twice(site: &Site) -> Result<[BackupKey; 2]> {
    Ok([site.back_up(2, 3).await?.key, site.back_up(5, 6).await?.key])
}

pub(crate) async fn a_pin_keeps_a_backup_until_it_is_removed_or_expires(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let [first, newest] = back_up_twice(&site).await?;
    let choice = BackupChoice::Key(first);
    let tomorrow = site.subject.clock().now() + SignedDuration::from_hours(24);
    let pin = keep(&site.repository, choice, None, Some(REASON.to_owned())).await?;
    assert_eq!((pin.key, pin.until, pin.reason.as_deref()), (first, None, Some(REASON)));
    assert!(plan(&site, 1, 0).await?.remove_backups.is_empty());
    let error = refused(plan_delete(&site.repository, first).await);
    assert!(shown(&error).contains("it is pinned (before the migration)"), "{}", shown(&error));

    // The later pin replaces the earlier one.
    keep(&site.repository, choice, Some(tomorrow), None).await?;
    assert!(plan(&site, 1, 0).await?.remove_backups.is_empty());
    site.wait_hours(25);
    assert_eq!(plan(&site, 1, 0).await?.remove_backups, [first]);

    let error = refused(keep(&site.repository, choice, Some(tomorrow), None).await);
    assert!(error.to_string().contains("has passed"), "{error}");
    keep(&site.repository, choice, None, None).await?;
    assert!(plan(&site, 1, 0).await?.remove_backups.is_empty());
    assert_eq!(unkeep(&site.repository, choice).await?, (first, true));
    assert_eq!(unkeep(&site.repository, choice).await?, (first, false));
    assert_eq!(unkeep(&site.repository, BackupChoice::Latest).await?, (newest, false));
    assert_eq!(plan(&site, 1, 0).await?.remove_backups, [first]);
    let unknown = BackupChoice::Key("19990101T0000Z".parse()?);
    for error in [
        refused(keep(&site.repository, unknown, None, None).await),
        refused(unkeep(&site.repository, unknown).await),
    ] {
        assert_eq!(error.kind(), ErrorKind::Absent, "{error}");
    }
    Ok(())
}

/// Whichever of the two comes first, at least one of them finds the other.
pub(crate) async fn of_keep_and_prune_at_the_same_time_one_finds_the_other(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let [first, newest] = back_up_twice(&site).await?;
    let choice = BackupChoice::Key(first);
    // The prune has marked the backup, and asks for its pin next.
    let pruning = plan(&site, 1, 0).await?;
    let faults = Faults::holding(format!("keep_{first}.json"));
    let repository = site.subject.repository_with(&faults)?;
    let meanwhile = async {
        faults.held().await;
        let kept = keep(&site.repository, choice, None, None).await;
        faults.let_go();
        kept
    };
    let (pruned, kept) = tokio::join!(prune(&repository, &pruning), meanwhile);
    assert!(shown(&refused(kept)).contains("has begun"));
    let remaining = site.listed().await?;
    // What the prune was answered when it asked is the storage's matter; it didn't remove what is pinned unnoticed.
    match pruned {
        Ok(()) => assert_eq!(remaining, [newest]),
        Err(error) => {
            assert!(error.to_string().contains("was pinned after the plan was made"), "{error}");
            assert_eq!(remaining, [first, newest]);
        }
    }

    // The pin is stored, and keep asks for the mark next.
    let site = Site::new(site.subject)?;
    let [first, newest] = [site.back_up(8, 9).await?.key, site.back_up(11, 12).await?.key];
    let choice = BackupChoice::Key(first);
    let pruning = plan(&site, 1, 0).await?;
    let faults = Faults::holding(format!("...deleting/{first}"));
    let repository = site.subject.repository_with(&faults)?;
    let meanwhile = async {
        faults.held().await;
        let pruned = prune(&site.repository, &pruning).await;
        faults.let_go();
        pruned
    };
    let (_, pruned) = tokio::join!(keep(&repository, choice, None, None), meanwhile);
    assert!(refused(pruned).to_string().contains("was pinned after the plan was made"));
    let listed = site.listed().await?;
    assert!(listed.ends_with(&[first, newest]), "{listed:?}");
    Ok(())
}

pub(crate) async fn a_keep_that_fails_anywhere_can_be_repeated(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let [first, _] = back_up_twice(&site).await?;
    for fault in WriteFault::ALL {
        let faults = Faults::at_write(1, fault);
        let repository = site.subject.repository_with(&faults)?;
        refused(keep(&repository, BackupChoice::Key(first), None, None).await);
        keep(&site.repository, BackupChoice::Key(first), None, None).await?;
        assert!(plan(&site, 1, 0).await?.remove_backups.is_empty(), "{fault:?}");
        unkeep(&site.repository, BackupChoice::Key(first)).await?;
    }
    Ok(())
}

pub(crate) async fn a_backup_is_deleted_unless_something_needs_it(subject: Subject) -> Result<()> {
    let (site, [full, child, newest]) = site_with_chain(subject).await?;
    prove(&site, newest).await?;
    let before = site.subject.objects().await?;
    let error = refused(plan_delete(&site.repository, full).await);
    assert!(
        shown(&error).contains(&format!("build on it: {child}; delete these first")),
        "{}",
        shown(&error)
    );
    let error = refused(plan_delete(&site.repository, newest).await);
    assert!(shown(&error).contains("the only backup that was proven"), "{}", shown(&error));
    let planned = plan_delete(&site.repository, child).await?;
    assert_eq!(site.subject.objects().await?, before, "a plan changes nothing");

    // It is pinned after the plan was made.
    keep(&site.repository, BackupChoice::Key(child), None, None).await?;
    let error = refused(delete(&site.repository, &planned).await);
    assert!(error.to_string().contains("was pinned"), "{error}");
    unkeep(&site.repository, BackupChoice::Key(child)).await?;
    let wal = site.listed_wal().await?;
    for key in [child, full] {
        let plan = plan_delete(&site.repository, key).await?;
        delete(&site.repository, &plan).await?;
        let objects = site.subject.objects().await?;
        assert!(!objects.iter().any(|object| object.contains(&key.to_string())), "{objects:?}");
    }
    assert_eq!(site.listed().await?, [newest]);
    assert_eq!(site.listed_wal().await?, wal, "WAL is left to prune");
    let error = refused(plan_delete(&site.repository, full).await);
    assert_eq!(error.kind(), ErrorKind::Absent, "{error}");
    Ok(())
}
