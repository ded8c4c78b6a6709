//! Commits that wait for receive-wal outlive the server.

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Stdio},
};

use anyhow::{Context, Result};
use xtask::{Postgres, Site};

use crate::receiver::Receiver;

/// The receiver is a synchronous standby, and the server's directory is gone afterwards: only the repository and the spool
/// remain.
pub(crate) fn no_acknowledged_commit_is_lost_with_the_server_and_the_receiver(site: &Site) -> Result<()> {
    let server = &site.postgres;
    server.configure(&["archive_command = '/bin/true'"])?;
    server.reload()?;
    server.sql("create table committed (client int, number int)")?;
    let mut receiver = Receiver::start(site, &["--partial-interval", "0"])?;
    site.run(&["backup", "-c", "fast", "--xlog"])?;
    server.configure(&["synchronous_standby_names = 'swiftwal'", "synchronous_commit = remote_write"])?;
    server.reload()?;
    let is_sync = "select count(*) from pg_stat_replication where sync_state = 'sync'";
    receiver.until("it is a synchronous standby", || Ok(server.sql(is_sync)? == "1"))?;

    let clients: Vec<_> = (0..4).map(|client| Client::start(server, client)).collect::<Result<_>>()?;
    receiver.until("every client has commits", || {
        Ok(server.sql(
            "select count(*) from (select client from committed group by client having count(*) > 50) t",
        )? == "4")
    })?;
    server.kill_all()?;
    receiver.kill()?;
    let acknowledged = clients.into_iter().map(Client::acknowledged).collect::<Result<Vec<_>>>()?;
    assert!(acknowledged.iter().all(|last| *last >= 50), "{acknowledged:?}");

    site.swiftwal.run(&["receive-wal", "--drain"])?;
    let restored = site.restore("restored", "latest", &["--use-partial", "--archive-mode", "off"])?;
    restored.configure(&["synchronous_standby_names = ''"])?;
    restored.start()?;
    restored.wait_for_promotion()?;
    for (client, last) in acknowledged.iter().enumerate() {
        let there = format!("select count(*) from committed where client = {client} and number <= {last}");
        assert_eq!(restored.sql(&there)?, last.to_string(), "client {client}");
    }
    Ok(())
}

/// A client that commits one row after the other, and records what the server has acknowledged.
struct Client {
    psql: Child,
    acknowledged: PathBuf,
}

impl Client {
    fn start(server: &Postgres, client: usize) -> Result<Self> {
        let file = |name: &str| server.data().with_extension(format!("{name}-{client}"));
        let (script, acknowledged) = (file("script"), file("acknowledged"));
        let statements = (1..=100_000)
            .map(|number| format!("insert into committed values ({client}, {number}) returning number;\n"));
        fs::write(&script, statements.collect::<String>())?;
        fs::set_permissions(&script, Permissions::from_mode(0o644))?;
        let mut psql = server.client("psql");
        psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-f"]).arg(&script);
        psql.stdout(File::create(&acknowledged)?).stderr(Stdio::null());
        Ok(Self { psql: psql.spawn()?, acknowledged })
    }

    /// Waits for its end, and returns the number of the last commit that was acknowledged.
    fn acknowledged(mut self) -> Result<u64> {
        self.psql.wait()?;
        let lines = fs::read_to_string(&self.acknowledged)?;
        Ok(lines.lines().last().context("nothing was acknowledged")?.parse()?)
    }
}
