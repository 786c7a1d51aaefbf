//! Edits of random manifests, compared with their expected meaning and with a real YAML reader.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::support::test;
use crate::support::testbed;
use bake::diagnostics::{Diagnostic, Problems, Source, terminal};
use bake::project::catalog::Catalog;
use bake::project::edit::{self, EntrySource, ManifestEntry};
use bake::project::manifest::{self, Binary, BinarySource};
use bake::project::names::ToolName;
use bake::project::values::Arch;
use proptest::prelude::*;
use serde_json::{Value, json};

/// How a random manifest is written.
#[derive(Clone, Debug)]
struct Style {
    line_break: &'static str,
    ends_with_break: bool,
    indentation: usize,
    version_first: bool,
    spaced: bool,
    header: Vec<&'static str>,
    footer: &'static str,
    layout: Layout,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Layout {
    Block,
    Line,
    Lines { last_comma: bool },
    Json,
}

/// One random entry: how it is written, and the comments around it.
#[derive(Clone, Debug)]
struct Item {
    name: String,
    form: usize,
    above: Vec<&'static str>,
    beside: &'static str,
    below: Option<&'static str>,
}

fn style() -> impl Strategy<Value = Style> {
    let layout = prop_oneof![
        6 => Just(Layout::Block),
        1 => Just(Layout::Line),
        2 => any::<bool>().prop_map(|last_comma| Layout::Lines { last_comma }),
        1 => Just(Layout::Json),
    ];
    let comments = prop::collection::vec(prop::sample::select(&["# - gog", "# ü: [a, b", "#"][..]), 0..3);
    let footer = prop::sample::select(&["", "# The end.", "\n# The end.", "\n\n  # - gog"][..]);
    (
        prop::sample::select(&["\n", "\r\n"][..]),
        any::<bool>(),
        prop::sample::select(&[0, 2, 5][..]),
        any::<bool>(),
        any::<bool>(),
        comments,
        footer,
        layout,
    )
        .prop_map(
            |(line_break, ends_with_break, indentation, version_first, spaced, header, footer, layout)| {
                Style {
                    line_break,
                    ends_with_break,
                    indentation,
                    version_first,
                    spaced,
                    header,
                    footer,
                    layout,
                }
            },
        )
}

fn items() -> impl Strategy<Value = Vec<Item>> {
    let item = (
        "[a-d]{1,3}|[x-z]{1,3}|no|null|1|0x1f|12e3|[0-9]-[0-9][0-9]",
        0..FORMS,
        prop::collection::vec(prop::sample::select(&["# about - it", "# 'quoted"][..]), 0..3),
        prop::sample::select(&["", "", "  # beside, it", " #"][..]),
        prop::option::weighted(0.2, Just("# binary: x")),
    )
        .prop_map(|(name, form, above, beside, below)| Item { name, form, above, beside, below });
    (prop::collection::vec(item, 0..7), any::<bool>()).prop_map(|(mut items, sorted)| {
        let mut seen = std::collections::BTreeSet::new();
        items.retain(|item| item.name != NEW && seen.insert(item.name.clone()));
        if sorted {
            items.sort_by(|a, b| a.name.cmp(&b.name));
        }
        items
    })
}

const FORMS: usize = 5;
const NEW: &str = "mm";

impl Item {
    /// Its lines in a list without brackets.
    fn block(&self) -> Vec<String> {
        let name = &self.name;
        let lines = match self.form {
            0 => vec![self.flow()],
            1 => vec![format!("name: '{name}'"), format!("url: https://x/{name}.gz?#-")],
            2 => vec![
                format!("name: \"{name}\" # its name"),
                "skills:".to_owned(),
                "- a # one".to_owned(),
                "# between".to_owned(),
                "- 'b'".to_owned(),
                "url: >-".to_owned(),
                "  https://x/y".to_owned(),
            ],
            3 => vec!["# inside".to_owned(), "url: https://x/y".to_owned(), format!("name: '{name}'")],
            _ => vec![format!("{{name: '{name}', # n"), "  url: https://x/y}".to_owned()],
        };
        let lines = lines.into_iter().enumerate();
        lines.map(|(index, line)| format!("{}{line}", if index == 0 { "- " } else { "  " })).collect()
    }

