//! `check`, from the server to the repository and back.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::Value;
use xtask::{Site, output};

mod file {
    use super::*;

    xtask::on_versions! {
        env!("CARGO_BIN_EXE_swiftwal");
        postgresql_15, 15: each_check_fails_for_its_own_reason;
        postgresql_18, 18: each_check_fails_for_its_own_reason;
    }
}

xtask::on_versions_on_swift! {
    env!("CARGO_BIN_EXE_swiftwal");
    postgresql_15, 15: each_check_fails_for_its_own_reason;
}

/// The state and the message of each check.
type Checks = BTreeMap<String, (String, String)>;

/// Runs check with a short wait for the archive, and returns its exit code and its checks.
fn check(site: &Site, options: &[&str]) -> Result<(Option<i32>, Checks)> {
    let mut command = site.command(&[&["--json", "check"], options].concat());
    let done = output(command.env("SWIFTWAL_ARCHIVE_TIMEOUT", "5"))?;
    let document: Value = serde_json::from_slice(&done.stdout)
        .with_context(|| String::from_utf8_lossy(&done.stderr).into_owned())?;
    let text = |check: &Value, field: &str| check[field].as_str().unwrap_or_default().to_owned();
    let checks = document["checks"].as_array().context("no checks")?.iter();
    let checks = checks.map(|check| (text(check, "name"), (text(check, "state"), text(check, "message"))));
    Ok((done.status.code(), checks.collect()))
}

/// Returns the names of the checks with this state.
fn with_state<'a>(checks: &'a Checks, state: &str) -> Vec<&'a str> {
    checks.iter().filter(|(_, (of, _))| of == state).map(|(name, _)| name.as_str()).collect()
}

fn each_check_fails_for_its_own_reason(site: &Site) -> Result<()> {
    let server = &site.postgres;
    server.archive_all()?;
    // The tests' servers have no checksums before version 18.
    let (code, checks) = check(site, &[])?;
    assert_eq!(code, Some(0), "{checks:?}");
    assert!(with_state(&checks, "failed").is_empty(), "{checks:?}");
    assert!(checks["backup"].1.contains("there is no backup"), "{checks:?}");
    for name in ["storage", "writing", "clock", "server", "archiving", "restoring", "WAL"] {
        assert_eq!(checks[name].0, "ok", "{name}: {checks:?}");
    }
    assert!(checks["restoring"].1.ends_with("16777216 bytes"), "{checks:?}");

    site.run(&["backup", "-c", "fast"])?;
    server.archive_all()?;
    let stored = site.swiftwal.stored()?;
    let (_, checks) = check(site, &["--no-server"])?;
    assert_eq!(checks["backup"].0, "ok", "{checks:?}");
    assert!(!checks.contains_key("server") && checks["restoring"].0 == "ok", "{checks:?}");
    assert_eq!(site.swiftwal.stored()?, stored, "a canary was left, or more was stored");

    server.configure(&["archive_command = 'echo the storage is on fire >&2; false'"])?;
    server.reload()?;
    let (code, checks) = check(site, &[])?;
    assert_eq!(code, Some(1), "{checks:?}");
    assert_eq!(with_state(&checks, "failed"), ["archiving"], "{checks:?}");
    assert!(checks["archiving"].1.contains("the server's archiver fails at 0000000100000000"), "{checks:?}");

    server.configure(&["archive_command = ''"])?;
    server.reload()?;
    let (_, checks) = check(site, &[])?;
    assert!(checks["settings"].1.contains("archive_command is empty"), "{checks:?}");

    server.kill()?;
    let (code, checks) = check(site, &[])?;
    assert_eq!((code, with_state(&checks, "failed")), (Some(1), vec!["server"]), "{checks:?}");
    assert_eq!(checks["restoring"].0, "ok", "the repository is looked at all the same: {checks:?}");
    Ok(())
}
