//! Tests of how settings resolve.

use std::{fs, path::Path};

use tempfile::TempDir;

use super::{settings::Given, *};

mod layers;

const PASSWORD: &[(&str, &str)] = &[
    ("OS_AUTH_URL", "http://k/v3"),
    ("OS_USERNAME", "u"),
    ("OS_PASSWORD", "hunter2"),
    ("OS_PROJECT_NAME", "p"),
];

fn resolve(settings: &[&[(&str, &str)]]) -> Result<Config, ConfigError> {
    let settings = settings.concat().into_iter().map(|(name, value)| (name.into(), value.into()));
    Config::from_settings(&settings.collect())
}

fn missing(settings: &[(&str, &str)]) -> Vec<Vec<&'static str>> {
    match resolve(&[settings]) {
        Err(ConfigError::Missing { missing, .. }) => missing.into_iter().map(|one| one.names).collect(),
        other => panic!("{other:?}"),
    }
}

fn version_of(settings: &[&[(&str, &str)]]) -> u8 {
    match resolve(settings).unwrap().credentials {
        Credentials::V1 { .. } => 1,
        Credentials::V2 { .. } => 2,
        Credentials::V3 { .. } => 3,
        Credentials::Token(_) => 0,
    }
}

fn fingerprint(settings: &[&[(&str, &str)]]) -> String {
    resolve(settings).unwrap().fingerprint().unwrap()
}

#[test]
fn a_fingerprint_depends_on_the_account_and_not_on_passwords_and_tokens() {
    let password = fingerprint(&[PASSWORD]);
    assert_eq!(password, fingerprint(&[PASSWORD, &[("OS_PASSWORD", "other")]]));
    assert_ne!(password, fingerprint(&[PASSWORD, &[("OS_PROJECT_NAME", "other")]]));
    assert_ne!(password, fingerprint(&[PASSWORD, &[("OS_AUTH_URL", "http://other/v3")]]));
    let token = |token, url| fingerprint(&[&[("OS_TOKEN", token), ("OS_STORAGE_URL", url)]]);
    assert_eq!(token("a", "http://s/v1/AUTH_a"), token("b", "http://s/v1/AUTH_a"));
    assert_ne!(token("a", "http://s/v1/AUTH_a"), token("a", "http://s/v1/AUTH_b"));
}

#[test]
fn a_fingerprint_depends_on_the_content_of_a_cloud_and_not_on_its_name() {
    let of = |user: &str| {
        let cloud = format!(
            "clouds: {{c: {{auth: {{auth_url: http://k/v3, username: {user}, password: x, project_name: p}}}}}}"
        );
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("clouds.yaml");
        fs::write(&file, cloud).unwrap();
        fingerprint(&[&[("OS_CLOUD", "c"), ("OS_CLIENT_CONFIG_FILE", file.to_str().unwrap())]])
    };
    assert_eq!(of("a"), of("a"));
    assert_ne!(of("a"), of("b"));
}

#[test]
fn all_missing_settings_are_reported_together() {
    let expected = [
        vec!["OS_USERNAME", "OS_USER_ID"],
        vec!["OS_PASSWORD", "ST_KEY"],
        vec!["OS_PROJECT_NAME", "OS_TENANT_NAME", "OS_PROJECT_ID", "OS_TENANT_ID"],
    ];
    assert_eq!(missing(&[("OS_AUTH_URL", "http://k")]), expected);
    assert_eq!(missing(&[("ST_AUTH", "http://s/auth/v1.0")]).len(), 2);
    let credential = [("OS_AUTH_URL", "http://k"), ("OS_APPLICATION_CREDENTIAL_SECRET", "s")];
    assert_eq!(missing(&credential), [["OS_APPLICATION_CREDENTIAL_ID", "OS_APPLICATION_CREDENTIAL_NAME"]]);
    for one in ["OS_APPLICATION_CREDENTIAL_ID", "OS_APPLICATION_CREDENTIAL_NAME"] {
        let credential = [&PASSWORD[..3], &[(one, "c")]].concat();
        assert_eq!(missing(&credential), [["OS_APPLICATION_CREDENTIAL_SECRET"]], "{one}");
    }
    let text = crate::hint::text_and_hint(&resolve(&[&[("OS_AUTH_URL", "http://k")]]).unwrap_err());
    assert!(text.contains("OS_USERNAME or OS_USER_ID, ") && text.contains("OS_CLOUD"), "{text}");
}

#[test]
fn where_nothing_is_set_each_way_to_authenticate_is_named() {
    for settings in [&[][..], &[("OS_REGION_NAME", "north")], &[("OS_PASSWORD", "")]] {
        let text = crate::hint::text_and_hint(&resolve(&[settings]).unwrap_err());
        assert!(text.starts_with("no credentials are set; "), "{text}");
        for way in ["OS_APPLICATION_CREDENTIAL_ID", "OS_PASSWORD", "OS_CLOUD", "ST_KEY"] {
            assert!(text.contains(way), "{text}");
        }
    }
}

