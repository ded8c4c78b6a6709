//! Tests of values that can't be taken as they are written, and of messages about them.

use super::{notice, read, settings};

/// With the password written above the prompt.
const PROMPT: &str = r#"export OS_PASSWORD=secret
echo "Please enter your OpenStack Password: "
read -sr OS_PASSWORD_INPUT
export OS_PASSWORD=$OS_PASSWORD_INPUT
"#;

#[test]
fn a_value_that_only_the_shell_has_replaces_none_that_is_known() {
    let told = "shell commands are skipped (lines 2 and 3); OS_PASSWORD in line 4 refers to a shell variable, so the \
                value in line 1 is kept";
    assert_eq!(read(PROMPT), ("PASSWORD=secret".to_owned(), told.to_owned()));
    assert_eq!(read(&format!("{PROMPT}unset OS_PASSWORD")).0, "");

    let missing = "OS_PASSWORD in line 2 refers to a shell variable and counts as missing: write its value there, or \
                   set it in the environment";
    assert_eq!(read("OS_PASSWORD=''\nOS_PASSWORD=$IN"), (String::new(), missing.to_owned()));
}

#[test]
fn an_assignment_that_changes_nothing_is_accepted() {
    for line in [
        "export OS_USERNAME=$OS_USERNAME",
        "OS_USERNAME=\"${OS_USERNAME}\"",
        "[ -n \"$1\" ] && export OS_USERNAME=$OS_USERNAME",
        "[ -n \"$1\" ] && export OS_USERNAME=${OS_USERNAME:-other}",
        "OS_USERNAME=u",
    ] {
        assert_eq!(read(&format!("OS_USERNAME=u\n{line}")).0, "USERNAME=u", "{line}");
    }
    let again = notice("CONTAINER=a\nSWIFTWAL_CONTAINER=$OTHER\nCONTAINER=b");
    assert_eq!(again, "line 3: the same key as in line 1; keep one of the two");
}

#[test]
fn a_secret_without_quotes_before_the_end_of_a_command_is_refused() {
    for (text, end) in [
        ("OS_PASSWORD=abc;", ";"),
        ("export OS_PASSWORD=abc ; # comment", ";"),
        ("OS_TOKEN = abc;", ";"),
        ("OS_PASSWORD=abc;;", ";;"),
        ("export OS_USERNAME=a OS_PASSWORD=abc;", ";"),
        ("OS_PASSWORD=my & word", "&"),
        ("OS_PASSWORD=my && word", "&&"),
        ("OS_PASSWORD=my | word", "|"),
        ("if [ -z \"$OS_PASSWORD\" ]; then\n  OS_PASSWORD=abc;\nfi", ";"),
    ] {
        let name = if text.contains("TOKEN") { "OS_TOKEN" } else { "OS_PASSWORD" };
        let told = format!(
            "the value of {name} is followed by '{end}'; put it in single quotes, with the '{end}' if that belongs to it"
        );
        assert_eq!(notice(text).split_once(": ").map(|(_, told)| told.to_owned()), Some(told), "{text}");
    }
    let subshell = "line 1: the value of OS_USERNAME is followed by '&'; put it in single quotes, with the '&' if that \
                    belongs to it";
    assert_eq!(notice("OS_USERNAME=my & true"), subshell);
    for text in [
        "OS_PASSWORD='abc';",
        "OS_PASSWORD=\"abc\" ;",
        "OS_PASSWORD=abc; export OS_PASSWORD",
        "if [ -z \"$OS_PASSWORD\" ]; then OS_PASSWORD=abc; fi",
    ] {
        assert_eq!(settings(text), "PASSWORD=abc", "{text}");
    }
    assert_eq!(settings("OS_USERNAME=u;"), "USERNAME=u");
}

#[test]
fn a_part_of_a_secret_is_in_no_message() {
    for text in [
        "OS_PASSWORD=my SECRET=word",
        "export OS_USERNAME=u OS_PASSWORD=my SECRET=word",
        "OS_SERVICE_TOKEN=my SECRET=word",
        "OS_PASSCODE=my SECRET=word",
        "OS_PASSWORD=my; SECRET=word",
        "OS_PASSWORD = my SECRET=word",
        "OS_PASSWORD=my SECRET=two words",
    ] {
        let told = notice(text);
        assert!(told.contains(" has spaces; put it in single quotes"), "{text}: {told}");
        assert!(!told.contains("'SECRET'") && !told.contains("of SECRET"), "{text}: {told}");
    }
}

#[test]
fn a_value_in_an_if_that_a_shell_reads_differently_is_refused() {
    for (value, told) in [
        (r#""pa$x""#, "contains a '$' or '`', which isn't expanded here; put it in single quotes"),
        ("pa$x", "contains a '$' or '`'"),
        ("'pa", "has no closing quote"),
        ("\"pa", "has no closing quote"),
    ] {
        let refused = notice(&format!("if [ -z \"$OS_PASSWORD\" ]; then\n  OS_PASSWORD={value}\nfi"));
        assert!(
            refused.starts_with(&format!("line 2: the value of OS_PASSWORD {told}")),
            "{value}: {refused}"
        );
    }
    for value in ["$(cat pw)", "\"$(cat pw)\"", "`cat pw`", "$IN", "\"${IN}\""] {
        let told = notice(&format!("if [ -z \"$OS_PASSWORD\" ]; then OS_PASSWORD={value}; fi"));
        assert!(told.starts_with("OS_PASSWORD in line 1 refers to a shell variable"), "{value}: {told}");
    }
}

#[test]
fn an_empty_value_before_another_assignment_is_empty() {
    assert_eq!(settings("export OS_TENANT_ID= OS_TENANT_NAME=foo"), "TENANT_ID= TENANT_NAME=foo");
}
