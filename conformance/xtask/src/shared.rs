use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;

use anyhow::{Result, anyhow};
use xtask::{Scratch, Swift, SwiftOptions};

/// The servers that all tests share which need no more of Swift than that it is there.
pub(crate) struct Shared {
    /// With Keystone. Its listings are shorter than most clusters', so that few objects fill one.
    pub(crate) swift: Swift,
    narrow: Swift,
}

impl Shared {
    /// Starts them, each in a scratch directory; returns once they answer.
    pub(crate) fn start([first, second]: &[Arc<Scratch>; 2]) -> Result<Self> {
        let options = SwiftOptions { listing_names: 1000, ..SwiftOptions::with_keystone() };
        thread::scope(|scope| {
            let narrow = scope.spawn(|| Swift::start(second, SwiftOptions::narrow()));
            let swift = Swift::start(first, options);
            let narrow = narrow.join().map_err(|_| anyhow!("starting Swift panicked"))?;
            Ok(Self { swift: swift?, narrow: narrow? })
        })
    }

    /// How tests find them: the environment they are to be run in.
    pub(crate) fn settings(&self) -> Result<BTreeMap<String, String>> {
        let mut settings = self.swift.test_settings()?;
        settings.extend(self.narrow.narrow_test_settings());
        Ok(settings)
    }
}
