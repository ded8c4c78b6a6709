//! The Swifts that tests share, one test at a time, since each takes seconds to start.

use std::{
    fs::File,
    io::{Read, copy},
    ops::Deref,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use xtask::{Installation, Postgres, Scratch, Swift, SwiftOptions};

/// One node, version 1 authentication.
pub(crate) static PLAIN: Shared = Shared::new(SwiftOptions::default);
/// One node and Keystone.
pub(crate) static KEYSTONE: Shared = Shared::new(SwiftOptions::with_keystone);
/// One node, and Keystone with tokens that are valid just long enough for a busy machine.
pub(crate) static SHORT_LIVED: Shared =
    Shared::new(|| SwiftOptions { token_life: Duration::from_secs(10), ..SwiftOptions::with_keystone() });
/// With a limit of one write in ten seconds in a container.
pub(crate) static RATED: Shared =
    Shared::new(|| SwiftOptions { seconds_between_writes: Some(10), ..SwiftOptions::default() });
/// With objects smaller than a WAL segment, and short manifests.
pub(crate) static NARROW: Shared = Shared::new(SwiftOptions::narrow);
/// Three nodes with a replica on each.
pub(crate) static THREE: Shared = Shared::new(SwiftOptions::three_replicas);

/// The size of an incompressible file in the data directory.
const NOISE_BYTES: u64 = 64 << 20;

/// A Swift for all tests of a kind.
pub(crate) struct Shared {
    options: fn() -> SwiftOptions,
    turn: Mutex<()>,
    swift: OnceLock<Swift>,
    postgres: OnceLock<Postgres>,
}

impl Shared {
    const fn new(options: fn() -> SwiftOptions) -> Self {
        Self { options, turn: Mutex::new(()), swift: OnceLock::new(), postgres: OnceLock::new() }
    }

    /// Returns this Swift for one test alone, with every server running, whatever the previous test did.
    pub(crate) fn lease(&'static self) -> Result<Lease> {
        // The next test needn't fail because another one has.
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if self.swift.get().is_none() {
            let scratch = Scratch::new(Installation::ensure()?)?;
            let _ = self.swift.set(Swift::start(&scratch, (self.options)())?);
        }
        let lease = Lease { shared: self, swift: self.swift.get().context("just started")?, _turn: turn };
        lease.mend()?;
        Ok(lease)
    }
}

/// The right to use, and to break, a shared Swift.
pub(crate) struct Lease {
    shared: &'static Shared,
    swift: &'static Swift,
    _turn: MutexGuard<'static, ()>,
}

impl Deref for Lease {
    type Target = Swift;

    fn deref(&self) -> &Swift {
        self.swift
    }
}

impl Lease {
    /// A PostgreSQL beside this Swift that archives nothing, with a file `noise` in its data directory.
    pub(crate) fn postgres(&self) -> Result<&'static Postgres> {
        let shared = self.shared;
        if shared.postgres.get().is_none() {
            let server = Postgres::create(self.scratch(), "data", &["archive_command = 'false'"])?;
            let mut noise = File::open("/dev/urandom")?.take(NOISE_BYTES);
            copy(&mut noise, &mut File::create(server.data().join("noise"))?)?;
            server.start()?;
            let _ = shared.postgres.set(server);
        }
        shared.postgres.get().context("just started")
    }
}
