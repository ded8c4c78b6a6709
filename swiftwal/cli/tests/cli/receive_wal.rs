//! receive-wal --drain, run on directories as repositories.

use std::fs;

use serde_json::{Value, json};

use crate::site::{SEGMENT_BYTES, Site, segment, segment_name};

/// Writes the segment `number` into the spool, of which the first bytes were received.
fn spool_beginning(site: &Site, number: u32, fill: u8, received: usize) {
    let mut content = segment(number, fill);
    content[received..].fill(0);
    site.write(&format!("spool/{}.partial", segment_name(number)), content);
}

/// Returns a segment in which every page has its header.
fn complete(number: u32, fill: u8) -> Vec<u8> {
    let mut content = segment(number, fill);
    for page in (8192..content.len()).step_by(8192) {
        content.copy_within(..8, page);
        content[page + 2] = 0;
        let address = u64::from(number) * SEGMENT_BYTES as u64 + page as u64;
        content[page + 8..page + 16].copy_from_slice(&address.to_ne_bytes());
    }
    content
}

fn spooled(site: &Site) -> Vec<String> {
    let entries = fs::read_dir(site.path("spool")).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name != "lock");
    names.sort();
    names
}

/// Returns the stored beginning of a segment.
fn beginning(site: &Site, number: u32) -> Vec<u8> {
    let object = site.object(&format!("wal_{}.partial.received.zst", segment_name(number)));
    let mut content = Vec::new();
    let decoder = swiftwal_compression::Format::Zstd;
    let stored = fs::read(object).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut decoded = swiftwal_compression::decoder(decoder, &*stored);
    runtime.block_on(tokio::io::AsyncReadExt::read_to_end(&mut decoded, &mut content)).unwrap();
    content
}

const DRAIN: [&str; 4] = ["receive-wal", "--drain", "--spool", "spool"];

#[test]
fn everything_in_the_spool_is_stored_and_removed_there() {
    let site = Site::new();
    site.write(&format!("spool/{}", segment_name(3)), complete(3, 1));
    site.write("spool/notes", "mine");
    spool_beginning(&site, 4, 1, SEGMENT_BYTES / 2);
    let said = site.succeed(&DRAIN);
    assert!(said.starts_with("2 WAL files of the spool spool are stored in file://"), "{said}");
    assert_eq!(spooled(&site), ["notes"]);
    let names = [segment_name(3), format!("{}.partial.received", segment_name(4))];
    assert_eq!(site.succeed(&["list-wal"]).lines().collect::<Vec<_>>(), names);
    let stored = beginning(&site, 4);
    assert_eq!(stored.len(), SEGMENT_BYTES);
    assert_eq!(stored[..SEGMENT_BYTES / 2], segment(4, 1)[..SEGMENT_BYTES / 2]);
    assert!(stored[SEGMENT_BYTES / 2..].iter().all(|byte| *byte == 0));
    // There is nothing left to do. Somebody who names another spool must see that.
    assert_eq!(site.succeed(&DRAIN), "The spool spool is empty: there was nothing to store\n");
    let json: Value = serde_json::from_str(&site.succeed(&[&["--json"], &DRAIN[..]].concat())).unwrap();
    assert_eq!(json, json!({ "spool": "spool", "files": 0 }));
}

#[test]
fn a_beginning_is_replaced_by_more_never_by_less_and_removed_when_the_segment_comes() {
    let site = Site::new();
    for (received, expected) in [(500_000, 500_000), (300_000, 500_000), (700_000, 700_000)] {
        spool_beginning(&site, 4, 1, received);
        site.succeed(&DRAIN);
        assert_eq!(beginning(&site, 4).iter().rposition(|byte| *byte != 0), Some(expected - 1));
    }
    site.write(&format!("spool/{}", segment_name(4)), complete(4, 1));
    site.succeed(&DRAIN);
    assert_eq!(site.succeed(&["list-wal"]), format!("{}\n", segment_name(4)));
    // A beginning of a stored segment says nothing new.
    spool_beginning(&site, 4, 1, 700_000);
    site.succeed(&DRAIN);
    assert_eq!(site.succeed(&["list-wal"]), format!("{}\n", segment_name(4)));
    assert!(spooled(&site).is_empty());
}

