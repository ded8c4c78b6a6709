//! What a base backup leaves out.
//!
//! Source: the lists at the beginning of PostgreSQL's `src/backend/backup/basebackup.c`, and `sendDir` there. As in the
//! server, a name counts in every directory.

use crate::relation_file::{RelationFile, is_temporary};

/// Directories whose content the server creates when it starts. They themselves are in the backup, empty.
const EMPTIED: [&str; 7] =
    ["pg_stat_tmp", "pg_replslot", "pg_dynshmem", "pg_notify", "pg_serial", "pg_snapshots", "pg_subtrans"];

/// Files of the running server, and of earlier backups.
const FILES: [&str; 8] = [
    "postgresql.auto.conf.tmp",
    "current_logfiles.tmp",
    "backup_label",
    "tablespace_map",
    "backup_manifest",
    "postmaster.pid",
    "postmaster.opts",
    ".DS_Store",
];

/// Files and directories whose names begin so: temporary files, and caches that the server rebuilds.
const PREFIXES: [&str; 2] = ["pgsql_tmp", "pg_internal.init"];

/// Whether a file or directory of this name is left out.
pub(super) fn is_excluded(name: &str) -> bool {
    FILES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether a directory of this name is in the backup without its content.
pub(super) fn is_emptied(name: &str) -> bool {
    EMPTIED.contains(&name)
}

/// Whether a file in the directory of a database is left out: those of temporary relations, and those of unlogged ones
/// but for the initial fork, from which recovery creates them. `has_initial_fork` says whether that of a relation
/// exists.
pub(super) fn is_excluded_relation(name: &str, has_initial_fork: impl Fn(&str) -> bool) -> bool {
    match RelationFile::parse(name) {
        Some(RelationFile { fork: Some("init"), .. }) => false,
        Some(file) => has_initial_fork(file.number),
        None => is_temporary(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_running_server_and_temporary_ones_are_left_out() {
        for name in [
            "postmaster.pid",
            "postmaster.opts",
            "backup_label",
            "tablespace_map",
            "pgsql_tmp",
            "pgsql_tmp123.0",
            "pg_internal.init",
            "pg_internal.init.77",
            "postgresql.auto.conf.tmp",
        ] {
            assert!(is_excluded(name), "{name}");
        }
        for name in ["postgresql.auto.conf", "backup_label.old", "PG_VERSION", "my_pgsql_tmp", "16384"] {
            assert!(!is_excluded(name), "{name}");
        }
    }

    #[test]
    fn of_an_unlogged_relation_only_the_initial_fork_is_kept() {
        let unlogged = |number: &str| number == "7";
        for name in ["7", "7.1", "7_fsm", "7_vm.1", "t3_8", "t3_8_fsm"] {
            assert!(is_excluded_relation(name, unlogged), "{name}");
        }
        for name in ["7_init", "8", "8_fsm", "77", "PG_VERSION", "pg_filenode.map"] {
            assert!(!is_excluded_relation(name, unlogged), "{name}");
        }
    }
}
