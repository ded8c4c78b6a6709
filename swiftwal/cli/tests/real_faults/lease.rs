//! Clusters that tests share, one test at a time, since each takes seconds to start.

use std::{
    fs::File,
    io::{Read, copy},
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use anyhow::{Context, Result};
use xtask::{Installation, Postgres, Scratch};

/// The size of an incompressible file in the data directory.
const NOISE_BYTES: u64 = 64 << 20;

/// A cluster for all tests of a kind: a Swift or a Ceph.
pub(crate) struct Shared<Cluster> {
    start: fn(&Arc<Scratch>) -> Result<Cluster>,
    /// Ends every outage.
    mend: fn(&Cluster) -> Result<()>,
    turn: Mutex<()>,
    /// The scratch directory, also of PostgreSQL.
    scratch: OnceLock<Arc<Scratch>>,
    cluster: OnceLock<Cluster>,
    postgres: OnceLock<Postgres>,
}

impl<Cluster> Shared<Cluster> {
    pub(crate) const fn new(
        start: fn(&Arc<Scratch>) -> Result<Cluster>,
        mend: fn(&Cluster) -> Result<()>,
    ) -> Self {
        Self {
            start,
            mend,
            turn: Mutex::new(()),
            scratch: OnceLock::new(),
            cluster: OnceLock::new(),
            postgres: OnceLock::new(),
        }
    }

    /// Returns this cluster for one test alone, with every server running, whatever the previous test did.
    pub(crate) fn lease(&'static self) -> Result<Lease<Cluster>> {
        // The next test needn't fail because another one has.
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if self.cluster.get().is_none() {
            let scratch = Scratch::new(Installation::ensure()?)?;
            let _ = self.cluster.set((self.start)(&scratch)?);
            let _ = self.scratch.set(scratch);
        }
        let cluster = self.cluster.get().context("just started")?;
        (self.mend)(cluster)?;
        Ok(Lease { shared: self, cluster, _turn: turn })
    }
}

/// The right to use, and to break, a shared cluster.
pub(crate) struct Lease<Cluster: 'static> {
    shared: &'static Shared<Cluster>,
    cluster: &'static Cluster,
    _turn: MutexGuard<'static, ()>,
}

impl<Cluster> Deref for Lease<Cluster> {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        self.cluster
    }
}

impl<Cluster> Lease<Cluster> {
    /// A PostgreSQL beside this cluster that archives nothing, with a file `noise` in its data directory.
    pub(crate) fn postgres(&self) -> Result<&'static Postgres> {
        let shared = self.shared;
        if shared.postgres.get().is_none() {
            let scratch = shared.scratch.get().context("just started")?;
            let server = Postgres::create(scratch, "data", &["archive_command = 'false'"])?;
            let mut noise = File::open("/dev/urandom")?.take(NOISE_BYTES);
            copy(&mut noise, &mut File::create(server.data().join("noise"))?)?;
            server.start()?;
            let _ = shared.postgres.set(server);
        }
        shared.postgres.get().context("just started")
    }
}
