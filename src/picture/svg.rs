//! Writes SVG. All text is escaped, and the colours follow the reader's light or dark theme.

use std::fmt::Write;

use crate::text::{excerpt, sanitize};

/// Classes of the elements. The names do not clash if a page embeds the picture.
const STYLE: &str = "\
    .bake-back { fill: #ffffff; }
    .bake-box { fill: #f6f8fa; stroke: #57606a; }
    .bake-bar { fill: #0969da; }
    .bake-failed { fill: #cf222e; }
    .bake-line { fill: none; stroke: #8c959f; }
    .bake-grid { stroke: #d1d9e0; }
    .bake-text { fill: #1f2328; }
    .bake-note { fill: #57606a; font-size: 12px; }
    .bake-strong { font-weight: 600; }
    .bake-mono { font-family: ui-monospace, 'Liberation Mono', monospace; font-size: 12px; }
    @media (prefers-color-scheme: dark) {
      .bake-back { fill: #0d1117; }
      .bake-box { fill: #161b22; stroke: #9198a1; }
      .bake-bar { fill: #4493f8; }
      .bake-failed { fill: #f85149; }
      .bake-line { stroke: #9198a1; }
      .bake-grid { stroke: #3d444d; }
      .bake-text { fill: #f0f6fc; }
      .bake-note { fill: #b1bac4; }
    }
";
const FONT: &str = "system-ui, -apple-system, 'Segoe UI', 'Liberation Sans', sans-serif";

/// The alignment of a text.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A picture of this size in pixels.
pub(super) struct Svg {
    text: String,
}

impl Svg {
    pub(super) fn new(width: u64, height: u64, title: &str) -> Self {
        let title = escape(&sanitize(title));
        let mut text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" role=\"img\" aria-label=\"{title}\" font-family=\"{FONT}\" font-size=\"14\">\n\
             \x20 <title>{title}</title>\n  <style>\n{STYLE}  </style>\n"
        );
        let _ = writeln!(text, "  <rect class=\"bake-back\" width=\"{width}\" height=\"{height}\"/>");
        Self { text }
    }

    /// A rectangle with round corners, and a tooltip if `title` is not empty.
    pub(super) fn rect(&mut self, class: &str, [x, y, width, height]: [u64; 4], title: &str) {
        let _ = write!(
            self.text,
            "  <rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"4\""
        );
        let _ = match title {
            "" => writeln!(self.text, "/>"),
            title => writeln!(self.text, "><title>{}</title></rect>", escape(&sanitize(title))),
        };
    }

    /// One line of text, of at most `longest` characters.
    pub(super) fn text(&mut self, class: &str, [x, y]: [u64; 2], anchor: Anchor, longest: usize, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escape(&excerpt(text, longest));
        let _ = writeln!(
            self.text,
            "  <text class=\"{class}\" x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{text}</text>"
        );
    }

    /// A curve from left to right.
    pub(super) fn curve(&mut self, [x1, y1]: [u64; 2], [x2, y2]: [u64; 2]) {
        let middle = u64::midpoint(x1, x2);
        let _ = writeln!(
            self.text,
            "  <path class=\"bake-line\" d=\"M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}\"/>"
        );
    }

    pub(super) fn vertical(&mut self, x: u64, [from, to]: [u64; 2]) {
        let _ = writeln!(
            self.text,
            "  <line class=\"bake-grid\" x1=\"{x}\" y1=\"{from}\" x2=\"{x}\" y2=\"{to}\"/>"
        );
    }

    pub(super) fn finish(self) -> String {
        self.text + "</svg>\n"
    }
}

/// For the content of elements and of quoted attributes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
    }
    escaped
}
