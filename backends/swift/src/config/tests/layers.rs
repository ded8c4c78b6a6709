//! Tests of how the settings of several sources are merged.

use super::{Given, PASSWORD, home, in_cloud, resolve};
use crate::config::{Config, ConfigError, Credentials, Identity, Named, Scope};

const APP_CREDENTIAL: &[(&str, &str)] = &[
    ("OS_AUTH_URL", "http://k/v3"),
    ("OS_APPLICATION_CREDENTIAL_ID", "c"),
    ("OS_APPLICATION_CREDENTIAL_SECRET", "s"),
];

fn given(settings: &[(&str, &str)]) -> Given {
    settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Shows the project and the user that the sources lead to, the highest source first.
fn account(sources: &[&[(&str, &str)]]) -> String {
    let merged =
        sources.iter().rev().fold(Given::new(), |lower, upper| Config::merge_settings(given(upper), lower));
    let config = match Config::from_settings(&merged) {
        Ok(config) => config,
        Err(error) => return error.to_string(),
    };
    let Credentials::V3 { identity, scope, .. } = config.credentials else { return "not v3".to_owned() };
    let named = |named| match named {
        Named::Id(id) => id,
        Named::Name { name, .. } => name,
    };
    let scope = match scope {
        Scope::Project(project) => named(project),
        Scope::Trust(trust) => trust,
        Scope::Own => "its own".to_owned(),
    };
    let identity = match identity {
        Identity::Password { user, password } => format!("{} {}", named(user), password.expose()),
        Identity::ApplicationCredential { .. } => "application credential".to_owned(),
        Identity::Token(_) => "token".to_owned(),
    };
    let region = config.endpoint.region.map(|region| format!(" in {region}")).unwrap_or_default();
    let url = config.endpoint.storage_url.map(|url| format!(" at {url}")).unwrap_or_default();
    format!("project {scope}, {identity}{region}{url}")
}

fn merged(upper: &[(&str, &str)], lower: &[(&str, &str)]) -> String {
    let merged = Config::merge_settings(given(upper), given(lower));
    let shown = merged.into_iter().map(|(name, value)| format!("{}={value}", name.trim_start_matches("OS_")));
    let mut shown = shown.collect::<Vec<_>>();
    shown.sort_unstable();
    shown.join(" ")
}

#[test]
fn each_name_of_one_thing_hides_all_of_them_below() {
    for (upper, lower) in [
        ("OS_PROJECT_NAME", "OS_PROJECT_ID"),
        ("OS_PROJECT_ID", "OS_TENANT_NAME"),
        ("OS_TENANT_NAME", "OS_TRUST_ID"),
        ("OS_TRUST_ID", "OS_PROJECT_NAME"),
        ("OS_USERNAME", "OS_USER_ID"),
        ("OS_USER_ID", "OS_USERNAME"),
        ("OS_PROJECT_DOMAIN_NAME", "OS_PROJECT_DOMAIN_ID"),
        ("OS_USER_DOMAIN_ID", "OS_USER_DOMAIN_NAME"),
        ("OS_APPLICATION_CREDENTIAL_NAME", "OS_APPLICATION_CREDENTIAL_ID"),
        ("OS_AUTH_TOKEN", "OS_TOKEN"),
        ("OS_AUTH_VERSION", "OS_IDENTITY_API_VERSION"),
        ("OS_ENDPOINT_TYPE", "OS_INTERFACE"),
        ("OS_STORAGE_URL", "OS_OBJECT_STORE_ENDPOINT_OVERRIDE"),
        ("OS_OBJECT_STORE_ENDPOINT_OVERRIDE", "OS_STORAGE_URL"),
        ("ST_AUTH", "OS_AUTH_URL"),
        ("OS_AUTH_URL", "ST_AUTH"),
        ("ST_USER", "OS_USERNAME"),
        ("OS_PASSWORD", "ST_KEY"),
    ] {
        let name = upper.trim_start_matches("OS_");
        assert_eq!(merged(&[(upper, "a")], &[(lower, "b")]), format!("{name}=a"), "{upper} {lower}");
        assert_eq!(
            merged(&[(upper, "")], &[(upper, "b")]),
            format!("{name}="),
            "an empty one hides its like"
        );
    }
    assert_eq!(merged(&[("OS_PROJECT_ID", "")], &[("OS_PROJECT_NAME", "p")]), "PROJECT_ID= PROJECT_NAME=p");
}

#[test]
fn a_domain_comes_from_where_the_name_is_or_from_below() {
    let (name, id, domain) = ("OS_PROJECT_NAME", "OS_PROJECT_DOMAIN_ID", "OS_PROJECT_DOMAIN_NAME");
    let below = [(name, "b"), (id, "below")];
    assert_eq!(merged(&[(name, "a"), (domain, "mine")], &below), "PROJECT_DOMAIN_NAME=mine PROJECT_NAME=a");
    assert_eq!(merged(&[(name, "a")], &below), "PROJECT_DOMAIN_ID=below PROJECT_NAME=a");
    assert_eq!(
        merged(&[(name, "a"), ("OS_DEFAULT_DOMAIN", "mine")], &below),
        "DEFAULT_DOMAIN=mine PROJECT_NAME=a"
    );
    assert_eq!(merged(&[(domain, "left over")], &below), "PROJECT_DOMAIN_ID=below PROJECT_NAME=b");
    assert_eq!(merged(&[(domain, "mine")], &below[..1]), "PROJECT_DOMAIN_NAME=mine PROJECT_NAME=b");
    assert_eq!(merged(&[(domain, "mine")], &below[1..]), "PROJECT_DOMAIN_NAME=mine");
}

#[test]
fn an_application_credential_beside_a_project_is_refused() {
    let both = |project, credential| {
        format!(
            "{project} says which project to use, but the application credential of {credential} is bound to its own project"
        )
    };
    for project in ["OS_PROJECT_NAME", "OS_PROJECT_ID", "OS_TENANT_NAME", "OS_TENANT_ID", "OS_TRUST_ID"] {
        let told = both(project, "OS_APPLICATION_CREDENTIAL_ID");
        assert_eq!(account(&[&[(project, "p")], APP_CREDENTIAL]), told, "in a higher source");
        assert_eq!(account(&[&[APP_CREDENTIAL, &[(project, "p")]].concat()]), told, "in the same source");
    }
    assert_eq!(
        account(&[&PASSWORD[3..], &[("OS_APPLICATION_CREDENTIAL_NAME", "c")], APP_CREDENTIAL, PASSWORD]),
        both("OS_PROJECT_NAME", "OS_APPLICATION_CREDENTIAL_NAME")
    );
    let error = resolve(&[PASSWORD, APP_CREDENTIAL]).unwrap_err();
    assert!(error.hint().unwrap().contains("OS_AUTH_TYPE"), "{error}");
    let password = [PASSWORD, &[("OS_AUTH_TYPE", "v3password")]].concat();
    assert_eq!(account(&[&password, APP_CREDENTIAL]), "project p, u hunter2");
}

#[test]
fn an_application_credential_hides_the_projects_below_it() {
    assert_eq!(account(&[APP_CREDENTIAL, PASSWORD]), "project its own, application credential");
    let domain = [APP_CREDENTIAL, &[("OS_PROJECT_DOMAIN_NAME", "d")]].concat();
    assert_eq!(account(&[&domain]), "project its own, application credential");
}

const CLOUD: &str = "
clouds:
  prod:
    region_name: north
    auth: {auth_url: 'https://k:5000', username: archiver, project_name: backups, password: right}
  without_secret:
    auth: {auth_url: 'https://k:5000', username: archiver, project_name: backups}
  without_project:
    auth: {auth_url: 'https://k:5000', username: archiver, password: right}
  credential:
    auth: {auth_url: 'https://k:5000', application_credential_id: c, application_credential_secret: s}
";

/// What may be left in an environment.
const LEFT: &[(&str, &str)] = &[
    ("OS_AUTH_URL", "http://other"),
    ("OS_USER_ID", "other"),
    ("OS_PASSWORD", "environment"),
    ("OS_PROJECT_ID", "other"),
    ("OS_PROJECT_DOMAIN_ID", "other"),
    ("OS_REGION_NAME", "south"),
    ("OS_OBJECT_STORE_ENDPOINT_OVERRIDE", "http://other/v1/AUTH_other"),
    ("OS_TOKEN", "environment"),
    ("OS_AUTH_TYPE", "v3token"),
    ("OS_CLOUD", "other"),
];

#[test]
fn a_cloud_is_used_as_it_is_whatever_is_left_in_the_sources_below() {
    let home = home(&[("clouds.yaml", CLOUD)]);
    let files = [("HOME", home.path().to_str().unwrap())];
    let account_of = |cloud, below: &[(&str, &str)]| account(&[&[("OS_CLOUD", cloud)], below, &files]);
    let credential = [LEFT, APP_CREDENTIAL].concat();
    for below in [&[][..], LEFT, APP_CREDENTIAL, &credential] {
        assert_eq!(account_of("prod", below), "project backups, archiver right in north");
        assert_eq!(account_of("credential", below), "project its own, application credential");
        assert!(account_of("without_project", below).contains("missing: OS_PROJECT_NAME or"), "{below:?}");
    }
    let password = [("OS_PASSWORD", "environment")];
    assert_eq!(account_of("without_secret", &password), "project backups, archiver environment");
    assert!(account_of("without_secret", &[]).contains("missing: OS_PASSWORD"));
    assert!(account_of("absent", LEFT).contains("OS_CLOUD is 'absent'"));
}

#[test]
fn what_is_set_beside_a_cloud_or_above_it_overrides_it() {
    let home = home(&[("clouds.yaml", CLOUD)]);
    let cloud = [("OS_CLOUD", "prod"), ("HOME", home.path().to_str().unwrap())];
    let project = [("OS_PROJECT_NAME", "mine")];
    assert_eq!(account(&[&project, &cloud]), "project mine, archiver right in north");
    assert_eq!(account(&[&[&cloud[..], &project].concat()]), "project mine, archiver right in north");
    let (other, unnamed) = ([("OS_CLOUD", "credential")], [("OS_CLOUD", "")]);
    assert_eq!(account(&[&other, &cloud]), "project its own, application credential");
    assert_eq!(account(&[&unnamed, PASSWORD, &cloud]), "project p, u hunter2");
    let same = [&cloud[..], &project].concat();
    assert_eq!(account(&[&[("OS_CLOUD", "prod")], &same]), "project mine, archiver right in north");
    assert!(matches!(
        in_cloud(home.path(), "credential", &project),
        Err(ConfigError::BoundToProject { project: "OS_PROJECT_NAME", .. })
    ));
}

#[test]
fn the_storage_url_has_the_name_of_the_openstack_tools_too() {
    let url = [("OS_OBJECT_STORE_ENDPOINT_OVERRIDE", "http://s/v1/AUTH_a")];
    assert_eq!(account(&[&[PASSWORD, &url].concat()]), "project p, u hunter2 at http://s/v1/AUTH_a");
    let token = [("OS_TOKEN", "t")];
    assert!(matches!(resolve(&[&url, &token]).unwrap().credentials, Credentials::Token(_)));
    let error = resolve(&[PASSWORD, &[("OS_OBJECT_STORE_ENDPOINT_OVERRIDE", "s")]]).unwrap_err().to_string();
    assert!(error.starts_with("OS_OBJECT_STORE_ENDPOINT_OVERRIDE is not a URL"), "{error}");
}
