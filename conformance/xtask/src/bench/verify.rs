//! Measures verify, beside `zstd -t` on all cores and BLAKE3.

use anyhow::Result;

use super::Bench;
use super::backup::RSS_MIB;
use super::measure::{Job, NOW};
use super::place::Place;
use super::restore::KEY;
use super::table::{self, Limits, Row};

/// The largest wall time, as a multiple of the other tools': verify is to reach eight tenths of their speed.
const WALL: f64 = 1.25;

impl Bench {
    /// Verifies the latest backup, and prints what that costs. `size` describes the cluster.
    pub(super) fn verifies(&self, place: &Place, size: &str) -> Result<()> {
        // zstd tests a file in one thread, so there is a part for each core.
        let parts = "rm -rf parts; mkdir parts
            bytes=$(zstd -dcq base.tar.zst | wc -c)
            zstd -dcq base.tar.zst |
                split -b $((bytes / $(nproc) + 1)) --filter='zstd -1 -q > $FILE.zst' - parts/";
        self.once(parts)?;
        let swiftwal = place.swiftwal.replace(NOW, "$PWD/swiftwal");
        let ours = Job::new("sync", format!("{swiftwal} verify {KEY}"));
        let test = "cd parts; ls | xargs -P $(nproc) -n 1 zstd -tq";
        let stored = Job::new("sync", format!("{test}; b3sum * > /dev/null"));
        let content = "cd parts; ls | xargs -P $(nproc) -n 1 sh -c 'zstd -dcq \"$0\" | b3sum' > /dev/null";
        let content = Job::new("sync", content.to_owned());
        let measured = self.in_turns([&ours, &stored, &content])?;
        self.once("rm -rf parts")?;
        let [ours, theirs @ ..] = measured;
        let tools = [
            ("zstd -t on all cores; b3sum of what is stored", None),
            ("zstd -dc | b3sum on all cores", Some(WALL)),
        ];
        for ((tool, wall), theirs) in tools.into_iter().zip(theirs) {
            table::row(&Row {
                job: format!("verify of {size} in {}", place.name),
                tool: tool.to_owned(),
                ours,
                theirs,
                limits: Limits { wall, rss_mib: Some(RSS_MIB), ..Limits::default() },
            });
        }
        Ok(())
    }
}
