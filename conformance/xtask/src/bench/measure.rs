use std::fs;
use std::time::Instant;

use anyhow::{Result, bail};

use super::Bench;

/// What one job cost.
#[derive(Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) wall_seconds: f64,
    /// User and system time of the job's processes together; the PostgreSQL server is not among them.
    pub(crate) cpu_seconds: f64,
    /// The peak of the largest of them.
    pub(crate) rss_mib: f64,
}

/// A bash script that runs in the scratch directory, with the server's connection settings.
pub(crate) struct Job {
    /// Done before each run, and not measured.
    pub(crate) before: &'static str,
    pub(crate) script: &'static str,
    /// How often the script does what the figures are about: wall and CPU time are divided by it.
    pub(crate) repeats: u32,
}

impl Bench {
    /// The medians of both jobs, run in turns.
    pub(crate) fn in_turns(&self, ours: &Job, theirs: &Job) -> Result<(Figures, Figures)> {
        let mut runs = (Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            runs.0.push(self.measure(ours)?);
            runs.1.push(self.measure(theirs)?);
        }
        Ok((medians(&runs.0), medians(&runs.1)))
    }

    fn measure(&self, job: &Job) -> Result<Figures> {
        let bash = ["bash", "-euo", "pipefail", "-c"];
        let mut before = self.postgres.client("env");
        xtask::stdout(before.args(bash).arg(job.before))?;

        let figures = self.scratch.path().join("figures");
        let mut timed = self.postgres.client("time");
        timed.args(["--quiet", "--format", "%U %S %M", "--output"]).arg(&figures);
        let began = Instant::now();
        xtask::stdout(timed.args(bash).arg(job.script))?;
        let wall_seconds = began.elapsed().as_secs_f64() / f64::from(job.repeats);

        let text = fs::read_to_string(&figures)?;
        let numbers: Vec<f64> = text.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        let [user, system, rss_kib] = numbers[..] else {
            bail!("GNU time wrote {text:?}");
        };
        let cpu_seconds = (user + system) / f64::from(job.repeats);
        Ok(Figures { wall_seconds, cpu_seconds, rss_mib: rss_kib / 1024.0 })
    }
}

fn medians(runs: &[Figures]) -> Figures {
    let median = |figure: fn(&Figures) -> f64| {
        let mut values: Vec<f64> = runs.iter().map(figure).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Figures {
        wall_seconds: median(|run| run.wall_seconds),
        cpu_seconds: median(|run| run.cpu_seconds),
        rss_mib: median(|run| run.rss_mib),
    }
}
