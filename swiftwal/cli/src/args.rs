//! The command line.

mod settings;
mod unknown;

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf, time::Duration};

use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser};
use swiftwal_postgres::ConnectOptions;

use crate::{
    command::Command,
    config::{Flags, SettingNames},
    exit,
    values::duration,
};

const EXAMPLES: &str = "\
To archive WAL, in postgresql.conf:
  archive_mode = on
  archive_command = 'swiftwal -C pgprod archive-wal \"%p\"'
To store the last transactions, too, as a service:
  swiftwal -C pgprod receive-wal -H db1 --create-slot
Regularly, from a timer:
  swiftwal -C pgprod backup -P
  swiftwal -C pgprod prune --keep-backups 7
To restore:
  swiftwal -C pgprod restore latest DIR
To use a directory instead of a container: --repository file:///srv/backups/main

Environment:
  SWIFTWAL_REPOSITORY, SWIFTWAL_CONTAINER, SWIFTWAL_CONFIG,
  SWIFTWAL_COMPRESSION and SWIFTWAL_ARCHIVE_TIMEOUT are used where the option
  of that name isn't given. For Swift, the variables of the OpenStack tools:
  OS_AUTH_URL, OS_USERNAME, OS_PASSWORD, OS_PROJECT_NAME and so on, or OS_CLOUD,
  or ST_AUTH, ST_USER and ST_KEY; and SWIFT_SEGMENTS_CONTAINER,
  SWIFT_STORAGE_POLICY and SWIFT_RETRY_SECONDS. Proxies are those
  of https_proxy, http_proxy, all_proxy and no_proxy, or of these names in upper
  case. For s3://, gs:// and az://, in builds that support them, the variables
  that begin with AWS_, GOOGLE_ or AZURE_.
  Cached tokens, a record of the repositories that this user has used, and the
  spool of receive-wal are in the directory swiftwal in XDG_STATE_HOME, or else
  in ~/.local/state.";

/// PostgreSQL base backups, WAL archiving and point-in-time recovery to object storage.
#[derive(Debug, Parser)]
#[command(name = "swiftwal", version, after_help = format!("{EXAMPLES}\n\n{}", exit::TABLE), subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The options of every subcommand, before its name or after it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// The repository: a Swift container; short for --repository swift://NAME
    #[arg(short = 'C', long, value_name = "NAME", global = true)]
    container: Option<String>,
    /// The repository: swift://container[/prefix], file:///directory, or another scheme that this build supports
    #[arg(long, value_name = "URL", global = true)]
    repository: Option<String>,
    /// Read the configuration from FILE: in TOML, as KEY=VALUE lines, or an openrc of OpenStack
    ///
    /// With backup, -c means --checkpoint; use --config instead, or give -c FILE before the word backup.
    #[arg(short, long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// How to compress new objects: zstd[:fast or 1-9], gzip[:1-9], lz4 or none [default: zstd:1]
    #[arg(long, value_name = "CODEC", global = true)]
    compression: Option<String>,
    /// Stop the command after this time, in seconds or with a unit, such as 5min; 0 for no limit [default: 60 for archive-wal and 120 for restore-wal, plus one second for each MiB of the file; none for other commands]
    #[arg(long, value_name = "DURATION", global = true, value_parser = duration, allow_negative_numbers = true)]
    pub(crate) deadline: Option<Duration>,
    /// Print more details; -vv also prints each request and file operation
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
    /// Print the result as one JSON document
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

impl Cli {
    /// Returns the command line with all options of all subcommands.
    pub(crate) fn complete(names: &SettingNames) -> clap::Command {
        let command = Self::command();
        let every: Vec<_> = command.get_subcommands().map(|command| command.get_name().into()).collect();
        settings::add(command, names, &every)
    }

    /// Parses the arguments, the first of which is the program's name, and the settings among them.
    pub(crate) fn parse_with(
        arguments: &[OsString],
        names: &SettingNames,
    ) -> Result<(Self, Flags), clap::Error> {
        let arguments = unknown::without_help_on_help(arguments);
        let mut command = settings::add(Self::command(), names, arguments);
        let matches = command
            .try_get_matches_from_mut(arguments)
            .map_err(|error| unknown::not_instead_of_a_backup(error, arguments, &mut command))
            .map_err(|error| unknown::explained(error, &mut command))?;
        let cli = Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
        let flags = cli.flags(settings::given(&matches, names));
        Ok((cli, flags))
    }

