//! Retry policy and backoff.

use std::thread;
use std::time::Duration;

use jiff::Timestamp;

use super::error::HttpError;

/// The longest server-requested wait; beyond that the user decides.
const LONGEST_ASKED: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
pub struct RetryPolicy {
    pub attempts: u32,
    /// Doubles after each attempt.
    pub first_pause: Duration,
    pub longest_pause: Duration,
    /// Without any data.
    pub stall: Duration,
    pub connect: Duration,
    /// For a whole archive or layer.
    pub download: Duration,
}

impl Default for RetryPolicy {
    /// For interactive use.
    fn default() -> Self {
        Self {
            attempts: 5,
            first_pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(8),
            stall: Duration::from_secs(30),
            connect: Duration::from_secs(10),
            // 2 GiB at 50 kB/s.
            download: Duration::from_secs(12 * 60 * 60),
        }
    }
}

impl RetryPolicy {
    /// Minimum rate of a body in bytes per second; a 14.4 kbit/s modem passes.
    pub const LEAST_RATE: u64 = 1024;

    /// The rate is averaged over this many `stall` periods: a minute.
    pub(super) const WINDOW: u32 = 2;

    /// A document may take this many `stall` periods: five minutes.
    pub(super) const DOCUMENT: u32 = 10;

    pub(super) fn pauses(&self) -> Backoff {
        Backoff { left: self.attempts.saturating_sub(1), next: self.first_pause, longest: self.longest_pause }
    }
}

/// The remaining attempts.
#[derive(Debug)]
pub struct Backoff {
    left: u32,
    next: Duration,
    longest: Duration,
}

impl Backoff {
    /// Waits before the next attempt.
    ///
    /// # Errors
    /// Returns `error` immediately if it is permanent, no attempts are left, or the server asks for more
    /// than a minute.
    pub fn wait_after(&mut self, error: HttpError) -> Result<(), HttpError> {
        if self.is_over() || !error.may_pass() {
            return Err(error);
        }
        let asked = match &error {
            HttpError::Status { until: Some(until), .. } => {
                // A time in the past means no wait.
                Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default()
            }
            _ => Duration::ZERO,
        };
        if asked > LONGEST_ASKED {
            return Err(error);
        }
        // Jitter, so that clients that failed together do not return together.
        let own = self.next.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.left -= 1;
        self.next = (self.next * 2).min(self.longest);
        thread::sleep(own.max(asked));
        Ok(())
    }

    pub(super) const fn is_over(&self) -> bool {
        self.left == 0
    }
}
