//! Proofs: what verify and drill found out about a backup. They are stored beside it and are removed with it.

use std::{cmp::Reverse, collections::BTreeMap};

use futures::{StreamExt, stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, ErrorKind, Result},
    repository::{
        Repository,
        inventory::Inventory,
        key::BackupKey,
        layout::{BackupPart, ObjectName},
        objects::CONCURRENT_READS,
    },
};

/// The newest format version that this program reads, and the one it writes.
const FORMAT: u32 = 1;

/// The result of one verify or drill of a backup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Proof {
    /// The command.
    pub kind: ProofKind,
    /// When it ended, by the storage's clock.
    pub at: Timestamp,
    /// What it found.
    pub verdict: Verdict,
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// A command that examines a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProofKind {
    /// verify: every byte was read and compared.
    Verify,
    /// drill: the backup was restored, and a server was started on it.
    Drill,
}

/// What a verify or drill found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// All of it was looked at, and nothing is wrong.
    Passed,
    /// Something is wrong with the backup.
    Failed,
    /// Nothing wrong was found, but not everything could be looked at, or was to be.
    NotProven,
}

/// The proofs of all backups.
#[derive(Clone, Debug, Default)]
pub struct Proofs {
    /// Those of each backup, the newest first.
    of_backups: BTreeMap<BackupKey, Vec<Proof>>,
    /// How long a recovery took in the drills that measured it: the backup, when the drill ended, and the seconds.
    recoveries: Vec<(BackupKey, Timestamp, f64)>,
    /// Notices about proofs that can't be read.
    pub notices: Vec<String>,
}

/// A proof as stored, without the details that only its own command writes.
#[derive(Deserialize)]
struct StoredProof {
    key: BackupKey,
    #[serde(flatten)]
    proof: Proof,
    /// Of a drill: how long it took from the start of the restore until the server could be used.
    #[serde(default)]
    rto_seconds: Option<f64>,
}

/// A proof to be stored.
#[derive(Serialize)]
struct NewProof<'a, Details> {
    key: BackupKey,
    #[serde(flatten)]
    proof: &'a Proof,
    #[serde(flatten)]
    details: &'a Details,
}

impl Proof {
    /// Creates a proof. `at` is by the storage's clock.
    #[must_use]
    pub fn new(kind: ProofKind, at: Timestamp, verdict: Verdict, seconds: f64) -> Self {
        Self { kind, at, verdict, seconds }
    }
}

impl Proofs {
    /// Returns the newest proof of a backup.
    #[must_use]
    pub fn last(&self, key: BackupKey) -> Option<&Proof> {
        self.of(key).first()
    }

    /// Returns the proofs of a backup, the newest first.
    #[must_use]
    pub fn of(&self, key: BackupKey) -> &[Proof] {
        self.of_backups.get(&key).map_or(&[], Vec::as_slice)
    }

    /// Returns the newest proof of this kind that passed, and its backup.
    #[must_use]
    pub fn last_passed(&self, kind: ProofKind) -> Option<(BackupKey, &Proof)> {
        let proofs =
            self.of_backups.iter().flat_map(|(key, proofs)| proofs.iter().map(|proof| (*key, proof)));
        let passed = proofs.filter(|(_, proof)| proof.kind == kind && proof.verdict == Verdict::Passed);
        passed.max_by_key(|(_, proof)| proof.at)
    }

    /// Returns how long recovery took in the newest drill that measured it: the drilled backup, when the drill ended, and
    /// the seconds.
    #[must_use]
    pub fn last_recovery(&self) -> Option<(BackupKey, Timestamp, f64)> {
        self.recoveries.iter().copied().max_by_key(|(_, at, _)| *at)
    }

    /// Whether the backup has been proven to be restorable, and nothing since has found otherwise.
    #[must_use]
    pub fn is_proven(&self, key: BackupKey) -> bool {
        self.verdict(key) == Some(Verdict::Passed)
    }

    /// Returns the newest verdict on a backup that says something: whether it passed or failed. None if there is none.
    #[must_use]
    pub fn verdict(&self, key: BackupKey) -> Option<Verdict> {
        let mut verdicts = self.of(key).iter().map(|proof| proof.verdict);
        verdicts.find(|verdict| *verdict != Verdict::NotProven)
    }

    /// Returns the verdict of the last verify of a backup.
    pub(crate) fn last_verify(&self, key: BackupKey) -> Option<Verdict> {
        let mut proofs = self.of_backups.get(&key)?.iter();
        proofs.find(|proof| proof.kind == ProofKind::Verify).map(|proof| proof.verdict)
    }

    fn add(&mut self, key: BackupKey, proof: Proof) {
        let proofs = self.of_backups.entry(key).or_default();
        proofs.push(proof);
        proofs.sort_by_key(|proof| Reverse(proof.at));
    }
}

impl Repository {
    /// Stores a proof, with `details` as further fields. That of an earlier verify is replaced; each drill has its own.
    pub async fn store_proof(
        &self,
        key: BackupKey,
        proof: &Proof,
        details: &(impl Serialize + Sync),
    ) -> Result<()> {
        let part = match proof.kind {
            ProofKind::Verify => BackupPart::Verification,
            ProofKind::Drill => BackupPart::Drill { ended: BackupKey::to_the_second(proof.at) },
        };
        let name = ObjectName::Backup { key, part };
        self.store_sealed(&name, FORMAT, &NewProof { key, proof, details }).await
    }

