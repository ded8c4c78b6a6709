//! Tests of commands that aren't always executed, and of commands that set nothing.

use super::{CONDITION, NOT_OF_THE_FORM, notice, read, settings};

const DEFAULT: &str = "[ -z \"$OS_REGION_NAME\" ] && export OS_REGION_NAME=west";

fn assert_refused(line: usize, text: &str) {
    assert_eq!(notice(text), format!("line {line}: whether OS_REGION_NAME is set {CONDITION}"), "{text}");
}

#[test]
fn a_default_that_depends_on_a_second_test_is_refused() {
    for (line, before) in [
        (1, "[ \"$SITE\" = west ] && "),
        (1, "[ \"$SITE\" = west ] || "),
        (1, "false || "),
        (1, "true | "),
        (2, "[ \"$SITE\" = west ] &&\n"),
        (4, "[ \"$SITE\" = west ] || # or else\n\n# the default\n"),
    ] {
        assert_refused(line, &format!("{before}{DEFAULT}"));
    }
    assert_refused(1, "[ -z \"$OS_REGION_NAME\" ] && [ \"$SITE\" = west ] && OS_REGION_NAME=west");
    assert_refused(1, "[ \"$SITE\" = west ]&&export OS_REGION_NAME=west");
    assert_refused(2, "[ \"$SITE\" = west ] &&\nexport OS_REGION_NAME=west");
    assert_eq!(read(&format!("true; {DEFAULT} || true")).0, "REGION_NAME=west");
}

#[test]
fn an_if_with_more_than_one_test_is_refused() {
    for (line, tests) in [
        (1, "[ -z \"$OS_REGION_NAME\" ] && [ \"$SITE\" = west ];"),
        (1, "[ -z \"$OS_REGION_NAME\" ]&&[ \"$SITE\" = west ];"),
        (1, "[ -z \"$OS_REGION_NAME\" ] || [ \"$SITE\" = west ];"),
        (1, "[ -z \"$OS_REGION_NAME\" ] | grep west;"),
        (1, "[ -z \"$OS_REGION_NAME\" ]; [ \"$SITE\" = west ];"),
        (1, "[[ -z $OS_REGION_NAME && $SITE = west ]];"),
        (2, "[ -z \"$OS_REGION_NAME\" ] &&\n [ \"$SITE\" = west ];"),
        (2, "[ -z \"$OS_REGION_NAME\" ] ||\n [ \"$SITE\" = west ];"),
        (2, "[ -z \"$OS_REGION_NAME\" ]\n [ \"$SITE\" = west ];"),
    ] {
        assert_refused(line, &format!("if {tests} then export OS_REGION_NAME=west; fi"));
    }
    assert_refused(1, "if export OS_REGION_NAME=west || true; then true; fi");
    assert_refused(2, "OS_REGION_NAME=a\nif unset OS_REGION_NAME; then true; fi");
    assert_refused(1, "while OS_REGION_NAME=west; do break; done");
    let inner = "if [ -z \"$OS_REGION_NAME\" ]; then OS_REGION_NAME=west; fi";
    assert_refused(1, &format!("[ \"$SITE\" = west ] && {inner}"));
    assert_refused(2, &format!("[ \"$SITE\" = west ] ||\n{inner}"));
    assert_eq!(read(&format!("true; {inner}; true")).0, "REGION_NAME=west");
}

#[test]
fn a_group_of_commands_is_a_condition() {
    let guard = "[ -f ~/.pw ] || { echo \"no password\"; return 1; }\nPGPORT=1";
    assert_eq!(read(guard), ("PGPORT=1".to_owned(), "shell commands are skipped (line 1)".to_owned()));
    let guard = "[ -f ~/.pw ] || {\n  echo \"no password\"\n  frobnicate\n}\nPGPORT=1";
    let told = "shell commands are skipped (lines 1, 2 and 3)";
    assert_eq!(read(guard), ("PGPORT=1".to_owned(), told.to_owned()));
    assert_refused(1, "[ \"$SITE\" = west ] && { export OS_REGION_NAME=west; }");
    assert_refused(2, "[ \"$SITE\" = west ] && {\n  export OS_REGION_NAME=west\n}");
    assert_refused(1, "[ -z \"$OS_REGION_NAME\" ] && { true; OS_REGION_NAME=west; }");
    assert_refused(2, "if [ -z \"$OS_REGION_NAME\" ]; then\n  set_it() { OS_REGION_NAME=west; }\nfi");
}