    /// It in brackets, on one line.
    fn flow(&self) -> String {
        format!("{{\"name\": \"{}\", \"url\": \"https://x/y?x#,\"}}", self.name)
    }
}

/// Typical damage to a file.
const DAMAGE: &[&str] = &[
    " ", "\n", "\r", "\t", "#", " # c", "-", "- ", ",", ":", ": ", "[", "]", "{", "}", "'", "\"", "&a ",
    "*a", "!!str ", "!t ", "|", ">-\n", "? ", "---\n", "...\n", "ü", "\u{feff}", "\u{2028}", "\0", "  ",
    "\n\n",
];

/// The text of a manifest.
fn text(style: &Style, items: &[Item]) -> String {
    let mut text = String::new();
    let flow: Vec<_> = items.iter().map(Item::flow).collect();
    if style.layout == Layout::Json {
        let _ = writeln!(text, "{{\"version\": 1, \"binaries\": [{}]}}", flow.join(", "));
    } else {
        if style.version_first {
            text += "version: 1 # of the format\n";
        }
        match style.layout {
            _ if items.is_empty() => text += "binaries: [] # none\n",
            Layout::Line => {
                let _ = writeln!(text, "binaries: [{}]", flow.join(", "));
            }
            Layout::Lines { last_comma } => {
                text += "binaries: [ # all\n";
                for (index, item) in items.iter().enumerate() {
                    // Above the first, comments are about the list.
                    for comment in &item.above {
                        let _ = writeln!(text, "  {comment}");
                    }
                    let comma = if last_comma || index + 1 < items.len() { "," } else { "" };
                    let _ = writeln!(text, "  {}{comma}{}", item.flow(), item.beside);
                }
                text += "]\n";
            }
            Layout::Block | Layout::Json => {
                text += "binaries:   # all\n";
                let indentation = " ".repeat(style.indentation);
                for comment in &style.header {
                    let _ = writeln!(text, "{indentation}{comment}");
                }
                for (index, item) in items.iter().enumerate() {
                    if style.spaced && index > 0 {
                        text.push('\n');
                    }
                    for comment in &item.above {
                        let _ = writeln!(text, "{indentation}{comment}");
                    }
                    // A comment after a block scalar would be part of it.
                    let beside = if item.form == 2 { "" } else { item.beside };
                    let _ = writeln!(
                        text,
                        "{indentation}{}{beside}",
                        item.block().join(&format!("\n{indentation}"))
                    );
                    if let Some(below) = item.below {
                        let _ = writeln!(text, "{indentation}  {below}");
                    }
                }
            }
        }
        if !style.footer.is_empty() {
            let _ = writeln!(text, "{}", style.footer);
        }
        if !style.version_first {
            text += "version: 1";
            text.push('\n');
        }
    }
    if !style.ends_with_break {
        text.truncate(text.trim_end().len());
    }
    text.replace('\n', style.line_break)
}

fn source(text: &str) -> Source {
    Source::new("binaries.yaml", text)
}

fn done(result: Result<String, Diagnostic>, text: &str) -> String {
    result.unwrap_or_else(|diagnostic| panic!("{text}\n{}", terminal::render(&diagnostic.into(), false)))
}

/// The meaning of a manifest, one entry per row, without places.
fn meaning(text: &str) -> Vec<Vec<String>> {
    let mut problems = Problems::default();
    let manifest = manifest::read(source(text), Catalog::builtin(), &mut problems);
    assert!(problems.is_empty(), "{text}\n{}", terminal::render(&problems, false));
    manifest.expect("a manifest").binaries.iter().map(row).collect()
}

fn row(binary: &Binary) -> Vec<String> {
    let origin = match &binary.origin {
        BinarySource::Catalog(tool) => format!("catalog {}", tool.name),
        BinarySource::Release { repo, asset, arch } => format!("{repo} {asset:?} {arch:?}"),
        BinarySource::Url { url, arch } => format!("{url} {arch:?}"),
    };
    let version = binary.version.as_ref().map(|version| version.value.to_string());
    let path = binary.binary.as_ref().map(|path| path.value.to_string());
    vec![
        binary.name.value.to_string(),
        format!("{version:?}"),
        origin,
        format!("{path:?} {:?}", binary.skills),
    ]
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap_or_else(|why| panic!("{text}: {why:?}"))
}

/// The entry that is added; `kind` chooses how much of it there is.
fn entry(name: &str, kind: usize, version: &str) -> ManifestEntry {
    let arch = Some([(Arch::Amd64, parsed("x86_64")), (Arch::Arm64, parsed("no"))].into());
    let source = match kind % 3 {
        0 => EntrySource::Url { url: parsed("https://x.example/{version}/{arch}/x?a=b,c#d"), arch: None },
        1 => EntrySource::Repo { repo: parsed("o/1e3"), asset: Some(parsed("{version}_{arch}.zip")), arch },
        _ => EntrySource::Repo { repo: parsed("o/r"), asset: None, arch: None },
    };
    ManifestEntry {
        name: parsed(name),
        version: Some(parsed(version)),
        source: Some(source),
        binary: (kind > 2).then(|| parsed("bin/x, y: [z] # ö")),
        minisign: (kind > 3).then(|| parsed(&format!("RW{}", "+/".repeat(27)))),
        skills: if kind.is_multiple_of(2) { vec![parsed("yes"), parsed("a")] } else { Vec::new() },
    }
}

/// A version that YAML readers may take for something else.
const VERSION: &str =
    "1\\.10|0x10|no|NULL|1e3|2026-01-02|1_000|017|[0-9]|~1|[a-zA-Z0-9][a-zA-Z0-9.~+_-]{0,6}[a-z0-9]";

fn version() -> impl Strategy<Value = String> {
    VERSION.prop_filter("a version", |text| text.parse::<bake::project::names::Version>().is_ok())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn adding_and_removing_again_gives_the_same_bytes(
        style in style(), items in items(), kind in 0..6_usize, version in version(),
    ) {
        let before = text(&style, &items);
        let old = meaning(&before);
        let new = entry(NEW, kind, &version);
        let added = done(edit::add(&source(&before), &new), &before);
        let mut rows = meaning(&added);
        let at = rows.iter().position(|row| row[0] == NEW).expect("the new entry");
        let row = rows.remove(at);
        prop_assert_eq!(&rows, &old);
        prop_assert_eq!(&row[1], &format!("Some({version:?})"));
        let removed = done(edit::remove(&source(&added), &new.name), &added);
        prop_assert_eq!(removed, before);
    }

    #[test]
    fn removing_an_entry_or_pinning_it_changes_no_other(
        style in style(), items in items(), chosen in any::<prop::sample::Index>(), version in version(),
    ) {
        prop_assume!(!items.is_empty());
        let before = text(&style, &items);
        let chosen = chosen.index(items.len());
        let name: ToolName = parsed(&items[chosen].name);
        let mut wanted = meaning(&before);
        wanted[chosen][1] = format!("Some({version:?})");
        let pinned = done(edit::set_version(&source(&before), &name, &parsed(&version)), &before);
        prop_assert_eq!(&meaning(&pinned), &wanted);
        wanted.remove(chosen);
        let removed = done(edit::remove(&source(&pinned), &name), &pinned);
        prop_assert_eq!(&meaning(&removed), &wanted);
        prop_assert_eq!(removed.ends_with('\n'), before.ends_with('\n'));
        prop_assert_eq!(removed.contains('\r'), before.contains('\r'));
    }

    /// Any edit is correct or refused.
    #[test]
    fn a_damaged_manifest_is_edited_rightly_or_not_at_all(
        style in style(), items in items(), kind in 0..6_usize,
        damage in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(DAMAGE)), 1..3),
    ) {
        let mut text = text(&style, &items);
        for (place, piece) in damage {
            let places: Vec<_> = text.char_indices().map(|(at, _)| at).collect();
            text.insert_str(places[place.index(places.len())], piece);
        }
        let new = entry(NEW, kind, "1.10");
        if let Ok(added) = edit::add(&source(&text), &new) {
            let rows = meaning(&added);
            prop_assert!(rows.iter().any(|row| row[0] == NEW), "{}", added);
            let removed = edit::remove(&source(&added), &new.name);
            prop_assert!(removed.is_err() || removed.is_ok_and(|text| meaning(&text).len() + 1 == rows.len()));
        }
        for item in &items {
            let name: ToolName = parsed(&item.name);
            let _ = edit::remove(&source(&text), &name).map(|text| meaning(&text));
            let _ = edit::set_version(&source(&text), &name, &parsed("1.10")).map(|text| meaning(&text));
        }
    }
}

