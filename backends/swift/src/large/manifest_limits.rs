//! How many segments the manifests of a cluster can name.

use crate::{containers::Containers, dialect::Info, error::StoreError};

/// The limits on manifests.
#[derive(Clone, Copy, Debug)]
pub(super) struct ManifestLimits {
    segments: usize,
    bytes: usize,
    /// Whether manifests may name manifests. None if that isn't known.
    nests: Option<bool>,
}

impl ManifestLimits {
    /// Returns the limits for an object.
    ///
    /// # Errors
    ///
    /// [`StoreError::Large`] if the cluster has no static large objects.
    pub(super) fn of(containers: &Containers, object: &str, info: &Info) -> Result<Self, StoreError> {
        let slo = info.slo.as_ref().ok_or_else(|| StoreError::Large {
            target: object.to_owned(),
            reason: "this cluster doesn't support static large objects".to_owned(),
        })?;
        let nests = containers.client.dialect().nests_manifests();
        Ok(Self { segments: slo.max_manifest_segments, bytes: slo.max_manifest_size, nests })
    }

    /// The number of segments that one manifest can certainly name, given the length of their longest name.
    pub(super) fn capacity(&self, longest_name: usize) -> usize {
        // JSON may escape each byte of a name with six.
        let longest_entry = 6 * longest_name + 128;
        self.segments.min(self.bytes / longest_entry).max(1)
    }

    /// The number of segments that an object can certainly have. None if there is no limit.
    pub(super) fn certain(&self, longest_name: usize) -> Option<usize> {
        let is_limited = self.nests != Some(true) || !self.helps_to_nest(longest_name);
        is_limited.then(|| self.capacity(longest_name))
    }

    /// Whether an object can certainly not have so many segments.
    pub(super) fn excludes(&self, segments: usize, longest_name: usize) -> bool {
        let is_limited = self.nests == Some(false) || !self.helps_to_nest(longest_name);
        is_limited && segments > self.capacity(longest_name)
    }

    /// Whether fewer manifests name many ones.
    fn helps_to_nest(&self, longest_name: usize) -> bool {
        self.capacity(longest_name) > 1
    }

    /// Checks that an object may have so many segments.
    ///
    /// # Errors
    ///
    /// [`StoreError::Upload`] if one manifest can't name them, and no other can help.
    pub(super) fn check(&self, object: &str, segments: usize, longest_name: usize) -> Result<(), StoreError> {
        if !self.excludes(segments, longest_name) {
            return Ok(());
        }
        let most = self.capacity(longest_name);
        let reason = format!(
            "it has more than {most} segments, and this cluster accepts no more in a large object; make the parts longer"
        );
        Err(StoreError::Upload { target: object.to_owned(), reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Limits of a server of which it isn't known whether manifests may name manifests.
    const LIMITS: ManifestLimits = ManifestLimits { segments: 3, bytes: 8 << 20, nests: None };

    #[test]
    fn only_a_cluster_without_nested_manifests_limits_the_segments_of_an_object() {
        let flat = ManifestLimits { nests: Some(false), ..LIMITS };
        assert!(flat.check("c/a", 3, 100).is_ok());
        let error = flat.check("c/a", 4, 100).unwrap_err().to_string();
        assert!(error.contains("c/a") && error.contains("more than 3 segments"), "{error}");
        assert!(LIMITS.check("c/a", 4, 100).is_ok());
        let nesting = ManifestLimits { nests: Some(true), ..LIMITS };
        assert!(nesting.check("c/a", 4, 100).is_ok());
        assert_eq!([flat, LIMITS, nesting].map(|limits| limits.certain(100)), [Some(3), Some(3), None]);
    }

    #[test]
    fn a_manifest_holds_what_its_limits_of_number_and_of_bytes_allow() {
        let capacity = |segments, bytes| ManifestLimits { segments, bytes, nests: None }.capacity(100);
        assert_eq!(capacity(1000, 8 << 20), 1000);
        assert_eq!(capacity(100_000, 8 << 20), (8 << 20) / 728);
        // The server decides whether it takes this one.
        assert_eq!(capacity(1000, 100), 1);
    }

    #[test]
    fn manifests_of_one_segment_do_not_help_to_nest_them() {
        let single = ManifestLimits { segments: 1, bytes: 8 << 20, nests: Some(true) };
        assert!(single.check("c/a", 1, 100).is_ok());
        assert!(single.check("c/a", 2, 100).is_err());
        assert_eq!(single.certain(100), Some(1));
    }
}
