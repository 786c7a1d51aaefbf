//! Edits of the manifest's text, as a person would make them.
//!
//! Comments, order, quotes, indentation and line endings are kept; only the lines of the entry itself change.
//! An edit that cannot be made safely, for example of an entry that is an alias, is refused with the lines to
//! write by hand.
//!
//! A new entry is inserted alphabetically if there are three or more entries in that order, otherwise at the end. The
//! comments of an entry, which are removed with it, are the one on its line, those directly below it that are indented
//! deeper than its dash, and those directly above it with the indentation of its dash. Comments above the first entry
//! are about the whole list and stay, unless other entries have comments above them too.
//!
//! Adding an entry and removing it again gives the same bytes, unless the list was empty and
//! not written as `[]` directly after its key.

mod block;
mod entry;
mod flow;
mod lines;
mod version;

use std::sync::Arc;

use super::catalog::Catalog;
use super::manifest::{self, Manifest};
use super::names::{ToolName, Version};
use crate::diagnostics::{Code, Diagnostic, Location, Problems, Source, Span};
use crate::yaml::cst::{self, Cst, Element, Form};
use crate::yaml::{self, Node, Scalar, Value};

use block::Block;
use flow::Flow;
use lines::Lines;

pub use entry::{EntrySource, ManifestEntry};

/// From this many entries on, their order is taken for meant.
const ORDERED: usize = 3;

/// Bytes of the text, and what goes in their place. Those of one edit do not overlap.
struct TextEdit {
    span: Span,
    text: String,
}

/// Why an edit is not made.
type Refused = &'static str;

/// The manifest's text with `entry` in it.
///
/// # Errors
/// If the text is not a manifest, already has a binary of that name, or is written in a way that cannot be
/// edited; and if the entry would be wrong in it, such as an unknown tool without a source.
pub fn add(source: &Source, entry: &ManifestEntry) -> Result<String, Diagnostic> {
    let text = Manuscript::read(source)?;
    if let Some(index) = text.index(&entry.name) {
        let twice =
            Diagnostic::error(Code::Duplicate, format!("the manifest has a binary `{}` already", entry.name));
        let place = text.manifest.binaries[index].name.place.clone();
        return Err(twice.at(place).help("remove it first, or edit it by hand"));
    }
    let index = text.place_for(&entry.name);
    let lines = entry.lines();
    let by_hand = || format!("add to the list by hand:\n{}", lines.join("\n"));
    let changes = text.insert(index, entry, &lines).map_err(|why| text.refused(why, &by_hand()))?;
    let mut wanted = text.entries();
    wanted.extend(meaning(&lines));
    wanted[index..].rotate_right(1);
    text.changed(changes, wanted, &by_hand())
}

/// The manifest's text without the binary `name`.
///
/// # Errors
/// If the text is not a manifest, has no binary of that name, or is written in a way that cannot be edited.
pub fn remove(source: &Source, name: &ToolName) -> Result<String, Diagnostic> {
    let text = Manuscript::read(source)?;
    let index = text.existing(name)?;
    let by_hand = format!("take the entry of `{name}` out by hand");
    let changes = text.remove(index).map_err(|why| text.refused(why, &by_hand))?;
    let mut wanted = text.entries();
    wanted.remove(index);
    text.changed(changes, wanted, &by_hand)
}

/// The manifest's text with `version` as the version of the binary `name`.
///
/// # Errors
/// If the text is not a manifest, has no binary of that name, or is written in a way that cannot be edited.
pub fn set_version(source: &Source, name: &ToolName, version: &Version) -> Result<String, Diagnostic> {
    let text = Manuscript::read(source)?;
    let index = text.existing(name)?;
    let by_hand = format!("give `{name}` its version by hand:\nversion: {}", entry::plain(version));
    let changes = text.set_version(index, name, version).map_err(|why| text.refused(why, &by_hand))?;
    let mut wanted = text.entries();
    wanted[index] = with_version(&wanted[index], version);
    text.changed(changes, wanted, &by_hand)
}

/// A readable manifest with the positions of its parts.
struct Manuscript {
    source: Arc<Source>,
    manifest: Manifest,
    node: Node,
    cst: Option<Cst>,
}