/// A YAML document as the reader of Debian `release` takes it.
fn read_by(mut reader: Command, text: &str) -> Value {
    let mut child = reader.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a reader");
    child.stdin.take().expect("its input").write_all(text.as_bytes()).expect("a reader that reads");
    let output = child.wait_with_output().expect("an end");
    assert!(output.status.success(), "{text}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// A text that another reader takes for a number, a date or a boolean would be another version there.
#[test]
fn another_yaml_reader_reads_every_text_that_is_written() {
    let starts = [
        "version: 1\nbinaries: []\n",
        "version: 1\r\nbinaries:\r\n- gog # mail\r\n\r\n# end",
        "binaries: [\n  gog, # mail\n  goplaces # places\n]\nversion: 1\n",
        "{\"version\": 1, \"binaries\": [\"gog\"]}",
    ];
    let names = ["no", "0x1f", "1e3", "null", "2026-01-02", "12e03", "0b1", "1_0"];
    let versions = ["1.10", "0x10", "no", "1e3", "2026-01-02", "1_000", "017", "NULL", "0.4.4", "1.2.3+4~5"];
    for release in ["12", "13"] {
        for start in starts {
            let mut text = start.to_owned();
            let mut wanted = Vec::new();
            for (index, version) in versions.iter().enumerate() {
                let name = names.get(index).map_or_else(|| format!("tool{index}"), ToString::to_string);
                let new = entry(&name, index, version);
                text = done(edit::add(&source(&text), &new), &text);
                // Written a second time over the first.
                text = done(edit::set_version(&source(&text), &new.name, &parsed(version)), &text);
                let path = new.binary.as_ref().map(ToString::to_string);
                let skills: Vec<_> = new.skills.iter().map(ToString::to_string).collect();
                wanted.push(json!([name, version, path, skills]));
            }
            if start.contains("gog") {
                text = done(edit::set_version(&source(&text), &parsed("gog"), &parsed("1.20")), &text);
            }
            let reader = testbed::tool(&format!("yaml-to-json-{release}"));
            let read = read_by(reader, &text);
            let entries = read["binaries"].as_array().expect("a list");
            if start.contains("gog") {
                assert!(entries.contains(&json!({"name": "gog", "version": "1.20"})), "{text}");
            }
            let found = entries.iter().filter(|entry| entry.get("repo").or(entry.get("url")).is_some());
            let mut found: Vec<_> = found
                .map(|entry| {
                    let skills = entry.get("skills").cloned().unwrap_or(json!([]));
                    json!([entry["name"], entry["version"], entry["binary"], skills])
                })
                .collect();
            // They went to their places in the alphabet.
            found.sort_by_key(Value::to_string);
            wanted.sort_by_key(Value::to_string);
            assert_eq!(found, wanted, "Debian {release}\n{text}");
            let words = entries.iter().filter_map(|entry| entry.get("arch"));
            assert!(words.clone().count() > 2);
            words.for_each(|words| assert_eq!(*words, json!({"amd64": "x86_64", "arm64": "no"})));
        }
    }
}
