//! `Dockerfile`: the base image by digest, every archive checked before it is used.

use std::collections::BTreeSet;

use serde::Serialize;

use super::escape::Command;
use super::fill;
use crate::digest::Sha256;
use crate::plan::{Base, Plan, Tool, ToolBuild};
use crate::project::values::{Arch, Packing};

pub(super) const NAME: &str = "Dockerfile";

/// Stages that one stage copies from at most: images end at some 127 layers, and the base image
/// needs its share of them.
const FAN_IN: usize = 40;

#[derive(Serialize)]
struct Context<'a> {
    base: &'a str,
    by_digest: bool,
    base_name: String,
    base_digest: String,
    lock: String,
    unpackers: BTreeSet<&'static str>,
    tools: Vec<ToolStages<'a>>,
    gathers: Vec<Gather>,
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
    /// Where the download goes.
    download: String,
    /// Whether the download is the executable.
    chmod: bool,
    commands: Vec<Command>,
}

/// A stage that copies from others.
#[derive(Serialize)]
struct Gather {
    stage: String,
    parts: Vec<String>,
}

pub(super) fn render(plan: &Plan<'_>) -> String {
    let (base, base_name, digest) = match &plan.base {
        Base::Pinned { reference, digest } => {
            (reference, plan.lock.image.reference.to_string(), Some(digest))
        }
        Base::Local(tag) => (tag, tag.clone(), None),
    };
    let formats = plan.tools.iter().flat_map(|tool| &tool.builds).map(|build| build.format);
    let (gathers, last) = gather(plan.tools.iter().map(|tool| format!("tool-{}", tool.name)).collect());
    fill(
        NAME,
        include_str!("../../images/Dockerfile.j2"),
        &Context {
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

fn stages(tool: &Tool) -> ToolStages<'_> {
    let built = |arch: &Arch| tool.builds.iter().any(|build| build.arch == *arch);
    ToolStages {
        name: &tool.name,
        builds: tool.builds.iter().map(|build| stage(tool, build)).collect(),
        lacking: Arch::ALL.into_iter().filter(|arch| !built(arch)).collect(),
    }
}

fn stage<'a>(tool: &Tool, build: &'a ToolBuild) -> BuildStage<'a> {
    let installed = format!("/out/bin/{}", tool.name);
    let bare = build.format == Packing::Bare;
    let download = if bare { installed.clone() } else { format!("{}{}", tool.name, build.format.ending()) };
    let mut commands = if tool.beside {
        unpack_whole(tool, build, &download, &installed)
    } else {
        unpack_one(tool, build, &download, &installed)
    };
    // A download that is the executable was checked already.
    if let Some(digest) = build.binary_sha256.as_ref().filter(|digest| **digest != build.sha256) {
        commands.push(Command::new(["echo", &format!("{digest}  {installed}")]).into_file("sums"));
        commands.push(Command::new(["sha256sum", "-c", "sums"]));
    }
    BuildStage {
        arch: build.arch,
        from: unpacker(build.format).map_or_else(|| "fetch".to_owned(), |package| format!("fetch-{package}")),
        sha256: &build.sha256,
        url: &build.url,
        download,
        chmod: bare,
        commands,
    }
}

/// Takes the executable out of what was downloaded, and nothing else.
fn unpack_one(tool: &Tool, build: &ToolBuild, download: &str, installed: &str) -> Vec<Command> {
    let install = |file: &str| Command::new(["install", "-D"]).operand(file).operand(installed);
    match build.format {
        Packing::Bare => Vec::new(),
        Packing::Gz => vec![Command::new(["gunzip", download]), install(&tool.name)],
        // Whatever the locale, `-p` finds a name that is not ASCII.
        Packing::Zip => vec![
            Command::new(["unzip", "-p", download, &zip_pattern(&build.path)]).into_file(&tool.name),
            install(&tool.name),
        ],
        // An archive may hold `./PATH` in place of `PATH`.
        Packing::TarGz | Packing::TarXz | Packing::TarBz2 | Packing::TarZst | Packing::Tar => vec![
            Command::new(["tar", "-xf", download, "--no-anchored"]).operand(&build.path),
            install(&build.path),
        ],
    }
}

/// Unpacks the whole archive, and links the executable.
fn unpack_whole(tool: &Tool, build: &ToolBuild, download: &str, installed: &str) -> Vec<Command> {
    let folder = format!("/out/lib/{}", tool.name);
    vec![
        Command::new(["mkdir", "-p", "/out/bin", &folder]),
        match build.format {
            Packing::Zip => Command::new(["unzip", "-q", download, "-d", &folder]),
            _ => Command::new(["tar", "-xf", download, "-C", &folder, "--no-same-owner"]),
        },
        // The gateway's user reads these files, whatever the publisher's umask was.
        Command::new(["chmod", "-R", "u=rwX,go=rX", &folder]),
        Command::new(["ln", "-s", &format!("../lib/{}/{}", tool.name, build.path), installed]),
        Command::new(["chmod", "0755", installed]),
    ]
}

/// The Debian package that unpacks a format that no minimal image can.
const fn unpacker(format: Packing) -> Option<&'static str> {
    match format {
        Packing::TarXz => Some("xz-utils"),
        Packing::TarBz2 => Some("bzip2"),
        Packing::TarZst => Some("zstd"),
        Packing::Zip => Some("unzip"),
        Packing::TarGz | Packing::Tar | Packing::Gz | Packing::Bare => None,
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

fn gather(mut stages: Vec<String>) -> (Vec<Gather>, Vec<String>) {
    let mut gathers = Vec::new();
    while stages.len() > FAN_IN {
        let level = gathers.len();
        let new = stages.chunks(FAN_IN).enumerate();
        gathers.extend(
            new.map(|(i, parts)| Gather {
                stage: format!("gather-{}", level + i + 1),
                parts: parts.to_vec(),
            }),
        );
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
