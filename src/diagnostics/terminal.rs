//! Diagnostics for people: the sentence, the place, the line itself, the remedy.

use std::fmt::Write;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::{Diagnostic, Place, Problems, Severity};

/// More than this at once helps nobody; the rest is counted.
const SHOWN: usize = 50;
/// Longer lines are cut around the place, or the line would fill the terminal.
const WIDTH: usize = 120;

/// All of `problems` as text, each followed by an empty line; with colours where `styled`.
pub fn render(problems: &Problems, styled: bool) -> String {
    let renderer = if styled { Renderer::styled() } else { Renderer::plain() };
    let mut text = String::new();
    for diagnostic in problems.iter().take(SHOWN) {
        text.push_str(&one(diagnostic, &renderer));
        text.push_str("\n\n");
    }
    if let more @ 1.. = problems.len().saturating_sub(SHOWN) {
        let _ = writeln!(text, "… and {more} more; `bake check --json` lists all of them");
    }
    text
}

fn one(diagnostic: &Diagnostic, renderer: &Renderer) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(&diagnostic.message).id(diagnostic.code.as_str());
    let mut group = match &diagnostic.place {
        Some(place) => title.element(snippet(place, AnnotationKind::Primary, None)),
        None => Group::with_title(title),
    };
    if let Some((place, why)) = &diagnostic.related {
        group = group.element(snippet(place, AnnotationKind::Context, Some(why)));
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help));
    }
    renderer.render(&[group])
}

fn snippet<'a>(
    place: &'a Place,
    kind: AnnotationKind,
    label: Option<&'a str>,
) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    let (start, line) = place.source.line(place.span.start);
    let from = (place.span.start - start).min(line.len());
    let to = (place.span.end.max(place.span.start + 1) - start).clamp(from, line.len());
    let to = (to..=line.len()).find(|at| line.is_char_boundary(*at)).unwrap_or(line.len());
    let (number, _) = place.line_column();
    let (line, cut) = window(line, from);
    let to = (to - cut).min(line.len());
    Snippet::source(line)
        .line_start(number)
        .path(place.source.name())
        .annotation(kind.span(from - cut..to).label(label))
}

/// The part of a very long line around `at`, and how many bytes were cut off before it.
fn window(line: String, at: usize) -> (String, usize) {
    if line.len() <= WIDTH * 2 {
        return (line, 0);
    }
    let boundary =
        |at: usize| (0..=at.min(line.len())).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
    let from = boundary(at.saturating_sub(WIDTH));
    (line[from..boundary(at + WIDTH)].to_owned(), from)
}
