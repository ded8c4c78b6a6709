//! The commands that a restored server runs: restore_command and archive_cleanup_command.

use std::{
    env, io,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::config::Config;

/// The commands that a restored server runs. They contain no secret.
pub(crate) struct ServerCommands {
    /// Fetches WAL from the same repository with the same configuration file, and the deadline that the restore was given.
    pub(crate) restore: String,
    /// Removes WAL there that a standby no longer needs.
    pub(crate) archive_cleanup: String,
}

impl ServerCommands {
    /// Returns the commands, with these `options` of restore-wal.
    pub(crate) fn for_session(
        config: &Config,
        deadline: Option<Duration>,
        options: &[&str],
    ) -> io::Result<Self> {
        let program = present(env::current_exe()?)?;
        Self::new(&program, config.repository.url().as_str(), config.file.as_deref(), deadline, options)
    }

    fn new(
        program: &Path,
        repository: &str,
        config: Option<&Path>,
        deadline: Option<Duration>,
        options: &[&str],
    ) -> io::Result<Self> {
        let mut words = vec![text(program)?, "--repository", repository];
        if let Some(config) = config {
            words.extend(["--config", text(config)?]);
        }
        let words: Vec<_> = words.into_iter().map(quoted).collect();
        // PostgreSQL replaces %f, %p and %r before the shell sees the command, and %% by %.
        let program = words.join(" ").replace('%', "%%");
        let deadline =
            deadline.map_or_else(String::new, |deadline| format!(" --deadline {}", deadline.as_secs()));
        let options: String = options.iter().map(|option| format!(" {option}")).collect();
        Ok(Self {
            restore: format!("{program}{deadline} restore-wal{options} %f \"%p\""),
            archive_cleanup: format!("{program} archive-cleanup \"%r\""),
        })
    }
}

/// Returns `program`, which a server will run later. The file of a running process may have been removed, as by an
/// upgrade.
fn present(program: PathBuf) -> io::Result<PathBuf> {
    if program.is_file() {
        return Ok(program);
    }
    let reason = format!(
        "this program isn't at {} any more, but restore_command must name it; run the installed program",
        program.display()
    );
    Err(io::Error::new(io::ErrorKind::NotFound, reason))
}

fn text(path: &Path) -> io::Result<&str> {
    path.to_str().ok_or_else(|| {
        let reason = format!("{} can't be written into restore_command: it isn't UTF-8", path.display());
        io::Error::new(io::ErrorKind::InvalidInput, reason)
    })
}

/// Quotes `word` for a POSIX shell.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/:@%+=,".contains(&byte);
    if word.bytes().all(is_plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// Returns a notice about the settings that the command doesn't contain.
pub(crate) fn unwritten(config: &Config) -> Option<String> {
    if config.unwritten_settings.is_empty() {
        return None;
    }
    Some(format!(
        "{} came from the environment or as options and aren't written into restore_command; the server needs them in \
         its environment, or restore again with them in a file given by --config",
        config.unwritten_settings.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Flags;

    fn config(repository: &str) -> Config {
        let settings = [("OS_PASSWORD".to_owned(), "hunter2".to_owned())].into();
        let flags = Flags { repository: Some(repository.to_owned()), settings, ..Flags::default() };
        let variables = [("OS_USERNAME", "me"), ("AWS_SECRET_ACCESS_KEY", "hunter2"), ("OS_VOLUME", "x")];
        let variables = variables.map(|(name, value)| (name.into(), value.into()));
        Config::resolve(flags, variables.into(), &swiftwal_backends::registry(), false).ok().unwrap()
    }

    #[test]
    fn credentials_that_came_by_the_environment_or_as_options_are_not_written_and_that_is_said() {
        let config = config("swift://pgprod");
        assert!(!ServerCommands::for_session(&config, None, &[]).unwrap().restore.contains("hunter2"));
        let notice = unwritten(&config).unwrap();
        assert!(
            notice.starts_with("OS_PASSWORD, OS_USERNAME came from the environment or as options "),
            "{notice}"
        );
        assert!(!notice.contains("hunter2"));
    }

    #[test]
    fn a_directory_needs_no_credentials() {
        assert_eq!(unwritten(&config("file:///srv/backups")), None);
    }

    #[test]
    fn the_commands_name_program_repository_and_configuration() {
        let config = Some(Path::new("/etc/swiftwal.toml"));
        let program = Path::new("/usr/bin/swiftwal");
        let commands = ServerCommands::new(program, "swift://pgprod", config, None, &[]).unwrap();
        let program = "/usr/bin/swiftwal --repository swift://pgprod --config /etc/swiftwal.toml";
        assert_eq!(commands.restore, format!("{program} restore-wal %f \"%p\""));
        assert_eq!(commands.archive_cleanup, format!("{program} archive-cleanup \"%r\""));
    }

    #[test]
    fn the_deadline_that_was_given_is_that_of_fetching_wal_too() {
        let program = Path::new("/usr/bin/swiftwal");
        for seconds in [0, 7200] {
            let deadline = Some(Duration::from_secs(seconds));
            let commands = ServerCommands::new(program, "swift://pgprod", None, deadline, &[]).unwrap();
            let options = format!("--repository swift://pgprod --deadline {seconds}");
            assert_eq!(commands.restore, format!("/usr/bin/swiftwal {options} restore-wal %f \"%p\""));
            assert!(!commands.archive_cleanup.contains("--deadline"));
        }
    }

    #[test]
    fn the_options_of_restore_wal_come_before_its_arguments() {
        let program = Path::new("/usr/bin/swiftwal");
        let options = ["--use-partial", "--end-at-hole"];
        let commands = ServerCommands::new(program, "swift://pgprod", None, None, &options).unwrap();
        let program = "/usr/bin/swiftwal --repository swift://pgprod";
        assert_eq!(commands.restore, format!("{program} restore-wal --use-partial --end-at-hole %f \"%p\""));
        assert!(!commands.archive_cleanup.contains("--end-at-hole"));
    }

    #[test]
    fn a_program_that_was_replaced_meanwhile_is_not_written_into_it() {
        let message = present("/usr/bin/swiftwal (deleted)".into()).unwrap_err().to_string();
        assert!(
            message.starts_with("this program isn't at /usr/bin/swiftwal (deleted) any more"),
            "{message}"
        );
        assert!(present(env::current_exe().unwrap()).is_ok());
    }

    #[test]
    fn what_the_shell_or_postgresql_would_read_otherwise_is_quoted() {
        let commands =
            ServerCommands::new(Path::new("/opt/it's mine/swiftwal"), "file:///a%20b", None, None, &[]);
        assert_eq!(
            commands.unwrap().restore,
            r#"'/opt/it'\''s mine/swiftwal' --repository file:///a%%20b restore-wal %f "%p""#
        );
    }
}
