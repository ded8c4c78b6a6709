//! Runs commands: shows them as a user would type them, and reports their failures completely.

use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// A command that takes longer is assumed to hang, and is killed.
const LIMIT: Duration = Duration::from_secs(900);

/// Returns the command as a user would type it: the program's name without its directory, and arguments quoted as a
/// shell needs.
#[must_use]
pub fn line(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    let name = program.rsplit('/').next().unwrap_or_default().to_owned();
    let words = command.get_args().map(|word| quoted(&word.to_string_lossy()));
    std::iter::once(name).chain(words).collect::<Vec<_>>().join(" ")
}

/// Runs the command, and returns its output and status, whatever its exit code. After a quarter of an hour it is
/// killed.
pub fn output(command: &mut Command) -> Result<Output> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().with_context(|| format!("starting {:?}", command.get_program()))?;
    let pid = Pid::from_child(&child);
    let (ended, waiting) = channel::<()>();
    let watchdog = thread::spawn(move || {
        if waiting.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
            let _ = kill_process(pid, Signal::KILL);
        }
    });
    let output = child.wait_with_output();
    drop(ended);
    let _ = watchdog.join();
    Ok(output?)
}

/// Runs the command, and returns its standard output. Any exit code but 0 is an error that contains all its output.
pub fn stdout(command: &mut Command) -> Result<String> {
    let output = output(command)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("{} ended with {}\n{text}{complaint}", line(command), output.status);
    }
    Ok(text)
}

/// Quotes the word for a shell.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "%+,-./:=@_".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_command_can_be_pasted_into_a_shell() {
        let mut command = Command::new("/usr/bin/printf");
        command.args(["%s|", "plain", "", "two words", "it's", "$HOME"]);
        let pasted = stdout(Command::new("sh").args(["-c", &line(&command)])).unwrap();
        assert_eq!(pasted, "plain||two words|it's|$HOME|");
    }

    #[test]
    fn a_failed_command_tells_its_line_its_code_and_its_words() {
        let error = stdout(Command::new("sh").args(["-c", "echo out; echo oops >&2; exit 3"])).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("exit status: 3") && text.contains("out\n") && text.contains("oops\n"),
            "{text}"
        );
    }
}
