//! The text of PostgreSQL's manifest, which is restored as the file `backup_manifest`.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Seek, Write},
    path::Path,
};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use swiftwal_postgres::incremental_file::complete_name;

use super::{
    checksum::Algorithm,
    line::{BEGINNINGS, name_in},
};

/// The beginning of the last line.
const LAST: &[u8] = b"\"Manifest-Checksum\":";

/// The text of a manifest, in a file without a name in the restored directory: it may be large.
#[derive(Debug)]
pub(crate) struct ManifestText {
    text: BufWriter<File>,
}

/// What the manifest says about a file that isn't restored as it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Correction {
    pub(crate) bytes: u64,
    pub(crate) algorithm: Algorithm,
    pub(crate) checksum: Vec<u8>,
}

/// The corrections by the path of the restored file below the data directory. An incremental file is stored under
/// another name than the one that it is restored under.
pub(crate) type Corrections = BTreeMap<Vec<u8>, Correction>;

#[derive(Deserialize)]
struct Times {
    #[serde(rename = "Last-Modified")]
    last_modified: Option<String>,
}

impl ManifestText {
    /// Creates an empty text in `directory`.
    pub(super) fn new(directory: &Path) -> io::Result<Self> {
        Ok(Self { text: BufWriter::new(tempfile::tempfile_in(directory)?) })
    }

    /// Adds a line.
    pub(super) fn add(&mut self, line: &[u8]) -> io::Result<()> {
        self.text.write_all(line)
    }

    /// Writes the manifest with the corrections, and a checksum of its own that fits.
    pub(crate) fn write(self, out: File, corrections: &Corrections) -> io::Result<()> {
        let mut text = self.text.into_inner().map_err(io::IntoInnerError::into_error)?;
        text.rewind()?;
        let mut lines = BufReader::new(text);
        let mut out = BufWriter::new(out);
        if corrections.is_empty() {
            io::copy(&mut lines, &mut out)?;
            return out.flush();
        }
        let mut hash = Sha256::new();
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line)? > 0 {
            if line.starts_with(LAST) {
                writeln!(out, "\"Manifest-Checksum\": \"{}\"}}", hexadecimal(&hash.finalize()))?;
                break;
            }
            if let Some(corrected) = corrected(&line, corrections)? {
                line = corrected;
            }
            hash.update(&line);
            out.write_all(&line)?;
            line.clear();
        }
        out.flush()
    }
}

/// Returns the line for a corrected file; none for a line that isn't corrected.
fn corrected(line: &[u8], corrections: &Corrections) -> io::Result<Option<Vec<u8>>> {
    if !BEGINNINGS.iter().any(|beginning| line.starts_with(beginning)) {
        return Ok(None);
    }
    let stored = name_in(line)?;
    let name = complete_name(&stored, false).filter(|name| corrections.contains_key(name)).unwrap_or(stored);
    let Some(correction) = corrections.get(&name) else { return Ok(None) };
    let text = line.trim_ascii_end();
    let (text, end) = text.strip_suffix(b",").map_or((text, "\n"), |text| (text, ",\n"));
    let Times { last_modified } = serde_json::from_slice(text)?;
    let path = match std::str::from_utf8(&name) {
        Ok(name) => format!("\"Path\": {}", serde_json::to_string(name)?),
        Err(_) => format!("\"Encoded-Path\": \"{}\"", hexadecimal(&name)),
    };
    let mut corrected = format!("{{ {path}, \"Size\": {}", correction.bytes);
    if let Some(modified) = last_modified {
        corrected += &format!(", \"Last-Modified\": {}", serde_json::to_string(&modified)?);
    }
    if correction.algorithm != Algorithm::None {
        let checksum = hexadecimal(&correction.checksum);
        corrected +=
            &format!(", \"Checksum-Algorithm\": \"{}\", \"Checksum\": \"{checksum}\"", correction.algorithm);
    }
    Ok(Some(format!("{corrected} }}{end}").into_bytes()))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const TEXT: &str = r#"{ "PostgreSQL-Backup-Manifest-Version": 2,
"System-Identifier": 7,
"Files": [
{ "Path": "backup_label", "Size": 300, "Last-Modified": "2026-11-29 11:01:05 GMT", "Checksum-Algorithm": "CRC32C", "Checksum": "8a744722" },
{ "Path": "pg_xact/INCREMENTAL.1", "Size": 1, "Last-Modified": "2026-11-29 11:01:05 GMT", "Checksum-Algorithm": "CRC32C", "Checksum": "8a744722" },
{ "Path": "base/5/INCREMENTAL.1", "Size": 12, "Last-Modified": "2026-11-29 11:01:05 GMT", "Checksum-Algorithm": "CRC32C", "Checksum": "00000000" }
],
"WAL-Ranges": [
{ "Timeline": 1, "Start-LSN": "0/3F000028", "End-LSN": "0/3F000100" }
],
"#;

    fn written(corrections: &Corrections, last: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        let mut text = ManifestText::new(directory.path()).unwrap();
        for line in TEXT.split_inclusive('\n').chain([last]) {
            text.add(line.as_bytes()).unwrap();
        }
        let path = directory.path().join("backup_manifest");
        text.write(File::create(&path).unwrap(), corrections).unwrap();
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_manifest_without_corrections_stays_as_it_was() {
        let last = "\"Manifest-Checksum\": \"00\"}\n";
        assert_eq!(written(&Corrections::new(), last), format!("{TEXT}{last}"));
    }

    #[test]
    fn a_combined_file_gets_its_name_size_and_checksum_and_the_manifest_its_own() {
        let correction =
            |bytes| Correction { bytes, algorithm: Algorithm::Crc32c, checksum: vec![1, 2, 3, 4] };
        let corrections = Corrections::from([
            (b"backup_label".to_vec(), correction(200)),
            (b"base/5/1".to_vec(), correction(8192)),
            (b"base/5/2".to_vec(), correction(1)),
        ]);
        let text = written(&corrections, "\"Manifest-Checksum\": \"00\"}\n");
        let time = "\"Last-Modified\": \"2026-11-29 11:01:05 GMT\"";
        let checksum = "\"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"01020304\"";
        let expected = TEXT
            .replace(
                TEXT.lines().nth(3).unwrap(),
                &format!("{{ \"Path\": \"backup_label\", \"Size\": 200, {time}, {checksum} }},"),
            )
            .replace(
                TEXT.lines().nth(5).unwrap(),
                &format!("{{ \"Path\": \"base/5/1\", \"Size\": 8192, {time}, {checksum} }}"),
            );
        let own = hexadecimal(&Sha256::digest(&expected));
        assert_eq!(text, format!("{expected}\"Manifest-Checksum\": \"{own}\"}}\n"));
        assert!(text.contains("pg_xact/INCREMENTAL.1"), "it isn't in a directory of relations");
    }

    #[test]
    fn a_manifest_without_checksums_stays_without() {
        let correction = Correction { bytes: 8192, algorithm: Algorithm::None, checksum: Vec::new() };
        let corrections = Corrections::from([(b"base/5/\xff".to_vec(), correction)]);
        let line = b"{ \"Encoded-Path\": \"626173652f352f494e4352454d454e54414c2eff\", \"Size\": 12 },\n";
        let corrected = corrected(line, &corrections).unwrap().unwrap();
        assert_eq!(corrected, b"{ \"Encoded-Path\": \"626173652f352fff\", \"Size\": 8192 },\n");
    }
}
