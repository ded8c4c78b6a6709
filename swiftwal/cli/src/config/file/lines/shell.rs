//! The shell's own language in a file that is meant for a shell, such as an `openrc` of OpenStack's dashboard.

/// The words with which a line that sets nothing begins.
const COMMANDS: [&str; 24] = [
    ".", "[", "[[", "case", "do", "done", "echo", "elif", "else", "esac", "exit", "fi", "for", "if",
    "printf", "read", "return", "set", "source", "stty", "test", "then", "unset", "while",
];

/// Whether the line is a command that sets no variable to a value.
pub(super) fn is_command(line: &str) -> bool {
    let line = line.trim();
    let word = line.split([' ', '\t', ';']).next().unwrap_or_default();
    COMMANDS.contains(&word) && !line[word.len()..].trim_start().starts_with('=')
        || word == "export" && !line.contains('=')
}

/// Whether the value is that of a shell variable: `$NAME` or `${NAME}`, perhaps in double quotes.
pub(super) fn is_reference(value: &str) -> bool {
    let text = value.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(value);
    let Some(name) = text.strip_prefix('$') else { return false };
    let name = name.strip_prefix('{').and_then(|name| name.strip_suffix('}')).unwrap_or(name);
    let is_part = |byte: u8| byte == b'_' || byte.is_ascii_alphanumeric();
    name.bytes().all(is_part) && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
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
    fn only_a_whole_variable_is_a_reference() {
        for value in ["$OS_PASSWORD_INPUT", "\"$x\"", "${X}", "\"${_1}\""] {
            assert!(is_reference(value), "{value}");
        }
        for value in ["", "$", "pa$word", "$1", "$a-b", "'$x'", "${X:-y}", "\"$x", "$(id)", "plain"] {
            assert!(!is_reference(value), "{value}");
        }
    }
}
