//! Create-only writes to servers that ignore `If-None-Match`, or refuse to be probed.

use std::sync::Mutex;

use object_store::{PutResult, Result};

use super::*;

const UNKNOWN: &str = "ffffffffffffffffffffffffffffffff";

/// Creates the object `a`.
async fn create(swift: &Swift) -> Result<PutResult> {
    swift.put_opts(&Path::from("a"), "x".into(), PutMode::Create.into()).await
}

/// A server without `If-None-Match` on which another writer's PUT comes after each of ours.
#[tokio::test]
async fn a_writer_whose_object_is_replaced_at_the_same_moment_does_not_succeed() {
    let stored = Mutex::new(false);
    let url = authenticating(move |_, head| {
        let mut stored = stored.lock().unwrap();
        match head {
            _ if head.starts_with("put ") => {
                *stored = true;
                created(head)
            }
            _ if head.starts_with("head ") && *stored => {
                self::head("200 OK", &format!("ETag: {UNKNOWN}\r\n"))
            }
            _ => answer("404 Not Found", "", ""),
        }
    })
    .await;
    let created = create(&swift(&url)).await;
    assert!(matches!(created, Err(object_store::Error::AlreadyExists { .. })), "{created:?}");
}

#[tokio::test]
async fn a_created_object_that_is_not_there_afterwards_is_not_acknowledged() {
    let url = authenticating(|_, head| match head {
        _ if head.starts_with("put ") => created(head),
        _ => answer("404 Not Found", "", ""),
    })
    .await;
    let created = create(&swift(&url)).await;
    assert!(created.is_err(), "{created:?}");
}

/// A server that isn't recognised and has the object `a` after it was stored. It answers a PUT of a scratch object with
/// `probed`, given how many there were before. Returns it with the requests that it has received, without those for the
/// account.
async fn probed(answer_to: fn(usize, &str) -> String) -> (Swift, Arc<Mutex<Vec<String>>>) {
    let requests = Arc::new(Mutex::new(Vec::<String>::new()));
    let seen = Arc::clone(&requests);
    let url = authenticating(move |_, head| {
        let mut seen = seen.lock().unwrap();
        let line = head.split(" http/").next().unwrap().to_owned();
        let puts =
            seen.iter().filter(|line| line.starts_with("put /v1/auth_a/c_segments/c/a/upload-")).count();
        let is_stored = seen.iter().any(|line| line == "put /v1/auth_a/c/a");
        seen.push(line);
        match head {
            _ if head.starts_with("put /v1/auth_a/c_segments/") => answer_to(puts, head),
            _ if head.starts_with("put ") => created(head),
            _ if head.starts_with("delete ") => answer("204 No Content", "", ""),
            // The MD5 of `x`.
            _ if is_stored => self::head("200 OK", "ETag: 9dd4e461268c8034f5c8564e155c67a6\r\n"),
            _ => answer("404 Not Found", "", ""),
        }
    })
    .await;
    (swift(&url), requests)
}

const REFUSED: &str = "412 Precondition Failed";

#[tokio::test]
async fn the_object_itself_is_stored_once_and_the_scratch_object_is_removed() {
    type Server = fn(usize, &str) -> String;
    let servers: [(Server, bool); 2] = [
        (|_, head| created(head), false),
        (|before, head| if before == 0 { created(head) } else { answer(REFUSED, "", "") }, true),
    ];
    for (server, keeps) in servers {
        let (swift, requests) = probed(server).await;
        create(&swift).await.unwrap();
        let requests = std::mem::take(&mut *requests.lock().unwrap());
        let (scratch, object): (Vec<_>, Vec<_>) =
            requests.iter().partition(|line| line.contains("/c_segments/c/a/upload-"));
        assert_eq!(object, ["head /v1/auth_a/c/a", "put /v1/auth_a/c/a", "head /v1/auth_a/c/a"]);
        let name = scratch[0].strip_prefix("put ").unwrap();
        assert_eq!(scratch, [&format!("put {name}"), &format!("put {name}"), &format!("delete {name}")]);
        assert_eq!(swift.0.handles.containers.client.dialect().keeps_existing(), Some(keeps));
    }
}

#[tokio::test]
async fn a_server_that_refuses_the_probe_is_probed_once() {
    let (swift, requests) = probed(|_, _| answer("403 Forbidden", "", "")).await;
    create(&swift).await.unwrap();
    requests.lock().unwrap().clear();
    create(&swift).await.unwrap();
    assert_eq!(requests.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_probe_that_is_not_answered_neither_fails_nor_holds_up_what_is_stored() {
    let (swift, _) = probed(|_, _| UNFINISHED.to_owned()).await;
    timeout(SOON, create(&swift)).await.expect("it isn't waited for").unwrap();
    assert_eq!(swift.0.handles.containers.client.dialect().keeps_existing(), None);
}