/// The list of a manuscript.
struct List<'a> {
    lines: Lines<'a>,
    /// The key before it.
    key: &'a Element,
    /// The list itself.
    value: &'a Element,
    /// The colon between them.
    colon: usize,
    /// Whether the whole document is in braces, like JSON.
    json: bool,
}

impl Manuscript {
    fn read(source: &Source) -> Result<Self, Diagnostic> {
        let source = Arc::new(Source::new(source.name(), source.text()));
        let node = yaml::parse(&source).map_err(|unreadable| unreadable.at(Arc::clone(&source)))?;
        // No manifest yet, but one as soon as an entry is added; the result is read in any case.
        let unwritten = matches!(node.get("binaries"), Some(Node { value: Value::Null, .. }));
        let manifest =
            if unwritten { Manifest::default() } else { read_manifest(source.name(), source.text())? };
        let cst = cst::parse(&source);
        Ok(Self { source, manifest, node, cst })
    }

    fn index(&self, name: &ToolName) -> Option<usize> {
        self.manifest.binaries.iter().position(|binary| binary.name.value == *name)
    }

    fn existing(&self, name: &ToolName) -> Result<usize, Diagnostic> {
        self.index(name).ok_or_else(|| {
            let names: Vec<_> = self.manifest.binaries.iter().map(|binary| binary.name.as_str()).collect();
            let help = match names[..] {
                [] => "it has none at all".to_owned(),
                _ => format!("it has: {}", names.join(", ")),
            };
            Diagnostic::error(
                Code::NotInManifest,
                format!("the manifest, {}, has no binary `{name}`", self.source.name()),
            )
            .help(help)
        })
    }

    /// The position of a new entry of that name.
    fn place_for(&self, name: &ToolName) -> usize {
        let names: Vec<_> = self.manifest.binaries.iter().map(|binary| &binary.name.value).collect();
        if names.len() >= ORDERED && names.is_sorted() {
            names.partition_point(|other| *other < name)
        } else {
            names.len()
        }
    }

    /// The meaning of the entries, in order.
    fn entries(&self) -> Vec<Node> {
        match self.node.get("binaries").map(|node| &node.value) {
            Some(Value::List(items)) => items.clone(),
            _ => Vec::new(),
        }
    }

