//! The shell's own language in a file that is meant for a shell, such as an `openrc` of OpenStack's dashboard.

use std::iter;

use super::value::Reference;

/// The words with which a line that sets nothing begins.
const COMMANDS: [&str; 32] = [
    ".", "[", "[[", "case", "clear", "do", "done", "echo", "elif", "else", "esac", "exit", "false", "fi",
    "for", "if", "printf", "read", "return", "select", "set", "source", "stty", "test", "then", "true",
    "umask", "unset", "until", "while", "{", "}",
];

/// Words that end a command.
const SEPARATORS: [&str; 6] = [";", ";;", "&", "&&", "||", "|"];

const BACKSLASH: &str = "a backslash at the end continues the command in the next line; write it in one line, and put \
                         a value that ends in a backslash in single quotes";
const NOT_CLOSED: &str =
    "a quote or bracket isn't closed in this line; write the command in one line, or remove it";
const HERE_DOCUMENT: &str =
    "the lines below belong to this command (<<), and can't be told from settings; remove them";

/// A line, split into its commands.
#[derive(Debug, Default)]
pub(super) struct Line<'a> {
    pub(super) commands: Vec<Command<'a>>,
    /// The `&&`, `||` or `|` at its end.
    pub(super) end: Option<&'a str>,
    /// What is wrong if the last command goes on in the next lines.
    pub(super) unfinished: Option<&'static str>,
}

/// One command of a line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Command<'a> {
    /// From its first word on, up to the next command or to the end of the line.
    pub(super) text: &'a str,
    /// The words as they are written, with their quotes.
    pub(super) words: Vec<&'a str>,
    /// The word before it that ends another command.
    pub(super) after: Option<&'a str>,
    /// The word after it that ends it, except for a `;` before another command.
    pub(super) before: Option<&'a str>,
}

