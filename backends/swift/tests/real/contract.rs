//! The requirements of `object_store` on every store, tested on a real Swift and a real Ceph.
//!
//! Each test has its own container. One function of that suite can't be used, `response_extensions`: it needs a store
//! that sends through `object_store`'s own `HttpConnector`, and this store has its own HTTP client.

use futures::future::BoxFuture;
use object_store::integration as contract;
use object_store_swift::Swift;

use super::account::{CEPH, Fixture, KEYSTONE, V1};

/// Makes a separate test for each function, authentication method and kind of server.
macro_rules! keeps {
    ($($name:ident => $check:expr;)*) => {
        keeps! { v1, V1: $($name => $check;)* }
        keeps! { keystone, KEYSTONE: $($name => $check;)* }
        keeps! { ceph, CEPH: $($name => $check;)* }
    };
    ($account:ident, $settings:ident: $($name:ident => $check:expr;)*) => {
        mod $account {
            use super::*;

            $(
                #[tokio::test(flavor = "multi_thread")]
                #[ignore = "needs Swift and Ceph: run by cargo xtask test"]
                async fn $name() {
                    let fixture = Fixture::new($settings, stringify!($name)).await;
                    let check: fn(Swift) -> BoxFuture<'static, ()> = $check;
                    check(fixture.swift.clone()).await;
                    fixture.remove().await;
                }
            )*
        }
    };
}

keeps! {
    puts_gets_deletes_and_lists => |swift| Box::pin(async move { contract::put_get_delete_list(&swift).await });
    keeps_attributes => |swift| Box::pin(async move { contract::put_get_attributes(&swift).await });
    gets_under_conditions => |swift| Box::pin(async move { contract::get_opts(&swift).await });
    creates_and_refuses_updates => |swift| Box::pin(async move { contract::put_opts(&swift, false).await });
    streams_large_objects => |swift| Box::pin(async move { contract::stream_get(&swift).await });
    knows_directories => |swift| Box::pin(async move { contract::list_uses_directories_correctly(&swift).await });
    lists_with_a_delimiter => |swift| Box::pin(async move { contract::list_with_delimiter(&swift).await });
    renames_and_copies => |swift| Box::pin(async move { contract::rename_and_copy(&swift).await });
    copies_if_there_is_none => |swift| Box::pin(async move { contract::copy_if_not_exists(&swift).await });
    copies_nothing_that_is_absent => |swift| Box::pin(async move {
        contract::copy_rename_nonexistent_object(&swift).await;
    });
    lets_the_last_upload_win => |swift| Box::pin(async move {
        contract::multipart_race_condition(&swift, true).await;
    });
    takes_parts_out_of_order => |swift| Box::pin(async move { contract::multipart_out_of_order(&swift).await });
    lists_behind_an_offset => |swift| Box::pin(async move {
        contract::list_with_offset_exclusivity(&swift).await;
    });
    puts_parts_for_callers_who_keep_the_state => |swift| Box::pin(async move {
        contract::multipart(&swift, &swift).await;
    });
    keeps_the_attributes_of_such_an_upload => |swift| Box::pin(async move {
        contract::multipart_with_opts(&swift, &swift).await;
    });
    takes_such_parts_out_of_order => |swift| Box::pin(async move {
        contract::multipart_put_part_out_of_order(&swift, &swift).await;
    });
    lists_page_by_page => |swift| Box::pin(async move { contract::list_paginated(&swift, &swift).await });
    says_what_is_absent => |swift| Box::pin(async move {
        let absent = contract::get_nonexistent_object(&swift, None).await;
        assert!(matches!(absent, Err(object_store::Error::NotFound { .. })), "{absent:?}");
    });
}
