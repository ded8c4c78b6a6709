use std::{
    error::Error,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use http::StatusCode;
use tokio::time::{Instant, sleep};

/// What became of one try.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    Answered(StatusCode),
    /// The answer was incomplete; a retry may succeed.
    Broken,
    /// No answer, and none to be had: a certificate that isn't trusted.
    Hopeless,
}

/// What is known of the token that was sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Token {
    /// Sent with this request for the first time.
    Renewable,
    /// A new one, since this request's first was refused.
    Renewed,
    /// Given by the user, who alone can renew it; or none was sent.
    Fixed,
}

/// What to do next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// It is an answer, good or bad: the caller judges it.
    Answer,
    /// Get another token, then send it again at once.
    Renew,
    /// Send it again after a pause, with another token where this one was refused, as long as there is time.
    Retry,
    /// It is an error and will stay one.
    Fail,
}

/// Judges a try of a request that may be sent again whatever came of it.
///
/// A token that is refused is renewed at once. Where the new one is refused too, that is an outage: Swift answers 401
/// while it can't reach the identity service to check a token, and after each restart of a proxy that keeps its
/// tokens in memory. 498 is Swift's rate limit.
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
        // Asking again for what isn't implemented (501) or not understood (505) changes nothing.
        (501 | 505, _) => Verdict::Fail,
        (408 | 429 | 498 | 500.., _) => Verdict::Retry,
        _ => Verdict::Answer,
    }
}

/// The pause before the first retry, at most; each later one is twice as long, up to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);

/// What any server may take to answer, however short the budget is.
const FIRST_TRY: Duration = Duration::from_secs(10);

/// How long to wait after so many failures, `spent` after the first of them. None: `budget` doesn't reach for it.
///
/// `random`, between 0 and 1, spreads the pauses over the upper half of the exponential step, so that clients which
/// failed together don't come back together. `asked` is the server's `Retry-After`.
pub(crate) fn pause(
    failures: u32,
    spent: Duration,
    budget: Duration,
    asked: Option<Duration>,
    random: f64,
) -> Option<Duration> {
    let doublings = failures.saturating_sub(1).min(16);
    let step = (FIRST * 2_u32.pow(doublings)).min(LONGEST);
    let pause = step.mul_f64(0.5 + random / 2.0).max(asked.unwrap_or_default());
    (spent.checked_add(pause)? <= budget).then_some(pause)
}

/// Whoever reads the warnings of an outage learns nothing new from more of them.
const QUIET: Duration = Duration::from_secs(15);

/// When people were last warned of a failure: of the first, and then of one in [`QUIET`] at most.
#[derive(Debug, Default)]
struct Warnings(Option<Instant>);

impl Warnings {
    /// Traces a failure: as a warning if one is due.
    fn tell(&mut self, error: &(dyn Error + 'static), left: f64) {
        if self.is_due(Instant::now()) {
            tracing::warn!(error, "trying again, for {left} s at most");
        } else {
            tracing::debug!(error, "trying again, for {left} s at most");
        }
    }

    fn is_due(&mut self, now: Instant) -> bool {
        let due = self.0.is_none_or(|last| now.duration_since(last) >= QUIET);
        if due {
            self.0 = Some(now);
        }
        due
    }
}

/// Since when a request has got nowhere. All who send the request again share it, so that their retries fall under
/// one bound: clones are the same trouble.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trouble(Arc<OnceLock<Instant>>);

impl Trouble {
    /// Notes a failure before which nothing had moved for so long, and gives the time since the first one began.
    pub(crate) fn note(&self, idle: Duration) -> Duration {
        let began = || Instant::now().checked_sub(idle).unwrap_or_else(Instant::now);
        self.0.get_or_init(began).elapsed()
    }

    fn spent(&self) -> Duration {
        self.0.get().map(Instant::elapsed).unwrap_or_default()
    }
}

/// When a request last failed for as long as it may, and nothing has succeeded since. What follows, such as the removal of
/// what the failure left behind, is tried once, so that an outage is waited for once and not by each request in turn.
#[derive(Debug, Default)]
pub(crate) struct Exhaustion(Mutex<Option<Instant>>);

impl Exhaustion {
    pub(crate) fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    pub(crate) fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The budget and the patience of a request that would have so much otherwise. The exhaustion is forgotten after the
    /// time of the budget.
    pub(crate) fn limit(&self, budget: Duration, patience: Duration) -> (Duration, Duration) {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match last {
            Some(last) if last.elapsed() < budget => (Duration::ZERO, patience.min(FIRST_TRY)),
            _ => (budget, patience),
        }
    }
}

/// The tries of one request.
#[derive(Debug)]
pub(crate) struct Tries {
    budget: Duration,
    failures: u32,
    trouble: Trouble,
    warnings: Warnings,
}

impl Tries {
    /// Tries that end when the request has got nowhere for as long as `budget`.
    pub(crate) fn new(budget: Duration, trouble: &Trouble) -> Self {
        Self { budget, failures: 0, trouble: trouble.clone(), warnings: Warnings::default() }
    }

    /// How long the next try may be silent, `patience` at most: it ends with the budget. The first leaves half of that to
    /// another, but has ten seconds in any case. A request that is to be tried once has no budget, and all of its patience.
    pub(crate) fn patience(&self, patience: Duration) -> Duration {
        match self.trouble.0.get() {
            _ if self.budget.is_zero() => patience,
            None => patience.min((self.budget / 2).max(FIRST_TRY)),
            Some(_) => patience.min(self.left()),
        }
    }

