//! The settings of an isolated server. They are on its command line, which overrides every file.

use std::path::Path;

/// The oldest version that these settings are for.
pub(super) const OLDEST: u32 = 13;

/// The port, which is a part of the socket's name.
pub(super) const PORT: u16 = 5432;

/// The settings of each connection to the server. They override those of the command line, and those that a database or a
/// role has.
pub(super) const CLIENT_SETTINGS: &str = "-c session_preload_libraries= -c local_preload_libraries= -c statement_timeout=0 \
                                          -c lock_timeout=0 -c default_transaction_read_only=off";

/// The number of connections beside those of parallel jobs.
const CONNECTIONS: usize = 20;
/// The least number of locks for each connection, so that all tables of a database can be dumped.
const LOCKS: u64 = 1024;
/// The least number of prepared transactions. Recovery needs as many as the original server had.
const PREPARED_TRANSACTIONS: u64 = 100;
/// The number of replication origins: more than a server has subscriptions. Recovery keeps track of them.
const ORIGINS: u32 = 1000;

/// The parts of the configuration that differ.
#[derive(Debug)]
pub(crate) struct Isolation {
    /// The name of the command, which the server's processes show.
    pub(crate) purpose: &'static str,
    /// The libraries to preload, as in `shared_preload_libraries`.
    pub(crate) preload: String,
    /// How many connections are used at the same time.
    pub(crate) jobs: usize,
}

/// The limits of the original server that its WAL may need.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Needed {
    prepared_transactions: u64,
    locks: u64,
}

impl Needed {
    /// Parses the output of pg_controldata in English.
    pub(super) fn parse(controldata: &str) -> Self {
        let number = |name: &str| {
            let line =
                controldata.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" setting:"));
            line.and_then(|value| value.trim().parse().ok()).unwrap_or_default()
        };
        Self { prepared_transactions: number("max_prepared_xacts"), locks: number("max_locks_per_xact") }
    }
}

impl Isolation {
    /// Returns every setting as `NAME=VALUE`, for a server of the major version whose files are in `directory`.
    pub(super) fn settings(&self, major: u32, directory: &Path, needed: Needed) -> Vec<String> {
        let file = |name: &str| directory.join(name).display().to_string();
        let text = |name: &str, value: &str| format!("{name}={value}");
        let mut settings = vec![
            text("config_file", &file("postgresql.conf")),
            text("hba_file", &file("pg_hba.conf")),
            text("ident_file", &file("pg_ident.conf")),
            text("external_pid_file", ""),
            // Reachable through a socket in a directory of this user only.
            text("listen_addresses", ""),
            text("unix_socket_directories", &directory.display().to_string()),
            text("unix_socket_permissions", "0700"),
            text("port", &PORT.to_string()),
            text("ssl", "off"),
            text("cluster_name", &format!("swiftwal {}", self.purpose)),
            // Adds nothing to any repository, and connects to no other server.
            text("archive_mode", "off"),
            text("archive_command", ""),
            text("archive_cleanup_command", ""),
            text("recovery_end_command", ""),
            text("primary_conninfo", ""),
            text("primary_slot_name", ""),
            text("synchronous_standby_names", ""),
            text("max_logical_replication_workers", "0"),
            text("max_wal_senders", "0"),
            // Runs no code but PostgreSQL's own.
            text("shared_preload_libraries", &self.preload),
            text("session_preload_libraries", ""),
            text("local_preload_libraries", ""),
            text("max_worker_processes", "0"),
            text("jit", "off"),
            text("autovacuum", "off"),
            // Recovers whatever the original server has written.
            text("hot_standby", "off"),
            text("wal_level", "replica"),
            text(
                "max_prepared_transactions",
                &needed.prepared_transactions.max(PREPARED_TRANSACTIONS).to_string(),
            ),
            text("max_locks_per_transaction", &needed.locks.max(LOCKS).to_string()),
            text("max_replication_slots", &ORIGINS.to_string()),
            text("max_connections", &(CONNECTIONS + self.jobs).to_string()),
            // Is small, beside the servers that matter.
            text("shared_buffers", "128MB"),
            text("maintenance_work_mem", "64MB"),
            text("max_parallel_workers", "0"),
            text("huge_pages", "off"),
            text("restart_after_crash", "off"),
            // Writes a log that can be read here.
            text("logging_collector", "off"),
            text("log_destination", "stderr"),
            text("log_line_prefix", "%n %p "),
            text("log_min_messages", "warning"),
            text("lc_messages", "C"),
        ];
        let since = [
            (15, text("archive_library", "")),
            (15, text("allow_in_place_tablespaces", "on")),
            (17, text("event_triggers", "off")),
            (17, text("summarize_wal", "off")),
            (17, text("sync_replication_slots", "off")),
            (18, text("max_active_replication_origins", &ORIGINS.to_string())),
        ];
        settings.extend(since.into_iter().filter(|(since, _)| *since <= major).map(|(_, setting)| setting));
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(major: u32, controldata: &str) -> Vec<String> {
        let isolation = Isolation { purpose: "drill", preload: "a,b".to_owned(), jobs: 4 };
        isolation.settings(major, Path::new("/scratch"), Needed::parse(controldata))
    }

    #[test]
    fn settings_are_given_to_the_versions_that_know_them() {
        let has = |major, name: &str| settings(major, "").iter().any(|setting| setting.starts_with(name));
        assert!(!has(13, "archive_library=") && has(15, "archive_library="));
        assert!(!has(16, "event_triggers=") && has(17, "event_triggers="));
        assert!(has(13, "listen_addresses=") && has(13, "shared_preload_libraries=a,b"));
        assert!(has(13, "hba_file=/scratch/pg_hba.conf"));
    }

    #[test]
    fn recovery_has_as_many_prepared_transactions_as_the_original_server() {
        let text = "max_worker_processes setting:         8\nmax_prepared_xacts setting:           5000\n\
                    max_locks_per_xact setting:           64\n";
        let settings = settings(15, text);
        assert!(settings.contains(&"max_prepared_transactions=5000".to_owned()));
        assert!(settings.contains(&"max_locks_per_transaction=1024".to_owned()));
    }
}
