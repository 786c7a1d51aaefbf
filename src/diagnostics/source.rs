//! Input texts and places in them.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::without_credentials;
use crate::text::masked;

/// Bytes of a [`Source`], from the first to the one after the last.
pub type Span = Range<usize>;

/// An input text, with its name for the user.
pub struct Source {
    name: String,
    text: String,
    /// Sorted, and none touches another.
    hidden: Vec<Span>,
    /// The start of each line. Computed on first use, because a file with many problems asks often.
    lines: OnceLock<Vec<usize>>,
}

impl Source {
    /// `name` is what messages call it: a path as the user would type it.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into(), hidden: Vec::new(), lines: OnceLock::new() }
    }

    /// The name in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Hides these bytes in all messages, because they may contain a secret.
    pub fn hide(&mut self, spans: impl IntoIterator<Item = Span>) {
        let mut all = std::mem::take(&mut self.hidden);
        all.extend(spans);
        all.sort_unstable_by_key(|span| span.start);
        for span in all {
            match self.hidden.last_mut() {
                Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
                _ => self.hidden.push(span),
            }
        }
    }

    /// Whether any of these bytes is hidden.
    pub fn hides(&self, span: &Span) -> bool {
        let first = self.hidden.partition_point(|hidden| hidden.end <= span.start);
        self.hidden.get(first).is_some_and(|hidden| hidden.start < span.end)
    }

    /// Line and column, both from 1, of a byte; the column counts characters.
    pub fn line_column(&self, offset: usize) -> (usize, usize) {
        let offset = self.boundary(offset);
        let starts = self.line_starts();
        // The first line starts at 0, so there is always one.
        let line = starts.partition_point(|start| *start <= offset);
        (line, self.text[starts[line - 1]..offset].chars().count() + 1)
    }

    fn line_starts(&self) -> &[usize] {
        self.lines.get_or_init(|| {
            let after = self.text.match_indices('\n').map(|(newline, _)| newline + 1);
            std::iter::once(0).chain(after).collect()
        })
    }

    /// The byte at a line and column, both from 1, the column in characters.
    pub fn offset(&self, line: usize, column: usize) -> usize {
        let start: usize = self.text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
        let rest = &self.text[self.boundary(start)..];
        let within = rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(at, _)| at);
        start + within
    }

    /// The start and the text of the line that contains a byte, without its line break. Hidden parts and passwords in
    /// URLs are replaced by `*`, and control characters by visible signs.
    pub(super) fn line(&self, offset: usize) -> (usize, String) {
        let offset = self.boundary(offset);
        let start = self.text[..offset].rfind('\n').map_or(0, |newline| newline + 1);
        let end = self.text[offset..].find('\n').map_or(self.text.len(), |newline| offset + newline);
        let line = self.text[start..end].trim_end_matches('\r');
        let first = self.hidden.partition_point(|span| span.end <= start);
        let mut shown = line.to_owned();
        for span in self.hidden[first..].iter().take_while(|span| span.start < end) {
            let from = span.start.saturating_sub(start).min(shown.len());
            let to = span.end.saturating_sub(start).min(shown.len());
            // As many bytes as there were, so that the marks below the line stay in place.
            shown.replace_range(from..to, &"*".repeat(to - from));
        }
        (start, masked(&without_credentials(&shown)))
    }

    fn boundary(&self, offset: usize) -> usize {
        let offset = offset.min(self.text.len());
        (0..=offset).rev().find(|at| self.text.is_char_boundary(*at)).unwrap_or(0)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Source").field(&self.name).finish()
    }
}

/// Some bytes of one source.
#[derive(Clone, Debug)]
pub struct Location {
    pub source: Arc<Source>,
    pub span: Span,
}

impl Location {
    /// Line and column of its first byte, both from 1.
    pub fn line_column(&self) -> (usize, usize) {
        self.source.line_column(self.span.start)
    }
}

#[cfg(test)]
mod tests {
    use super::Source;

    #[test]
    fn offsets_and_columns_count_characters() {
        let source = Source::new("x", "a: ö\nbü: 1\n");
        assert_eq!(source.line_column(0), (1, 1));
        let one = source.text().find('1').unwrap_or_default();
        assert_eq!(source.line_column(one), (2, 5));
        assert_eq!(source.offset(2, 5), one);
        assert_eq!(source.offset(9, 9), source.text().len());
    }

    #[test]
    fn hidden_bytes_never_appear() {
        let mut source = Source::new("x", "ok: 1\nkey: hünter2 # c\n");
        let start = source.text().find('h').unwrap_or_default();
        source.hide([start..start + "hünter2".len()]);
        assert_eq!(source.line(start).1, "key: ******** # c");
        source.hide([0..2, 1..4]);
        assert_eq!(source.line(0).1, "****1");
        assert!(source.hides(&(3..5)) && !source.hides(&(4..6)));
    }
}
