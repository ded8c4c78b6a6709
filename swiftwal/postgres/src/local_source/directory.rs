//! The data directory on this host, and the proof that it is the server's.
//!
//! Another directory would give a backup that looks complete and is wrong: a standby's, for example, has the same path and
//! the same system identifier as the primary's on another host. So the process that the directory names must run here, in
//! that very directory, with the same mounts as this process, and must have the session's process as its child; and the
//! checkpoint with which the backup begins must be found in the directory.

use std::{
    fs::{self, Metadata},
    io,
    path::{Path, PathBuf},
};

use bytes::Bytes;

use super::{
    failure::{OTHER_METHOD, shown, unexpected, unreadable},
    postmaster::Postmaster,
    server::Cluster,
    walk::{Tree, existing},
};
use crate::{ControlFile, Lsn, SourceError, SourceErrorKind, Tablespace, relation_file::is_digits};

const CONTROL: &str = "global/pg_control";

/// How often the control file is read until two readings agree. The server writes it rarely.
const MOST_READINGS: usize = 100;

/// A data directory that this process may read.
#[derive(Debug, Clone)]
pub(super) struct DataDirectory {
    pub(super) path: PathBuf,
    control: ControlFile,
}

impl DataDirectory {
    /// Opens the directory of a server, and checks that it belongs to the server's cluster and to a running process.
    pub(super) fn open(cluster: &Cluster) -> Result<Self, SourceError> {
        Self::open_by(cluster, Path::new("/proc"))
    }

    fn open_by(cluster: &Cluster, processes: &Path) -> Result<Self, SourceError> {
        let path = cluster.data_directory.clone();
        let control = fs::read(path.join(CONTROL)).map_err(|error| refused(&path, error))?;
        let control = ControlFile::parse(&control).map_err(|error| {
            unexpected(format!("can't read {CONTROL} in {}", shown(&path))).caused_by(error)
        })?;
        if control.system_identifier != cluster.system_identifier {
            let (found, wanted) = (control.system_identifier, cluster.system_identifier);
            let why = format!("it belongs to the cluster {found}, and the server is of the cluster {wanted}");
            return Err(not_the_servers(&path, &why));
        }
        let postmaster = Postmaster::read(&path).map_err(|error| refused(&path, error))?;
        let Some(postmaster) = postmaster.filter(|postmaster| postmaster.started_at(cluster.started)) else {
            return Err(not_the_servers(&path, "its postmaster.pid isn't that of the server"));
        };
        match postmaster.obstacle(processes, &path, cluster.backend) {
            None => Ok(Self { path, control }),
            Some(why) => Err(not_the_servers(&path, why)),
        }
    }

    /// Checks that the checkpoint of a backup that starts at `start` is in the directory.
    pub(super) fn check_started(&self, start: Lsn) -> Result<(), SourceError> {
        let (control, _) = self.read_control()?;
        match ControlFile::checkpoint_redo(&control) {
            Some(redo) if redo >= start => Ok(()),
            _ => Err(not_the_servers(
                &self.path,
                &format!("it lacks the checkpoint at {start} that the server has just made"),
            )),
        }
    }

    /// Reads the control file, as the server last wrote it.
    pub(super) fn read_control(&self) -> Result<(Bytes, Metadata), SourceError> {
        let path = self.path.join(CONTROL);
        let read = || fs::read(&path).map_err(|error| unreadable(&path, error));
        let metadata = fs::metadata(&path).map_err(|error| unreadable(&path, error))?;
        let mut content = read()?;
        for _ in 0..MOST_READINGS {
            let again = read()?;
            if again == content {
                return Ok((content.into(), metadata));
            }
            content = again;
        }
        Err(unexpected(format!("{} changes whenever it is read", shown(&path))))
    }

    /// Returns the tablespaces outside of the data directory's tree, in the order of their numbers.
    pub(super) fn tablespaces(&self) -> Result<Vec<Tablespace>, SourceError> {
        let links = self.path.join("pg_tblspc");
        let listing = fs::read_dir(&links).map_err(|error| unreadable(&links, error))?;
        let mut tablespaces = Vec::new();
        for entry in listing {
            let name = entry.map_err(|error| unreadable(&links, error))?.file_name();
            let Some(oid) = name.to_str().filter(|name| is_digits(name)).and_then(|name| name.parse().ok())
            else {
                continue;
            };
            let link = links.join(&name);
            match existing(fs::read_link(&link)) {
                Ok(Some(location)) => tablespaces.push(tablespace(oid, &location)?),
                // One in place is a directory, which is part of the data directory.
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
                Err(error) => return Err(unreadable(&link, error)),
            }
        }
        tablespaces.sort_unstable_by_key(|tablespace| tablespace.oid);
        Ok(tablespaces)
    }

    /// Returns the tree of the data directory itself.
    pub(super) fn tree(&self, tablespaces: &[Tablespace]) -> Tree {
        let emptied = tablespaces.iter().map(|tablespace| PathBuf::from(&tablespace.location)).collect();
        Tree::whole(&self.path, emptied)
    }

    /// Returns the tree of a tablespace: the directory in it that belongs to this version of PostgreSQL.
    pub(super) fn tablespace_tree(&self, tablespace: &Tablespace, major_version: &str) -> Tree {
        let prefix = Path::new("pg_tblspc").join(tablespace.oid.to_string());
        Tree {
            directory: PathBuf::from(&tablespace.location),
            link: Some(self.path.join(&prefix)),
            prefix,
            part: format!("PG_{major_version}_{}", self.control.catalog_version).into(),
            emptied: Vec::new(),
        }
    }
}

