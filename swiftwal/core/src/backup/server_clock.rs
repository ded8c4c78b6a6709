//! PostgreSQL's clock, according to the start time in the label and the date of the label's file.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use swiftwal_postgres::BackupLabel;
use tokio::time::Instant;

use crate::repository::clocks::difference;

/// Times in a backup are whole seconds, rounded down.
const PRECISION: SignedDuration = SignedDuration::from_secs(1);
/// If the wait for the start was longer than this, the start hadn't been reported before this program listened.
const WAITED: Duration = Duration::from_secs(1);

/// The moments at which the start of a backup and its label were seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sighting {
    /// The backup was requested.
    pub(super) asked: Instant,
    /// This program began to listen: from then on it sees the start at once.
    pub(super) listened: Instant,
    /// The start was reported.
    pub(super) begun: Instant,
    /// The storage's time at that moment.
    pub(super) storage: Timestamp,
    /// The label arrived. It follows the tablespaces, so that may be hours later.
    pub(super) label: Instant,
}

/// The time of PostgreSQL's clock, from the start of a backup on.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServerClock {
    started: Timestamp,
    /// A moment no later than the one at which the clock showed that time.
    since: Instant,
    seen: Instant,
}

impl ServerClock {
    /// Determines the clock with which `label` was written.
    ///
    /// `modified` is the date of the label's file in the archive, by the same clock: the time at which it was sent. The
    /// storage's time is used if the label's zone is an abbreviation, or the file has no date.
    pub(super) fn new(label: &BackupLabel, modified: u64, sighting: Sighting) -> Self {
        let Sighting { asked, listened, begun, storage, label: came } = sighting;
        let sent = i64::try_from(modified).ok().filter(|seconds| *seconds > 0);
        let sent = sent.and_then(|seconds| Timestamp::from_second(seconds).ok());
        let dated = sent.map(|sent| sent - signed(came.duration_since(begun)));
        let near = [dated, Some(storage)].into_iter().flatten();
        let started = near.clone().find_map(|near| label.start_moment(near));
        let came_at_once = begun.duration_since(listened) <= WAITED;
        Self {
            started: started.or(dated).unwrap_or(storage),
            since: if came_at_once { asked } else { begun },
            seen: begun,
        }
    }

    /// Returns when the backup started.
    pub(super) fn started(&self) -> Timestamp {
        self.started
    }

    /// Returns the latest time that the clock can show now.
    pub(super) fn latest(&self) -> Timestamp {
        self.started + PRECISION + signed(self.since.elapsed())
    }

    /// Returns a notice if it differs from the storage's clock, which shows `storage` now.
    pub(super) fn difference_from(&self, storage: Timestamp) -> Option<String> {
        let earliest = self.started + signed(self.seen.elapsed());
        difference("PostgreSQL", storage.clamp(earliest, self.latest()), "the storage", storage)
    }
}

pub(super) fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::ZERO)
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn label(start_time: &str) -> BackupLabel {
        let text = format!(
            "START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\n\
             CHECKPOINT LOCATION: 0/2000060\nSTART TIME: {start_time}\n"
        );
        BackupLabel::parse(&text).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn unix(text: &str) -> u64 {
        at(text).as_second().try_into().unwrap()
    }

    /// Returns the clock of a label that came a minute after the request, with the wait for it since `listened`.
    async fn clock(start_time: &str, modified: u64, storage: &str, waited: Duration) -> ServerClock {
        let asked = Instant::now();
        advance(Duration::from_secs(60) - waited).await;
        let listened = Instant::now();
        advance(waited).await;
        let (begun, storage) = (Instant::now(), at(storage));
        let sighting = Sighting { asked, listened, begun, storage, label: begun };
        ServerClock::new(&label(start_time), modified, sighting)
    }

    #[tokio::test(start_paused = true)]
    async fn a_label_that_comes_behind_the_tablespaces_tells_when_the_backup_began() {
        let asked = Instant::now();
        let hours = Duration::from_secs(9 * 3600);
        for (start_time, modified) in [
            ("2026-07-01 12:00:00 UTC", 0),
            ("2026-07-01 14:00:00 CEST", unix("2026-07-01T21:00:00Z")),
            ("soon", unix("2026-07-01T21:00:00Z")),
        ] {
            let begun = Instant::now();
            advance(hours).await;
            let storage = at("2026-07-01T12:00:00Z");
            let sighting = Sighting { asked, listened: asked, begun, storage, label: Instant::now() };
            let clock = ServerClock::new(&label(start_time), modified, sighting);
            assert_eq!(clock.started(), at("2026-07-01T12:00:00Z"), "{start_time}");
            assert!(clock.latest() >= at("2026-07-01T21:00:00Z"), "{start_time}");
            assert_eq!(clock.difference_from(at("2026-07-01T21:00:00Z")), None, "{start_time}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_start_is_the_labels_and_its_zone_fits_the_date_of_the_file() {
        let storage = "2026-07-01T18:00:00Z";
        for (start_time, modified) in [
            ("2026-07-01 12:00:00 UTC", 0),
            // The server's clock is six hours slow: only the date of the file tells.
            ("2026-07-01 14:00:00 CEST", unix("2026-07-01T12:00:01Z")),
            ("soon", unix("2026-07-01T12:00:00Z")),
        ] {
            let clock = clock(start_time, modified, storage, Duration::ZERO).await;
            assert_eq!(clock.started(), at("2026-07-01T12:00:00Z"), "{start_time}");
        }
        let near_the_storage = clock("2026-07-01 20:00:03 CEST", 0, storage, Duration::ZERO).await;
        assert_eq!(near_the_storage.started(), at("2026-07-01T18:00:03Z"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_is_never_too_early_however_late_the_label_was_read() {
        let start = "2026-07-01 12:00:00 UTC";
        let storage = "2026-07-01T12:00:00Z";
        let waited_for = clock(start, 0, storage, Duration::from_secs(60)).await;
        advance(Duration::from_secs(10)).await;
        assert_eq!(waited_for.latest(), at("2026-07-01T12:00:11Z"));
        let was_lying_there = clock(start, 0, storage, Duration::ZERO).await;
        assert_eq!(was_lying_there.latest(), at("2026-07-01T12:01:01Z"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_whose_clock_differs_from_the_storages_is_told_of() {
        let clock = clock("2026-07-01 12:00:00 UTC", 0, "2026-07-01T12:00:00Z", Duration::ZERO).await;
        assert_eq!(clock.difference_from(at("2026-07-01T12:01:05Z")), None);
        let notice = clock.difference_from(at("2026-07-01T12:11:01Z")).unwrap();
        assert!(notice.contains("PostgreSQL and of the storage are 10 min apart"), "{notice}");
    }
}
