//! The history of a cluster: its timelines, what was archived of each, and the backups that were taken.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};
use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory, path::Path};
use proptest::{collection::vec, prelude::*, sample::Index};
use swiftwal_compression::Format;
use swiftwal_postgres::{Lsn, SegmentName, SegmentSize, Timeline, WalName};

use super::Segment;
use crate::{
    local::clock::SystemClock,
    repository::{
        Repository,
        cluster::{ClusterIdentity, ClusterInfo},
        key::BackupKey,
        pin::Pin,
        proof::{Proof, ProofKind, Verdict},
        record::{BackupKind, BackupRecord},
    },
    storage::Storage,
};

pub(super) const SEGMENT: u64 = 1 << 20;

#[derive(Clone, Debug)]
pub(super) struct Past {
    pub(super) number: u32,
    /// 0 for the first timeline.
    pub(super) parent: u32,
    /// Where it branched off.
    pub(super) begins: u64,
    /// The number of its last archived segment.
    last: u64,
    pub(super) history_is_lost: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Backup {
    pub(super) timeline: u32,
    /// The segment in which it was taken.
    segment: u64,
    pub(super) number: i64,
    pub(super) is_damaged: bool,
    /// The number of the backup that it builds on.
    pub(super) parent: Option<i64>,
    pub(super) is_pinned: bool,
    pub(super) is_proven: bool,
}

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) timelines: Vec<Past>,
    pub(super) backups: Vec<Backup>,
    /// A backup in progress.
    pub(super) running: Option<Backup>,
}

/// A backup: indices of its timeline, its segment and its parent, and whether it is damaged, pinned and proven.
type Planned = (Index, Index, Option<Index>, [bool; 3]);

pub(super) fn worlds() -> impl Strategy<Value = World> {
    let child = (any::<Index>(), any::<Index>(), any::<bool>(), 0..5u64, prop::bool::weighted(0.15));
    let parent = || prop::option::of(any::<Index>());
    let marks = || [prop::bool::weighted(0.3), prop::bool::weighted(0.15), prop::bool::weighted(0.3)];
    let backup = || (any::<Index>(), any::<Index>(), parent(), marks());
    (1..6u64, vec(child, 0..5), vec(backup(), 1..7), prop::option::of(backup())).prop_map(
        |(length, children, backups, running)| {
            let first = Past { number: 1, parent: 0, begins: SEGMENT, last: length, history_is_lost: false };
            let mut timelines = vec![first];
            for ((parent, place, at_boundary, length, history_is_lost), number) in
                children.into_iter().zip(2..)
            {
                let parent = &timelines[parent.index(timelines.len())];
                let segment =
                    parent.first() + place.index((parent.last - parent.first() + 1) as usize) as u64;
                // After the parent's own beginning, and after a backup in that segment.
                let begins =
                    if at_boundary { (segment + 1) * SEGMENT } else { segment * SEGMENT + SEGMENT / 2 };
                let begins = begins.max(parent.begins + 8);
                let (parent, last) = (parent.number, begins / SEGMENT + length);
                timelines.push(Past { number, parent, begins, last, history_is_lost });
            }
            let taken = |earlier: &[Backup], (timeline, place, parent, marks): Planned, number| {
                let past = &timelines[timeline.index(timelines.len())];
                // Not the segment with the switch, half of which is the parent's.
                let first = past.begins.div_ceil(SEGMENT).min(past.last);
                let is_possible = past.begins <= first * SEGMENT;
                let segment = first + place.index((past.last - first + 1) as usize) as u64;
                let before = |other: &&Backup| other.timeline == past.number && other.segment < segment;
                let before: Vec<_> = earlier.iter().filter(before).map(|other| other.number).collect();
                let parent = parent.filter(|_| !before.is_empty()).map(|parent| *parent.get(&before));
                let [is_damaged, is_pinned, is_proven] = marks;
                is_possible.then_some(Backup {
                    timeline: past.number,
                    segment,
                    number,
                    is_damaged,
                    parent,
                    is_pinned,
                    is_proven,
                })
            };
            let mut earlier = Vec::new();
            for (backup, number) in backups.into_iter().zip(0..) {
                earlier.extend(taken(&earlier, backup, number));
            }
            let mut backups = earlier;
            if backups.is_empty() {
                backups.push(Backup {
                    timeline: 1,
                    segment: 1,
                    number: 0,
                    is_damaged: false,
                    parent: None,
                    is_pinned: false,
                    is_proven: false,
                });
            }
            let running = running.and_then(|running| taken(&backups, running, 100));
            World { timelines, backups, running }
        },
    )
}

impl Past {
    fn first(&self) -> u64 {
        self.begins / SEGMENT
    }

    fn timeline(&self) -> Timeline {
        Timeline::new(self.number).unwrap()
    }
}

impl Backup {
    pub(super) fn key(&self) -> BackupKey {
        key(self.number)
    }

    pub(super) fn start(&self) -> u64 {
        self.segment * SEGMENT + 0x28
    }

    pub(super) fn stop(&self) -> u64 {
        self.start() + 0xd8
    }

    /// Backups are so far apart that some are of the same day, and some of the same hour.
    pub(super) fn ended(&self) -> Timestamp {
        time(self.number)
    }

