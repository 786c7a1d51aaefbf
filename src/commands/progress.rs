//! Downloads as bars, one line each, below what is printed.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::fetch::{DownloadMeter, Progress, Silent};

/// Bars on standard error where that is a terminal, and nothing elsewhere.
pub(super) struct Bars(MultiProgress);

impl Bars {
    /// None at all where the user wants it `quiet`.
    pub(super) fn new(quiet: bool) -> Self {
        // Standard error draws nothing where it is no terminal.
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
        // A bar that is not of the terminal yet draws nothing of its beginning elsewhere.
        let bar = self.0.add(ProgressBar::hidden());
        bar.set_style(style);
        bar.set_prefix(label.to_owned());
        if let Some(total) = total {
            bar.set_length(total);
        }
        Box::new(Bar(bar))
    }
}

/// The bar of one download, until it is dropped.
struct Bar(ProgressBar);

impl DownloadMeter for Bar {
    fn advance(&mut self, bytes: u64) {
        self.0.inc(bytes);
    }

    fn restart_at(&mut self, byte: u64) {
        self.0.set_position(byte);
        // What an earlier run left came at no speed.
        self.0.reset_eta();
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