    fn list(&self) -> Result<List<'_>, Refused> {
        let cst = self.cst.as_ref().ok_or("its parts cannot be distinguished")?;
        let text = self.source.text();
        let lines = Lines { text, comments: &cst.comments };
        let Form::Map { flow, entries } = &cst.root.form else { return Err("it is not a plain map") };
        let named = |key: &Element| text[key.span.clone()].trim_matches(['"', '\'']) == "binaries";
        let (key, value) = entries.iter().find(|(key, _)| named(key)).ok_or("its keys are unusual")?;
        if value.marked || key.marked {
            return Err("the list has an anchor or a tag");
        }
        let colon = lines.find(':', key.span.end..text.len()).ok_or("its key has no colon")?;
        Ok(List { lines, key, value, colon, json: *flow })
    }

    fn insert(
        &self,
        index: usize,
        entry: &ManifestEntry,
        written: &[String],
    ) -> Result<Vec<TextEdit>, Refused> {
        let List { lines, key, value, colon, json } = self.list()?;
        match &value.form {
            Form::List { flow: false, items } => Block::new(lines, items, colon + 1)?.insert(index, written),
            Form::List { flow: true, items } => {
                let inside = &lines.text[value.span.start + 1..value.span.end - 1];
                if items.is_empty() && !json && inside.trim_matches(' ').is_empty() {
                    block::first(lines, key.span.start, colon, value.span.end, written)
                } else {
                    Ok(Flow { lines, span: &value.span, items }.insert(index, &entry.in_brackets(json)))
                }
            }
            Form::Scalar => {
                let end = if value.span.is_empty() { colon + 1 } else { value.span.end };
                block::first(lines, key.span.start, colon, end, written)
            }
            Form::Alias | Form::Map { .. } => Err("the list is an alias"),
        }
    }

    fn remove(&self, index: usize) -> Result<Vec<TextEdit>, Refused> {
        let List { lines, value, colon, .. } = self.list()?;
        match &value.form {
            Form::List { flow: true, items } => Flow { lines, span: &value.span, items }.remove(index),
            Form::List { flow: false, items } => {
                let block = Block::new(lines, items, colon + 1)?;
                if items.len() == 1 { block.remove_only(colon) } else { block.remove(index) }
            }
            _ => Err("the list is an alias"),
        }
    }

    fn set_version(
        &self,
        index: usize,
        name: &ToolName,
        version: &Version,
    ) -> Result<Vec<TextEdit>, Refused> {
        let List { lines, value, json, .. } = self.list()?;
        let Form::List { items, .. } = &value.form else { return Err("the list is an alias") };
        version::set(lines, &items[index], name, version, json)
    }

    /// The text with `changes` made, once it is certain that its list means `wanted` and that
    /// nothing else in it means anything else.
    fn changed(
        &self,
        mut changes: Vec<TextEdit>,
        wanted: Vec<Node>,
        by_hand: &str,
    ) -> Result<String, Diagnostic> {
        // From the end to the beginning; insertions follow removals at the same place.
        changes.sort_by_key(|change| std::cmp::Reverse((change.span.start, change.span.end)));
        let mut text = self.source.text().to_owned();
        for change in changes {
            text.replace_range(change.span, &change.text);
        }
        let mut expected = self.node.clone();
        if let Some(list) = expected.get_mut("binaries") {
            list.value = Value::List(wanted);
        }
        match yaml::parse(&Source::new(self.source.name(), text.as_str())) {
            Ok(found) if same(&expected, &found) => {}
            _ => return Err(self.refused("it is written in an unusual way", by_hand)),
        }
        read_manifest(self.source.name(), &text)?;
        Ok(text)
    }

    fn refused(&self, why: Refused, by_hand: &str) -> Diagnostic {
        Diagnostic::error(
            Code::CannotEdit,
            format!("the manifest, {}, cannot be edited soundly: {why}", self.source.name()),
        )
        .at(self.node.get("binaries").map(|list| Location {
            source: Arc::clone(&self.source),
            span: list.span.start..list.span.start,
        }))
        .help(by_hand)
    }
}

/// The manifest, or the first thing that is wrong with it.
fn read_manifest(name: &str, text: &str) -> Result<Manifest, Diagnostic> {
    let mut problems = Problems::default();
    let manifest = manifest::read(Source::new(name, text), Catalog::builtin(), &mut problems);
    match (manifest, problems.errors().first()) {
        (Some(manifest), None) => Ok(manifest),
        (_, Some(problem)) => Err(problem.clone()),
        (None, None) => Err(Diagnostic::error(Code::NotYaml, format!("{name} is no manifest"))),
    }
}

/// The meaning of an entry's lines on their own.
fn meaning(lines: &[String]) -> Option<Node> {
    match yaml::parse(&Source::new("entry", lines.join("\n"))).ok()?.value {
        Value::List(mut items) => items.pop(),
        _ => None,
    }
}

/// `entry` at another version.
fn with_version(entry: &Node, version: &Version) -> Node {
    let text = |text: &str| Node { value: Value::Scalar(text.to_owned(), Scalar::Text), ..entry.clone() };
    let mut changed = match &entry.value {
        Value::Map(_) => entry.clone(),
        _ => Node { value: Value::Map(vec![(text("name"), entry.clone())]), ..entry.clone() },
    };
    if let Value::Map(pairs) = &mut changed.value {
        pairs.retain(|(key, _)| !matches!(&key.value, Value::Scalar(key, _) if key == "version"));
        pairs.push((text("version"), text(version.as_str())));
    }
    changed
}