#[test]
fn an_empty_setting_counts_as_absent() {
    assert!(matches!(resolve(&[PASSWORD, &[("OS_PASSWORD", "")]]), Err(ConfigError::Missing { .. })));
}

#[test]
fn the_version_is_as_asked_else_as_the_url_says_else_the_newest() {
    assert_eq!(version_of(&[PASSWORD]), 3);
    assert_eq!(version_of(&[PASSWORD, &[("OS_AUTH_URL", "http://k:5000")]]), 3);
    assert_eq!(version_of(&[PASSWORD, &[("OS_AUTH_URL", "http://k/v2.0/")]]), 2);
    assert_eq!(version_of(&[PASSWORD, &[("OS_IDENTITY_API_VERSION", "2")]]), 2);
    assert_eq!(version_of(&[PASSWORD, &[("ST_AUTH_VERSION", "1.0")]]), 1);
    let v1: &[(&str, &str)] = &[("ST_AUTH", "http://s/auth"), ("ST_USER", "u"), ("ST_KEY", "k")];
    assert_eq!(version_of(&[v1]), 1);
    assert_eq!(version_of(&[v1, PASSWORD]), 3);
    assert_eq!(version_of(&[&[("OS_TOKEN", "t"), ("OS_STORAGE_URL", "http://s/v1/AUTH_a")]]), 0);
}

#[test]
fn invalid_values_are_reported_by_name_and_not_shown() {
    for (name, value) in [
        ("OS_AUTH_URL", "keystone"),
        ("OS_AUTH_URL", "ftp://secret/"),
        ("OS_AUTH_URL", "http://user:secret@k/v3"),
        ("OS_INTERFACE", "secret"),
        ("OS_AUTH_TYPE", "secret"),
        ("OS_IDENTITY_API_VERSION", "secret"),
        ("OS_STORAGE_URL", "secret"),
    ] {
        let error = resolve(&[PASSWORD, &[(name, value)]]).unwrap_err().to_string();
        assert!(error.contains(name) && !error.contains("secret"), "{error}");
    }
}

#[test]
fn a_certificate_file_without_certificates_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "-----BEGIN NOTHING-----").unwrap();
    let config = resolve(&[PASSWORD, &[("OS_CACERT", file.path().to_str().unwrap())]]).unwrap();
    let error = crate::transport::Http::new(&config).unwrap_err();
    assert!(error.to_string().contains(file.path().to_str().unwrap()), "{error}");
}

