//! The draft of a commit record, created when everything has arrived from the server.

use swiftwal_postgres::{
    BackupLabel, ControlFile, Database, Lsn, SegmentName, SegmentSize, Timeline, segments_between,
};

use super::{backup_options::BackupOptions, base::Base, claim::Claim, read::Received};
use crate::{
    error::{Refusal, Result},
    repository::record::BackupRecord,
};

/// A commit record whose objects aren't known yet, and the backup label.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) record: BackupRecord,
    pub(super) label: BackupLabel,
}

/// Creates the draft from what was received.
///
/// # Errors
///
/// [`Refusal::Promoted`], and [`Error::Damaged`](crate::Error::Damaged) for the label of another kind of backup.
pub(super) fn draft(
    options: &BackupOptions,
    base: &Base,
    databases: Option<Vec<Database>>,
    claim: &Claim<'_>,
    received: Received,
    control: &ControlFile,
) -> Result<Draft> {
    let Received { label, version, start, stop, started, finished, damage, .. } = received;
    let (timeline, stop_lsn) = stop;
    if timeline != start.0 {
        return Err(Refusal::Promoted { from: start.0, to: timeline }.into());
    }
    base.check_label(&label)?;
    let size = control.segment_size;
    let record = BackupRecord {
        key: claim.key,
        kind: base.kind(),
        parent: base.parent(),
        label: options.label.clone(),
        started,
        finished,
        system_identifier: control.system_identifier,
        postgres_version: version,
        wal_segment_bytes: size,
        timeline,
        start_lsn: label.start_lsn(),
        stop_lsn,
        first_wal: label.start_segment(),
        last_wal: last_wal(timeline, label.start_lsn(), stop_lsn, size),
        includes_wal: options.include_wal,
        damaged_pages: damage.as_ref().map_or(0, |damage| damage.pages),
        damage: damage.map(|damage| damage.words),
        databases,
        objects: Vec::new(),
        written_by: concat!("swiftwal ", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    Ok(Draft { record, label })
}

fn last_wal(timeline: Timeline, start: Lsn, stop: Lsn, size: SegmentSize) -> SegmentName {
    let first = SegmentName::containing(timeline, start, size);
    segments_between(timeline, start, stop, size).last().unwrap_or(first)
}
