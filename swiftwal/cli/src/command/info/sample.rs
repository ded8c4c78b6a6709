//! A report in which every field has a value, for tests.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use swiftwal_core::{
    BackupInfo, BackupKey, BackupKind, ClusterIdentity, Hole, Info, Kept, PassedProof, Proof, ReadyFiles,
    RecoveryWindow, RestoreForecast, TimelineInfo,
};
use swiftwal_postgres::{SegmentName, SegmentSize, Timeline};

/// A key of this day.
pub(crate) fn key(day: u32) -> BackupKey {
    format!("202611{day:02}T0200Z").parse().unwrap()
}

/// Noon of this day.
pub(crate) fn noon(day: u32) -> Timestamp {
    format!("2026-11-{day:02}T12:00:00Z").parse().unwrap()
}

fn segment(timeline: u32, number: u32) -> SegmentName {
    format!("{timeline:08X}00000000{number:08X}").parse().unwrap()
}

/// Returns the report: a chain of `days` backups, one a day, on two timelines with a hole.
pub(crate) fn info(days: u32) -> Info {
    let (first, second) = (Timeline::FIRST, Timeline::new(2).unwrap());
    let hole =
        Hole { first_wal: segment(1, 7), last_wal: segment(1, 9), segments: Some(3), noticed: Some(noon(1)) };
    let one = TimelineInfo {
        timeline: first,
        parent: None,
        branched_off_at: None,
        history_is_damaged: false,
        first_wal: Some(segment(1, 3)),
        last_wal: Some(segment(1, 0xA5)),
        segments: 160,
        stored_bytes: 1 << 30,
        last_stored: Some(noon(days)),
        partial_stored: None,
        holes: vec![hole.clone()],
    };
    let two = TimelineInfo {
        timeline: second,
        parent: Some(first),
        branched_off_at: Some("0/A6000000".parse().unwrap()),
        first_wal: Some(segment(2, 0xA6)),
        last_wal: Some(segment(2, 0xA7)),
        segments: 2,
        partial_stored: Some(noon(days)),
        holes: Vec::new(),
        ..one.clone()
    };
    let backups: Vec<_> = (1..=days).map(backup).collect();
    let passed = PassedProof { backup: key(1), at: noon(1), seconds: 42.5 };
    Info {
        location: "swift://pgprod/main".to_owned(),
        at: noon(days) + SignedDuration::from_mins(10),
        cluster: Some(ClusterIdentity {
            system_identifier: 7_463_234_123_456_789_012,
            postgres_version: Some("15".to_owned()),
            wal_segment_bytes: SegmentSize::default(),
        }),
        stored_bytes: 5 << 30,
        timeline: Some(second),
        recovery_windows: vec![RecoveryWindow {
            from: noon(1),
            from_backup: key(1),
            to: noon(days),
            to_wal: segment(2, 0xA7),
        }],
        timelines: vec![one, two],
        last_drill: Some(passed.clone()),
        last_verify: Some(passed),
        restore_forecast: Some(RestoreForecast {
            backup: key(days),
            seconds: 700.0,
            drilled: key(1),
            drilled_at: noon(1),
        }),
        ready: Some(ReadyFiles { data_directory: "/data".into(), files: 3, oldest_seconds: Some(200) }),
        notices: vec!["a notice".to_owned()],
        errors: Vec::new(),
        backups,
    }
}

/// The backup of this day, which builds on all before it.
fn backup(day: u32) -> BackupInfo {
    let proof = json!({ "kind": "drill", "at": noon(day), "verdict": "passed", "seconds": 42.5 });
    let proof: Proof = serde_json::from_value(proof).unwrap();
    BackupInfo {
        key: key(day),
        legacy: false,
        kind: Some(if day == 1 { BackupKind::Full } else { BackupKind::Incremental }),
        chain: (1..=day).map(key).collect(),
        label: Some("swiftwal base backup".to_owned()),
        started: Some(noon(day) - SignedDuration::from_mins(9)),
        finished: Some(noon(day)),
        seconds: Some(540),
        data_bytes: Some(20 << 30),
        stored_bytes: 4 << 30,
        postgres_version: Some("15".to_owned()),
        timeline: Some(Timeline::FIRST),
        first_wal: Some(segment(1, 3)),
        last_wal: Some(segment(1, 4)),
        includes_wal: Some(true),
        damaged_pages: Some(2),
        only_itself: true,
        kept: Some(Kept {
            since: Some(noon(1)),
            until: Some(noon(28)),
            reason: Some("before the migration".to_owned()),
            expired: false,
        }),
        last_proof: Some(proof),
        problem: Some("its last verify or drill failed".to_owned()),
    }
}
