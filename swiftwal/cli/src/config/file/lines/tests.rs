//! Tests of whole files, as clouds offer them or administrators write them.

use super::*;

/// Returns the settings as `KEY=VALUE`, the names without `OS_`, and the notice. Or the error, with its line.
fn read(text: &str) -> (String, String) {
    let names = SettingNames::of(&swiftwal_backends::registry());
    match parse(text, &names) {
        Ok(Parsed { entries, skipped }) => {
            let shown =
                |entry: &Entry| format!("{}={}", entry.key.name().trim_start_matches("OS_"), entry.value);
            let shown: Vec<_> = entries.iter().map(shown).collect();
            (shown.join(" "), skipped.notice().unwrap_or_default())
        }
        Err(Problem { line, problem }) => (String::new(), format!("line {line}: {problem}")),
    }
}

fn settings(text: &str) -> String {
    let (settings, notice) = read(text);
    assert_eq!(notice, "", "{text}");
    settings
}

fn notice(text: &str) -> String {
    read(text).1
}

const CONDITION: &str = "depends on a condition, which isn't evaluated here; move it out of the condition";

#[test]
fn the_form_is_recognised_by_the_first_line_with_content() {
    for lines in ["# conf\n\nexport OS_AUTH_URL=x", "CONTAINER = c", "NONSENSE=1", "[ -z $X ] && Y=1\nX=1"] {
        assert!(looks_like_lines(lines), "{lines}");
    }
    for toml in [
        "",
        "# conf\nrepository = 'x'",
        "[settings]\nOS_AUTH_URL = 'x'",
        "[ settings ]\nOS_AUTH_URL = 'x'",
        "[ settings\nOS_AUTH_URL = 'x'",
    ] {
        assert!(!looks_like_lines(toml), "{toml}");
    }
}

/// As Horizon offers it, with a deployment's own `if` around the prompt.
const HORIZON_V3: &str = r#"#!/usr/bin/env bash
# To use an OpenStack cloud you need to authenticate against keystone.
export OS_AUTH_URL=https://keystone.example.org:5000/v3
# The owner of the resources is the **project**.
export OS_PROJECT_ID=0123456789abcdef
export OS_PROJECT_NAME="demo"
export OS_USER_DOMAIN_NAME="Default"
if [ -z "$OS_USER_DOMAIN_NAME" ]; then unset OS_USER_DOMAIN_NAME; fi
export OS_PROJECT_DOMAIN_ID="default"
if [ -z "$OS_PROJECT_DOMAIN_ID" ]; then unset OS_PROJECT_DOMAIN_ID; fi
# unset v2.0 items in case set
unset OS_TENANT_ID
unset OS_TENANT_NAME
export OS_USERNAME="demo"
# With Keystone you pass the keystone password.
if [ -z "$OS_PASSWORD" ]; then
    echo "Please enter your OpenStack Password for project $OS_PROJECT_NAME as user $OS_USERNAME: "
    read -sr OS_PASSWORD_INPUT
    export OS_PASSWORD=$OS_PASSWORD_INPUT
fi
export OS_REGION_NAME=""
# Don't leave a blank variable, unset it if it was empty
if [ -z "$OS_REGION_NAME" ]; then unset OS_REGION_NAME; fi
export OS_INTERFACE=public
export OS_IDENTITY_API_VERSION=3
"#;

#[test]
fn the_openrc_of_horizon() {
    let (settings, notice) = read(HORIZON_V3);
    let expected = "AUTH_URL=https://keystone.example.org:5000/v3 IDENTITY_API_VERSION=3 INTERFACE=public \
                    PROJECT_DOMAIN_ID=default PROJECT_ID=0123456789abcdef PROJECT_NAME=demo REGION_NAME= \
                    USERNAME=demo USER_DOMAIN_NAME=Default";
    assert_eq!(settings, expected);
    assert_eq!(
        notice,
        "shell commands are skipped (lines 17 and 18); OS_PASSWORD in line 19 refers to a shell variable and counts as \
         missing: write its value there, or set it in the environment"
    );
    let with_password = HORIZON_V3.replace("$OS_PASSWORD_INPUT", "'pa$$'");
    assert!(
        read(&with_password).0.contains(" PASSWORD=pa$$ "),
        "the default of an `if` for an empty variable"
    );
}