    /// Whether a failure after so much silence is due to the end of the budget alone. Then the failure before it says
    /// why the request failed.
    pub(crate) fn is_cut_short(&self, idle: Duration, patience: Duration) -> bool {
        self.failures > 0 && !idle.is_zero() && idle < patience
    }

    /// What is left of the budget.
    pub(crate) fn left(&self) -> Duration {
        self.budget.saturating_sub(self.trouble.spent())
    }

    /// Counts a failure before which nothing moved for as long as `idle`, traces it (as a warning now and then), and
    /// sleeps until the next try; false, at once, when there is to be none.
    pub(crate) async fn again(
        &mut self,
        idle: Duration,
        asked: Option<Duration>,
        failure: &(dyn Error + Send + Sync + 'static),
    ) -> bool {
        self.failures += 1;
        let spent = self.trouble.note(idle);
        let Some(pause) = pause(self.failures, spent, self.budget, asked, fastrand::f64()) else {
            return false;
        };
        let left = self.budget.saturating_sub(spent).as_secs_f64().ceil();
        self.warnings.tell(failure, left);
        sleep(pause).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Duration = Duration::from_secs(120);

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

    #[test]
    fn pauses_double_up_to_ten_seconds() {
        let at = |failures| pause(failures, Duration::ZERO, BUDGET, None, 1.0).unwrap();
        assert_eq!(at(1), Duration::from_millis(100));
        assert_eq!(at(2), Duration::from_millis(200));
        assert_eq!(at(7), Duration::from_millis(6400));
        assert_eq!(at(8), LONGEST);
        assert_eq!(at(u32::MAX), LONGEST);
    }

    #[test]
    fn pauses_are_spread_over_the_upper_half_of_their_step() {
        let at = |random| pause(2, Duration::ZERO, BUDGET, None, random).unwrap();
        assert_eq!(at(0.0), Duration::from_millis(100));
        assert_eq!(at(0.5), Duration::from_millis(150));
    }

    #[test]
    fn people_are_warned_at_once_and_then_every_quarter_of_a_minute_at_most() {
        let (mut warnings, start) = (Warnings::default(), Instant::now());
        let due =
            [0, 1, 14, 15, 16, 29, 45].map(|second| warnings.is_due(start + Duration::from_secs(second)));
        assert_eq!(due, [true, false, false, true, false, false, true]);
    }

    #[test]
    fn a_server_that_asks_for_a_longer_pause_gets_it() {
        let asked = Some(Duration::from_secs(30));
        assert_eq!(pause(1, Duration::ZERO, BUDGET, asked, 0.0), asked);
    }

    #[tokio::test(start_paused = true)]
    async fn all_who_retry_a_request_share_one_budget() {
        let trouble = Trouble::default();
        let (mut outer, mut inner) = (Tries::new(BUDGET, &trouble), Tries::new(BUDGET, &trouble));
        let (began, failure) = (Instant::now(), std::io::Error::other("no answer"));
        while inner.again(Duration::ZERO, None, &failure).await {}
        while outer.again(Duration::ZERO, None, &failure).await {}
        assert!(began.elapsed() <= BUDGET, "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn the_silence_before_a_failure_is_a_part_of_the_budget() {
        let (minute, failure) = (Duration::from_secs(60), std::io::Error::other("no answer"));
        let mut tries = Tries::new(BUDGET, &Trouble::default());
        assert_eq!(tries.patience(minute), minute);
        tokio::time::sleep(minute).await;
        assert!(tries.again(minute, None, &failure).await);
        let patience = tries.patience(minute);
        assert!(patience < minute);
        tokio::time::sleep(patience).await;
        assert!(!tries.again(patience, None, &failure).await);
        let half = Tries::new(minute, &Trouble::default());
        assert_eq!(half.patience(minute), minute / 2);
        let once = Tries::new(Duration::ZERO, &Trouble::default());
        assert_eq!(once.patience(minute), minute);
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_waited_for_once_until_something_succeeds_or_time_has_passed() {
        let (exhaustion, minute) = (Exhaustion::default(), Duration::from_secs(60));
        let whole = (BUDGET, minute);
        assert_eq!(exhaustion.limit(BUDGET, minute), whole);
        exhaustion.note();
        assert_eq!(exhaustion.limit(BUDGET, minute), (Duration::ZERO, FIRST_TRY));
        exhaustion.clear();
        assert_eq!(exhaustion.limit(BUDGET, minute), whole);
        exhaustion.note();
        tokio::time::advance(BUDGET).await;
        assert_eq!(exhaustion.limit(BUDGET, minute), whole);
    }

    #[test]
    fn no_pause_reaches_beyond_the_budget() {
        assert_eq!(pause(1, BUDGET, BUDGET, None, 0.0), None);
        assert_eq!(pause(1, Duration::ZERO, BUDGET, Some(BUDGET * 2), 0.0), None);
        assert_eq!(pause(1, Duration::ZERO, BUDGET, Some(Duration::MAX), 0.0), None);
        assert!(pause(1, BUDGET - FIRST, BUDGET, None, 1.0).is_some());
    }
}
