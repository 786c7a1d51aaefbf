//! Edits of a list in brackets, on one line or on several.

use super::lines::Lines;
use super::{Refused, TextEdit};
use crate::diagnostics::Span;
use crate::yaml::cst::Element;

/// A list in brackets.
pub(super) struct Flow<'a> {
    pub(super) lines: Lines<'a>,
    /// From bracket to bracket.
    pub(super) span: &'a Span,
    pub(super) items: &'a [Element],
}

impl Flow<'_> {
    /// Puts an entry before the one at `index`, or at the end.
    pub(super) fn insert(&self, index: usize, entry: &str) -> Vec<TextEdit> {
        let Some(last) = self.items.last() else { return vec![self.first(entry)] };
        let line_break = self.lines.line_break();
        match self.items.get(index) {
            Some(next) if self.begins_line(next) => {
                // Directly below the previous entry: comments above the next one belong to that.
                let before = index.checked_sub(1).map(|before| &self.items[before]);
                let comma = before.and_then(|before| self.comma_after(before, next.span.start));
                let at = comma.map_or(self.lines.start(next.span.start), |comma| self.lines.next(comma));
                vec![put(at, format!("{}{entry},{line_break}", self.lines.before(next.span.start)))]
            }
            Some(next) => vec![put(next.span.start, format!("{entry}, "))],
            None => {
                let comma = self.comma_after(last, self.span.end);
                let end = comma.map_or(last.span.end, |comma| comma + 1);
                let (missing, own) = if comma.is_some() { ("", ",") } else { (",", "") };
                if !self.begins_line(last) || !self.lines.ends_at(end) {
                    return vec![put(end, format!("{missing} {entry}{own}"))];
                }
                let indentation = self.lines.before(last.span.start);
                let mut changes =
                    vec![put(self.lines.next(end), format!("{indentation}{entry}{own}{line_break}"))];
                if comma.is_none() {
                    changes.push(put(last.span.end, ",".to_owned()));
                }
                changes
            }
        }
    }

    /// The only entry of a list that had none.
    fn first(&self, entry: &str) -> TextEdit {
        let end = self.span.end - 1;
        let (line_break, indentation) = (self.lines.line_break(), self.lines.before(end));
        if self.lines.text[self.span.start..end].contains('\n') && indentation.trim().is_empty() {
            put(self.lines.start(end), format!("{indentation}  {entry}{line_break}"))
        } else {
            TextEdit { span: self.span.start + 1..end, text: entry.to_owned() }
        }
    }

    /// Takes an entry out.
    pub(super) fn remove(&self, index: usize) -> Result<Vec<TextEdit>, Refused> {
        let item = &self.items[index].span;
        let next = self.items.get(index + 1);
        let before = index.checked_sub(1).map(|before| &self.items[before]);
        let comma = self.comma_after(&self.items[index], next.map_or(self.span.end, |next| next.span.start));
        let end = comma.map_or(item.end, |comma| comma + 1);
        if self.begins_line(&self.items[index]) && self.lines.ends_at(end) {
            let mut changes = vec![cut(self.comments_above(index)..self.lines.next(end))];
            // The last one had no comma, so that the one before must not have one either.
            let stray = before.filter(|_| comma.is_none());
            if let Some(comma) = stray.and_then(|before| self.comma_after(before, item.start)) {
                changes.push(cut(comma..comma + 1));
            }
            return Ok(changes);
        }
        let line = self.lines.start(item.start);
        let span = match (before, next) {
            (_, Some(next)) if self.lines.start(next.span.start) == line => item.start..next.span.start,
            (Some(before), _) => before.span.end..item.end,
            (None, Some(next)) => item.start..next.span.start,
            (None, None) => self.span.start + 1..self.span.end - 1,
        };
        if self.lines.has_comment(span.clone()) {
            return Err("there is a comment between the entry and its comma");
        }
        Ok(vec![cut(span)])
    }

    /// The comma between an entry and `until`.
    fn comma_after(&self, item: &Element, until: usize) -> Option<usize> {
        self.lines.find(',', item.span.end..until)
    }

    /// Whether the entry is the first text on its line.
    fn begins_line(&self, item: &Element) -> bool {
        self.lines.before(item.span.start).trim().is_empty()
    }

    /// The start of the comments that belong to an entry on a separate line: those directly above it with the
    /// same indentation; none for the first entry.
    fn comments_above(&self, index: usize) -> usize {
        let item = self.items[index].span.start;
        let column = self.lines.column(item);
        let mut start = self.lines.start(item);
        while let Some(above) = self.lines.above(start).filter(|_| index > 0) {
            if self.lines.lone_comment(above) != Some(column) {
                break;
            }
            start = above;
        }
        start
    }
}

fn put(at: usize, text: String) -> TextEdit {
    TextEdit { span: at..at, text }
}

fn cut(span: Span) -> TextEdit {
    TextEdit { span, text: String::new() }
}
