//! A directory as a tar, as PostgreSQL sends it.

use std::io;

use tar::{EntryType, Header};

use super::{Entry, Tree};

const BLOCK_BYTES: usize = 512;
/// The two empty blocks at the end.
pub(super) const END_BYTES: usize = 2 * BLOCK_BYTES;

/// Returns the tar of `tree`, in PostgreSQL's order: the label first, `pg_control` last, and the WAL after it.
///
/// Names of directories and of links end with a slash, and the tar ends with two empty blocks, as in PostgreSQL's
/// `src/backend/backup/basebackup.c` and `src/port/tar.c`.
pub(crate) fn tar(tree: &Tree) -> io::Result<Vec<u8>> {
    let mut entries: Vec<_> = tree.iter().collect();
    entries.sort_by_key(|(path, entry)| rank(path, entry));
    let mut tar = Vec::new();
    for (path, entry) in entries {
        append(&mut tar, path, entry)?;
    }
    tar.resize(tar.len() + END_BYTES, 0);
    Ok(tar)
}

fn rank(path: &str, entry: &Entry) -> u8 {
    match path {
        "backup_label" => 0,
        "global/pg_control" => 2,
        wal if wal.starts_with("pg_wal/") && !matches!(entry, Entry::Directory { .. }) => 3,
        _ => 1,
    }
}

fn append(tar: &mut Vec<u8>, path: &str, entry: &Entry) -> io::Result<()> {
    let mut header = Header::new_ustar();
    header.set_mtime(1_377_713_442);
    header.set_uid(70);
    header.set_gid(70);
    header.set_username("postgres")?;
    header.set_groupname("postgres")?;
    header.set_size(0);
    let content: &[u8] = match entry {
        Entry::Directory { mode } => {
            header.set_entry_type(EntryType::Directory);
            header.set_path(format!("{path}/"))?;
            header.set_mode(0o040_000 | mode);
            &[]
        }
        Entry::File { mode, bytes } => {
            header.set_entry_type(EntryType::Regular);
            header.set_path(path)?;
            header.set_mode(0o100_000 | mode);
            header.set_size(bytes.len() as u64);
            bytes
        }
        Entry::Link { target } => {
            header.set_entry_type(EntryType::Symlink);
            header.set_path(format!("{path}/"))?;
            header.set_link_name(target)?;
            header.set_mode(0o120_777);
            &[]
        }
    };
    header.set_cksum();
    tar.extend_from_slice(header.as_bytes());
    tar.extend_from_slice(content);
    tar.resize(tar.len().next_multiple_of(BLOCK_BYTES), 0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SyntheticCluster;

    #[test]
    fn the_label_comes_first_and_pg_control_last_with_the_wal_behind_it() {
        let request = crate::cluster::source::request("x", true);
        let tree = SyntheticCluster::new(1).backup(3, 4).data_directory(&request);
        let tar = tar(&tree).unwrap();
        let mut archive = tar::Archive::new(&tar[..]);
        let names: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        assert_eq!(names.len(), tree.iter().count());
        assert_eq!(names[0], "backup_label");
        assert_eq!(
            names[names.len() - 3..],
            ["global/pg_control", "pg_wal/000000010000000000000003", "pg_wal/000000010000000000000004"],
        );
    }
}
