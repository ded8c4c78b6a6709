//! Helpers that craft backups, as an attacker with write access to the repository could.

use anyhow::{Context, Result};
use serde_json::Value;
use swiftwal_core::BackupRecord;
use tar::{EntryType, Header};

use super::site::Site;

/// The end of a tar: two empty blocks.
pub(super) const END_BYTES: usize = 1024;

/// A tar member with `bytes` zeros and a name that a tar writer should refuse.
pub(super) fn member(name: &[u8], kind: EntryType, link: &str, bytes: usize) -> Result<Vec<u8>> {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(0o600);
    header.set_size(bytes as u64);
    if kind == EntryType::Symlink {
        header.set_link_name(link)?;
    }
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_cksum();
    let mut member = header.as_bytes().to_vec();
    member.resize(member.len() + bytes.next_multiple_of(512), 0);
    Ok(member)
}

/// Stores other content under the name of an object of a backup, and a commit record that matches it.
pub(super) async fn put_again(
    site: &Site,
    record: &BackupRecord,
    object: &str,
    content: Vec<u8>,
    tar_bytes: usize,
) -> Result<()> {
    let name = BackupRecord::object_name(record.key).to_string();
    let stored: Value = serde_json::from_slice(&site.subject.get(&name).await?)?;
    let mut backup = stored["backup"].clone();
    let objects = backup["objects"].as_array_mut().context("a record has objects")?;
    let found = objects.iter_mut().find(|found| found["name"] == object).context("it has this object")?;
    found["bytes"] = content.len().into();
    found["blake3"] = blake3::hash(&content).to_hex().as_str().into();
    if !found["tar_bytes"].is_null() {
        found["tar_bytes"] = tar_bytes.into();
    }
    let backup = backup.to_string();
    let hash = blake3::hash(backup.as_bytes()).to_hex();
    site.subject.put(object, content).await?;
    site.subject.put(&name, format!(r#"{{"format":1,"blake3":"{hash}","backup":{backup}}}"#)).await
}
