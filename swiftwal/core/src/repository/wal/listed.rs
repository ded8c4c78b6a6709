//! The part of a listing that concerns a WAL file.

use std::collections::BTreeSet;

use futures::{Stream, TryStreamExt};
use object_store::{ObjectMeta, path::Path};
use swiftwal_compression::Format;
use swiftwal_postgres::{SegmentName, SegmentSize, Timeline, WalName};

use crate::{
    error::Result,
    repository::{Repository, layout::ObjectName, listing::is_ours},
};

/// How much later WAL is remembered: the first may be listed although it was deleted.
pub(super) const MOST_LATER: usize = 8;

/// What a listing shows from shortly before a WAL file on.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ListedWal {
    /// The compressions in which the file is listed.
    pub(super) formats: Vec<Format>,
    /// Whether any name of a repository is listed.
    pub(super) shows_ours: bool,
    /// The last segment before the file on its timeline. If the storage lists in order, it is looked for only right before
    /// the file.
    pub(super) before: Option<SegmentName>,
    /// The first WAL after the file on its timeline, at most [`MOST_LATER`]; if the file is a history, the first WAL of
    /// that timeline. The `.partial` and `.backup` files of later segments count, too: they show that there was such WAL.
    pub(super) later: BTreeSet<(WalName, ObjectName)>,
}

impl Repository {
    /// Looks in a listing for a WAL file and for the WAL around it. If the storage lists in order, it stops there.
    pub(super) async fn listed_wal(&self, name: WalName, segment_size: SegmentSize) -> Result<ListedWal> {
        let first = match name {
            WalName::Segment(segment) => segment.previous(segment_size).map_or(name, WalName::Segment),
            _ => name,
        };
        // A name before every name of the file: a listing begins after a given name.
        let mut before = ObjectName::Wal { name: first, format: Format::None }.to_string();
        before.pop();
        let objects = self.storage.store().list_with_offset(None, &Path::from(before));
        let listed = look_for(name, objects, self.storage.lists_in_order()).await;
        listed.map_err(self.failed("list", "objects"))
    }
}

async fn look_for(
    name: WalName,
    mut objects: impl Stream<Item = object_store::Result<ObjectMeta>> + Send + Unpin,
    is_in_order: bool,
) -> object_store::Result<ListedWal> {
    let names = Format::ALL.map(|format| ObjectName::Wal { name, format }.to_string());
    let last = names.iter().max().map_or("", String::as_str);
    // The timeline whose WAL matters, and the segment around which it does.
    let (timeline, around) = match name {
        WalName::Segment(segment) => (Some(segment.timeline()), Some(segment)),
        WalName::History(timeline) => (Some(timeline), None),
        WalName::Partial(_) | WalName::Backup { .. } => (None, None),
    };
    let prefix = timeline.map(prefix);
    let mut listed = ListedWal::default();
    while let Some(object) = objects.try_next().await? {
        let found = object.location.as_ref();
        listed.shows_ours |= is_ours(found);
        listed.formats.extend(
            Format::ALL.into_iter().zip(&names).find(|(_, name)| *name == found).map(|(format, _)| format),
        );
        let parsed = ObjectName::parse(found);
        if let Some((wal, segment)) = wal_of(&parsed)
            && Some(segment.timeline()) == timeline
        {
            if Some(segment) > around {
                listed.later.insert((wal, parsed));
                if listed.later.len() > MOST_LATER {
                    listed.later.pop_last();
                }
            } else if Some(segment) < around && wal == WalName::Segment(segment) {
                listed.before = listed.before.max(Some(segment));
            }
        }
        let is_past = |prefix: &str| listed.later.len() == MOST_LATER || !found.starts_with(prefix);
        if is_in_order && found > last && prefix.as_deref().is_none_or(is_past) {
            break;
        }
    }
    listed.formats.sort_unstable();
    Ok(listed)
}

/// Returns what the names of a timeline's WAL begin with.
pub(super) fn prefix(timeline: Timeline) -> String {
    let history = ObjectName::Wal { name: WalName::History(timeline), format: Format::None }.to_string();
    history.trim_end_matches(".history").to_owned()
}

