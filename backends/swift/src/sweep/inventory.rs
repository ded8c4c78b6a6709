//! The content of the container of the segments, by upload.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::SystemTime,
};

use crate::{
    error::StoreError,
    large::upload_of,
    listing::Entry,
    manifests::has_in_order,
    object::{Md5Sum, unquoted},
};

/// The tags that listings show, without quotes, by the names of the objects. No plain object has the tag of an upload.
pub(super) type Tags = HashMap<String, String>;

/// The segments of the objects of one container, by upload.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    uploads: BTreeMap<String, Upload>,
    /// An upload by the tag of an object that consists of it.
    by_tag: HashMap<String, String>,
    /// The uploads that have a part with this tag.
    by_part: HashMap<String, Vec<String>>,
}

/// One upload.
#[derive(Debug)]
struct Upload {
    object: String,
    newest: SystemTime,
    /// The tags of its parts in the order of their names: nested manifests, or else segments.
    parts: Vec<String>,
}

/// The segments of one upload.
#[derive(Debug)]
struct Segments {
    object: String,
    newest: SystemTime,
    /// The tags of the segments and of the nested manifests, by name.
    segments: BTreeMap<String, String>,
    manifests: BTreeMap<String, String>,
}

impl Inventory {
    pub(super) fn new(container: &str, entries: Vec<Entry>) -> Result<Self, StoreError> {
        let mut uploads = BTreeMap::new();
        for entry in entries {
            let Some((upload, object)) = upload_of(container, &entry.name) else { continue };
            let modified = entry.modified()?;
            let found = uploads.entry(upload.to_owned()).or_insert_with(|| Segments {
                object: object.to_owned(),
                newest: modified,
                segments: BTreeMap::new(),
                manifests: BTreeMap::new(),
            });
            found.newest = found.newest.max(modified);
            match &entry.slo_etag {
                Some(tag) => found.manifests.insert(entry.name.clone(), unquoted(tag).to_owned()),
                None => found.segments.insert(entry.name.clone(), entry.hash.clone()),
            };
        }
        let mut inventory = Self::default();
        uploads.into_iter().for_each(|(name, segments)| inventory.add(name, segments.into_upload()));
        Ok(inventory)
    }

    fn add(&mut self, name: String, upload: Upload) {
        let parts: BTreeSet<_> = upload.parts.iter().cloned().collect();
        for part in parts {
            self.by_part.entry(part).or_default().push(name.clone());
        }
        self.by_tag.insert(upload.tag(), name.clone());
        self.uploads.insert(name, upload);
    }

    /// Returns the uploads without a new segment since `before` that, according to these tags, may not be what their
    /// objects consist of.
    pub(super) fn unsettled(&self, tags: &Tags, before: SystemTime) -> Vec<String> {
        let is_settled = |(name, found): &(&String, &Upload)| {
            let tag = tags.get(&found.object).map(String::as_str).unwrap_or_default();
            let of_object =
                |name: &&String| self.uploads.get(*name).is_some_and(|other| other.object == found.object);
            // Two uploads with the same content have the same tag.
            let same: Vec<_> = self.uploads_with(tag);
            same.iter().copied().filter(of_object).eq([*name])
        };
        let old = self.uploads.iter().filter(|(_, found)| found.newest < before);
        old.filter(|upload| !is_settled(upload)).map(|(name, _)| name.clone()).collect()
    }

    /// Returns the uploads that an object with this tag may consist of: they have its parts, and perhaps others that its
    /// manifest doesn't name.
    pub(super) fn uploads_with(&self, tag: &str) -> Vec<&String> {
        let known = self.by_tag.get(tag).and_then(|name| self.uploads.get(name));
        let Some(Upload { parts, .. }) = known else { return Vec::new() };
        let with_first = parts.first().and_then(|part| self.by_part.get(part)).into_iter().flatten();
        let has_all = |name: &&String| {
            self.uploads.get(*name).is_some_and(|upload| has_in_order(upload.parts.iter(), parts))
        };
        with_first.filter(has_all).collect()
    }

