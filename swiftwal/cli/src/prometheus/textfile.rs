//! Metrics in a file for the textfile collector of Prometheus' node_exporter.
//!
//! Several commands update one file, and each keeps what the others wrote. They may do so at the same time, so the file's
//! directory is locked meanwhile.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};
use swiftwal_core::{publish_for_everyone, read_regular_file};

use super::metrics::{BUILD_INFO, Metric};
use crate::within::within;

/// The largest file that is read: a wrong path may name anything.
const MOST_BYTES: u64 = 1 << 20;
/// How long an update may take. Its disk may hang, and another process that hangs may have the lock.
const LIMIT: Duration = Duration::from_secs(5);

/// A file with the metrics of one repository.
#[derive(Clone, Debug)]
pub(crate) struct Textfile {
    path: PathBuf,
    /// The value of the label `repository`.
    repository: String,
}

/// What happens to a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Change {
    Set(f64),
    /// Set, unless it is larger already.
    Raise(f64),
    Remove,
}

/// The lines of a file, by metric.
#[derive(Debug, Default, PartialEq, Eq)]
struct Families(BTreeMap<String, Family>);

/// A metric, with its lines.
#[derive(Debug, Default, PartialEq, Eq)]
struct Family {
    comments: Vec<String>,
    samples: Vec<String>,
}