/// Returns the WAL file that an object contains, and its segment, if it has one.
pub(super) fn wal_of(object: &ObjectName) -> Option<(WalName, SegmentName)> {
    match object {
        ObjectName::Wal { name, .. } | ObjectName::WalVariant { name, .. } => Some((*name, name.segment()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use jiff::Timestamp;

    use super::*;

    /// Returns what a listing of `names` shows of the segment 5C, and how many names were read.
    async fn found(names: &[&str], is_in_order: bool) -> (ListedWal, usize) {
        found_of("00000001000000000000005C", names, is_in_order).await
    }

    async fn found_of(name: &str, names: &[&str], is_in_order: bool) -> (ListedWal, usize) {
        let mut read = 0;
        let object = |name: &&str| {
            read += 1;
            let last_modified = std::time::SystemTime::from(Timestamp::UNIX_EPOCH).into();
            Ok(ObjectMeta { location: Path::from(*name), last_modified, size: 1, e_tag: None, version: None })
        };
        let listed = look_for(name.parse().unwrap(), stream::iter(names.iter().map(object)), is_in_order)
            .await
            .unwrap();
        (listed, read)
    }

    #[tokio::test]
    async fn a_listing_in_order_ends_at_the_first_name_after_those_of_the_file() {
        let names = [
            "wal_00000001000000000000005B.zst",
            "wal_00000001000000000000005C.00000028.backup.zst",
            "wal_00000001000000000000005C.gz",
            "wal_00000001000000000000005C.partial.zst",
            "wal_00000001000000000000005C.zst",
            "wal_00000001000000000000005D.zst",
            "wal_00000001000000000000005E.zst",
        ];
        let (listed, read) = found(&names, true).await;
        assert_eq!((listed.formats.as_slice(), read), (&[Format::Zstd, Format::Gzip][..], 7));
        let (listed, read) = found(&names[..1], true).await;
        let before = "00000001000000000000005B".parse().ok();
        assert_eq!((listed, read), (ListedWal { shows_ours: true, before, ..ListedWal::default() }, 1));
    }

    /// Returns the first later WAL, and the segment before.
    fn around(listed: &ListedWal) -> (Option<String>, Option<String>) {
        let later = listed.later.first().map(|(later, _)| later.to_string());
        (listed.before.map(|before| before.to_string()), later)
    }

    #[tokio::test]
    async fn the_wal_around_a_segment_and_of_a_history_is_found() {
        let names = [
            "wal_00000001000000000000005B.partial.zst",
            "wal_00000001000000000000005B.zst",
            "wal_00000001000000000000005C.00000028.backup.zst",
            "wal_00000001000000000000005C.partial.zst",
            "wal_00000001000000000000005E.00000028.backup.zst",
            "wal_00000001000000000000005E.zst",
            "wal_00000001000000000000005F.00000028.backup.zst",
            "wal_000000010000000000000060.partial.zst",
            "wal_00000002.history.zst",
            "wal_000000020000000000000060.zst",
            "wal_000000020000000000000061.zst",
        ];
        let mut unordered = names;
        unordered.reverse();
        for (name, before, later, read_in_order) in [
            (
                "00000001000000000000005C",
                Some("00000001000000000000005B"),
                Some("00000001000000000000005E"),
                9,
            ),
            // The small files of a later segment show that there was such WAL.
            (
                "00000001000000000000005E",
                Some("00000001000000000000005B"),
                Some("00000001000000000000005F.00000028.backup"),
                9,
            ),
            (
                "00000001000000000000005F",
                Some("00000001000000000000005E"),
                Some("000000010000000000000060.partial"),
                9,
            ),
            ("000000010000000000000060", Some("00000001000000000000005E"), None, 9),
            ("00000001000000000000005C.partial", None, None, 5),
            ("00000002.history", None, Some("000000020000000000000060"), 11),
            ("00000003.history", None, None, 11),
            ("000000030000000000000001", None, None, 11),
        ] {
            let expected = (before.map(str::to_owned), later.map(str::to_owned));
            let (listed, read) = found_of(name, &names, true).await;
            assert_eq!((around(&listed), read), (expected.clone(), read_in_order), "{name}");
            assert_eq!(around(&found_of(name, &unordered, false).await.0), expected, "{name}");
        }
    }

    #[tokio::test]
    async fn only_so_much_later_wal_is_remembered() {
        let names: Vec<_> = (0x5D..0x7D).map(|n| format!("wal_0000000100000000000000{n:02X}.zst")).collect();
        let mut names: Vec<_> = names.iter().map(String::as_str).collect();
        let (listed, read) = found(&names, true).await;
        assert_eq!((listed.later.len(), read), (MOST_LATER, MOST_LATER));
        names.reverse();
        let (unordered, read) = found(&names, false).await;
        assert_eq!((unordered, read), (listed, names.len()));
    }

    #[tokio::test]
    async fn a_listing_without_order_is_read_to_its_end() {
        let names = ["wal_00000001000000000000005E.zst", "notes.txt", "wal_00000001000000000000005C"];
        let (listed, read) = found(&names, false).await;
        assert_eq!((listed.formats.as_slice(), listed.shows_ours, read), (&[Format::None][..], true, 3));
        let (listed, _) = found(&["notes.txt", "wal_x"], false).await;
        assert!(!listed.shows_ours);
    }
}
