//! The parts of a file that have no effect, and the notice about them.

use std::collections::BTreeSet;

/// The parts of a file that have no effect.
#[derive(Default)]
pub(super) struct Skipped {
    /// The lines of shell commands.
    pub(super) commands: Vec<usize>,
    /// The variables of the OpenStack tools and the shell that aren't used.
    pub(super) unused: BTreeSet<String>,
    /// The settings whose value is that of a shell variable.
    pub(super) shell_values: Vec<ShellValue>,
}

/// An assignment of a value that only the shell has.
pub(super) struct ShellValue {
    pub(super) name: String,
    pub(super) line: usize,
    /// The line that sets the variable to a known value.
    pub(super) kept_line: Option<usize>,
}

impl Skipped {
    /// Removes what was noted about the variable `name`.
    pub(super) fn forget(&mut self, name: &str) {
        self.unused.remove(name);
        self.shell_values.retain(|value| value.name != name);
    }

    /// Whether the variable `name` may have a value that only the shell has.
    pub(super) fn has_shell_value(&self, name: &str) -> bool {
        self.shell_values.iter().any(|value| value.name == name)
    }

    /// Returns the notice; none if nothing was skipped.
    pub(super) fn notice(&self) -> Option<String> {
        let Self { commands, unused, shell_values } = self;
        let mut parts = Vec::new();
        if !commands.is_empty() {
            let lines = commands.iter().map(usize::to_string).collect();
            let plural = if commands.len() == 1 { "" } else { "s" };
            parts.push(format!("shell commands are skipped (line{plural} {})", list(lines)));
        }
        if !unused.is_empty() {
            let names: Vec<_> = unused.iter().cloned().collect();
            let verb = if unused.len() == 1 { "isn't" } else { "aren't" };
            parts.push(format!("{} {verb} used", list(names)));
        }
        parts.extend(shell_values.iter().map(ShellValue::notice));
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

impl ShellValue {
    fn notice(&self) -> String {
        let Self { name, line, kept_line } = self;
        let effect = match kept_line {
            Some(kept_line) => format!(", so the value in line {kept_line} is kept"),
            None => " and counts as missing: write its value there, or set it in the environment".to_owned(),
        };
        format!("{name} in line {line} refers to a shell variable{effect}")
    }
}

/// As text: `a, b and c`.
fn list(mut items: Vec<String>) -> String {
    let last = items.pop().unwrap_or_default();
    if items.is_empty() { last } else { format!("{} and {last}", items.join(", ")) }
}
