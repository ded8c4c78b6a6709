//! The subcommand prefetch-wal: the process that restore-wal starts to fetch segments ahead.
//!
//! It is hidden, since nobody else may rely on it. `restore_wal::prefetch` starts it, in the data
//! directory.

use std::{
    env,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use swiftwal_core::{DataDirectory, Error, PrefetchOptions, Spool, prefetch_wal};
use swiftwal_postgres::SegmentName;

use crate::{failure::Failure, session::Session};

/// Fetch WAL ahead. restore-wal runs this by itself.
#[derive(Debug, clap::Args)]
#[command(hide = true, after_help = "restore-wal runs swiftwal prefetch-wal by itself.")]
pub(crate) struct Args {
    /// The directory of all spools
    #[arg(long)]
    spool: PathBuf,
    /// The number of segments that are fetched at the same time
    #[arg(long)]
    jobs: NonZeroUsize,
    /// The number of segments that are fetched ahead
    #[arg(long)]
    segments: NonZeroUsize,
    /// The segment that was delivered last
    name: SegmentName,
}

pub(crate) async fn run(args: Args, session: &Session<'_>) -> Result<(), Failure> {
    let local = |action, path: &Path| {
        let path = path.to_owned();
        move |source| Failure::Flow(Error::Local { action, path, source })
    };
    let here = Path::new(".");
    let data = DataDirectory::open(here).map_err(local("read", here))?;
    let repository = session.open()?;
    let spool = Spool::new(&args.spool, &repository, &data).map_err(local("use", &args.spool))?;
    // Otherwise the file system of the data directory couldn't be unmounted.
    let root = Path::new("/");
    env::set_current_dir(root).map_err(local("read", root))?;
    let options = PrefetchOptions { jobs: args.jobs, segments: args.segments };
    session.watchdog.doing(format!("fetching WAL from {} ahead", repository.location()));
    Ok(prefetch_wal(&repository, &spool, &data, args.name, &options).await?)
}
