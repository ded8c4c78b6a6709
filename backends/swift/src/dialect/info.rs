//! The limits of a cluster, from its `/info`.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
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

#[derive(Default, Deserialize)]
struct Body {
    #[serde(default)]
    swift: Core,
    slo: Option<SloLimits>,
    bulk_delete: Option<BulkDeleteLimits>,
}

#[derive(Deserialize)]
#[serde(default)]
struct Core {
    max_file_size: u64,
    container_listing_limit: usize,
    policies: Vec<Policy>,
}

#[derive(Deserialize)]
struct Policy {
    name: String,
}

impl Default for Core {
    fn default() -> Self {
        Self { max_file_size: (5 << 30) + 2, container_listing_limit: 10_000, policies: Vec::new() }
    }
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

/// The limits of a cluster without `/info`. Nearly all clusters support static large objects; bulk deletion is avoided,
/// since it can be replaced by single requests.
impl Default for Info {
    fn default() -> Self {
        Self::new(Core::default(), Some(SloLimits::default()), None)
    }
}

impl Info {
    fn new(core: Core, slo: Option<SloLimits>, bulk_delete: Option<BulkDeleteLimits>) -> Self {
        let Core { max_file_size, container_listing_limit, policies } = core;
        let policies = policies.into_iter().map(|policy| policy.name).collect();
        Self { max_file_size, container_listing_limit, policies, slo, bulk_delete }
    }

    /// Parses the body of `/info`; None if it isn't JSON of the known form.
    pub(crate) fn parse(body: &Bytes) -> Option<Self> {
        let Body { swift, slo, bulk_delete } = serde_json::from_slice(body).ok()?;
        Some(Self::new(swift, slo, bulk_delete))
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
                       "slo": {"max_manifest_segments": 7}, "bulk_delete": {"max_deletes_per_request": 5}}"#;
        let info = Info::parse(&Bytes::from(body)).unwrap();
        assert_eq!((info.max_file_size, info.container_listing_limit), (67_108_864, 10_000));
        assert_eq!(info.policies, ["gold"]);
        assert_eq!(info.slo, Some(SloLimits { max_manifest_segments: 7, ..SloLimits::default() }));
        assert_eq!(info.bulk_delete, Some(BulkDeleteLimits { max_deletes_per_request: 5 }));
    }

    #[test]
    fn what_is_not_offered_is_none() {
        let info = Info::parse(&Bytes::from("{}")).unwrap();
        assert_eq!((info.slo, info.bulk_delete), (None, None));
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
