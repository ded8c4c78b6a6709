#![doc = include_str!("../README.md")]
//! # Modules
//!
//! The modules form layers, numbered from the bottom. A module imports only from the layers below its own
//! (a test in `conformance/tests/modules` checks this):
//!
//! 1. Basics: `clock`, `secret`, `local_file`, `private_directory`, `retry`, `concurrency`, `target`.
//! 2. Reaching an account: `config` (settings), `transport` (HTTP), `auth` (tokens), `error`, `outage`, `dialect` (what
//!    the cluster can do), and `client`, through which every request goes.
//! 3. Stored objects: `containers`, `object` (headers, digests), `create_only` (objects that exist are kept), `listing` (its `cursor` implements paging),
//!    `manifests` (the parts of large objects), `deletion` (of single objects), and `handles`, which holds all of these.
//! 4. Operations, a type for each: `object_deletion`, `large`, `reading`, `writing`, `copying`, `signing`.
//! 5. `store`, which implements the traits of `object_store` with these, `sweep`, and `hint`.

mod auth;
mod client;
mod clock;
mod concurrency;
mod config;
mod containers;
mod copying;
mod create_only;
mod deletion;
mod dialect;
mod error;
#[cfg(any(test, fuzzing, feature = "fuzz"))]
#[doc(hidden)]
pub mod fuzz {
    //! Fuzzing targets. Each is beside the parser that it tests.

    pub use crate::{auth::catalog, config::clouds, listing::listing};
}
mod handles;
mod hint;
mod large;
mod listing;
mod local_file;
mod manifests;
mod object;
mod object_deletion;
mod outage;
mod private_directory;
mod reading;
mod retry;
mod secret;
mod signing;
mod store;
mod sweep;
mod target;
mod transport;
mod writing;

pub use self::{
    auth::AuthError,
    config::{Config, ConfigError, Missing, Timeouts},
    error::{Error, Kind, SigningProblem, StoreError},
    hint::hint,
    reading::UnprovenAbsence,
    store::{BuildError, Swift, SwiftBuilder},
};