impl Textfile {
    /// `repository` is a URL without secrets.
    pub(crate) fn new(path: &Path, repository: &str) -> Self {
        Self { path: path.to_owned(), repository: repository.to_owned() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Changes these metrics, and keeps all others. Every reader sees a complete file, also after a crash.
    ///
    /// # Errors
    ///
    /// Those of the system; [`io::ErrorKind::TimedOut`] if it takes too long.
    pub(crate) fn update(&self, changes: Vec<(Metric, Change)>) -> io::Result<()> {
        let textfile = self.clone();
        let updated = within("textfile", LIMIT, move || textfile.update_now(&changes));
        updated.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
    }

    fn update_now(&self, changes: &[(Metric, Change)]) -> io::Result<()> {
        let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let lock = File::open(directory.unwrap_or(Path::new(".")))?;
        flock(&lock, FlockOperation::LockExclusive)?;
        let mut families = match read_regular_file(&self.path, MOST_BYTES) {
            Ok(content) => Families::parse(&String::from_utf8_lossy(&content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Families::default(),
            Err(error) => return Err(error),
        };
        for (metric, change) in changes {
            families.change(metric, &self.labels(""), *change);
        }
        let version = format!("version=\"{}\",", env!("CARGO_PKG_VERSION"));
        families.change(&BUILD_INFO, &self.labels(&version), Change::Set(1.0));
        publish_for_everyone(&self.path, families.text().as_bytes())
    }

    fn labels(&self, more: &str) -> String {
        let escaped = self.repository.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        format!("{{{more}repository=\"{escaped}\"}}")
    }
}

impl Families {
    /// Takes the lines that are metrics. Others, which node_exporter wouldn't accept either, are left out.
    fn parse(text: &str) -> Self {
        let mut families = Self::default();
        for line in text.lines() {
            let comment = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE "));
            let name = comment.unwrap_or(line).split(['{', ' ']).next().unwrap_or_default();
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
            let is_sample = || value_of(line).is_some();
            if name.is_empty() || !name.chars().all(is_name) || comment.is_none() && !is_sample() {
                continue;
            }
            let family = families.0.entry(name.to_owned()).or_default();
            let lines = if comment.is_some() { &mut family.comments } else { &mut family.samples };
            lines.push(line.to_owned());
        }
        families.0.retain(|_, family| !family.samples.is_empty());
        families
    }

    fn change(&mut self, metric: &Metric, labels: &str, change: Change) {
        let name = metric.name.as_ref();
        let before = self.0.get(name).and_then(|family| value_of(family.samples.last()?));
        let value = match change {
            Change::Set(value) => value,
            Change::Raise(value) => value.max(before.unwrap_or(value)),
            Change::Remove => {
                self.0.remove(name);
                return;
            }
        };
        let comments = vec![format!("# HELP {name} {}", metric.help), format!("# TYPE {name} gauge")];
        let samples = vec![format!("{name}{labels} {value}")];
        self.0.insert(name.to_owned(), Family { comments, samples });
    }

    fn text(&self) -> String {
        let lines = self.0.values().flat_map(|family| family.comments.iter().chain(&family.samples));
        lines.flat_map(|line| [line.as_str(), "\n"]).collect()
    }
}

/// Returns the value at the end of a sample.
fn value_of(sample: &str) -> Option<f64> {
    sample.rsplit_once(' ')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, thread};

    use super::*;
    use crate::prometheus::metrics::{BACKUP_SIZE, BACKUPS, RunMetrics, WAL_HOLES};

    fn textfile() -> (tempfile::TempDir, Textfile) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("swiftwal.prom");
        (directory, Textfile::new(&path, "swift://a\"b\\c"))
    }

    fn content(textfile: &Textfile) -> String {
        fs::read_to_string(textfile.path()).unwrap()
    }

    #[test]
    fn each_update_keeps_what_others_wrote_and_every_user_can_read_the_file() {
        let (directory, textfile) = textfile();
        textfile.update(vec![(BACKUP_SIZE, Change::Set(5.0))]).unwrap();
        textfile.update(vec![(WAL_HOLES, Change::Set(0.0)), (BACKUPS, Change::Set(2.0))]).unwrap();
        textfile.update(vec![(BACKUPS, Change::Remove)]).unwrap();
        let text = content(&textfile);
        let labels = r#"repository="swift://a\"b\\c"}"#;
        let version = env!("CARGO_PKG_VERSION");
        let expected = [
            "# HELP swiftwal_backup_size_bytes Size of the data of the newest backup, before compression.",
            "# TYPE swiftwal_backup_size_bytes gauge",
            &format!("swiftwal_backup_size_bytes{{{labels} 5"),
            "# HELP swiftwal_build_info The version of swiftwal that updated this file last; always 1.",
            "# TYPE swiftwal_build_info gauge",
            &format!("swiftwal_build_info{{version=\"{version}\",{labels} 1"),
            "# HELP swiftwal_wal_holes Number of holes in the stored WAL.",
            "# TYPE swiftwal_wal_holes gauge",
            &format!("swiftwal_wal_holes{{{labels} 0"),
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
        assert_eq!(fs::metadata(textfile.path()).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_metric_of_a_newer_version_stays_and_what_is_no_metric_goes() {
        let (_directory, textfile) = textfile();
        let newer =
            "# HELP swiftwal_newer Later.\n# TYPE swiftwal_newer counter\nswiftwal_newer{a=\"b c\"} 3\n";
        fs::write(textfile.path(), format!("{newer}garbage\n<<<<\n# HELP alone\nswiftwal_cut{{a=")).unwrap();
        textfile.update(vec![(WAL_HOLES, Change::Set(1.0))]).unwrap();
        let text = content(&textfile);
        assert!(text.contains(newer) && text.lines().count() == 9, "{text}");
    }

    #[test]
    fn a_time_is_raised_and_never_set_back() {
        let (_directory, textfile) = textfile();
        let metric = || RunMetrics { command: "backup" }.last_success();
        for (value, expected) in [(100.0, " 100\n"), (50.0, " 100\n"), (150.5, " 150.5\n")] {
            textfile.update(vec![(metric(), Change::Raise(value))]).unwrap();
            assert!(content(&textfile).contains(expected), "{}", content(&textfile));
        }
    }

    #[test]
    fn updates_at_the_same_time_lose_nothing() {
        let (_directory, textfile) = textfile();
        thread::scope(|scope| {
            for command in ["a", "b", "c", "d", "e", "f"] {
                let textfile = &textfile;
                let metric = RunMetrics { command }.last_success();
                scope.spawn(move || textfile.update(vec![(metric, Change::Set(1.0))]).unwrap());
            }
        });
        assert_eq!(content(&textfile).matches("_last_success_timestamp_seconds{").count(), 6);
    }

    #[test]
    fn a_directory_that_is_missing_is_an_error() {
        let textfile = Textfile::new(Path::new("/nonexistent/a.prom"), "x");
        assert_eq!(textfile.update(Vec::new()).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
