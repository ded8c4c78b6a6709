//! The parts of a file that have no effect, and the notice about them.

use std::collections::BTreeSet;

/// The parts of a file that have no effect.
#[derive(Default)]
pub(super) struct Skipped {
    /// The lines of shell commands.
    pub(super) commands: Vec<usize>,
    /// The variables of the OpenStack tools and the shell that aren't used.
    pub(super) unused: BTreeSet<String>,
    /// The settings whose value is that of a shell variable, with their lines.
    pub(super) references: Vec<(String, usize)>,
}

impl Skipped {
    /// Removes what was noted about the variable `name`.
    pub(super) fn forget(&mut self, name: &str) {
        self.unused.remove(name);
        self.references.retain(|(reference, _)| reference != name);
    }

    /// Returns the notice; none if nothing was skipped.
    pub(super) fn notice(&self) -> Option<String> {
        let Self { commands, unused, references } = self;
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
        for (name, line) in references {
            parts.push(format!(
                "{name} in line {line} refers to a shell variable and counts as missing: write its value there, or set \
                 it in the environment"
            ));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

/// As text: `a, b and c`.
fn list(mut items: Vec<String>) -> String {
    let last = items.pop().unwrap_or_default();
    if items.is_empty() { last } else { format!("{} and {last}", items.join(", ")) }
}
