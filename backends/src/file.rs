//! The backend `file://`: a repository in a directory. The registry opens it.

mod create;
mod delete;
mod durable;
mod error;
mod file_system;
mod listing;
mod root;
mod store;
mod sweep;
mod top;
mod trace;
mod walk;
mod write_error;

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use object_store::local::LocalFileSystem;
use rustix::{
    fs::{Access, AtFlags, CWD, accessat},
    process::geteuid,
};
use swiftwal_core::{Backend, Limits, OpenError, Options, SeenRepository, StateDir, Storage, user_name};
use url::Url;

use self::{
    file_system::FileSystem, root::Root, store::FileStore, sweep::FileSweep, top::FileTop,
    write_error::write_hint,
};

/// Storage in a directory, `file:///dir`: one file per object.
///
/// What it acknowledges survives a loss of power: files and the directories that name them are flushed first. A killed
/// process leaves a file whose name ends in `#` and digits; no listing shows it, and the sweep finds it. Directories
/// are created with mode 0700. A file's mode is 0666 less the process's umask, so a program that stores databases must
/// set the umask to 077 before it starts threads.
///
/// The file system must support flushing directories and, for a put that must not overwrite, hard links.
#[derive(Clone, Copy, Debug)]
pub struct LocalFile;

impl LocalFile {
    /// The part size. Each part is written as soon as it arrives, so a larger one would only cost memory.
    const PART_BYTES: usize = 2 << 20;
}

impl Backend for LocalFile {
    fn schemes(&self) -> &'static [&'static str] {
        &["file"]
    }

    /// Opens the directory, which must exist and be searchable; to list it, it must be readable too.
    ///
    /// With [`Options::create`] it must be readable and writable, and is created if only its last component is missing and
    /// this machine, according to [`Options::state`], has never seen a repository there. Its parent is never created: that
    /// would hide that a disk isn't mounted. Root is refused in another user's directory, since that user couldn't
    /// read what root stores.
    fn open(&self, location: &Url, options: &Options) -> Result<Storage, OpenError> {
        let dir = directory(location)?;
        let state_dir = options.state.as_deref().map(|state| state_dir(state, &dir));
        let seen = || state_dir.as_ref().and_then(StateDir::seen);
        if options.create && (options.anew || dir.exists() || seen().is_none()) {
            make(location, &dir)?;
        }
        let root = usable(location, &dir, options.create, seen)?;
        if options.create {
            not_roots_in_anothers(location, &dir)?;
        }
        warn_of_open_directory(&dir);
        let files = LocalFileSystem::new_with_prefix(root.path())
            .map_err(|source| unavailable(location, "can't resolve the directory's path", source))?;
        let root = Arc::new(root);
        let store = FileStore::new(files.with_fsync(true), Arc::clone(&root));
        let storage = Storage::new(Arc::new(store.clone()))
            .with_create_in_parts(Arc::new(store))
            .with_sweep(Arc::new(FileSweep::new(Arc::clone(&root))))
            .with_top_names(Arc::new(FileTop::new(Arc::clone(&root))))
            .with_clock(Arc::new(FileSystem::new(Arc::clone(&root))))
            .with_space(Arc::new(FileSystem::new(root)))
            .with_limits(Limits { part_bytes: Self::PART_BYTES, ..Limits::default() })
            .with_hints(error::hint);
        Ok(match state_dir {
            Some(state_dir) => storage.with_state_dir(state_dir),
            None => storage,
        })
    }
}

