//! A trust in place of a project.

use http::{HeaderValue, Method, StatusCode, header::CONTENT_TYPE};
use object_store::PutPayload;
use serde_json::{Value, json};

use super::{PASSWORD, PATIENCE, Settings, client, config, head_account, settings};
use crate::transport::{Http, Outgoing, Pace};

/// Sends a request to Keystone with this user's token, and returns the JSON of the response.
async fn keystone(given: &Settings, method: Method, path: &str, body: Option<Value>) -> Value {
    let token = client(given).session().await.unwrap().token.expose().to_owned();
    let base = given["OS_AUTH_URL"].trim_end_matches('/').trim_end_matches("/v3");
    let token = HeaderValue::from_str(&token).unwrap();
    let headers = [("x-auth-token", token.clone()), ("x-subject-token", token)];
    let headers = headers.map(|(name, value)| (http::HeaderName::from_static(name), value));
    let json = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    let outgoing = Outgoing {
        method,
        url: format!("{base}/v3{path}").parse().unwrap(),
        headers: headers.into_iter().chain(json).collect(),
        body: body.map(|body| PutPayload::from(body.to_string())).unwrap_or_default(),
        pace: Pace::Data,
    };
    let answer = Http::new(&config(given)).unwrap().send(outgoing, PATIENCE.silence).await.unwrap();
    assert!(answer.status == StatusCode::OK || answer.status == StatusCode::CREATED, "{}", answer.status);
    serde_json::from_slice(&answer.bytes(1 << 20).await.unwrap()).unwrap()
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn a_trust_reaches_the_account_that_it_is_for() {
    let given = settings(PASSWORD);
    let token = &keystone(&given, Method::GET, "/auth/tokens", None).await["token"];
    let roles = token["roles"].as_array().unwrap().iter().map(|role| json!({"id": role["id"]}));
    let trust = json!({"trust": {
        "trustor_user_id": token["user"]["id"],
        "trustee_user_id": token["user"]["id"],
        "project_id": token["project"]["id"],
        "roles": roles.collect::<Vec<_>>(),
        "impersonation": true,
    }});
    let trust = keystone(&given, Method::POST, "/OS-TRUST/trusts", Some(trust)).await;

    let mut settings = settings(&["OS_AUTH_URL", "OS_USERNAME", "OS_PASSWORD"]);
    settings.insert("OS_TRUST_ID".to_owned(), trust["trust"]["id"].as_str().unwrap().to_owned());
    head_account(&client(&settings)).await.unwrap();
}
