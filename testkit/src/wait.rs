//! Waiting for a condition, with a deadline.

use std::fmt::Display;
use std::thread::sleep;
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_millis(5);
const DEADLINE: Duration = Duration::from_secs(15);

/// How much longer than usual everything may take here: `PATIENCE`, or 1.
pub fn patience() -> f64 {
    let Ok(text) = std::env::var("PATIENCE") else { return 1.0 };
    text.parse().ok().filter(|factor| *factor > 0.0).unwrap_or_else(|| panic!("PATIENCE={text} is not a factor"))
}

/// When to give up on something that should happen at once.
pub fn deadline() -> Duration {
    DEADLINE.mul_f64(patience())
}

/// Probes until there is a result, and returns it.
///
/// # Errors
/// After `limit`, with `what` was waited for and the reason that the last probe gave.
pub fn within<T, E: Display>(limit: Duration, what: &str, probe: impl FnMut() -> Result<T, E>) -> Result<T, String> {
    every(INTERVAL, limit, what, probe)
}

/// As [`within`], with this time between two probes.
pub(crate) fn every<T, E: Display>(
    interval: Duration,
    limit: Duration,
    what: &str,
    mut probe: impl FnMut() -> Result<T, E>,
) -> Result<T, String> {
    let start = Instant::now();
    loop {
        match probe() {
            Ok(result) => return Ok(result),
            Err(reason) if start.elapsed() > limit => {
                return Err(format!("waited {:.1} s until {what}: {reason}", start.elapsed().as_secs_f64()));
            }
            Err(_) => sleep(interval),
        }
    }
}

/// As [`within`] the usual [`deadline`], after which it panics.
#[track_caller]
pub fn until<T, E: Display>(what: &str, probe: impl FnMut() -> Result<T, E>) -> T {
    within(deadline(), what, probe).unwrap_or_else(|error| panic!("{error}"))
}
