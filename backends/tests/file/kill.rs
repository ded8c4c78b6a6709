//! A process is killed while it stores objects: every object that it acknowledged must exist, and every existing object
//! must be complete.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    io::{self, BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use jiff::Timestamp;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, path::Path as Location};
use swiftwal_core::Storage;
use tempfile::tempdir;

use super::{listed, open};

const KILLS: usize = 12;

/// The content of the object `name` that is stored in `round`. [`round_of`] recognises it if it is complete.
fn content(name: &str, round: usize) -> Vec<u8> {
    let line = format!("{name} {round}\n").into_bytes();
    let length = 1000 + round * 7919 % 300_000;
    line.iter().copied().cycle().take(length).collect()
}

/// The round in which this content was stored under `name`, if it is complete.
fn round_of(name: &str, stored: &[u8]) -> Option<usize> {
    let line = stored.split(|byte| *byte == b'\n').next()?;
    let round = std::str::from_utf8(line).ok()?.rsplit(' ').next()?.parse().ok()?;
    (content(name, round) == stored).then_some(round)
}

/// Stores and deletes objects, and reports each operation that has finished, until the process is killed.
async fn store_for_ever(storage: &Storage, first: usize, mut tell: impl FnMut(&str, usize)) {
    let (store, create) = (storage.store(), storage.create_in_parts().unwrap());
    for round in first.. {
        let [segment, backup, large] = ["wal", "backup", "large"].map(|kind| format!("{kind}_{round}"));
        let marker = format!("...uploading/{round}/marker");
        for (name, mode) in [
            (segment.as_str(), PutMode::Create),
            ("cluster.json", PutMode::Overwrite),
            (marker.as_str(), PutMode::Create),
        ] {
            let payload = content(name, round).into();
            store.put_opts(&name.into(), payload, mode.into()).await.unwrap();
            tell(name, round);
        }

        let uploads = [
            (&backup, store.put_multipart(&backup.as_str().into()).await.unwrap()),
            (&large, create.create(&large.as_str().into()).await.unwrap()),
        ];
        for (name, mut upload) in uploads {
            for part in content(name, round).chunks(50_000) {
                upload.put_part(part.to_vec().into()).await.unwrap();
            }
            upload.complete().await.unwrap();
            tell(name, round);
        }

        store.delete(&marker.as_str().into()).await.unwrap();
        tell(&marker, GONE);
    }
}

/// Reported in place of a round when an object was deleted.
const GONE: usize = usize::MAX;

#[tokio::test]
#[ignore = "the process that the next test starts and kills"]
async fn child() {
    let mut order = String::new();
    io::stdin().read_line(&mut order).unwrap();
    let Some((first, dir)) = order.trim_end().split_once(' ') else { return };
    // Ends the line that the test harness has begun.
    let mut out = io::stdout();
    writeln!(out).unwrap();
    let tell = |name: &str, round| writeln!(out, "done {round} {name}").unwrap();
    store_for_ever(&open(Path::new(dir)), first.parse().unwrap(), tell).await;
}

/// Has a process store objects in `dir`, and kills it when it has reported `patience` of them. Everything that it
/// reported before it was killed counts.
fn store_and_kill(dir: &Path, first: usize, patience: usize, acknowledged: &mut BTreeMap<String, usize>) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "kill::child"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "{first} {}", dir.display()).unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for (count, line) in lines.map(Result::unwrap).filter(|line| line.starts_with("done ")).enumerate() {
        let mut words = line.split(' ').skip(1);
        let round = words.next().unwrap().parse().unwrap();
        acknowledged.insert(words.next().unwrap().to_owned(), round);
        if count == patience {
            child.kill().unwrap();
        }
    }
    assert!(!child.wait().unwrap().success());
}

async fn check(storage: &Storage, acknowledged: &BTreeMap<String, usize>) {
    let mut found = BTreeMap::new();
    for name in listed(storage.store()).await {
        let stored = storage.store().get(&name).await.unwrap().bytes().await.unwrap();
        let round = round_of(name.as_ref(), &stored);
        found.insert(name.to_string(), round.unwrap_or_else(|| panic!("{name} is incomplete")));
    }
    for (name, round) in acknowledged {
        match found.get(name) {
            // A marker may have been deleted by a process that was killed before it could report that.
            None => assert!(*round == GONE || name.starts_with("..."), "{name} was stored and is lost"),
            Some(_) if *round == GONE => panic!("{name} was deleted and is there"),
            Some(found) => assert!(found >= round, "{name} is older than what was stored"),
        }
    }
}

#[tokio::test]
async fn whatever_was_acknowledged_survives_a_kill_and_nothing_partial_has_a_name() {
    let dir = tempdir().unwrap();
    let mut acknowledged = BTreeMap::new();
    for kill in 0..KILLS {
        store_and_kill(dir.path(), 1000 * kill, kill * 37 % 29, &mut acknowledged);
        check(&open(dir.path()), &acknowledged).await;
    }

    let storage = open(dir.path());
    let whole = listed(storage.store()).await;
    let sweep = storage.sweeper().unwrap();
    sweep.remove(&sweep.leftovers(Timestamp::MAX, Vec::new()).await.unwrap()).await.unwrap();
    assert_eq!(listed(storage.store()).await, whole);
    assert_eq!(sweep.leftovers(Timestamp::MAX, Vec::new()).await.unwrap(), [""; 0]);
}

/// A killed put may leave its temporary file, which doesn't affect a later one.
#[tokio::test]
async fn what_a_killed_upload_left_does_not_get_into_the_next_one() {
    let dir = tempdir().unwrap();
    let storage = open(dir.path());
    let mut left = File::create(dir.path().join("x#1")).unwrap();
    left.write_all(&[b'-'; 5000]).unwrap();
    storage.store().put(&"x".into(), "new".into()).await.unwrap();
    let stored = storage.store().get(&Location::from("x")).await.unwrap().bytes().await.unwrap();
    assert_eq!(stored, "new");
    assert!(fs::exists(dir.path().join("x#1")).unwrap());
}