fn unavailable(
    location: &Url,
    reason: impl Into<String>,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> OpenError {
    OpenError::unavailable(location, reason, Some(source.into()))
}

/// The hint for a directory that this user may not use.
const GIVE_IT: &str = "give it to the user that this program runs as";

/// The state directory of the repository in `dir`, the same for each spelling of the URL.
fn state_dir(state: &Path, dir: &Path) -> StateDir {
    let dir: PathBuf = dir.components().collect();
    let place = Url::from_file_path(&dir).map_or_else(|()| dir.display().to_string(), String::from);
    StateDir::of_place(state, &place)
}

fn directory(location: &Url) -> Result<PathBuf, OpenError> {
    let invalid = |reason: &str| OpenError::invalid_location(location, reason);
    if location.host_str().is_some() {
        return Err(invalid("write three slashes and an absolute path, as in file:///dir"));
    }
    if location.query().is_some() || location.fragment().is_some() {
        return Err(invalid("write '?' in a directory's name as %3F and '#' as %23"));
    }
    location.to_file_path().map_err(|()| invalid("it isn't the path of a directory, as in file:///dir"))
}

/// Creates `dir` durably unless it exists.
fn make(location: &Url, dir: &Path) -> Result<(), OpenError> {
    let parent = dir.parent().unwrap_or(dir);
    let made = match fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => Err(error),
        Ok(()) => durable::sync(parent),
    };
    made.map_err(|source| {
        let hint = match source.kind() {
            kind if write_hint(kind).is_some() => write_hint(kind).unwrap_or_default(),
            io::ErrorKind::NotFound => {
                "mount its disk, or create it: only the last directory of the path is created automatically"
            }
            io::ErrorKind::PermissionDenied => {
                "create the directory yourself and give it to the user that this program runs as"
            }
            _ => "create the directory yourself, or name another",
        };
        let reason = format!("can't create the directory in {}", parent.display());
        unavailable(location, reason, source).with_hint(hint)
    })
}

/// Opens `dir` if it is a directory whose files this process may read, and which it may write to if `writable`. `seen`
/// returns the repository that was there before.
fn usable(
    location: &Url,
    dir: &Path,
    writable: bool,
    seen: impl FnOnce() -> Option<SeenRepository>,
) -> Result<Root, OpenError> {
    let root = Root::open(dir).map_err(|source| {
        let (reason, hint) = match source.kind() {
            io::ErrorKind::NotFound => missing(writable, seen()),
            io::ErrorKind::NotADirectory => {
                ("it isn't a directory".to_owned(), "name a directory".to_owned())
            }
            _ => ("can't open the directory".to_owned(), GIVE_IT.to_owned()),
        };
        unavailable(location, reason, source).with_hint(hint)
    })?;
    // A reader can open an object by its name even if it can't list the directory. A process that stores must be able
    // to read the directory, since it flushes it.
    let (access, verb) = if writable {
        (Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK, "read and write to")
    } else {
        (Access::EXEC_OK, "search")
    };
    accessat(CWD, root.path(), access, AtFlags::EACCESS).map_err(|errno| {
        let source = io::Error::from(errno);
        let hint = write_hint(source.kind()).unwrap_or(GIVE_IT);
        unavailable(location, format!("can't {verb} the directory"), source).with_hint(hint)
    })?;
    Ok(root)
}

/// Returns the reason and the hint for a directory that doesn't exist.
fn missing(to_store: bool, seen: Option<SeenRepository>) -> (String, String) {
    let Some(seen) = seen else {
        let hint = "is its disk mounted? The first command that stores something creates the directory";
        return ("the directory doesn't exist".to_owned(), hint.to_owned());
    };
    let anew = if to_store { " To start a new repository there, run this once with --create" } else { "" };
    let reason = format!(
        "the directory doesn't exist, but on {} the repository of the PostgreSQL cluster with system identifier {} was \
         there",
        seen.date(),
        seen.system_identifier,
    );
    (reason, format!("is its disk mounted?{anew}"))
}

/// Warns if every user could delete a backup or replace it with a forged one.
fn warn_of_open_directory(dir: &Path) {
    if fs::metadata(dir).is_ok_and(|directory| directory.mode() & 0o002 != 0) {
        let dir = dir.display();
        tracing::warn!("every user can write to the repository's directory {dir}; run chmod o-w {dir}");
    }
}

/// Refuses to let root store in another user's directory. Only the owner of an object can read it, so the server could
/// neither read nor archive again a segment that root has archived.
fn not_roots_in_anothers(location: &Url, dir: &Path) -> Result<(), OpenError> {
    let unknown = |source| unavailable(location, "can't look up its owner", source);
    let owner = fs::metadata(dir).map_err(unknown)?.uid();
    if !geteuid().is_root() || owner == geteuid().as_raw() {
        return Ok(());
    }
    let owner = user_name(owner);
    let error = unavailable(
        location,
        format!("the directory belongs to user {owner}"),
        "that user couldn't read what root would store there",
    );
    Err(error.with_hint(format!("run this as that user, for example with sudo -u '{owner}'")))
}
