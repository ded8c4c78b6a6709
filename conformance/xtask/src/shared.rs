//! The servers that tests share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;

use anyhow::{Result, anyhow};
use xtask::{Ceph, Scratch, Swift, SwiftOptions};

/// The servers for all tests that need no special Swift.
pub(crate) struct Shared {
    /// With Keystone. Its listings are shorter than those of most clusters, so that few objects fill one.
    pub(crate) swift: Swift,
    narrow: Swift,
    /// Its gateway accepts tokens of the same Keystone.
    ceph: Option<Ceph>,
}

impl Shared {
    /// Starts the servers, each Swift in a scratch directory, and returns when they are ready; Ceph only on request.
    pub(crate) fn start([first, second]: &[Arc<Scratch>; 2], ceph: bool) -> Result<Self> {
        let options = SwiftOptions { listing_names: 1000, ..SwiftOptions::with_keystone() };
        thread::scope(|scope| {
            let narrow = scope.spawn(|| Swift::start(second, SwiftOptions::narrow()));
            let both = Swift::start(first, options).and_then(|swift| {
                let ceph = ceph.then(|| Ceph::start(first, Some(&swift))).transpose()?;
                Ok((swift, ceph))
            });
            let narrow = narrow.join().map_err(|_| anyhow!("starting Swift panicked"))?;
            let (swift, ceph) = both?;
            Ok(Self { swift, narrow: narrow?, ceph })
        })
    }

    /// Returns the environment for the tests, by which they find the servers.
    pub(crate) fn settings(&self) -> Result<BTreeMap<String, String>> {
        let mut settings = self.swift.test_settings()?;
        settings.extend(self.narrow.narrow_test_settings());
        if let Some(ceph) = &self.ceph {
            settings.extend(ceph.test_settings(&self.swift)?);
        }
        Ok(settings)
    }
}
