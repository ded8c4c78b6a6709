//! The servers that tests share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;

use anyhow::{Result, anyhow};
use xtask::{Scratch, Swift, SwiftOptions};

/// The servers for all tests that need no special Swift.
pub(crate) struct Shared {
    /// With Keystone. Its listings are shorter than those of most clusters, so that few objects fill one.
    pub(crate) swift: Swift,
    narrow: Swift,
}

impl Shared {
    /// Starts the servers, each in a scratch directory, and returns when they are ready.
    pub(crate) fn start([first, second]: &[Arc<Scratch>; 2]) -> Result<Self> {
        let options = SwiftOptions { listing_names: 1000, ..SwiftOptions::with_keystone() };
        thread::scope(|scope| {
            let narrow = scope.spawn(|| Swift::start(second, SwiftOptions::narrow()));
            let swift = Swift::start(first, options);
            let narrow = narrow.join().map_err(|_| anyhow!("starting Swift panicked"))?;
            Ok(Self { swift: swift?, narrow: narrow? })
        })
    }

    /// Returns the environment for the tests, by which they find the servers.
    pub(crate) fn settings(&self) -> Result<BTreeMap<String, String>> {
        let mut settings = self.swift.test_settings()?;
        settings.extend(self.narrow.narrow_test_settings());
        Ok(settings)
    }
}
