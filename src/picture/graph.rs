//! The way of every byte from upstream to the VM: Mermaid or SVG.

use std::fmt::Write;

use serde::Serialize;

use super::svg::{Anchor, Svg};
use crate::digest::Sha256;
use crate::lock::trust::Trust;
use crate::lock::{Evidence, Lock};
use crate::plan::{Plan, VmImage};
use crate::project::Project;
use crate::project::spec::ImageOrigin;
use crate::text::sanitize;

const SHORT: usize = 12;
const MARGIN: u64 = 24;
const WIDTH: u64 = 264;
const GAP: u64 = 64;
const LINE: u64 = 18;
/// From one box to the next one below.
const SPACE: u64 = 16;
const TOP: u64 = 56;
/// Characters that fit into a box: of its title, and of a smaller line.
const LONGEST_TITLE: usize = 28;
const LONGEST_LINE: usize = 36;

/// Columns from left to right, and the edges between their nodes.
#[derive(Serialize)]
pub struct Graph {
    pub version: u32,
    pub columns: Vec<GraphColumn>,
    pub edges: Vec<GraphEdge>,
}

#[derive(Serialize)]
pub struct GraphColumn {
    pub title: &'static str,
    pub nodes: Vec<GraphNode>,
}

#[derive(Serialize)]
pub struct GraphNode {
    pub id: String,
    pub title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Sha256>,
    /// The evidence for the digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

#[derive(Serialize)]
pub struct GraphEdge {
    pub from: String,
    pub to: String,
}

impl GraphNode {
    fn lines(&self) -> Vec<String> {
        let digest = self.digest.map(|digest| format!("sha256:{}", digest.short(SHORT)));
        digest.into_iter().chain(self.trust.map(str::to_owned)).chain(self.notes.iter().cloned()).collect()
    }
}

impl Graph {
    /// The graph of the host's architecture. `user_data` is the digest of that file.
    pub fn new(project: &Project, plan: &Plan<'_>, user_data: Option<Sha256>) -> Self {
        let (lock, spec) = (plan.lock, plan.spec);
        let mut upstream = vec![GraphNode {
            id: "image".to_owned(),
            title: short_name(&lock.image.reference.to_string()),
            digest: None,
            trust: None,
            notes: vec![lock.image.reference.to_string()],
        }];
        let base = lock.image.platforms.get(&spec.host.arch.value).unwrap_or(&lock.image.digest);
        let mut locked = vec![node("image", "base image", *base, &lock.image.evidence)];
        for (name, build) in plan.host_builds() {
            let version = lock.binaries.get(name).and_then(|binary| binary.version.as_ref());
            let version = version.map(|version| format!(" {version}")).unwrap_or_default();
            upstream.push(GraphNode {
                id: name.to_string(),
                title: format!("{name}{version}"),
                digest: None,
                trust: None,
                notes: vec![source(project, lock, name.as_str(), build.url.as_str())],
            });
            locked.push(node(name.as_str(), name.as_str(), build.sha256, &build.evidence));
        }
        let binaries = match locked.len() - 1 {
            1 => "1 binary, verified while building".to_owned(),
            count => format!("{count} binaries, verified while building"),
        };
        let (title, digest, notes) = match &plan.image {
            VmImage::Built => {
                let source = matches!(spec.image.origin, ImageOrigin::Source { .. });
                let title = if source { "built on the VM, with OpenClaw" } else { "built on the VM" };
                (title.to_owned(), None, vec![binaries])
            }
            VmImage::Finished(reference) => {
                let (name, digest) = reference.split_once('@').unwrap_or((reference, ""));
                (short_name(name), Sha256::from_oci(digest).ok(), vec![name.to_owned(), binaries])
            }
            VmImage::NotPushed(_) => ("not pushed yet".to_owned(), None, vec!["bake image push".to_owned()]),
        };
        let image = GraphNode { id: "gateway".to_owned(), title, digest, trust: None, notes };
        let vm = GraphNode {
            id: "vm".to_owned(),
            title: spec.name.to_string(),
            digest: None,
            trust: None,
            notes: Vec::new(),
        };
        let vm = GraphNode {
            notes: user_data
                .map(|digest| format!("user-data {}", digest.short(SHORT)))
                .into_iter()
                .chain([
                    format!("lock {}", plan.lock_digest.short(SHORT)),
                    format!("{}, {}", spec.gcp.machine_type.value, spec.gcp.zone.value),
                    format!("{}, {}", spec.host.os.as_str(), spec.host.arch.value),
                ])
                .collect(),
            ..vm
        };
        let mut edges = Vec::new();
        for node in &locked {
            edges.push(GraphEdge { from: format!("upstream-{}", node.id), to: format!("lock-{}", node.id) });
            edges.push(GraphEdge { from: format!("lock-{}", node.id), to: "image-gateway".to_owned() });
        }
        edges.push(GraphEdge { from: "image-gateway".to_owned(), to: "vm-vm".to_owned() });
        let column = |title: &'static str, prefix: &str, mut nodes: Vec<GraphNode>| {
            for node in &mut nodes {
                node.id = format!("{prefix}-{}", node.id);
            }
            GraphColumn { title, nodes }
        };
        let columns = vec![
            column("Upstream", "upstream", upstream),
            column("Lock", "lock", locked),
            column("Image", "image", vec![image]),
            column("VM", "vm", vec![vm]),
        ];
        Self { version: 1, columns, edges }
    }

