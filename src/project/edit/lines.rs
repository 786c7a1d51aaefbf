//! A text as lines, for edits.

use std::ops::Range;

/// A text with the spans of its comments.
#[derive(Clone, Copy)]
pub(super) struct Lines<'a> {
    pub(super) text: &'a str,
    pub(super) comments: &'a [Range<usize>],
}

impl<'a> Lines<'a> {
    /// How this text ends its lines, told by the first.
    pub(super) fn line_break(&self) -> &'static str {
        match self.text.find('\n') {
            Some(at) if self.text[..at].ends_with('\r') => "\r\n",
            _ => "\n",
        }
    }

    /// The start of the line with `at`.
    pub(super) fn start(&self, at: usize) -> usize {
        self.text[..at].rfind('\n').map_or(0, |newline| newline + 1)
    }

    /// The start of the next line, or the end of the text.
    pub(super) fn next(&self, at: usize) -> usize {
        self.text[at..].find('\n').map_or(self.text.len(), |newline| at + newline + 1)
    }

    /// The line that holds `at`, without its line break.
    pub(super) fn line(&self, at: usize) -> &'a str {
        self.text[self.start(at)..self.next(at)].trim_end_matches(['\n', '\r'])
    }

    /// The text before `at` on its line.
    pub(super) fn before(&self, at: usize) -> &'a str {
        &self.text[self.start(at)..at]
    }

    /// The number of characters before `at` on its line.
    pub(super) fn column(&self, at: usize) -> usize {
        self.before(at).chars().count()
    }

    /// Whether the line that starts at `start` is blank; there is no line at the very end.
    pub(super) fn is_blank(&self, start: usize) -> bool {
        start < self.text.len() && self.line(start).trim().is_empty()
    }

    /// The column of the comment on the line that starts at `start`, if the line has nothing else.
    pub(super) fn lone_comment(&self, start: usize) -> Option<usize> {
        let comment = self.comments_in(start..self.next(start)).first()?;
        self.before(comment.start).trim().is_empty().then(|| self.column(comment.start))
    }

    /// The start of the line above the one that starts at `start`.
    pub(super) fn above(&self, start: usize) -> Option<usize> {
        start.checked_sub(1).map(|newline| self.start(newline))
    }

    /// The start of the blank lines directly above the line that starts at `start`.
    pub(super) fn blanks_above(&self, mut start: usize) -> usize {
        while let Some(above) = self.above(start).filter(|above| self.is_blank(*above)) {
            start = above;
        }
        start
    }

    /// The end of the blank lines that begin at `start`.
    pub(super) fn blanks_below(&self, mut start: usize) -> usize {
        while self.is_blank(start) {
            start = self.next(start);
        }
        start
    }

    /// Whether a comment begins within these bytes.
    pub(super) fn has_comment(&self, span: Range<usize>) -> bool {
        !self.comments_in(span).is_empty()
    }

    /// The first `wanted` within these bytes that is not part of a comment.
    pub(super) fn find(&self, wanted: char, span: Range<usize>) -> Option<usize> {
        let comments = self.comments_in(span.clone());
        let mut found = self.text[span.clone()].match_indices(wanted).map(|(at, _)| span.start + at);
        found.find(|at| !comments.iter().any(|comment| comment.contains(at)))
    }

    /// Whether only blanks, and perhaps a comment, follow `at` on its line.
    pub(super) fn ends_at(&self, at: usize) -> bool {
        let line = at..self.next(at);
        let end = self.comments_in(line.clone()).first().map_or(line.end, |comment| comment.start);
        self.text[at..end].trim().is_empty()
    }

    /// The comments that begin within these bytes.
    fn comments_in(&self, span: Range<usize>) -> &'a [Range<usize>] {
        let first = self.comments.partition_point(|comment| comment.start < span.start);
        let count = self.comments[first..].partition_point(|comment| comment.start < span.end);
        &self.comments[first..first + count]
    }
}
