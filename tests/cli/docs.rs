//! The documents point at files that exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex_lite::{Captures, Regex};

use crate::support::language::passages::files;
use crate::support::{Folder, test};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn markdown() -> Vec<(String, String)> {
    let found = files(root())
        .into_iter()
        .filter(|(name, _)| Path::new(name).extension().is_some_and(|end| end == "md"));
    found.collect()
}

/// Code spans outside of fenced blocks.
fn spans(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (index, block) in text.split("```").enumerate() {
        if index % 2 == 0 {
            found.extend(block.split('`').skip(1).step_by(2));
        }
    }
    found
}

/// A span that names a file or folder of this repository.
fn is_path(span: &str) -> bool {
    const FOLDERS: [&str; 13] = [
        ".ci/",
        "action/",
        "benches/",
        "cloud-init/",
        "docs/",
        "examples/",
        "fixtures/",
        "fuzz/",
        "images/",
        "packaging/",
        "src/",
        "tests/",
        "target/",
    ];
    let plain = span.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    let named = FOLDERS.iter().any(|folder| span.starts_with(folder));
    let in_root =
        !span.contains('/') && Path::new(span).extension().is_some_and(|end| end == "md" || end == "toml");
    plain && (named || in_root) && !span.starts_with("target/")
}

#[test]
fn every_path_in_the_contributors_documents_exists() {
    for name in ["ARCHITECTURE.md", "CONTRIBUTING.md", "docs/STYLE.md", "SECURITY.md"] {
        let text = fs::read_to_string(root().join(name)).expect(name);
        let paths: Vec<_> = spans(&text).into_iter().filter(|span| is_path(span)).collect();
        for path in &paths {
            // The project that `bake init` writes has these two.
            let of_a_project = *path == "images/binaries.yaml" || *path == "bake.lock";
            assert!(of_a_project || root().join(path).exists(), "{name}: `{path}` does not exist");
        }
        assert!(paths.len() > 1 || name == "SECURITY.md", "{name}: {paths:?}");
    }
}

#[test]
fn the_map_names_every_folder_of_the_source() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("a file");
    let named: BTreeSet<_> = spans(&text).into_iter().map(|span| span.trim_end_matches('/')).collect();
    for entry in fs::read_dir(root().join("src")).expect("a folder").flatten() {
        let name = format!("src/{}", entry.file_name().to_string_lossy());
        let is_root = ["src/lib.rs", "src/cli"].contains(&name.as_str());
        assert!(is_root || named.contains(name.as_str()), "ARCHITECTURE.md does not mention {name}");
    }
}

/// `(label, target)` of each link.
fn links(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (index, block) in text.split("```").enumerate() {
        if index % 2 == 0 {
            let targets = block.split("](").skip(1).filter_map(|rest| rest.split(')').next());
            found.extend(targets);
        }
    }
    found
}

/// As GitHub makes it: lower case, spaces as hyphens, punctuation left out.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>().replace(' ', "-")
}

fn broken(from: &Path, text: &str, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (path, fragment) = link.split_once('#').unwrap_or((link, ""));
    let target: PathBuf = from.parent().expect("a folder").join(path);
    if !path.is_empty() && !target.exists() {
        return Some(format!("{link} does not exist"));
    }
    if fragment.is_empty() {
        return None;
    }
    let linked =
        if path.is_empty() { text.to_owned() } else { fs::read_to_string(&target).unwrap_or_default() };
    let anchors =
        linked.lines().filter(|line| line.starts_with('#')).map(|line| anchor(line.trim_start_matches('#')));
    (!anchors.into_iter().any(|known| known == fragment)).then(|| format!("{link}: no such heading"))
}

#[test]
fn every_relative_link_works() {
    let mut seen = 0;
    for (name, text) in markdown() {
        for link in links(&text) {
            let wrong = broken(&root().join(&name), &text, link);
            assert!(wrong.is_none(), "{name}: {}", wrong.unwrap_or_default());
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen} links");
    let readme = root().join("README.md");
    for wrong in ["docs/no-such-file.md", "docs/errors.md#no-such-code", "#no-such-heading"] {
        assert!(broken(&readme, "# A heading\n", wrong).is_some(), "{wrong}");
    }
    assert!(broken(&readme, "# A `Heading`, two\n", "#a-heading-two").is_none());
}

#[test]
fn decisions_are_numbered_and_listed() {
    let folder = root().join("docs/decisions");
    let index = fs::read_to_string(folder.join("README.md")).expect("an index");
    let mut names: Vec<_> = fs::read_dir(&folder)
        .expect("a folder")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name != "README.md")
        .collect();
    names.sort();
    for (index_of, name) in names.iter().enumerate() {
        let number = index_of + 1;
        let text = fs::read_to_string(folder.join(name)).expect("a record");
        let title = text.lines().next().unwrap_or_default();
        assert!(name.starts_with(&format!("{number:04}-")), "{name}");
        let title = title.strip_prefix(&format!("# {number}. ")).unwrap_or_else(|| panic!("{name}: {title}"));
        assert!(index.contains(&format!("- [{number:04}]({name}) {title}\n")), "{name} is not in the index");
    }
}

/// The lines of the first fenced block after `heading`.
fn block<'a>(text: &'a str, heading: &str) -> Vec<&'a str> {
    let (_, rest) = text.split_once(heading).unwrap_or_else(|| panic!("no {heading}"));
    rest.split("```").nth(1).expect("a block").lines().skip(1).collect()
}

