//! Measures a program's run with GNU time.

use std::process::Command;
use std::time::Instant;

use super::{Said, said, testbed};

#[derive(Clone, Copy, Debug)]
pub struct Cost {
    pub seconds: f64,
    /// Peak memory of the largest process, in MiB.
    pub peak: f64,
}

/// Runs a command to completion and measures it. Skips the test if GNU time is missing.
pub fn measured(command: &Command) -> (Said, Cost) {
    // GNU time measures from a small process: the peak of a direct child would include this process's
    // memory, which it shares until `exec`.
    let mut timed = testbed::program("time");
    let peak = tempfile::NamedTempFile::new().expect("a file");
    timed.args(["--format", "%M", "--output"]).arg(peak.path()).arg(command.get_program());
    timed.args(command.get_args());
    timed.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = command.get_current_dir() {
        timed.current_dir(folder);
    }
    let begun = Instant::now();
    let said = said(&mut timed).done();
    let seconds = begun.elapsed().as_secs_f64();
    let output = std::fs::read_to_string(peak.path()).expect("a peak");
    let kib: f64 = output.trim().parse().expect("KiB");
    (said, Cost { seconds, peak: kib / 1024.0 })
}
