//! The token cache: one file for each set of credentials, in a directory for this user alone.

use std::{
    fs::{self, DirBuilder},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::PathBuf,
};

use tempfile::NamedTempFile;

use super::Session;
use crate::local_file::read_regular_file;

/// More than any token has: Fernet's have some hundred bytes, and those with a catalog inside some thousand.
const MOST_BYTES: u64 = 1 << 20;

/// One token on disk, for the next process of this user with the same settings.
///
/// It is a convenience: whatever goes wrong with it costs a request to the identity service and a warning. The
/// file appears whole or not at all; one that a crash left behind under a temporary name is never read.
#[derive(Debug)]
pub(super) struct TokenCache {
    directory: PathBuf,
    file: PathBuf,
}

impl TokenCache {
    pub(super) fn new(directory: PathBuf, key: &str) -> Self {
        Self { file: directory.join(format!("{key}.json")), directory }
    }

    /// The session that is there, if any, which may have had its time.
    pub(super) fn load(&self) -> Option<Session> {
        let text = self.guarded().and_then(|()| read_regular_file(&self.file, MOST_BYTES));
        match text {
            Ok(text) => serde_json::from_slice(&text).ok(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => self.warn("read", &error),
        }
    }

    /// Replaces what is there.
    pub(super) fn store(&self, session: &Session) {
        if let Err(error) = self.try_store(session) {
            self.warn::<()>("write", &error);
        }
    }

    fn try_store(&self, session: &Session) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        self.guarded()?;
        // Made with mode 0600.
        let mut file = NamedTempFile::new_in(&self.directory)?;
        file.write_all(&serde_json::to_vec(session)?)?;
        file.persist(&self.file)?;
        Ok(())
    }

    /// Fails unless the directory is this user's alone: another could read tokens there, or lay down a file that
    /// sends our data to an account of his.
    fn guarded(&self) -> io::Result<()> {
        let directory = fs::metadata(&self.directory)?;
        let own = directory.uid() == rustix::process::geteuid().as_raw();
        if own && directory.mode() & 0o077 == 0 {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the directory must belong to this user and be closed to others (chmod 0700)",
        ))
    }

    fn warn<T>(&self, verb: &str, error: &io::Error) -> Option<T> {
        tracing::warn!(directory = %self.directory.display(), %error, "can't {verb} the token cache");
        None
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use jiff::Timestamp;

    use super::*;
    use crate::secret::Secret;

    fn session(token: &str) -> Session {
        let url = "http://swift/v1/AUTH_a".parse().unwrap();
        Session {
            token: Secret::new(token),
            storage_url: url,
            renew_at: Timestamp::MAX,
            ends_at: Timestamp::MAX,
        }
    }

    fn mode(path: &std::path::Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_token_is_found_again_under_its_key_alone() {
        let root = tempfile::tempdir().unwrap();
        TokenCache::new(root.path().join("tokens"), "a").store(&session("secret"));
        let found = TokenCache::new(root.path().join("tokens"), "a").load().unwrap();
        assert_eq!(found.token, Secret::new("secret"));
        assert!(TokenCache::new(root.path().join("tokens"), "b").load().is_none());
    }

    #[test]
    fn directory_and_file_are_for_this_user_alone_and_nothing_else_is_left() {
        let root = tempfile::tempdir().unwrap();
        let cache = TokenCache::new(root.path().join("tokens"), "a");
        cache.store(&session("first"));
        cache.store(&session("second"));
        assert_eq!(mode(&cache.directory), 0o700);
        assert_eq!(mode(&cache.file), 0o600);
        assert_eq!(fs::read_dir(&cache.directory).unwrap().count(), 1);
        assert_eq!(cache.load().unwrap().token, Secret::new("second"));
    }

    #[test]
    fn a_directory_that_others_can_enter_is_neither_written_nor_believed() {
        let root = tempfile::tempdir().unwrap();
        let cache = TokenCache::new(root.path().join("tokens"), "a");
        cache.store(&session("first"));
        fs::set_permissions(&cache.directory, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(cache.load().is_none());
        cache.store(&session("second"));
        fs::set_permissions(&cache.directory, fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(cache.load().unwrap().token, Secret::new("first"));
    }

    #[test]
    fn a_fifo_or_a_huge_file_is_ignored_and_replaced() {
        let root = tempfile::tempdir().unwrap();
        let cache = TokenCache::new(root.path().join("tokens"), "a");
        cache.store(&session("first"));
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        for replace in [
            &|| {
                rustix::fs::mknodat(rustix::fs::CWD, &cache.file, rustix::fs::FileType::Fifo, mode, 0)
                    .unwrap()
            },
            &|| fs::File::create(&cache.file).unwrap().set_len(1 << 40).unwrap(),
        ] as [&dyn Fn(); 2]
        {
            fs::remove_file(&cache.file).unwrap();
            replace();
            assert!(cache.load().is_none());
            cache.store(&session("second"));
            assert_eq!(cache.load().unwrap().token, Secret::new("second"));
        }
    }

    #[test]
    fn a_damaged_file_is_as_good_as_none() {
        let root = tempfile::tempdir().unwrap();
        let cache = TokenCache::new(root.path().join("tokens"), "a");
        cache.store(&session("first"));
        fs::write(&cache.file, "{\"token\":").unwrap();
        assert!(cache.load().is_none());
    }
}
