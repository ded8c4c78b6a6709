//! Where backups are stored, and how each tool stores and fetches them there.

use std::path::Path;

/// A kind of storage.
pub(crate) struct Place {
    pub(super) name: &'static str,
    /// The program with the options for this place.
    pub(super) swiftwal: &'static str,
    /// The end of the pipeline by which the usual tools store a backup.
    pub(super) keep: &'static str,
    /// The beginning of the pipeline by which they restore it.
    pub(super) fetch: &'static str,
    pub(super) shown_keep: &'static str,
    pub(super) shown_fetch: &'static str,
    /// The limit of a backup by pg_basebackup, as a multiple of the pipeline's wall time.
    pub(super) wall_limit: f64,
    /// The same of a backup by `--method local`, and of its CPU time.
    pub(super) local_limit: f64,
    /// The same by `--method replication`.
    pub(super) replication_limit: f64,
    /// The limits of a restore, as multiples of the pipeline's wall and CPU time.
    pub(super) restore_limits: (f64, f64),
    pub(super) is_directory: bool,
    /// Whether pgBackRest does the same.
    pub(super) beside_pgbackrest: bool,
}

impl Place {
    pub(crate) const FILE: Self = Self {
        name: "a directory",
        swiftwal: "./swiftwal --repository file://$PWD/repository",
        keep: "> base.tar.zst; sync base.tar.zst",
        fetch: "cat base.tar.zst",
        shown_keep: "> FILE; sync FILE",
        shown_fetch: "cat FILE",
        wall_limit: 1.0,
        local_limit: 0.45,
        replication_limit: 0.60,
        restore_limits: (0.60, 0.75),
        is_directory: true,
        beside_pgbackrest: true,
    };
    /// For a cluster of many small files. pgBackRest makes each durable by itself, and takes minutes.
    pub(crate) const FILE_FOR_SMALL_FILES: Self = Self {
        local_limit: 1.0,
        replication_limit: 1.0,
        restore_limits: (0.80, 0.80),
        beside_pgbackrest: false,
        ..Self::FILE
    };
    /// Uses the files that [`start`](super::swift::start) writes.
    pub(crate) const SWIFT: Self = Self {
        name: "Swift",
        swiftwal: "./swiftwal -c v1.conf -C backups",
        keep: "| (source ./v1.sh; swift plain/base.tar.zst -T -)",
        fetch: "(source ./v1.sh; swift plain/base.tar.zst)",
        shown_keep: "| curl -T - URL",
        shown_fetch: "curl URL",
        wall_limit: 0.95,
        local_limit: 0.60,
        is_directory: false,
        beside_pgbackrest: false,
        ..Self::FILE
    };
    /// Uses the files that [`start`](super::ceph::start) writes.
    pub(crate) const CEPH: Self = Self {
        name: "Ceph",
        swiftwal: "./swiftwal -c radosgw.conf -C backups",
        keep: "| (source ./radosgw.sh; swift plain/base.tar.zst -T -)",
        fetch: "(source ./radosgw.sh; swift plain/base.tar.zst)",
        ..Self::SWIFT
    };

    /// Shell commands after which the server archives with swiftwal to this place.
    pub(super) fn archive(&self) -> String {
        archive_by(&format!("{} archive-wal \"$1\"", self.swiftwal))
    }
}

/// A script that archives the segment whose path is its argument.
const ARCHIVER: &str = "archiver.sh";

/// The value of archive_command: it runs the script that [`archive_by`] has written last. pgBackRest insists on being
/// named in it.
pub(super) fn archive_command(scratch: &Path) -> String {
    format!("cd {} && sh {ARCHIVER} \"$OLDPWD/%p\" # may be pgbackrest", scratch.display())
}

/// Shell commands after which the server archives by `command`: `$1` is the segment's path.
pub(super) fn archive_by(command: &str) -> String {
    format!("cat > {ARCHIVER}.new <<'END'\nexec {command}\nEND\nmv {ARCHIVER}.new {ARCHIVER}\n")
}
