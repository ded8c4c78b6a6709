//! The requirements on every store, tested by the suite of `object_store`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::{path::Path, sync::Arc};

use object_store::{Error, ObjectStore, integration};
use swiftwal_backends::registry;
use swiftwal_core::Options;
use url::Url;

fn open(location: &Url) -> Arc<dyn ObjectStore> {
    Arc::clone(registry().open(location, &Options::default()).unwrap().store())
}

fn memory(name: &str) -> Arc<dyn ObjectStore> {
    open(&format!("memory://{name}").parse().unwrap())
}

fn file(dir: &Path) -> Arc<dyn ObjectStore> {
    open(&Url::from_file_path(dir).unwrap())
}

/// Calls each function of the suite that takes only the store.
macro_rules! suite {
    ($($function:ident),+ $(,)?) => {
        $(mod $function {
            use super::*;

            #[tokio::test]
            async fn holds_for_memory() {
                integration::$function(&memory(stringify!($function))).await;
            }

            #[tokio::test]
            async fn holds_for_file() {
                let dir = tempfile::tempdir().unwrap();
                integration::$function(&file(dir.path())).await;
            }
        })+
    };
}

// Left out: put_get_attributes, since files have no attributes and no flow needs them; multipart and the like, and
// list_paginated, which take traits that no backend offers.
suite![
    copy_if_not_exists,
    copy_rename_nonexistent_object,
    get_opts,
    list_uses_directories_correctly,
    list_with_delimiter,
    list_with_offset_exclusivity,
    multipart_out_of_order,
    put_get_delete_list,
    rename_and_copy,
    stream_get,
];

#[tokio::test]
async fn copy_rename_nonexistent_object_holds_for_file() {
    let dir = tempfile::tempdir().unwrap();
    // In memory, the suite's own store fails here: a rename of a missing object leaves nothing to report.
    integration::copy_rename_nonexistent_object(&file(dir.path())).await;
}

#[tokio::test]
async fn put_opts_holds_for_memory() {
    integration::put_opts(&memory("put_opts"), true).await;
}

#[tokio::test]
async fn put_opts_holds_for_file_except_for_update_which_no_flow_needs() {
    let dir = tempfile::tempdir().unwrap();
    integration::put_opts(&file(dir.path()), false).await;
}

#[tokio::test]
async fn of_two_multipart_uploads_the_one_completed_last_stays() {
    let dir = tempfile::tempdir().unwrap();
    integration::multipart_race_condition(&file(dir.path()), true).await;
    integration::multipart_race_condition(&memory("multipart_race_condition"), true).await;
}

#[tokio::test]
async fn what_was_never_stored_is_not_found() {
    let dir = tempfile::tempdir().unwrap();
    for store in [file(dir.path()), memory("absent")] {
        let answer = integration::get_nonexistent_object(&store, None).await;
        assert!(matches!(answer, Err(Error::NotFound { .. })), "{answer:?}");
    }
}
