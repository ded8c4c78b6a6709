//! The names of incremental files.

const PREFIX: &[u8] = b"INCREMENTAL.";

/// Returns the name of the complete file that an incremental one belongs to; none if `name` isn't an incremental file's.
///
/// `name` is a path below the data directory, or below a tablespace if `is_in_tablespace`. Only the directories of
/// relations contain incremental files: elsewhere, a user may have given a file such a name.
#[must_use]
pub fn complete_name(name: &[u8], is_in_tablespace: bool) -> Option<Vec<u8>> {
    let (directory, file) = split(name);
    let complete = complete_file(file).filter(|_| has_relations(directory, is_in_tablespace))?;
    Some([directory, complete].concat())
}

/// Splits a path behind the last slash.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    path.split_at(path.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1))
}

/// As [`complete_name`], without the directory, which must be one of relations.
pub(crate) fn complete_file(file: &[u8]) -> Option<&[u8]> {
    file.strip_prefix(PREFIX).filter(|complete| !complete.is_empty())
}

/// Whether a directory contains relations. Its name ends with a slash.
pub(crate) fn has_relations(directory: &[u8], is_in_tablespace: bool) -> bool {
    is_in_tablespace
        || directory == b"global/"
        || (directory.starts_with(b"base/") && directory != b"base/")
        || (directory.starts_with(b"pg_tblspc/") && directory != b"pg_tblspc/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_directories_of_relations_have_incremental_files() {
        for (name, complete) in [
            ("base/5/INCREMENTAL.1259", Some("base/5/1259")),
            ("base/5/INCREMENTAL.1259_vm", Some("base/5/1259_vm")),
            ("global/INCREMENTAL.1260.1", Some("global/1260.1")),
            ("pg_tblspc/7/PG_18_202506291/5/INCREMENTAL.9", Some("pg_tblspc/7/PG_18_202506291/5/9")),
            ("base/5/1259", None),
            ("base/5/INCREMENTAL.", None),
            ("base/INCREMENTAL.1", None),
            ("pg_tblspc/INCREMENTAL.1", None),
            ("global/x/INCREMENTAL.1", None),
            ("INCREMENTAL.conf", None),
            ("pg_wal/INCREMENTAL.1", None),
            ("PG_18_202506291/5/INCREMENTAL.9", None),
        ] {
            let found = complete_name(name.as_bytes(), false);
            assert_eq!(found.as_deref(), complete.map(str::as_bytes), "{name}");
        }
        let in_tablespace = complete_name(b"PG_18_202506291/5/INCREMENTAL.9", true);
        assert_eq!(in_tablespace.as_deref(), Some(&b"PG_18_202506291/5/9"[..]));
    }
}