#[test]
fn the_openrc_of_horizon_for_keystone_2() {
    let text = r#"#!/usr/bin/env bash
# *NOTE*: Using the 2.0 *Identity API* does not mean that other APIs are version 2.0.
export OS_AUTH_URL=https://keystone.example.org:5000/v2.0
export OS_TENANT_ID=0123456789abcdef
export OS_TENANT_NAME="demo"
# unset v3 items in case set
unset OS_PROJECT_ID
unset OS_PROJECT_NAME
unset OS_USER_DOMAIN_NAME
unset OS_INTERFACE
export OS_USERNAME="demo"
export OS_PASSWORD="it's 5\$" # was: read -sr OS_PASSWORD_INPUT
export OS_REGION_NAME="RegionOne"
if [ -z "$OS_REGION_NAME" ]; then unset OS_REGION_NAME; fi
export OS_ENDPOINT_TYPE=publicURL
export OS_IDENTITY_API_VERSION=2
"#;
    let expected = "AUTH_URL=https://keystone.example.org:5000/v2.0 ENDPOINT_TYPE=publicURL IDENTITY_API_VERSION=2 \
                    PASSWORD=it's 5$ REGION_NAME=RegionOne TENANT_ID=0123456789abcdef TENANT_NAME=demo USERNAME=demo";
    assert_eq!(settings(text), expected);
}

#[test]
fn the_openrc_of_horizon_for_an_application_credential() {
    let text = r#"#!/usr/bin/env bash

export OS_AUTH_TYPE=v3applicationcredential
export OS_AUTH_URL=https://keystone.example.org/identity/v3
export OS_IDENTITY_API_VERSION=3
export OS_REGION_NAME="RegionOne"
export OS_INTERFACE=public
export OS_APPLICATION_CREDENTIAL_ID=0123
export OS_APPLICATION_CREDENTIAL_SECRET=4567-_abc
"#;
    let expected = "APPLICATION_CREDENTIAL_ID=0123 APPLICATION_CREDENTIAL_SECRET=4567-_abc \
                    AUTH_TYPE=v3applicationcredential AUTH_URL=https://keystone.example.org/identity/v3 \
                    IDENTITY_API_VERSION=3 INTERFACE=public REGION_NAME=RegionOne";
    assert_eq!(settings(text), expected);
}

#[test]
fn the_openrc_of_ovh_whose_domains_are_defaults() {
    let text = r#"#!/usr/bin/env bash
export OS_AUTH_URL=https://auth.cloud.ovh.net/v3
export OS_IDENTITY_API_VERSION=3

export OS_USER_DOMAIN_NAME=${OS_USER_DOMAIN_NAME:-"Default"}
export OS_PROJECT_DOMAIN_NAME=${OS_PROJECT_DOMAIN_NAME:-"Default"}

export OS_TENANT_ID=0123456789abcdef
export OS_TENANT_NAME="0123456789"
export OS_USERNAME="user-abc"
echo "Please enter your OpenStack Password: "
read -sr OS_PASSWORD_INPUT
export OS_PASSWORD=$OS_PASSWORD_INPUT
export OS_REGION_NAME="GRA"   # or SBG; DE
if [ -z "$OS_REGION_NAME" ]; then unset OS_REGION_NAME; fi
"#;
    let (settings, notice) = read(text);
    let expected = "AUTH_URL=https://auth.cloud.ovh.net/v3 IDENTITY_API_VERSION=3 PROJECT_DOMAIN_NAME=Default \
                    REGION_NAME=GRA TENANT_ID=0123456789abcdef TENANT_NAME=0123456789 USERNAME=user-abc \
                    USER_DOMAIN_NAME=Default";
    assert_eq!(settings, expected);
    assert!(
        notice.starts_with("shell commands are skipped (lines 11 and 12); OS_PASSWORD in line 13 "),
        "{notice}"
    );
}

