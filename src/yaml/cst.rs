//! The concrete syntax tree of a YAML document, for edits of its text.
//!
//! [`Node`](super::Node) holds the meaning: aliases are resolved, brackets and comments are lost. This
//! tree, built from parser events, keeps which collections use brackets, where each value ends, anchors,
//! tags and comments. This is the only file that uses the parser underneath the YAML crate, which does not
//! expose events.

use granit_parser::{Event, Parser, ScanError, StrInput, StructureStyle};

use super::DEEPEST;
use crate::diagnostics::{Source, Span};

#[derive(Debug)]
pub struct Cst {
    pub root: Element,
    /// From `#` to the end of the line, in document order.
    pub comments: Vec<Span>,
}

#[derive(Debug)]
pub struct Element {
    /// Excludes a preceding anchor or tag and trailing blanks, comments and line breaks. Empty for an
    /// implicit null.
    pub span: Span,
    pub form: Form,
    /// Whether it has its own anchor or tag.
    pub marked: bool,
}

#[derive(Debug)]
pub enum Form {
    /// Plain, quoted or block.
    Scalar,
    /// `*name`.
    Alias,
    List {
        /// Whether it is written in brackets.
        flow: bool,
        items: Vec<Element>,
    },
    Map {
        /// Whether it is written in braces.
        flow: bool,
        entries: Vec<(Element, Element)>,
    },
}

impl Element {
    /// Whether it contains an anchor, an alias or a tag.
    pub fn is_marked(&self) -> bool {
        self.marked
            || match &self.form {
                Form::Scalar => false,
                Form::Alias => true,
                Form::List { items, .. } => items.iter().any(Self::is_marked),
                Form::Map { entries, .. } => {
                    entries.iter().any(|(key, value)| key.is_marked() || value.is_marked())
                }
            }
    }

    /// Spans of scalar text, in which `#` does not start a comment.
    fn texts<'a>(&'a self, found: &mut Vec<&'a Span>) {
        match &self.form {
            Form::Scalar | Form::Alias => found.push(&self.span),
            Form::List { items, .. } => items.iter().for_each(|item| item.texts(found)),
            Form::Map { entries, .. } => {
                for (key, value) in entries {
                    key.texts(found);
                    value.texts(found);
                }
            }
        }
    }
}

/// `None` if [`super::parse`] would fail too, or for several documents.
pub fn parse(source: &Source) -> Option<Cst> {
    let text = source.text();
    let options = granit_parser::options! {
        flow_nesting_limit: DEEPEST,
        block_nesting_limit: DEEPEST,
    };
    let mut events = Events { parser: Parser::new_from_str_with_options(text, options), text };
    let root = events.document().ok().flatten()?;
    let mut texts = Vec::new();
    root.texts(&mut texts);
    let comments = comments(text, &texts);
    Some(Cst { root, comments })
}

struct Events<'a> {
    parser: Parser<'a, StrInput<'a>>,
    text: &'a str,
}

impl Events<'_> {
    fn document(&mut self) -> Result<Option<Element>, ScanError> {
        let mut root = None;
        while let Some(next) = self.parser.next_event() {
            let (event, span) = next?;
            if event.is_node() {
                if root.is_some() {
                    return Ok(None);
                }
                root = Some(self.element(&event, span.byte_range().unwrap_or_default())?);
            }
        }
        Ok(root)
    }

    /// Parses the value that starts with `event`.
    fn element(&mut self, event: &Event<'_>, span: Span) -> Result<Element, ScanError> {
        let marked = event.anchor_id().is_some() || event.tag().is_some();
        let (form, span) = match event {
            Event::SequenceStart(style, ..) => {
                let flow = *style == StructureStyle::Flow;
                let (items, span) = self.children(flow, &span)?;
                (Form::List { flow, items }, span)
            }
            Event::MappingStart(style, ..) => {
                let flow = *style == StructureStyle::Flow;
                let (children, span) = self.children(flow, &span)?;
                let mut children = children.into_iter();
                let entries = std::iter::from_fn(|| Some((children.next()?, children.next()?))).collect();
                (Form::Map { flow, entries }, span)
            }
            Event::Scalar(..) => (Form::Scalar, self.trimmed(span)),
            _ => (Form::Alias, span),
        };
        Ok(Element { span, form, marked })
    }

    /// Parses the children of the collection that starts at `start`; returns the span of the whole.
    fn children(&mut self, flow: bool, start: &Span) -> Result<(Vec<Element>, Span), ScanError> {
        let mut children = Vec::new();
        let mut end = start.end;
        while let Some(next) = self.parser.next_event() {
            let (event, span) = next?;
            let span = span.byte_range().unwrap_or_default();
            if event.is_node() {
                children.push(self.element(&event, span)?);
            } else {
                end = span.end;
                break;
            }
        }
        // For a block collection the parser reports the end only at the next token.
        let written = children.iter().filter(|child| !child.span.is_empty());
        let bounds = written.fold(None, |bounds: Option<Span>, child| {
            Some(bounds.map_or(child.span.start, |bounds| bounds.start)..child.span.end)
        });
        let span = if flow { start.start..end } else { bounds.unwrap_or(start.start..start.start) };
        Ok((children, span))
    }

    /// `span` without trailing line breaks of a block scalar.
    fn trimmed(&self, span: Span) -> Span {
        let length = self.text.get(span.clone()).map_or(0, |text| text.trim_end().len());
        span.start..span.start + length
    }
}

