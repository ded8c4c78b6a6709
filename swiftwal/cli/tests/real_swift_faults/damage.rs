//! Stored content that has changed.

use std::fs;

use anyhow::Result;

use crate::{place::Place, shared::PLAIN};

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn a_damaged_wal_file_is_neither_brought_back_nor_taken_for_absent() -> Result<()> {
    let swift = PLAIN.lease()?;
    let place = Place::new(&swift, "damaged-wal")?;
    let account = swift.account_v1();
    for (number, truncated) in [(0, false), (1, true)] {
        let name = place.archive(number)?;
        if truncated {
            for file in swift.object_files(&account, &place.container, &place.object(&name))? {
                fs::OpenOptions::new().write(true).open(file)?.set_len(1000)?;
            }
        } else {
            swift.damage(&account, &place.container, &place.object(&name))?;
        }
        // Swift notices the damage while it sends the object, and then reports it as missing.
        for told in ["", "it is listed but can't be read"] {
            let refused = place.impatient().run(&["restore-wal", &name, "fetched"])?.expect(128)?;
            assert!(refused.reason().contains(told), "{}", refused.reason());
            assert!(!place.has_rest_of_fetched()?);
        }
        // Anyone who has the right content may store it again.
        place.succeed(&["archive-wal", &name])?;
        assert!(place.fetches(&name)?);
    }
    Ok(())
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn a_backup_with_a_damaged_segment_is_not_restored() -> Result<()> {
    let swift = PLAIN.lease()?;
    let place = Place::new(&swift, "damaged-backup")?;
    place.back_up()?;
    let segments = place.listed("_segments")?;
    let victim = &segments[segments.len() / 2];
    swift.damage(&swift.account_v1(), &format!("{}_segments", place.container), victim)?;
    let restored = place.directory.join("restored");
    for _ in 0..2 {
        let refused =
            place.impatient().run(&["restore", "latest", &restored.to_string_lossy()])?.expect(1)?;
        assert!(refused.reason().contains(".tar.zst"), "{}", refused.reason());
        assert!(!restored.exists());
    }
    Ok(())
}
