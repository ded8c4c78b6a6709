//! Servers that accept a PUT without the tag of what they have stored.

use std::{collections::HashSet, sync::Mutex};

use object_store::Result;

use super::*;

/// The MD5 of `abcdabcd`.
const PLAIN: &str = "794fd8df6686e85e0d8345670d2cd4ae";
/// The tag of a large object with the segments `abcd` and `abcd`.
const TWICE: &str = "db93d3b8a899c605df234f465f9966ae";
/// The MD5 of `abcd`.
const SEGMENT: &str = "e2fc714c4727ee9395f324cd2e7f331f";
const LARGE: &str = "X-Static-Large-Object: True\r\n";

/// A server on which objects have at most four bytes if `is_narrow`. It answers a PUT below `silent`
/// without a tag, and a HEAD of what was stored there with `shown`; None for 404. Its objects `plain` and `large` have
/// the content `abcdabcd`.
async fn server(is_narrow: bool, silent: &'static str, shown: Option<String>) -> Swift {
    let stored = Mutex::new(HashSet::new());
    let url = authenticating(move |_, head| {
        let path = head.split(['?', ' ']).nth(1).unwrap().to_owned();
        match head {
            _ if head.starts_with("get /info") => {
                let most = if is_narrow { 4 } else { 1 << 30 };
                answer("200 OK", "", &format!(r#"{{"swift": {{"max_file_size": {most}}}, "slo": {{}}}}"#))
            }
            _ if head.starts_with("get /v1/auth_a/c/large?") => {
                let segment =
                    |number| format!(r#"{{"name": "/s/{number}", "hash": "{SEGMENT}", "bytes": 4}}"#);
                answer("200 OK", LARGE, &format!("[{},{}]", segment(1), segment(2)))
            }
            _ if head.starts_with("head /v1/auth_a/c/plain ") => {
                self::head("200 OK", &format!("ETag: {PLAIN}\r\nContent-Length: 8\r\n"))
            }
            _ if head.starts_with("head /v1/auth_a/c/large ") => {
                self::head("200 OK", &format!("{LARGE}ETag: {TWICE}\r\nContent-Length: 8\r\n"))
            }
            _ if head.starts_with("put ") => {
                let is_silent = path.starts_with(silent);
                stored.lock().unwrap().insert(path);
                match head {
                    _ if is_silent => answer("201 Created", "", ""),
                    _ if head.contains("multipart-manifest") => {
                        answer("201 Created", &format!("ETag: {TWICE}\r\n"), "")
                    }
                    _ => created(head),
                }
            }
            _ if head.starts_with("head ") && stored.lock().unwrap().contains(&path) => match &shown {
                Some(shown) => self::head("200 OK", shown),
                None => answer("404 Not Found", &id(SWIFT), ""),
            },
            _ => answer("404 Not Found", &id(SWIFT), ""),
        }
    })
    .await;
    swift(&url)
}

/// Something that stores `abcdabcd`, or a part of it.
#[derive(Clone, Copy, Debug)]
enum Operation {
    Put,
    PutLarge,
    Copy,
    CopyLarge,
}

use Operation::*;

impl Operation {
    async fn outcome(self, shown: Option<String>) -> Result<()> {
        let silent = if matches!(self, CopyLarge) { "/v1/auth_a/c_segments/" } else { "/v1/auth_a/c/a" };
        let swift = server(matches!(self, PutLarge), silent, shown).await;
        swift.0.handles.containers.client.info().await.unwrap();
        let a = Path::from("a");
        match self {
            Put | PutLarge => swift.put(&a, "abcdabcd".into()).await.map(drop),
            Copy => swift.copy(&Path::from("plain"), &a).await,
            CopyLarge => swift.copy(&Path::from("large"), &a).await,
        }
    }

    /// The tag and the length of what is stored without a tag in the answer.
    fn stored(self) -> (&'static str, u64) {
        match self {
            Put | Copy => (PLAIN, 8),
            PutLarge => (TWICE, 8),
            CopyLarge => (SEGMENT, 4),
        }
    }
}

#[tokio::test]
async fn what_is_acknowledged_without_a_tag_is_asked_for() {
    for operation in [Put, PutLarge, Copy, CopyLarge] {
        let (tag, bytes) = operation.stored();
        let shown = |tag: &str, bytes: u64| Some(format!("ETag: {tag}\r\nContent-Length: {bytes}\r\n"));
        let untagged = Some(format!("Content-Length: {bytes}\r\n"));
        let is_checked = matches!(operation, Put);
        for (shown, is_stored) in [
            (shown(tag, bytes), true),
            (shown(tag, bytes - 1), false),
            (shown("ffffffffffffffffffffffffffffffff", bytes), false),
            (untagged, is_checked),
            (None, false),
        ] {
            let outcome = timeout(SOON, operation.outcome(shown.clone())).await.unwrap();
            assert_eq!(outcome.is_ok(), is_stored, "{operation:?} {shown:?}: {outcome:?}");
        }
    }
}

/// A server whose plain object is replaced by another one between the HEAD and the copy.
#[tokio::test]
async fn a_copy_of_something_else_than_the_original_does_not_succeed() {
    let url = authenticating(|_, head| match head {
        _ if head.starts_with("head /v1/auth_a/c/plain ") => {
            self::head("200 OK", &format!("ETag: {PLAIN}\r\nContent-Length: 8\r\n"))
        }
        _ if head.starts_with("put ") => answer("201 Created", &format!("ETag: {TWICE}\r\n"), ""),
        _ => answer("404 Not Found", &id(SWIFT), ""),
    })
    .await;
    let copied = swift(&url).copy(&Path::from("plain"), &Path::from("a")).await;
    assert!(matches!(copied, Err(object_store::Error::Precondition { .. })), "{copied:?}");
}