/// Whether two values mean the same; the order of a map means nothing.
fn same(a: &Node, b: &Node) -> bool {
    match (&a.value, &b.value) {
        (Value::Null, Value::Null) => true,
        (Value::Scalar(a, kind_a), Value::Scalar(b, kind_b)) => a == b && kind_a == kind_b,
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, value)| b.iter().any(|(other, found)| same(key, other) && same(value, found)))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::values::Arch;

    fn source(text: &str) -> Source {
        Source::new("images/binaries.yaml", text)
    }

    fn name(name: &str) -> ToolName {
        name.parse().unwrap_or_else(|why| panic!("{why}"))
    }

    fn tool(text: &str) -> ManifestEntry {
        ManifestEntry {
            name: name(text),
            version: None,
            source: None,
            binary: None,
            minisign: None,
            skills: Vec::new(),
        }
    }

    fn done(result: Result<String, Diagnostic>) -> String {
        result.unwrap_or_else(|diagnostic| panic!("{}", told(&diagnostic)))
    }

    fn told(diagnostic: &Diagnostic) -> String {
        crate::diagnostics::terminal::render(&diagnostic.clone().into(), false)
    }

    /// Texts before and after `wacli` is added; and whether removing it gives the first again.
    const ADDED: &[(&str, &str, bool)] = &[
        // Nothing there yet.
        ("version: 1\nbinaries: []\n", "version: 1\nbinaries:\n  - wacli\n", true),
        ("version: 1\nbinaries: []", "version: 1\nbinaries:\n  - wacli", true),
        (
            "binaries: []  # none yet\r\nversion: 1\r\n",
            "binaries:  # none yet\r\n  - wacli\r\nversion: 1\r\n",
            true,
        ),
        ("version: 1\nbinaries:\n", "version: 1\nbinaries:\n  - wacli\n", false),
        (
            "binaries:   # none\n# next\nversion: 1\n",
            "binaries:   # none\n  - wacli\n# next\nversion: 1\n",
            false,
        ),
        ("binaries: ~\nversion: 1\n", "binaries:\n  - wacli\nversion: 1\n", false),
        (
            "version: 1\nbinaries: []\n    # - gog\n",
            "version: 1\nbinaries:\n    # - gog\n    - wacli\n",
            true,
        ),
        ("version: 1\nbinaries: [\n  # soon\n]\n", "version: 1\nbinaries: [\n  # soon\n  wacli\n]\n", true),
        // At the end.
        ("version: 1\nbinaries:\n  - gog\n", "version: 1\nbinaries:\n  - gog\n  - wacli\n", true),
        ("version: 1\nbinaries:\n- gog", "version: 1\nbinaries:\n- gog\n- wacli", true),
        (
            "\u{feff}binaries:\r\n- gog # mail\r\nversion: 1\r\n",
            "\u{feff}binaries:\r\n- gog # mail\r\n- wacli\r\nversion: 1\r\n",
            true,
        ),
        (
            "version: 1\nbinaries:\n  - gog\n\n# The end.\n",
            "version: 1\nbinaries:\n  - gog\n  - wacli\n\n# The end.\n",
            true,
        ),
        (
            "binaries:\n- gog\n\n# The format.\nversion: 1\n",
            "binaries:\n- gog\n- wacli\n\n# The format.\nversion: 1\n",
            true,
        ),
        (
            "binaries:\n  - gog\n  # - goplaces\nversion: 1\n",
            "binaries:\n  - gog\n  - wacli\n  # - goplaces\nversion: 1\n",
            true,
        ),
        (
            "binaries:\n  - name: gog\n    version: 1.10\n    # binary: bin/gog\nversion: 1\n",
            "binaries:\n  - name: gog\n    version: 1.10\n    # binary: bin/gog\n  - wacli\nversion: 1\n",
            true,
        ),
        (
            "binaries:\n  - name: >-\n      gog\n\nversion: 1\n",
            "binaries:\n  - name: >-\n      gog\n  - wacli\n\nversion: 1\n",
            true,
        ),
        (
            "---\nversion: 1\nbinaries:\n  - gog\n...\n",
            "---\nversion: 1\nbinaries:\n  - gog\n  - wacli\n...\n",
            true,
        ),
        (
            "version: 1\nbinaries:\n- gog\n\n- goplaces\n",
            "version: 1\nbinaries:\n- gog\n\n- goplaces\n\n- wacli\n",
            true,
        ),
        (
            "version: 1\nbinaries:\n- gog\n\n- goplaces",
            "version: 1\nbinaries:\n- gog\n\n- goplaces\n\n- wacli",
            true,
        ),
        ("binaries:\n- &g gog\nversion: 1\n", "binaries:\n- &g gog\n- wacli\nversion: 1\n", true),
        // Two entries do not establish an order.
        (
            "binaries:\n- {name: yy, url: https://x/y}\n- {name: zz, url: https://x/z}\nversion: 1\n",
            "binaries:\n- {name: yy, url: https://x/y}\n- {name: zz, url: https://x/z}\n- wacli\nversion: 1\n",
            true,
        ),
        // To its place in the alphabet.
        (
            "binaries:\n- gog # mail\n- goplaces\n# the last\n- {name: zz, url: https://x/z}\nversion: 1\n",
            "binaries:\n- gog # mail\n- goplaces\n- wacli\n# the last\n- {name: zz, url: https://x/z}\nversion: 1\n",
            true,
        ),
        (
            "binaries:\n# All of them.\n- {name: xx, url: https://x/x}\n- {name: yy, url: https://x/y}\n- {name: zz, url: https://x/z}\nversion: 1\n",
            "binaries:\n# All of them.\n- wacli\n- {name: xx, url: https://x/x}\n- {name: yy, url: https://x/y}\n- {name: zz, url: https://x/z}\nversion: 1\n",
            true,
        ),
        (
            "binaries:\n# one\n- {name: xx, url: https://x/x}\n# two\n- {name: yy, url: https://x/y}\n- {name: zz, url: https://x/z}\nversion: 1\n",
            "binaries:\n- wacli\n# one\n- {name: xx, url: https://x/x}\n# two\n- {name: yy, url: https://x/y}\n- {name: zz, url: https://x/z}\nversion: 1\n",
            true,
        ),
        (
            "binaries:\n- {name: xx, url: https://x/x}\n\n- {name: yy, url: https://x/y}\n\n- {name: zz, url: https://x/z}\nversion: 1\n",
            "binaries:\n- wacli\n\n- {name: xx, url: https://x/x}\n\n- {name: yy, url: https://x/y}\n\n- {name: zz, url: https://x/z}\nversion: 1\n",
            true,
        ),
        // In brackets.
        (
            "version: 1\nbinaries: [gog, goplaces] # all\n",
            "version: 1\nbinaries: [gog, goplaces, wacli] # all\n",
            true,
        ),
        ("version: 1\nbinaries: [ gog ]\n", "version: 1\nbinaries: [ gog, wacli ]\n", true),
        ("version: 1\nbinaries: [gog,]\n", "version: 1\nbinaries: [gog, wacli,]\n", true),
        (
            "version: 1\nbinaries: [\n  gog, # mail\n  goplaces # places\n]\n",
            "version: 1\nbinaries: [\n  gog, # mail\n  goplaces, # places\n  wacli\n]\n",
            true,
        ),
        (
            "version: 1\nbinaries: [\n  gog,\n  goplaces, # places, all\n  # more\n]\n",
            "version: 1\nbinaries: [\n  gog,\n  goplaces, # places, all\n  wacli,\n  # more\n]\n",
            true,
        ),
        (
            "version: 1\nbinaries: [gog,\n  goplaces]\n",
            "version: 1\nbinaries: [gog,\n  goplaces, wacli]\n",
            true,
        ),
        (
            "version: 1\nbinaries: [{name: xx, url: \"https://x/[]\"}, {name: yy, url: https://x/y}, {name: zz, url: https://x/z}]\n",
            "version: 1\nbinaries: [wacli, {name: xx, url: \"https://x/[]\"}, {name: yy, url: https://x/y}, {name: zz, url: https://x/z}]\n",
            true,
        ),
        (
            "version: 1\nbinaries: [\n  gog,\n  goplaces,\n  {name: zz, url: https://x/z}\n]\n",
            "version: 1\nbinaries: [\n  gog,\n  goplaces,\n  wacli,\n  {name: zz, url: https://x/z}\n]\n",
            true,
        ),
        // As JSON.
        ("{\"version\":1,\"binaries\":[]}", "{\"version\":1,\"binaries\":[\"wacli\"]}", true),
        (
            "{\n  \"version\": 1,\n  \"binaries\": [\n    \"gog\",\n    \"goplaces\"\n  ]\n}\n",
            "{\n  \"version\": 1,\n  \"binaries\": [\n    \"gog\",\n    \"goplaces\",\n    \"wacli\"\n  ]\n}\n",
            true,
        ),
    ];

    #[test]
    fn an_entry_is_added_where_a_person_would_write_it_and_taken_out_again() {
        for (before, after, and_back) in ADDED {
            let added = done(add(&source(before), &tool("wacli")));
            assert_eq!(added, *after, "{before}");
            let removed = done(remove(&source(&added), &name("wacli")));
            assert!(!and_back || removed == *before, "{before}\n---\n{removed}");
        }
    }

    /// Texts before and after `goplaces` is taken out.
    const REMOVED: &[(&str, &str)] = &[
        // With what belongs to it, and with nothing else.
        (
            "binaries:\n  # The list.\n  - gog # mail\n  # places\n  # of all kinds\n  - goplaces # p\n    # more of it\n  # wa\n  - wacli # w\nversion: 1\n",
            "binaries:\n  # The list.\n  - gog # mail\n  # wa\n  - wacli # w\nversion: 1\n",
        ),
        (
            "binaries:\n  - gog\n\n  # about what follows\n\n  # places\n  - goplaces\n\n  - wacli\nversion: 1\n",
            "binaries:\n  - gog\n\n  # about what follows\n\n  - wacli\nversion: 1\n",
        ),
        (
            "binaries:\n# The list.\n- goplaces\n- gog\nversion: 1\n",
            "binaries:\n# The list.\n- gog\nversion: 1\n",
        ),
        (
            "binaries:\n# places\n- goplaces\n# mail\n- gog\nversion: 1\n",
            "binaries:\n# mail\n- gog\nversion: 1\n",
        ),
        (
            "binaries: # all\n  # The list.\n  - goplaces # p\nversion: 1\n",
            "binaries: [] # all\n  # The list.\nversion: 1\n",
        ),
        ("version: 1\r\nbinaries:\r\n- gog\r\n- goplaces", "version: 1\r\nbinaries:\r\n- gog"),
        (
            "binaries:\n- gog\n\n- goplaces\n\n- wacli\nversion: 1\n",
            "binaries:\n- gog\n\n- wacli\nversion: 1\n",
        ),
        (
            "binaries:\n- goplaces\n\n- gog\n\n- wacli\nversion: 1\n",
            "binaries:\n- gog\n\n- wacli\nversion: 1\n",
        ),
        ("binaries:\n- gog\n\n- goplaces\n\nversion: 1\n", "binaries:\n- gog\n\nversion: 1\n"),
        // In every form.
        ("binaries:\n- {name: goplaces, version: 1}\n- gog\nversion: 1\n", "binaries:\n- gog\nversion: 1\n"),
        (
            "binaries:\n-\n  name: >-\n    goplaces\n  version: |-\n    1\n\n- gog\nversion: 1\n",
            "binaries:\n- gog\nversion: 1\n",
        ),
        (
            "binaries:\n- name: goplaces\n  repo: o/r\n  # its words\n  arch:\n    amd64: x # 1\n    arm64: z # 2\n  skills:\n  - a\n  - b # last\n- gog\nversion: 1\n",
            "binaries:\n- gog\nversion: 1\n",
        ),
        ("binaries:\n- gog\n- # why\n  'goplaces'\nversion: 1\n", "binaries:\n- gog\nversion: 1\n"),
        // In brackets.
        ("binaries: [goplaces]\nversion: 1\n", "binaries: []\nversion: 1\n"),
        ("binaries: [goplaces, gog]\nversion: 1\n", "binaries: [gog]\nversion: 1\n"),
        ("binaries: [gog , goplaces , wacli]\nversion: 1\n", "binaries: [gog , wacli]\nversion: 1\n"),
        ("binaries: [gog, goplaces,\n  wacli]\nversion: 1\n", "binaries: [gog,\n  wacli]\nversion: 1\n"),
        ("binaries: [gog,\n  goplaces, wacli]\nversion: 1\n", "binaries: [gog,\n  wacli]\nversion: 1\n"),
        ("binaries: [ gog\n  , goplaces\n  ]\nversion: 1\n", "binaries: [ gog\n  ]\nversion: 1\n"),
        (
            "binaries: [\n  gog, # mail\n  # places, all\n  {\n    name: goplaces,\n  }, # p\n  wacli,\n]\nversion: 1\n",
            "binaries: [\n  gog, # mail\n  wacli,\n]\nversion: 1\n",
        ),
        (
            "binaries: [\n  gog, # mail, all\n  goplaces # p\n]\nversion: 1\n",
            "binaries: [\n  gog # mail, all\n]\nversion: 1\n",
        ),
    ];

    #[test]
    fn an_entry_goes_with_its_own_comments() {
        for (before, after) in REMOVED {
            assert_eq!(done(remove(&source(before), &name("goplaces"))), *after, "{before}");
        }
    }

    /// Texts before and after `gog` is given the version 1.10.
    const PINNED: &[(&str, &str)] = &[
        (
            "binaries:\n  - gog   # mail\nversion: 1\n",
            "binaries:\n  - {name: gog, version: \"1.10\"}   # mail\nversion: 1\n",
        ),
        (
            "binaries: [gog, wacli]\nversion: 1\n",
            "binaries: [{name: gog, version: \"1.10\"}, wacli]\nversion: 1\n",
        ),
        (
            "binaries:\n- {name: gog, version: 0.4.4} # x\nversion: 1\n",
            "binaries:\n- {name: gog, version: \"1.10\"} # x\nversion: 1\n",
        ),
        (
            "binaries:\n- {version: '0.4.4', name: gog}\nversion: 1\n",
            "binaries:\n- {version: '1.10', name: gog}\nversion: 1\n",
        ),
        (
            "binaries:\n- \"version\": \"9\" # old\n  name: gog\nversion: 1\n",
            "binaries:\n- \"version\": \"1.10\" # old\n  name: gog\nversion: 1\n",
        ),
        (
            "binaries:\n- name: gog # mail\n  binary: bin/gog\nversion: 1\n",
            "binaries:\n- name: gog # mail\n  version: \"1.10\"\n  binary: bin/gog\nversion: 1\n",
        ),
        (
            "version: 1\r\nbinaries:\r\n  - repo: o/r\r\n    name: gog",
            "version: 1\r\nbinaries:\r\n  - repo: o/r\r\n    version: \"1.10\"\r\n    name: gog",
        ),
        (
            "version: 1\nbinaries:\n  - name: gog",
            "version: 1\nbinaries:\n  - name: gog\n    version: \"1.10\"",
        ),
        (
            "binaries:\n- {name: gog}\nversion: 1\n",
            "binaries:\n- {name: gog, version: \"1.10\"}\nversion: 1\n",
        ),
        (
            "{\"binaries\": [\"gog\"], \"version\": 1}",
            "{\"binaries\": [{\"name\":\"gog\",\"version\":\"1.10\"}], \"version\": 1}",
        ),
        (
            "{\"binaries\": [{\"name\": \"gog\"}], \"version\": 1}",
            "{\"binaries\": [{\"name\": \"gog\", \"version\": \"1.10\"}], \"version\": 1}",
        ),
    ];

    #[test]
    fn a_version_is_written_over_the_old_one_or_where_people_write_it() {
        let version: Version = "1.10".parse().unwrap_or_else(|why| panic!("{why}"));
        for (before, after) in PINNED {
            assert_eq!(done(set_version(&source(before), &name("gog"), &version)), *after, "{before}");
        }
    }

    #[test]
    fn unsafe_edits_are_refused_with_the_lines_to_write() {
        let new = ManifestEntry { version: "1.0".parse().ok(), ..tool("wacli") };
        for (text, why) in [
            ("version: 1\nbinaries: &all\n- gog\n", "anchor or a tag"),
            ("version: 1\nbinaries: !!seq\n- gog\n", "anchor or a tag"),
            ("? binaries\n: - gog\nversion: 1\n", ""),
            ("version: 1\nbinaries: # none\n  []\n", "line of its key"),
        ] {
            let Err(refused) = add(&source(text), &new) else {
                assert_eq!(why, "", "{text}");
                continue;
            };
            let told = told(&refused);
            assert!(!why.is_empty() && told.contains(why), "{told}");
            assert!(told.contains("- {name: wacli, version: \"1.0\"}"), "{told}");
            assert_eq!(refused.code, Code::CannotEdit, "{told}");
        }
        for text in [
            "? binaries\n: - gog\n  - wacli\nversion: 1\n",
            // Another entry stands for it.
            "version: 1\nbinaries:\n- {name: &n gog, skills: [a]}\n- {name: wacli, skills: [*n]}\n",
            // Its name would still be read, and mean another entry's.
            "version: 1\nbinaries:\n- &n goplaces\n- &n gog\n- {name: wacli, skills: [*n]}\n",
            "version: 1\nbinaries: [gog # mail\n  , wacli]\n",
        ] {
            let refused = remove(&source(text), &name("gog"))
                .map_or_else(|refused| refused.code, |text| panic!("{text}"));
            assert_eq!(refused, Code::CannotEdit, "{text}");
        }
    }

    #[test]
    fn a_version_apart_from_its_key_is_left_alone() {
        let text = "version: 1\nbinaries:\n- name: gog\n  version: >-\n    1.9\n";
        let refused = set_version(&source(text), &name("gog"), &parsed("2.0")).err();
        let told = refused.map(|refused| told(&refused)).unwrap_or_default();
        assert!(told.contains("another line than its key") && told.contains("version: \"2.0\""), "{told}");
    }

    #[test]
    fn a_name_twice_or_not_at_all_is_an_error_that_says_so() {
        let text = "version: 1\nbinaries:\n- gog\n- wacli\n";
        let twice = add(&source(text), &tool("gog")).err().map(|error| told(&error)).unwrap_or_default();
        assert!(twice.contains("error[duplicate]") && twice.contains("binaries.yaml:3:3"), "{twice}");
        let none =
            remove(&source(text), &name("goplaces")).err().map(|error| told(&error)).unwrap_or_default();
        assert!(none.contains("error[not-in-manifest]") && none.contains("it has: gog, wacli"), "{none}");
        let unknown = add(&source(text), &tool("nobody-has-this")).err().map(|error| error.code);
        assert_eq!(unknown, Some(Code::UnknownTool));
        let wrong = add(&source("version: 1\nbinaries:\n- gog\n- gog\n"), &tool("wacli")).err();
        assert_eq!(wrong.map(|error| error.code), Some(Code::Duplicate));
    }

    #[test]
    fn an_entry_is_written_as_people_write_it() {
        let arch = || {
            Some(
                [(Arch::Amd64, "x86_64"), (Arch::Arm64, "aarch64")]
                    .map(|(arch, word)| (arch, parsed(word)))
                    .into(),
            )
        };
        let release = ManifestEntry {
            version: Some(parsed("1.10")),
            source: Some(EntrySource::Repo {
                repo: parsed("owner/my-tool"),
                asset: Some(parsed("{version}_{arch}.tar.gz")),
                arch: arch(),
            }),
            binary: Some(parsed("bin/my tool: #1")),
            skills: vec![parsed("one"), parsed("no")],
            ..tool("my-tool")
        };
        let url = ManifestEntry {
            source: Some(EntrySource::Url { url: parsed("https://x.example/{arch}/x?a=b#c"), arch: arch() }),
            ..tool("no")
        };
        let lines = [release.lines(), url.lines()].concat().join("\n");
        assert_eq!(
            lines,
            "- name: my-tool\n  repo: owner/my-tool\n  version: \"1.10\"\n  asset: \"{version}_{arch}.tar.gz\"\n  \
             arch: {amd64: x86_64, arm64: aarch64}\n  binary: \"bin/my tool: #1\"\n  skills: [one, \"no\"]\n\
             - name: \"no\"\n  url: https://x.example/{arch}/x?a=b#c\n  arch: {amd64: x86_64, arm64: aarch64}"
        );
    }

    fn parsed<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
        text.parse().unwrap_or_else(|why| panic!("{text}: {why:?}"))
    }
}
