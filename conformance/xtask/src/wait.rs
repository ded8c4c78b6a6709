//! Waits for a condition, with a time limit.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Long enough for a busy machine. `condition` reports a dead process long before.
const LIMIT: Duration = Duration::from_secs(600);
const PAUSE: Duration = Duration::from_millis(20);

/// Returns when `condition` is true. After ten minutes it returns an error that names `what`; an error of `condition`
/// is returned at once.
pub fn until(what: &str, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    while !condition()? {
        if Instant::now() > deadline {
            bail!("gave up after {} s of waiting until {what}", LIMIT.as_secs());
        }
        sleep(PAUSE);
    }
    Ok(())
}
