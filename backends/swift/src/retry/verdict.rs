//! Judges one try: a response for the caller, a token to renew, or a request to send again.

use http::StatusCode;

/// The outcome of one try.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    Answered(StatusCode),
    /// The response was incomplete; a retry may succeed.
    Broken,
    /// There was no response, and a retry can't succeed: the certificate isn't trusted.
    Hopeless,
}

/// The state of the token that was sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Token {
    /// Sent for the first time with this request.
    Renewable,
    /// A new one, since the request's first token was refused.
    Renewed,
    /// Given by the user and not renewable; or no token was sent.
    Fixed,
}

/// What to do next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// A response, whatever it says: the caller judges it.
    Answer,
    /// Request another token, then send it again at once.
    Renew,
    /// Send it again after a pause, as long as there is time; with another token if this one was refused.
    Retry,
    /// A permanent error.
    Fail,
}

/// Judges a try of an idempotent request.
///
/// A refused token is renewed at once. If the new one is refused as well, that is an outage: Swift answers 401 while it
/// can't reach the identity service to check a token, and after each restart of a proxy that keeps its tokens in
/// memory. 498 is Swift's rate limit.
pub(crate) fn classify(outcome: Outcome, token: Token) -> Verdict {
    let status = match outcome {
        Outcome::Answered(status) => status,
        Outcome::Broken => return Verdict::Retry,
        Outcome::Hopeless => return Verdict::Fail,
    };
    match (status.as_u16(), token) {
        (401, Token::Renewable) => Verdict::Renew,
        (401, Token::Renewed) => Verdict::Retry,
        (401, Token::Fixed) => Verdict::Fail,
        // A retry doesn't help if something isn't implemented (501) or not understood (505).
        (501 | 505, _) => Verdict::Fail,
        (408 | 429 | 498 | 500.., _) => Verdict::Retry,
        _ => Verdict::Answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(status: u16, token: Token) -> Verdict {
        classify(Outcome::Answered(StatusCode::from_u16(status).unwrap()), token)
    }

    #[test]
    fn answers_are_left_to_the_caller() {
        for status in [200, 201, 202, 204, 206, 304, 400, 403, 404, 409, 412, 413, 416, 422] {
            assert_eq!(verdict(status, Token::Renewable), Verdict::Answer, "{status}");
        }
    }

    #[test]
    fn outages_and_limits_of_rate_are_tried_again() {
        for status in [408, 429, 498, 500, 502, 503, 504, 507] {
            assert_eq!(verdict(status, Token::Renewable), Verdict::Retry, "{status}");
        }
        assert_eq!(classify(Outcome::Broken, Token::Fixed), Verdict::Retry);
    }

    #[test]
    fn what_cannot_get_better_is_not_tried_again() {
        assert_eq!(verdict(501, Token::Renewable), Verdict::Fail);
        assert_eq!(classify(Outcome::Hopeless, Token::Renewable), Verdict::Fail);
    }

    #[test]
    fn a_refused_token_is_renewed_at_once_and_the_next_one_after_a_pause() {
        assert_eq!(verdict(401, Token::Renewable), Verdict::Renew);
        assert_eq!(verdict(401, Token::Renewed), Verdict::Retry);
        assert_eq!(verdict(401, Token::Fixed), Verdict::Fail);
    }
}