    /// A Mermaid flowchart.
    pub fn to_mermaid(&self) -> String {
        let mut text = String::from("flowchart LR\n");
        let id = |name: &str| -> String {
            let plain = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' });
            // A word such as `end` has a meaning in Mermaid.
            format!("n_{}", plain.collect::<String>())
        };
        for (number, column) in self.columns.iter().enumerate() {
            let _ = writeln!(text, "  subgraph c{number} [\"{}\"]", entities(column.title));
            for node in &column.nodes {
                let lines = std::iter::once(node.title.clone()).chain(node.lines());
                let lines: Vec<_> = lines.map(|line| entities(&line)).collect();
                let _ = writeln!(text, "    {}[\"{}\"]", id(&node.id), lines.join("<br/>"));
            }
            text.push_str("  end\n");
        }
        for edge in &self.edges {
            let _ = writeln!(text, "  {} --> {}", id(&edge.from), id(&edge.to));
        }
        text
    }

    pub fn to_svg(&self) -> String {
        let columns = self.columns.len() as u64;
        let width = 2 * MARGIN + columns * WIDTH + columns.saturating_sub(1) * GAP;
        let height_of = |node: &GraphNode| (node.lines().len() as u64 + 2) * LINE;
        let rows = self.columns.iter().map(|column| column.nodes.len()).max().unwrap_or(0);
        // Boxes of one row are aligned.
        let row = |index: usize| {
            let nodes = self.columns.iter().filter(|column| column.nodes.len() == rows);
            nodes.filter_map(|column| column.nodes.get(index)).map(height_of).max().unwrap_or(0)
        };
        let single = self.columns.iter().filter(|column| column.nodes.len() == 1);
        let tallest = single.map(|column| height_of(&column.nodes[0])).max().unwrap_or(0);
        let stacked: u64 = (0..rows).map(|index| row(index) + SPACE).sum::<u64>().saturating_sub(SPACE);
        let content = stacked.max(tallest);
        let mut svg = Svg::new(width, TOP + content + MARGIN, "From upstream to the VM");
        let mut boxes = Vec::new();
        for (number, column) in self.columns.iter().enumerate() {
            let x = MARGIN + number as u64 * (WIDTH + GAP);
            svg.text("bake-text bake-strong", [x, TOP - 20], Anchor::Start, LONGEST_TITLE, column.title);
            let is_single = column.nodes.len() == 1 && rows > 1;
            let mut y = TOP;
            for (index, node) in column.nodes.iter().enumerate() {
                let height = if is_single { height_of(node) } else { row(index) };
                let top = if is_single { TOP + (content - height) / 2 } else { y };
                boxes.push((node, [x, top, WIDTH, height]));
                y += row(index) + SPACE;
            }
        }
        for edge in &self.edges {
            let place = |id: &str| boxes.iter().find(|(node, _)| node.id == id).map(|(_, place)| *place);
            if let Some(([x1, y1, width, h1], [x2, y2, _, h2])) = place(&edge.from).zip(place(&edge.to)) {
                svg.curve([x1 + width, y1 + h1 / 2], [x2, y2 + h2 / 2]);
            }
        }
        for (node, place) in boxes {
            let [x, y, ..] = place;
            let tooltip = node.digest.map_or_else(|| node.title.clone(), |digest| digest.oci());
            svg.rect("bake-box", place, &tooltip);
            let x = x + 12;
            svg.text("bake-text bake-strong", [x, y + LINE + 5], Anchor::Start, LONGEST_TITLE, &node.title);
            for (line, y) in node.lines().iter().zip((2_u64..).map(|number| y + number * LINE + 6)) {
                let class = if line.starts_with("sha256:") { "bake-text bake-mono" } else { "bake-note" };
                svg.text(class, [x, y], Anchor::Start, LONGEST_LINE, line);
            }
        }
        svg.finish()
    }
}

