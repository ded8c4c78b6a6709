//! The limits of a cluster, from its `/info`.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;

/// The limits of a cluster. Values that `/info` lacks have Swift's defaults.
///
/// Source: <https://docs.openstack.org/swift/latest/api/discoverability.html>
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Info {
    /// The largest size of an object in one piece, in bytes.
    pub(crate) max_file_size: u64,
    /// The largest number of names in one listing.
    pub(crate) container_listing_limit: usize,
    /// The names of the storage policies that `/info` lists.
    pub(crate) policies: Vec<String>,
    /// None if the cluster doesn't support static large objects.
    pub(crate) slo: Option<SloLimits>,
    /// None if the cluster doesn't support bulk deletion.
    pub(crate) bulk_delete: Option<BulkDeleteLimits>,
    /// None if the cluster doesn't support signed URLs.
    pub(crate) temp_url: Option<TempUrl>,
}

/// The limits of static large objects.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct SloLimits {
    pub(crate) max_manifest_segments: usize,
    /// In bytes.
    pub(crate) max_manifest_size: usize,
    /// In bytes.
    pub(crate) min_segment_size: u64,
}

/// The limits of bulk deletion.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct BulkDeleteLimits {
    pub(crate) max_deletes_per_request: usize,
}

/// How a cluster supports signed URLs.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct TempUrl {
    /// The digests that it accepts in signatures.
    pub(crate) allowed_digests: Vec<String>,
}

impl Default for SloLimits {
    fn default() -> Self {
        Self { max_manifest_segments: 1000, max_manifest_size: 8 << 20, min_segment_size: 1 }
    }
}

impl Default for BulkDeleteLimits {
    fn default() -> Self {
        Self { max_deletes_per_request: 10_000 }
    }
}

impl SloLimits {
    fn of(section: &Section) -> Self {
        let default = Self::default();
        Self {
            max_manifest_segments: section.number("max_manifest_segments", default.max_manifest_segments),
            max_manifest_size: section.number("max_manifest_size", default.max_manifest_size),
            min_segment_size: section.number("min_segment_size", default.min_segment_size),
        }
    }
}

impl BulkDeleteLimits {
    fn of(section: &Section) -> Self {
        let default = Self::default().max_deletes_per_request;
        Self { max_deletes_per_request: section.number("max_deletes_per_request", default) }
    }
}

/// Older versions of Swift and Ceph's gateway list no digests. They accept SHA-1.
impl Default for TempUrl {
    fn default() -> Self {
        Self { allowed_digests: vec!["sha1".to_owned()] }
    }
}

impl TempUrl {
    fn of(section: &Section) -> Self {
        let allowed_digests = section.texts("allowed_digests");
        if allowed_digests.is_empty() { Self::default() } else { Self { allowed_digests } }
    }
}

/// A part of `/info`.
#[derive(Default)]
struct Section(Map<String, Value>);

impl Section {
    /// The section of this name; None if it is missing, null or false.
    fn section(&self, name: &str) -> Option<Self> {
        match self.0.get(name)? {
            Value::Null | Value::Bool(false) => None,
            Value::Object(section) => Some(Self(section.clone())),
            _ => Some(Self::default()),
        }
    }

    fn number<N: TryFrom<u64>>(&self, name: &str, default: N) -> N {
        let number = self.0.get(name).and_then(Value::as_u64);
        number.and_then(|number| number.try_into().ok()).unwrap_or(default)
    }

    /// The texts in a list.
    fn texts(&self, list: &str) -> Vec<String> {
        let entries = self.0.get(list).and_then(Value::as_array).into_iter().flatten();
        entries.filter_map(|entry| entry.as_str().map(str::to_owned)).collect()
    }

    /// The names in a list of objects.
    fn names(&self, list: &str) -> Vec<String> {
        let entries = self.0.get(list).and_then(Value::as_array).into_iter().flatten();
        entries.filter_map(|entry| entry["name"].as_str().map(str::to_owned)).collect()
    }
}

/// The limits of a cluster without `/info`. Nearly all clusters support static large objects; bulk deletion is avoided,
/// since it can be replaced by single requests.
impl Default for Info {
    fn default() -> Self {
        Self {
            max_file_size: (5 << 30) + 2,
            container_listing_limit: 10_000,
            policies: Vec::new(),
            slo: Some(SloLimits::default()),
            bulk_delete: None,
            temp_url: Some(TempUrl { allowed_digests: vec!["sha256".to_owned()] }),
        }
    }
}

