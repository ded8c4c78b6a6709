//! The command line.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};

use crate::{
    command::{
        archive_cleanup, archive_wal, backup, label, list_backups, list_wal, prune, restore, restore_wal,
    },
    config::Flags,
};

const EXAMPLES: &str = "\
To begin, in postgresql.conf:
  archive_mode = on
  archive_command = 'swiftwal --repository file:///srv/backups/main archive-wal \"%p\"'
and from time to time:
  swiftwal --repository file:///srv/backups/main backup -P
  swiftwal --repository file:///srv/backups/main prune --keep-backups 7
On the day of need:
  swiftwal --repository file:///srv/backups/main restore latest DIR

Environment:
  SWIFTWAL_REPOSITORY, SWIFTWAL_CONTAINER, SWIFTWAL_CONFIG,
  SWIFTWAL_COMPRESSION and SWIFTWAL_ARCHIVE_TIMEOUT stand for the options.
  What begins with OS_, ST_, SWIFT_, AWS_, GOOGLE_ or AZURE_ goes to the
  storage.

Exit codes:
  0 done; 1 failed; 2 wrong arguments or configuration; 130 and 143 stopped
  by SIGINT and SIGTERM; 141 standard output was closed.
  archive-wal fails with 1 or 2 only. restore-wal fails with 1 only if the
  file is proven not to be in the repository (on a standby: always), else
  with 128.";

/// PostgreSQL base backups, WAL archiving and point-in-time recovery to object storage.
#[derive(Debug, Parser)]
#[command(name = "swiftwal", version, after_help = EXAMPLES, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every subcommand takes, before its name or after it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// The repository: a container of Swift; short for --repository swift://NAME
    #[arg(short = 'C', long, value_name = "NAME", global = true)]
    container: Option<String>,
    /// The repository: swift://container[/prefix], file:///directory, or what else this build knows
    #[arg(long, value_name = "URL", global = true)]
    repository: Option<String>,
    /// Read the configuration from FILE: TOML, or lines KEY=VALUE
    ///
    /// After the name of the subcommand backup only --config is this option: there -c is --checkpoint.
    #[arg(short, long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// How to compress what is stored: zstd[:1-9], gzip[:1-9], lz4 or none [default: zstd:1]
    #[arg(long, value_name = "CODEC", global = true)]
    compression: Option<String>,
    /// Print more; -vv for all that is done
    #[arg(short, long, action = ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
    /// Print the result as one JSON document
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What there is to do; each tells about itself.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Backup(backup::Args),
    Restore(restore::Args),
    ListBackups(list_backups::Args),
    ListWal(list_wal::Args),
    Label(label::Args),
    ArchiveWal(archive_wal::Args),
    RestoreWal(restore_wal::Args),
    #[command(visible_alias = "cleanup")]
    Prune(prune::Args),
    ArchiveCleanup(archive_cleanup::Args),
}

impl Cli {
    /// What the arguments say about the configuration.
    pub(crate) fn flags(&self) -> Flags {
        let global = &self.global;
        let backup = match &self.command {
            Command::Backup(backup) => Some(backup),
            _ => None,
        };
        Flags {
            config: global.config.clone(),
            repository: global.repository.clone(),
            container: global.container.clone(),
            compression: global.compression.clone(),
            archive_timeout: backup.and_then(|backup| backup.archive_timeout),
            connect: backup.map(backup::Args::connect).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn flags(arguments: &[&str]) -> Flags {
        Cli::try_parse_from(arguments.iter().copied()).unwrap().flags()
    }

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_first_c_is_the_configuration_and_the_second_the_checkpoint() {
        let cli = Cli::try_parse_from(["swiftwal", "-c", "FILE", "backup", "-c", "fast"]).unwrap();
        assert_eq!(cli.flags().config, Some("FILE".into()));
        let Command::Backup(backup) = cli.command else { panic!("another command") };
        assert_eq!(backup.checkpoint, Some(swiftwal_postgres::Checkpoint::Fast));
    }

    #[test]
    fn global_options_may_come_after_the_subcommand() {
        assert_eq!(flags(&["swiftwal", "list-wal", "-c", "FILE"]).config, Some("FILE".into()));
        assert_eq!(flags(&["swiftwal", "backup", "--config", "FILE"]).config, Some("FILE".into()));
        assert_eq!(flags(&["swiftwal", "list-wal", "-C", "pgprod"]).container, Some("pgprod".to_owned()));
        let cli = Cli::try_parse_from(["swiftwal", "list-wal", "-v", "--json"]).unwrap();
        assert!(cli.global.verbose == 1 && cli.global.json);
    }

    #[test]
    fn the_host_is_a_capital_h_since_the_other_is_help() {
        let flags = flags(&["swiftwal", "backup", "-H", "db1", "-p", "5433", "-U", "me"]);
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
