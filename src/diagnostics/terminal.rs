//! Diagnostics for people: the sentence, the place, the line itself, the remedy.

use std::fmt::Write;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::{Diagnostic, Location, Problems, Severity};

/// The remaining problems are counted.
const SHOWN: usize = 50;
/// Bytes kept on either side of the place. The renderer fits lines to the terminal, but is slow for very long
/// lines.
const WIDTH: usize = 4096;

/// All of `problems` as text, each followed by an empty line; with colours where `styled`.
pub fn render(problems: &Problems, styled: bool) -> String {
    let renderer = if styled { Renderer::styled() } else { Renderer::plain() };
    let mut text = String::new();
    for diagnostic in problems.iter().take(SHOWN) {
        text.push_str(&one(diagnostic, &renderer));
        text.push_str("\n\n");
    }
    if let more @ 1.. = (problems.len() + problems.left_out()).saturating_sub(SHOWN) {
        let listed = match problems.left_out() {
            0 => "all of them".to_owned(),
            _ => format!("the first {}", Problems::MOST),
        };
        let _ = writeln!(text, "… and {more} more; `bake check --json` lists {listed}");
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
        Some(place) => with_snippet(Group::with_title(title), place, AnnotationKind::Primary, None),
        None => Group::with_title(title),
    };
    if let Some((place, why)) = diagnostic.related.as_deref() {
        group = with_snippet(group, place, AnnotationKind::Context, Some(why));
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help));
    }
    renderer.render(&[group])
}

fn with_snippet<'a>(
    group: Group<'a>,
    place: &'a Location,
    kind: AnnotationKind,
    label: Option<&'a str>,
) -> Group<'a> {
    let (start, line) = place.source.line(place.span.start);
    let from = (place.span.start - start).min(line.len());
    let to = (place.span.end.max(place.span.start + 1) - start).clamp(from, line.len());
    let to = (to..=line.len()).find(|at| line.is_char_boundary(*at)).unwrap_or(line.len());
    let (number, column) = place.line_column();
    let (line, cut) = window(line, from);
    let to = (to - cut).min(line.len());
    let snippet = Snippet::source(line).line_start(number).annotation(kind.span(from - cut..to).label(label));
    if cut == 0 {
        return group.element(snippet.path(place.source.name()));
    }
    // The renderer would count columns from where the line was cut.
    let origin = Origin::path(place.source.name()).line(number).char_column(column);
    group.element(origin).element(snippet)
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
