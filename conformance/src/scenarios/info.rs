//! Scenarios of info.

use anyhow::{Context, Result};
use jiff::SignedDuration;
use serde_json::{Value, json};
use swiftwal_core::{BackupKey, Clock, ErrorKind, Info, Pin, RestoreForecast, TimelineInfo, info};
use swiftwal_postgres::WalName;

use super::{site::Site, unknown::rewrite_record};
use crate::{
    SyntheticCluster,
    faulty::{Faults, LISTING},
    subject::Subject,
};

/// The most listings that a report may read.
const MOST_LISTINGS: usize = 3;

/// Reports, and checks that the report reads few listings and changes nothing.
async fn report(site: &Site) -> Result<Info> {
    let before = site.subject.everything().await?;
    let calls = Faults::none();
    let report = info(&site.subject.repository_with(&calls)?, None).await?;
    let listings = calls.reads().iter().filter(|read| *read == LISTING).count();
    assert!(listings <= MOST_LISTINGS, "{listings} listings");
    assert_eq!(site.subject.everything().await?, before);
    Ok(report)
}

fn holes(timeline: &TimelineInfo) -> Vec<(String, String, Option<u64>)> {
    let holes = timeline.holes.iter();
    holes.map(|hole| (hole.first_wal.to_string(), hole.last_wal.to_string(), hole.segments)).collect()
}

/// The windows: the backup at the beginning of each, and the last segment.
fn windows(report: &Info) -> Vec<(BackupKey, String)> {
    let windows = report.recovery_windows.iter();
    windows.map(|window| (window.from_backup, window.to_wal.to_string())).collect()
}

fn names<const N: usize>(cluster: &SyntheticCluster, numbers: [u64; N]) -> [String; N] {
    numbers.map(|number| cluster.segment_name(number).to_string())
}

pub(crate) async fn a_hole_ends_the_recovery_of_every_backup_before_it(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let records = [site.back_up(3, 4).await?, site.back_up(6, 7).await?];
    site.archive(5..=5).await?;
    site.archive(8..=8).await?;
    let after = site.back_up(11, 12).await?;
    site.archive(13..=14).await?;
    let report = report(&site).await?;
    let [first, last, end, newest] = names(&site.cluster, [9, 10, 8, 14]);
    let [timeline] = &report.timelines[..] else { anyhow::bail!("{report:?}") };
    assert_eq!(holes(timeline), [(first, last, Some(2))]);
    assert_eq!((timeline.segments, timeline.last_wal), (10, Some(site.cluster.segment_name(14))));
    assert_eq!(windows(&report), [(records[0].key, end), (after.key, newest)]);
    let [first, second] = &report.recovery_windows[..] else { anyhow::bail!("{report:?}") };
    assert_eq!((first.from, second.from), (records[0].finished, after.finished));
    assert!(
        report.backups.iter().all(|backup| !backup.only_itself && backup.problem.is_none()),
        "{report:?}"
    );
    assert!(report.errors.is_empty() && report.notices.is_empty(), "{report:?}");
    let listed: u64 = site.repository.inventory().await?.wal.iter().map(|wal| wal.bytes).sum();
    assert_eq!(timeline.stored_bytes, listed);
    Ok(())
}

pub(crate) async fn wal_between_backups_that_prune_removed_is_no_hole(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let records = [site.back_up(3, 4).await?, site.back_up(8, 9).await?, site.back_up(12, 12).await?];
    site.archive(10..=11).await?;
    let found = report(&site).await?;
    assert_eq!(holes(&found.timelines[0]), []);
    assert_eq!(windows(&found), [(records[1].key, names(&site.cluster, [12])[0].clone())]);
    let only_itself: Vec<_> = found.backups.iter().map(|backup| backup.only_itself).collect();
    assert_eq!(only_itself, [true, false, false]);
    // What receive-wal found is one all the same.
    let [first, last] = names(&site.cluster, [5, 7]);
    let gap = json!({ "format": 1, "first_wal": first, "last_wal": last, "wal_segment_bytes":
        site.cluster.segment_size().bytes(), "noticed": "2026-11-29T02:10:11Z" });
    site.subject.put(&format!("gap_{first}.json"), gap.to_string().into_bytes()).await?;
    let found = report(&site).await?;
    assert_eq!(holes(&found.timelines[0]), [(first, last, Some(3))]);
    assert!(found.timelines[0].holes[0].noticed.is_some());
    Ok(())
}

pub(crate) async fn recovery_goes_on_over_a_promotion(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let record = site.back_up(3, 4).await?;
    let second = site.cluster.promoted();
    let (history, text) = second.history(&[(site.cluster.timeline(), 6)]);
    site.archive(5..=5).await?;
    site.archive_as(history, text.as_bytes()).await?;
    site.archive_of(&second, 6..=7).await?;
    let found = report(&site).await?;
    assert_eq!(found.timeline, Some(second.timeline()));
    let [one, two] = &found.timelines[..] else { anyhow::bail!("{found:?}") };
    assert_eq!((holes(one), holes(two)), (vec![], vec![]));
    assert_eq!((two.parent, two.branched_off_at), (Some(one.timeline), Some(site.cluster.lsn(6, 0))));
    assert_eq!(windows(&found), [(record.key, names(&second, [7])[0].clone())]);
    // The old timeline's last segment is lost, and the first of the new one: each is missing on its own timeline.
    for name in [site.cluster.wal_name(5), second.wal_name(6)] {
        site.subject.delete(&format!("wal_{name}.zst")).await?;
    }
    let found = report(&site).await?;
    let ([old], [new]) = (names(&site.cluster, [5]), names(&second, [6]));
    assert_eq!(holes(&found.timelines[0]), [(old.clone(), old, Some(1))]);
    assert_eq!(holes(&found.timelines[1]), [(new.clone(), new, Some(1))]);
    assert!(found.backups[0].only_itself && windows(&found).is_empty(), "{found:?}");
    Ok(())
}

