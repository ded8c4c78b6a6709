//! Settings that work.

use crate::site::{
    PASSWORD, Settings, Site, V1, WRONG, given, lines, mode, options, session, settings, with,
};

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn version_1_is_given_by_the_environment() {
    let site = Site::new("options-v1");
    site.works(&settings(&V1), &["-C", site.container]);
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn a_password_is_given_by_the_environment_and_its_token_kept_for_this_user_alone() {
    let site = Site::new("options-password");
    site.works(&settings(&PASSWORD), &["-C", site.container]);
    let files = site.token_files();
    assert_eq!(files.len(), 1);
    assert_eq!((mode(&files[0]), mode(files[0].parent().unwrap())), (0o600, 0o700));
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn a_password_is_given_by_options() {
    let site = Site::new("options-options");
    let options = options(&settings(&PASSWORD));
    let arguments: Vec<_> = options.iter().map(String::as_str).chain(["-C", site.container]).collect();
    site.works(&Settings::new(), &arguments);
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn a_password_and_a_tenant_are_given_by_the_original_s_file() {
    let site = Site::new("options-lines");
    let mut settings = settings(&["OS_AUTH_URL", "OS_USERNAME", "OS_PASSWORD"]);
    settings.push(("OS_TENANT_NAME".to_owned(), given("OS_PROJECT_NAME")));
    site.write("conf", &format!("{}CONTAINER={}\n", lines(&settings), site.container));
    site.works(&Settings::new(), &["-c", "conf"]);
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn an_application_credential_is_given_by_a_toml_file() {
    let site = Site::new("options-toml");
    let names = ["OS_AUTH_URL", "OS_APPLICATION_CREDENTIAL_ID", "OS_APPLICATION_CREDENTIAL_SECRET"];
    let container = site.container;
    site.write("conf.toml", &format!("container = '{container}'\n[settings]\n{}", lines(&settings(&names))));
    site.works(&Settings::new(), &["-c", "conf.toml"]);
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn an_application_credential_is_named_with_its_user() {
    let site = Site::new("options-credential-name");
    let names =
        ["OS_AUTH_URL", "OS_USERNAME", "OS_APPLICATION_CREDENTIAL_NAME", "OS_APPLICATION_CREDENTIAL_SECRET"];
    site.works(&settings(&names), &["-C", site.container]);
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn a_cloud_is_named_by_its_option_and_its_secret_is_in_another_file() {
    let site = Site::new("options-cloud");
    let (url, user, project) = (given("OS_AUTH_URL"), given("OS_USERNAME"), given("OS_PROJECT_NAME"));
    site.write(
        "config/openstack/clouds.yaml",
        &format!(
            "clouds:\n  odd: [1]\n  empty:\n  mine:\n    regions: [RegionOne, Atlantis]\n    auth:\n      auth_url: {url}\n      \
             username: {user}\n      project_name: {project}\n"
        ),
    );
    let password = given("OS_PASSWORD");
    site.write(
        "config/openstack/secure.yaml",
        &format!("clouds:\n  mine:\n    auth:\n      password: {password}\n"),
    );
    let left = [("OS_REGION_NAME", "Atlantis"), ("OS_PROJECT_ID", "0123"), ("OS_PASSWORD", WRONG)];
    site.works(&with(Settings::new(), &left), &["-C", site.container, "--os-cloud", "mine"]);
    let ran = site.run(&Settings::new(), &["-C", site.container, "--os-cloud", "yours", "list-wal"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("which has: empty, mine, odd"), "{ran:?}");
    let elsewhere = ["-C", site.container, "--os-cloud", "mine", "--os-region-name", "Atlantis", "list-wal"];
    let ran = site.run(&Settings::new(), &elsewhere);
    assert!(ran.stderr.contains("no endpoint object-store public in Atlantis"), "{ran:?}");
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn a_token_is_enough_with_its_account_and_with_its_project() {
    let site = Site::new("options-token");
    site.works(&settings(&PASSWORD), &["-C", site.container]);
    let (token, account) = session(&site.token_files()[0]);
    let fixed = [("OS_TOKEN", token.as_str()), ("OS_STORAGE_URL", &account)];
    site.works(&with(Settings::new(), &fixed), &["-C", site.container]);
    let project = settings(&["OS_AUTH_URL", "OS_PROJECT_NAME"]);
    site.works(&with(project, &fixed[..1]), &["-C", site.container]);
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn an_option_beats_the_environment_which_beats_the_file() {
    let site = Site::new("options-precedence");
    let wrong = with(settings(&PASSWORD), &[("OS_PASSWORD", WRONG)]);
    site.write("conf", &format!("{}CONTAINER={}\n", lines(&wrong), site.container));
    site.works(&settings(&["OS_PASSWORD"]), &["-c", "conf"]);
    let option = format!("--os-password={}", given("OS_PASSWORD"));
    site.works(&with(Settings::new(), &[("OS_PASSWORD", WRONG)]), &["-c", "conf", &option]);
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn a_name_beats_an_id_of_a_lower_source() {
    let site = Site::new("options-names");
    let ids = [("OS_PROJECT_ID", "0123"), ("OS_PROJECT_DOMAIN_ID", "default"), ("OS_USER_ID", "4567")];
    let file = with(settings(&["OS_AUTH_URL", "OS_PASSWORD"]), &ids);
    site.write("conf", &format!("{}CONTAINER={}\n", lines(&file), site.container));
    let option = format!("--os-project-name={}", given("OS_PROJECT_NAME"));
    let environment = with(settings(&["OS_USERNAME"]), &ids[..1]);
    site.works(&environment, &["-c", "conf", &option]);
}

#[test]
#[ignore = "needs Swift: run by cargo xtask test"]
fn an_openrc_is_the_file_and_its_password_is_in_the_environment() {
    let site = Site::new("options-openrc");
    let mut text = String::from("#!/usr/bin/env bash\n# As OpenStack's dashboard writes it.\n");
    for (name, value) in settings(&["OS_AUTH_URL", "OS_USERNAME", "OS_PROJECT_NAME"]) {
        text += &format!("export {name}=\"{value}\"\nif [ -z \"${name}\" ]; then unset {name}; fi\n");
    }
    text +=
        "read -sr OS_PASSWORD_INPUT\nexport OS_PASSWORD=$OS_PASSWORD_INPUT\nexport OS_IMAGE_API_VERSION=2\n";
    site.write("openrc.sh", &text);
    site.works(&settings(&["OS_PASSWORD"]), &["-c", "openrc.sh", "-C", site.container]);
}
