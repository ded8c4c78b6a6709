//! OpenStack Swift as an [`object_store::ObjectStore`].

mod auth;
mod client;
mod config;
mod error;
mod retry;
mod secret;

pub use self::{
    auth::AuthError,
    config::{Config, ConfigError},
    error::{Error, Kind},
    secret::Secret,
};
