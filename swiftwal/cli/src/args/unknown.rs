//! Messages about what other programs write differently: a subcommand that doesn't exist, and `-h HOST`.

use std::ffi::OsString;

use clap::{
    Command, Error,
    error::{ContextKind, ContextValue, ErrorKind},
};

/// The names of subcommands in other programs, and the subcommands here that do the same.
const ELSEWHERE: [(&[&str], &str); 4] = [
    (
        &["list", "show"],
        "info shows everything at a glance, list-backups -v the backups, list-wal the WAL files, label KEY the label of a \
         backup",
    ),
    (
        &["remove", "expire"],
        "prune --keep-backups N removes all but the N newest backups and the WAL that is no longer needed; -n shows what \
         it would remove. delete KEY deletes a single backup",
    ),
    (&["archive-push", "wal-push"], "archive-wal stores a WAL file"),
    (&["archive-get", "wal-fetch"], "restore-wal fetches a WAL file"),
];

/// Returns the arguments with `help --help` replaced by `help`: clap takes the option for the name of a subcommand.
pub(super) fn without_help_on_help(arguments: &[OsString]) -> &[OsString] {
    match arguments {
        [asked @ .., option]
            if (option == "--help" || option == "-h") && asked.last().is_some_and(|last| last == "help") =>
        {
            asked
        }
        _ => arguments,
    }
}

/// Returns `error`; if it is about an unknown subcommand without a similar one, the error lists those of `command`.
pub(super) fn explained(error: Error, command: &mut Command) -> Error {
    let (ErrorKind::InvalidSubcommand, Some(ContextValue::String(name)), None) = (
        error.kind(),
        error.get(ContextKind::InvalidSubcommand),
        error.get(ContextKind::SuggestedSubcommand),
    ) else {
        return error;
    };
    let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
    let known: Vec<_> = shown.map(Command::get_name).collect();
    let elsewhere = ELSEWHERE.iter().find(|(names, _)| names.contains(&name.as_str()));
    let instead = elsewhere.map(|(_, instead)| format!("; {instead}")).unwrap_or_default();
    let text = format!("there is no command '{name}'{instead}\n\nCommands: {}", known.join(", "));
    command.error(ErrorKind::InvalidSubcommand, text)
}

/// Returns `shown`, which may be the help that was asked for. With `backup -h HOST`, as libpq's programs have it, a
/// timer would print the help and succeed without a backup, so that is an error.
pub(super) fn not_instead_of_a_backup(shown: Error, arguments: &[OsString], command: &mut Command) -> Error {
    let words =
        arguments.iter().skip_while(|argument| *argument != "backup").filter_map(|word| word.to_str());
    let words: Vec<_> = words.collect();
    let host = words.windows(2).find_map(|pair| match pair {
        ["-h", host] if !host.starts_with('-') => Some(*host),
        [_, joined] => joined.strip_prefix("-h").filter(|host| !host.is_empty()),
        _ => None,
    });
    let Some(host) = host.filter(|_| shown.kind() == ErrorKind::DisplayHelp) else { return shown };
    command.error(
        ErrorKind::InvalidValue,
        format!("-h prints the help and no backup is made; the host of the server is -H {host}"),
    )
}
