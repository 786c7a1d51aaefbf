//! The header and the plan of each action as golden files below `fixtures/gcloud`. `BAKE_BLESS=1` writes them.

use std::fs;
use std::path::{Path, PathBuf};

/// The digests in headers and plans that follow every change of the bundle: a lock's, a release's, and a template's.
const DIGESTS: [usize; 3] = [64, 16, 12];

/// The id of the tests' project.
const ID: &str = "0123456789abcdef";

/// Whether this run only writes the golden files.
pub(crate) fn is_blessing() -> bool {
    std::env::var_os("BAKE_BLESS").is_some()
}

/// The comment at the top of a script.
pub(crate) fn header(script: &str) -> String {
    let lines = script.lines().take_while(|line| line.starts_with('#') && !line.starts_with("# shellcheck"));
    lines.map(|line| format!("{line}\n")).collect()
}

/// The plan in the output of a script.
pub(crate) fn plan(output: &str) -> String {
    let lines = output.lines().skip_while(|line| *line != "Plan:").skip(1);
    let plan: String = lines
        .take_while(|line| {
            let is_change = line.starts_with("  ") && !line.starts_with("   ");
            is_change || line.starts_with("Gateway: ") || line.starts_with("Costs: ")
        })
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(!plan.is_empty(), "no plan in {output}");
    plan
}

/// Compares `text` with the golden file of this action in `folder`.
#[track_caller]
pub(crate) fn is_golden(folder: &str, action: &[&str], end: &str, text: &str) {
    let text = without_digests(text);
    let path = path(folder, action, end);
    if is_blessing() {
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, &text).expect("a file");
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, golden, "{}: BAKE_BLESS=1 rewrites it", path.display());
}

fn path(folder: &str, action: &[&str], end: &str) -> PathBuf {
    let words = action.join(" ");
    let words: Vec<_> =
        words.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/gcloud");
    fixtures.join(folder).join(format!("{}{end}", words.join("-")))
}

fn without_digests(text: &str) -> String {
    let is_digit = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    let mut rest = text;
    let mut masked = String::new();
    while let Some(first) = rest.chars().next() {
        let length = rest.find(|c| is_digit(c) != is_digit(first)).unwrap_or(rest.len());
        let (run, after) = rest.split_at(length);
        let is_digest = is_digit(first) && DIGESTS.contains(&length) && run != ID;
        masked.push_str(if is_digest { "DIGEST" } else { run });
        rest = after;
    }
    masked
}
