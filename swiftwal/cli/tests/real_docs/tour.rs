//! Runs a page from its first command to its last.

use std::{path::Path, process::Command, sync::Arc};

use anyhow::{Context, Result, ensure};
use xtask::{
    Installation, Place, Postgres, Scratch, Swiftwal, stdout, swift_test_setting, swift_test_settings,
};

use crate::{
    PROGRAM,
    page::{blocks, commands},
};

/// The repository of the pages that use a directory.
const DIRECTORY: &str = "file:///backup/pgprod";

/// A page on a repository, with all directories that it names in a scratch directory.
pub(crate) struct Tour {
    scratch: Arc<Scratch>,
    swiftwal: Swiftwal,
    page: String,
    configuration: String,
}

impl Tour {
    /// Prepares a page that uses a directory, with this configuration file.
    pub(crate) fn on_a_directory(page: &str, configuration: &str) -> Result<Self> {
        let scratch = Scratch::new(Installation::ensure()?)?;
        let swiftwal = Swiftwal::new(&scratch, Path::new(PROGRAM))?;
        Self::new(page, configuration, scratch, swiftwal)
    }

    /// Prepares the same page on the Swift of the tests, even if the page itself uses a directory.
    pub(crate) fn on_swift(page: &str, configuration: &str) -> Result<Self> {
        let scratch = Scratch::new(Installation::ensure()?)?;
        let swiftwal = Swiftwal::on_swift(&scratch, Path::new(PROGRAM), swift_test_settings()?)?;
        Self::new(page, configuration, scratch, swiftwal)
    }

    fn new(page: &str, configuration: &str, scratch: Arc<Scratch>, swiftwal: Swiftwal) -> Result<Self> {
        let [page, configuration] =
            [page, configuration].map(|text| placed(text, scratch.path(), swiftwal.place()));
        scratch.directory("restore")?;
        Ok(Self { scratch, swiftwal, page, configuration })
    }

    /// Runs the page. Then each of the `restored` directories must start and contain the expected rows.
    pub(crate) fn run(&self, restored: &[&str]) -> Result<()> {
        self.scratch.secret_file("swiftwal.toml", &self.configuration()?)?;
        let settings: Vec<_> = blocks(&self.page, "ini").flat_map(str::lines).collect();
        let server = Postgres::create(&self.scratch, "cluster", &settings)?;
        server.start()?;
        server.sql("create table orders as select generate_series(1, 1000) as id")?;

        // The time in TARGET_TIME is after the page's backup, so that it can be reached.
        let mut target_time = String::new();
        for command in commands(&self.page).filter(|line| !line.contains("cargo xtask ")) {
            if command.contains(" restore ") && target_time.is_empty() {
                self.swiftwal.wait_for_end_of_backups(&server)?;
                target_time = server.sql("select clock_timestamp()")?;
                server.sql("delete from orders")?;
                server.archive_all()?;
            }
            let mut shell = self.shell(&server, command);
            stdout(shell.env("TARGET_TIME", &target_time)).with_context(|| command.to_owned())?;
        }
        restored.iter().try_for_each(|name| self.check(name))
    }

    /// Returns the configuration file, with the settings of the test's Swift if that is used.
    fn configuration(&self) -> Result<String> {
        let file = &self.configuration;
        let Some(container) = self.swiftwal.place().container() else { return Ok(file.clone()) };
        if file.contains("[settings]") {
            return file.lines().map(set).collect();
        }
        let settings = container.settings().iter().map(|(name, value)| format!("{name} = {value:?}\n"));
        Ok(format!("{file}\n[settings]\n{}", settings.collect::<String>()))
    }

    fn shell(&self, server: &Postgres, command: &str) -> Command {
        match self.swiftwal.place().container() {
            Some(container) if command.starts_with("swift ") => container.shell(command),
            _ => {
                let mut shell = server.client("sh");
                shell.args(["-euc", &format!("PATH={}:$PATH; {command}", self.scratch.path().display())]);
                shell
            }
        }
    }

    fn check(&self, name: &str) -> Result<()> {
        let server = Postgres::open(&self.scratch, &self.scratch.path().join("restore").join(name));
        server.start()?;
        if name != "standby" {
            server.wait_for_promotion()?;
            let goes_to_a_time = self.page.contains(&format!("restore/{name} --target-time"));
            let expected = if goes_to_a_time { "1000" } else { "0" };
            ensure!(server.sql("select count(*) from orders")? == expected, "{name} has other rows");
        }
        server.stop()
    }
}

/// Returns the page with its absolute directories in the scratch directory, and with this repository.
fn placed(page: &str, scratch: &Path, place: &Place) -> String {
    let scratch = scratch.display();
    let page = page
        .replace(DIRECTORY, &place.url())
        .replace("/etc/swiftwal.toml", &format!("{scratch}/swiftwal.toml"))
        .replace(" /restore/", &format!(" {scratch}/restore/"))
        .replace("= 'swiftwal ", &format!("= '{scratch}/swiftwal "));
    match place.container() {
        Some(container) => page.replace("pgprod", container.name()),
        None => page,
    }
}

/// Returns a line of a configuration file; a setting has its value in the tests.
fn set(line: &str) -> Result<String> {
    let name = line.split(" = ").next().unwrap_or_default();
    let is_setting = ["OS_", "ST_"].iter().any(|prefix| name.starts_with(prefix));
    let line = if is_setting { format!("{name} = {:?}", swift_test_setting(name)?) } else { line.to_owned() };
    Ok(line + "\n")
}
