//! Runs a script, and measures its duration, CPU time, memory and requests.

use std::fs;
use std::time::Instant;

use anyhow::{Result, anyhow, bail};

use super::Bench;

/// The cost of one job.
#[derive(Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) wall_seconds: f64,
    /// User and system time of all processes of the job and of PostgreSQL's server, without that of the storage's.
    pub(crate) cpu_seconds: f64,
    /// The peak of its largest process.
    pub(crate) rss_mib: f64,
    /// Requests to Swift, to Keystone and to Ceph.
    pub(crate) requests: f64,
    /// What was stored in files.
    pub(crate) stored_mib: f64,
    /// The median duration of the commands that the script runs by `call`; 0 if there is none.
    pub(crate) call_ms: f64,
}

/// The cost of a job and, for a job with swiftwal, of the same job with the program given by `--against`.
#[derive(Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) now: Figures,
    pub(crate) before: Option<Figures>,
}

/// The name of the program in scripts, and of the one given by `--against`.
pub(crate) const NOW: &str = "./swiftwal";
pub(crate) const BEFORE: &str = "./before";
/// The same in scripts that enter another directory: the variable contains the path of the scratch directory.
const NOW_FROM_ANYWHERE: &str = "$scratch/swiftwal";
const BEFORE_FROM_ANYWHERE: &str = "$scratch/before";

/// A function for scripts: runs a command, and measures how long that takes.
const CALL: &str = r#"durations=$PWD/durations
: > $durations
call() {
    local began=$EPOCHREALTIME
    "$@"
    echo $((${EPOCHREALTIME/[^0-9]/} - ${began/[^0-9]/})) >> $durations
}
"#;

/// A bash script that runs in the scratch directory, with the server's connection settings. The function `call`, with a
/// command and its arguments, measures the duration of this command alone.
pub(crate) struct Job {
    /// Runs before the script, and isn't measured.
    before: String,
    script: String,
    /// How many times the script does the measured work: the figures are divided by it.
    repeats: u32,
    /// A file or directory in the scratch directory: how much it grows is measured.
    stores_into: Option<&'static str>,
}

impl Job {
    pub(crate) fn new(before: impl Into<String>, script: String) -> Self {
        Self { before: before.into(), script, repeats: 1, stores_into: None }
    }

    pub(crate) fn stores_into(self, path: &'static str) -> Self {
        Self { stores_into: Some(path), ..self }
    }

    pub(crate) fn repeats(self, repeats: u32) -> Self {
        Self { repeats, ..self }
    }

    /// The same job with the program given by `--against`; None for a job of another tool.
    pub(super) fn before(&self) -> Option<Self> {
        let [before, script] = [&self.before, &self.script]
            .map(|script| script.replace(NOW, BEFORE).replace(NOW_FROM_ANYWHERE, BEFORE_FROM_ANYWHERE));
        (script != self.script).then_some(Self { before, script, ..*self })
    }
}

impl Bench {
    /// Returns the medians of each job. The jobs run in turn, so that other load on the machine affects all of them.
    pub(crate) fn in_turns<const N: usize>(&self, jobs: [&Job; N]) -> Result<[Measured; N]> {
        let measured = self.in_turns_all(&jobs)?;
        measured.try_into().map_err(|_| anyhow!("a job has no figures"))
    }

    /// As [`Self::in_turns`], for any number of jobs.
    pub(crate) fn in_turns_all(&self, jobs: &[&Job]) -> Result<Vec<Measured>> {
        let earlier: Vec<_> = jobs.iter().map(|job| job.before().filter(|_| self.against)).collect();
        let mut runs = vec![[const { Vec::new() }; 2]; jobs.len()];
        for _ in 0..self.rounds {
            for ((job, earlier), [now, before]) in jobs.iter().zip(&earlier).zip(&mut runs) {
                now.push(self.measure(job)?);
                if let Some(earlier) = earlier {
                    before.push(self.measure(earlier)?);
                }
            }
        }
        let medians = |[now, before]: &[Vec<Figures>; 2]| Measured {
            now: medians(now),
            before: (!before.is_empty()).then(|| medians(before)),
        };
        Ok(runs.iter().map(medians).collect())
    }

