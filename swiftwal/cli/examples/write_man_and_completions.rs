//! Writes the man pages and the completions of bash, zsh and fish into the directory that is its only argument, for
//! `cargo xtask dist`. The program itself carries neither.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use clap::Command;
use clap_complete::{Shell, generate_to};
use clap_mangen::{
    Man,
    roff::{Roff, roman},
};
use swiftwal_core::{Clock, SystemClock};

fn main() -> Result<()> {
    let directory: PathBuf = env::args_os().nth(1).context("no directory is given")?.into();
    let command = without_hidden(&swiftwal::command_line(&swiftwal_backends::registry()));
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        generate_to(shell, &mut command.clone(), "swiftwal", &directory)?;
    }
    let mut command = command.disable_help_subcommand(true);
    command.build();
    Ok(write_man_pages(&command, &directory)?)
}

/// Returns the command without the subcommands that only swiftwal itself uses: the completions would offer them.
fn without_hidden(command: &Command) -> Command {
    let visible = command.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    Command::new("swiftwal")
        .version(command.get_version().unwrap_or_default().to_owned())
        .about(command.get_about().cloned().unwrap_or_default())
        .after_long_help(command.get_after_long_help().cloned().unwrap_or_default())
        .args(command.get_arguments())
        .subcommands(visible)
}

/// Writes the page of the command and those of its subcommands.
fn write_man_pages(command: &Command, directory: &Path) -> io::Result<()> {
    for subcommand in command.get_subcommands() {
        write_man_pages(subcommand, directory)?;
    }
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let version = concat!("swiftwal ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone())
        .title(name.to_uppercase())
        .date(SystemClock.now().strftime("%Y-%m-%d").to_string())
        .source(version)
        .manual("swiftwal");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let notes = command.get_after_long_help().or(command.get_after_help());
    if let Some(notes) = notes {
        preformatted("NOTES", &notes.to_string()).to_writer(&mut page)?;
    }
    fs::write(directory.join(format!("{name}.1")), page)
}

/// Returns a section whose lines stay as they are: clap_mangen would run them together.
fn preformatted(heading: &str, text: &str) -> Roff {
    let mut roff = Roff::default();
    roff.control("SH", [heading]).control("nf", []);
    for line in text.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff
}
