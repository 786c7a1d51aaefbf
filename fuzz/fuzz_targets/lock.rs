//! Any text as a lock: nothing panics, and what was read is written as it reads.

#![no_main]

use bake::diagnostics::{Problems, Source, terminal};
use bake::lock;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut problems = Problems::default();
    let read = lock::read(Source::new("bake.lock", text), &mut problems);
    // Telling about problems slices the text, which is where a wrong place would show.
    let _ = terminal::render(&problems, false);
    let Some((lock, _)) = read.filter(|_| !problems.has_errors()) else { return };
    let written = lock.to_text();
    let again = lock::read(Source::new("bake.lock", &written), &mut problems);
    assert!(!problems.has_errors(), "{}", terminal::render(&problems, false));
    assert_eq!(again.map(|(lock, _)| lock.to_text()).as_ref(), Some(&written));
});
