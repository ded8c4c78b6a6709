//! The token cache: one file for each set of credentials, in a directory that only this user can read.

use std::{io, path::PathBuf};

use super::Session;
use crate::private_directory::PrivateDirectory;

/// More than any token has: Fernet tokens have a few hundred bytes, tokens that contain a catalog a few thousand.
const MOST_BYTES: u64 = 1 << 20;

/// A token on disk, for the next process of this user with the same settings.
///
/// A failure of the cache costs one request to the identity service and a warning, nothing else. The file appears
/// complete or not at all; one that a crash left under a temporary name is never read.
#[derive(Debug)]
pub(super) struct TokenCache {
    directory: PrivateDirectory,
    /// The name of the file.
    name: String,
}

impl TokenCache {
    pub(super) fn new(directory: PathBuf, key: &str) -> Self {
        Self { directory: PrivateDirectory::new(directory), name: format!("{key}.json") }
    }

    /// The cached session, if any, which may have expired.
    pub(super) fn load(&self) -> Option<Session> {
        let text = self.directory.read(&self.name, MOST_BYTES);
        match text {
            Ok(text) => {
                let session = serde_json::from_slice::<Session>(&text).ok();
                session.map(|session| Session { is_cached: true, ..session })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => self.warn("read", &error),
        }
    }

    /// Stores a session in place of the cached one.
    pub(super) fn store(&self, session: &Session) {
        if let Err(error) = self.try_store(session) {
            self.warn::<()>("write", &error);
        }
    }

    fn try_store(&self, session: &Session) -> io::Result<()> {
        self.directory.replace(&self.name, &serde_json::to_vec(session)?)
    }

    fn warn<T>(&self, verb: &str, error: &io::Error) -> Option<T> {
        tracing::warn!(directory = %self.directory.path().display(), %error, "can't {verb} the token cache");
        None
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use jiff::Timestamp;

    use super::*;
    use crate::secret::Secret;

    fn file(cache: &TokenCache) -> PathBuf {
        cache.directory.path().join(&cache.name)
    }

    fn session(token: &str) -> Session {
        let url = "http://swift/v1/AUTH_a".parse().unwrap();
        Session {
            token: Secret::new(token),
            storage_url: url,
            renew_at: Timestamp::MAX,
            ends_at: Timestamp::MAX,
            is_cached: false,
        }
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
    fn a_directory_that_others_can_enter_is_neither_written_nor_believed() {
        let root = tempfile::tempdir().unwrap();
        let cache = TokenCache::new(root.path().join("tokens"), "a");
        cache.store(&session("first"));
        fs::set_permissions(cache.directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(cache.load().is_none());
        cache.store(&session("second"));
        fs::set_permissions(cache.directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(cache.load().unwrap().token, Secret::new("first"));
    }

    #[test]
    fn a_file_that_others_can_read_is_ignored_and_replaced() {
        let root = tempfile::tempdir().unwrap();
        let cache = TokenCache::new(root.path().join("tokens"), "a");
        cache.store(&session("first"));
        fs::set_permissions(file(&cache), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(cache.load().is_none());
        cache.store(&session("second"));
        assert_eq!(cache.load().unwrap().token, Secret::new("second"));
    }

    #[test]
    fn a_fifo_or_a_huge_file_is_ignored_and_replaced() {
        let root = tempfile::tempdir().unwrap();
        let cache = TokenCache::new(root.path().join("tokens"), "a");
        cache.store(&session("first"));
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        for replace in [
            &|| {
                rustix::fs::mknodat(rustix::fs::CWD, file(&cache), rustix::fs::FileType::Fifo, mode, 0)
                    .unwrap()
            },
            &|| fs::File::create(file(&cache)).unwrap().set_len(1 << 40).unwrap(),
        ] as [&dyn Fn(); 2]
        {
            fs::remove_file(file(&cache)).unwrap();
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
        fs::write(file(&cache), "{\"token\":").unwrap();
        assert!(cache.load().is_none());
    }
}
