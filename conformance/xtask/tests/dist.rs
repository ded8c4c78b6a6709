//! The Debian package that `cargo xtask dist` makes: its content is checked, and it is installed, tried and removed again.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use xtask::{Installation, Scratch, output, stdout};

const CONFIGURATION: &str = "/etc/swiftwal.toml";
const HISTORY: &str = "00000002.history";
const STATE: &str = "/var/lib/swiftwal";

/// The programs that look at the package, each with its Debian package.
const PROGRAMS: [(&str, &str); 6] = [
    ("fish", "fish"),
    ("lintian", "lintian"),
    ("mandoc", "mandoc"),
    ("strip", "binutils"),
    ("systemd-analyze", "systemd"),
    ("zsh", "zsh"),
];

#[test]
#[ignore = "needs Debian packages: run by cargo xtask test"]
fn the_debian_package_is_clean_and_keeps_what_an_administrator_changed() -> Result<()> {
    xtask::ensure_programs("looking at the package", &PROGRAMS)?;
    let scratch = Scratch::new(Installation::ensure()?)?;
    let package = package()?;
    stdout(Command::new("lintian").args(["--fail-on", "error,warning"]).arg(&package))?;
    let content = scratch.path().join("content");
    stdout(Command::new("dpkg-deb").arg("-x").args([&package, &content]))?;
    man_pages_are_clean(&content.join("usr/share/man/man1"))?;
    completions_are_read(&content.join("usr/share"))?;
    if rustix::process::getuid().is_root() {
        installs_and_leaves(&package, &scratch)?;
    }
    Ok(())
}

/// Makes the package with the program that the tests use.
fn package() -> Result<PathBuf> {
    let made = stdout(Command::new(env!("CARGO_BIN_EXE_xtask")).args(["dist", "--debug"]))?;
    Ok(made.lines().last().context("no package is named")?.into())
}

/// Each page is clean, and the last exit code in the notes is where it is in the help.
fn man_pages_are_clean(directory: &Path) -> Result<()> {
    let mut pages: Vec<_> = fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    pages.sort();
    let names: Vec<_> =
        pages.iter().filter_map(|page| page.file_name()?.to_str()?.strip_suffix(".1.gz")).collect();
    for name in ["swiftwal", "swiftwal-archive-wal", "swiftwal-timeline-discard"] {
        assert!(names.contains(&name), "{names:?}");
    }
    // Nobody calls these.
    assert!(!names.iter().any(|name| name.contains("help") || name.contains("prefetch")), "{names:?}");
    for page in &pages {
        let mut lint = Command::new("mandoc");
        let lint = output(lint.args(["-T", "lint", "-W", "warning"]).arg(page))?;
        let said = String::from_utf8(lint.stdout)?;
        assert!(lint.status.success() && said.is_empty(), "{said}");
    }
    let main = stdout(Command::new("mandoc").args(["-T", "ascii"]).arg(directory.join("swiftwal.1.gz")))?;
    assert!(main.contains("\n         3    done, but damage was found\n"), "{main}");
    Ok(())
}

/// Each shell reads its completions, and bash completes the name of a subcommand with them.
fn completions_are_read(share: &Path) -> Result<()> {
    let bash = share.join("bash-completion/completions/swiftwal");
    let fish = share.join("fish/vendor_completions.d/swiftwal.fish");
    let zsh = share.join("zsh/vendor-completions/_swiftwal");
    stdout(Command::new("fish").arg("--no-execute").arg(fish))?;
    stdout(Command::new("zsh").arg("-n").arg(zsh))?;
    let complete = r#". "$0"; COMP_WORDS=(swiftwal arch) COMP_CWORD=1; _swiftwal swiftwal arch swiftwal; echo "${COMPREPLY[@]}""#;
    let completed = stdout(Command::new("bash").args(["-c", complete]).arg(bash))?;
    assert_eq!(completed, "archive-wal archive-cleanup\n");
    Ok(())
}

/// Removes the package with its configuration, also after a failure.
struct Purge;

impl Drop for Purge {
    fn drop(&mut self) {
        let _ = output(Command::new("dpkg").args(["--purge", "swiftwal"]));
    }
}

fn installs_and_leaves(package: &Path, scratch: &Scratch) -> Result<()> {
    let status = || output(Command::new("dpkg-query").args(["-W", "swiftwal"]));
    ensure!(!status()?.status.success(), "a package swiftwal is installed on this machine: purge it first");
    let purge = Purge;
    let install = || stdout(Command::new("dpkg").arg("-i").arg(package));
    install()?;
    let configuration = fs::metadata(CONFIGURATION)?;
    let group = stdout(Command::new("getent").args(["group", "postgres"]))?;
    assert_eq!(configuration.permissions().mode() & 0o777, 0o640);
    assert_eq!(group.split(':').nth(2), Some(configuration.gid().to_string().as_str()));
    let units = fs::read_dir("/usr/lib/systemd/system")?.map(|entry| Ok(entry?.path()));
    let units: Vec<_> = units.collect::<Result<_>>()?;
    let ours = units.iter().filter(|path| path.to_string_lossy().contains("/swiftwal-"));
    stdout(Command::new("systemd-analyze").args(["verify", "--man=no"]).args(ours))?;

    // The user postgres can use it, with a configuration that an upgrade keeps.
    let repository = format!("repository = \"file://{}/repository\"\n", scratch.path().display());
    fs::write(CONFIGURATION, &repository)?;
    install()?;
    assert_eq!(fs::read_to_string(CONFIGURATION)?, repository);
    fs::write(scratch.path().join(HISTORY), "1\t0/3000000\tno recovery target specified\n")?;
    let installation = Installation::ensure()?;
    let swiftwal = |arguments: &[&str]| {
        let mut command = installation.command("/usr/bin/swiftwal", scratch.path());
        stdout(command.args(["-c", CONFIGURATION]).args(arguments))
    };
    swiftwal(&["archive-wal", HISTORY])?;
    assert_eq!(swiftwal(&["list-wal"])?, format!("{HISTORY}\n"));

    // WAL in the spool of receive-wal may not be stored yet.
    fs::create_dir_all(STATE)?;
    drop(purge);
    assert!(!Path::new(CONFIGURATION).exists() && !Path::new("/usr/bin/swiftwal").exists());
    assert!(Path::new(STATE).is_dir());
    Ok(fs::remove_dir(STATE)?)
}
