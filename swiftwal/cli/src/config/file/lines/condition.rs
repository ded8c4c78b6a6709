//! When a command of the file is executed: it may depend on the command before it, and on the blocks around it.

use super::shell::{self, Command};

/// When a command is executed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition<'a> {
    Always,
    /// If the variable of this name is empty.
    IfEmpty(&'a str),
    /// If something is the case that isn't known here.
    Unknown,
}

/// The conditions, loops and groups around a command.
#[derive(Default)]
pub(super) struct Blocks<'a>(Vec<Block<'a>>);

struct Block<'a> {
    condition: Condition<'a>,
    /// Whether its `then` was read. Before that, another command is another test.
    is_entered: bool,
}

impl<'a> Blocks<'a> {
    pub(super) fn begin(&mut self, condition: Condition<'a>) {
        self.0.push(Block { condition, is_entered: false });
    }

    /// Begins an `if` that only tests whether a variable is empty; `false` if it tests something else or depends on it.
    pub(super) fn begin_default(&mut self, test: &[&'a str], condition: Condition<'a>) -> bool {
        let tested = shell::tested_for_empty(test).filter(|_| condition == Condition::Always);
        tested.is_some_and(|name| {
            self.begin(Condition::IfEmpty(name));
            true
        })
    }

    /// Ends the innermost block; `false` if there is none.
    pub(super) fn end(&mut self) -> bool {
        self.0.pop().is_some()
    }

    /// Reads the words of a command up to the command itself, and returns how many they are.
    pub(super) fn enter(&mut self, words: &[&str]) -> usize {
        let count = words.iter().take_while(|word| self.is_keyword(word)).count();
        if count < words.len()
            && let Some(block) = self.0.last_mut().filter(|block| !block.is_entered)
        {
            block.condition = Condition::Unknown;
        }
        count
    }

    fn is_keyword(&mut self, word: &str) -> bool {
        if word == "{" {
            self.begin(Condition::Unknown);
            return true;
        }
        let Some(block) = self.0.last_mut() else { return false };
        match word {
            "then" => block.is_entered = true,
            "else" | "elif" => block.condition = Condition::Unknown,
            "do" | "!" => {}
            // A pattern of a `case`.
            _ => return word.ends_with(')') && !word.contains('='),
        }
        true
    }

    /// Returns when a command is executed that follows `previous` and the separator `after` it.
    pub(super) fn condition(&self, after: Option<&str>, previous: Option<&Command<'a>>) -> Condition<'a> {
        match (&self.0[..], after) {
            ([], None | Some(";" | ";;" | "&")) => Condition::Always,
            ([], Some("&&")) => previous
                .filter(|previous| matches!(previous.after, None | Some(";")))
                .and_then(|previous| shell::tested_for_empty(&previous.words))
                .map_or(Condition::Unknown, Condition::IfEmpty),
            ([block], None | Some(";")) => block.condition,
            _ => Condition::Unknown,
        }
    }
}