#[test]
fn a_file_without_content_is_removed_and_what_can_not_be_stored_stays() {
    let site = Site::new();
    spool_beginning(&site, 4, 1, 0);
    site.succeed(&DRAIN);
    assert!(spooled(&site).is_empty());
    site.archive([5]);
    site.write(&format!("spool/{}", segment_name(5)), complete(5, 9));
    site.write(&format!("spool/{}", segment_name(6)), complete(6, 9));
    let ran = site.run(&DRAIN);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("with different content"), "{ran:?}");
    assert_eq!(spooled(&site), [segment_name(5), segment_name(6)]);
}

#[test]
fn a_damaged_segment_is_put_aside_and_the_others_are_stored() {
    let site = Site::new();
    let mut torn = complete(3, 1);
    torn[500_000..600_000].fill(0);
    site.write(&format!("spool/{}", segment_name(3)), torn);
    site.write(&format!("spool/{}", segment_name(4)), complete(4, 1));
    let ran = site.run(&DRAIN);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("everything in the spool is stored except the damaged segments"), "{ran:?}");
    let warned = format!("{} in the spool is damaged and isn't stored", segment_name(3));
    assert!(ran.stderr.contains(&warned), "{ran:?}");
    assert_eq!(spooled(&site), [format!("{}.damaged", segment_name(3))]);
    assert_eq!(site.succeed(&["list-wal"]), format!("{}\n", segment_name(4)));
    // It is said once.
    site.succeed(&DRAIN);
}

