//! How slow a body may come, and how long the whole of it may take.

use std::time::Duration;

use super::error::{Address, HttpError};
use super::retry::RetryPolicy;

/// What is awaited of one body. Only time spent waiting for the server counts: a reader that pauses,
/// because it writes to a slow disk or sends the bytes on, does not make the server slow.
pub(super) struct RateLimit {
    window: Duration,
    least: u64,
    whole: Duration,
    waited: Duration,
    in_window: Duration,
    came: u64,
}

impl RateLimit {
    /// That of an archive or a layer where `is_large`, and of a document otherwise.
    pub(super) fn new(patience: &RetryPolicy, is_large: bool) -> Self {
        let window = patience.stall * RetryPolicy::WINDOW;
        Self {
            window,
            least: RetryPolicy::LEAST_RATE.saturating_mul(window.as_secs().max(1)),
            whole: if is_large { patience.download } else { patience.stall * RetryPolicy::DOCUMENT },
            waited: Duration::ZERO,
            in_window: Duration::ZERO,
            came: 0,
        }
    }

    /// Counts `bytes` that were waited for that long; none at the end of the body.
    ///
    /// # Errors
    /// [`HttpError::TooSlow`] where more time would be no use.
    pub(super) fn count(&mut self, bytes: usize, waited: Duration, url: &Address) -> Result<(), HttpError> {
        if bytes == 0 {
            return Ok(());
        }
        self.waited += waited;
        self.in_window += waited;
        self.came += bytes as u64;
        if self.waited > self.whole {
            let why = format!("not all of it came within {} s", self.whole.as_secs());
            return Err(HttpError::TooSlow { url: url.clone(), why });
        }
        if self.in_window >= self.window {
            if self.came < self.least {
                let why = format!("{} bytes came within {} s", self.came, self.in_window.as_secs());
                return Err(HttpError::TooSlow { url: url.clone(), why });
            }
            (self.in_window, self.came) = (Duration::ZERO, 0);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::RateLimit;
    use crate::http::{Address, RetryPolicy};

    /// Seconds until it gives up on `bytes` that come every `pause`, within a day.
    fn given_up(bytes: usize, pause: Duration, is_large: bool) -> Option<u64> {
        let url = Address::new(&"https://example.org/".parse().expect("a URL"), None);
        let mut rate = RateLimit::new(&RetryPolicy::default(), is_large);
        let mut waited = Duration::ZERO;
        while waited < Duration::from_secs(24 * 60 * 60) {
            waited += pause;
            if rate.count(bytes, pause, &url).is_err() {
                return Some(waited.as_secs());
            }
        }
        None
    }

    #[test]
    fn a_trickle_is_cut_off_and_a_slow_line_is_not() {
        assert_eq!(given_up(1, Duration::from_secs(2), true), Some(60));
        assert_eq!(given_up(1000, Duration::from_secs(1), false), Some(60));
        // 56 kbit/s: as long as a download may take, and a document five minutes.
        assert_eq!(given_up(7000, Duration::from_secs(1), true), Some(12 * 60 * 60 + 1));
        assert_eq!(given_up(7000, Duration::from_secs(1), false), Some(301));
    }

    #[test]
    fn time_without_waiting_is_nobodys_fault() {
        assert_eq!(given_up(1, Duration::from_secs(1), true), Some(60));
        let url = Address::new(&"https://example.org/".parse().expect("a URL"), None);
        let mut rate = RateLimit::new(&RetryPolicy::default(), true);
        assert!((0..100_000).all(|_| rate.count(1, Duration::ZERO, &url).is_ok()));
    }
}
