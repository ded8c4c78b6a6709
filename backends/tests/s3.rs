//! The additions of the cloud backends to `object_store`, tested with the protocol of S3.

#![cfg(feature = "s3")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    thread,
};

use futures::TryStreamExt;
use object_store::{Error, ObjectStoreExt};
use swiftwal_backends::registry;
use swiftwal_core::{OpenError, Options, Storage};

const EMPTY: &str = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";

/// Answers as S3 does if the object is missing or, without `bucket`, the bucket.
fn serve(bucket: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || listener.incoming().for_each(|request| answer(request.unwrap(), bucket)));
    format!("http://{address}")
}

fn answer(stream: TcpStream, bucket: bool) {
    let mut lines = BufReader::new(&stream).lines().map(Result::unwrap);
    let list = lines.next().is_some_and(|request| request.contains("list-type=2"));
    let _headers = lines.take_while(|line| !line.is_empty()).count();
    let (status, body) = match (bucket, list) {
        (true, true) => ("200 OK", EMPTY),
        (true, false) => ("404 Not Found", "<Error><Code>NoSuchKey</Code></Error>"),
        (false, _) => ("404 Not Found", "<Error><Code>NoSuchBucket</Code></Error>"),
    };
    let length = body.len();
    write!(&stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
        .unwrap();
}

fn open(location: &str, settings: &[(&str, &str)]) -> Result<Storage, OpenError> {
    let settings = settings.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    registry().open(&location.parse().unwrap(), &Options { settings, ..Options::default() })
}

fn bucket(endpoint: &str) -> Storage {
    let settings = [
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_PAGER", "less"),
    ];
    open("s3://bucket/prefix", &settings).unwrap()
}

#[tokio::test]
async fn an_absent_object_is_not_found() {
    let answer = bucket(&serve(true)).store().get(&"x".into()).await;
    assert!(matches!(answer, Err(Error::NotFound { .. })), "{answer:?}");
}

#[tokio::test]
async fn an_absent_bucket_proves_nothing_of_its_objects() {
    let storage = bucket(&serve(false));
    let store = storage.store();
    let answers = [
        store.get(&"x".into()).await.map(drop),
        store.head(&"x".into()).await.map(drop),
        store.put(&"x".into(), "x".into()).await.map(drop),
        store.list(None).try_collect::<Vec<_>>().await.map(drop),
    ];
    for answer in answers {
        let error = answer.unwrap_err();
        assert!(!matches!(error, Error::NotFound { .. }), "{error:?}");
        assert!(format!("{error:?}").contains("NoSuchBucket"), "{error:?}");
    }
}

#[test]
fn a_setting_that_makes_no_sense_is_refused() {
    let opened = open("s3://bucket", &[("AWS_ALLOW_HTTP", "perhaps")]);
    assert!(matches!(opened, Err(OpenError::Settings { .. })), "{opened:?}");
    let opened = open("s3://bucket/?x", &[]);
    assert!(matches!(opened, Err(OpenError::InvalidLocation { .. })), "{opened:?}");
}
