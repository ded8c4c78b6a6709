//! Hints for a program that has an error of this crate only as the cause of another error.

use std::{borrow::Cow, error::Error as StdError, sync::Arc};

use crate::{
    auth::AuthError,
    config::ConfigError,
    error::{Error, StoreError},
    store::BuildError,
    transport::Broken,
};

/// Returns what to do about `error`, if it is an error of this crate with a hint. Its causes have their own hints.
#[must_use]
pub fn hint(error: &(dyn StdError + 'static)) -> Option<String> {
    if let Some(error) = error.downcast_ref::<StoreError>() {
        return error.hint().map(String::from);
    }
    if let Some(broken) = error.downcast_ref::<Broken>() {
        return broken.hint();
    }
    let of_request = error.downcast_ref().and_then(Error::hint).map(Cow::Borrowed);
    // Requests that wait for the same token share its error.
    let shared = error.downcast_ref::<Arc<AuthError>>().map(Arc::as_ref);
    let of_credentials = || error.downcast_ref().or(shared).and_then(AuthError::hint);
    let of_settings = || error.downcast_ref().and_then(ConfigError::hint).map(Cow::Borrowed);
    let of_store = || error.downcast_ref().and_then(BuildError::hint).map(Cow::Borrowed);
    let hint = of_request.or_else(of_credentials).or_else(of_settings).or_else(of_store);
    hint.map(Cow::into_owned)
}

/// The text and the hint of `error`, as a program shows them.
#[cfg(test)]
pub(crate) fn text_and_hint(error: &(dyn StdError + 'static)) -> String {
    format!("{error}; {}", hint(error).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use http::{Method, StatusCode};

    use super::*;
    use crate::error::Kind;

    #[test]
    fn refused_credentials_have_their_hint_behind_a_request_too() {
        let refused =
            AuthError::Refused { url: "http://keystone".parse().unwrap(), status: StatusCode::UNAUTHORIZED };
        let expected = refused.hint().map(Cow::into_owned);
        assert!(expected.is_some());
        let error = Error::new(Method::GET, "container", 1, Kind::Auth(Arc::new(refused)));
        assert_eq!(error.source().and_then(hint), expected);
    }
}