#[test]
fn no_secret_is_shown_by_debug() {
    let secrets: &[(&str, &str)] =
        &[("OS_TOKEN", "hunter2"), ("OS_APPLICATION_CREDENTIAL_SECRET", "hunter2")];
    for settings in [
        &[PASSWORD][..],
        &[PASSWORD, &secrets[..1]],
        &[PASSWORD, secrets, &[("OS_APPLICATION_CREDENTIAL_ID", "i"), ("OS_PROJECT_NAME", "")]],
    ] {
        let shown = format!("{:?}", resolve(settings).unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

/// Creates a home directory with these files in its `.config/openstack`.
fn home(files: &[(&str, &str)]) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join(".config/openstack");
    fs::create_dir_all(&directory).unwrap();
    for (name, text) in files {
        fs::write(directory.join(name), text).unwrap();
    }
    home
}

fn in_cloud(home: &Path, cloud: &str, more: &[(&str, &str)]) -> Result<Config, ConfigError> {
    resolve(&[&[("OS_CLOUD", cloud), ("HOME", home.to_str().unwrap())], more])
}

const CLOUDS: &str = "
clouds:
  prod:
    region_name: north
    interface: internal
    identity_api_version: 3
    verify: true
    regions: [north, south]
    auth:
      auth_url: https://k:5000
      username: archiver
      project_name: backups
      user_domain_name: Default
  other:
    auth_type: v3applicationcredential
    auth: {auth_url: 'https://o:5000/v3', application_credential_id: c1, application_credential_secret: 0123}
";

#[test]
fn a_cloud_and_its_secret_come_from_two_files() {
    let home = home(&[("clouds.yaml", CLOUDS), ("secure.yaml", "clouds: {prod: {auth: {password: 0123}}}")]);
    let config = in_cloud(home.path(), "prod", &[]).unwrap();
    assert_eq!(config.endpoint.region.as_deref(), Some("north"));
    assert_eq!(config.endpoint.interface, "internal");
    let Credentials::V3 { url, identity: Identity::Password { password, .. }, .. } = config.credentials
    else {
        panic!("{:?}", config.credentials)
    };
    assert_eq!(url.as_str(), "https://k:5000/v3");
    assert_eq!(password.expose(), "0123", "as it is written, not as the number it could be");
}

#[test]
fn a_setting_overrides_the_cloud() {
    let home = home(&[("clouds.yml", CLOUDS)]);
    let config =
        in_cloud(home.path(), "other", &[("OS_REGION_NAME", "south"), ("OS_AUTH_URL", "http://mine")]);
    let config = config.unwrap();
    assert_eq!(config.endpoint.region.as_deref(), Some("south"));
    assert!(matches!(config.credentials, Credentials::V3 { url, .. } if url.as_str() == "http://mine/v3"));
}

/// What other clouds of the files may look like.
const ODD: &str = "
  empty:
  a_list: [1, 2]
  a_number: 7
  by_profile: {profile: [odd], auth: none, auth: {password: [1]}, regions: 5, region_name: {a: b}}
";

#[test]
fn odd_other_clouds_do_not_make_one_unusable() {
    let secure = format!("clouds:{ODD}  prod: {{auth: {{password: '0123'}}}}");
    let home = home(&[("clouds.yaml", &format!("cache: [1]{CLOUDS}{ODD}")), ("secure.yaml", &secure)]);
    assert!(in_cloud(home.path(), "prod", &[]).is_ok());
    assert!(in_cloud(home.path(), "empty", PASSWORD).is_ok(), "an empty cloud has no settings");
}

#[test]
fn settings_of_other_programs_in_a_cloud_are_ignored() {
    let text = "
clouds:
  prod:
    networks: [{name: x}]
    auth:
      password: x
      <<: {project_name: p, username: u}
      auth_url: http://k
      system_scope: [all]
      7: x
";
    for secure in ["", "clouds:", "clouds: {prod: }", "other: 1"] {
        let home = home(&[("clouds.yaml", text), ("secure.yaml", secure)]);
        in_cloud(home.path(), "prod", &[]).unwrap();
    }
}

/// A cloud with this in addition to its credentials.
fn region_of(cloud: &str, more: &[(&str, &str)]) -> (Option<String>, String) {
    let auth = "auth: {auth_url: http://k, username: u, password: p, project_name: p}";
    let home = home(&[("clouds.yaml", &format!("clouds: {{prod: {{{auth}, {cloud}}}}}"))]);
    let endpoint = in_cloud(home.path(), "prod", more).unwrap().endpoint;
    (endpoint.region, endpoint.interface)
}

#[test]
fn the_first_of_a_clouds_regions_is_used_unless_another_is_named() {
    let regions = "regions: [{name: north, values: {interface: internal}}, south, {values: {}}, 7]";
    let named = |more: &[(&str, &str)], cloud: &str| {
        let (region, interface) = region_of(cloud, more);
        format!("{} {interface}", region.unwrap_or_default())
    };
    assert_eq!(named(&[], regions), "north internal");
    assert_eq!(named(&[("OS_REGION_NAME", "south")], regions), "south public");
    assert_eq!(named(&[("OS_REGION_NAME", "west")], regions), "west public");
    assert_eq!(named(&[("OS_INTERFACE", "admin")], regions), "north admin");
    assert_eq!(named(&[], &format!("region_name: south, {regions}")), "south public");
    assert_eq!(named(&[], "region_name: [south, north]"), "south public");
    assert_eq!(named(&[], "region_name: 'south, north'"), "south public");
    assert_eq!(named(&[], "regions: [south, north]"), "south public");
    assert_eq!(named(&[], "regions: "), " public");
}

#[test]
fn a_projects_name_wins_over_the_id_in_a_cloud() {
    let home = home(&[("clouds.yaml", "clouds: {prod: {auth: {project_id: p1, user_id: u1}}}")]);
    let config = in_cloud(home.path(), "prod", PASSWORD).unwrap();
    let Credentials::V3 { identity: Identity::Password { user, .. }, scope, .. } = config.credentials else {
        panic!("{:?}", config.credentials)
    };
    assert!(matches!(user, Named::Name { name, .. } if name == "u"));
    assert!(matches!(scope, Scope::Project(Named::Name { name, .. }) if name == "p"));
}

#[test]
fn a_cloud_that_lacks_its_secret_says_so() {
    let home = home(&[("clouds.yaml", CLOUDS)]);
    let error = in_cloud(home.path(), "prod", &[]).unwrap_err().to_string();
    assert!(error.contains("OS_PASSWORD"), "{error}");
}

#[test]
fn an_unknown_cloud_is_an_error_that_lists_the_known_ones() {
    let home = home(&[("clouds.yaml", CLOUDS)]);
    let error = in_cloud(home.path(), "test", &[]).unwrap_err().to_string();
    assert!(error.contains("'test'") && error.contains("other, prod"), "{error}");
}

#[test]
fn a_cloud_without_any_file_is_an_error_that_lists_the_searched_files() {
    let home = home(&[]);
    let error = in_cloud(home.path(), "prod", &[]).unwrap_err().to_string();
    assert!(error.contains("/etc/openstack/clouds.yaml") && error.contains(".config/openstack"), "{error}");
}

#[test]
fn a_file_that_is_not_yaml_is_named_and_its_secrets_are_not_shown() {
    let text = "clouds:\n  prod:\n    auth:\n      password: [hunter2]\n";
    let home = home(&[("clouds.yaml", text)]);
    let error = in_cloud(home.path(), "prod", &[]).unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(
        shown.contains("clouds.yaml") && shown.contains("line 4") && !shown.contains("hunter2"),
        "{shown}"
    );
}
