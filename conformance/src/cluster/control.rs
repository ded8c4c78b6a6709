//! The file `global/pg_control` of the synthetic cluster.

use std::{fs, io, path::Path, process};

use super::SyntheticCluster;

const FILE_BYTES: usize = 8192;

impl SyntheticCluster {
    /// Writes the files by which the data directory of a running server of this cluster is recognised. The server, which
    /// is this process, "stops" when `postmaster.pid` is removed.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub fn run_in(&self, directory: &Path) -> io::Result<()> {
        fs::create_dir_all(directory.join("global"))?;
        fs::create_dir_all(directory.join("pg_wal"))?;
        fs::write(directory.join("PG_VERSION"), self.version().number())?;
        fs::write(directory.join("global/pg_control"), control_file(self))?;
        fs::write(directory.join("postmaster.pid"), format!("{}\n", process::id()))
    }
}

/// Returns the bytes of the file, in this machine's order: the identity of the cluster and its settings from initdb,
/// each field where PostgreSQL 12 and later store it. The rest, including the checksum, is zero, since no server reads
/// it.
///
/// Source: `ControlFileData` in PostgreSQL's `src/include/catalog/pg_control.h`.
pub(super) fn control_file(cluster: &SyntheticCluster) -> Vec<u8> {
    let mut file = vec![0; FILE_BYTES];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &cluster.system_identifier().to_ne_bytes());
    put(8, &1300_u32.to_ne_bytes()); // pg_control_version
    put(12, &202_209_061_u32.to_ne_bytes()); // catalog_version_no
    put(48, &cluster.timeline().get().to_ne_bytes()); // checkPointCopy.ThisTimeLineID
    put(244, &8_u32.to_ne_bytes()); // maxAlign
    put(248, &1_234_567.0_f64.to_ne_bytes()); // floatFormat
    put(256, &8192_u32.to_ne_bytes()); // blcksz
    put(260, &131_072_u32.to_ne_bytes()); // relseg_size
    put(264, &8192_u32.to_ne_bytes()); // xlog_blcksz
    put(268, &(cluster.segment_size().bytes() as u32).to_ne_bytes()); // xlog_seg_size
    file
}

#[cfg(test)]
mod tests {
    use swiftwal_postgres::ControlFile;

    use super::*;

    #[test]
    fn the_control_file_is_read_as_one() {
        let cluster = SyntheticCluster::new(1);
        let control = ControlFile::parse(&control_file(&cluster)).unwrap();
        assert_eq!(control.system_identifier, cluster.system_identifier());
        assert_eq!(control.segment_size, cluster.segment_size());
    }
}
