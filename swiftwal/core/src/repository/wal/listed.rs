//! The part of a listing that concerns a WAL file.

use futures::{Stream, TryStreamExt};
use object_store::{ObjectMeta, path::Path};
use swiftwal_compression::Format;
use swiftwal_postgres::WalName;

use crate::{
    error::Result,
    repository::{Repository, layout::ObjectName, listing::is_ours},
};

/// What a listing shows from shortly before a WAL file on.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ListedWal {
    /// The compressions in which the file is listed.
    pub(super) formats: Vec<Format>,
    /// Whether any name of a repository is listed.
    pub(super) shows_ours: bool,
}

impl Repository {
    /// Looks for a WAL file in a listing. If the storage lists in order, it stops at the first name after the file.
    pub(super) async fn listed_wal(&self, name: WalName) -> Result<ListedWal> {
        // A name before every name of the file: a listing begins after a given name.
        let mut before = ObjectName::Wal { name, format: Format::None }.to_string();
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
    let mut listed = ListedWal::default();
    while let Some(object) = objects.try_next().await? {
        let found = object.location.as_ref();
        listed.shows_ours |= is_ours(found);
        listed.formats.extend(
            Format::ALL.into_iter().zip(&names).find(|(_, name)| *name == found).map(|(format, _)| format),
        );
        if is_in_order && found > last {
            break;
        }
    }
    listed.formats.sort_unstable();
    Ok(listed)
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use jiff::Timestamp;

    use super::*;

    /// Returns what a listing of `names` shows of the segment 5C, and how many names were read.
    async fn found(names: &[&str], is_in_order: bool) -> (ListedWal, usize) {
        let mut read = 0;
        let object = |name: &&str| {
            read += 1;
            let last_modified = std::time::SystemTime::from(Timestamp::UNIX_EPOCH).into();
            Ok(ObjectMeta { location: Path::from(*name), last_modified, size: 1, e_tag: None, version: None })
        };
        let name = "00000001000000000000005C".parse().unwrap();
        let listed = look_for(name, stream::iter(names.iter().map(object)), is_in_order).await.unwrap();
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
        assert_eq!((listed.formats.as_slice(), read), (&[Format::Zstd, Format::Gzip][..], 6));
        let (listed, read) = found(&names[..1], true).await;
        assert_eq!((listed, read), (ListedWal { formats: vec![], shows_ours: true }, 1));
    }

    #[tokio::test]
    async fn a_listing_without_order_is_read_to_its_end() {
        let names = ["wal_00000001000000000000005E.zst", "notes.txt", "wal_00000001000000000000005C"];
        assert_eq!(
            found(&names, false).await,
            (ListedWal { formats: vec![Format::None], shows_ours: true }, 3)
        );
        let (listed, _) = found(&["notes.txt", "wal_x"], false).await;
        assert!(!listed.shows_ours);
    }
}
