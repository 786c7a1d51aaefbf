//! Progress bars, one line per download.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::fetch::{DownloadMeter, Progress, Silent};

/// Progress bars on a terminal; otherwise nothing.
pub(super) struct Bars(MultiProgress);

impl Bars {
    /// Hidden if `quiet`.
    pub(super) fn new(quiet: bool) -> Self {
        // Standard error draws nothing unless it is a terminal.
        let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        Self(MultiProgress::with_draw_target(target))
    }
}

impl Progress for Bars {
    fn started(&self, label: &str, total: Option<u64>) -> Box<dyn DownloadMeter> {
        if self.0.is_hidden() {
            return Box::new(Silent);
        }
        let template = if total.is_some() {
            "{prefix:24!} {bar:30} {binary_bytes:>11} of {binary_total_bytes:>11} {binary_bytes_per_sec:>13}"
        } else {
            "{prefix:24!} {binary_bytes:>11} {binary_bytes_per_sec:>13}"
        };
        let style = ProgressStyle::with_template(template).expect("both templates are written right");
        // A bar outside of the `MultiProgress` would draw on its own.
        let bar = self.0.add(ProgressBar::hidden());
        bar.set_style(style);
        bar.set_prefix(label.to_owned());
        if let Some(total) = total {
            bar.set_length(total);
        }
        Box::new(Bar(bar))
    }
}

/// The progress bar of one download, removed on drop.
struct Bar(ProgressBar);

impl DownloadMeter for Bar {
    fn advance(&mut self, bytes: u64) {
        self.0.inc(bytes);
    }

    fn restart_at(&mut self, byte: u64) {
        self.0.set_position(byte);
        // Bytes of an earlier run do not count for the speed.
        self.0.reset_eta();
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
