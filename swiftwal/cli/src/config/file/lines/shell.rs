//! The shell's own language in a file that is meant for a shell, such as an `openrc` of OpenStack's dashboard.

use super::value::Reference;

/// The words with which a line that sets nothing begins.
const COMMANDS: [&str; 26] = [
    ".", "[", "[[", "case", "do", "done", "echo", "elif", "else", "esac", "exit", "fi", "for", "if",
    "printf", "read", "return", "select", "set", "source", "stty", "test", "then", "unset", "until", "while",
];

/// Words that end a command.
const SEPARATORS: [&str; 5] = [";", ";;", "&", "&&", "||"];

/// One command of a line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Command<'a> {
    /// From its first word on, up to the next command or to the end of the line.
    pub(super) text: &'a str,
    /// The words as they are written, with their quotes.
    pub(super) words: Vec<&'a str>,
    /// The word before it that ends another command.
    pub(super) after: Option<&'a str>,
}

/// Splits a line into its commands. Blanks and separators in quotes or in `$(…)` are part of a word, and a `;` inside a
/// word is if that is an assignment: a password may contain one.
pub(super) fn commands(line: &str) -> Vec<Command<'_>> {
    let mut commands = Vec::new();
    let mut current = Command::default();
    let mut start = 0;
    for (place, word) in words(line) {
        let is_separator = SEPARATORS.contains(&word) || word == "|";
        if is_separator {
            current.text = line[start..place].trim();
            let next = Command { after: Some(word), ..Command::default() };
            commands.push(std::mem::replace(&mut current, next));
            start = place + word.len();
        } else {
            current.words.push(word);
        }
    }
    current.text = line[start..].trim();
    commands.push(current);
    commands.retain(|command| !command.words.is_empty());
    commands
}

/// Returns the words of a line, with their places, up to a comment.
fn words(line: &str) -> Vec<(usize, &str)> {
    let mut words = Vec::new();
    let mut place = 0;
    while let Some(length) = line[place..].find(|char: char| !char.is_whitespace()) {
        place += length;
        if line[place..].starts_with('#') {
            break;
        }
        // In `KEY = VALUE`, too, a `;` belongs to the value.
        let is_value = words.last().is_some_and(|(_, before): &(usize, &str)| before.ends_with('='));
        let end = place + word_length(&line[place..], is_value);
        words.push((place, &line[place..end]));
        place = end;
    }
    words
}

/// Returns the length of the word with which `text` begins, which may be the value of an assignment.
fn word_length(text: &str, is_value: bool) -> usize {
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
            (None, ';') if place == 0 => return if next == Some(';') { 2 } else { 1 },
            (None, ';') if !is_assignment || next.is_none_or(|next| next == ';' || next.is_whitespace()) => {
                return place;
            }
            (None, char) if char.is_whitespace() => return place,
            (None, _) => {}
        }
    }
    text.len()
}

/// Whether the line begins with a command that sets no variable to a value.
pub(super) fn is_command(line: &str) -> bool {
    let line = line.trim();
    let word = line.split([' ', '\t', ';']).next().unwrap_or_default();
    COMMANDS.contains(&word) && !line[word.len()..].trim_start().starts_with('=')
        || word == "export" && !line.contains('=')
}

/// Returns how many of the words precede the command itself in a condition or loop: `then`, the pattern of a `case`.
pub(super) fn prefixes(words: &[&str]) -> usize {
    let is_pattern = |word: &str| word.ends_with(')') && !word.contains('=');
    let is_prefix = |word: &&&str| {
        matches!(**word, "then" | "else" | "elif" | "do" | "{" | "}" | "!") || is_pattern(word)
    };
    words.iter().take_while(is_prefix).count()
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
            commands(line).into_iter().map(shown).collect::<Vec<_>>()
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
