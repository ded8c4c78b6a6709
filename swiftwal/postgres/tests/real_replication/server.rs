//! A real server for these tests.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use swiftwal_postgres::replication::{
    Limits, ReplicationError, Session,
    conninfo::{ConnInfo, ConnectConfig, Environment},
};
use xtask::{Installation, Postgres, Scratch};

/// Who may connect how. The password of each role is its name.
const ROLES: &[(&str, &str)] = &[
    ("scram", "host replication scram samenet scram-sha-256"),
    ("md5", "host replication md5 samenet md5"),
    ("clear", "host replication clear samenet password\nlocal replication clear password"),
    ("trusted", "host replication trusted samenet trust"),
    ("encrypted", "hostssl replication encrypted samenet scram-sha-256"),
    ("unencrypted", "hostnossl replication unencrypted samenet scram-sha-256"),
    ("certified", "hostssl replication certified samenet cert"),
    ("ident", "host replication ident samenet ident"),
];

/// A server on a loopback address of its own.
pub(crate) struct Server {
    pub(crate) postgres: Postgres,
    pub(crate) scratch: Arc<Scratch>,
    pub(crate) address: String,
}

impl Server {
    /// Starts a server with these settings.
    pub(crate) fn start(settings: &[&str]) -> Result<Self> {
        let scratch = Scratch::new(Installation::ensure()?)?;
        Self::start_in(&scratch, "data", settings)
    }

    /// Starts a server in a scratch directory that may have others.
    pub(crate) fn start_in(scratch: &Arc<Scratch>, name: &str, settings: &[&str]) -> Result<Self> {
        let postgres = Postgres::create(scratch, name, settings)?;
        Self::begin(scratch, postgres)
    }

    /// Starts a server in a directory that another program has made.
    pub(crate) fn open(scratch: &Arc<Scratch>, data: &Path) -> Result<Self> {
        Self::begin(scratch, Postgres::open(scratch, data))
    }

    fn begin(scratch: &Arc<Scratch>, postgres: Postgres) -> Result<Self> {
        let address = next_address();
        postgres.configure(&[&format!("listen_addresses = '{address}'")])?;
        postgres.start()?;
        Ok(Self { postgres, scratch: Arc::clone(scratch), address })
    }

    /// Creates the roles, and lets each connect in its way.
    pub(crate) fn with_roles(self) -> Result<Self> {
        let hba = self.postgres.data().join("pg_hba.conf");
        let lines: Vec<_> = ROLES.iter().map(|(_, line)| *line).collect();
        let trust = "local all postgres trust\nlocal replication postgres trust";
        fs::write(hba, format!("{trust}\n{}\n", lines.join("\n")))?;
        for (role, _) in ROLES {
            let encryption = if *role == "md5" { "md5" } else { "scram-sha-256" };
            self.postgres.sql(&format!(
                "set password_encryption = '{encryption}'; create role {role} login replication password '{role}'"
            ))?;
        }
        self.postgres.reload()?;
        Ok(self)
    }

    pub(crate) fn port(&self) -> String {
        self.postgres.environment()[1].1.clone()
    }

    /// Returns the directory of its socket.
    pub(crate) fn directory(&self) -> &Path {
        self.scratch.path()
    }

    /// Returns the settings for the superuser, over the socket.
    pub(crate) fn local(&self) -> String {
        format!("host={} port={} user=postgres", self.directory().display(), self.port())
    }

    /// Returns the settings for a role, over TCP, under the name `localhost`.
    pub(crate) fn remote(&self, role: &str) -> String {
        format!("host=localhost hostaddr={} port={} user={role} password={role}", self.address, self.port())
    }

    /// Writes a file that only its owner may read, as a test's user needs it.
    pub(crate) fn private_file(&self, name: &str, text: &str) -> Result<PathBuf> {
        use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
        let path = self.scratch.path().join(name);
        drop(fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&path)?);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        fs::write(&path, text)?;
        Ok(path)
    }
}

/// Returns a loopback address that no other test of this machine uses, so that ports may be equal.
fn next_address() -> String {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = process::id().to_be_bytes();
    format!("127.{}.{low}.{}", high.max(1), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Returns the settings of a string and these variables, without the files of this machine's user.
pub(crate) fn config(text: &str, variables: &[(&str, &str)]) -> Result<ConnectConfig, ReplicationError> {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let environment = Environment {
        variables: variables.collect(),
        home: Some("/nonexistent".into()),
        user: Some("nobody".into()),
    };
    Ok(ConnInfo::parse(text)?.resolve(&environment)?)
}

pub(crate) fn limits(silence: Duration) -> Limits {
    let mut limits = Limits::default();
    limits.silence = silence;
    limits
}

pub(crate) async fn connect(text: &str) -> Result<Session, ReplicationError> {
    Session::connect(&config(text, &[])?, Limits::default()).await
}

/// Returns why a connection fails.
pub(crate) async fn refusal(text: &str) -> ReplicationError {
    match connect(text).await {
        Ok(_) => panic!("{text} connects"),
        Err(error) => error,
    }
}
