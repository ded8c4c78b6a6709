//! The checks of the storage and of what it contains.

use jiff::{SignedDuration, Timestamp};
use swiftwal_core::{Info, Repository, info};

use super::checks::Check;
use crate::output::{BACKUPS, Counted, Elapsed, Size};

/// The largest difference between the clocks that isn't reported.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_secs(10);

/// Reads the repository.
pub(super) async fn storage(repository: &Repository) -> (Check, Option<Info>) {
    const NAME: &str = "storage";
    match info(repository, None).await {
        Ok(info) => {
            let backups = Counted(info.backups.len(), BACKUPS);
            let segments: u64 = info.timelines.iter().map(|timeline| timeline.segments).sum();
            let size = Size(info.stored_bytes);
            (Check::ok(NAME, format!("{backups} and {segments} WAL segments, {size}")), Some(info))
        }
        Err(error @ swiftwal_core::Error::NoRepository { .. }) => {
            let hint = "that is right before the first backup or archive-wal, which create it";
            (Check::warning(NAME, error.to_string(), hint), None)
        }
        Err(error) => (Check::error(NAME, &error), None),
    }
}

/// Stores, reads, lists and deletes an object.
pub(super) async fn canary(repository: &Repository) -> Check {
    const NAME: &str = "writing";
    let canary = match repository.send_canary().await {
        Ok(canary) => canary,
        Err(error) => return Check::error(NAME, &error),
    };
    if !canary.create_only {
        Check::failed(
            NAME,
            "the storage replaces objects although it was told to create them only",
            "two servers that archive here could overwrite each other's WAL: use another storage, or ask its operator \
             whether it supports If-None-Match",
        )
    } else if !canary.is_listed {
        Check::warning(
            NAME,
            "an object was stored and read, but a listing 10 s later doesn't show it",
            "listings lag behind: prune, list-wal and info may not show the newest objects",
        )
    } else {
        Check::ok(NAME, "an object was stored, read, listed and deleted, and wasn't overwritten")
    }
}

/// Compares the storage's clock with this machine's.
pub(super) fn clock(info: &Info, here: Timestamp) -> Check {
    const NAME: &str = "clock";
    let difference = info.at.duration_since(here);
    let elapsed = Elapsed(difference.unsigned_abs());
    match difference {
        difference if difference.abs() <= CLOCK_TOLERANCE => {
            Check::ok(NAME, "this machine's clock agrees with the storage's")
        }
        difference => {
            let which = if difference.is_negative() { "ahead of" } else { "behind" };
            let message = format!("this machine's clock is {elapsed} {which} the storage's");
            Check::warning(NAME, message, "set it, for example with chrony")
        }
    }
}

/// What couldn't be read.
pub(super) fn damage(info: &Info) -> Vec<Check> {
    info.errors.iter().map(|error| Check::error("content", error)).collect()
}

/// The age of the newest backup that can be restored.
pub(super) fn newest_backup(info: &Info) -> Check {
    const NAME: &str = "backup";
    let restorable = info.backups.iter().filter(|backup| backup.problem.is_none());
    let newest = restorable.filter_map(|backup| Some((backup.finished?, backup))).max_by_key(|(at, _)| *at);
    let Some((finished, backup)) = newest else {
        let hint = "take one: swiftwal backup";
        return Check::warning(NAME, "there is no backup that can be restored", hint);
    };
    let age = Elapsed(info.at.duration_since(finished).try_into().unwrap_or_default());
    let message = format!("the newest, {}, ended {age} ago", backup.key);
    match backup.damaged_pages.filter(|pages| *pages > 0) {
        None => Check::ok(NAME, message),
        Some(pages) => Check::warning(
            NAME,
            format!("{message}, and {pages} of its pages were damaged on the server"),
            "repair the server's data, then take another backup",
        ),
    }
}

/// Missing WAL.
pub(super) fn holes(info: &Info) -> Check {
    const NAME: &str = "WAL";
    let mut holes = info.timelines.iter().flat_map(|timeline| &timeline.holes);
    let Some(first) = holes.next() else {
        return Check::ok(NAME, "none is missing between the first and the last segment of each timeline");
    };
    let (first, last, more) = (first.first_wal, first.last_wal, holes.count());
    let more = if more == 0 { String::new() } else { format!(", and WAL of {more} other spans") };
    Check::warning(
        NAME,
        format!("{first} to {last} is missing{more}: no earlier backup can be recovered past it"),
        "if a server's pg_wal still has it, store it with archive-wal; otherwise take a new backup",
    )
}
