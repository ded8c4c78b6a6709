//! PostgreSQL clusters in a scratch directory.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, bail};

use crate::{Process, Scratch, descendants, processes, run, until};

/// The settings of each cluster: small and fast, and archiving as soon as there is an `archive_command`.
const SETTINGS: [&str; 7] = [
    "archive_mode = on",
    "fsync = off",
    "listen_addresses = ''",
    "max_wal_size = 4GB",
    "shared_buffers = 64MB",
    "wal_level = replica",
    "wal_retrieve_retry_interval = 200ms",
];

/// A PostgreSQL cluster in a scratch directory, stopped when dropped.
///
/// It listens only on a socket in the scratch directory. Its superuser is `postgres`, without a password.
#[derive(Debug)]
pub struct Postgres {
    scratch: Arc<Scratch>,
    data: PathBuf,
    port: u16,
}

impl Postgres {
    /// Creates a cluster in the directory `name`, with these lines in `postgresql.conf`. It isn't started.
    pub fn create(scratch: &Arc<Scratch>, name: &str, settings: &[&str]) -> Result<Self> {
        Self::create_with(scratch, name, settings, &[])
    }

    /// As [`Self::create`], with page checksums, which `initdb` adds by default only from PostgreSQL 18 on.
    pub fn create_with_checksums(scratch: &Arc<Scratch>, name: &str, settings: &[&str]) -> Result<Self> {
        Self::create_with(scratch, name, settings, &["--data-checksums"])
    }

    fn create_with(scratch: &Arc<Scratch>, name: &str, settings: &[&str], options: &[&str]) -> Result<Self> {
        let cluster = Self::open(scratch, &scratch.path().join(name));
        let mut initdb = scratch.command("initdb");
        initdb.args(["--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync", "--username=postgres"]);
        run::stdout(initdb.args(options).arg("--pgdata").arg(&cluster.data))?;
        cluster.configure(&SETTINGS)?;
        cluster.configure(settings)?;
        Ok(cluster)
    }

    /// The cluster in `data` that another program has created or will create, such as a restored one. It isn't started.
    #[must_use]
    pub fn open(scratch: &Arc<Scratch>, data: &Path) -> Self {
        Self { scratch: Arc::clone(scratch), data: data.to_owned(), port: scratch.next_port() }
    }

    /// Returns its data directory.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Adds lines to `postgresql.conf`; later ones override earlier ones. They take effect at the next start or
    /// [`Self::reload`].
    pub fn configure(&self, settings: &[&str]) -> Result<()> {
        let path = self.data.join("postgresql.conf");
        let mut file = OpenOptions::new().append(true).open(&path)?;
        for setting in settings {
            writeln!(file, "{setting}").with_context(|| format!("adding to {}", path.display()))?;
        }
        Ok(())
    }

    /// Starts the server, and returns when it accepts connections. The error contains the end of its log.
    pub fn start(&self) -> Result<()> {
        let socket = format!("-p {} -k {}", self.port, self.scratch.path().display());
        let log = self.log_file();
        let mut start = self.pg_ctl("start");
        start.arg("--log").arg(&log).arg("--options").arg(socket);
        if !run::output(&mut start)?.status.success() {
            bail!("{} didn't start:\n{}", self.data.display(), last_lines(&self.log()?, 30));
        }
        Ok(())
    }

    /// Rereads the configuration.
    pub fn reload(&self) -> Result<()> {
        run::stdout(&mut self.pg_ctl("reload")).map(drop)
    }

    /// Makes every further attempt of the server to archive fail.
    pub fn archive_nothing(&self) -> Result<()> {
        self.configure(&["archive_command = 'false'"])?;
        self.reload()
    }

    /// Stops the server after a checkpoint; open transactions are rolled back.
    pub fn stop(&self) -> Result<()> {
        run::stdout(self.pg_ctl("stop").args(["--mode", "fast"])).map(drop)
    }

    /// Stops the server without a checkpoint, as a crash would, and everything that it runs.
    pub fn crash(&self) -> Result<()> {
        let children = self.processes()?;
        run::stdout(self.pg_ctl("stop").args(["--mode", "immediate"]))?;
        children.iter().for_each(Process::kill);
        children.iter().try_for_each(Process::wait_for_end)
    }