fn tablespace(oid: u32, location: &Path) -> Result<Tablespace, SourceError> {
    match location.to_str() {
        Some(text) if location.is_absolute() => Ok(Tablespace { oid, location: text.to_owned() }),
        _ => Err(SourceError::new(
            SourceErrorKind::Tablespaces,
            format!(
                "the tablespace {oid} in {} can't be backed up: the name of its directory isn't an absolute path in UTF-8",
                shown(location)
            ),
        )),
    }
}

/// The error of a directory whose files can't be read.
fn refused(path: &Path, error: io::Error) -> SourceError {
    match error.kind() {
        io::ErrorKind::NotFound => {
            not_the_servers(path, "on this host, it isn't the directory of a running server")
        }
        _ => unreadable(path, error),
    }
}

fn not_the_servers(path: &Path, why: &str) -> SourceError {
    let message = format!("{} can't be backed up as the server's data directory: {why}", shown(path));
    let hint = format!("run this on the server's host, {OTHER_METHOD}");
    SourceError::new(SourceErrorKind::Failed, message).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::{super::postmaster::served, *};

    const PG_CONTROL: &[u8] = include_bytes!("../../tests/data/pg_control");
    const STARTED: i64 = 1_795_948_572;

    /// Makes a directory that the running process seems to serve.
    fn directory(parent: &Path) -> Cluster {
        let path = parent.join("data");
        for name in ["global", "pg_tblspc/16388"] {
            fs::create_dir_all(path.join(name)).unwrap();
        }
        fs::write(path.join(CONTROL), PG_CONTROL).unwrap();
        write_pid(&path, 7);
        served(&parent.join("proc"), &path);
        Cluster {
            data_directory: path,
            started: STARTED + 2,
            system_identifier: ControlFile::parse(PG_CONTROL).unwrap().system_identifier,
            page_bytes: 8192,
            segment_blocks: 131_072,
            data_checksums: true,
            backend: 8,
        }
    }

    fn open(parent: &Path, cluster: &Cluster) -> Result<DataDirectory, SourceError> {
        DataDirectory::open_by(cluster, &parent.join("proc"))
    }

    fn write_pid(path: &Path, pid: u32) {
        fs::write(path.join("postmaster.pid"), format!("{pid}\n{}\n{STARTED}\n5432\n", path.display()))
            .unwrap();
    }

    fn refusal(parent: &Path, cluster: &Cluster) -> String {
        let error = open(parent, cluster).unwrap_err();
        assert!(error.hint().unwrap().contains("--method replication"), "{error}");
        error.to_string()
    }

    #[test]
    fn only_the_directory_of_the_running_server_is_accepted() {
        let parent = tempfile::tempdir().unwrap();
        let cluster = directory(parent.path());
        assert!(open(parent.path(), &cluster).is_ok());
        let other = Cluster { system_identifier: 7, ..cluster.clone() };
        assert!(refusal(parent.path(), &other).contains("the server is of the cluster 7"));
        let later = Cluster { started: STARTED + 3600, ..cluster.clone() };
        assert!(refusal(parent.path(), &later).contains("postmaster.pid"));
        let elsewhere = Cluster { data_directory: parent.path().join("nowhere"), ..cluster.clone() };
        assert!(refusal(parent.path(), &elsewhere).contains("it isn't the directory of a running server"));
        write_pid(&cluster.data_directory, 9);
        assert!(refusal(parent.path(), &cluster).contains("can't be seen"));
        write_pid(&cluster.data_directory, 7);
        let standby = Cluster { backend: 10, ..cluster.clone() };
        assert!(refusal(parent.path(), &standby).contains("that of another server"));
        fs::remove_file(cluster.data_directory.join("postmaster.pid")).unwrap();
        assert!(refusal(parent.path(), &cluster).contains("it isn't the directory of a running server"));
    }

    #[test]
    fn a_directory_without_the_checkpoint_of_the_backup_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let directory = open(parent.path(), &directory(parent.path())).unwrap();
        let redo = ControlFile::checkpoint_redo(PG_CONTROL).unwrap();
        assert!(directory.check_started(redo).is_ok());
        let error = directory.check_started(Lsn(redo.0 + 1)).unwrap_err().to_string();
        assert!(error.contains("it lacks the checkpoint at"), "{error}");
    }

    #[test]
    fn tablespaces_are_the_links_with_numbers() {
        let parent = tempfile::tempdir().unwrap();
        let cluster = directory(parent.path());
        let links = cluster.data_directory.join("pg_tblspc");
        symlink("/space/two", links.join("16500")).unwrap();
        symlink("/space/one", links.join("16400")).unwrap();
        symlink("/elsewhere", links.join("odd")).unwrap();
        let directory = open(parent.path(), &cluster).unwrap();
        let found = directory.tablespaces().unwrap();
        assert_eq!(
            found.iter().map(|found| (found.oid, found.location.as_str())).collect::<Vec<_>>(),
            [(16400, "/space/one"), (16500, "/space/two")]
        );
        let tree = directory.tablespace_tree(&found[0], "15");
        assert_eq!(tree.part, Path::new("PG_15_202209061"));
        assert_eq!(tree.prefix, Path::new("pg_tblspc/16400"));
        symlink("relative", links.join("16600")).unwrap();
        assert_eq!(directory.tablespaces().unwrap_err().kind(), SourceErrorKind::Tablespaces);
    }
}
