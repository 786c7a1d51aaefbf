//! Rules about the source files.

use crate::support::test;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use bake::diagnostics::Code;

/// The modules of the program, each with those that it may use. Every module may use `text`. A module that is
/// missing here fails the test.
const MAY_USE: [(&str, &[&str]); 26] = [
    ("text", &[]),
    ("vm", &[]),
    ("diagnostics", &[]),
    ("digest", &[]),
    ("yaml", &["diagnostics"]),
    ("project", &["diagnostics", "digest", "yaml"]),
    ("provenance", &["diagnostics", "digest", "project"]),
    ("lock", &["diagnostics", "digest", "project", "provenance", "yaml"]),
    ("plan", &["diagnostics", "digest", "lock", "project"]),
    ("picture", &["digest", "lock", "plan", "project"]),
    ("gcloud", &["digest", "plan", "project", "vm"]),
    ("render", &["diagnostics", "digest", "gcloud", "plan", "project", "vm"]),
    ("fs", &[]),
    ("http", &[]),
    ("fetch", &["digest", "fs", "http"]),
    ("archive", &["digest", "project"]),
    ("oci", &["digest", "project"]),
    ("registry", &["digest", "http", "oci", "project"]),
    ("github", &["diagnostics", "digest", "lock", "http", "project"]),
    ("audit", &["archive", "diagnostics", "digest", "fetch", "lock", "oci", "project", "vm"]),
    ("image", &["archive", "digest", "fetch", "lock", "oci", "project", "fs"]),
    ("rehearse", &["digest", "project", "vm"]),
    ("cli", &["project"]),
    (
        "commands",
        &[
            "archive",
            "audit",
            "cli",
            "diagnostics",
            "digest",
            "fetch",
            "gcloud",
            "github",
            "image",
            "lock",
            "http",
            "oci",
            "picture",
            "plan",
            "project",
            "provenance",
            "registry",
            "rehearse",
            "render",
            "vm",
            "fs",
            "yaml",
        ],
    ),
    ("lib", &[]),
    ("main", &[]),
];

/// Names that the pure half must not use. A group after `std::` would hide its members.
const OUTSIDE: [&str; 9] = [
    "std::{",
    "std::env",
    "std::fs",
    "std::net",
    "std::os",
    "std::process",
    "std::thread",
    "std::time",
    // `jiff` reads the clock, too.
    "::now(",
];

/// The half that opens no file, no socket and no clock.
const PURE: [&str; 12] = [
    "text",
    "diagnostics",
    "digest",
    "yaml",
    "project",
    "provenance",
    "lock",
    "picture",
    "plan",
    "gcloud",
    "render",
    "vm",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        if entry.path().is_dir() { found.extend(files(&entry.path())) } else { found.push(entry.path()) }
    }
    found.sort();
    found
}

/// Every source file: its part of the program, its path, its text without the tests.
fn sources() -> Vec<(String, PathBuf, String)> {
    let source = root().join("src");
    files(&source)
        .into_iter()
        .map(|path| {
            let inside = path.strip_prefix(&source).expect("below src");
            let first = inside.components().next().expect("a name").as_os_str().to_string_lossy();
            let part = first.trim_end_matches(".rs").to_owned();
            let text = fs::read_to_string(&path).expect("a source file");
            let text = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
            (part, path, text)
        })
        .collect()
}

#[test]
fn each_part_uses_only_what_it_may() {
    for (part, path, text) in sources() {
        let allowed =
            MAY_USE.iter().find(|(name, _)| *name == part).unwrap_or_else(|| panic!("{part}: a new part")).1;
        for (_, rest) in text.match_indices("crate::").map(|(at, found)| (at, &text[at + found.len()..])) {
            let used: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let fine = used == part || used == "text" || allowed.contains(&used.as_str()) || used.is_empty();
            assert!(fine, "{}: {part} may not use {used}", path.display());
        }
    }
}

#[test]
fn the_pure_half_touches_nothing_outside() {
    for (part, path, text) in sources().iter().filter(|(part, ..)| PURE.contains(&part.as_str())) {
        for outside in OUTSIDE {
            assert!(!text.contains(outside), "{}: {part} uses {outside}", path.display());
        }
    }
}

/// Each part is listed after the parts that it may use, so that there are no circles.
#[test]
fn no_parts_form_a_circle() {
    for (index, (part, uses)) in MAY_USE.iter().enumerate() {
        let known: BTreeSet<_> = MAY_USE[..index].iter().map(|(part, _)| part).collect();
        let late: Vec<_> = uses.iter().filter(|used| !known.contains(used)).collect();
        assert!(late.is_empty(), "{part} may use {late:?}, which come later");
    }
}

/// The names after `super::` in the source text, also those in braces: `super::{a::B, c}` uses `a` and `c`.
fn siblings(text: &str) -> BTreeSet<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut used = BTreeSet::new();
    for (at, found) in text.match_indices("super::") {
        let rest = &text[at + found.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            used.insert(word(rest));
            continue;
        };
        let (mut depth, mut begins) = (0, true);
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => begins = true,
                c if begins && !c.is_whitespace() => {
                    used.insert(word(&group[at..]));
                    begins = false;
                }
                _ => {}
            }
        }
    }
    used
}

