#![doc = include_str!("../README.md")]

mod auth;
mod bulk;
mod client;
mod clock;
mod config;
mod error;
mod large;
mod listing;
mod local_file;
mod object;

mod retry;
mod secret;
mod store;
mod sweep;
mod transport;

pub use self::{
    auth::AuthError,
    config::{Config, ConfigError, Missing, Timeouts},
    error::{Error, Kind, StoreError},
    store::{BuildError, Swift, SwiftBuilder},
};
