//! Pictures as text: the graph of a project, and a boot as a timeline.

mod graph;
mod svg;
mod timeline;

pub use graph::{Graph, GraphColumn, GraphEdge, GraphNode};
pub use timeline::{Lane, LogError, StageSpan, read_log, timeline};