    /// Runs each job once, and with the program given by `--against`, too.
    pub(crate) fn once_each(&self, jobs: &[&Job]) -> Result<()> {
        for job in jobs {
            self.measure(job)?;
            if let Some(earlier) = job.before().filter(|_| self.against) {
                self.measure(&earlier)?;
            }
        }
        Ok(())
    }

    /// Runs a script that isn't measured.
    pub(crate) fn once(&self, script: &str) -> Result<()> {
        let mut bash = self.postgres.client("bash");
        xtask::stdout(bash.args(["-euo", "pipefail", "-c", script])).map(drop)
    }

    /// Runs the job once.
    pub(crate) fn measure(&self, job: &Job) -> Result<Figures> {
        self.once(&job.before)?;
        let [figures, durations] = ["figures", "durations"].map(|name| self.scratch.path().join(name));
        let mut timed = self.postgres.client("time");
        timed.args(["--quiet", "--format", "%U %S %M", "--output"]).arg(&figures);
        timed.args(["bash", "-euo", "pipefail", "-c", &format!("{CALL}{}", job.script)]);
        let (requests, server_seconds) = (self.requests()?, self.postgres.cpu_seconds()?);
        let stored_bytes = self.stored_bytes(job)?;
        let began = Instant::now();
        xtask::stdout(&mut timed)?;
        let wall_seconds = began.elapsed().as_secs_f64();
        let server_seconds = self.postgres.cpu_seconds()? - server_seconds;
        let requests = self.requests()? - requests;
        let stored_bytes = self.stored_bytes(job)? - stored_bytes;

        let text = fs::read_to_string(&figures)?;
        let numbers: Vec<f64> = text.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        let [user, system, rss_kib] = numbers[..] else {
            bail!("GNU time wrote {text:?}");
        };
        let repeats = f64::from(job.repeats);
        Ok(Figures {
            wall_seconds: wall_seconds / repeats,
            cpu_seconds: (user + system + server_seconds) / repeats,
            rss_mib: rss_kib / 1024.0,
            requests: f64::from(requests) / repeats,
            stored_mib: stored_bytes / f64::from(1 << 20) / repeats,
            call_ms: median(microseconds(&fs::read_to_string(&durations)?)) / 1000.0,
        })
    }

    fn stored_bytes(&self, job: &Job) -> Result<f64> {
        let Some(path) = job.stores_into else { return Ok(0.0) };
        let mut du = self.scratch.command("bash");
        let size = xtask::stdout(du.args(["-c", &format!("[ ! -e {path} ] || du -sb {path} | cut -f 1")]))?;
        Ok(size.trim().parse().unwrap_or_default())
    }

    fn requests(&self) -> Result<u32> {
        let mut requests = 0;
        if let Some(swift) = &self.swift {
            requests += swift.requests()?.len() + swift.tokens_given()?;
        }
        if let Some(ceph) = &self.ceph {
            requests += ceph.requests()?.len();
        }
        Ok(u32::try_from(requests)?)
    }
}

/// Parses the numbers that `call` has written.
fn microseconds(text: &str) -> Vec<f64> {
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Returns the median of some values; 0 if there is none.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn medians(runs: &[Figures]) -> Figures {
    let median = |figure: fn(&Figures) -> f64| median(runs.iter().map(figure).collect());
    Figures {
        wall_seconds: median(|run| run.wall_seconds),
        cpu_seconds: median(|run| run.cpu_seconds),
        rss_mib: median(|run| run.rss_mib),
        requests: median(|run| run.requests),
        stored_mib: median(|run| run.stored_mib),
        call_ms: median(|run| run.call_ms),
    }
}
