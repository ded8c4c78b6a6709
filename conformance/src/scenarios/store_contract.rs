//! Scenarios of the store itself: `object_store`'s own tests, and the further requirements of the flows.

use std::sync::Arc;

use anyhow::{Result, ensure};
use bytes::Bytes;
use futures::future::join_all;
use jiff::SignedDuration;
use object_store::{DynObjectStore, Error, ObjectStoreExt, PutMode, integration, path::Path};
use swiftwal_core::Clock;

use crate::subject::Subject;

fn store(subject: &Subject) -> Result<Arc<DynObjectStore>> {
    Ok(Arc::clone(subject.storage()?.store()))
}

pub(crate) async fn objects_are_put_got_listed_and_deleted(subject: Subject) -> Result<()> {
    integration::put_get_delete_list(&*store(&subject)?).await;
    Ok(())
}

pub(crate) async fn ranges_and_conditions_of_a_get_are_kept(subject: Subject) -> Result<()> {
    integration::get_opts(&*store(&subject)?).await;
    Ok(())
}

pub(crate) async fn a_put_can_refuse_to_overwrite(subject: Subject) -> Result<()> {
    let contract = subject.harness().contract();
    integration::put_opts(&*store(&subject)?, contract.conditional_update).await;
    Ok(())
}

pub(crate) async fn attributes_are_kept_or_refused(subject: Subject) -> Result<()> {
    integration::put_get_attributes(&*store(&subject)?).await;
    Ok(())
}

pub(crate) async fn directories_are_listed_as_such(subject: Subject) -> Result<()> {
    integration::list_uses_directories_correctly(&*store(&subject)?).await;
    Ok(())
}

pub(crate) async fn a_listing_stops_at_a_delimiter(subject: Subject) -> Result<()> {
    integration::list_with_delimiter(&*store(&subject)?).await;
    Ok(())
}

pub(crate) async fn a_listing_begins_behind_its_offset(subject: Subject) -> Result<()> {
    integration::list_with_offset_exclusivity(&*store(&subject)?).await;
    Ok(())
}

pub(crate) async fn objects_are_copied_and_renamed(subject: Subject) -> Result<()> {
    integration::rename_and_copy(&*store(&subject)?).await;
    Ok(())
}

pub(crate) async fn a_copy_can_refuse_to_overwrite(subject: Subject) -> Result<()> {
    if subject.harness().contract().conditional_copy {
        integration::copy_if_not_exists(&*store(&subject)?).await;
        integration::copy_rename_nonexistent_object(&*store(&subject)?).await;
    }
    Ok(())
}

pub(crate) async fn an_upload_in_parts_is_read_back_as_a_stream(subject: Subject) -> Result<()> {
    integration::stream_get(&*store(&subject)?).await;
    Ok(())
}

pub(crate) async fn parts_may_arrive_in_any_order(subject: Subject) -> Result<()> {
    integration::multipart_out_of_order(&*store(&subject)?).await;
    Ok(())
}

pub(crate) async fn what_was_opened_again_is_the_same_storage(subject: Subject) -> Result<()> {
    store(&subject)?.put(&Path::from("name"), "content".into()).await?;
    let read = store(&subject)?.get(&Path::from("name")).await?.bytes().await?;
    assert_eq!(read, "content");
    Ok(())
}

pub(crate) async fn names_that_begin_with_dots_are_kept_as_they_are(subject: Subject) -> Result<()> {
    let names = ["...uploading/20130828T1810Z/7b9c", "...x", "wal_00000002.history.zst", "with space"];
    for name in names {
        subject.put(name, name).await?;
    }
    assert_eq!(subject.objects().await?, names.map(str::to_owned).into());
    for name in names {
        assert_eq!(subject.get(name).await?, name);
    }
    Ok(())
}

pub(crate) async fn of_writers_at_the_same_time_one_wins_whole(subject: Subject) -> Result<()> {
    let (store, name) = (store(&subject)?, Path::from("contested"));
    let bodies: Vec<_> = (0..20_u8).map(|n| Bytes::from(vec![n; 100_000])).collect();
    let puts = bodies.iter().map(|body| store.put_opts(&name, body.clone().into(), PutMode::Create.into()));
    let outcomes = join_all(puts).await;
    ensure!(outcomes.iter().any(Result::is_ok), "nobody won: {:?}", outcomes.first());
    let survivor = store.get(&name).await?.bytes().await?;
    assert!(bodies.contains(&survivor), "what is stored is nobody's");
    let late = store.put_opts(&name, "late".into(), PutMode::Create.into()).await;
    assert!(matches!(late, Err(Error::AlreadyExists { .. })), "{late:?}");
    Ok(())
}

