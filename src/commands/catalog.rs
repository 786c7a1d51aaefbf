//! `bake catalog`: the tools known by name.

use std::fmt::Write;

use serde::Serialize;

use super::console::Console;
use super::{Done, Failure};
use crate::project::catalog::{Catalog, CatalogTool};
use crate::project::names::SkillName;

#[derive(Serialize)]
struct CatalogJson<'a> {
    version: u32,
    tools: Vec<CatalogRow<'a>>,
}

#[derive(Serialize)]
struct CatalogRow<'a> {
    name: &'a str,
    version: &'a str,
    description: &'a str,
    repo: String,
    architectures: Vec<&'static str>,
    skills: Vec<&'a str>,
}

pub(super) fn run(json: bool, console: &mut Console) -> Result<Done, Failure> {
    let tools: Vec<_> = Catalog::builtin().tools().iter().map(entry).collect();
    if json {
        console.json(&CatalogJson { version: 1, tools })?;
    } else {
        console.result(&table(&tools))?;
    }
    Ok(Done::Clean)
}

fn entry(tool: &CatalogTool) -> CatalogRow<'_> {
    CatalogRow {
        name: tool.name.as_str(),
        version: tool.version.as_str(),
        description: &tool.description,
        repo: tool.repo.to_string(),
        architectures: tool.builds.iter().map(|(arch, _)| arch.as_str()).collect(),
        skills: tool.skills.iter().map(SkillName::as_str).collect(),
    }
}

fn table(tools: &[CatalogRow<'_>]) -> String {
    let mut text =
        format!("{:<12} {:<9} {:<12} {:<16} {}\n", "NAME", "VERSION", "ARCH", "SKILLS", "WHAT IT IS");
    for tool in tools {
        let (arch, skills) = (tool.architectures.join(","), tool.skills.join(","));
        let skills = if skills.is_empty() { "-" } else { &skills };
        let _ = writeln!(
            text,
            "{:<12} {:<9} {arch:<12} {skills:<16} {}",
            tool.name, tool.version, tool.description
        );
    }
    text
}