    /// Kills the server's first process by SIGKILL. Returns when the others, which notice that, have ended, too.
    pub fn kill(&self) -> Result<()> {
        self.kill_with(|_| {})
    }

    /// Kills all the server's processes by SIGKILL, as the machine's end would.
    pub fn kill_all(&self) -> Result<()> {
        self.kill_with(|children| children.iter().for_each(Process::kill))
    }

    fn kill_with(&self, children_too: impl FnOnce(&[Process])) -> Result<()> {
        let postmaster = Process::of(self.pid()?)?;
        let children = descendants(postmaster.pid)?;
        postmaster.kill();
        children_too(&children);
        children.iter().try_for_each(Process::wait_for_end)?;
        // A server that is started refuses a directory whose process still has its id.
        until("the id of the killed server is free", || Ok(!postmaster.directory().exists()))
    }

    /// Promotes the server, and returns when it accepts writes.
    pub fn promote(&self) -> Result<()> {
        run::stdout(&mut self.pg_ctl("promote")).map(drop)
    }

    /// Returns the process id of the running server.
    fn pid(&self) -> Result<i32> {
        let path = self.data.join("postmaster.pid");
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(text.lines().next().unwrap_or_default().parse()?)
    }

    /// Returns the running server's processes, and those of the commands that it has started.
    pub fn processes(&self) -> Result<Vec<Process>> {
        descendants(self.pid()?)
    }

    /// Returns the CPU time of the running server with all its processes, including those that have ended, in seconds.
    pub fn cpu_seconds(&self) -> Result<f64> {
        processes::cpu_seconds(self.pid()?)
    }

    /// Returns the server's log of all its starts.
    pub fn log(&self) -> Result<String> {
        let path = self.log_file();
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    }

    /// Returns the connection settings for libpq programs.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("PGHOST", self.scratch.path().display().to_string()),
            ("PGPORT", self.port.to_string()),
            ("PGUSER", "postgres".to_owned()),
            ("PGDATABASE", "postgres".to_owned()),
        ]
    }

    /// Returns a client program that connects to this server as the PostgreSQL user.
    pub fn client(&self, program: impl AsRef<Path>) -> Command {
        let mut command = self.scratch.command(program);
        command.envs(self.environment());
        command
    }

    /// Returns the statement's rows: columns separated by `|`, without a newline at the end.
    pub fn sql(&self, statement: &str) -> Result<String> {
        let mut psql = self.client("psql");
        psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement]);
        Ok(run::stdout(&mut psql)?.trim_end().to_owned())
    }

    /// Returns the major version of the running server.
    pub fn major(&self) -> Result<u32> {
        Ok(self.sql("show server_version_num")?.parse::<u32>()? / 10_000)
    }

    /// Sets `allow_in_place_tablespaces`, which a server needs to create such a tablespace, or to recover its creation.
    pub fn allow_in_place_tablespaces(&self) -> Result<()> {
        self.configure(&["allow_in_place_tablespaces = on"])?;
        self.reload()?;
        let is_on = || Ok(self.sql("show allow_in_place_tablespaces")? == "on");
        until("in-place tablespaces are allowed", is_on)
    }

    /// Creates pgbench's tables: 100,000 accounts, about 15 MB, for each unit of `scale`.
    pub fn pgbench_init(&self, scale: u32) -> Result<()> {
        run::stdout(self.client("pgbench").args(["-i", "-q", "-s", &scale.to_string()])).map(drop)
    }

    /// Starts pgbench's transactions in the background: four clients, until the load is ended or dropped.
    pub fn pgbench(&self) -> Result<Load> {
        self.pgbench_with(&[])
    }

    /// As [`Self::pgbench`], with more options, such as `-f` for a script in place of the usual transactions.
    pub fn pgbench_with(&self, options: &[&str]) -> Result<Load> {
        let mut pgbench = self.client("pgbench");
        // A duration that no test reaches, even on a slow machine.
        pgbench.args(["-n", "-c", "4", "-T", "86400"]).args(options);
        let pgbench = pgbench.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Ok(Load { pgbench: pgbench.context("starting pgbench")? })
    }

    /// Returns the number of rows in pgbench's tables, and a checksum of all of them, independent of their order.
    pub fn rows(&self) -> Result<(u64, String)> {
        let tables = ["accounts", "branches", "history", "tellers"];
        let parts = tables.map(|table| {
            format!("select count(*) n, sum(hashtextextended(t::text, 0)) h from pgbench_{table} t")
        });
        let rows = self.sql(&format!(
            "select sum(n) || '|' || md5(string_agg(n || ':' || coalesce(h, 0), ',' order by n, h)) from ({}) t",
            parts.join(" union all ")
        ))?;
        let (count, checksum) = rows.split_once('|').context("two columns")?;
        Ok((count.parse()?, checksum.to_owned()))
    }

    /// Ends the current WAL segment, and returns when it and all earlier ones are archived.
    pub fn archive_all(&self) -> Result<()> {
        self.sql("select pg_switch_wal()")?;
        until("all WAL is archived", || Ok(self.waiting_for_archive()?.is_empty()))
    }

    /// Whether a backup by the method `local` or `replication` copies the server's data now.
    pub fn is_copied(&self, method: &str) -> Result<bool> {
        let copies = match method {
            // The last statement before the copy.
            "local" => {
                "select exists (select from pg_stat_activity where application_name = 'swiftwal' and state = 'idle' \
                 and query = 'SELECT timeline_id FROM pg_control_checkpoint()')"
            }
            _ => "select exists (select from pg_stat_progress_basebackup where backup_streamed > 1 << 20)",
        };
        Ok(self.sql(copies)? == "t")
    }

    /// Returns the names of the complete WAL files that haven't been archived, oldest first.
    pub fn waiting_for_archive(&self) -> Result<Vec<String>> {
        let names = self.sql(
            "select regexp_replace(name, '.ready$', '') from pg_ls_archive_statusdir() \
             where name ~ '.ready$' order by name",
        )?;
        Ok(names.lines().map(str::to_owned).collect())
    }

    /// Returns when the server has ended recovery by itself.
    pub fn wait_for_promotion(&self) -> Result<()> {
        until("recovery has ended", || Ok(self.sql("select pg_is_in_recovery()")? == "f"))
    }

    fn pg_ctl(&self, action: &str) -> Command {
        let mut command = self.scratch.command("pg_ctl");
        command.args([action, "--silent", "--wait", "--timeout", "600", "--pgdata"]).arg(&self.data);
        command
    }

    fn log_file(&self) -> PathBuf {
        self.data.with_extension("log")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.data.join("postmaster.pid").exists() {
            let _ = run::output(self.pg_ctl("stop").args(["--mode", "immediate"]));
        }
    }
}