impl Info {
    /// Parses the body of `/info`; None if it isn't a JSON object. Each value is read by itself: one of an unexpected
    /// form has its default, and hides no other. The section of a feature means that the cluster has it, whatever its
    /// form.
    pub(crate) fn parse(body: &Bytes) -> Option<Self> {
        let body = Section(serde_json::from_slice::<Map<String, Value>>(body).ok()?);
        let (default, core) = (Self::default(), body.section("swift").unwrap_or_default());
        Some(Self {
            max_file_size: core.number("max_file_size", default.max_file_size),
            container_listing_limit: core.number("container_listing_limit", default.container_listing_limit),
            policies: core.names("policies"),
            slo: body.section("slo").map(|slo| SloLimits::of(&slo)),
            bulk_delete: body.section("bulk_delete").map(|limits| BulkDeleteLimits::of(&limits)),
            temp_url: body.section("tempurl").map(|section| TempUrl::of(&section)),
        })
    }

    /// The least size in bytes of each segment of a large object, except the last.
    pub(crate) fn shortest_segment(&self) -> u64 {
        self.slo.as_ref().map_or(1, |limits| limits.min_segment_size)
    }

    /// The URL of `/info`: beside the `v1` of the account's URL (in Ceph, below `/swift`).
    pub(crate) fn url(account: &Url) -> Url {
        let base = account.path().split_once("/v1").map_or("", |(base, _)| base);
        let mut url = account.clone();
        url.set_path(&format!("{base}/info"));
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_and_what_is_not_told_has_its_default() {
        let body = r#"{"swift": {"max_file_size": 67108864, "version": "2.38.3",
                                 "policies": [{"name": "gold", "default": true, "aliases": "gold"}]},
                       "slo": {"max_manifest_segments": 7}, "bulk_delete": {"max_deletes_per_request": 5},
                       "tempurl": {"methods": ["GET"], "allowed_digests": ["sha256", "sha512"]}}"#;
        let info = Info::parse(&Bytes::from(body)).unwrap();
        assert_eq!((info.max_file_size, info.container_listing_limit), (67_108_864, 10_000));
        assert_eq!(info.policies, ["gold"]);
        assert_eq!(info.slo, Some(SloLimits { max_manifest_segments: 7, ..SloLimits::default() }));
        assert_eq!(info.bulk_delete, Some(BulkDeleteLimits { max_deletes_per_request: 5 }));
        assert_eq!(info.temp_url.unwrap().allowed_digests, ["sha256", "sha512"]);
    }

    #[test]
    fn an_odd_value_has_its_default_and_hides_no_other() {
        let body = r#"{"swift": {"max_file_size": 5, "container_listing_limit": null,
                                 "policies": [null, {"name": null}, 7, {"name": "gold"}]},
                       "tempurl": [], "slo": {"max_manifest_segments": "7", "max_manifest_size": -1,
                       "min_segment_size": 9}, "bulk_delete": true}"#;
        let info = Info::parse(&Bytes::from(body)).unwrap();
        assert_eq!((info.max_file_size, info.container_listing_limit), (5, 10_000));
        assert_eq!(info.policies, ["gold"]);
        assert_eq!(info.slo, Some(SloLimits { min_segment_size: 9, ..SloLimits::default() }));
        assert_eq!(info.bulk_delete, Some(BulkDeleteLimits::default()));
        assert_eq!(info.temp_url, Some(TempUrl::default()));
    }

    #[test]
    fn what_is_not_offered_is_none() {
        let info = Info::parse(&Bytes::from("{}")).unwrap();
        assert_eq!((info.slo, info.bulk_delete, info.temp_url), (None, None, None));
        assert_eq!(Info::parse(&Bytes::from("<html>")), None);
    }

    #[test]
    fn the_address_is_beside_the_accounts() {
        let at = |account: &str| Info::url(&account.parse().unwrap()).to_string();
        assert_eq!(at("http://swift:8080/v1/AUTH_a"), "http://swift:8080/info");
        assert_eq!(at("https://ceph/swift/v1/AUTH_a"), "https://ceph/swift/info");
        assert_eq!(at("https://ceph/swift/v1"), "https://ceph/swift/info");
    }
}