pub(crate) async fn an_upload_has_no_name_before_it_is_complete(subject: Subject) -> Result<()> {
    let (store, name) = (store(&subject)?, Path::from("upload"));
    let part = Bytes::from(vec![7; subject.storage()?.limits().part_bytes]);
    let mut upload = store.put_multipart(&name).await?;
    upload.put_part(part.clone().into()).await?;
    assert!(subject.objects().await?.is_empty());
    upload.put_part("end".into()).await?;
    upload.complete().await?;
    assert_eq!(store.get(&name).await?.bytes().await?.len(), part.len() + 3);
    Ok(())
}

pub(crate) async fn an_upload_that_was_given_up_leaves_nothing(subject: Subject) -> Result<()> {
    let storage = subject.storage()?;
    let mut upload =
        storage.store().put_multipart(&Path::from("pg_basebackup_20130828T1810Z.tar.zst")).await?;
    upload.put_part(vec![7; storage.limits().part_bytes].into()).await?;
    upload.abort().await?;
    assert!(subject.objects().await?.is_empty());
    if let Some(sweeper) = storage.sweeper() {
        let tomorrow = subject.clock().now() + SignedDuration::from_hours(24);
        assert!(sweeper.leftovers(tomorrow, Vec::new()).await?.is_empty());
    }
    Ok(())
}

/// The upload is forgotten rather than dropped: a killed process cleans up nothing.
pub(crate) async fn what_a_killed_upload_leaves_can_be_swept(subject: Subject) -> Result<()> {
    let storage = subject.storage()?;
    let mut upload =
        storage.store().put_multipart(&Path::from("pg_basebackup_20130828T1810Z.tar.zst")).await?;
    upload.put_part(vec![7; storage.limits().part_bytes].into()).await?;
    std::mem::forget(upload);
    subject.put("neighbor", "stays").await?;
    let Some(sweeper) = storage.sweeper() else { return Ok(()) };
    let (yesterday, tomorrow) = (SignedDuration::from_hours(-24), SignedDuration::from_hours(24));
    assert!(
        sweeper.leftovers(subject.clock().now() + yesterday, Vec::new()).await?.is_empty(),
        "it may be in progress"
    );
    let leftovers = sweeper.leftovers(subject.clock().now() + tomorrow, Vec::new()).await?;
    assert!(!leftovers.is_empty());
    sweeper.remove(&leftovers).await?;
    sweeper.remove(&leftovers).await?;
    assert!(sweeper.leftovers(subject.clock().now() + tomorrow, Vec::new()).await?.is_empty());
    assert_eq!(subject.objects().await?, ["neighbor".to_owned()].into());
    Ok(())
}

pub(crate) async fn what_is_stored_is_dated_by_the_clock_that_the_storage_tells(
    subject: Subject,
) -> Result<()> {
    let storage = subject.storage()?;
    let Some(clock) = storage.clock() else { return Ok(()) };
    // Either may omit a fraction of a second.
    let second = SignedDuration::from_secs(1);
    let before = clock.now().await? - second;
    let name = Path::from("dated");
    storage.store().put(&name, "x".into()).await?;
    let dated = storage.store().head(&name).await?.last_modified.timestamp();
    let after = clock.now().await? + second;
    assert!((before.as_second()..=after.as_second()).contains(&dated), "{before}, {dated}, {after}");
    assert_eq!(subject.everything().await?, ["dated".to_owned()].into(), "asking leaves nothing");
    Ok(())
}

pub(crate) async fn deleting_what_is_absent_changes_nothing(subject: Subject) -> Result<()> {
    subject.put("neighbor", "stays").await?;
    let outcome = store(&subject)?.delete(&Path::from("absent")).await;
    assert!(matches!(outcome, Ok(()) | Err(Error::NotFound { .. })), "{outcome:?}");
    assert_eq!(subject.objects().await?, ["neighbor".to_owned()].into());
    Ok(())
}
