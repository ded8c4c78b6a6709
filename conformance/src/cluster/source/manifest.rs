//! PostgreSQL's manifest of a synthetic backup.

use bytes::Bytes;
use swiftwal_postgres::BaseBackupRequest;

use super::SyntheticSource;
use crate::Entry;

/// The manifest that a source sends beside the tars.
#[derive(Clone, Debug)]
pub(super) enum ManifestText {
    None,
    Given(Bytes),
    /// That of the very backup.
    OfItself,
}

impl SyntheticSource {
    /// Returns the manifest to send; an empty text if there is none.
    pub(super) fn manifest_text(&self, request: &BaseBackupRequest) -> Bytes {
        match &self.manifest {
            ManifestText::None => Bytes::new(),
            ManifestText::Given(text) => text.clone(),
            ManifestText::OfItself => self.own_manifest(request).into(),
        }
    }

    /// Returns the manifest in PostgreSQL's version 2 of the format.
    fn own_manifest(&self, request: &BaseBackupRequest) -> String {
        format!(
            "{{ \"PostgreSQL-Backup-Manifest-Version\": 2,\n\"System-Identifier\": {},\n\"Files\": [\n{}\n],\n\
             \"WAL-Ranges\": [\n{{ \"Timeline\": {}, \"Start-LSN\": \"{}\", \"End-LSN\": \"{}\" }}\n],\n\
             \"Manifest-Checksum\": \"00\"}}\n",
            self.cluster.system_identifier(),
            self.manifest_lines(request, "CRC32C").join(",\n"),
            self.cluster.timeline,
            self.start_lsn(),
            self.stop_lsn(),
        )
    }

    /// Returns the manifest's line for each file, with checksums of this algorithm: `CRC32C` or `NONE`.
    #[must_use]
    pub fn manifest_lines(&self, request: &BaseBackupRequest, algorithm: &str) -> Vec<String> {
        let data = self.data_directory(request);
        let spaces = self.tablespaces().flat_map(|(space, tree)| {
            let files: Vec<_> = tree.iter().map(|(path, entry)| (path.to_owned(), entry.clone())).collect();
            files.into_iter().map(move |(path, entry)| (format!("pg_tblspc/{}/{path}", space.oid), entry))
        });
        let files = data.iter().map(|(path, entry)| (path.to_owned(), entry.clone())).chain(spaces);
        let line = |(path, entry): (String, Entry)| {
            let Entry::File { bytes, .. } = entry else { return None };
            let checksum: String =
                crc32c::crc32c(&bytes).to_le_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            let checksum = match algorithm {
                "NONE" => String::new(),
                _ => format!(", \"Checksum-Algorithm\": \"{algorithm}\", \"Checksum\": \"{checksum}\""),
            };
            let bytes = bytes.len();
            Some(format!(
                "{{ \"Path\": \"{path}\", \"Size\": {bytes}, \"Last-Modified\": \"2026-11-29 11:01:25 GMT\"{checksum} }}"
            ))
        };
        files.filter_map(line).collect()
    }
}
