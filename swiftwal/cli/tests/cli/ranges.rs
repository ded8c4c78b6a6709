//! Counts and ranges of names over several timelines.

use crate::site::{Site, segment_name};

/// Returns the name of segment `number` on timeline 2.
fn on_timeline_2(number: u32) -> String {
    segment_name(number).replacen("00000001", "00000002", 1)
}

#[test]
fn wal_of_several_timelines_is_a_line_for_each_and_histories_are_no_end_of_a_range() {
    let site = Site::new();
    site.archive(1..=4);
    site.write("pg_wal/00000002.history", "1\t0/400000\tno recovery target specified\n");
    site.succeed(&["archive-wal", "pg_wal/00000002.history"]);
    for number in 4..=6 {
        site.write(&format!("repository/wal_{}", on_timeline_2(number)), "a segment");
    }
    site.store_legacy_backup("20130828T1810Z", 2);
    let plan = format!(
        "Removing 0 backups\n\
         Keeping 1 backup, 20130828T1810Z\n  \
           20130828T1810Z: newest 1\n\
         \n\
         Removing 1 WAL file, {}\n\
         Keeping 3 WAL files, {} -> {}\n\
         Keeping 3 WAL files, {} -> {}\n\
         Keeping 1 timeline history, 00000002.history\n",
        segment_name(1),
        segment_name(2),
        segment_name(4),
        on_timeline_2(4),
        on_timeline_2(6),
    );
    let ran = site.run(&["prune", "--keep-backups", "1", "-n"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, plan.as_str()), "{ran:?}");
}
