//! Edits of a block list: entries and comments have separate lines.

use super::lines::Lines;
use super::{Refused, TextEdit};
use crate::diagnostics::Span;
use crate::yaml::cst::Element;

/// A list of `- entry` lines.
pub(super) struct Block<'a> {
    lines: Lines<'a>,
    items: &'a [Element],
    /// The offset of each entry's dash.
    dashes: Vec<usize>,
}

impl<'a> Block<'a> {
    /// The list whose first dash is somewhere after `from`.
    pub(super) fn new(lines: Lines<'a>, items: &'a [Element], from: usize) -> Result<Self, Refused> {
        let mut from = from;
        let mut dashes = Vec::with_capacity(items.len());
        for item in items {
            // Between two entries are blanks, comments, and the dash before anchors and tags.
            dashes.push(lines.find('-', from..item.span.start).ok_or("an entry without its dash")?);
            from = item.span.end;
        }
        Ok(Self { lines, items, dashes })
    }

    /// Puts an entry before the one at `index`, or at the end.
    pub(super) fn insert(&self, index: usize, entry: &[String]) -> Result<Vec<TextEdit>, Refused> {
        let first = *self.dashes.first().ok_or("a list without entries")?;
        let at = match index.checked_sub(1) {
            Some(before) => self.end(before),
            None => self.lines(0)?.start,
        };
        let indentation = " ".repeat(self.lines.column(first));
        let mut written = indented(entry, &indentation);
        match (self.is_spaced(), index) {
            (true, 0) => written.push(String::new()),
            (true, _) => written.insert(0, String::new()),
            (false, _) => {}
        }
        Ok(vec![put_lines(self.lines, at, &written)])
    }

    /// Takes an entry out that is not the only one.
    pub(super) fn remove(&self, index: usize) -> Result<Vec<TextEdit>, Refused> {
        let mut span = self.lines(index)?;
        let (above, below) = (self.lines.blanks_above(span.start), self.lines.blanks_below(span.end));
        if index == 0 {
            span.end = below;
        } else if below > span.end || below == self.lines.text.len() || self.is_spaced() {
            span.start = above;
        }
        Ok(vec![self.cut(span)])
    }

    /// Takes the only entry out, and leaves `[]` after the colon at `colon`.
    pub(super) fn remove_only(&self, colon: usize) -> Result<Vec<TextEdit>, Refused> {
        let empty = TextEdit { span: colon + 1..colon + 1, text: " []".to_owned() };
        Ok(vec![empty, self.cut(self.lines(0)?)])
    }

    /// Takes whole lines out; the text ends with a line break only if it did before.
    fn cut(&self, mut span: Span) -> TextEdit {
        let text = self.lines.text;
        if span.end == text.len() && !text.ends_with('\n') {
            span.start = text[..span.start].trim_end_matches('\n').trim_end_matches('\r').len();
        }
        TextEdit { span, text: String::new() }
    }

    /// The lines of an entry, with the comments that belong to it.
    fn lines(&self, index: usize) -> Result<Span, Refused> {
        let dash = self.dashes[index];
        if !self.lines.before(dash).trim().is_empty() {
            return Err("there is other text before the entry on its line");
        }
        let start =
            if self.owns_comments(index) { self.comments_above(index) } else { self.lines.start(dash) };
        Ok(start..self.end(index))
    }

    /// The end of an entry's lines, including its own comments: those directly below it that are indented
    /// deeper than its dash.
    fn end(&self, index: usize) -> usize {
        let column = self.lines.column(self.dashes[index]);
        let mut end = self.lines.next(self.items[index].span.end);
        while self.lines.lone_comment(end).is_some_and(|comment| comment > column) {
            end = self.lines.next(end);
        }
        end
    }

    /// The start of the comments directly above an entry with the indentation of its dash.
    fn comments_above(&self, index: usize) -> usize {
        let column = self.lines.column(self.dashes[index]);
        let mut start = self.lines.start(self.dashes[index]);
        let bound = index.checked_sub(1).map_or(0, |before| self.end(before));
        while let Some(above) = self.lines.above(start).filter(|above| *above >= bound) {
            if self.lines.lone_comment(above) != Some(column) {
                break;
            }
            start = above;
        }
        start
    }

    /// Whether the comments directly above an entry are about it alone. Those above the first entry are about
    /// the list, unless other entries have comments above them too.
    fn owns_comments(&self, index: usize) -> bool {
        let has = |index: usize| self.comments_above(index) < self.lines.start(self.dashes[index]);
        index > 0 || (1..self.items.len()).any(has)
    }

    /// Whether every two entries are separated by a blank line.
    fn is_spaced(&self) -> bool {
        let blank_before = |index: usize| {
            let mut at = self.end(index - 1);
            while at < self.dashes[index] && !self.lines.is_blank(at) {
                at = self.lines.next(at);
            }
            at < self.dashes[index]
        };
        self.items.len() > 1 && (1..self.items.len()).all(blank_before)
    }
}

/// The first entry of a list that has none, on lines of its own below the key at `key`. The text
/// from after the colon to `end` is what stood for the empty list.
pub(super) fn first(
    lines: Lines<'_>,
    key: usize,
    colon: usize,
    end: usize,
    entry: &[String],
) -> Result<Vec<TextEdit>, Refused> {
    if lines.text[colon..end].contains('\n') || !lines.ends_at(end) {
        return Err("the empty list is not on the line of its key");
    }
    let column = lines.column(key);
    let mut indentation = " ".repeat(column + 2);
    let mut at = lines.next(end);
    while let Some(comment) = lines.lone_comment(at).filter(|comment| *comment > column) {
        indentation = " ".repeat(comment);
        at = lines.next(at);
    }
    let emptied = TextEdit { span: colon + 1..end, text: String::new() };
    Ok(vec![emptied, put_lines(lines, at, &indented(entry, &indentation))])
}

fn indented(entry: &[String], indentation: &str) -> Vec<String> {
    entry.iter().map(|line| format!("{indentation}{line}")).collect()
}

/// Puts lines before the line that starts at `at`, or at the end of the text.
pub(super) fn put_lines(lines: Lines<'_>, at: usize, written: &[String]) -> TextEdit {
    let line_break = lines.line_break();
    let before = at == lines.text.len() && !lines.text.is_empty() && !lines.text.ends_with('\n');
    let text = if before {
        written.iter().map(|line| format!("{line_break}{line}")).collect()
    } else {
        written.iter().map(|line| format!("{line}{line_break}")).collect()
    };
    TextEdit { span: at..at, text }
}
