//! Every way to say which account of Swift is meant and who asks, through the program, on a real Swift and Keystone;
//! and what an administrator is told, and PostgreSQL by the exit code, where it goes wrong.
//!
//! Where the servers are comes from the environment, as `cargo xtask test` sets it: settings with `SWIFT_TEST_` before
//! their names.

#![expect(clippy::unwrap_used, reason = "the tests' helpers fail as tests do")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

const HISTORY: &str = "00000002.history";
const V1: [&str; 3] = ["ST_AUTH", "ST_USER", "ST_KEY"];
const PASSWORD: [&str; 4] = ["OS_AUTH_URL", "OS_USERNAME", "OS_PASSWORD", "OS_PROJECT_NAME"];
const SECRETS: [&str; 3] = ["OS_PASSWORD", "OS_APPLICATION_CREDENTIAL_SECRET", "ST_KEY"];
const WRONG: &str = "hunter2";

/// A setting of the test servers.
#[expect(clippy::disallowed_methods, reason = "a test has no caller that could pass it")]
fn given(name: &str) -> String {
    std::env::var(format!("SWIFT_TEST_{name}")).unwrap_or_else(|_| panic!("SWIFT_TEST_{name} isn't set"))
}

type Settings = Vec<(String, String)>;

fn settings(names: &[&str]) -> Settings {
    names.iter().map(|name| ((*name).to_owned(), given(name))).collect()
}

/// The same with other values.
fn with(mut settings: Settings, changes: &[(&str, &str)]) -> Settings {
    for (name, value) in changes {
        settings.retain(|(known, _)| known != name);
        settings.push(((*name).to_owned(), (*value).to_owned()));
    }
    settings
}

/// `--os-username=…` for each.
fn options(settings: &Settings) -> Vec<String> {
    let option = |name: &str| name.to_lowercase().replace('_', "-");
    settings.iter().map(|(name, value)| format!("--{}={value}", option(name))).collect()
}

/// `OS_USERNAME='…'` for each.
fn lines(settings: &Settings) -> String {
    settings.iter().map(|(name, value)| format!("{name}='{value}'\n")).collect()
}

/// A directory of one test, with a container's name.
struct Site {
    scratch: TempDir,
    container: &'static str,
}

