#![doc = include_str!("../README.md")]

mod auth;
mod bulk;
mod client;
mod clock;
mod config;
mod error;
mod large;
mod listing;
mod object;
mod regular_file;
mod retry;
mod secret;
mod store;
mod sweep;

use self::secret::Secret;
pub use self::{
    auth::AuthError,
    config::{Config, ConfigError, Missing, Timeouts},
    error::{Error, Kind},
    store::{BuildError, StoreError, Swift, SwiftBuilder},
};
