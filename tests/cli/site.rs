//! The documentation as a site: its pages, its links, and the commands in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Command;
use regex_lite::Regex;

use crate::support::testbed::tool;
use crate::support::{Folder, said, test};

/// For contributors, and on no page of the site.
const NOT_ON_THE_SITE: [&str; 2] = ["STYLE.md", "SUMMARY.md"];

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

/// Files below `folder` with this extension, by their path in it.
fn files(folder: &Path, end: &str) -> BTreeMap<String, String> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|known| known == end) {
                let name = path.strip_prefix(folder).expect("below it").display().to_string();
                found.insert(name, fs::read_to_string(&path).expect("text"));
            }
        }
    }
    found
}

#[test]
fn every_page_is_in_the_summary() {
    let summary = fs::read_to_string(docs().join("SUMMARY.md")).expect("a summary");
    let listed: BTreeSet<_> =
        summary.split("](").skip(1).filter_map(|rest| rest.split(')').next()).map(str::to_owned).collect();
    let pages = files(&docs(), "md").into_keys().filter(|name| !NOT_ON_THE_SITE.contains(&name.as_str()));
    assert_eq!(listed, pages.collect());
}

/// Builds the site, and follows every link and anchor in its pages.
#[test]
fn every_link_and_anchor_of_the_site_exists() {
    let folder = Folder::empty();
    let mut mdbook = tool("mdbook");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    said(mdbook.arg("build").arg(root).arg("--dest-dir").arg(folder.join("site"))).done();
    let site = folder.join("site");
    let pages = files(&site, "html");
    let ids = Regex::new(r#"\sid="([^"]*)""#).expect("a pattern");
    let links = Regex::new(r#"\s(?:href|src)="([^"]*)""#).expect("a pattern");
    let anchors: BTreeMap<_, BTreeSet<_>> = pages
        .iter()
        .map(|(name, text)| (name.clone(), ids.captures_iter(text).map(|id| id[1].to_owned()).collect()))
        .collect();
    let mut seen = 0;
    for (name, text) in pages.iter().filter(|(name, _)| !["404.html", "toc.html"].contains(&name.as_str())) {
        let content = text.split("<main>").nth(1).and_then(|rest| rest.split("</main>").next());
        for link in links.captures_iter(content.unwrap_or_default()) {
            let link = &link[1];
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            seen += 1;
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() {
                name.clone()
            } else {
                let base = site.join(name);
                let target = base.parent().expect("a folder").join(path);
                let target =
                    target.canonicalize().unwrap_or_else(|_| panic!("{name}: {link} does not exist"));
                let site = site.canonicalize().expect("a folder");
                target.strip_prefix(&site).unwrap_or_else(|_| panic!("{name}: {link}")).display().to_string()
            };
            let known = anchors.get(&target).is_some_and(|ids| ids.contains(anchor));
            assert!(anchor.is_empty() || known, "{name}: {link}: no such anchor");
        }
    }
    assert!(seen > 100, "{seen} links");
    assert!(site.join("cli.html").exists() && site.join("images/how-it-works.svg").exists());
}

/// Commands that need a network, QEMU or an image: their arguments are parsed, and other tests run them.
const PARSED: [&str; 7] = ["add", "audit", "fetch", "image", "lock", "outdated", "rehearse"];

/// Pages about a project of `examples/`; the others are about the default one.
const EXAMPLES: [(&str, &str); 3] =
    [("fleet.md", "fleet"), ("private-vm.md", "private"), ("telegram.md", "telegram")];

/// The rendered project that a page is about.
fn project(page: &str) -> Folder {
    let Some((_, name)) = EXAMPLES.iter().find(|(name, _)| *name == page) else {
        let folder = Folder::project();
        folder.bake(["render"]).done();
        return folder;
    };
    let (folder, example) =
        (Folder::empty(), Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name));
    for file in ["bake.yaml", "images/binaries.yaml"] {
        folder.write(file, fs::read(example.join(file)).expect("a file"));
    }
    folder.bake(["lock", "--offline"]).done();
    folder.bake(["render"]).done();
    folder
}

/// The commands in the `sh` blocks, without comments. Those of `sh vm` run on the VM, where there is no bake.
fn commands() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = files(&docs(), "md");
    pages.insert("../README.md".to_owned(), fs::read_to_string(root.join("README.md")).expect("a file"));
    for (name, text) in pages {
        let mut language = None;
        for line in text.lines() {
            match (line.trim().strip_prefix("```"), language) {
                (Some(""), Some(_)) => language = None,
                (Some(begin), None) => {
                    assert!(!begin.is_empty(), "{name}: a block without a language");
                    language = Some(if matches!(begin, "sh" | "sh vm") { begin } else { "" });
                }
                (None, Some(language @ ("sh" | "sh vm"))) => {
                    let command = line.split(" #").next().unwrap_or_default().trim().trim_start_matches("$ ");
                    assert!(
                        language == "sh" || !command.contains("bake "),
                        "{name}: {command}: not on the VM"
                    );
                    if !command.is_empty() && !command.starts_with('#') {
                        found.push((name.clone(), command.to_owned()));
                    }
                }
                _ => {}
            }
        }
    }
    found
}

