//! Incremental backups of the synthetic cluster. Each file is sent whole, as PostgreSQL sends one of which most blocks have
//! changed, unless the source has only blocks of it.

use swiftwal_postgres::{
    BaseBackupRequest, Lsn, ParentManifest, SourceError, SourceErrorKind, Timeline,
    incremental_file::{BLOCK_BYTES, IncrementalHeader},
};

use super::{SourceFault, SyntheticSource};

impl SyntheticSource {
    /// Returns the backup that was requested: if it is incremental, one that says in its label what it builds on.
    ///
    /// # Errors
    ///
    /// [`NotIncremental`](SourceErrorKind::NotIncremental) for a manifest that PostgreSQL doesn't accept, or by a fault.
    pub(super) async fn building_on(&self, request: &BaseBackupRequest) -> Result<Self, SourceError> {
        let Some(manifest) = &request.parent_manifest else { return Ok(self.clone()) };
        if self.fault == Some(SourceFault::LacksSummaries) {
            return Err(refused("WAL summaries are required, but are missing (injected failure)"));
        }
        let position = position(&text(manifest).await);
        let position = position.ok_or_else(|| refused("the backup manifest can't be parsed"))?;
        Ok(Self { incremental_from: Some(position), ..self.clone() })
    }
}

/// Returns the name of the incremental file of the file at `path`.
pub(crate) fn name(path: &str) -> String {
    let (directory, file) = path.rsplit_once('/').unwrap_or(("", path));
    format!("{directory}/INCREMENTAL.{file}")
}

/// Returns an incremental file with these blocks, each filled with one byte.
pub(crate) fn file(truncation: u32, blocks: &[(u32, u8)]) -> Vec<u8> {
    let numbers = blocks.iter().map(|(number, _)| *number).collect();
    let header = IncrementalHeader::new(truncation, numbers).map(|header| header.to_bytes());
    let blocks = blocks.iter().flat_map(|(_, fill)| vec![*fill; BLOCK_BYTES as usize]);
    header.unwrap_or_else(|error| panic!("{error}")).into_iter().chain(blocks).collect()
}

/// Returns the lines of the label that say what the backup builds on.
pub(super) fn label_lines(from: Option<(Lsn, Timeline)>) -> String {
    from.map_or_else(String::new, |(lsn, timeline)| {
        format!("INCREMENTAL FROM LSN: {lsn}\nINCREMENTAL FROM TLI: {timeline}\n")
    })
}

async fn text(manifest: &ParentManifest) -> Vec<u8> {
    let mut text = Vec::new();
    while let Ok(piece) = manifest.read_at(text.len() as u64).await
        && !piece.is_empty()
    {
        text.extend_from_slice(&piece);
    }
    text
}

/// Returns where the backup of this manifest begins.
fn position(manifest: &[u8]) -> Option<(Lsn, Timeline)> {
    let manifest: serde_json::Value = serde_json::from_slice(manifest).ok()?;
    let range = &manifest["WAL-Ranges"][0];
    let timeline = u32::try_from(range["Timeline"].as_u64()?).ok()?;
    Some((range["Start-LSN"].as_str()?.parse().ok()?, Timeline::new(timeline)?))
}

fn refused(message: &str) -> SourceError {
    SourceError::new(SourceErrorKind::NotIncremental, message).with_hint("take a full backup")
}
