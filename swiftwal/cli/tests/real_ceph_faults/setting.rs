//! Options of the gateway that a test changes while it runs.

use anyhow::Result;
use xtask::Ceph;

/// An option that has another value for as long as this exists.
pub(crate) struct Setting<'a> {
    ceph: &'a Ceph,
    option: &'static str,
    default: &'static str,
}

impl<'a> Setting<'a> {
    /// Makes every page of a listing as short as this, whatever number is requested and `/info` says.
    pub(crate) fn names_in_a_page(ceph: &'a Ceph, names: u32) -> Result<Self> {
        Self::change(ceph, "rgw_max_listing_results", names, "1000")
    }

    /// Limits the number of segments that a manifest names.
    pub(crate) fn segments_in_a_manifest(ceph: &'a Ceph, segments: u32) -> Result<Self> {
        Self::change(ceph, "rgw_max_slo_entries", segments, "1000")
    }

    fn change(ceph: &'a Ceph, option: &'static str, value: u32, default: &'static str) -> Result<Self> {
        ceph.set(option, &value.to_string())?;
        Ok(Self { ceph, option, default })
    }
}

impl Drop for Setting<'_> {
    fn drop(&mut self) {
        let _ = self.ceph.set(self.option, self.default);
    }
}
