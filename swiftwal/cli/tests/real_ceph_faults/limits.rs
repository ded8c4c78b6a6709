//! Quotas, and limits of the gateway.

use anyhow::Result;
use xtask::{Ceph, Direction};

use crate::{place::Place, setting::Setting, shared::CEPH};

/// Limits containers for as long as it exists.
struct Quota<'a>(&'a Ceph);

impl<'a> Quota<'a> {
    fn set(ceph: &'a Ceph, objects: Option<u64>, bytes: Option<u64>) -> Result<Self> {
        ceph.limit_containers(objects, bytes)?;
        Ok(Self(ceph))
    }
}

impl Drop for Quota<'_> {
    fn drop(&mut self) {
        let _ = self.0.limit_containers(None, None);
    }
}

#[test]
#[ignore = "needs Ceph: run by cargo xtask test"]
fn a_quota_that_is_used_up_is_an_error_that_says_so_at_once() -> Result<()> {
    let ceph = CEPH.lease()?;
    let place = Place::new(&ceph, "quota")?;
    place.archive(0)?;
    let name = place.segment(1)?;
    for (objects, bytes) in [(Some(1), None), (None, Some(1000))] {
        let quota = Quota::set(&ceph, objects, bytes)?;
        let refused = place.run(&["archive-wal", &name]);
        drop(quota);
        refused?.expect_over_quota()?;
    }
    assert!(place.archives_after_a_refusal(&name)?);
    Ok(())
}

#[test]
#[ignore = "needs Ceph: run by cargo xtask test"]
fn a_backup_that_meets_a_quota_leaves_nothing_that_is_listed_and_there_prune_works() -> Result<()> {
    let ceph = CEPH.lease()?;
    let place = Place::new(&ceph, "no-room")?.wired();
    place.back_up()?;
    let kept = place.back_up()?;
    let backup = place.in_the_middle(Direction::ToServer, 32 << 20, |place| place.start_backup(&[]))?;
    let quota = Quota::set(&ceph, None, Some(1000))?;
    ceph.wire().heal();
    let refused = backup.wait()?.expect(1)?;
    assert!(refused.reason().to_lowercase().contains("quota"), "{}", refused.reason());
    place.succeed(&["prune", "--keep-backups", "1"])?;
    drop(quota);
    assert_eq!(place.succeed(&["list-backups"])?, format!("{kept}\n"));
    assert!(place.restores(&kept)?);
    place.back_up()?;
    assert!(place.restores("latest")?);
    Ok(())
}

/// There are no manifests that name manifests.
#[test]
#[ignore = "needs Ceph: run by cargo xtask test"]
fn a_backup_of_more_parts_than_a_manifest_names_is_stored_in_several_objects() -> Result<()> {
    let ceph = CEPH.lease()?;
    let place = Place::new(&ceph, "short-manifests")?;
    let manifests = Setting::segments_in_a_manifest(&ceph, 3)?;
    place.back_up()?;
    let kept = place.back_up()?;
    let tars = place.listed("")?.into_iter().filter(|name| name.contains(&kept) && name.contains(".tar"));
    assert!(tars.count() > 1);
    place.succeed(&["prune", "--keep-backups", "1"])?;
    drop(manifests);
    assert_eq!(place.succeed(&["list-backups"])?, format!("{kept}\n"));
    assert!(place.restores(&kept)?);
    Ok(())
}
