use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// A loaded machine passes; what has died is noticed by `condition` long before.
const LIMIT: Duration = Duration::from_secs(600);
const PAUSE: Duration = Duration::from_millis(20);

/// Returns once `condition` is true; an error that names `what` after ten minutes, or `condition`'s own error
/// at once.
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
