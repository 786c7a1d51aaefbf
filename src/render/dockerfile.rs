//! `Dockerfile`: the base image by digest, every archive checked before it is used.

use std::collections::BTreeSet;

use serde::Serialize;

use super::escape::ShellCommand;
use super::fill;
use crate::digest::Sha256;
use crate::plan::{Plan, PlannedBase, PlannedTool, ToolBuild};
use crate::project::values::{Arch, ArchiveFormat};

pub(super) const NAME: &str = "Dockerfile";

/// Stages that one stage copies from at most: images end at some 127 layers, and the base image
/// needs its share of them.
const FAN_IN: usize = 40;

#[derive(Serialize)]
struct DockerfileContext<'a> {
    base: &'a str,
    by_digest: bool,
    base_name: String,
    base_digest: String,
    lock: String,
    unpackers: BTreeSet<&'static str>,
    tools: Vec<ToolStages<'a>>,
    gathers: Vec<MergeStage>,
    last: Vec<String>,
    apt: &'a [String],
}

/// The stages that fetch one binary.
#[derive(Serialize)]
struct ToolStages<'a> {
    name: &'a str,
    builds: Vec<BuildStage<'a>>,
    /// Architectures for which nothing is locked.
    lacking: Vec<Arch>,
}

/// The stage of one architecture.
#[derive(Serialize)]
struct BuildStage<'a> {
    arch: Arch,
    from: String,
    sha256: &'a str,
    url: &'a str,
    /// The destination of the download.
    download: String,
    /// Whether the download is the executable.
    chmod: bool,
    commands: Vec<ShellCommand>,
    /// The dynamic loader that the executable needs.
    loader: Option<&'a str>,
}

/// A stage that copies from others.
#[derive(Serialize)]
struct MergeStage {
    stage: String,
    parts: Vec<String>,
}

pub(super) fn render(plan: &Plan<'_>) -> String {
    let (base, base_name, digest) = match &plan.base {
        PlannedBase::Pinned { reference, digest } => {
            (reference, plan.lock.image.reference.to_string(), Some(digest))
        }
        PlannedBase::Local(tag) => (tag, tag.clone(), None),
    };
    let formats = plan.tools.iter().flat_map(|tool| &tool.builds).map(|build| build.format);
    let (gathers, last) = gather(plan.tools.iter().map(|tool| format!("tool-{}", tool.name)).collect());
    fill(
        NAME,
        include_str!("../../images/Dockerfile.j2"),
        &DockerfileContext {
            base,
            by_digest: digest.is_some(),
            base_name,
            base_digest: digest.map(Sha256::oci).unwrap_or_default(),
            lock: plan.lock_digest.to_string(),
            unpackers: formats.filter_map(unpacker).collect(),
            tools: plan.tools.iter().map(stages).collect(),
            gathers,
            last,
            apt: &plan.apt,
        },
    )
}

fn stages(tool: &PlannedTool) -> ToolStages<'_> {
    let built = |arch: &Arch| tool.builds.iter().any(|build| build.arch == *arch);
    ToolStages {
        name: &tool.name,
        builds: tool.builds.iter().map(|build| stage(tool, build)).collect(),
        lacking: Arch::ALL.into_iter().filter(|arch| !built(arch)).collect(),
    }
}

fn stage<'a>(tool: &PlannedTool, build: &'a ToolBuild) -> BuildStage<'a> {
    let installed = format!("/out/bin/{}", tool.name);
    let bare = build.format == ArchiveFormat::Bare;
    let download = if bare { installed.clone() } else { format!("{}{}", tool.name, build.format.ending()) };
    let mut commands = if tool.keep_siblings {
        unpack_whole(tool, build, &download, &installed)
    } else {
        unpack_one(tool, build, &download, &installed)
    };
    // A download that is the executable was checked already.
    if let Some(digest) = build.binary_sha256.as_ref().filter(|digest| **digest != build.sha256) {
        commands.push(ShellCommand::new(["echo", &format!("{digest}  {installed}")]).into_file("sums"));
        commands.push(ShellCommand::new(["sha256sum", "-c", "sums"]));
    }
    BuildStage {
        arch: build.arch,
        from: unpacker(build.format).map_or_else(|| "fetch".to_owned(), |package| format!("fetch-{package}")),
        sha256: &build.sha256,
        url: &build.url,
        download,
        chmod: bare,
        commands,
        loader: build.loader.as_deref(),
    }
}

