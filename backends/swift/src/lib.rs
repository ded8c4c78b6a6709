//! OpenStack Swift as an [`object_store::ObjectStore`].

mod auth;
mod client;
mod clock;
mod config;
mod error;
mod retry;
mod secret;

pub use self::{
    auth::AuthError,
    config::{Config, ConfigError, Missing, Timeouts},
    error::{Error, Kind},
    secret::Secret,
};
