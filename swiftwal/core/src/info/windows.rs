//! The times to which the cluster can be recovered.

use super::{
    continuity::{Way, follows},
    report::RecoveryWindow,
};
use crate::repository::record::BackupRecord;

/// How far recovery from a backup can go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// It can't become consistent: the archive lacks WAL that it needs for that.
    Nowhere,
    /// To its own end, with nothing but the WAL that it contains.
    Itself,
    /// To the end of this piece of the way.
    Piece(usize),
}

/// Returns how far recovery from the backup of `record` can go.
pub(super) fn reach(way: &Way, record: &BackupRecord) -> Reach {
    let pieces = || (0..).zip(way.pieces());
    let piece_with = |segment| pieces().find(|(_, piece)| piece.covers(segment));
    let behind = || {
        let size = record.wal_segment_bytes;
        pieces().find(|(_, piece)| follows(record.last_wal, piece.first, size))
    };
    match piece_with(record.last_wal) {
        Some((place, piece)) if record.includes_wal || piece.covers(record.first_wal) => Reach::Piece(place),
        _ if record.includes_wal => behind().map_or(Reach::Itself, |(place, _)| Reach::Piece(place)),
        _ => Reach::Nowhere,
    }
}

/// Whether recovery from this backup can only go to its own end: no WAL behind that is stored, or later WAL is and that
/// isn't.
pub(super) fn is_only_itself(way: &Way, record: &BackupRecord, reach: Reach) -> bool {
    match reach {
        Reach::Nowhere => false,
        Reach::Itself => true,
        Reach::Piece(place) => {
            let end = way.pieces().get(place).map(|piece| piece.last.position());
            end <= Some(record.last_wal.position()) && place + 1 < way.pieces().len()
        }
    }
}

/// Returns the windows. `backups` are those that can be restored, in the order in which they are in the WAL.
pub(super) fn windows(way: &Way, backups: &[(&BackupRecord, Reach)]) -> Vec<RecoveryWindow> {
    let mut windows: Vec<(Reach, RecoveryWindow)> = Vec::new();
    for (record, reach) in backups {
        match windows.last_mut() {
            _ if *reach == Reach::Nowhere || is_only_itself(way, record, *reach) => {}
            Some((before, window)) if before == reach => {
                window.to = window.to.max(record.finished);
            }
            _ => windows.extend(window(way, record, *reach).map(|window| (*reach, window))),
        }
    }
    windows.into_iter().map(|(_, window)| window).collect()
}

fn window(way: &Way, record: &BackupRecord, reach: Reach) -> Option<RecoveryWindow> {
    let Reach::Piece(place) = reach else { return None };
    let piece = way.pieces().get(place)?;
    let (from, from_backup) = (record.finished, record.key);
    Some(RecoveryWindow { from, from_backup, to: piece.last_stored.max(from), to_wal: piece.last })
}