/// `repository` in Cargo.toml is the only place to change: `BAKE_BLESS=1` writes its owner into the other files.
#[test]
fn documents_name_the_repository_of_the_package() {
    let (_, path) = env!("CARGO_PKG_REPOSITORY").split_once("github.com/").expect("GitHub");
    let (owner, name) = path.split_once('/').expect("a repository");
    let mention = r"(github\.com/|github:|ghcr\.io/|--repo |uses: )([A-Za-z0-9-]+)/";
    let mention = Regex::new(&format!(r"{mention}{name}\b")).expect("a pattern");
    let mut named = BTreeSet::new();
    for (file, text) in files(root()) {
        if !Path::new(&file).extension().is_some_and(|end| end == "md" || end == "yml") {
            continue;
        }
        let right = mention.replace_all(&text, |found: &Captures<'_>| {
            named.insert(file.clone());
            // A registry's names have no capitals; the placeholder stays one.
            let lower = &found[1] == "ghcr.io/" && owner != "OWNER";
            let owner = if lower { owner.to_lowercase() } else { owner.to_owned() };
            format!("{}{owner}/{name}", &found[1])
        });
        if std::env::var_os("BAKE_BLESS").is_some() && right != text {
            fs::write(root().join(&file), right.as_ref()).expect("a file");
        }
        assert_eq!(text, right, "{file}: BAKE_BLESS=1 writes the owner of Cargo.toml's repository");
    }
    for file in ["README.md", "docs/install.md", "examples/github/bake.yml"] {
        assert!(named.contains(file), "{file}: {named:?}");
    }
}

/// Runs the commands of the front page as a user would, and a shell checks the scripts that they print.
#[test]
fn the_front_page_leads_to_a_gateway_in_five_commands() {
    let text = fs::read_to_string(root().join("README.md")).expect("a file");
    assert!(text.lines().count() <= 150, "{} lines", text.lines().count());
    let commands = block(&text, "## Five commands to a running gateway");
    let names: Vec<_> = commands.iter().filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(names, ["init", "render", "gcloud", "gcloud", "gcloud"]);

    let (folder, mut project) = (Folder::empty(), String::new());
    for line in commands {
        let command = line.split('#').next().expect("a command");
        let (command, rest) = command.split_once(['|', '&']).unwrap_or((command, ""));
        let words = shlex::split(command).expect("words of a shell");
        let at = folder.join(&project).to_string_lossy().into_owned();
        let arguments = ["-C", &at].into_iter().chain(words.iter().skip(1).map(String::as_str));
        let arguments: Vec<_> = match words[1].as_str() {
            // The terminal's questions are tested in `init`.
            "init" => words.iter().skip(1).map(String::as_str).chain(["--yes"]).collect(),
            _ => arguments.collect(),
        };
        let said = folder.bake(arguments).done();
        if let Some(name) = rest.trim_start_matches('&').trim().strip_prefix("cd ") {
            name.trim().clone_into(&mut project);
        }
        if rest.trim() == "sh" {
            let mut shell = assert_cmd::Command::new("sh");
            shell.arg("-n").write_stdin(said.out).assert().success();
        }
    }
    assert!(folder.join(&project).join("out/user-data.yaml").exists());
}

#[test]
fn every_example_is_listed_and_renders() {
    let folder = root().join("examples");
    let index = fs::read_to_string(folder.join("README.md")).expect("an index");
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(&folder).expect("a folder").flatten() {
        let Ok(spec) = fs::read_to_string(entry.path().join("bake.yaml")) else { continue };
        let name = entry.file_name().into_string().expect("a name");
        assert!(index.contains(&format!("[{name}]({name}/bake.yaml)")), "{name} is not in the index");
        let project = Folder::empty();
        project.write("bake.yaml", spec);
        let manifest = fs::read(entry.path().join("images/binaries.yaml")).expect("a manifest");
        project.write("images/binaries.yaml", manifest);
        project.bake(["lock", "--offline"]).done();
        project.bake(["check"]).done();
        project.bake(["render"]).done();
        // The second run recognizes each file of the first.
        project.bake(["render"]).done();
        for action in ["setup", "create", "update", "destroy"] {
            let script = project.bake(["gcloud", action]).done().out;
            assert_cmd::Command::new("sh").arg("-n").write_stdin(script).assert().success();
        }
        names.insert(name);
    }
    assert_eq!(names.len(), 5, "{names:?}");
}

/// Its effect, its costs, and how to undo it.
#[test]
fn each_action_of_gcloud_has_its_three_lines() {
    let page = fs::read_to_string(root().join("docs/gcloud.md")).expect("the page");
    let help = Folder::empty().bake(["gcloud", "--help"]).done().out;
    let (_, commands) = help.split_once("Commands:\n").expect("commands");
    let actions = commands.lines().take_while(|line| !line.is_empty()).filter_map(|line| {
        let name = line.strip_prefix("  ")?.split(' ').next()?;
        (!name.is_empty() && name != "help").then_some(name)
    });
    let sections: Vec<_> = page.split("\n### ").skip(1).collect();
    let mut number = 0;
    for action in actions {
        number += 1;
        let named = format!("`{action}");
        let section = sections.iter().find(|section| {
            let heading = section.lines().next().unwrap_or_default();
            heading
                .split(", ")
                .any(|name| name.strip_prefix(&named).is_some_and(|end| end.starts_with(['`', ' '])))
        });
        let section = section.unwrap_or_else(|| panic!("docs/gcloud.md has no section `{action}`"));
        let lines: Vec<_> = section.lines().skip(2).take(3).collect();
        for (line, begin) in lines.iter().zip(["- Does: ", "- Costs: ", "- Undo: "]) {
            assert!(line.len() > begin.len() && line.starts_with(begin), "{action}: {line}");
        }
        assert_eq!(lines.len(), 3, "{action}");
    }
    assert!(number > 15, "{help}");
}
