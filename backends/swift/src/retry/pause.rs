//! How long to wait before the next try: exponential, with jitter, within the budget.

use std::time::Duration;

use super::FIRST_TRY;

/// The longest pause before the first retry; each later one is twice as long, up to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);

/// Returns how long to wait after this number of failures, `spent` after the first of them. None if `budget` would be
/// exceeded.
///
/// `random`, between 0 and 1, spreads the pauses over the upper half of the exponential step, so that clients which
/// failed together don't return together. `asked` is the server's `Retry-After`. If that is longer than what is left of
/// the budget, the pause leaves [`FIRST_TRY`] for a last try, or half of a budget of less than twice that; if even that is too late, the request of the server is ignored.
pub(super) fn pause(
    failures: u32,
    spent: Duration,
    budget: Duration,
    asked: Option<Duration>,
    random: f64,
) -> Option<Duration> {
    let doublings = failures.saturating_sub(1).min(16);
    let step = (FIRST * 2_u32.pow(doublings)).min(LONGEST).mul_f64(0.5 + random / 2.0);
    let last_try = FIRST_TRY.min(budget / 2);
    let left = budget.checked_sub(spent)?;
    let most = left.saturating_sub(last_try);
    match asked.filter(|asked| *asked > step) {
        Some(asked) if asked <= left => Some(asked),
        Some(_) if most > step => Some(most),
        _ => (step <= left).then_some(step),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Duration = Duration::from_secs(120);

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
    fn a_server_that_asks_for_a_longer_pause_gets_it() {
        let asked = Some(Duration::from_secs(30));
        assert_eq!(pause(1, Duration::ZERO, BUDGET, asked, 0.0), asked);
    }

    #[test]
    fn no_pause_reaches_beyond_the_budget() {
        assert_eq!(pause(1, BUDGET, BUDGET, None, 0.0), None);
        assert!(pause(1, BUDGET - FIRST, BUDGET, None, 1.0).is_some());
    }

    #[test]
    fn a_server_that_asks_for_more_than_is_left_gets_what_is_left_but_the_time_of_one_try() {
        let after = |spent, budget| pause(1, spent, budget, Some(Duration::MAX), 0.0);
        assert_eq!(after(Duration::ZERO, BUDGET), Some(BUDGET - FIRST_TRY));
        assert_eq!(after(BUDGET - FIRST_TRY, BUDGET), Some(FIRST / 2), "as without its request");
        let short = Duration::from_secs(4);
        assert_eq!(after(Duration::ZERO, short), Some(short / 2));
        assert_eq!(after(Duration::ZERO, Duration::ZERO), None);
    }
}
