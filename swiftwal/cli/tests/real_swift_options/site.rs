//! The program in its own directory, with the settings of the test servers.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

pub(crate) const HISTORY: &str = "00000002.history";
pub(crate) const V1: [&str; 3] = ["ST_AUTH", "ST_USER", "ST_KEY"];
pub(crate) const PASSWORD: [&str; 4] = ["OS_AUTH_URL", "OS_USERNAME", "OS_PASSWORD", "OS_PROJECT_NAME"];
const SECRETS: [&str; 3] = ["OS_PASSWORD", "OS_APPLICATION_CREDENTIAL_SECRET", "ST_KEY"];
pub(crate) const WRONG: &str = "hunter2";

/// Returns a setting of the test servers.
#[expect(clippy::disallowed_methods, reason = "a test has no caller that could pass it")]
pub(crate) fn given(name: &str) -> String {
    std::env::var(format!("SWIFT_TEST_{name}")).unwrap_or_else(|_| panic!("SWIFT_TEST_{name} isn't set"))
}

pub(crate) type Settings = Vec<(String, String)>;

pub(crate) fn settings(names: &[&str]) -> Settings {
    names.iter().map(|name| ((*name).to_owned(), given(name))).collect()
}

/// Returns the settings with other values.
pub(crate) fn with(mut settings: Settings, changes: &[(&str, &str)]) -> Settings {
    for (name, value) in changes {
        settings.retain(|(known, _)| known != name);
        settings.push(((*name).to_owned(), (*value).to_owned()));
    }
    settings
}

/// Returns the settings as options, such as `--os-username=…`.
pub(crate) fn options(settings: &Settings) -> Vec<String> {
    let option = |name: &str| name.to_lowercase().replace('_', "-");
    settings.iter().map(|(name, value)| format!("--{}={value}", option(name))).collect()
}

/// Returns the settings as lines, such as `OS_USERNAME='…'`.
pub(crate) fn lines(settings: &Settings) -> String {
    settings.iter().map(|(name, value)| format!("{name}='{value}'\n")).collect()
}

/// The directory of one test, with a container's name.
pub(crate) struct Site {
    scratch: TempDir,
    pub(crate) container: &'static str,
}

#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Site {
    pub(crate) fn new(container: &'static str) -> Self {
        let site = Self { scratch: TempDir::new().unwrap(), container };
        site.write(HISTORY, "1\t0/2000000\tno reason\n");
        site
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Writes a file that only this user can read.
    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// Returns a command with only these settings in its environment.
    pub(crate) fn command(&self, settings: &Settings, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_swiftwal"));
        command.args(arguments).current_dir(self.scratch.path()).stdin(Stdio::null()).env_clear();
        command.env("XDG_STATE_HOME", self.path("state")).env("XDG_CONFIG_HOME", self.path("config"));
        command.envs(settings.iter().cloned());
        command
    }

    /// Runs the command. No secret may be visible.
    pub(crate) fn run(&self, settings: &Settings, arguments: &[&str]) -> Ran {
        let output = self.command(settings, arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let code = output.status.code().unwrap();
        let ran = Ran { code, stdout: text(output.stdout), stderr: text(output.stderr) };
        for secret in SECRETS.map(given).into_iter().chain(self.tokens()).chain([WRONG.to_owned()]) {
            assert!(!ran.stdout.contains(&secret) && !ran.stderr.contains(&secret), "{arguments:?}: {ran:?}");
        }
        ran
    }

    /// Stores a file, lists it and fetches it, with these settings and arguments.
    pub(crate) fn works(&self, settings: &Settings, arguments: &[&str]) {
        for (command, told) in [
            (&["archive-wal", HISTORY][..], ""),
            (&["list-wal"], HISTORY),
            (&["restore-wal", HISTORY, "back"], ""),
        ] {
            let ran = self.run(settings, &[&["-vv"], arguments, command].concat());
            assert!(ran.code == 0 && ran.stdout.contains(told), "{command:?}: {ran:?}");
        }
        assert_eq!(fs::read(self.path("back")).unwrap(), fs::read(self.path(HISTORY)).unwrap());
    }

    /// Returns the files of the cached tokens, without those about what a cluster can do.
    pub(crate) fn token_files(&self) -> Vec<PathBuf> {
        let files =
            fs::read_dir(self.path("state/swiftwal/tokens")).into_iter().flatten().map(Result::unwrap);
        let tokens = files.filter(|file| !file.file_name().to_str().unwrap().starts_with("dialect-"));
        tokens.map(|file| file.path()).collect()
    }

    fn tokens(&self) -> Vec<String> {
        self.token_files().iter().map(|file| session(file).0).collect()
    }
}

/// Returns a cached token, and the URL of its account.
pub(crate) fn session(file: &Path) -> (String, String) {
    let session: serde_json::Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    let field = |name: &str| session[name].as_str().unwrap().to_owned();
    (field("token"), field("storage_url"))
}

pub(crate) fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}
