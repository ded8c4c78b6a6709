//! A gateway whose listings come in pages of seven names, whatever number is requested and `/info` says.

use anyhow::Result;

use crate::{place::Place, setting::Setting, shared::CEPH};

#[test]
#[ignore = "needs Ceph: run by cargo xtask test"]
fn short_pages_hide_nothing_from_list_prune_and_restore() -> Result<()> {
    let ceph = CEPH.lease()?;
    let of_wal = Place::new(&ceph, "pages-of-wal")?;
    let wal: Vec<String> = (0..30).map(|number| of_wal.archive(number)).collect::<Result<_>>()?;
    let place = Place::new(&ceph, "pages")?;
    let backups: Vec<String> = (0..3).map(|_| place.back_up()).collect::<Result<_>>()?;
    let lines = |names: &[String]| names.iter().map(|name| format!("{name}\n")).collect::<String>();

    let pages = Setting::names_in_a_page(&ceph, 7)?;
    assert_eq!(of_wal.succeed(&["list-wal"])?, lines(&wal));
    of_wal.run(&["restore-wal", "0000000100000000000000FF", "fetched"])?.expect(1)?;
    of_wal.succeed(&["archive-cleanup", &wal[13]])?;
    assert_eq!(of_wal.succeed(&["list-wal"])?, lines(&wal[13..]));
    assert_eq!(place.succeed(&["list-backups"])?, lines(&backups));
    assert!(place.restores("latest")?);
    place.succeed(&["prune", "--keep-backups", "2"])?;
    assert_eq!(place.succeed(&["list-backups"])?, lines(&backups[1..]));
    for key in &backups[1..] {
        assert!(place.restores(key)?, "{key}");
    }
    drop(pages);

    // Ordinary pages show the same.
    assert_eq!(of_wal.succeed(&["list-wal"])?, lines(&wal[13..]));
    assert_eq!(place.succeed(&["list-backups"])?, lines(&backups[1..]));
    let segments = place.listed("_segments")?;
    assert!(!segments.iter().any(|segment| segment.contains(&backups[0])), "{segments:?}");
    Ok(())
}
