//! A base backup of very many files, which are generated while they are sent.

use std::{collections::VecDeque, io};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use swiftwal_postgres::{
    BaseBackupEvent, BaseBackupRequest, BaseBackupSource, BaseBackupStream, CHUNK_BYTES, ServerSession,
    SourceError, SourceErrorKind,
};
use tar::{EntryType, Header};

use super::{SyntheticSource, archive::END_BYTES};

/// The base backup of a synthetic cluster without tablespaces, followed by a number of empty files.
#[derive(Clone, Debug)]
pub struct CrowdedSource {
    source: SyntheticSource,
    files: u64,
}

/// The number of files in each directory.
const FILES_IN_A_DIRECTORY: u64 = 1000;

impl SyntheticSource {
    /// Creates the backup with this number of additional empty files, each with a long name.
    #[must_use]
    pub fn crowded(self, files: u64) -> CrowdedSource {
        CrowdedSource { source: self, files }
    }
}

#[async_trait]
impl BaseBackupSource for CrowdedSource {
    async fn connect(&self) -> Result<Option<Box<dyn ServerSession>>, SourceError> {
        self.source.connect().await
    }

    async fn start(&self, request: &BaseBackupRequest) -> Result<Box<dyn BaseBackupStream>, SourceError> {
        let stream = self.source.start(request).await?;
        Ok(Box::new(CrowdedStream {
            stream,
            own: BytesMut::new(),
            sent: 0,
            files: self.files,
            end: VecDeque::new(),
        }))
    }
}

#[derive(Debug)]
struct CrowdedStream {
    stream: Box<dyn BaseBackupStream>,
    /// The part of the cluster's own tar that hasn't been sent yet.
    own: BytesMut,
    sent: u64,
    files: u64,
    /// The events after the tar.
    end: VecDeque<BaseBackupEvent>,
}

#[async_trait]
impl BaseBackupStream for CrowdedStream {
    async fn next(&mut self) -> Result<Option<BaseBackupEvent>, SourceError> {
        while let Some(event) = self.stream.next().await? {
            match event {
                BaseBackupEvent::Data(data) => self.own.extend_from_slice(&data),
                event if self.own.is_empty() => return Ok(Some(event)),
                event => self.end.push_back(event),
            }
        }
        let left = self.files - self.sent;
        if self.own.len() > END_BYTES || left == 0 && !self.own.is_empty() {
            let rest = if left == 0 { 0 } else { END_BYTES };
            let piece = CHUNK_BYTES.min(self.own.len() - rest);
            return Ok(Some(BaseBackupEvent::Data(self.own.split_to(piece).freeze())));
        }
        if left == 0 {
            return Ok(self.end.pop_front());
        }
        let directory = left.min(FILES_IN_A_DIRECTORY);
        let data = directory_of_files(self.sent, directory).map_err(|error| {
            SourceError::new(SourceErrorKind::Failed, "writing the tar of many files failed").caused_by(error)
        })?;
        self.sent += directory;
        Ok(Some(BaseBackupEvent::Data(data)))
    }
}

/// Returns the tar of a directory with this number of empty files, numbered from `first` on.
fn directory_of_files(first: u64, files: u64) -> io::Result<Bytes> {
    let mut tar = BytesMut::new();
    let directory = format!("base/{}", 100_000 + first / FILES_IN_A_DIRECTORY);
    tar.extend_from_slice(header(&format!("{directory}/"), EntryType::Directory, 0o700)?.as_bytes());
    for number in first..first + files {
        let name = format!("{directory}/{number:060}");
        tar.extend_from_slice(header(&name, EntryType::Regular, 0o600)?.as_bytes());
    }
    Ok(tar.freeze())
}

fn header(name: &str, kind: EntryType, mode: u32) -> io::Result<Header> {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_path(name)?;
    header.set_mode(mode);
    header.set_size(0);
    header.set_cksum();
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SyntheticCluster, cluster::source::request};

    #[tokio::test]
    async fn the_files_come_behind_the_clusters_own_and_the_tar_ends_once() {
        let source = SyntheticCluster::new(1).backup(3, 4);
        let own = source.tar(&request("x", false)).unwrap();
        let mut stream = source.crowded(1500).start(&request("x", false)).await.unwrap();
        let (mut tar, mut others) = (Vec::new(), Vec::new());
        while let Some(event) = stream.next().await.unwrap() {
            match event {
                BaseBackupEvent::Data(data) => tar.extend_from_slice(&data),
                event => others.push((tar.len(), event)),
            }
        }
        let end = others.pop();
        assert!(matches!(end, Some((_, BaseBackupEvent::Finished { .. }))), "{end:?}");
        assert_eq!(others.pop(), Some((tar.len(), BaseBackupEvent::WaitingForArchiver)));
        assert!(others.iter().all(|(before, _)| *before == 0), "{others:?}");
        assert_eq!(tar.len(), own.len() + 1502 * 512);
        let names = tar::Archive::new(tar.as_slice()).entries().unwrap().count();
        assert_eq!(names, tar::Archive::new(own.as_slice()).entries().unwrap().count() + 1502);
    }
}
