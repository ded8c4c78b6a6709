//! What to do about an error, for a program that has it only as a cause of another error.

use std::error::Error as StdError;

use crate::{
    auth::AuthError,
    config::ConfigError,
    error::{Error, StoreError},
    store::BuildError,
    transport::Broken,
};

/// What to do about `error`, if it is an error of this crate and that can be told. Its causes have hints of their own.
#[must_use]
pub fn hint(error: &(dyn StdError + 'static)) -> Option<String> {
    if let Some(error) = error.downcast_ref::<StoreError>() {
        return error.hint().map(String::from);
    }
    let of_request = error.downcast_ref().and_then(Error::hint);
    let of_answer = || error.downcast_ref().and_then(Broken::hint);
    let of_credentials = || error.downcast_ref().and_then(AuthError::hint);
    let of_settings = || error.downcast_ref().and_then(ConfigError::hint);
    let of_store = || error.downcast_ref().and_then(BuildError::hint);
    let hint = of_request.or_else(of_answer).or_else(of_credentials).or_else(of_settings).or_else(of_store);
    hint.map(str::to_owned)
}

/// The text and the hint of `error`, as a program shows them.
#[cfg(test)]
pub(crate) fn text_and_hint(error: &(dyn StdError + 'static)) -> String {
    format!("{error}; {}", hint(error).unwrap_or_default())
}
