//! The prose of this repository is plain English; see `docs/STYLE.md`.

use std::path::Path;

use crate::support::language::{Measure, of_repository, of_text, report, total};
use crate::support::test;

/// Constructions that read as translated, per 10,000 words.
const LIMIT: f64 = 3.0;

/// A path: its hits are listed.
const LISTED: &str = "BAKE_LANGUAGE";

#[test]
fn the_prose_of_this_repository_is_plain_english() {
    let folders = of_repository(Path::new(env!("CARGO_MANIFEST_DIR")));
    let rate = total(&folders);
    let listed = std::env::var(LISTED).ok().or_else(|| (rate > LIMIT).then(String::new));
    let report = report(&folders, listed.as_deref());
    print!("{report}");
    assert!(rate <= LIMIT, "{rate:.1} per 10,000 words, at most {LIMIT} are allowed:\n{report}");
}

fn rules(name: &str, text: &str) -> Vec<(usize, &'static str)> {
    of_text(name, text).hits.into_iter().map(|hit| (hit.line, hit.rule)).collect()
}

#[test]
fn each_rule_finds_its_construction() {
    let planted = [
        ("Whoever runs this sees it.", "old-fashioned word"),
        ("The old file, and a new one beside it.", "old-fashioned word"),
        ("The server who answers last wins.", "`who` without a person"),
        ("The limit stands in the settings.", "`stand` for `be`"),
        ("Of a release the URL is not known.", "`Of …` first"),
        ("So does the second one.", "inversion"),
        ("Not so on Windows.", "inversion"),
        ("What cannot be read is skipped.", "`what …` as a subject"),
        ("It fails: what was read before is kept.", "`what …` as a subject"),
        ("The digest of what was read.", "`of what …`"),
        ("Where no key is given, it fails.", "`Where …` for `if`"),
        ("The user is told at once.", "`is told`"),
        ("The size hangs on the version.", "`hangs on`"),
        ("A retry is no failure.", "`is no …` for `is not a …`"),
        ("It reads nothing but the header.", "`nothing but`"),
        ("It waits, for it needs the lock.", "`for` for `because`"),
        ("It has a thread of its own.", "`of its own`"),
        ("It ends a process of QEMU's.", "`of somebody's`"),
        ("Digests are held against the lock.", "`hold against`"),
        ("The download goes on later.", "`go on`"),
        ("The files that are to be written.", "`is to be`"),
        ("It prints all that it found.", "`all that`"),
        ("It gives up after so many seconds.", "`so many`"),
        ("It reads the file if the file is there.", "`is there` for `exists`"),
        ("It works whatever the header says.", "`whatever`"),
    ];
    for (sentence, rule) in planted {
        for (name, text, line) in [
            ("src/a.rs", format!("fn a() {{}}\n/// {sentence}\n"), 2),
            ("src/a.rs", format!("const A: &str = \"{}\";\n", sentence.trim_end_matches('.')), 1),
            ("tests/vm/a", format!("#!/bin/sh\n\ntrue # {sentence}\n"), 3),
            ("docs/a.md", format!("# Heading\n\nA paragraph. {sentence}\n"), 3),
        ] {
            assert_eq!(rules(name, &text), [(line, rule)], "{name}: {sentence}");
        }
    }
    assert_eq!(rules("tests/a.rs", "#[test]\nfn nobody_is_asked() {}\n"), [(2, "old-fashioned word")]);
    assert_eq!(rules("a.yaml", "# One line\n# ends. Of a key, the value.\na: 1\n"), [(2, "`Of …` first")]);
    assert_eq!(rules("images/a.j2", "{# Nobody reads this. #}\n"), [(1, "old-fashioned word")]);
    assert_eq!(rules("a.py", "\"\"\"Reads it.\n\nNobody writes it.\n\"\"\"\n"), [(3, "old-fashioned word")]);
}

#[test]
fn plain_english_and_code_are_not_counted() {
    let plain = [
        "The person who starts the VM pays for it.",
        "Only users who have the role can read it.",
        "IAP stands for Identity-Aware Proxy.",
        "A stand-alone program that the operator understands.",
        "Of course, this can fail.",
        "So the cache is empty. Not every file is read.",
        "What happens next? Where is the log?",
        "It explains what went wrong and where.",
        "It uses the default instead of what the server sent.",
        "There is no key, and the value is no longer used.",
        "For example, the first file wins; for the others, there is a table.",
        "Its own files, the user's own home, and files of its own layer.",
        "The size of Debian's image.",
        "`nobody` owns `stands.sh`; see https://example.org/whoever/stands",
        "Usage: WHAT EXPECTED, and WHO.",
        "It is able to continue, and it holds the lock.",
    ];
    for sentence in plain {
        for (name, text) in [
            ("src/a.rs", format!("/// {sentence}\nfn a() {{}}\n")),
            ("src/gcloud/a.sh", format!("# {sentence}\ntrue\n")),
            ("docs/a.md", format!("{sentence}\n")),
        ] {
            assert_eq!(rules(name, &text), [], "{name}: {sentence}");
        }
    }
    assert_eq!(rules("docs/a.md", "## What it costs\n\n```sh\n# Nobody reads this.\n```\n"), []);
    assert_eq!(rules("src/a.rs", "fn whoever(nobody: u8) { stands(nobody, \"a//b\", '\"') }\n"), []);
    assert_eq!(rules("tests/a.rs", "const A: &str = \"nobody is asked in a test's fixture\";\n"), []);
}

#[test]
fn the_measure_counts_words_of_prose_only() {
    let measure = of_text("src/a.rs", "/// Three short words.\nfn many_more_words_here(a: u8) {}\n");
    assert_eq!((measure.words, measure.hits.len()), (3, 0));
    let measure = Measure { words: 20_000, hits: of_text("a.md", "Nobody. Somebody.\n").hits };
    assert!((measure.per_10_000() - 1.0).abs() < 1e-9);
}