#[test]
fn the_files_of_deployment_tools() {
    let text = r#"# Clear any old environment that may conflict.
for key in $( set | awk '{FS="="}  /^OS_/ {print $1}' ); do unset $key ; done
unset OS_SERVICE_TOKEN
    export OS_USERNAME=admin OS_PASSWORD='a b' OS_NO_CACHE=True # both
    export PS1='[\u@\h \W(keystone_admin)]\$ '
export OS_AUTH_URL=http://192.0.2.1:5000; export OS_AUTH_TYPE=password
export no_proxy=,192.0.2.1
export COMPUTE_API_VERSION=1.1
export PYTHONWARNINGS="ignore:Certificate has no, ignore:A true SSLContext object is not available"
if [ -z "${CLOUDPROMPT_ENABLED:-}" ]; then
    export PS1=${PS1:-""}
    export PS1=\${OS_CLOUDNAME:+"(\$OS_CLOUDNAME)"}\ $PS1
    export CLOUDPROMPT_ENABLED=1
fi
export OS_PROJECT_NAME="${OS_USERNAME}"
"#;
    let (settings, notice) = read(text);
    let expected =
        "AUTH_TYPE=password AUTH_URL=http://192.0.2.1:5000 PASSWORD=a b PROJECT_NAME=admin USERNAME=admin";
    assert_eq!(settings, expected, "{notice}");
    assert_eq!(
        notice,
        "shell commands are skipped (line 2); CLOUDPROMPT_ENABLED, COMPUTE_API_VERSION, OS_NO_CACHE, PS1, PYTHONWARNINGS and no_proxy aren't used"
    );
}

#[test]
fn an_unset_removes_what_was_set_before_it() {
    assert_eq!(settings("OS_TENANT_ID=a\nOS_USERNAME=u\nunset OS_TENANT_ID OS_TENANT_NAME"), "USERNAME=u");
    assert_eq!(settings("OS_USERNAME=a\nunset -v OS_USERNAME; OS_USERNAME=b"), "USERNAME=b");
    assert_eq!(settings("OS_PASSWORD=$x\nunset OS_PASSWORD"), "");
    assert_eq!(settings("OS_PASSWORD=$x\nOS_PASSWORD=y"), "PASSWORD=y");
    assert_eq!(settings("unset OS_USERNAME\nOS_USERNAME=b"), "USERNAME=b");
}

#[test]
fn a_default_counts_unless_the_file_has_set_another() {
    for default in [
        "OS_REGION_NAME=${OS_REGION_NAME:-b}",
        "export OS_REGION_NAME=\"${OS_REGION_NAME:=b}\"",
        "if [ -z \"$OS_REGION_NAME\" ]; then OS_REGION_NAME=b; fi",
        "if test -z \"$OS_REGION_NAME\"\nthen\n  export OS_REGION_NAME=b\nfi",
        "[[ -z $OS_REGION_NAME ]] && export OS_REGION_NAME=b",
    ] {
        assert_eq!(settings(default), "REGION_NAME=b", "{default}");
        assert_eq!(settings(&format!("OS_REGION_NAME=a\n{default}")), "REGION_NAME=a", "{default}");
        assert_eq!(settings(&format!("OS_REGION_NAME=''\n{default}")), "REGION_NAME=b", "{default}");
    }
    assert_eq!(settings("OS_USERNAME=u\nOS_PROJECT_NAME=$OS_USERNAME"), "PROJECT_NAME=u USERNAME=u");
    let nested = "OS_TENANT_NAME=t\nOS_PROJECT_NAME=\"${OS_PROJECT_NAME:-$OS_TENANT_NAME}\"";
    assert_eq!(settings(nested), "PROJECT_NAME=t TENANT_NAME=t");
    let other = notice("OS_USERNAME=${OTHER:-b}");
    assert!(other.starts_with("OS_USERNAME in line 1 refers to a shell variable"), "{other}");
    assert_eq!(notice("OS_USERNAME=$OTHER # a comment"), notice("OS_USERNAME=$OTHER"));
    assert_eq!(settings("OS_USERNAME=${OS_USERNAME:-b} # a comment"), "USERNAME=b");
}