#[derive(Debug)]
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Site {
    fn new(container: &'static str) -> Self {
        let site = Self { scratch: TempDir::new().unwrap(), container };
        site.write(HISTORY, "1\t0/2000000\tno reason\n");
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Writes a file that only this user can read.
    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// Runs the program with nothing in its environment but these settings.
    fn run(&self, settings: &Settings, arguments: &[&str]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_swiftwal"));
        command.args(arguments).current_dir(self.scratch.path()).stdin(Stdio::null()).env_clear();
        command.env("XDG_STATE_HOME", self.path("state")).env("XDG_CONFIG_HOME", self.path("config"));
        let output = command.envs(settings.iter().cloned()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let code = output.status.code().unwrap();
        let ran = Ran { code, stdout: text(output.stdout), stderr: text(output.stderr) };
        for secret in SECRETS.map(given).into_iter().chain(self.tokens()).chain([WRONG.to_owned()]) {
            assert!(!ran.stdout.contains(&secret) && !ran.stderr.contains(&secret), "{arguments:?}: {ran:?}");
        }
        ran
    }

    /// Stores a file, lists it and fetches it, with these settings and arguments.
    fn works(&self, settings: &Settings, arguments: &[&str]) {
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

    /// The cached tokens' files.
    fn token_files(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.path("state/swiftwal/tokens")).into_iter().flatten();
        files.map(|file| file.unwrap().path()).collect()
    }

    fn tokens(&self) -> Vec<String> {
        self.token_files().iter().map(|file| session(file).0).collect()
    }
}

/// A cached token, and the URL of the account it is for.
fn session(file: &Path) -> (String, String) {
    let session: serde_json::Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    let field = |name: &str| session[name].as_str().unwrap().to_owned();
    (field("token"), field("storage_url"))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn version_1_is_given_by_the_environment() {
    let site = Site::new("options-v1");
    site.works(&settings(&V1), &["-C", site.container]);
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn a_password_is_given_by_the_environment_and_its_token_kept_for_this_user_alone() {
    let site = Site::new("options-password");
    site.works(&settings(&PASSWORD), &["-C", site.container]);
    let files = site.token_files();
    assert_eq!(files.len(), 1);
    assert_eq!((mode(&files[0]), mode(files[0].parent().unwrap())), (0o600, 0o700));
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn a_password_is_given_by_options() {
    let site = Site::new("options-options");
    let options = options(&settings(&PASSWORD));
    let arguments: Vec<_> = options.iter().map(String::as_str).chain(["-C", site.container]).collect();
    site.works(&Settings::new(), &arguments);
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn a_password_and_a_tenant_are_given_by_the_original_s_file() {
    let site = Site::new("options-lines");
    let mut settings = settings(&["OS_AUTH_URL", "OS_USERNAME", "OS_PASSWORD"]);
    settings.push(("OS_TENANT_NAME".to_owned(), given("OS_PROJECT_NAME")));
    site.write("conf", &format!("{}CONTAINER={}\n", lines(&settings), site.container));
    site.works(&Settings::new(), &["-c", "conf"]);
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn an_application_credential_is_given_by_a_toml_file() {
    let site = Site::new("options-toml");
    let names = ["OS_AUTH_URL", "OS_APPLICATION_CREDENTIAL_ID", "OS_APPLICATION_CREDENTIAL_SECRET"];
    let container = site.container;
    site.write("conf.toml", &format!("container = '{container}'\n[settings]\n{}", lines(&settings(&names))));
    site.works(&Settings::new(), &["-c", "conf.toml"]);
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn an_application_credential_is_named_with_its_user() {
    let site = Site::new("options-credential-name");
    let names =
        ["OS_AUTH_URL", "OS_USERNAME", "OS_APPLICATION_CREDENTIAL_NAME", "OS_APPLICATION_CREDENTIAL_SECRET"];
    site.works(&settings(&names), &["-C", site.container]);
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn a_cloud_is_named_by_its_option_and_its_secret_is_in_another_file() {
    let site = Site::new("options-cloud");
    let (url, user, project) = (given("OS_AUTH_URL"), given("OS_USERNAME"), given("OS_PROJECT_NAME"));
    site.write(
        "config/openstack/clouds.yaml",
        &format!(
            "clouds:\n  mine:\n    auth:\n      auth_url: {url}\n      username: {user}\n      project_name: {project}\n"
        ),
    );
    let password = given("OS_PASSWORD");
    site.write(
        "config/openstack/secure.yaml",
        &format!("clouds:\n  mine:\n    auth:\n      password: {password}\n"),
    );
    site.works(&Settings::new(), &["-C", site.container, "--os-cloud", "mine"]);
    let ran = site.run(&Settings::new(), &["-C", site.container, "--os-cloud", "yours", "list-wal"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("which has: mine"), "{ran:?}");
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn a_token_is_enough_with_its_account_and_with_its_project() {
    let site = Site::new("options-token");
    site.works(&settings(&PASSWORD), &["-C", site.container]);
    let (token, account) = session(&site.token_files()[0]);
    let fixed = [("OS_TOKEN", token.as_str()), ("OS_STORAGE_URL", &account)];
    site.works(&with(Settings::new(), &fixed), &["-C", site.container]);
    let project = settings(&["OS_AUTH_URL", "OS_PROJECT_NAME"]);
    site.works(&with(project, &fixed[..1]), &["-C", site.container]);
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn an_option_beats_the_environment_which_beats_the_file() {
    let site = Site::new("options-precedence");
    let wrong = with(settings(&PASSWORD), &[("OS_PASSWORD", WRONG)]);
    site.write("conf", &format!("{}CONTAINER={}\n", lines(&wrong), site.container));
    site.works(&settings(&["OS_PASSWORD"]), &["-c", "conf"]);
    let option = format!("--os-password={}", given("OS_PASSWORD"));
    site.works(&with(Settings::new(), &[("OS_PASSWORD", WRONG)]), &["-c", "conf", &option]);
}

/// What goes wrong: the settings, what `list-wal` exits with, and what it tells.
fn failures() -> Vec<(&'static str, Settings, i32, Vec<&'static str>)> {
    let password = || settings(&PASSWORD);
    let refused = || vec!["refused the credentials (401 Unauthorized)", "; check user, password or secret"];
    let unreachable = vec!["Connection refused", "warning: trying again, for 1 s at most: "];
    vec![
        ("a wrong password", with(password(), &[("OS_PASSWORD", WRONG)]), 1, refused()),
        ("a wrong key of version 1", with(settings(&V1), &[("ST_KEY", WRONG)]), 1, refused()),
        ("a project of others", with(password(), &[("OS_PROJECT_NAME", "service")]), 1, refused()),
        (
            "an account of others",
            with(password(), &[("OS_STORAGE_URL", &account_of_others())]),
            1,
            vec!["answered 403 Forbidden (X-Trans-Id ", "; the user needs a role in the project"],
        ),
        (
            "nothing set",
            Settings::new(),
            2,
            vec!["settings are missing: OS_USERNAME or OS_USER_ID, ", "OS_CLOUD", "--os-auth-url"],
        ),
        (
            "no password",
            settings(&["OS_AUTH_URL", "OS_USERNAME", "OS_PROJECT_NAME"]),
            2,
            vec!["to authenticate with a password, these settings are missing: OS_PASSWORD or ST_KEY; "],
        ),
        (
            "a region that isn't there",
            with(password(), &[("OS_REGION_NAME", "Atlantis")]),
            1,
            vec!["the catalog has no endpoint object-store public in Atlantis, but public in RegionOne"],
        ),
        (
            "an identity service that is down",
            with(password(), &[("OS_AUTH_URL", "http://127.0.0.1:1/v3"), ("SWIFT_RETRY_SECONDS", "1")]),
            1,
            [&unreachable[..], &["; check OS_AUTH_URL"]].concat(),
        ),
        (
            "a Swift that is down",
            with(
                password(),
                &[("OS_STORAGE_URL", "http://127.0.0.1:1/v1/AUTH_x"), ("SWIFT_RETRY_SECONDS", "1")],
            ),
            1,
            unreachable,
        ),
        ("a container that isn't there", password(), 1, vec!["there is no container options-absent; "]),
    ]
}

/// Of the same Swift: the URL of an account that isn't this user's.
fn account_of_others() -> String {
    let site = Site::new("options-absent");
    site.run(&settings(&PASSWORD), &["-C", site.container, "list-wal"]);
    session(&site.token_files()[0]).1 + "0"
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn what_is_wrong_is_told_and_recovery_never_takes_it_for_the_end_of_the_archive() {
    for (what, settings, code, told) in failures() {
        let site = Site::new("options-absent");
        let run = |command: &[&str]| site.run(&settings, &[&["-vv", "-C", site.container], command].concat());
        let listed = run(&["list-wal"]);
        assert_eq!((listed.code, listed.stdout.as_str()), (code, ""), "{what}: {listed:?}");
        for told in told {
            assert!(listed.stderr.contains(told), "{what}: {told}: {listed:?}");
        }
        assert!(!listed.stderr.contains('\x1b'), "{what}: {listed:?}");
        let restored = run(&["restore-wal", HISTORY, "back"]);
        assert_eq!(restored.code, 128, "{what}: {restored:?}");
        site.write("standby.signal", "");
        let restored = run(&["restore-wal", HISTORY, "back"]);
        assert_eq!(restored.code, 1, "{what}: {restored:?}");
        assert!(!site.path("back").exists(), "{what}");
    }
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn archiving_that_fails_is_tried_again_by_postgresql_and_does_not_restart_its_archiver() {
    for (what, settings, code, _) in failures() {
        let site = Site::new("options-refused");
        let ran = site.run(&settings, &["-C", site.container, "archive-wal", HISTORY]);
        let expected = if what.starts_with("a container") { 0 } else { code };
        assert_eq!(ran.code, expected, "{what}: {ran:?}");
    }
}
