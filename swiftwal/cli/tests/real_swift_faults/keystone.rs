//! A Keystone that is down, and tokens that expire.

use std::{fs, path::PathBuf};

use anyhow::Result;
use xtask::{Break, Direction, Fault, Service, Wire, until};

use crate::{
    place::Place,
    shared::{KEYSTONE, Lease, SHORT_LIVED},
};

fn place<'a>(swift: &'a Lease, name: &str) -> Result<Place<'a>> {
    Ok(Place::new(swift, name)?.with(swift.environment_v3_password()?))
}

/// Removes the tokens that earlier runs have cached.
fn forget_tokens(place: &Place<'_>) -> Result<()> {
    Ok(fs::remove_dir_all(place.directory.join("state/swiftwal/tokens"))?)
}

/// Changes a field of the cached token, and returns its file.
fn change_token(place: &Place<'_>, field: &str, value: &str) -> Result<PathBuf> {
    let tokens = place.directory.join("state/swiftwal/tokens");
    // What the cluster can do is in another file of the directory.
    let is_token = |path: &PathBuf| !path.to_string_lossy().contains("/dialect-");
    let file = fs::read_dir(&tokens)?.flatten().map(|entry| entry.path()).find(is_token);
    let file = file.unwrap_or_else(|| panic!("no token in {}", tokens.display()));
    let mut session: serde_json::Value = serde_json::from_slice(&fs::read(&file)?)?;
    session[field] = value.into();
    fs::write(&file, session.to_string())?;
    Ok(file)
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn a_token_in_its_last_minutes_is_good_enough_while_keystone_is_down() -> Result<()> {
    let swift = KEYSTONE.lease()?;
    let place = place(&swift, "last-minutes")?;
    place.archive(0)?;
    change_token(&place, "renew_at", "2000-01-01T00:00:00Z")?;
    swift.kill(Service::Keystone)?;
    let name = place.segment(1)?;
    let archived = place.run(&["archive-wal", &name])?.expect(0)?;
    assert!(archived.stderr.contains("the current one expires in"), "{}", archived.stderr);
    swift.up(Service::Keystone)?;
    assert!(place.fetches(&name)?);
    Ok(())
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn with_a_token_at_hand_nobody_notices_that_keystone_is_down() -> Result<()> {
    let swift = KEYSTONE.lease()?;
    let place = place(&swift, "token-at-hand")?;
    let stored = place.archive(0)?;
    swift.kill(Service::Keystone)?;
    let name = place.segment(1)?;
    let archived = place.run(&["archive-wal", &name])?.expect(0)?;
    assert_eq!(archived.stderr, "");
    assert!(place.fetches(&stored)?);

    forget_tokens(&place)?;
    let keystone = format!("http://127.0.0.1:{}/v3", swift.port(Service::Keystone));
    let name = place.segment(2)?;
    let refused = place.impatient().run(&["archive-wal", &name])?.expect(1)?;
    assert!(refused.reason().contains(&keystone), "{}", refused.reason());
    let refused = place.impatient().run(&["restore-wal", &stored, "fetched"])?.expect(128)?;
    assert!(refused.reason().contains(&keystone), "{}", refused.reason());

    let mut archiving = place.start(&["archive-wal", &name])?;
    archiving.wait_for_retry()?;
    swift.up(Service::Keystone)?;
    archiving.wait()?.expect(0)?;
    assert!(place.fetches(&name)?);
    Ok(())
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn a_keystone_that_is_frozen_for_a_while_is_waited_for() -> Result<()> {
    let swift = KEYSTONE.lease()?;
    let wire = Wire::to(swift.port(Service::Keystone))?;
    let url = format!("http://127.0.0.1:{}/v3", wire.port());
    let settings = swift.environment_v3_password()?.with("OS_AUTH_URL", &url);
    let place = Place::new(&swift, "frozen-keystone")?.with(settings);
    place.archive(0)?;
    forget_tokens(&place)?;
    let name = place.segment(1)?;
    wire.arm(Fault { direction: Direction::ToServer, after: 100, kind: Break::Stall });
    let archiving = place.start(&["archive-wal", &name])?;
    until("Keystone is being asked", || Ok(wire.armed() == 0))?;
    swift.stop(Service::Keystone)?;
    wire.heal();
    swift.cont(Service::Keystone)?;
    archiving.wait()?.expect(0)?;
    assert!(place.fetches(&name)?);
    Ok(())
}

/// Swift answers 401 if it can't have a token checked.
#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn a_swift_that_cannot_have_a_token_checked_is_waited_for() -> Result<()> {
    let swift = KEYSTONE.lease()?;
    let place = place(&swift, "unchecked")?;
    let stored = place.archive(0)?;
    let name = place.segment(1)?;
    swift.kill(Service::Keystone)?;
    // The proxy's cache of checked tokens is lost with it.
    swift.kill(Service::Proxy)?;
    swift.up(Service::Proxy)?;
    let refused = place.impatient().run(&["archive-wal", &name])?.expect(1)?;
    assert!(refused.reason().contains("/v3"), "{}", refused.reason());
    place.impatient().run(&["restore-wal", &stored, "fetched"])?.expect(128)?;

    let mut archiving = place.start(&["archive-wal", &name])?;
    archiving.wait_for_retry()?;
    swift.up(Service::Keystone)?;
    archiving.wait()?.expect(0)?;
    assert!(place.fetches(&name)?);
    Ok(())
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn a_token_that_was_revoked_is_replaced() -> Result<()> {
    let swift = KEYSTONE.lease()?;
    let place = place(&swift, "revoked")?;
    place.archive(0)?;
    let file = change_token(&place, "token", "revoked")?;
    let name = place.archive(1)?;
    assert!(!fs::read_to_string(&file)?.contains("revoked"));
    assert!(place.fetches(&name)?);
    Ok(())
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn tokens_may_end_while_a_backup_goes_up_and_comes_down() -> Result<()> {
    let swift = SHORT_LIVED.lease()?;
    let place = place(&swift, "short-lived")?.wired();
    // Halfway it stalls until its token has expired, and then everything continues: segments, and then the manifest.
    let backup = place.in_the_middle(Direction::ToServer, 32 << 20, |place| place.start_backup(&["-vv"]))?;
    let token = place.client(&["auth"])?;
    let variables: Vec<_> = token.lines().filter_map(|line| line.split_once('=')).collect();
    let value =
        |name: &str| variables.iter().find(|(known, _)| known.ends_with(name)).map(|(_, value)| *value);
    let (url, token) = (value("STORAGE_URL").unwrap_or_default(), value("AUTH_TOKEN").unwrap_or_default());
    until("a younger token has ended", || {
        Ok(place
            .client(&["--os-storage-url", url, "--os-auth-token", token, "--retries", "0", "stat"])
            .is_err())
    })?;
    swift.wire().heal();
    let ended = backup.wait()?.expect(0)?;
    assert!(ended.stderr.matches("asking for a token").count() > 1, "{}", ended.stderr);

    assert!(place.restores("latest")?);
    Ok(())
}
