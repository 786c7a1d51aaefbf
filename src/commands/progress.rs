//! Progress bars: one a download, with size and speed, on a terminal only.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::console::Console;
use crate::fetch::{Meter, Progress, Silent};

const WITH_TOTAL: &str =
    "{prefix:28!} {bar:24} {binary_bytes:>11} of {binary_total_bytes:<11} {binary_bytes_per_sec}";
const WITHOUT: &str = "{prefix:28!} {spinner} {binary_bytes:>11} {binary_bytes_per_sec}";

/// Bars where a person looks, else nothing.
pub(super) fn shown(console: &Console) -> Box<dyn Progress> {
    if !console.shows_progress() {
        return Box::new(Silent);
    }
    Box::new(Bars(MultiProgress::with_draw_target(ProgressDrawTarget::stderr())))
}

struct Bars(MultiProgress);

impl Progress for Bars {
    fn started(&self, label: &str, total: Option<u64>) -> Box<dyn Meter> {
        let bar = match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::no_length(),
        };
        let style = ProgressStyle::with_template(if total.is_some() { WITH_TOTAL } else { WITHOUT });
        let bar = self.0.add(bar);
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.set_prefix(label.to_owned());
        Box::new(Bar(bar))
    }
}

struct Bar(ProgressBar);

impl Meter for Bar {
    fn advance(&mut self, bytes: u64) {
        self.0.inc(bytes);
    }

    fn restart_at(&mut self, byte: u64) {
        self.0.set_position(byte);
        // What an earlier run left did not come at this speed.
        self.0.reset_eta();
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
