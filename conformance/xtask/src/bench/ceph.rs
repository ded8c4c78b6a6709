//! Measures the same work on Ceph's gateway for Swift's API, beside `curl`.

use std::sync::Arc;

use anyhow::Result;
use xtask::{Ceph, Scratch};

use super::Bench;
use super::listing::wal_names;
use super::measure::Job;
use super::swift::{ours, row, theirs, write, write_settings};
use super::table::{Limits, Row};

const OBJECTS: u32 = 10_000;
/// Starts a Ceph, and writes the files that the scripts use, `radosgw.conf` and `radosgw.sh`, as for Swift.
pub(crate) fn start(scratch: &Arc<Scratch>) -> Result<Ceph> {
    let ceph = Ceph::start(scratch, None)?;
    write_settings(scratch, ceph.client(), "radosgw", &ceph.environment_v1())?;
    Ok(ceph)
}

impl Bench {
    /// Measures archiving ten real segments, each in a process.
    pub(crate) fn archive_wal_to_ceph(&self) -> Result<Row> {
        let [ours, theirs] = self.in_turns([&ours("radosgw", ""), &theirs("radosgw")])?;
        // The gateway overwrites: the program asks whether the name is taken, and afterwards whose content is stored.
        Ok(row("Ceph (version 1, token at hand)", ours, theirs, 1.2, 3.0))
    }

    /// Measures a listing of a repository with 10,000 WAL objects and one backup.
    pub(crate) fn listing_of_ceph(&self) -> Result<Row> {
        self.measure(&Job::new("", "./swiftwal -c radosgw.conf -C listed backup -c fast -x".to_owned()))?;
        let names: String = wal_names(OBJECTS).map(|name| name + "\n").collect();
        write(&self.scratch.path().join("names"), &names)?;
        // One request stores every file of an archive. In a listing, an empty object can't be told from a large one.
        let store = "source ./radosgw.sh
            mkdir many && cd many
            while read -r name; do echo > $name; done < ../names
            tar c -T ../names > ../many.tar && cd ..
            swift 'listed?extract-archive=tar' -T many.tar";
        self.measure(&Job::new("", store.to_owned()))?;

        let list = Job::new("", "./swiftwal -c radosgw.conf -C listed list-wal > list".to_owned());
        let [ours, theirs] = self.in_turns([&list, &listing_by_curl()])?;
        Ok(Row {
            job: "list-wal over 10,000 WAL objects in Ceph".to_owned(),
            tool: "curl URL?format=json&limit=10000&marker=NAME until a page is empty".to_owned(),
            ours,
            theirs,
            limits: Limits { wall: Some(1.25), ..Limits::default() },
        })
    }
}

/// A page may be shorter than requested without being the last.
fn listing_by_curl() -> Job {
    let script = r#"source ./radosgw.sh
        last() { grep -o '"name":"[^"]*"' page | tail -n 1 | cut -d '"' -f 4; }
        marker=
        while swift "listed?format=json&limit=10000&marker=$marker" -o page && grep -q name page; do
            marker=$(last)
        done"#;
    Job::new("", script.to_owned())
}
