//! Fuzzing targets: they must not panic, whatever the bytes are, and parsed values must be consistent.

use jiff::Timestamp;

use crate::{
    BackupLabel, ControlFile, Lsn, SegmentHeader, SegmentName, Timeline, TimelineHistory, WalName,
    incremental_file::{BLOCK_BYTES, HeaderReader},
};

/// Parses the bytes as a timeline history.
pub fn timeline_history(bytes: &[u8]) {
    for timeline in [2, 3, u32::MAX].into_iter().filter_map(Timeline::new) {
        match TimelineHistory::parse(timeline, bytes) {
            Ok(history) => check_history(&history),
            Err(error) => assert!(error.to_string().len() < 1000),
        }
    }
}

fn check_history(history: &TimelineHistory) {
    assert!(history.contains(history.timeline(), Lsn(u64::MAX)));
    for ancestor in history.ancestors() {
        assert!(ancestor.timeline < history.timeline());
        assert!(!history.contains(ancestor.timeline, ancestor.switchpoint));
    }
    let lines = history.ancestors().iter();
    let lines: String = lines.map(|a| format!("{}\t{}\tno reason\n", a.timeline, a.switchpoint)).collect();
    assert_eq!(TimelineHistory::parse(history.timeline(), lines.as_bytes()).as_ref(), Ok(history));
}

/// Parses the bytes as a `backup_label`.
pub fn backup_label(bytes: &[u8]) {
    match BackupLabel::from_bytes(bytes) {
        Ok(label) => {
            assert_eq!(label.as_bytes(), bytes);
            for near in [Timestamp::MIN, Timestamp::UNIX_EPOCH, Timestamp::MAX] {
                let _ = label.start_moment(near);
            }
            let _ = (label.incremental_from(), label.label(), label.backup_from(), label.checkpoint_lsn());
            assert_eq!(label.start_segment().timeline(), label.start_timeline());
        }
        Err(error) => assert!(error.to_string().len() < 1000),
    }
}

/// Parses the bytes as the beginning of a WAL segment.
pub fn wal_header(bytes: &[u8]) {
    let Ok(header) = SegmentHeader::parse(bytes) else { return };
    let _ = header.major_version();
    let position = header.page_address;
    let own = SegmentName::containing(header.timeline, position, header.segment_size);
    assert_eq!(header.check_name(own).is_ok(), position.0 % header.segment_size.bytes() == 0);
}

/// Parses the bytes as a control file.
pub fn pg_control(bytes: &[u8]) {
    if let Ok(control) = ControlFile::parse(bytes) {
        assert!(control.segment_size.bytes().is_power_of_two());
    }
}

/// Parses the bytes as an incremental file, in pieces.
pub fn incremental_file(bytes: &[u8]) {
    let mut reader = HeaderReader::new(bytes.len() as u64);
    for mut piece in bytes.chunks(1000) {
        match reader.push(&mut piece) {
            Ok(None) => {}
            Ok(Some(header)) => {
                assert_eq!(header.file_bytes(), bytes.len() as u64);
                let runs = (0..header.blocks().len() as u64)
                    .filter_map(|index| header.run(index * BLOCK_BYTES, u64::MAX >> 1));
                let end = u64::from(header.complete_blocks()) * BLOCK_BYTES;
                assert!(runs.into_iter().all(|run| run.bytes.end <= end));
                return;
            }
            Err(error) => return assert!(error.to_string().len() < 1000),
        }
    }
    assert!(reader.cut().to_string().len() < 1000);
}

/// Parses the bytes as the name of a WAL file.
pub fn wal_name(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(name) = text.parse::<WalName>() {
        assert_eq!(name.to_string(), text);
    }
}

/// Parses the bytes as a connection string, as a service file and as a password file.
pub fn connection_settings(bytes: &[u8]) {
    crate::replication::conninfo::connection_settings(bytes);
}

/// Receives the bytes as the messages of a server.
pub fn server_messages(bytes: &[u8]) {
    crate::replication::fuzz::server_messages(bytes);
}

#[cfg(test)]
mod tests {
    use swiftwal_mutation::check;

    #[test]
    fn a_timeline_history_is_read_or_refused() {
        check("timeline_history", super::timeline_history);
    }

    #[test]
    fn a_backup_label_is_read_or_refused() {
        check("backup_label", super::backup_label);
    }

    #[test]
    fn a_wal_header_is_read_or_refused() {
        check("wal_header", super::wal_header);
    }

    #[test]
    fn a_control_file_is_read_or_refused() {
        check("pg_control", super::pg_control);
    }

    #[test]
    fn an_incremental_file_is_read_or_refused() {
        check("incremental_file", super::incremental_file);
    }

    #[test]
    fn a_wal_name_is_read_or_refused() {
        check("wal_name", super::wal_name);
    }

    #[test]
    fn connection_settings_are_read_or_refused() {
        check("connection_settings", super::connection_settings);
    }

    #[test]
    fn the_messages_of_a_server_are_read_or_refused() {
        check("server_messages", super::server_messages);
    }
}