/// Comments of `text` outside `texts`: `#` after a blank or at the start of a line (YAML 1.2.2, 6.6).
fn comments(text: &str, texts: &[&Span]) -> Vec<Span> {
    let mut found = Vec::new();
    let mut at = 0;
    let mut texts = texts.iter().filter(|span| !span.is_empty()).peekable();
    while at < text.len() {
        if let Some(skipped) = texts.next_if(|span| span.start <= at) {
            at = at.max(skipped.end);
            continue;
        }
        let until = texts.peek().map_or(text.len(), |span| span.start);
        let gap = text.get(at..until).unwrap_or_default();
        let begins = |hash: usize| {
            text[..at + hash]
                .chars()
                .next_back()
                .is_none_or(|before| before.is_whitespace() || before == '\u{feff}')
        };
        match gap.match_indices('#').map(|(hash, _)| hash).find(|hash| begins(*hash)) {
            Some(hash) => {
                let rest = &text[at + hash..];
                let length = rest.find(['\n', '\r']).unwrap_or(rest.len());
                found.push(at + hash..at + hash + length);
                at += hash + length;
            }
            None => at = until,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    /// One line for each element, with `!` if it has an anchor or a tag.
    fn told(text: &str, element: &Element, depth: usize, into: &mut String) {
        let mark = if element.marked { "!" } else { "" };
        let kind = match &element.form {
            Form::Scalar => "scalar",
            Form::Alias => "alias",
            Form::List { flow: false, .. } => "list",
            Form::List { flow: true, .. } => "[list]",
            Form::Map { flow: false, .. } => "map",
            Form::Map { flow: true, .. } => "{map}",
        };
        let _ = writeln!(into, "{}{mark}{kind} {:?}", "  ".repeat(depth), &text[element.span.clone()]);
        match &element.form {
            Form::Scalar | Form::Alias => {}
            Form::List { items, .. } => items.iter().for_each(|item| told(text, item, depth + 1, into)),
            Form::Map { entries, .. } => entries.iter().for_each(|(key, value)| {
                told(text, key, depth + 1, into);
                told(text, value, depth + 1, into);
            }),
        }
    }

    /// Text, expected elements, expected comments.
    const LAID_OUT: &[(&str, &str, &[&str])] = &[
        (
            "# one\na: # two\n  - b#c # three\n  - 'd # no'\n\n# four\n",
            r#"map "a: # two\n  - b#c # three\n  - 'd # no'"
  scalar "a"
  list "b#c # three\n  - 'd # no'"
    scalar "b#c"
    scalar "'d # no'"
"#,
            &["# one", "# two", "# three", "# four"],
        ),
        (
            "\u{feff}a: [b, {c: d},] # x\nz: >+ # y\n  text # no\n\n\n# c\ne: &f !!str \"g\\n  h\" \nf: *f\nn:\n",
            r#"map "a: [b, {c: d},] # x\nz: >+ # y\n  text # no\n\n\n# c\ne: &f !!str \"g\\n  h\" \nf: *f\nn"
  scalar "a"
  [list] "[b, {c: d},]"
    scalar "b"
    {map} "{c: d}"
      scalar "c"
      scalar "d"
  scalar "z"
  scalar "text # no"
  scalar "e"
  !scalar "\"g\\n  h\""
  scalar "f"
  alias "*f"
  scalar "n"
  scalar ""
"#,
            &["# x", "# y", "# c"],
        ),
        (
            "---\r\nö:\r\n- # r\r\n  ü: |-\r\n    t\r\n  # s\r\n- {\r\n  x: 1 # q\r\n }\r\n...\r\n",
            r#"map "ö:\r\n- # r\r\n  ü: |-\r\n    t\r\n  # s\r\n- {\r\n  x: 1 # q\r\n }"
  scalar "ö"
  list "ü: |-\r\n    t\r\n  # s\r\n- {\r\n  x: 1 # q\r\n }"
    map "ü: |-\r\n    t"
      scalar "ü"
      scalar "t"
    {map} "{\r\n  x: 1 # q\r\n }"
      scalar "x"
      scalar "1"
"#,
            &["# r", "# s", "# q"],
        ),
    ];

    #[test]
    fn every_element_has_its_exact_span() {
        for (text, expected, comments) in LAID_OUT {
            let layout = parse(&Source::new("x", *text)).unwrap_or_else(|| panic!("{text}"));
            let mut found = String::new();
            told(text, &layout.root, 0, &mut found);
            assert_eq!(found, *expected, "{text}");
            let found: Vec<_> = layout.comments.iter().map(|span| &text[span.clone()]).collect();
            assert_eq!(found, *comments, "{text}");
        }
    }

    #[test]
    fn only_a_single_document_is_parsed() {
        for text in ["", "a: [", "a: 1\n---\nb: 2\n", "a: *b\n"] {
            assert!(parse(&Source::new("x", text)).is_none(), "{text}");
        }
        let deep = format!("{}{}", "[".repeat(DEEPEST + 1), "]".repeat(DEEPEST + 1));
        assert!(parse(&Source::new("x", deep)).is_none());
    }
}
