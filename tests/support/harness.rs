//! Runs the tests of a program. A test that lacks a real part counts as ignored and prints the reason.

use std::any::Any;
use std::fs::OpenOptions;
use std::io::Write;
use std::panic::{catch_unwind, resume_unwind};
use std::process::ExitCode;
use std::time::Instant;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// Names a file to which each test appends `SECONDS PROGRAM::TEST`.
const TIMES: &str = "BAKE_TEST_TIMES";

/// A function with `#[test]`.
pub struct Test {
    /// Includes the program's name and the modules.
    pub name: &'static str,
    pub ignored: bool,
    pub run: fn(),
}

inventory::collect!(Test);

/// The panic payload of a test that cannot run on this machine.
struct Skipped(String);

/// Ends the running test and marks it ignored.
pub fn skip(reason: String) -> ! {
    // `panic!` would call the hook, which prints a backtrace.
    resume_unwind(Box::new(Skipped(reason)))
}

/// The `main` of a test program.
pub fn run() -> ExitCode {
    let mut arguments = Arguments::from_args();
    if arguments.test_threads.is_none() {
        arguments.test_threads =
            std::env::var("RUST_TEST_THREADS").ok().map(|count| count.parse().expect("RUST_TEST_THREADS"));
    }
    let mut trials: Vec<_> = inventory::iter::<Test>().map(trial).collect();
    trials.sort_by(|one, other| one.name().cmp(other.name()));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(test: &'static Test) -> Trial {
    let (_, name) = test.name.split_once("::").expect("a program and a test");
    Trial::ignorable_test(name, || {
        let start = Instant::now();
        let outcome = catch_unwind(test.run);
        record(test.name, start);
        match outcome {
            Ok(()) => Ok(Completion::Completed),
            Err(payload) => match payload.downcast::<Skipped>() {
                Ok(skipped) => Ok(Completion::ignored_with(skipped.0)),
                Err(payload) => Err(message(payload.as_ref())),
            },
        }
    })
    .with_ignored_flag(test.ignored)
}

fn message(payload: &(dyn Any + Send)) -> Failed {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    match text.or_else(|| payload.downcast_ref::<String>().cloned()) {
        Some(text) => Failed::from(text),
        None => Failed::without_message(),
    }
}

fn record(name: &str, start: Instant) {
    if let Some(path) = std::env::var_os(TIMES) {
        let mut file = OpenOptions::new().append(true).create(true).open(path).expect(TIMES);
        writeln!(file, "{:.1} {name}", start.elapsed().as_secs_f64()).expect(TIMES);
    }
}
