//! Minimum rate and total time of a response body.

use std::time::Duration;

use super::error::{Address, HttpError};
use super::retry::RetryPolicy;

/// Counts only time spent waiting for the server: a slow reader, for example one that writes to a slow
/// disk, does not make the server slow.
pub(super) struct RateLimit {
    window: Duration,
    least: u64,
    whole: Duration,
    waited: Duration,
    in_window: Duration,
    came: u64,
}

impl RateLimit {
    /// `is_large` selects the limits for archives and layers instead of documents.
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

    /// Adds `bytes` that took `waited` to arrive; 0 at the end of the body.
    ///
    /// # Errors
    /// [`HttpError::TooSlow`] once a limit is exceeded.
    pub(super) fn count(&mut self, bytes: usize, waited: Duration, url: &Address) -> Result<(), HttpError> {
        if bytes == 0 {
            return Ok(());
        }
        self.waited += waited;
        self.in_window += waited;
        self.came += bytes as u64;
        if self.waited > self.whole {
            let why = format!("not complete within {} s", self.whole.as_secs());
            return Err(HttpError::TooSlow { url: url.clone(), why });
        }
        if self.in_window >= self.window {
            if self.came < self.least {
                let why = format!("{} bytes in {} s", self.came, self.in_window.as_secs());
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

    /// Seconds until it fails if `bytes` arrive every `pause`, within a day.
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
    fn a_trickle_is_cut_off_but_a_slow_line_is_not() {
        assert_eq!(given_up(1, Duration::from_secs(2), true), Some(60));
        assert_eq!(given_up(1000, Duration::from_secs(1), false), Some(60));
        // 56 kbit/s: the full time of a download, and five minutes for a document.
        assert_eq!(given_up(7000, Duration::from_secs(1), true), Some(12 * 60 * 60 + 1));
        assert_eq!(given_up(7000, Duration::from_secs(1), false), Some(301));
    }

    #[test]
    fn only_waiting_time_counts() {
        assert_eq!(given_up(1, Duration::from_secs(1), true), Some(60));
        let url = Address::new(&"https://example.org/".parse().expect("a URL"), None);
        let mut rate = RateLimit::new(&RetryPolicy::default(), true);
        assert!((0..100_000).all(|_| rate.count(1, Duration::ZERO, &url).is_ok()));
    }
}