pub(crate) async fn an_incomplete_segment_and_wal_inside_backups_are_shown(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let record = site.take_with_wal(&site.cluster.backup(3, 4)).await?;
    let found = report(&site).await?;
    assert!(found.backups[0].only_itself && found.recovery_windows.is_empty(), "{found:?}");
    site.archive(5..=6).await?;
    site.archive_as(WalName::Partial(site.cluster.segment_name(7)), &site.cluster.segment(7)).await?;
    let found = report(&site).await?;
    assert!(found.timelines[0].partial_stored.is_some(), "{found:?}");
    assert!(!found.backups[0].only_itself);
    assert_eq!(windows(&found), [(record.key, names(&site.cluster, [6])[0].clone())]);
    Ok(())
}

pub(crate) async fn pins_and_proofs_are_shown_with_the_backups(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let [old, new] = [site.back_up(3, 4).await?, site.back_up(5, 6).await?];
    let now = site.subject.clock().now();
    let until = now - SignedDuration::from_hours(1);
    site.repository.store_pin(&Pin::new(old.key, until, Some(until), Some("a test".to_owned()))).await?;
    let proof = |kind: &str, verdict: &str, hours: i64| {
        let at = now - SignedDuration::from_hours(hours);
        json!({ "kind": kind, "at": at, "verdict": verdict, "seconds": 42.5 })
    };
    for (key, proof, details) in [
        (old.key, proof("drill", "passed", 3), json!({ "rto_seconds": 60.0 })),
        (old.key, proof("verify", "passed", 2), json!({})),
        (new.key, proof("drill", "failed", 1), json!({})),
    ] {
        site.repository.store_proof(key, &serde_json::from_value(proof)?, &details).await?;
    }
    let found = report(&site).await?;
    let [first, second] = &found.backups[..] else { anyhow::bail!("{found:?}") };
    let kept = first.kept.as_ref().context("the pin isn't shown")?;
    assert!(kept.expired && kept.reason.as_deref() == Some("a test"), "{kept:?}");
    let document: Value = serde_json::to_value(&found)?;
    assert_eq!(document["backups"][0]["last_proof"], proof("verify", "passed", 2));
    assert_eq!(document["backups"][1]["last_proof"]["verdict"], "failed");
    assert!(first.problem.is_none() && second.problem.is_some(), "{found:?}");
    let RestoreForecast { backup, seconds, drilled, .. } = found.restore_forecast.context("no forecast")?;
    assert_eq!((backup, seconds, drilled), (old.key, 60.0, old.key));
    assert_eq!(found.last_drill.context("no drill")?.backup, old.key);
    Ok(())
}

pub(crate) async fn what_is_damaged_is_named_and_the_rest_is_reported(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let records = [site.back_up(3, 4).await?, site.back_up(5, 6).await?];
    let [damaged, whole] = records.map(|record| record.key);
    let gap = format!("gap_{}.json", site.cluster.segment_name(9));
    for object in [
        format!("pg_basebackup_{damaged}.json"),
        format!("keep_{whole}.json"),
        format!("verify_{whole}.json"),
        gap.clone(),
        "cluster.json".to_owned(),
    ] {
        site.subject.put(&object, "{").await?;
    }
    let found = report(&site).await?;
    let named: Vec<_> = found.errors.iter().map(|error| (error.kind(), error.to_string())).collect();
    for object in [format!("pg_basebackup_{damaged}.json"), gap, "cluster.json".to_owned()] {
        let is_named =
            |(kind, text): &(ErrorKind, String)| *kind == ErrorKind::Damaged && text.contains(&object);
        assert!(named.iter().any(is_named), "{object}: {named:?}");
    }
    assert_eq!(named.len(), 3, "{named:?}");
    let notices = found.notices.concat();
    assert!(notices.contains(&format!("{whole} is kept")) && notices.contains("verify_"), "{notices}");
    assert!(found.backups[0].problem.is_some() && found.backups[1].problem.is_none(), "{found:?}");
    assert_eq!(found.backups[1].kept.as_ref().map(|kept| kept.expired), Some(false));
    assert_eq!(windows(&found), [(whole, names(&site.cluster, [6])[0].clone())]);
    Ok(())
}

pub(crate) async fn a_backup_that_cannot_be_restored_opens_no_window(subject: Subject) -> Result<()> {
    let site = Site::new(subject)?;
    let [old, new] = [site.back_up(3, 4).await?, site.back_up(5, 6).await?];
    rewrite_record(&site, &format!("pg_basebackup_{}.json", new.key), |backup| {
        backup["kind"] = "incremental".into();
        backup["parent"] = "20010101T0000Z".into();
    })
    .await?;
    site.subject.delete(&format!("wal_{}.zst", site.cluster.wal_name(3))).await?;
    let found = report(&site).await?;
    let problems: Vec<_> =
        found.backups.iter().map(|backup| backup.problem.clone().unwrap_or_default()).collect();
    let problem =
        |key| found.backups.iter().zip(&problems).find(|(backup, _)| backup.key == key).map(|(_, text)| text);
    assert!(problem(old.key).is_some_and(|text| text.contains("to become consistent")), "{problems:?}");
    assert!(problem(new.key).is_some_and(|text| text.contains("20010101T0000Z")), "{problems:?}");
    assert!(found.recovery_windows.is_empty(), "{found:?}");
    Ok(())
}
