//! The table of `list-backups -v`.

use std::time::Duration;

use swiftwal_core::{BackupKind, BackupRecord, StoredBackup};

use crate::output::{Column, Elapsed, Size, Table};

/// The columns that SwiftWAL 0.2.2 printed. The key of a backup is indented by its depth: how many it builds on.
pub(super) fn original(backups: &[&StoredBackup], depths: &[usize], object_header: &'static str) -> Table {
    let key = |(backup, depth): (&&StoredBackup, &usize)| format!("{}{}", "  ".repeat(*depth), backup.key);
    let object = |backup: &&StoredBackup| {
        let object = backup.main_object().map(|object| object.name.to_string());
        object.unwrap_or_default()
    };
    Table::new(vec![
        Column::new("Size", backups.iter().map(|backup| Size(backup.stored_bytes()).to_string())),
        Column::new("Timestamp", backups.iter().zip(depths).map(key)),
        Column::new(object_header, backups.iter().map(object)),
    ])
}

/// Further columns, from the commit records, the most important first. A backup without a record has empty cells.
/// `has_chains` says whether some backups are incremental.
pub(super) fn from_records(records: &[Option<&BackupRecord>], has_chains: bool) -> Vec<Column> {
    let column = |header, cell: fn(&BackupRecord) -> String| {
        let cells = records.iter().map(|record| record.map(cell).unwrap_or_default());
        Column::new(header, cells)
    };
    let damaged = records.iter().flatten().any(|record| record.damaged_pages > 0);
    let kind = has_chains.then(|| column("Kind", kind));
    let damaged = damaged.then(|| column("Damaged Pages", |record| record.damaged_pages.to_string()));
    let others = vec![
        column("Duration", duration),
        column("Timeline", |record| record.timeline.to_string()),
        column("PostgreSQL", |record| record.postgres_version.clone()),
        column("With WAL", |record| if record.includes_wal { "yes" } else { "no" }.to_owned()),
        column("WAL It Needs", needed_wal),
    ];
    damaged.into_iter().chain(kind).chain(others).collect()
}

fn kind(record: &BackupRecord) -> String {
    match record.kind {
        BackupKind::Full => "full",
        BackupKind::Incremental => "incremental",
        _ => "unknown",
    }
    .to_owned()
}

fn duration(record: &BackupRecord) -> String {
    let took = record.finished.duration_since(record.started);
    Elapsed(Duration::try_from(took).unwrap_or_default()).to_string()
}

fn needed_wal(record: &BackupRecord) -> String {
    match (record.first_wal, record.last_wal) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first} -> {last}"),
    }
}