#[test]
fn every_command_of_the_documentation_works() {
    let mut projects = BTreeMap::new();
    let (mut run, mut parsed) = (0, 0);
    for (name, line) in commands() {
        let of_example = EXAMPLES.iter().any(|(page, _)| *page == name);
        let page = if of_example { name.as_str() } else { "" };
        let folder = &*projects.entry(page.to_owned()).or_insert_with(|| project(page));
        let mut shell = assert_cmd::Command::new("sh");
        shell.args(["-n", "-c", &line]).assert().success();
        let parts = line.split("&&").flat_map(|part| part.split(['|', '>'])).map(str::trim);
        for part in parts.filter(|part| part.starts_with("bake ")) {
            // The default project is in the zone that the documentation moves from.
            let part = part
                .replace("SNAPSHOT", "openclaw-gateway-data-20261130")
                .replace("--from-zone us-central1-a", "--from-zone us-central1-b");
            let words = shlex::split(&part).expect("words of a shell");
            if let Err(error) = bake::cli::command().try_get_matches_from(&words) {
                panic!("{name}: {line}: {error}");
            }
            parsed += 1;
            if !PARSED.contains(&words[1].as_str()) {
                let empty = Folder::empty();
                let here = if words[1] == "init" { &empty } else { folder };
                let said = here.bake(words.iter().skip(1).map(String::as_str));
                // `remove` of a tool that the default project lacks is refused by name.
                assert!(said.code == 0 || words[1] == "remove", "{name}: {line}: {}{}", said.out, said.err);
                run += 1;
            }
        }
    }
    assert!(run > 30 && parsed > 50, "{run} of {parsed} commands");
}

/// `docs/cli.md`: the long help of every command.
fn reference() -> String {
    let mut text = String::from(
        "<!-- Made from the program by `BAKE_BLESS=1 cargo test --test cli site`. -->\n\n# Each command\n\n`bake help COMMAND` prints the same.\n",
    );
    let mut command = bake::cli::visible(&bake::cli::command(), &[]).term_width(100);
    command.build();
    describe(&mut command, &mut text);
    text
}

fn describe(command: &mut Command, text: &mut String) {
    let name = command.get_bin_name().unwrap_or("bake").to_owned();
    let help = command.render_long_help().to_string();
    let help: Vec<_> = help.lines().map(str::trim_end).collect();
    let _ = write!(text, "\n## `{name}`\n\n```text\n{}\n```\n", help.join("\n").trim_end());
    for below in command.get_subcommands_mut() {
        describe(below, text);
    }
}

#[test]
fn the_reference_is_made_from_the_program() {
    let (path, text) = (docs().join("cli.md"), reference());
    if std::env::var_os("BAKE_BLESS").is_some() {
        fs::write(&path, &text).expect("a file");
    }
    assert_eq!(fs::read_to_string(&path).unwrap_or_default(), text, "BAKE_BLESS=1 rewrites docs/cli.md");
}
