//! A base backup whose connection breaks, or whose server dies, leaves no backup, no slot and no object.

mod proxy;

use std::{path::Path, process::Stdio};

use anyhow::{Context, Result, bail};
use xtask::{Postgres, Site, output, until};

use self::proxy::Cut;

fn site() -> Result<Site> {
    let site = Site::start(Path::new(env!("CARGO_BIN_EXE_swiftwal")))?;
    site.postgres.pgbench_init(2)?;
    site.postgres.archive_all()?;
    site.postgres.archive_nothing()?;
    Ok(site)
}

/// Returns the options that lead to the server through a proxy.
fn through_a_proxy(site: &Site, cut: Cut) -> Result<Vec<String>> {
    let [(_, directory), (_, port)] = &site.postgres.environment()[..2] else { bail!("no address") };
    let proxy = proxy::start(Path::new(directory).join(format!(".s.PGSQL.{port}")), cut)?;
    let conninfo = format!("host=127.0.0.1 port={proxy} user=postgres sslmode=disable");
    Ok(["backup", "--method", "replication", "-c", "fast", "--xlog", "-d", &conninfo]
        .map(str::to_owned)
        .into())
}

fn expect_nothing_left(site: &Site, stored: &[String]) -> Result<()> {
    assert_eq!(site.run(&["list-backups"])?, "");
    assert_eq!(site.swiftwal.stored()?, stored);
    until("the slot is gone", || Ok(site.postgres.sql("select count(*) from pg_replication_slots")? == "0"))
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn a_connection_that_breaks_in_any_message_leaves_no_backup_and_no_slot() -> Result<()> {
    let site = site()?;
    let stored = site.swiftwal.stored()?;
    // The start position, the list of the archives, the beginning of the copy and of its first archive; its middle.
    let early = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 300].map(Cut::AfterTheCommand);
    // The end position, and the confirmation that the command has ended.
    let late = [0, 1, 2, 3].map(Cut::AfterTheCopy);
    for cut in early.into_iter().chain(late) {
        let arguments = through_a_proxy(&site, cut)?;
        let mut command = site.swiftwal.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let ended = output(&mut command)?;
        let said = String::from_utf8(ended.stderr)?;
        assert_eq!(ended.status.code(), Some(1), "{cut:?}: {said}");
        assert!(said.contains("the server closed the connection while"), "{cut:?}: {said}");
        expect_nothing_left(&site, &stored).with_context(|| format!("{cut:?}"))?;
    }
    let arguments = through_a_proxy(&site, Cut::AfterTheCommand(usize::MAX))?;
    let mut command = site.swiftwal.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let ended = output(&mut command)?;
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn a_server_that_dies_in_the_copy_leaves_no_backup() -> Result<()> {
    let deaths: [fn(&Postgres) -> Result<()>; 3] = [Postgres::crash, Postgres::kill, Postgres::kill_all];
    let site = site()?;
    let stored = site.swiftwal.stored()?;
    for method in ["local", "replication"] {
        for death in deaths {
            // Slow enough that the copy lasts until the server is gone.
            let arguments = ["backup", "--method", method, "-c", "fast", "--xlog", "--max-rate", "1M"];
            let mut command = site.command(&arguments);
            let checkpoints = site.postgres.log()?.matches("checkpoint complete").count();
            let backup = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
            until("the backup has begun", || {
                Ok(site.swiftwal.stored()?.len() > stored.len()
                    && site.postgres.log()?.matches("checkpoint complete").count() > checkpoints)
            })?;
            death(&site.postgres)?;
            let ended = backup.wait_with_output()?;
            let said = String::from_utf8(ended.stderr)?;
            assert_eq!(ended.status.code(), Some(1), "{method}: {said}");
            assert!(said.contains("the base backup failed"), "{method}: {said}");
            let why = ["terminating connection", "the server closed the connection"];
            assert!(why.iter().any(|why| said.contains(why)), "{method}: {said}");
            site.postgres.start()?;
            expect_nothing_left(&site, &stored)?;
        }
    }
    Ok(())
}
