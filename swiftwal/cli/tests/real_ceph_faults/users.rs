//! A user that is suspended: the gateway still issues tokens, and refuses them.

use anyhow::Result;

use crate::{place::Place, shared::CEPH};

#[test]
#[ignore = "needs Ceph: run by cargo xtask test"]
fn what_a_suspended_user_asks_for_is_not_taken_for_absent_and_works_again_afterwards() -> Result<()> {
    let ceph = CEPH.lease()?;
    let place = Place::new(&ceph, "suspended")?;
    let stored = place.archive(0)?;
    let of_backup = Place::new(&ceph, "suspended-backup")?;
    let backup = of_backup.back_up()?;
    let name = place.segment(1)?;
    ceph.suspend_user()?;
    let refused = [
        (1, place.impatient().run(&["archive-wal", &name])),
        (1, place.impatient().run(&["list-wal"])),
        (128, place.impatient().run(&["restore-wal", &stored, "fetched"])),
        (1, of_backup.impatient().run(&["list-backups"])),
        (1, of_backup.impatient().run(&["prune", "--keep-backups", "1"])),
    ];
    ceph.enable_user()?;
    for (code, refused) in refused {
        let refused = refused?.expect(code)?;
        // On a busy machine the second to retry may end in a request for a token.
        let reason = refused.reason();
        assert!(reason.contains("401") || reason.contains("authentication failed"), "{reason}");
        assert_eq!(refused.stdout, "");
    }
    place.run(&["restore-wal", &name, "fetched"])?.expect(1)?;
    place.succeed(&["archive-wal", &name])?;
    assert!(place.fetches(&name)?);
    assert!(of_backup.restores(&backup)?);
    Ok(())
}

#[test]
#[ignore = "needs Ceph: run by cargo xtask test"]
fn a_wrong_key_is_refused_at_once() -> Result<()> {
    let ceph = CEPH.lease()?;
    let place = Place::new(&ceph, "wrong-key")?;
    let stored = place.archive(0)?;
    let stranger = Place::new(&ceph, "wrong-key-used")?.with(ceph.environment_v1().with("ST_KEY", "hunter2"));
    let name = stranger.segment(1)?;
    for (arguments, code) in [(&["archive-wal", &*name][..], 1), (&["restore-wal", &stored, "fetched"], 128)]
    {
        let refused = stranger.run(arguments)?.expect(code)?;
        assert!(!refused.has_retried(), "{}", refused.stderr);
        assert!(refused.reason().contains("/auth/1.0 refused the credentials"), "{}", refused.reason());
        assert!(!refused.stderr.contains("hunter2"));
    }
    Ok(())
}
