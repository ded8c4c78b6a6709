//! The options for the storage's settings, such as `--os-auth-url` for `OS_AUTH_URL`.

use std::{collections::BTreeMap, ffi::OsString};

use clap::{Arg, ArgMatches, Command};

use crate::config::SettingNames;

/// The width of the help.
const COLUMNS: usize = 79;

/// Adds an option for each setting that has one, to the program and to those subcommands that the `arguments` may name: all
/// subcommands together would have hundreds, which takes longer than all else in a short call of archive-wal. The program's
/// help lists the options in one block; the help of a subcommand leaves them out.
pub(super) fn add(command: Command, names: &SettingNames, arguments: &[OsString]) -> Command {
    let options =
        names.with_option().map(|name| Arg::new(name).long(option(name)).value_name(name).hide(true));
    let options: Vec<_> = options.collect();
    let is_named = |command: &Command| {
        [command.get_name()]
            .into_iter()
            .chain(command.get_all_aliases())
            .any(|name| arguments.iter().any(|word| word == name))
    };
    let of_subcommand = || options.iter().cloned().map(|option| option.global(true));
    let command = command.mut_subcommands(|subcommand| match is_named(&subcommand) {
        true => subcommand.args(of_subcommand()),
        false => subcommand,
    });
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    command.args(options).after_long_help(format!("{after}\n\n{}", help(names)))
}

/// Returns the settings that were given as options. Those after the subcommand's name take precedence.
pub(super) fn given(matches: &ArgMatches, names: &SettingNames) -> BTreeMap<String, String> {
    let subcommand = matches.subcommand().map(|(_, matches)| matches);
    let value =
        |name| subcommand.into_iter().chain([matches]).find_map(|matches| matches.get_one::<String>(name));
    names.with_option().filter_map(|name| Some((name.to_owned(), value(name)?.clone()))).collect()
}

/// Returns the option's name, such as `os-auth-url`.
fn option(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

fn help(names: &SettingNames) -> String {
    let mut lines = vec![" ".to_owned()];
    for option in names.with_option().map(option) {
        match lines.last_mut() {
            Some(line) if line.len() + option.len() + 3 <= COLUMNS => line.extend([" --", &option]),
            _ => lines.push(format!("  --{option}")),
        }
    }
    format!(
        "OpenStack options, one for each setting (--os-auth-url sets OS_AUTH_URL):\n{}\n  \
         Every user of this machine can see the options of a running program. Put\n  \
         passwords, secrets and tokens into a file or the environment instead.",
        lines.join("\n")
    )
}
