//! The cost of a run, measured by GNU time.

use std::process::Command;
use std::time::Instant;

use super::{Said, said, testbed};

/// The cost of one run.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    pub seconds: f64,
    /// The most memory that the largest of its processes had in use, in MiB.
    pub peak: f64,
}

/// Runs a command to its end, and measures it; none on a machine without GNU time.
pub fn measured(command: &Command) -> (Said, Cost) {
    // The peak memory of a child includes that of this process until the child executes another program.
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
    let told = std::fs::read_to_string(peak.path()).expect("a peak");
    let kib: f64 = told.trim().parse().expect("KiB");
    (said, Cost { seconds, peak: kib / 1024.0 })
}
