use thiserror::Error;

/// Why no token could be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AuthError {}

impl AuthError {
    /// Whether the credentials were understood and refused, so that asking again is of no use.
    pub(crate) fn is_refusal(&self) -> bool {
        false
    }
}