    fn flags(&self, settings: BTreeMap<String, String>) -> Flags {
        let global = &self.global;
        let backup = match &self.command {
            Command::Backup(backup) => Some(backup),
            _ => None,
        };
        let connect = match &self.command {
            Command::Backup(backup) => backup.server.connect(),
            Command::Check(check) => check.server.connect(),
            Command::ReceiveWal(receive) => receive.server.connect(),
            _ => ConnectOptions::default(),
        };
        Flags {
            config: global.config.clone(),
            repository: global.repository.clone(),
            container: global.container.clone(),
            compression: global.compression.clone(),
            archive_timeout: backup.and_then(|backup| backup.archive_timeout),
            connect,
            settings,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> SettingNames {
        SettingNames::of(&swiftwal_backends::registry())
    }

    fn parse(arguments: &[&str]) -> Result<(Cli, Flags), clap::Error> {
        let arguments: Vec<_> = ["swiftwal"].iter().chain(arguments).map(OsString::from).collect();
        Cli::parse_with(&arguments, &names())
    }

    fn flags(arguments: &[&str]) -> Flags {
        parse(arguments).unwrap().1
    }

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Cli::complete(&names()).debug_assert();
    }

    #[test]
    fn the_first_c_is_the_configuration_and_the_second_the_checkpoint() {
        let (cli, flags) = parse(&["-c", "FILE", "backup", "-c", "fast"]).unwrap();
        assert_eq!(flags.config, Some("FILE".into()));
        let Command::Backup(backup) = cli.command else { panic!("another command") };
        assert_eq!(backup.checkpoint, Some(swiftwal_postgres::Checkpoint::Fast));
    }

    #[test]
    fn global_options_may_come_after_the_subcommand() {
        assert_eq!(flags(&["list-wal", "-c", "FILE"]).config, Some("FILE".into()));
        assert_eq!(flags(&["backup", "--config", "FILE"]).config, Some("FILE".into()));
        assert_eq!(flags(&["list-wal", "-C", "pgprod"]).container, Some("pgprod".to_owned()));
        assert_eq!(flags(&["list-wal", "--os-username", "me"]).settings["OS_USERNAME"], "me");
        let (cli, _) = parse(&["list-wal", "-v", "--json"]).unwrap();
        assert!(cli.global.verbose == 1 && cli.global.json);
    }

    #[test]
    fn each_openstack_setting_has_an_option() {
        let every: Vec<_> = names().with_option().collect();
        assert!(every.contains(&"OS_AUTH_URL") && every.contains(&"OS_TENANT_NAME"), "{every:?}");
        for name in every {
            let option = format!("--{}=x", name.to_lowercase().replace('_', "-"));
            assert_eq!(flags(&[&option, "list-wal"]).settings, [(name.to_owned(), "x".to_owned())].into());
        }
    }

    #[test]
    fn the_options_for_settings_may_be_anywhere_and_the_last_place_counts() {
        for arguments in [
            &["list-wal", "--os-username", "me"][..],
            &["cleanup", "--keep-backups", "1", "--os-username", "me"],
            &["timeline", "list", "--os-username", "me"],
            &["timeline", "--os-username", "me", "list"],
            &["--os-username", "you", "list-wal", "--os-username", "me"],
            &["--os-username", "you", "timeline", "list", "--os-username", "me"],
            &["-C", "backup", "list-wal", "--os-username", "me"],
        ] {
            assert_eq!(flags(arguments).settings, [("OS_USERNAME".to_owned(), "me".to_owned())].into());
        }
        assert_eq!(flags(&["--os-username", "backup", "list-wal"]).settings["OS_USERNAME"], "backup");
    }

    #[test]
    fn the_host_is_a_capital_h_since_the_other_is_help() {
        let flags = flags(&["backup", "-H", "db1", "-p", "5433", "-U", "me"]);
        assert_eq!(flags.connect.host.as_deref(), Some("db1"));
    }

    #[test]
    fn every_subcommand_shows_an_example() {
        for command in Cli::command().get_subcommands() {
            let example = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(example.contains(&format!("{} ", command.get_name())), "{}", command.get_name());
            assert!(!example.contains("%p'"), "a path may have spaces in it: {example}");
        }
    }
}
