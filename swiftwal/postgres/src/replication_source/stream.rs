//! The events of a base backup as those of a source.

use std::{collections::VecDeque, path::Path};

use async_trait::async_trait;
use bytes::Bytes;

use super::{cancel::CancelGuard, failure::failed};
use crate::{
    BackupStart, BaseBackupEvent, BaseBackupStream, CHUNK_BYTES, ExpectedArchive, ServerFacts, SourceError,
    SourceErrorKind, Tablespace, printable,
    replication::{BackupEnd, BackupEvent, BackupTablespace, BaseBackup, DamagedPages},
};

/// A base backup in progress.
#[derive(Debug)]
pub(super) struct ReplicationStream {
    backup: BaseBackup,
    guard: CancelGuard,
    /// What comes next, before anything else is received.
    ready: VecDeque<BaseBackupEvent>,
}

impl ReplicationStream {
    /// `facts` are those of the same server.
    pub(super) fn new(
        backup: BaseBackup,
        guard: CancelGuard,
        facts: &ServerFacts,
        data_checksums: bool,
    ) -> Result<Self, SourceError> {
        let position = backup.start_position();
        let mut start = BackupStart::new(position.lsn, position.timeline);
        start.system_identifier = Some(facts.system_identifier);
        start.postgres_version.clone_from(&facts.postgres_version);
        start.segment_size = facts.segment_size;
        start.data_checksums = Some(data_checksums);
        start.archives = Some(backup.tablespaces().iter().map(expected).collect::<Result<_, _>>()?);
        Ok(Self { backup, guard, ready: VecDeque::from([BaseBackupEvent::Started(start)]) })
    }

    fn take(&mut self, event: BackupEvent) -> Result<(), SourceError> {
        match event {
            BackupEvent::Archive { tablespace, location } => {
                let tablespace =
                    tablespace.map(|oid| self::tablespace(oid, location.as_deref())).transpose()?;
                self.ready.push_back(BaseBackupEvent::Archive { tablespace });
            }
            BackupEvent::Data(data) => self.ready.extend(pieces(data).map(BaseBackupEvent::Data)),
            BackupEvent::Manifest(data) => self.ready.extend(pieces(data).map(BaseBackupEvent::Manifest)),
            BackupEvent::Notice(notice) => {
                self.ready.push_back(BaseBackupEvent::ServerWarning(notice.message));
            }
            BackupEvent::Progress { .. } => {}
            BackupEvent::End(end) => self.ready.extend(ended(end)),
        }
        Ok(())
    }
}

#[async_trait]
impl BaseBackupStream for ReplicationStream {
    async fn next(&mut self) -> Result<Option<BaseBackupEvent>, SourceError> {
        while self.ready.is_empty() {
            let received = self.backup.next().await;
            if matches!(received, Err(_) | Ok(Some(BackupEvent::End(_)))) {
                self.guard.disarm();
            }
            match received.map_err(failed)? {
                Some(event) => self.take(event)?,
                None => return Ok(None),
            }
        }
        Ok(self.ready.pop_front())
    }
}

fn expected(announced: &BackupTablespace) -> Result<ExpectedArchive, SourceError> {
    let tablespace = announced.oid.map(|oid| tablespace(oid, announced.location.as_deref())).transpose()?;
    Ok(ExpectedArchive { tablespace, bytes: announced.bytes })
}

fn tablespace(oid: u32, location: Option<&Path>) -> Result<Tablespace, SourceError> {
    let location = location.unwrap_or(Path::new(""));
    let refused = |why| {
        let shown = printable(location.as_os_str().as_encoded_bytes()).to_string();
        SourceError::new(
            SourceErrorKind::Tablespaces,
            format!("the tablespace {oid} in {shown} can't be backed up: {why}"),
        )
    };
    match location.to_str() {
        Some(text) if location.is_absolute() || text == Tablespace::in_place_location(oid) => {
            Ok(Tablespace { oid, location: text.to_owned() })
        }
        Some(_) => Err(refused("its directory is neither an absolute path nor one in pg_tblspc")),
        None => Err(refused("the name of its directory isn't UTF-8")),
    }
}

/// Splits data into pieces that are short enough for an event, without copying them.
fn pieces(mut data: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || {
        let piece = data.split_to(data.len().min(CHUNK_BYTES));
        Some(piece).filter(|piece| !piece.is_empty())
    })
}

fn ended(end: BackupEnd) -> impl Iterator<Item = BaseBackupEvent> {
    let BackupEnd { position, damaged } = end;
    let damaged = damaged.map(|DamagedPages { count, words }| BaseBackupEvent::DamagedPages { count, words });
    let finished = BaseBackupEvent::Finished { lsn: position.lsn, timeline: position.timeline };
    damaged.into_iter().chain([finished])
}