    fn wal(&self) -> SegmentName {
        name((self.timeline, self.segment))
    }

    fn record(&self) -> BackupRecord {
        let started = self.ended();
        BackupRecord {
            key: self.key(),
            kind: if self.parent.is_some() { BackupKind::Incremental } else { BackupKind::Full },
            parent: self.parent.map(key),
            label: String::new(),
            started,
            finished: started,
            system_identifier: 7,
            postgres_version: "15".to_owned(),
            wal_segment_bytes: SegmentSize::new(SEGMENT).unwrap(),
            timeline: self.wal().timeline(),
            start_lsn: Lsn(self.start()),
            stop_lsn: Lsn(self.stop()),
            first_wal: self.wal(),
            last_wal: self.wal(),
            includes_wal: false,
            damaged_pages: u64::from(self.is_damaged),
            damage: None,
            databases: None,
            objects: Vec::new(),
            written_by: "a test".to_owned(),
        }
    }
}

fn time(number: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_mins(number * 10 * 60 - number % 2 * 590)
}

fn key(number: i64) -> BackupKey {
    BackupKey::to_the_minute(time(number))
}

impl World {
    /// Returns the world without pins and proofs.
    pub(super) fn without_marks(mut self) -> Self {
        for backup in &mut self.backups {
            (backup.is_pinned, backup.is_proven) = (false, false);
        }
        self
    }

    /// Returns the backup, its parent, and so on to the full one.
    pub(super) fn chain<'a>(&'a self, backup: &'a Backup) -> Vec<&'a Backup> {
        let mut chain = vec![backup];
        while let Some(parent) = chain.last().and_then(|last| last.parent) {
            chain.extend(self.backups.iter().find(|other| other.number == parent));
        }
        chain
    }

    pub(super) fn segments(&self) -> impl Iterator<Item = Segment> {
        self.timelines.iter().flat_map(|past| (past.first()..=past.last).map(|number| (past.number, number)))
    }

    /// Stores everything in a repository.
    pub(super) async fn repository(&self) -> Repository {
        let store = Arc::new(InMemory::new());
        let put = async |name: String, bytes: Vec<u8>| {
            store.put(&Path::from(name), bytes.into()).await.unwrap();
        };
        let wal_segment_bytes = SegmentSize::new(SEGMENT).unwrap();
        let identity = ClusterIdentity { system_identifier: 7, postgres_version: None, wal_segment_bytes };
        let info = ClusterInfo::new(identity, BTreeSet::from([Format::None]));
        put("cluster.json".to_owned(), serde_json::to_vec(&info).unwrap()).await;
        for segment in self.segments() {
            put(format!("wal_{}", name(segment)), vec![1]).await;
        }
        for past in self.timelines.iter().filter(|past| past.parent > 0 && !past.history_is_lost) {
            put(format!("wal_{:08X}.history", past.timeline().get()), self.history(past).into_bytes()).await;
        }
        for backup in &self.backups {
            let record = backup.record();
            put(BackupRecord::object_name(record.key).to_string(), record.to_bytes().unwrap()).await;
        }
        if let Some(running) = &self.running {
            let (wal, lsn) = (running.wal(), Lsn(running.start()));
            let parent =
                running.parent.map_or_else(String::new, |number| format!(r#""parent":"{}","#, key(number)));
            let content = format!(
                r#"{{"host":"h","pid":1,"started":"2013-08-28T18:10:42Z",{parent}"first_wal":"{wal}","start_lsn":"{lsn}"}}"#
            );
            let id = "78e204be-1228-44f1-9308-dcddf7eb8cf6";
            put(format!("...uploading/{}/{id}", running.key()), content.into_bytes()).await;
        }
        let storage = Storage::new(store as Arc<dyn ObjectStore>);
        let repository = Repository::new(storage, "a test", Arc::new(SystemClock));
        for backup in &self.backups {
            if backup.is_pinned {
                let pin = Pin::new(backup.key(), backup.ended(), None, None);
                repository.store_pin(&pin).await.unwrap();
            }
            if backup.is_proven {
                let proof = Proof {
                    kind: ProofKind::Drill,
                    at: backup.ended(),
                    verdict: Verdict::Passed,
                    seconds: 1.0,
                };
                repository
                    .store_proof(backup.key(), &proof, &BTreeMap::<String, String>::new())
                    .await
                    .unwrap();
            }
        }
        repository
    }

    /// Returns its ancestors, oldest first.
    fn history(&self, past: &Past) -> String {
        let Some(parent) = self.timelines.iter().find(|other| other.number == past.parent) else {
            return String::new();
        };
        let begins = Lsn(past.begins);
        format!("{}{}\t{begins}\tno reason\n", self.history(parent), parent.number)
    }
}

fn name((timeline, number): Segment) -> SegmentName {
    let size = SegmentSize::new(SEGMENT).unwrap();
    SegmentName::containing(Timeline::new(timeline).unwrap(), Lsn(number * SEGMENT), size)
}

/// Returns the segment of that name.
pub(super) fn segment(name: WalName) -> Option<Segment> {
    let WalName::Segment(segment) = name else { return None };
    let start = segment.start(SegmentSize::new(SEGMENT).unwrap())?;
    Some((segment.timeline().get(), start.0 / SEGMENT))
}
