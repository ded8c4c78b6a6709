//! Which process holds a key, and what an abandoned claim leaves.

use std::sync::Arc;

use object_store::{PutMode, memory::InMemory};

use super::{claim_object::Holder, running_marker::HEARTBEAT, *};
use crate::{local::clock::SystemClock, storage::Storage};

fn repository() -> Repository {
    Repository::new(Storage::new(Arc::new(InMemory::new())), "a test", Arc::new(SystemClock))
}

async fn take(repository: &Repository) -> Result<Claim<'_>> {
    Claim::take(repository, repository.clock().now()).await
}

#[tokio::test(start_paused = true)]
async fn a_live_claim_writes_its_marker_anew_every_ten_minutes() {
    let repository = repository();
    let claim = take(&repository).await.unwrap();
    for _ in 0..3 {
        repository.delete(&claim.marker.name).await.unwrap();
        let ten_minutes = tokio::time::sleep(HEARTBEAT + Duration::from_secs(1));
        tokio::select! {
            never = claim.keep_alive() => match never {},
            () = ten_minutes => {}
        }
        assert!(repository.size(&claim.marker.name).await.unwrap().is_some());
    }
}

/// Returns which objects remain of an abandoned claim that had stored its label.
async fn abandoned(claim: Claim<'_>) -> [bool; 2] {
    let repository = claim.repository;
    let (label, marker) =
        (ObjectName::Backup { key: claim.key, part: BackupPart::Label }, claim.marker.name.clone());
    repository.put(&label, "label".into(), PutMode::Create).await.unwrap();
    claim.abandon().await;
    [repository.size(&label).await.unwrap().is_some(), repository.size(&marker).await.unwrap().is_some()]
}

#[tokio::test]
async fn what_may_have_been_committed_is_not_removed_by_who_gave_up() {
    let repository = repository();
    let claim = take(&repository).await.unwrap();
    claim.note_record_sent();
    assert_eq!(abandoned(claim).await, [true, true]);
}

#[tokio::test]
async fn what_was_not_being_committed_is_removed_with_its_marker() {
    let repository = repository();
    let claim = take(&repository).await.unwrap();
    assert_eq!(abandoned(claim).await, [false, false]);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_somebody_else_claims_later_is_ours_alone_no_more() {
    let repository = repository();
    let claim = take(&repository).await.unwrap();
    claim.ensure_alone().await.unwrap();
    let other = ObjectName::Marker { claim: claim.key.to_string(), id: "other".to_owned() };
    repository.put(&other, "{}".into(), PutMode::Create).await.unwrap();
    assert!(claim.ensure_alone().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn who_finds_a_key_taken_and_goes_on_does_not_end_the_backup_that_has_it() {
    let repository = repository();
    let claim = take(&repository).await.unwrap();
    let passing = ObjectName::Marker { claim: claim.key.to_string(), id: "passing".to_owned() };
    repository.put(&passing, "{}".into(), PutMode::Create).await.unwrap();
    let goes_on = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        repository.delete(&passing).await.unwrap();
    };
    let (alone, ()) = futures::join!(claim.ensure_alone(), goes_on);
    alone.unwrap();
}

#[tokio::test]
async fn a_key_whose_claim_object_is_anothers_is_not_taken_though_no_listing_shows_a_marker() {
    let repository = repository();
    let first = take(&repository).await.unwrap();
    // Acts as if the listing lagged behind.
    repository.delete(&first.marker.name).await.unwrap();
    let second = take(&repository).await.unwrap();
    assert_ne!(first.key, second.key);
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_was_swept_or_is_anothers_by_now_is_not_committed() {
    let repository = repository();
    let claim = take(&repository).await.unwrap();
    claim.ensure_held().await.unwrap();
    repository.delete(&claim.object.name).await.unwrap();
    let swept = claim.ensure_held().await.unwrap_err().to_string();
    assert!(swept.contains("was suspended for more than a day"), "{swept}");
    let holder = Holder { id: "other".to_owned(), host: "other".to_owned(), pid: 1 };
    let holder = serde_json::to_vec(&holder).unwrap();
    repository.put(&claim.object.name, holder.into(), PutMode::Create).await.unwrap();
    let taken = claim.ensure_held().await.unwrap_err().to_string();
    assert!(taken.contains("another process is writing"), "{taken}");
    assert_eq!(abandoned(claim).await, [true, false], "what lies there is the other one's");
}

#[tokio::test]
async fn where_every_key_of_a_minute_is_taken_no_backup_is_overwritten_and_nothing_left() {
    let repository = repository();
    let started = Timestamp::UNIX_EPOCH;
    let seconds = (0..TRIES).map(|later| started + Duration::from_secs(later.into()));
    for key in seconds.map(BackupKey::to_the_second).chain([BackupKey::to_the_minute(started)]) {
        let record = BackupRecord::object_name(key);
        repository.put(&record, "a record".into(), PutMode::Create).await.unwrap();
    }
    let error = Claim::take(&repository, started).await.unwrap_err();
    assert!(error.to_string().contains("every key from 19700101T0000Z on is taken"), "{error}");
    assert!(all_markers(&repository).await.unwrap().is_empty());
}
