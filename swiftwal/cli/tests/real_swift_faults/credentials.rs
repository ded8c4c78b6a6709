//! Wrong credentials, and accounts of other users: waiting helps in neither case.

use anyhow::Result;
use xtask::Environment;

use crate::{
    place::{Ended, Place},
    shared::{KEYSTONE, PLAIN},
};

/// Returns what archive-wal and restore-wal report at once with these settings, despite their time for retries.
fn refused(place: &Place<'_>, settings: Environment) -> Result<[Ended; 2]> {
    let name = place.segment(7)?;
    let stranger = place.clone().with(settings);
    let archiving = stranger.run(&["archive-wal", &name])?.expect(1)?;
    let fetching = stranger.run(&["restore-wal", &name, "fetched"])?.expect(128)?;
    assert!(!archiving.has_retried() && !fetching.has_retried(), "{archiving:?} {fetching:?}");
    Ok([archiving, fetching])
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn a_wrong_key_of_version_1_is_refused_at_once() -> Result<()> {
    let swift = PLAIN.lease()?;
    let place = Place::new(&swift, "wrong-key")?;
    place.archive(0)?;
    for ended in refused(&place, swift.environment_v1().with("ST_KEY", "hunter2"))? {
        assert!(ended.reason().contains("/auth/v1.0 refused the credentials"), "{}", ended.reason());
        assert!(!ended.stderr.contains("hunter2"));
    }
    Ok(())
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn a_wrong_password_is_refused_at_once() -> Result<()> {
    let swift = KEYSTONE.lease()?;
    let settings = swift.environment_v3_password()?;
    let place = Place::new(&swift, "wrong-password")?.with(settings.clone());
    place.archive(0)?;
    for ended in refused(&place, settings.with("OS_PASSWORD", "hunter2"))? {
        assert!(ended.reason().contains("/v3/auth/tokens refused the credentials"), "{}", ended.reason());
        assert!(!ended.stderr.contains("hunter2"));
    }
    Ok(())
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn an_account_that_is_closed_to_the_user_is_refused_at_once() -> Result<()> {
    let swift = KEYSTONE.lease()?;
    let place = Place::new(&swift, "forbidden")?.with(swift.environment_v3_password()?);
    place.archive(0)?;
    for ended in refused(&place, swift.environment_v3_reader()?)? {
        assert!(ended.reason().contains("403"), "{}", ended.reason());
    }
    let place = Place::new(&swift, "forbidden-v1")?;
    place.archive(0)?;
    for ended in refused(&place, swift.environment_v1_reader())? {
        assert!(ended.reason().contains("403"), "{}", ended.reason());
    }
    Ok(())
}