/// A pgbench that runs in the background; killed when dropped.
#[derive(Debug)]
pub struct Load {
    pgbench: Child,
}

impl Load {
    /// Whether it is still running.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.pgbench.try_wait()?.is_none())
    }

    /// Ends it, and returns when the server has finished or rolled back the last transactions of every load.
    pub fn end(self, server: &Postgres) -> Result<()> {
        drop(self);
        let sessions = "select count(*) from pg_stat_activity where application_name = 'pgbench'";
        until("pgbench's sessions have ended", || Ok(server.sql(sessions)? == "0"))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.pgbench.kill();
        let _ = self.pgbench.wait();
    }
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Installation;

    #[test]
    #[ignore = "needs PostgreSQL: run by cargo xtask test"]
    fn a_crashed_server_starts_again_with_its_committed_rows_and_a_dropped_one_is_gone() {
        let scratch = Scratch::new(Installation::ensure().unwrap()).unwrap();
        let server = Postgres::create(&scratch, "data", &[]).unwrap();
        server.start().unwrap();
        server.pgbench_init(1).unwrap();
        let rows = server.rows().unwrap();
        assert_eq!(rows.0, 100_011);
        server.crash().unwrap();
        server.start().unwrap();
        assert_eq!(server.rows().unwrap(), rows);
        server.sql("delete from pgbench_tellers where tid = 1").unwrap();
        assert_ne!(server.rows().unwrap(), rows);
        let pidfile = server.data().join("postmaster.pid");
        drop(server);
        assert!(!pidfile.exists());
    }

    #[test]
    #[ignore = "needs PostgreSQL: run by cargo xtask test"]
    fn a_server_that_does_not_start_says_why() {
        let scratch = Scratch::new(Installation::ensure().unwrap()).unwrap();
        let server = Postgres::create(&scratch, "data", &["shared_buffers = lots"]).unwrap();
        assert!(server.start().unwrap_err().to_string().contains("shared_buffers"));
    }
}
