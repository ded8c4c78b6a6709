//! The environment that connection settings come from.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use super::{ConnInfo, keywords};

/// Where packages look for `pg_service.conf`, unless `PGSYSCONFDIR` is set.
const SYSTEM_DIRECTORIES: [&str; 2] = ["/etc/postgresql-common", "/etc/sysconfig/pgsql"];

/// Where packages put the server's socket: the first that exists is the default host.
pub(super) const SOCKET_DIRECTORIES: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// The environment variables, home directory and user that connection settings come from.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// The environment variables; those that aren't libpq's are ignored, except `HOME`.
    pub variables: BTreeMap<String, String>,
    /// The home directory, used without `HOME`: of `.pgpass`, `.pg_service.conf` and `.postgresql`.
    pub home: Option<PathBuf>,
    /// The name of the operating system's user: the role, unless another one is set.
    pub user: Option<String>,
}

impl Environment {
    /// Creates an environment with these variables, and the name and home directory that `/etc/passwd` has for the user of
    /// this process.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let entry = passwd_entry(&passwd, rustix::process::geteuid().as_raw());
        let (user, home) = entry.unzip();
        Self { variables: variables.into_iter().collect(), home, user }
    }

    /// Adds the variables of libpq to what isn't set.
    pub(super) fn add(&self, info: &mut ConnInfo) {
        for keyword in keywords::ALL {
            if let Some(value) = keyword.variable.and_then(|name| self.variables.get(name)) {
                info.set_default(keyword.name, value);
            }
        }
        if self.variable("PGREQUIRESSL").is_some_and(|value| value.starts_with('1')) {
            info.set_default("sslmode", "require");
        }
    }

    /// Returns a variable; `None` if it isn't set or empty.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Returns the path of a file in the home directory.
    pub(super) fn in_home(&self, name: &str) -> Option<PathBuf> {
        let home = self.variable("HOME").map(Path::new).or(self.home.as_deref())?;
        Some(home.join(name))
    }

    /// Returns the directories that may have the system's `pg_service.conf`.
    pub(super) fn system_directories(&self) -> Vec<PathBuf> {
        match self.variable("PGSYSCONFDIR") {
            Some(directory) => vec![directory.into()],
            None => SYSTEM_DIRECTORIES.map(PathBuf::from).into(),
        }
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A variable may be a password.
        f.debug_struct("Environment")
            .field("home", &self.home)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Finds the name and the home directory of a user.
fn passwd_entry(passwd: &str, uid: u32) -> Option<(String, PathBuf)> {
    let uid = uid.to_string();
    let mut entries = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let entry = entries.find(|entry| entry.get(2) == Some(&uid.as_str()))?;
    Some(((*entry.first()?).to_owned(), (*entry.get(5)?).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_and_its_home_are_found_by_id() {
        let passwd =
            "root:x:0:0:root:/root:/bin/bash\npostgres:x:101:104:,,,:/var/lib/postgresql:/bin/bash\nodd\n";
        let postgres = ("postgres".to_owned(), PathBuf::from("/var/lib/postgresql"));
        assert_eq!(passwd_entry(passwd, 101), Some(postgres));
        assert_eq!(passwd_entry(passwd, 10), None);
    }
}
