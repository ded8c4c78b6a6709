//! Measures a job beside several other tools, and calls of the program one by one.

use anyhow::Result;

use super::Bench;
use super::measure::Job;
use super::table::{Limits, Row};

/// The number of segments of a backlog that is archived or replayed.
const BACKLOG: usize = 100;

/// The same work by another tool.
pub(super) struct Peer {
    pub(super) tool: String,
    pub(super) job: Job,
    /// The largest wall time of swiftwal, as a multiple of this tool's.
    pub(super) wall: Option<f64>,
}

impl Bench {
    /// Writes the names of the newest segments into the file `backlog`, after enough of them were written. Returns their
    /// number.
    pub(super) fn prepare_backlog(&self) -> Result<usize> {
        let names = || -> Result<Vec<String>> {
            let names = xtask::stdout(self.scratch.command("ls").arg("segments"))?;
            Ok(names.lines().map(str::to_owned).collect())
        };
        while names()?.len() <= BACKLOG {
            self.grow(0.6, "cp \"$1\" segments/")?;
        }
        self.once(&format!("ls segments | tail -n {BACKLOG} > backlog"))?;
        Ok(BACKLOG)
    }

    /// Runs the job and those of the other tools in turn. Returns a row for each tool.
    pub(super) fn beside(&self, name: &str, ours: &Job, limits: &Limits, peers: &[Peer]) -> Result<Vec<Row>> {
        let jobs: Vec<_> = [ours].into_iter().chain(peers.iter().map(|peer| &peer.job)).collect();
        let measured = self.in_turns_all(&jobs)?;
        let rows = peers.iter().zip(&measured[1..]).map(|(peer, theirs)| Row {
            job: name.to_owned(),
            tool: peer.tool.clone(),
            ours: measured[0],
            theirs: *theirs,
            limits: Limits { wall: peer.wall, ..*limits },
        });
        Ok(rows.collect())
    }

    /// Measures a job of several calls, beside the start of a program that does nothing.
    pub(super) fn calls(&self, name: &str, ours: &Job, limits: Limits) -> Result<Row> {
        let starts = Job::new("", "for number in $(seq 20); do call /bin/true; done".to_owned()).repeats(20);
        let [ours, theirs] = self.in_turns([ours, &starts])?;
        Ok(Row { job: name.to_owned(), tool: "/bin/true".to_owned(), ours, theirs, limits })
    }
}
