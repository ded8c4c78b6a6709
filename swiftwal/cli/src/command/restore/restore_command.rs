//! The restore_command that a restored server is given.

use std::{
    env, io,
    path::{Path, PathBuf},
};

use crate::config::Config;

/// The command that fetches WAL from the same repository with the same configuration file. No secret is in it.
pub(super) fn for_session(config: &Config) -> io::Result<String> {
    let program = present(env::current_exe()?)?;
    command(&program, config.repository.url().as_str(), config.file.as_deref())
}

/// `program`, which a server shall run later. That of a running process may be gone, as after an upgrade.
fn present(program: PathBuf) -> io::Result<PathBuf> {
    if program.is_file() {
        return Ok(program);
    }
    let reason = format!(
        "this program isn't at {} any more, and restore_command has to name it; run the installed one",
        program.display()
    );
    Err(io::Error::new(io::ErrorKind::NotFound, reason))
}

fn command(program: &Path, repository: &str, config: Option<&Path>) -> io::Result<String> {
    let mut words = vec![text(program)?, "--repository", repository];
    if let Some(config) = config {
        words.extend(["--config", text(config)?]);
    }
    let words: Vec<_> = words.into_iter().map(quoted).collect();
    // PostgreSQL replaces %f and %p before the shell sees the command, and %% by %.
    Ok(format!("{} restore-wal %f \"%p\"", words.join(" ").replace('%', "%%")))
}

fn text(path: &Path) -> io::Result<&str> {
    path.to_str().ok_or_else(|| {
        let reason = format!("{} can't be written into restore_command: it isn't UTF-8", path.display());
        io::Error::new(io::ErrorKind::InvalidInput, reason)
    })
}

/// `word` as a POSIX shell reads it back.
fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/:@%+=,".contains(&byte);
    if word.bytes().all(is_plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// What the administrator has to know about settings that the command doesn't carry.
pub(super) fn unwritten(config: &Config) -> Option<String> {
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
        Config::resolve(flags, variables.into(), &swiftwal_backends::registry()).ok().unwrap()
    }

    #[test]
    fn credentials_that_came_by_the_environment_or_as_options_are_not_written_and_that_is_said() {
        let config = config("swift://pgprod");
        assert!(!for_session(&config).unwrap().contains("hunter2"));
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
    fn the_command_names_program_repository_and_configuration() {
        let command =
            command(Path::new("/usr/bin/swiftwal"), "swift://pgprod", Some(Path::new("/etc/swiftwal.toml")));
        assert_eq!(
            command.unwrap(),
            "/usr/bin/swiftwal --repository swift://pgprod --config /etc/swiftwal.toml restore-wal %f \"%p\""
        );
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
        let command = command(Path::new("/opt/it's mine/swiftwal"), "file:///a%20b", None);
        assert_eq!(
            command.unwrap(),
            r#"'/opt/it'\''s mine/swiftwal' --repository file:///a%%20b restore-wal %f "%p""#
        );
    }
}
