//! Bodies that a proxy sends in chunks, without a length.

use super::*;
use crate::StoreError;

/// The MD5 of `abcdefgh`.
const MD5: &str = "e8dc4081b13434b45189a720b77b6818";

/// A server whose object is sent as these chunks, with the tag of `abcdefgh`. A HEAD is answered with `length`.
async fn chunked(chunks: &'static [&'static str], length: Option<usize>) -> Swift {
    let url = authenticating(move |_, head| {
        let meta = format!("ETag: {MD5}\r\nLast-Modified: Tue, 14 Nov 2023 22:13:20 GMT\r\n");
        if head.starts_with("head ") {
            let length = length.map(|length| format!("Content-Length: {length}\r\n")).unwrap_or_default();
            return self::head("200 OK", &(meta + &length));
        }
        let chunk = |chunk: &&str| format!("{:x}\r\n{chunk}\r\n", chunk.len());
        let body: String = chunks.iter().map(chunk).collect();
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{meta}\r\n{body}0\r\n\r\n")
    })
    .await;
    SwiftBuilder::new("c").with_config(config(&url)).build().unwrap()
}

#[tokio::test]
async fn a_body_without_a_length_is_proven_by_its_end_and_its_md5() {
    for length in [None, Some(8)] {
        let swift = chunked(&["abc", "defgh"], length).await;
        let got = swift.get(&Path::from("a")).await.unwrap();
        assert_eq!((got.meta.size, got.range.clone()), (8, 0..8));
        assert_eq!(got.bytes().await.unwrap(), "abcdefgh");
    }
}

#[tokio::test]
async fn a_body_without_a_length_that_lacks_something_is_damaged() {
    let swift = chunked(&["abc", "defg"], None).await;
    let error = swift.get(&Path::from("a")).await.unwrap().bytes().await.unwrap_err();
    let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref());
    assert!(matches!(source, Some(StoreError::Damaged { .. })), "{error:?}");
}