    /// Reads the proofs of the backups in `inventory`. One that can't be understood proves nothing, and is in the
    /// notices.
    ///
    /// # Errors
    ///
    /// Those of the storage.
    pub async fn proofs(&self, inventory: &Inventory) -> Result<Proofs> {
        let objects = inventory.backups.iter().flat_map(|backup| &backup.objects);
        let names = objects.map(|object| object.name.clone()).filter(is_proof);
        let reads: Vec<_> = names.map(|name| self.proof(name)).collect();
        let mut results = stream::iter(reads).buffer_unordered(CONCURRENT_READS);
        let mut proofs = Proofs::default();
        while let Some(result) = results.next().await {
            match result {
                Ok(Some(StoredProof { key, proof, rto_seconds })) => {
                    proofs.recoveries.extend(rto_seconds.map(|seconds| (key, proof.at, seconds)));
                    proofs.add(key, proof);
                }
                Ok(None) => {}
                Err(error) if error.kind() == ErrorKind::Failed => return Err(error),
                Err(error) => proofs.notices.push(error.in_full()),
            }
        }
        Ok(proofs)
    }

    /// Reads a proof. None if it was deleted since it was listed.
    async fn proof(&self, name: ObjectName) -> Result<Option<StoredProof>> {
        let stored: Option<StoredProof> = self.read_sealed(&name, FORMAT).await?;
        let is_other =
            |stored: &&StoredProof| !matches!(name, ObjectName::Backup { key, .. } if key == stored.key);
        if let Some(other) = stored.as_ref().filter(is_other) {
            let reason = format!("it is about backup {}", other.key);
            return Err(Error::Foreign { object: name.to_string(), reason });
        }
        Ok(stored)
    }
}

fn is_proof(name: &ObjectName) -> bool {
    matches!(name, ObjectName::Backup { part: BackupPart::Verification | BackupPart::Drill { .. }, .. })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::{PutMode, memory::InMemory};
    use serde_json::json;

    use super::*;
    use crate::{local::clock::SystemClock, storage::Storage};

    const RECORD: &str = "pg_basebackup_20130828T1810Z.json";

    fn proof(kind: ProofKind, second: i64, verdict: Verdict) -> Proof {
        Proof { kind, at: Timestamp::from_second(second).unwrap(), verdict, seconds: 12.5 }
    }

    fn repository() -> Repository {
        Repository::new(Storage::new(Arc::new(InMemory::new())), "a test", Arc::new(SystemClock))
    }

    fn key() -> BackupKey {
        "20130828T1810Z".parse().unwrap()
    }

    async fn stored(repository: &Repository) -> Proofs {
        repository.put(&ObjectName::parse(RECORD), "{}".into(), PutMode::Overwrite).await.unwrap();
        repository.proofs(&repository.inventory().await.unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn the_newest_proof_is_the_last_one_and_details_are_stored_with_it() {
        let repository = repository();
        assert_eq!(stored(&repository).await.last(key()), None);
        let newest = proof(ProofKind::Drill, 300, Verdict::NotProven);
        for proof in [&newest, &proof(ProofKind::Drill, 100, Verdict::Failed)] {
            repository.store_proof(key(), proof, &json!({ "rto_seconds": 3 })).await.unwrap();
        }
        let of_verify = proof(ProofKind::Verify, 200, Verdict::Passed);
        repository.store_proof(key(), &of_verify, &json!({})).await.unwrap();
        let proofs = stored(&repository).await;
        assert_eq!(proofs.last(key()), Some(&newest));
        assert_eq!(proofs.last_recovery(), Some((key(), newest.at, 3.0)));
        assert_eq!(proofs.last_passed(ProofKind::Verify), Some((key(), &of_verify)));
        assert_eq!(proofs.last_passed(ProofKind::Drill), None);
        assert!(proofs.is_proven(key()), "a drill that couldn't look took away the proof");
        let name = ObjectName::parse("drill_20130828T1810Z_19700101T000500Z.json");
        let bytes = repository.read(&name).await.unwrap().unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert!(text.contains(r#""verdict":"not_proven""#) && text.contains(r#""rto_seconds":3"#), "{text}");
    }

    #[tokio::test]
    async fn a_failure_after_a_proof_counts() {
        let repository = repository();
        repository
            .store_proof(key(), &proof(ProofKind::Verify, 100, Verdict::Passed), &json!({}))
            .await
            .unwrap();
        repository
            .store_proof(key(), &proof(ProofKind::Drill, 200, Verdict::Failed), &json!({}))
            .await
            .unwrap();
        assert!(!stored(&repository).await.is_proven(key()));
    }

    #[tokio::test]
    async fn a_damaged_proof_and_one_of_another_backup_prove_nothing_and_are_named() {
        let repository = repository();
        let other = "20130829T1810Z".parse().unwrap();
        repository
            .store_proof(other, &proof(ProofKind::Verify, 100, Verdict::Passed), &json!({}))
            .await
            .unwrap();
        let copied =
            repository.read(&ObjectName::parse("verify_20130829T1810Z.json")).await.unwrap().unwrap();
        for (bytes, word) in
            [(copied, "is about backup 20130829T1810Z"), ("{}".into(), "verify_20130828T1810Z.json")]
        {
            let name = ObjectName::parse("verify_20130828T1810Z.json");
            repository.put(&name, bytes.into(), PutMode::Overwrite).await.unwrap();
            let proofs = stored(&repository).await;
            assert!(!proofs.is_proven(key()));
            assert!(proofs.notices.iter().any(|notice| notice.contains(word)), "{:?}", proofs.notices);
        }
    }
}