#[test]
fn commands_that_set_nothing_are_skipped() {
    for line in [
        "read -s X; clear",
        "echo hi; true",
        "set -a; umask 077",
        "umask 077",
        "stty -echo; read -r X; stty echo; echo",
        "[ -f x ] && cat x || frobnicate -x",
    ] {
        let skipped = ("PGPORT=1".to_owned(), "shell commands are skipped (line 2)".to_owned());
        assert_eq!(read(&format!("PGPORT=1\n{line}")), skipped, "{line}");
    }
    for line in ["echo hi; declare -x OS_REGION_NAME=west", "echo hi; OS_REGION_NAME+=west", "PGUSER=a; cd"] {
        assert_eq!(notice(&format!("PGPORT=1\n{line}")), format!("line 2: {NOT_OF_THE_FORM}"), "{line}");
    }
}

#[test]
fn a_command_that_goes_on_in_the_next_lines_is_refused() {
    let quote = "a quote or bracket isn't closed in this line; write the command in one line, or remove it";
    for text in [
        "PGPORT=1\necho \"choose:\nexport OS_REGION_NAME=west\n\"",
        "PGPORT=1\nexport PS1='\nOS_REGION_NAME=west'",
        "PGPORT=1\nfor key in $( set |\n awk '{print $1}'); do unset $key; done",
    ] {
        assert_eq!(notice(text), format!("line 2: {quote}"), "{text}");
    }
    let text = "if [ -z \"$OS_REGION_NAME\" ]; then\n  cat <<EOF\nOS_REGION_NAME=west\nEOF\nfi";
    let told =
        "line 2: the lines below belong to this command (<<), and can't be told from settings; remove them";
    assert_eq!(notice(text), told);
    assert_eq!(read("echo <<< x # don't\nPGPORT=1 # don't").0, "PGPORT=1");
}

#[test]
fn a_backslash_at_the_end_of_a_line_is_refused() {
    let told = "line 1: a backslash at the end continues the command in the next line; write it in one line, and put a \
                value that ends in a backslash in single quotes";
    for text in [
        "[ \"$SITE\" = west ] && \\\nexport OS_REGION_NAME=west",
        "if [ -z \"$OS_REGION_NAME\" ] \\\n && [ \"$SITE\" = west ]; then OS_REGION_NAME=west; fi",
        "export OS_USERNAME=a \\\n  OS_REGION_NAME=west",
        "unset OS_REGION_NAME \\\n  OS_TENANT_ID",
        "OS_PASSWORD=abc\\",
    ] {
        assert_eq!(notice(text), told, "{text}");
    }
    for text in ["OS_PASSWORD='abc\\'", "OS_PASSWORD=abc\\\\", "OS_PASSWORD='abc\\' # a\\"] {
        assert_eq!(settings(text), "PASSWORD=abc\\", "{text}");
    }
}

#[test]
fn a_default_of_what_only_the_shell_knows_is_refused() {
    for (line, text) in [
        (
            2,
            "if [ -f /etc/region ]; then OS_REGION_NAME=$(cat /etc/region); fi\nexport OS_REGION_NAME=${OS_REGION_NAME:-west}",
        ),
        (2, "OS_REGION_NAME=$REGION\nOS_REGION_NAME=${OS_REGION_NAME:-west}"),
        (2, "OS_REGION_NAME=$REGION\n[ -z \"$OS_REGION_NAME\" ] && OS_REGION_NAME=west"),
    ] {
        assert_refused(line, text);
    }
}

#[test]
fn a_setting_in_a_command_that_is_not_understood_is_refused() {
    for text in [
        "case $(hostname) in db2*) OS_REGION_NAME=east;; esac",
        "if [ -f /etc/x ]; then declare -x OS_REGION_NAME=west; fi",
        "if [ -f /etc/x ]; then readonly OS_REGION_NAME=west; fi",
    ] {
        assert_refused(1, text);
    }
    assert!(notice("export $(grep -v '^#' x.env | xargs)").contains("shell commands are skipped (line 1)"));
}
