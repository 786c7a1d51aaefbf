//! How often something is tried, and how long is waited in between.

use std::thread;
use std::time::Duration;

use jiff::Timestamp;

use super::error::HttpError;

/// The longest pause that a server may ask for. Who wants more is told to the user, who may have
/// better things to do.
const LONGEST_ASKED: Duration = Duration::from_secs(60);

/// How long a client waits, and how often it tries.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// How often it tries.
    pub attempts: u32,
    /// The pause before the second attempt; it doubles from then on.
    pub first_pause: Duration,
    /// What the pauses grow to.
    pub longest_pause: Duration,
    /// How long nothing may come of an answer.
    pub stall: Duration,
    /// How long a connection may take.
    pub connect: Duration,
    /// How long the server may take to send the whole of an archive or a layer.
    pub download: Duration,
}

impl Default for RetryPolicy {
    /// That of a person at a terminal.
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
    /// The least rate of a body, in bytes a second: a fifth of what a telephone line had.
    pub const LEAST_RATE: u64 = 1024;

    /// How many times as long as silence may last the rate is averaged over: a minute.
    pub(super) const WINDOW: u32 = 2;

    /// How many times as long as silence may last a whole document may take: five minutes.
    pub(super) const DOCUMENT: u32 = 10;

    pub(super) fn pauses(&self) -> Backoff {
        Backoff { left: self.attempts.saturating_sub(1), next: self.first_pause, longest: self.longest_pause }
    }
}

/// What is left of a share of patience.
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
    /// `error` itself, at once, where no other attempt could go better, where there were enough, or
    /// where the server wants to be left alone for longer than a minute.
    pub fn wait_after(&mut self, error: HttpError) -> Result<(), HttpError> {
        if self.is_over() || !error.may_pass() {
            return Err(error);
        }
        let asked = match &error {
            HttpError::Status { until: Some(until), .. } => {
                // A time that has passed asks for nothing.
                Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default()
            }
            _ => Duration::ZERO,
        };
        if asked > LONGEST_ASKED {
            return Err(error);
        }
        // Somewhere in the upper half, so that many who failed together do not come back together.
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
