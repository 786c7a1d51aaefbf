//! `bake graph`: the way from upstream to the VM.

use std::path::Path;

use super::console::Console;
use super::load::{self, LoadedLock};
use super::{Done, Failure};
use crate::cli::GraphFormat;
use crate::picture::Graph;
use crate::plan::{Plan, VmImage};
use crate::render;

pub(super) fn run(
    dir: &Path,
    format: GraphFormat,
    json: bool,
    console: &mut Console,
) -> Result<Done, Failure> {
    let (project, LoadedLock { lock, digest, .. }) = load::fitting(dir, console)?;
    let plan = Plan::new(&project, &lock, digest);
    // Without the finished image there is no bundle yet.
    let user_data = match plan.image {
        VmImage::NotPushed(_) => None,
        VmImage::Built | VmImage::Finished(_) => {
            let (bundle, _) = render::render(&plan)?;
            bundle.get(render::USER_DATA).map(render::RenderedFile::digest)
        }
    };
    let graph = Graph::new(&project, &plan, user_data);
    if json {
        console.json(&graph)?;
    } else {
        console.result(&match format {
            GraphFormat::Mermaid => graph.to_mermaid(),
            GraphFormat::Svg => graph.to_svg(),
        })?;
    }
    Ok(Done::Clean)
}
