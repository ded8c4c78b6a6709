//! The report as an answer of a monitoring plugin.

use jiff::Timestamp;
use swiftwal_core::{BackupInfo, ErrorKind, Info, TimelineInfo};

use super::words::span_of_seconds;
use crate::nagios::{Figure, Reading, State};

const BACKUP_AGE: Figure = Figure { name: "backup-age", is_span: true };
const WAL_AGE: Figure = Figure { name: "wal-age", is_span: true };
const HOLES: Figure = Figure { name: "holes", is_span: false };
const DRILL_AGE: Figure = Figure { name: "drill-age", is_span: true };
/// Known only where the server's data directory is.
pub(super) const READY: Figure = Figure { name: "ready", is_span: false };

/// The figures that may have thresholds.
pub(super) const FIGURES: [Figure; 5] = [BACKUP_AGE, WAL_AGE, HOLES, DRILL_AGE, READY];

/// Returns the figures of a report.
pub(super) fn readings(info: &Info) -> Vec<Reading> {
    let backup = newest_backup(info).and_then(|backup| Some((backup, backup.finished?)));
    let backup_words = |(backup, finished): (&BackupInfo, Timestamp)| {
        format!("newest backup {} ended {} ago", backup.key, span_of_seconds(age(info, finished)))
    };
    let stored = wal_stored(info);
    let drill = info.last_drill.as_ref();
    let drill_words =
        drill.map(|drill| format!("last drill passed {} ago", span_of_seconds(age(info, drill.at))));
    let holes = holes(info);
    let mut readings = vec![
        Reading {
            figure: BACKUP_AGE,
            value: backup.map(|(_, finished)| age(info, finished)),
            words: backup.map_or_else(|| "no backup can be restored".to_owned(), backup_words),
        },
        Reading {
            figure: WAL_AGE,
            value: stored.map(|stored| age(info, stored)),
            words: stored.map_or_else(
                || "no WAL is stored".to_owned(),
                |stored| format!("WAL stored {} ago", span_of_seconds(age(info, stored))),
            ),
        },
        Reading {
            figure: HOLES,
            value: Some(holes as f64),
            words: match holes {
                0 => "no hole in the WAL".to_owned(),
                1 => "a hole in the WAL".to_owned(),
                many => format!("{many} holes in the WAL"),
            },
        },
        Reading {
            figure: DRILL_AGE,
            value: drill.map(|drill| age(info, drill.at)),
            words: drill_words.unwrap_or_else(|| "no drill has passed".to_owned()),
        },
    ];
    readings.extend(info.ready.as_ref().map(|ready| Reading {
        figure: READY,
        value: Some(ready.files as f64),
        words: format!("{} WAL files wait to be archived", ready.files),
    }));
    readings
}

/// Returns what is wrong whatever the thresholds are.
pub(super) fn troubles(info: &Info) -> Vec<(State, String)> {
    let errors = info.errors.iter().map(|error| match error.kind() {
        ErrorKind::Damaged => (State::Critical, error.to_string()),
        _ => (State::Unknown, error.to_string()),
    });
    let newest = info.backups.iter().max_by_key(|backup| backup.key);
    let broken = newest.and_then(|backup| {
        let problem = backup.problem.as_ref()?;
        Some((State::Critical, format!("the newest backup, {}, can't be restored: {problem}", backup.key)))
    });
    let none = newest.is_none().then(|| (State::Critical, "there is no backup".to_owned()));
    errors.chain(broken).chain(none).collect()
}

/// Returns the newest backup that can be restored, as far as that is known.
pub(super) fn newest_backup(info: &Info) -> Option<&BackupInfo> {
    let restorable = info.backups.iter().filter(|backup| backup.problem.is_none());
    restorable.max_by_key(|backup| backup.finished)
}

/// Returns when WAL of the timeline in use was last stored. If it has none yet, that of any timeline counts.
pub(super) fn wal_stored(info: &Info) -> Option<Timestamp> {
    let stored = |timeline: &TimelineInfo| timeline.last_stored.max(timeline.partial_stored);
    let in_use = info.timelines.iter().find(|timeline| Some(timeline.timeline) == info.timeline);
    in_use.and_then(stored).or_else(|| info.timelines.iter().filter_map(stored).max())
}

/// Returns the number of holes on all timelines.
pub(super) fn holes(info: &Info) -> usize {
    info.timelines.iter().map(|timeline| timeline.holes.len()).sum()
}

/// Returns the seconds from `time` to the report.
fn age(info: &Info, time: Timestamp) -> f64 {
    info.at.duration_since(time).as_secs().max(0) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        command::info::sample::{self, noon},
        nagios::{Thresholds, answer},
    };

    fn line(info: &Info, warning: &str, critical: &str) -> (State, String) {
        let parse = |text| Thresholds::parse(text, &FIGURES).unwrap();
        answer(&readings(info), &troubles(info), &parse(warning), &parse(critical))
    }

    fn healthy() -> Info {
        let mut info = sample::info(3);
        for backup in &mut info.backups {
            backup.problem = None;
        }
        info.timelines[0].holes.clear();
        info
    }

    #[test]
    fn each_figure_is_compared_with_its_thresholds() {
        let warning = "backup-age=26h,wal-age=15m,holes=0,drill-age=8d,ready=20";
        let (state, ok) = line(&healthy(), warning, "backup-age=3d");
        assert_eq!(
            (state, ok.as_str()),
            (
                State::Ok,
                "SWIFTWAL OK - newest backup 20261103T0200Z ended 10 min ago, WAL stored 10 min ago, no hole in the WAL, \
                 last drill passed 2 days ago, 3 WAL files wait to be archived | backup-age=600s;93600;259200;0 \
                 wal-age=600s;900;;0 holes=0;0;;0 drill-age=173400s;691200;;0 ready=3;20;;0"
            )
        );
        for threshold in ["backup-age=5m", "wal-age=5m", "drill-age=1d", "ready=2"] {
            assert_eq!(line(&healthy(), threshold, "holes=5").0, State::Warning, "{threshold}");
            assert_eq!(line(&healthy(), "holes=5", threshold).0, State::Critical, "{threshold}");
        }
        let with_hole = Info { timelines: sample::info(3).timelines, ..healthy() };
        assert_eq!(line(&with_hole, "holes=0", "holes=5").0, State::Warning);
        let never = Info { last_drill: None, ..healthy() };
        let (state, line) = line(&never, "holes=0", "drill-age=8d");
        assert_eq!(state, State::Critical);
        assert!(line.starts_with("SWIFTWAL CRITICAL - no drill has passed, "), "{line}");
    }

    #[test]
    fn without_a_backup_that_can_be_restored_the_state_is_critical() {
        let mut info = healthy();
        info.backups[2].problem = Some("its data is missing".to_owned());
        let (state, text) = line(&info, "ready=20", "ready=20");
        assert_eq!(state, State::Critical);
        assert!(text.contains("the newest backup, 20261103T0200Z, can't be restored: its data is"), "{text}");
        assert!(text.contains("newest backup 20261102T0200Z ended"), "{text}");
        info.backups.clear();
        assert_eq!(line(&info, "ready=20", "ready=20").0, State::Critical);
    }

    #[test]
    fn wal_of_another_timeline_does_not_hide_that_none_of_the_one_in_use_arrives() {
        let mut info = healthy();
        info.timelines[1].last_stored = Some(noon(1));
        info.timelines[1].partial_stored = None;
        assert_eq!(wal_stored(&info), Some(noon(1)));
        info.timelines[1].last_stored = None;
        assert_eq!(wal_stored(&info), Some(noon(3)));
    }
}
