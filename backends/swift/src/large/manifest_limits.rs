//! How many segments the manifests of a cluster can name.

use crate::{containers::Containers, dialect::Info, error::StoreError, manifests};

/// The limits on manifests.
#[derive(Clone, Copy, Debug)]
pub(super) struct ManifestLimits {
    segments: usize,
    bytes: usize,
    /// Whether manifests are known not to name manifests.
    is_flat: bool,
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
        let is_flat = containers.client.dialect().nests_manifests() == Some(false);
        Ok(Self { segments: slo.max_manifest_segments, bytes: slo.max_manifest_size, is_flat })
    }

    /// The number of segments that one manifest can name, given the length of their longest name.
    pub(super) fn capacity(&self, longest_name: usize) -> usize {
        manifests::capacity(self.segments, self.bytes, longest_name)
    }

    /// Checks that an object may have so many segments.
    ///
    /// # Errors
    ///
    /// [`StoreError::Upload`] if one manifest can't name them, and no other can help.
    pub(super) fn check(&self, object: &str, segments: usize, longest_name: usize) -> Result<(), StoreError> {
        let most = self.capacity(longest_name);
        if !self.is_flat || segments <= most {
            return Ok(());
        }
        let reason = format!(
            "it has more than {most} segments, and this cluster accepts no more in a large object; make the parts longer"
        );
        Err(StoreError::Upload { target: object.to_owned(), reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_cluster_without_nested_manifests_limits_the_segments_of_an_object() {
        let limits = ManifestLimits { segments: 3, bytes: 8 << 20, is_flat: true };
        assert!(limits.check("c/a", 3, 100).is_ok());
        let error = limits.check("c/a", 4, 100).unwrap_err().to_string();
        assert!(error.contains("c/a") && error.contains("more than 3 segments"), "{error}");
        assert!(ManifestLimits { is_flat: false, ..limits }.check("c/a", 4, 100).is_ok());
    }
}