#[test]
fn no_modules_of_a_folder_form_a_circle() {
    let mut uses: BTreeMap<PathBuf, BTreeSet<PathBuf>> = BTreeMap::new();
    for (_, path, text) in sources() {
        // A `mod.rs` joins the modules below it; `super` in it leads out of the folder.
        let module = if path.ends_with("mod.rs") {
            path.parent().expect("a folder").to_owned()
        } else {
            path.with_extension("")
        };
        let folder = module.parent().expect("a folder");
        let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let known = siblings(&code).into_iter().map(|name| folder.join(name));
        let known = known.filter(|other| other.is_dir() || other.with_extension("rs").is_file());
        uses.entry(module.clone()).or_default().extend(known.filter(|other| *other != module));
    }
    assert!(uses.values().filter(|used| !used.is_empty()).count() > 60, "too few uses were found");
    // A module without remaining uses is not part of a circle.
    while let Some(done) = uses
        .iter()
        .find(|(_, used)| used.iter().all(|other| !uses.contains_key(other)))
        .map(|(at, _)| at.clone())
    {
        uses.remove(&done);
    }
    assert!(uses.is_empty(), "a circle of modules, or what leads into it: {uses:#?}");
}

/// The same lock gives the same digest whenever it is asked for.
#[test]
fn image_code_does_not_read_the_clock() {
    for (part, path, text) in sources() {
        let of_an_image = matches!(part.as_str(), "archive" | "image" | "oci" | "registry");
        for clock in ["::now(", "SystemTime", "Instant", "elapsed()"] {
            assert!(!of_an_image || !text.contains(clock), "{}: {clock}", path.display());
        }
    }
}

#[test]
fn only_the_console_prints_and_ends_the_program() {
    // Questions are not messages: `--quiet` does not silence them.
    let may = |path: &Path| path.ends_with("commands/console.rs") || path.ends_with("commands/prompt.rs");
    for (_, path, text) in sources().iter().filter(|(_, path, _)| !may(path)) {
        for printing in ["print!(", "println!(", "eprint", "io::stdout", "io::stderr", "process::exit"] {
            assert!(!text.contains(printing), "{}: {printing}", path.display());
        }
    }
}

/// Sanitizing text for a terminal, exchanging folders and speaking HTTP are each the task of one module.
#[test]
fn sanitizing_exchanging_and_http_have_one_place_each() {
    let places: [(&[&str], &[&str]); 3] = [
        (&["escape_debug", "escape_default", "escape_unicode", "is_control"], &["src/text.rs"]),
        (&["RenameFlags"], &["src/fs/exchange.rs"]),
        (&["reqwest"], &["src/http/"]),
    ];
    for (words, allowed) in places {
        for (_, path, text) in sources() {
            let inside = path.strip_prefix(root()).expect("below the root").display().to_string();
            let word = words.iter().find(|word| text.contains(**word));
            assert!(
                word.is_none() || allowed.iter().any(|place| inside.starts_with(place)),
                "{inside}: {word:?}"
            );
        }
    }
}

/// Associated types are indented, and not counted: many traits name theirs `Error` or `Target`.
#[test]
fn no_type_name_is_defined_twice() {
    let mut defined: BTreeMap<String, PathBuf> = BTreeMap::new();
    for (_, path, text) in sources() {
        for line in
            text.lines().filter(|line| !line.trim_start().starts_with("type ") || line.starts_with("type "))
        {
            let line = ["pub(super) ", "pub(crate) ", "pub "]
                .iter()
                .fold(line.trim_start(), |line, scope| line.strip_prefix(scope).unwrap_or(line));
            let Some(rest) = ["struct ", "enum ", "trait ", "type ", "union "]
                .iter()
                .find_map(|keyword| line.strip_prefix(keyword))
            else {
                continue;
            };
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric()).collect();
            // A macro's, which has another name at each use.
            if name.is_empty() {
                continue;
            }
            if let Some(other) = defined.insert(name.clone(), path.clone()) {
                panic!("{name} is defined in {} and in {}", other.display(), path.display());
            }
        }
    }
    assert!(defined.len() > 200, "only {} types were found", defined.len());
}

#[test]
fn nothing_is_imported_by_a_star() {
    for (_, path, text) in sources() {
        assert!(!text.contains("::*;"), "{}", path.display());
    }
}

#[test]
fn only_one_file_names_a_crate_that_could_be_exchanged() {
    let exchangeable = [("serde_saphyr", "src/yaml/mod.rs"), ("granit_parser", "src/yaml/cst.rs")];
    for (name, file) in exchangeable {
        let naming: Vec<_> = sources().into_iter().filter(|(.., text)| text.contains(name)).collect();
        assert_eq!(naming.len(), 1, "{name}");
        assert!(naming[0].1.ends_with(file), "{name}");
    }
}

/// A template or a script that nothing takes in would be dead, and easily taken for living.
#[test]
fn templates_and_scripts_are_compiled_in() {
    let taken: String = sources().into_iter().map(|(.., text)| text).collect();
    for folder in ["images", "cloud-init"] {
        for path in files(&root().join(folder)) {
            let inside = path.strip_prefix(root()).expect("below the root").display().to_string();
            let on_vm = bake::vm::FILES.iter().any(|file| format!("cloud-init/{}", file.name) == inside);
            assert!(on_vm || taken.contains(&format!("../{inside}\")")), "{inside} is not built in");
        }
    }
    for path in files(&root().join("src/gcloud")) {
        let name = path.strip_prefix(root().join("src/gcloud")).expect("below it").display().to_string();
        let is_source = path.extension().is_some_and(|end| end == "rs");
        assert!(is_source || taken.contains(&format!("include_str!(\"{name}\")")), "{name} is not built in");
    }
}

#[test]
fn every_code_has_a_paragraph_and_every_paragraph_a_code() {
    let text = fs::read_to_string(root().join("docs/errors.md")).expect("docs/errors.md");
    let told: BTreeSet<_> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let known: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(told, known);
}