#[test]
fn an_incomplete_segment_is_pruned_with_the_others() {
    let site = Site::new();
    site.archive([3, 5]);
    spool_beginning(&site, 4, 1, 500_000);
    site.succeed(&DRAIN);
    let ran = site.run(&["archive-cleanup", "--ignore-backups", &segment_name(5)]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(site.succeed(&["list-wal"]), format!("{}\n", segment_name(5)));
}

#[test]
fn restore_wal_gives_the_incomplete_segment_only_on_request_as_the_last_one_and_to_no_standby() {
    let site = Site::new();
    site.archive([3]);
    spool_beginning(&site, 4, 1, 500_000);
    site.succeed(&DRAIN);
    let name = segment_name(4);
    assert_eq!(site.run(&["restore-wal", &name, "back"]).code, 1);
    site.succeed(&["restore-wal", "--use-partial", &name, "back"]);
    let mut expected = segment(4, 1);
    expected[500_000..].fill(0);
    assert_eq!(fs::read(site.path("back")).unwrap(), expected);
    fs::remove_file(site.path("back")).unwrap();

    site.write("standby.signal", "");
    assert_eq!(site.run(&["restore-wal", "--use-partial", &name, "back"]).code, 1);
    fs::remove_file(site.path("standby.signal")).unwrap();

    site.archive([5]);
    // Otherwise restore-wal would wait for the segment, which could be on its way.
    site.age_repository();
    assert_ne!(site.run(&["restore-wal", "--use-partial", &name, "back"]).code, 0);
    assert!(!site.path("back").exists());
    site.archive([4]);
    site.succeed(&["restore-wal", "--use-partial", &name, "back"]);
    assert_eq!(fs::read(site.path("back")).unwrap(), segment(4, 0));
}

/// The server may have gone on with a timeline that was left before, or another server left it at a backup.
#[test]
fn only_a_timeline_that_goes_on_from_the_incomplete_segment_keeps_it_from_being_used() {
    let site = Site::new();
    site.archive([3]);
    spool_beginning(&site, 4, 1, 500_000);
    site.succeed(&DRAIN);
    let name = segment_name(4);
    let object = format!("wal_{name}.partial.received.zst");
    let history = site.object("wal_00000002.history.zst");
    for (switchpoint, goes_on) in
        [("0/3FFFFF", false), ("0/400000", true), ("0/400028", true), ("0/500000", true)]
    {
        site.write("pg_wal/00000002.history", format!("1\t{switchpoint}\tno recovery target specified\n"));
        site.succeed(&["archive-wal", "pg_wal/00000002.history"]);
        let ran = site.run(&["restore-wal", "--use-partial", &name, "back"]);
        assert_eq!(ran.code, i32::from(goes_on), "{switchpoint}: {ran:?}");
        let warning = format!(
            "{object} isn't used as the last WAL, because there is newer WAL: WAL of timeline 2, which branched off from \
             timeline 1 at {switchpoint}"
        );
        assert_eq!(ran.stderr.matches(&warning).count(), usize::from(goes_on), "{ran:?}");
        fs::remove_file(&history).unwrap();
    }
    // It isn't known where its timeline branched off.
    fs::write(&history, "not a history").unwrap();
    let ran = site.run(&["restore-wal", "--use-partial", &name, "back"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("of timeline 2, whose history isn't stored or can't be read"), "{ran:?}");
    // Nothing is said where nothing could be used.
    fs::remove_file(site.object(&object)).unwrap();
    let ran = site.run(&["restore-wal", "--use-partial", &name, "back"]);
    assert_eq!((ran.code, ran.stderr.contains("newer WAL")), (1, false), "{ran:?}");
}

/// Recovery takes the archive's file, and removes the one in pg_wal.
#[test]
fn an_incomplete_segment_does_not_take_the_place_of_one_in_pg_wal_that_has_as_much() {
    let site = Site::new();
    site.archive([3]);
    spool_beginning(&site, 4, 1, 500_000);
    site.succeed(&DRAIN);
    let name = segment_name(4);
    let own = format!("pg_wal/{name}");
    let whole = segment(4, 1);
    for (bytes, is_used) in [(499_999, true), (500_000, false), (500_001, false), (SEGMENT_BYTES, false)] {
        // The rest is that of an older segment, whose file was reused.
        site.write(&own, [&whole[..bytes], &segment(2, 9)[bytes..]].concat());
        let ran = site.run(&["restore-wal", "--use-partial", &name, "pg_wal/RECOVERYXLOG"]);
        assert_eq!(ran.code, i32::from(!is_used), "{bytes}: {ran:?}");
        assert_eq!(ran.stderr.contains(&format!("{own} has as much or more")), !is_used, "{ran:?}");
    }
    site.write(&own, &whole[..1000]);
    site.succeed(&["restore-wal", "--use-partial", &name, "pg_wal/RECOVERYXLOG"]);
}

/// All that was received may be in it.
#[test]
fn a_damaged_beginning_in_the_spool_is_put_aside_and_reported() {
    let site = Site::new();
    spool_beginning(&site, 4, 1, 500_000);
    let partial = format!("spool/{}.partial", segment_name(4));
    let mut content = fs::read(site.path(&partial)).unwrap();
    content[9] ^= 1;
    site.write(&partial, &content);
    let ran = site.run(&DRAIN);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains(".partial in the spool is damaged and isn't stored"), "{ran:?}");
    assert_eq!(spooled(&site), [format!("{}.partial.damaged", segment_name(4))]);
    assert_eq!(fs::read(site.path(&format!("{partial}.damaged"))).unwrap(), content);
}

#[test]
fn a_recorded_gap_is_shown_until_it_is_filled_or_nothing_before_it_is_kept() {
    let site = Site::new();
    site.archive([3, 7]);
    let gap = format!(
        r#"{{"format":1,"first_wal":"{}","last_wal":"{}","wal_segment_bytes":{SEGMENT_BYTES},"noticed":"2013-08-28T18:10:42Z"}}"#,
        segment_name(4),
        segment_name(6)
    );
    let object = site.object(&format!("gap_{}.json", segment_name(4)));
    fs::write(&object, gap).unwrap();
    let missing = format!(
        "Missing: {} to {}. A backup that was taken before this WAL can't be recovered past it",
        segment_name(4),
        segment_name(6)
    );
    let shown = || site.succeed(&["-v", "list-wal"]).contains(&missing);
    assert!(shown());
    assert!(!site.succeed(&["list-wal"]).contains("Missing"));
    site.archive([4, 5]);
    assert!(shown());
    site.archive([6]);
    assert!(!shown());

    // A backup that needs the WAL from segment 3 on keeps the record, and one that needs nothing before the gap doesn't.
    site.store_legacy_backup("20130828T1810Z", 3);
    site.succeed(&["prune", "--keep-backups", "1"]);
    assert!(object.exists());
    site.store_legacy_backup("20130829T1810Z", 5);
    site.succeed(&["prune", "--keep-backups", "1"]);
    assert!(!object.exists());
}
