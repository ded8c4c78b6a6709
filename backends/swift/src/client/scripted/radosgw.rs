//! A radosgw at moments that a real one can't be brought to.

use object_store::multipart::MultipartStore;

use super::*;
use crate::dialect::server::RADOSGW;

const EMPTY: &str = "d41d8cd98f00b204e9800998ecf8427e";
/// The tag of an object that consists of segments with the tags `ab` and `cd`.
const FIRST: &str = "e2fc714c4727ee9395f324cd2e7f331f";
const UNKNOWN: &str = "ffffffffffffffffffffffffffffffff";

fn upload(number: usize) -> String {
    format!("a/upload-{number:032}")
}

fn row(name: &str, hash: &str) -> String {
    format!(r#"{{"name":"{name}","hash":"{hash}","bytes":1,"last_modified":"2023-11-14T22:13:20.500Z"}}"#)
}

/// As [`with_uploads`], one of segments with the tags `ab` and `cd`, and one of a segment with the tag `ef`.
async fn with_two_uploads(e_tag: &'static str, manifest: &'static str) -> Swift {
    with_uploads(&["ab", "cd"], &["ef"], e_tag, manifest).await
}

/// A server with the large object `a`, whose tag is `e_tag` and whose manifest it doesn't return, and two old uploads
/// for it, of segments with these tags. `manifest` is the end of its response to a request for the manifest.
async fn with_uploads(first: &[&str], second: &[&str], e_tag: &'static str, manifest: &'static str) -> Swift {
    let rows = |of: usize, tags: &[&str]| {
        let row = |(number, tag): (usize, &&str)| row(&format!("c/{}/{number}", upload(of)), tag);
        tags.iter().enumerate().map(row).collect::<Vec<_>>()
    };
    let segments = [rows(1, first), rows(2, second)].concat();
    let id = format!("X-Trans-Id: {RADOSGW}\r\nLast-Modified: Tue, 14 Nov 2023 22:13:20 GMT\r\n");
    let url = authenticating(move |_, head| match head {
        _ if head.contains("marker=") => answer("200 OK", &id, "[]"),
        _ if head.starts_with("get /v1/auth_a/c_segments?") => {
            answer("200 OK", &id, &format!("[{}]", segments.join(",")))
        }
        _ if head.starts_with("get /v1/auth_a/c?") => {
            answer("200 OK", &id, &format!("[{}]", row("a", EMPTY)))
        }
        _ if head.starts_with("head /v1/auth_a/c/a ") => {
            let large = format!("X-Static-Large-Object: True\r\nETag: \"{e_tag}\"\r\nContent-Length: 3\r\n");
            self::head("200 OK", &(id.clone() + &large))
        }
        _ if head.contains("multipart-manifest=get") => {
            let added = format!("X-Object-Meta-Static-Large-Object: True\r\nETag: {EMPTY}\r\n");
            format!("HTTP/1.1 200 OK\r\n{id}{added}{manifest}")
        }
        _ if head.starts_with("delete ") => answer("403 Forbidden", &id, ""),
        _ => answer("404 Not Found", &id, ""),
    })
    .await;
    SwiftBuilder::new("c").with_config(config(&url)).build().unwrap()
}

/// Responses without a manifest: of radosgw, of radosgw behind a proxy that sends bodies in chunks, and one of no
/// segments.
const NO_MANIFEST: [&str; 3] = [
    "Content-Length: 0\r\n\r\n",
    "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "X-Static-Large-Object: True\r\nContent-Length: 2\r\n\r\n[]",
];

#[tokio::test]
async fn segments_of_an_object_whose_manifest_cannot_be_read_are_never_left_over() {
    let later = SystemTime::UNIX_EPOCH + Duration::from_hours(1 << 20);
    for manifest in NO_MANIFEST {
        let left_over = async |e_tag| with_two_uploads(e_tag, manifest).await.leftovers(later).await.unwrap();
        assert_eq!(left_over(FIRST).await, [upload(2)], "{manifest:?}");
        assert_eq!(left_over(UNKNOWN).await, [""; 0], "{manifest:?}");
    }
}

#[tokio::test]
async fn what_was_taken_for_a_leftover_is_kept_if_the_object_may_consist_of_it() {
    for (e_tag, manifest) in NO_MANIFEST.into_iter().flat_map(|end| [(FIRST, end), (UNKNOWN, end)]) {
        // The stand-in refuses to delete anything.
        with_two_uploads(e_tag, manifest).await.remove_leftovers(&[upload(1)]).await.unwrap();
    }
}

/// The second upload has the object's content and was abandoned. The first, which it consists of, has one segment more.
#[tokio::test]
async fn an_upload_with_a_surplus_segment_may_be_the_live_one() {
    let with_surplus = || with_uploads(&["ab", "cd", "ef"], &["ab", "cd"], FIRST, NO_MANIFEST[0]);
    let later = SystemTime::UNIX_EPOCH + Duration::from_hours(1 << 20);
    assert_eq!(with_surplus().await.leftovers(later).await.unwrap(), [""; 0]);
    with_surplus().await.remove_leftovers(&[upload(1)]).await.unwrap();
    let id = format!("{:032}", 1);
    with_surplus().await.abort_multipart(&Path::from("a"), &id).await.unwrap();
}