#[test]
fn a_setting_that_depends_on_another_condition_is_refused() {
    for (line, text) in [
        (2, "if [ \"$1\" = b ]; then\n  export OS_REGION_NAME=b\nfi"),
        (1, "if [ \"$1\" = b ]; then OS_REGION_NAME=b; fi"),
        (4, "if [ -z \"$OS_REGION_NAME\" ]; then\n true\nelse\n  OS_REGION_NAME=b\nfi"),
        (2, "if [ -z \"$X\" ]\nthen OS_REGION_NAME=b; fi"),
        (1, "[ -n \"$X\" ] || OS_REGION_NAME=b"),
        (1, "[ -z \"$X\" ] && OS_REGION_NAME=b"),
        (2, "case $1 in\n  b) export OS_REGION_NAME=b;;\nesac"),
        (2, "OS_REGION_NAME=a\n[ -n \"$X\" ] && unset OS_REGION_NAME"),
        (3, "if [ -z \"$OS_REGION_NAME\" ]; then\n if true; then\n OS_REGION_NAME=b; fi; fi"),
        (3, "OS_REGION_NAME=a\nif [ -f x ]; then\n  OS_REGION_NAME=$(cat x); fi"),
    ] {
        let told = format!("line {line}: whether OS_REGION_NAME is set {CONDITION}");
        assert_eq!(notice(text), told, "{text}");
    }
    assert_eq!(
        settings("OS_USERNAME=u\nif [ -z \"$OS_USERNAME\" ]; then unset OS_USERNAME; fi"),
        "USERNAME=u"
    );
    let password =
        "if [ -f pw ] ; then\n  export OS_PASSWORD=`cat pw`\nelse\n  export OS_PASSWORD=$IN\nfi\nPGPORT=1";
    let told = "shell commands are skipped (line 1); OS_PASSWORD in line 4 refers to a shell variable and counts as \
                missing: write its value there, or set it in the environment";
    assert_eq!(read(password), ("PGPORT=1".to_owned(), told.to_owned()));
}

#[test]
fn a_line_that_is_no_assignment_is_refused_outside_of_conditions() {
    for (text, told) in [
        ("OS_USERNAME=two words", "the value of OS_USERNAME has spaces; put it in single quotes"),
        ("export OS_USERNAME=a OTHER", "the value of OS_USERNAME has spaces; put it in single quotes"),
        ("OS_USERNAME=a OS_PASWORD=b", "unknown key 'OS_PASWORD'; did you mean OS_PASSWORD?"),
        ("X=1\nfrobnicate", "unknown key 'X'"),
        ("PGPORT=1\nfrobnicate", NOT_OF_THE_FORM),
        ("OS_PASSWORD=pa$word", "the value of OS_PASSWORD contains a '$' or '`'"),
        ("OS_USERNAME=a\nOS_USERNAME=b", "the same key as in line 1; keep one of the two"),
    ] {
        let refused = notice(text);
        assert!(
            refused.split_once(": ").is_some_and(|(_, problem)| problem.starts_with(told)),
            "{text}: {refused}"
        );
    }
    assert_eq!(
        settings("OS_PASSWORD=a;b\nOS_TOKEN = c;d\nOS_USERNAME = u\nexport OS_PROJECT_NAME= p"),
        "PASSWORD=a;b PROJECT_NAME=p TOKEN=c;d USERNAME=u"
    );
}

mod conditions;
mod values;