    /// The names of the objects that these uploads were for, sorted.
    pub(super) fn objects_of(&self, uploads: &[String]) -> Vec<&str> {
        let found = uploads.iter().filter_map(|upload| self.uploads.get(upload));
        let mut names: Vec<_> = found.map(|found| found.object.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

impl Segments {
    fn into_upload(self) -> Upload {
        let parts = if self.manifests.is_empty() { self.segments } else { self.manifests };
        Upload { parts: parts.into_values().collect(), object: self.object, newest: self.newest }
    }
}

impl Upload {
    /// The tag of an object that consists of exactly this upload. Manifests nested more than twice aren't examined: then
    /// no object has the tag, and the object is requested instead.
    fn tag(&self) -> String {
        let mut sum = Md5Sum::default();
        self.parts.iter().for_each(|part| sum.update(part.as_bytes()));
        sum.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const UPLOAD: &str = "a/upload-00000000000000000000000000000000";
    const OTHER: &str = "a/upload-11111111111111111111111111111111";
    /// md5("ab" + "cd")
    const TAG: &str = "e2fc714c4727ee9395f324cd2e7f331f";

    fn entry(name: &str, hash: &str, slo_etag: Option<&str>) -> Entry {
        let slo = slo_etag.map(|tag| format!(r#", "slo_etag": "\"{tag}\"""#)).unwrap_or_default();
        let json = format!(
            r#"{{"name": "{name}", "bytes": 1, "hash": "{hash}", "last_modified": "2023-11-14T22:13:20.000000"{slo}}}"#
        );
        serde_json::from_str(&json).unwrap()
    }

    fn segments(upload: &str) -> [Entry; 2] {
        [("0", "ab"), ("1", "cd")].map(|(number, tag)| entry(&format!("c/{upload}/{number}"), tag, None))
    }

    /// Returns the unsettled uploads this many seconds after all was stored.
    fn unsettled(segments: Vec<Entry>, objects: &[Entry], seconds: u64) -> Vec<String> {
        let before = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds);
        let tags = objects.iter().cloned().filter_map(Entry::tagged).collect();
        Inventory::new("c", segments).unwrap().unsettled(&tags, before)
    }

    #[test]
    fn an_upload_that_its_object_consists_of_is_settled() {
        assert!(unsettled(segments(UPLOAD).into(), &[entry("a", "x", Some(TAG))], 1).is_empty());
    }

    #[test]
    fn an_upload_without_an_object_or_with_another_content_isnt() {
        assert_eq!(unsettled(segments(UPLOAD).into(), &[], 1), [UPLOAD]);
        assert_eq!(unsettled(segments(UPLOAD).into(), &[entry("a", "x", Some("ee"))], 1), [UPLOAD]);
        assert_eq!(unsettled(segments(UPLOAD).into(), &[entry("b", "x", Some(TAG))], 1), [UPLOAD]);
    }

    #[test]
    fn two_uploads_of_one_content_are_both_unsettled() {
        let both = segments(UPLOAD).into_iter().chain(segments(OTHER)).collect();
        assert_eq!(unsettled(both, &[entry("a", "x", Some(TAG))], 1), [UPLOAD, OTHER]);
    }

    #[test]
    fn an_upload_of_the_same_content_with_a_surplus_segment_may_be_the_live_one() {
        let surplus = entry(&format!("c/{UPLOAD}/2"), "ef", None);
        let all: Vec<_> = segments(UPLOAD).into_iter().chain([surplus]).chain(segments(OTHER)).collect();
        assert_eq!(unsettled(all.clone(), &[entry("a", "x", Some(TAG))], 1), [UPLOAD, OTHER]);
        assert_eq!(Inventory::new("c", all).unwrap().uploads_with(TAG), [UPLOAD, OTHER]);
    }

    #[test]
    fn only_an_upload_with_the_parts_of_an_object_in_their_order_may_be_what_it_consists_of() {
        let [first, last] = segments(OTHER).map(|entry| entry.hash);
        let turned =
            [("0", &last), ("1", &first)].map(|(n, tag)| entry(&format!("c/{OTHER}/{n}"), tag, None));
        let inventory = Inventory::new("c", segments(UPLOAD).into_iter().chain(turned).collect()).unwrap();
        assert_eq!(inventory.uploads_with(TAG), [UPLOAD]);
        assert!(inventory.uploads_with("ee").is_empty());
    }

    #[test]
    fn an_upload_with_anything_new_is_left_alone() {
        assert!(unsettled(segments(UPLOAD).into(), &[], 0).is_empty());
    }

    #[test]
    fn what_other_programs_keep_there_isnt_looked_at() {
        assert!(unsettled(vec![entry("c/a/1700000000.0/9/3/00000000", "ab", None)], &[], 1).is_empty());
    }

    #[test]
    fn what_belongs_to_other_containers_isnt_looked_at() {
        let other = |number: &str| entry(&format!("d/{UPLOAD}/{number}"), "ab", None);
        assert!(unsettled(vec![other("0"), other("1")], &[], 1).is_empty());
    }

    #[test]
    fn nested_manifests_stand_for_their_segments() {
        let mut all = segments(UPLOAD).to_vec();
        all.push(entry(&format!("c/{UPLOAD}/manifest-1-00000000"), "x", Some("ab")));
        all.push(entry(&format!("c/{UPLOAD}/manifest-1-00000001"), "x", Some("cd")));
        assert!(unsettled(all, &[entry("a", "x", Some(TAG))], 1).is_empty());
    }
}
