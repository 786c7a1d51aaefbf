//! The process list of this machine while something runs.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Google's programs live ten times as long, and other tests share the machine.
const PAUSE: Duration = Duration::from_millis(50);

/// Runs `work`. Also returns the command line and environment of every process seen meanwhile.
pub fn seen_during<T>(work: impl FnOnce() -> T) -> (T, BTreeSet<String>) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut seen = BTreeSet::new();
            while !over.load(Ordering::Relaxed) {
                look(&mut seen);
                thread::sleep(PAUSE);
            }
            seen
        });
        let ends = Ends(&over);
        let done = work();
        drop(ends);
        (done, watch.join().expect("what was seen"))
    })
}

/// Stops the watch when it is dropped, even if the test panics.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn look(seen: &mut BTreeSet<String>) {
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        if !process.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        for kept in ["cmdline", "environ"] {
            // The process may belong to another user or have ended.
            let Ok(text) = fs::read(process.path().join(kept)) else { continue };
            seen.insert(String::from_utf8_lossy(&text).into_owned());
        }
    }
}
