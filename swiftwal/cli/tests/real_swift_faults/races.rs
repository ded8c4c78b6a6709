//! Two simultaneous processes in one container.

use std::fs;

use anyhow::Result;
use swiftwal_conformance::SyntheticCluster;

use crate::{place::Place, shared::PLAIN};

/// The number of times that two processes are started at once.
const ROUNDS: u64 = 10;

/// Swift doesn't lock a name, so both may receive a success; docs/swift.md says so.
#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn of_two_contents_of_one_segment_one_is_kept_whole_and_the_other_is_refused_from_then_on() -> Result<()> {
    let swift = PLAIN.lease()?;
    let place = Place::new(&swift, "contents")?;
    let cluster = SyntheticCluster::new(1);
    for number in 0..ROUNDS {
        let name = cluster.wal_name(number).to_string();
        let contents = [1_u8, 2].map(|last| {
            let mut content = cluster.segment(number);
            content.pop();
            content.push(last);
            content
        });
        let paths = [format!("1/{name}"), format!("2/{name}")];
        for (path, content) in paths.iter().zip(&contents) {
            fs::create_dir_all(place.directory.join(&path[..1]))?;
            fs::write(place.directory.join(path), content)?;
        }
        let running = [place.start(&["archive-wal", &paths[0]])?, place.start(&["archive-wal", &paths[1]])?];
        let mut codes = Vec::new();
        for process in running {
            codes.push(process.wait()?.code);
        }
        assert!(codes.contains(&0) && codes.iter().all(|code| *code <= 1), "{codes:?}");
        place.succeed(&["restore-wal", &name, "fetched"])?;
        let kept = fs::read(place.directory.join("fetched"))?;
        let winner = usize::from(kept == contents[1]);
        assert!(kept == contents[winner] && codes[winner] == 0, "round {number}: {codes:?}");
        place.run(&["archive-wal", &paths[winner]])?.expect(0)?;
        let refused = place.run(&["archive-wal", &paths[1 - winner]])?.expect(1)?;
        assert!(refused.reason().contains("with different content"), "{}", refused.reason());
    }
    Ok(())
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn two_backups_in_one_minute_get_keys_of_their_own_and_are_whole() -> Result<()> {
    let swift = PLAIN.lease()?;
    let place = Place::new(&swift, "two-backups")?;
    let running = [place.start_backup(&[])?, place.start_backup(&[])?];
    let mut keys = Vec::new();
    for backup in running {
        keys.extend(backup.wait()?.expect(0)?.key());
    }
    assert!(keys.len() == 2 && keys[0] != keys[1], "{keys:?}");
    for key in &keys {
        assert!(place.restores(key)?, "{key}");
    }
    assert_eq!(place.succeed(&["list-backups"])?.lines().count(), 2);
    Ok(())
}
