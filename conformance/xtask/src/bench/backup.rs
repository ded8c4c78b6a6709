//! Measures backups, by each method, beside the same work by `pg_basebackup` and `zstd`, and by pgBackRest.

use anyhow::Result;

use super::Bench;
use super::measure::{Job, Measured};
use super::place::{Place, archive_by};
use super::table::{self, Limits, Row};

/// The memory limit of a backup and of a restore.
pub(super) const RSS_MIB: f64 = 128.0;

/// The jobs: one for each method, then the other tools.
struct Jobs {
    ours: Vec<Job>,
    pipe: Job,
    pgbackrest: Option<Job>,
}

/// A method of swiftwal, with its limits.
struct Method {
    name: &'static str,
    /// Relative to the pipeline: of the wall time, and of the CPU time if there is one.
    beside_pipe: (f64, Option<f64>),
    /// Relative to pgBackRest, of both.
    beside_pgbackrest: Option<f64>,
}

fn methods(place: &Place) -> [Method; 3] {
    let Place { local_limit, replication_limit, wall_limit, .. } = *place;
    [
        Method {
            name: "local",
            beside_pipe: (local_limit, Some(local_limit)),
            beside_pgbackrest: Some(0.85),
        },
        Method {
            name: "replication",
            beside_pipe: (replication_limit, Some(replication_limit)),
            beside_pgbackrest: Some(1.1),
        },
        Method { name: "pg_basebackup", beside_pipe: (wall_limit, None), beside_pgbackrest: None },
    ]
}

impl Bench {
    /// Takes backups of the cluster as it is, and prints what they cost. `size` describes the cluster.
    pub(super) fn backups(&self, place: &Place, size: &str) -> Result<()> {
        let Jobs { ours, pipe, pgbackrest } = self.backup_jobs(place);
        let jobs: Vec<&Job> = ours.iter().chain([&pipe]).chain(&pgbackrest).collect();
        let measured = self.in_turns_all(&jobs)?;
        let (ours, others) = measured.split_at(ours.len());
        let pipe = "pg_basebackup -Ft -D - -X none -c fast | zstd -1 -T2";
        for (method, ours) in methods(place).iter().zip(ours) {
            let row = |tool: String, theirs: &Measured, limits| Row {
                job: format!("backup of {size} to {}, --method {}", place.name, method.name),
                tool,
                ours: *ours,
                theirs: *theirs,
                limits: Limits { rss_mib: Some(RSS_MIB), ..limits },
            };
            let (wall, cpu) = method.beside_pipe;
            let limits = Limits { wall: Some(wall), cpu, ..Limits::default() };
            table::row(&row(format!("{pipe} {}", place.shown_keep), &others[0], limits));
            if let (Some(pgbackrest), Some(theirs)) = (&self.pgbackrest, others.get(1)) {
                let limit = method.beside_pgbackrest;
                let tool = format!("{} backup, zst level 1, process-max=2", pgbackrest.version());
                table::row(&row(tool, theirs, Limits { wall: limit, cpu: limit, ..Limits::default() }));
            }
        }
        Ok(())
    }

    /// Takes a backup with each tool that can restore one.
    pub(super) fn backup_once(&self, place: &Place) -> Result<()> {
        let Jobs { ours, pipe, pgbackrest } = self.backup_jobs(place);
        self.once_each(&ours.iter().take(1).chain([&pipe]).chain(&pgbackrest).collect::<Vec<_>>())
    }

    /// What swiftwal prints is kept beside the program.
    fn backup_jobs(&self, place: &Place) -> Jobs {
        let archive = place.archive();
        let ours = methods(place).map(|Method { name, .. }| {
            let backup = format!("{} backup --method {name} -c fast", place.swiftwal);
            let job = Job::new(format!("{archive} sync"), format!("{backup} > ./swiftwal.printed 2>&1"));
            job.stores_into("repository")
        });
        let pipe = format!("pg_basebackup -Ft -D - -X none -c fast | zstd -1 -q -T2 {}", place.keep);
        let pgbackrest = self.pgbackrest.as_ref().filter(|_| place.beside_pgbackrest).map(|pgbackrest| {
            let pgbackrest = pgbackrest.command_line();
            let archive = archive_by(&format!("{pgbackrest} archive-push \"$1\""));
            let before = format!("rm -rf pgbackrest; {pgbackrest} stanza-create; {archive} sync");
            Job::new(before, format!("{pgbackrest} --type=full backup")).stores_into("pgbackrest")
        });
        let pipe = Job::new(format!("{archive} rm -f base.tar.zst; sync"), pipe).stores_into("base.tar.zst");
        Jobs { ours: ours.into(), pipe, pgbackrest }
    }
}
