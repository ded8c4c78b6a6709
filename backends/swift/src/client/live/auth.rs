//! Authentication against a real Keystone and Swift's own version 1 service.

use super::{PASSWORD, Settings, V1, client, config, head_account, relayed, settings};
use crate::{Kind, client::Client};

async fn reaches_the_account(settings: &Settings) {
    let answer = head_account(&client(settings)).await.unwrap();
    assert!(answer.request.trans_id.is_some());
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn version_1_reaches_the_account() {
    reaches_the_account(&settings(V1)).await;
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn a_password_reaches_the_account() {
    reaches_the_account(&settings(PASSWORD)).await;
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn an_application_credential_by_id_reaches_the_account() {
    reaches_the_account(&settings(&[
        "OS_AUTH_URL",
        "OS_APPLICATION_CREDENTIAL_ID",
        "OS_APPLICATION_CREDENTIAL_SECRET",
    ]))
    .await;
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn an_application_credential_by_name_and_user_reaches_the_account() {
    reaches_the_account(&settings(&[
        "OS_AUTH_URL",
        "OS_USERNAME",
        "OS_APPLICATION_CREDENTIAL_NAME",
        "OS_APPLICATION_CREDENTIAL_SECRET",
    ]))
    .await;
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn a_token_reaches_the_account_through_the_catalog() {
    let given = settings(PASSWORD);
    let session = client(&given).session().await.unwrap();
    let mut settings = settings(&["OS_AUTH_URL", "OS_PROJECT_NAME"]);
    settings.insert("OS_TOKEN".to_owned(), session.token.expose().to_owned());
    reaches_the_account(&settings).await;
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn a_token_with_its_storage_url_needs_no_identity_service() {
    let session = client(&settings(PASSWORD)).session().await.unwrap();
    let token = ("OS_TOKEN".to_owned(), session.token.expose().to_owned());
    let url = ("OS_STORAGE_URL".to_owned(), session.storage_url.to_string());
    reaches_the_account(&[token, url].into()).await;
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn a_wrong_password_is_refused_at_once_and_not_shown() {
    let (mut settings, keystone) = relayed(&settings(PASSWORD), "OS_AUTH_URL").await;
    settings.insert("OS_PASSWORD".to_owned(), "hunter2".to_owned());
    let client = client(&settings);
    let error = head_account(&client).await.err().unwrap();
    assert!(matches!(error.kind(), Kind::Auth(error) if error.is_refusal()), "{error:?}");
    assert_eq!(keystone.requests(), 1);
    assert!(!format!("{error:?} {error} {client:?}").contains("hunter2"));
    assert!(matches!(error.into(), object_store::Error::Unauthenticated { .. }));
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn an_unknown_application_credential_is_refused() {
    let mut settings = settings(&["OS_AUTH_URL", "OS_APPLICATION_CREDENTIAL_SECRET"]);
    settings.insert("OS_APPLICATION_CREDENTIAL_ID".to_owned(), "nobody".to_owned());
    let error = head_account(&client(&settings)).await.err().unwrap();
    assert!(matches!(error.kind(), Kind::Auth(error) if error.is_refusal()), "{error:?}");
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn an_unknown_token_is_refused() {
    let mut settings = settings(&["OS_AUTH_URL", "OS_PROJECT_NAME"]);
    settings.insert("OS_TOKEN".to_owned(), "nobody".to_owned());
    let error = head_account(&client(&settings)).await.err().unwrap();
    assert!(matches!(error.kind(), Kind::Auth(error) if error.is_refusal()), "{error:?}");
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn a_wrong_key_of_version_1_is_refused() {
    let mut settings = settings(V1);
    settings.insert("ST_KEY".to_owned(), "wrong".to_owned());
    let error = head_account(&client(&settings)).await.err().unwrap();
    assert!(matches!(error.kind(), Kind::Auth(error) if error.is_refusal()), "{error:?}");
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn a_region_that_is_not_in_the_catalog_is_named() {
    let mut settings = settings(PASSWORD);
    settings.insert("OS_REGION_NAME".to_owned(), "Atlantis".to_owned());
    let error = client(&settings).session().await.unwrap_err().to_string();
    assert!(error.contains("Atlantis"), "{error}");
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn a_page_that_is_no_identity_service_is_told_from_a_refusal() {
    let mut settings = settings(PASSWORD);
    settings.get_mut("OS_AUTH_URL").unwrap().push_str("/elsewhere");
    let error = head_account(&client(&settings)).await.err().unwrap();
    assert!(matches!(error.kind(), Kind::Auth(error) if !error.is_refusal()), "{error:?}");
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn a_second_process_asks_the_identity_service_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (settings, keystone) = relayed(&settings(PASSWORD), "OS_AUTH_URL").await;
    let process =
        || Client::new(config(&settings).with_token_cache(directory.path().join("tokens"))).unwrap();
    head_account(&process()).await.unwrap();
    keystone.close();
    head_account(&process()).await.unwrap();
    assert_eq!(keystone.requests(), 1);
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn limits_are_those_of_the_cluster() {
    let info = client(&settings(PASSWORD)).info().await.unwrap();
    assert!(info.max_file_size > 0);
    assert!(info.slo.is_some_and(|limits| limits.max_manifest_segments > 1));
    assert!(info.bulk_delete.is_some_and(|limits| limits.max_deletes_per_request > 1));
}
