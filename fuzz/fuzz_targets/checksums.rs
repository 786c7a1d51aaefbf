//! Any text as a list of checksums, with the asset's name in its first line: nothing panics, a file about one
//! asset states what a list with the same lines states, and a line about another file changes nothing.

#![no_main]

use bake::lock::checksums::{Said, of_list, of_own};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| {
    let Some((asset, text)) = input.split_once('\n') else { return };
    let said = of_list(text, asset);
    if matches!(said, Said::States(_) | Said::Contradicts(..)) {
        assert_eq!(of_own(text, asset), said);
        let other = format!("{text}\n{}  another-file\n", "0".repeat(64));
        assert!(asset.eq_ignore_ascii_case("another-file") || of_list(&other, asset) == said);
    } else {
        let _ = of_own(text, asset);
    }
});
