//! Scenarios of prune with several branches in one repository: only a person knows which one is production.

use anyhow::Result;
use swiftwal_core::ErrorKind;

use super::{
    prune::{plan, prune_to},
    site::{Site, refused},
    stray::{Stray, store_history},
};
use crate::subject::Subject;

/// Each branch keeps the requested number, since only a person knows which one is production.
pub(crate) async fn prune_counts_the_backups_of_each_branch(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let copy = site.cluster.promoted();
    let shared = site.back_up(2, 3).await?;
    store_history(&site, &copy, 4).await?;
    let mut production = Vec::new();
    let mut of_copy = Vec::new();
    for start in [5, 7, 9] {
        production.push(site.back_up(start, start).await?.key);
        of_copy.push(site.back_up_of(&copy, start, start).await?.key);
    }
    let plan = prune_to(&site, 2, 0).await?;
    assert_eq!(plan.keep_backups, [production[1], of_copy[1], production[2], of_copy[2]]);
    assert_eq!(plan.remove_backups, [shared.key, production[0], of_copy[0]]);
    let listed = site.listed_wal().await?;
    assert!(listed.contains(&site.cluster.segment_name(7).to_string()), "{listed:?}");
    assert!(!listed.contains(&site.cluster.segment_name(6).to_string()), "{listed:?}");
    let told = format!("pg_basebackup_{}.json", production[2]);
    assert!(plan.notices.iter().any(|notice| notice.contains(&told)), "{:?}", plan.notices);
    Ok(())
}

/// It keeps an old backup and all WAL since then, so prune says how to discard it.
pub(crate) async fn prune_says_how_to_discard_a_stray_timeline(subject: Subject) -> Result<()> {
    let stray = Stray::new(subject).await?;
    let [first, _, third] = stray.keys();
    let plan = prune_to(&stray.site, 1, 0).await?;
    assert_eq!(plan.keep_backups, [first, third]);
    let told = "swiftwal timeline discard 2";
    assert!(plan.notices.iter().any(|notice| notice.contains(told)), "{:?}", plan.notices);
    Ok(())
}

/// Such a backup may be of any timeline, and no WAL shows which one.
pub(crate) async fn where_no_backup_has_a_readable_label_none_is_removed(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    for key in ["20130828T1810Z", "20130829T1125Z"] {
        site.subject.put(&format!("pg_basebackup_{key}.tgz"), "no tar at all").await?;
    }
    let error = refused(plan(&site, 1, 0).await);
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    for key in ["20130828T1810Z", "20130829T1125Z"] {
        site.subject.put(&format!("backup_label_{key}.txt"), "no label").await?;
    }
    refused(plan(&site, 1, 0).await);
    assert_eq!(site.listed().await?.len(), 2);
    Ok(())
}