impl<'a> Line<'a> {
    /// Splits a line into its commands. Blanks and separators in quotes or in `$(…)` are part of a word, and a `;` inside
    /// a word is if that is an assignment: a password may contain one.
    ///
    /// # Errors
    ///
    /// The line ends in a backslash.
    pub(super) fn parse(line: &'a str) -> Result<Self, &'static str> {
        let (words, is_closed) = words(line);
        let last = words.last().filter(|(place, word)| place + word.len() == line.len());
        if last.is_some_and(|(_, word)| word.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1)
        {
            return Err(BACKSLASH);
        }
        let previous = iter::once("").chain(words.iter().map(|(_, word)| *word));
        let has_here_document = words
            .iter()
            .zip(previous)
            .any(|((_, word), before)| is_here_document(word) && !before.ends_with('='));
        let (commands, end) = commands(line, &words);
        let unfinished =
            if is_closed { has_here_document.then_some(HERE_DOCUMENT) } else { Some(NOT_CLOSED) };
        Ok(Self { commands, end, unfinished })
    }
}

fn is_here_document(word: &str) -> bool {
    let redirection = word.trim_start_matches(char::is_alphanumeric);
    redirection.starts_with("<<") && !redirection.starts_with("<<<")
}

/// Returns the commands, and the `&&`, `||` or `|` at the end.
fn commands<'a>(line: &'a str, words: &[(usize, &'a str)]) -> (Vec<Command<'a>>, Option<&'a str>) {
    let mut commands = Vec::new();
    let mut current = Command::default();
    let mut start = 0;
    for &(place, word) in words {
        if SEPARATORS.contains(&word) {
            current.text = line[start..place].trim();
            current.before = Some(word);
            let next = Command { after: Some(word), ..Command::default() };
            commands.push(std::mem::replace(&mut current, next));
            start = place + word.len();
        } else {
            current.words.push(word);
        }
    }
    current.text = line[start..].trim();
    let end = current.after.filter(|end| current.words.is_empty() && matches!(*end, "&&" | "||" | "|"));
    commands.push(current);
    commands.retain(|command| !command.words.is_empty());
    if let [others @ .., _] = &mut commands[..] {
        others.iter_mut().for_each(|command| command.before = command.before.filter(|end| *end != ";"));
    }
    (commands, end)
}

/// Returns the words of a line, with their places, up to a comment. Also returns whether the last one is closed.
fn words(line: &str) -> (Vec<(usize, &str)>, bool) {
    let mut words = Vec::new();
    let mut place = 0;
    while let Some(length) = line[place..].find(|char: char| !char.is_whitespace()) {
        place += length;
        if line[place..].starts_with('#') {
            break;
        }
        // In `KEY = VALUE`, too, a `;` belongs to the value.
        let is_value = words.last().is_some_and(|(_, before): &(usize, &str)| before.ends_with('='));
        let Some(length) = word_length(&line[place..], is_value) else {
            words.push((place, &line[place..]));
            return (words, false);
        };
        words.push((place, &line[place..place + length]));
        place += length;
    }
    (words, true)
}

/// Returns the length of the word with which `text` begins, which may be the value of an assignment. None if it isn't
/// closed.
fn word_length(text: &str, is_value: bool) -> Option<usize> {
    let mut chars = text.char_indices().peekable();
    let mut closing = Vec::new();
    let mut is_assignment = is_value;
    while let Some((place, char)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        match (closing.last().copied(), char) {
            (Some(quote), _) if char == quote => drop(closing.pop()),
            (Some('\''), _) => {}
            (_, '\\') => drop(chars.next()),
            (_, '$') if matches!(next, Some('(' | '{')) => {
                closing.push(if next == Some('(') { ')' } else { '}' });
                chars.next();
            }
            (_, '`') => closing.push('`'),
            (None | Some(')' | '`'), '\'' | '"') | (Some('}'), '"') => closing.push(char),
            (Some(_), _) => {}
            (None, '=') => is_assignment = true,
            (None, ';') if place == 0 => return Some(if next == Some(';') { 2 } else { 1 }),
            (None, ';') if !is_assignment || next.is_none_or(|next| next == ';' || next.is_whitespace()) => {
                return Some(place);
            }
            (None, '&' | '|') if !is_assignment && next == Some(char) => {
                return Some(if place == 0 { 2 } else { place });
            }
            (None, char) if char.is_whitespace() => return Some(place),
            (None, _) => {}
        }
    }
    closing.is_empty().then_some(text.len())
}

/// Whether the line begins with a command that sets no variable to a value.
pub(super) fn is_command(line: &str) -> bool {
    let line = line.trim();
    let word = line.split([' ', '\t', ';']).next().unwrap_or_default();
    COMMANDS.contains(&word) && !line[word.len()..].trim_start().starts_with('=')
        || word == "export" && !line.contains('=')
}

/// Whether the line is the heading of a table in TOML, such as `[settings]` or `[ settings ]`, rather than a test of a
/// shell, which compares something. One that isn't closed is a heading, too.
pub(super) fn is_heading(line: &str) -> bool {
    let Some(line) = line.trim().strip_prefix('[') else { return false };
    let Some((name, rest)) = line.split_once(']') else { return !line.ends_with('\\') };
    let is_part = |char: char| char.is_alphanumeric() || "_-.\"' \t".contains(char);
    let name = name.trim();
    name.starts_with(|char: char| char != '-' && is_part(char))
        && name.chars().all(is_part)
        && !name.contains(" -")
        && matches!(rest.trim_start().chars().next(), None | Some('#'))
}

/// Returns the variable of which a command, given by its words, tests whether it is empty: `[ -z "$NAME" ]`.
pub(super) fn tested_for_empty<'a>(words: &[&'a str]) -> Option<&'a str> {
    let value = match words {
        ["[", "-z", value, "]"] | ["[[", "-z", value, "]]"] | ["test", "-z", value] => value,
        _ => return None,
    };
    let Reference { name, default } = Reference::parse(value)?;
    default.is_none_or(str::is_empty).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_from_assignments() {
        for line in [
            "if [ -z \"$OS_REGION_NAME\" ]; then unset OS_REGION_NAME; fi",
            "read -sr OS_PASSWORD_INPUT",
            "  unset OS_TENANT_ID",
            "fi;",
            "export OS_PASSWORD",
        ] {
            assert!(is_command(line), "{line}");
        }
        for line in
            ["export OS_PASSWORD=x", "OS_PASSWORD=if", "set = 'x'", "readonly X=1", "container = 'if'"]
        {
            assert!(!is_command(line), "{line}");
        }
    }

    #[test]
    fn a_line_is_split_into_the_commands_and_words_that_a_shell_sees() {
        let shown = |line| {
            let shown = |command: Command<'_>| {
                format!(
                    "{}{}",
                    command.after.map(|after| format!("{after} ")).unwrap_or_default(),
                    command.words.join("|")
                )
            };
            Line::parse(line).unwrap().commands.into_iter().map(shown).collect::<Vec<_>>()
        };
        for (line, expected) in [
            ("export A='b; c' D=\"e # f\" # g; h", &["export|A='b; c'|D=\"e # f\""][..]),
            ("if [ -z \"$X\" ];then unset X;fi", &["if|[|-z|\"$X\"|]", "; then|unset|X", "; fi"]),
            ("[ -z $X ] && export X=y || true", &["[|-z|$X|]", "&& export|X=y", "|| true"]),
            ("OS_PASSWORD=a;b", &["OS_PASSWORD=a;b"]),
            ("A=b; C=d;", &["A=b", "; C=d"]),
            ("A=\\;\\ b", &["A=\\;\\ b"]),
            ("A=${A:-\"b c\"} D=`e f`", &["A=${A:-\"b c\"}|D=`e f`"]),
            (
                "for key in $( set | awk '{FS=\"=\"}  /^OS_/ {print $1}' ); do unset $key ; done",
                &["for|key|in|$( set | awk '{FS=\"=\"}  /^OS_/ {print $1}' )", "; do|unset|$key", "; done"],
            ),
            ("a) export X=y;;", &["a)|export|X=y"]),
            ("A='b c", &["A='b c"]),
            (";; ;", &[]),
        ] {
            assert_eq!(shown(line), expected, "{line}");
        }
    }

    #[test]
    fn a_heading_is_told_from_a_test() {
        for heading in ["[settings]", " [ settings ] # x", "[\"settings\"]", "[settings", "[ settings"] {
            assert!(is_heading(heading), "{heading}");
        }
        for test in
            ["[ -z \"$X\" ] && X=y", "[ -n $X ]", "[[ $X ]]", "[ a -nt b ]", "[ -z \"$X\" \\", "X=[a]"]
        {
            assert!(!is_heading(test), "{test}");
        }
    }
}
