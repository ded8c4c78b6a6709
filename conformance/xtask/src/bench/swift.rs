//! Measures the same work on Swift, beside `curl`.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use xtask::{Environment, Scratch, Swift, SwiftOptions};

use super::Bench;
use super::listing::wal_names;
use super::measure::{Job, Measured};
use super::table::{Limits, Row};
use super::wal::{SEGMENTS, each_segment};

const OBJECTS: u32 = 20_000;
/// The delay of each request by the settings `far`.
pub(super) const DELAY: Duration = Duration::from_millis(20);

/// Starts a Swift whose objects may have the usual size, so that `curl` can store a whole backup.
///
/// In the scratch directory it writes the files that the scripts use, for version 1 and version 3 of authentication, and
/// `far` for version 1 with [`DELAY`]: `v1.conf` for swiftwal, and `v1.sh`, which defines a function
/// `swift PATH OPTION…` that runs curl on this path of the account. The container `plain` is for curl.
pub(crate) fn start(scratch: &Arc<Scratch>) -> Result<Swift> {
    let swift =
        Swift::start(scratch, SwiftOptions { max_file_bytes: 5 << 30, ..SwiftOptions::with_keystone() })?;
    write_settings(scratch, swift.client(), "v1", &swift.environment_v1())?;
    write_settings(scratch, swift.client(), "v3", &swift.environment_v3_password()?)?;
    swift.wire().delay_requests(DELAY);
    write_settings(scratch, swift.client(), "far", &swift.environment_v1().wired())?;
    Ok(swift)
}

/// Writes the files for an account, `NAME.conf` and `NAME.sh`, and creates its container `plain`.
pub(super) fn write_settings(
    scratch: &Scratch,
    mut client: Command,
    name: &str,
    environment: &Environment,
) -> Result<()> {
    let directory = scratch.path();
    let lines: String =
        environment.clone().into_iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    write(&directory.join(format!("{name}.conf")), &lines)?;
    // Shell lines with the storage's URL and a token.
    let session = xtask::stdout(client.envs(environment.clone()).arg("auth"))?;
    let function = "swift() {
        curl -sSf -H \"X-Auth-Token: $OS_AUTH_TOKEN\" \"${@:2}\" \"$OS_STORAGE_URL/$1\"\n}\n";
    write(&directory.join(format!("{name}.sh")), &format!("{session}{function}"))?;
    let make = format!("source ./{name}.sh; swift plain -X PUT");
    xtask::stdout(scratch.command("bash").arg("-c").arg(make)).map(drop)
}

pub(super) fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

impl Bench {
    /// Measures archiving ten real segments, each in a process, with a cached token and without one.
    pub(crate) fn archive_wal_to_swift(&self) -> Result<[Row; 3]> {
        let [v1, v1_curl, warm, cold, v3_curl] = self.in_turns([
            &ours("v1", ""),
            &theirs("v1"),
            &ours("v3", ""),
            // As for the first process after the token has expired.
            &ours("v3", "rm -r .local/state/swiftwal/tokens;"),
            &theirs("v3"),
        ])?;
        Ok([
            row("Swift (version 1, token at hand)", v1, v1_curl, 1.1, 1.0),
            row("Swift (Keystone, token at hand)", warm, v3_curl, 1.1, 1.0),
            row("Swift (Keystone, no token)", cold, v3_curl, 1.6, 2.0),
        ])
    }

    /// Measures listing and planning in a repository with 20,000 WAL objects and one backup.
    pub(crate) fn listings_of_swift(&self, swift: &Swift) -> Result<[Row; 2]> {
        self.measure(&Job::new("", "./swiftwal -c v1.conf -C listed backup -c fast -x".to_owned()))?;
        let names: String = wal_names(OBJECTS).map(|name| name + "\n").collect();
        let file = self.scratch.path().join("names");
        write(&file, &names)?;
        swift.list_only(&swift.account_v1(), "listed", &file)?;

        let swiftwal = "./swiftwal -c v1.conf -C listed";
        let list = Job::new("", format!("{swiftwal} list-wal > list"));
        let plan = format!("{swiftwal} prune --keep-backups 1 --keep-wals 0 --dry-run > list");
        let [list, plan, curl] = self.in_turns([&list, &Job::new("", plan), &listing_by_curl()])?;
        let row = |command: &str, ours, limits| Row {
            job: format!("{command} over 20,000 WAL objects in Swift"),
            tool: "curl URL?format=json&marker=NAME, three times".to_owned(),
            ours,
            theirs: curl,
            limits,
        };
        Ok([
            row("list-wal", list, Limits { wall: Some(1.25), requests: Some(3.0), ..Limits::default() }),
            // Besides listings and records: one for each object of the backup that is kept, since a listing may show
            // what is gone, and one for each name of the next timeline's history.
            row("prune -n", plan, Limits { requests: Some(14.0), ..Limits::default() }),
        ])
    }
}

/// A job that archives into a new prefix in each run, since only new segments are stored. The first segment, which
/// creates the repository, isn't measured.
pub(super) fn ours(settings: &str, before_each: &str) -> Job {
    let swiftwal = format!("./swiftwal -c {settings}.conf --repository swift://wal/$(cat run) archive-wal");
    let before = format!("date +%s%N > run; {swiftwal} segments/$(ls segments | head -n 1)");
    Job::new(before, each_segment(&format!("{before_each} {swiftwal} segments/$name"))).repeats(SEGMENTS)
}

pub(super) fn theirs(settings: &str) -> Job {
    let each = each_segment("zstd -1 -q -c segments/$name | swift plain/$(cat run)/$name.zst -T -");
    Job::new("date +%s%N > run", format!("source ./{settings}.sh; {each}")).repeats(SEGMENTS)
}

pub(super) fn row(to: &str, ours: Measured, theirs: Measured, wall: f64, requests: f64) -> Row {
    Row {
        job: format!("archive-wal of a 16 MiB segment to {to}"),
        tool: "zstd -1 -c SEGMENT | curl -T - URL".to_owned(),
        ours,
        theirs,
        limits: Limits {
            wall: Some(wall),
            rss_mib: Some(32.0),
            requests: Some(requests),
            ..Limits::default()
        },
    }
}

fn listing_by_curl() -> Job {
    let script = r#"source ./v1.sh
        marker=
        for page in 1 2 3; do
            swift "listed?format=json&limit=10000&marker=$marker" -o page
            marker=$(grep -o '"name": "[^"]*"' page | tail -n 1 | cut -d '"' -f 4)
        done"#;
    Job::new("", script.to_owned())
}
