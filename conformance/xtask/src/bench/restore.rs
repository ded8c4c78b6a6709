//! Measures restores, beside `zstd` with `tar`, and pgBackRest.

use anyhow::Result;

use super::Bench;
use super::backup::RSS_MIB;
use super::measure::{Job, NOW};
use super::place::Place;
use super::table::{self, Limits, Row};

/// Finds the key in what the latest backup has printed. Each swiftwal restores a backup that it has taken itself: an
/// earlier one doesn't know a newer index and restores without it, and the reverse.
pub(super) const KEY: &str = "$(grep -oEm 1 '[0-9]{8}T[0-9]+Z[^ ]*' ./swiftwal.printed | head -n 1)";

impl Bench {
    /// Restores the latest backups, and prints what that costs. `size` describes the cluster.
    pub(super) fn restores(&self, place: &Place, size: &str) -> Result<()> {
        let ours = Job::new("rm -rf ours; sync", format!("{} restore {KEY} ours", place.swiftwal));
        let theirs = format!("{} | zstd -dcq | tar x -C theirs; sync -f theirs", place.fetch);
        let theirs = Job::new("rm -rf theirs; mkdir theirs; sync", theirs);
        let pgbackrest = self.pgbackrest.as_ref().filter(|_| place.beside_pgbackrest);
        let by_pgbackrest = pgbackrest.map(|pgbackrest| {
            let restore = format!("{} --pg1-path=$PWD/theirs restore", pgbackrest.command_line());
            Job::new("rm -rf theirs; mkdir -m 700 theirs; sync", restore)
        });
        let delta = place.is_directory.then(|| delta(place));
        let jobs: Vec<&Job> = [&ours, &theirs].into_iter().chain(&by_pgbackrest).chain(&delta).collect();
        let measured = self.in_turns_all(&jobs)?;
        self.once("rm -rf ours theirs changed")?;
        let row = |tool: String, theirs, limits| Row {
            job: format!("restore of {size} from {}", place.name),
            tool,
            ours: measured[0],
            theirs,
            limits: Limits { rss_mib: Some(RSS_MIB), ..limits },
        };
        let tool = format!("{} | zstd -dc | tar x; sync -f .", place.shown_fetch);
        let (wall, cpu) = place.restore_limits;
        let limits = Limits { wall: Some(wall), cpu: Some(cpu), ..Limits::default() };
        table::row(&row(tool, measured[1], limits));
        if let (Some(pgbackrest), Some(theirs)) = (pgbackrest, measured.get(2)) {
            let limits = Limits { wall: Some(1.0), cpu: Some(1.0), ..Limits::default() };
            let tool = format!("{} restore, process-max=2", pgbackrest.version());
            table::row(&row(tool, *theirs, limits));
        }
        if let (Some(_), Some(delta)) = (delta, measured.last()) {
            let limits = Limits { wall: Some(0.35), cpu: Some(0.35), ..Limits::default() };
            let job = format!("restore --delta of {size} from {}, 1 % of the files changed", place.name);
            let full = row("swiftwal restore into an empty directory".to_owned(), measured[0], limits);
            table::row(&Row { job, ours: *delta, ..full });
        }
        Ok(())
    }
}

/// A job that restores over a restored cluster, in which a byte of each hundredth file is changed; not those of the few
/// large files, nor those by which a cluster is recognised. An earlier swiftwal, which may lack the option, doesn't run
/// it.
fn delta(place: &Place) -> Job {
    let this_one = |script: String| script.replace(NOW, "$PWD/swiftwal");
    let restore = this_one(format!("{} restore {KEY} changed", place.swiftwal));
    let change = "find changed -type f -size +0 -size -1024k ! -name PG_VERSION ! -name pg_control |
        sort | awk 'NR % 100 == 0' |
        while read -r file; do printf x | dd of=$file bs=1 seek=9 conv=notrunc status=none; done";
    Job::new(format!("[ -d changed ] || {restore}; {change}; sync"), format!("{restore} --delta"))
}