/// Extracts the executable alone from the download.
fn unpack_one(tool: &PlannedTool, build: &ToolBuild, download: &str, installed: &str) -> Vec<ShellCommand> {
    let install = |file: &str| ShellCommand::new(["install", "-D"]).operand(file).operand(installed);
    match build.format {
        ArchiveFormat::Bare => Vec::new(),
        ArchiveFormat::Gz => vec![ShellCommand::new(["gunzip", download]), install(&tool.name)],
        ArchiveFormat::Bz2 => vec![ShellCommand::new(["bunzip2", download]), install(&tool.name)],
        ArchiveFormat::Xz => vec![ShellCommand::new(["unxz", download]), install(&tool.name)],
        ArchiveFormat::Zst => vec![ShellCommand::new(["unzstd", download]), install(&tool.name)],
        // In every locale, `-p` finds a name that is not ASCII.
        ArchiveFormat::Zip => vec![
            ShellCommand::new(["unzip", "-p", download, &zip_pattern(&build.path)]).into_file(&tool.name),
            install(&tool.name),
        ],
        // An archive may hold `./PATH` in place of `PATH`.
        ArchiveFormat::TarGz
        | ArchiveFormat::TarXz
        | ArchiveFormat::TarBz2
        | ArchiveFormat::TarZst
        | ArchiveFormat::Tar => vec![
            ShellCommand::new(["tar", "-xf", download, "--no-anchored"]).operand(&build.path),
            install(&build.path),
        ],
    }
}

/// Unpacks the whole archive, and links the executable.
fn unpack_whole(tool: &PlannedTool, build: &ToolBuild, download: &str, installed: &str) -> Vec<ShellCommand> {
    let folder = format!("/out/lib/{}", tool.name);
    vec![
        ShellCommand::new(["mkdir", "-p", "/out/bin", &folder]),
        match build.format {
            ArchiveFormat::Zip => ShellCommand::new(["unzip", "-q", download, "-d", &folder]),
            _ => ShellCommand::new(["tar", "-xf", download, "-C", &folder, "--no-same-owner"]),
        },
        // The gateway's user reads these files, with any umask of the publisher.
        ShellCommand::new(["chmod", "-R", "u=rwX,go=rX", &folder]),
        ShellCommand::new(["ln", "-s", &format!("../lib/{}/{}", tool.name, build.path), installed]),
        ShellCommand::new(["chmod", "0755", installed]),
    ]
}

/// The Debian package that unpacks a format that no minimal image can.
const fn unpacker(format: ArchiveFormat) -> Option<&'static str> {
    match format {
        ArchiveFormat::TarXz | ArchiveFormat::Xz => Some("xz-utils"),
        ArchiveFormat::TarBz2 | ArchiveFormat::Bz2 => Some("bzip2"),
        ArchiveFormat::TarZst | ArchiveFormat::Zst => Some("zstd"),
        ArchiveFormat::Zip => Some("unzip"),
        ArchiveFormat::TarGz | ArchiveFormat::Tar | ArchiveFormat::Gz | ArchiveFormat::Bare => None,
    }
}

/// To unzip a name is a pattern, or an option.
fn zip_pattern(path: &str) -> String {
    let mut pattern = String::new();
    for (index, c) in path.chars().enumerate() {
        if matches!(c, '[' | '*' | '?') || (index == 0 && c == '-') {
            pattern.extend(['[', c, ']']);
        } else {
            pattern.push(c);
        }
    }
    pattern
}

fn gather(mut stages: Vec<String>) -> (Vec<MergeStage>, Vec<String>) {
    let mut gathers = Vec::new();
    while stages.len() > FAN_IN {
        let level = gathers.len();
        let new = stages.chunks(FAN_IN).enumerate();
        gathers.extend(new.map(|(i, parts)| MergeStage {
            stage: format!("gather-{}", level + i + 1),
            parts: parts.to_vec(),
        }));
        stages = gathers[level..].iter().map(|gather| gather.stage.clone()).collect();
    }
    (gathers, stages)
}

#[cfg(test)]
mod tests {
    use super::{FAN_IN, gather, zip_pattern};

    #[test]
    fn no_stage_copies_from_more_than_the_fan_in() {
        let (gathers, last) = gather((0..10_000).map(|i| i.to_string()).collect());
        assert!(last.len() <= FAN_IN);
        assert!(gathers.iter().all(|gather| gather.parts.len() <= FAN_IN));
        let copied: usize = gathers.iter().map(|gather| gather.parts.len()).sum::<usize>() + last.len();
        assert_eq!(copied, 10_000 + gathers.len());
        assert!(gather(vec!["a".to_owned()]).0.is_empty());
    }

    #[test]
    fn a_pattern_of_unzip_means_one_name() {
        assert_eq!(zip_pattern("-a-b [1]*?"), "[-]a-b [[]1][*][?]");
    }
}
