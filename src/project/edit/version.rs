//! Replaces or adds the version of an entry.

use serde::Serialize;

use super::entry::{plain, with_plain_version, written};
use super::lines::Lines;
use super::{Refused, TextEdit};
use crate::diagnostics::Span;
use crate::project::names::{ToolName, Version};
use crate::yaml::FlowMap;
use crate::yaml::cst::{Element, Form};

/// A tool of the catalog at a version.
#[derive(Serialize)]
struct Pinned<'a> {
    name: &'a str,
    version: &'a str,
}

/// Gives the entry `item`, which is about `name`, another version.
pub(super) fn set(
    lines: Lines<'_>,
    item: &Element,
    name: &ToolName,
    version: &Version,
    json: bool,
) -> Result<Vec<TextEdit>, Refused> {
    if item.is_marked() {
        return Err("the entry has an anchor, an alias or a tag");
    }
    match &item.form {
        Form::Map { flow, entries } => {
            let value = |key: &str| {
                entries.iter().find(|(found, _)| unquoted(&lines.text[found.span.clone()]) == key)
            };
            if let Some((key, old)) = value("version") {
                if lines.start(key.span.start) != lines.start(old.span.start) {
                    return Err("the version is not on the line of its key");
                }
                return Ok(vec![over(lines, &old.span, version)]);
            }
            let source = value("repo").or_else(|| value("url")).or_else(|| value("name"));
            let (key, before) = source.ok_or("the entry's keys are written in an unusual way")?;
            let end = before.span.end;
            if *flow {
                let (key, value) = if json {
                    ("\"version\"", format!("\"{version}\""))
                } else {
                    ("version", plain(version))
                };
                return Ok(vec![TextEdit { span: end..end, text: format!(", {key}: {value}") }]);
            }
            let indentation = " ".repeat(lines.column(key.span.start));
            let line = format!("{indentation}version: {}", plain(version));
            Ok(vec![super::block::put_lines(lines, lines.next(end), &[line])])
        }
        Form::Scalar if lines.text[item.span.clone()].contains('\n') => {
            Err("the entry's name spans several lines")
        }
        Form::Scalar => {
            let pinned = Pinned { name: name.as_str(), version: version.as_str() };
            let text = if json {
                serde_json::to_string(&pinned).unwrap_or_default()
            } else {
                with_plain_version(&written(&FlowMap(pinned)), version)
            };
            Ok(vec![TextEdit { span: item.span.clone(), text }])
        }
        Form::List { .. } | Form::Alias => Err("the entry is neither a name nor a map"),
    }
}

/// `version` in place of the text at `old`, in the same quotes: no version holds one.
fn over(lines: Lines<'_>, old: &Span, version: &Version) -> TextEdit {
    let text = match lines.text[old.clone()].chars().next() {
        Some(quote @ ('"' | '\'')) => format!("{quote}{version}{quote}"),
        _ => plain(version),
    };
    TextEdit { span: old.clone(), text }
}

/// The text of a key, without its quotes.
fn unquoted(key: &str) -> &str {
    key.trim_matches(['"', '\''])
}