/// The last part of a reference.
fn short_name(reference: &str) -> String {
    reference.rsplit('/').next().unwrap_or(reference).to_owned()
}

fn node(id: &str, title: &str, digest: Sha256, evidence: &[Evidence]) -> GraphNode {
    GraphNode {
        id: id.to_owned(),
        title: title.to_owned(),
        digest: Some(digest),
        trust: Some(Trust::of(evidence).as_str()),
        notes: Vec::new(),
    }
}

/// The repository of a tool, or the host of its URL.
fn source(project: &Project, lock: &Lock, name: &str, url: &str) -> String {
    let moved = lock.binaries.iter().find(|(known, _)| known.as_str() == name);
    let moved = moved.and_then(|(_, locked)| locked.moved_to.as_ref());
    let wanted = project.manifest.binaries.iter().find(|binary| binary.name.value.as_str() == name);
    let repo = moved.or_else(|| wanted.and_then(|wanted| wanted.origin.repo()));
    let host = url.split('/').nth(2).unwrap_or(url);
    repo.map_or_else(|| host.to_owned(), ToString::to_string)
}

/// Mermaid reads `#NUMBER;` as that character, and nothing in it as syntax.
fn entities(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || " .,:/@_+-()".contains(c);
    let mut escaped = String::new();
    for c in sanitize(text).chars() {
        if plain(c) {
            escaped.push(c);
        } else {
            let _ = write!(escaped, "#{};", u32::from(c));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::{Graph, GraphColumn, GraphEdge, GraphNode};

    fn graph(title: &str) -> Graph {
        let node = |id: &str, title: &str| GraphNode {
            id: id.to_owned(),
            title: title.to_owned(),
            digest: None,
            trust: None,
            notes: vec![title.to_owned()],
        };
        Graph {
            version: 1,
            columns: vec![
                GraphColumn { title: "A", nodes: vec![node("a", title), node("end", "b")] },
                GraphColumn { title: "B", nodes: vec![node("c", "c")] },
            ],
            edges: vec![
                GraphEdge { from: "a".to_owned(), to: "c".to_owned() },
                GraphEdge { from: "end".to_owned(), to: "c".to_owned() },
            ],
        }
    }

    #[test]
    fn text_from_outside_is_escaped() {
        let graph = graph("<script>\"&'\u{1b}]#59;`");
        let svg = graph.to_svg();
        assert!(!svg.contains("<script>") && !svg.contains('\u{1b}'), "{svg}");
        assert!(svg.contains("&lt;script&gt;&quot;&amp;"), "{svg}");
        let mermaid = graph.to_mermaid();
        assert!(mermaid.contains("n_a[\"#60;script#62;#34;#38;#39;"), "{mermaid}");
        assert!(mermaid.contains("#35;59#59;#96;"), "{mermaid}");
    }

    #[test]
    fn each_edge_joins_two_boxes() {
        let graph = graph("a");
        assert_eq!(graph.to_svg().matches("<path class=\"bake-line\"").count(), 2);
        assert!(graph.to_mermaid().ends_with("  n_a --> n_c\n  n_end --> n_c\n"), "{}", graph.to_mermaid());
    }
}
