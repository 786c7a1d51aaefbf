//! `bake help`, manual pages, completions, schemas, and the next step on a terminal.

use std::collections::BTreeSet;
use std::fs;

use crate::support::testbed::program;
use crate::support::{Folder, said, test};
use bake::diagnostics::{Problems, Source, terminal};
use bake::project::catalog::Catalog;
use bake::project::manifest;
use serde_json::Value;

#[test]
fn help_prints_commands_and_topics() {
    let folder = Folder::empty();
    let all = folder.bake(["help"]).done().out;
    for topic in ["spec", "manifest", "lock-file", "trust", "exit-codes", "environment"] {
        assert!(all.lines().last().is_some_and(|line| line.contains(topic)), "{all}");
        let text = folder.bake(["help", topic]).done().out;
        assert!(text.starts_with('#') && !text.contains("Usage:"), "{text}");
    }
    assert!(folder.bake(["help", "environment"]).done().out.contains("| `BAKE_CACHE_DIR` |"));
    let command = folder.bake(["help", "gcloud", "create"]).done().out;
    assert!(command.contains("Usage: bake gcloud create"), "{command}");
    assert_eq!(command.trim_end(), folder.bake(["gcloud", "create", "--help"]).done().out.trim_end());
    for (words, hint) in [(&["trsut"][..], "did you mean `trust`?"), (&["gcloud", "craete"], "`create`")] {
        let refused = folder.bake(["help"].into_iter().chain(words.iter().copied())).ended(2);
        assert!(refused.err.contains(hint), "{}", refused.err);
    }
    folder.bake(["help", "relay"]).ended(2);
}

#[test]
fn the_example_of_the_manifest_is_one() {
    let text = Folder::empty().bake(["help", "manifest"]).done().out;
    let block = text.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let mut problems = Problems::default();
    let read = manifest::read(Source::new("example", block), Catalog::builtin(), &mut problems);
    assert!(!problems.has_errors(), "{}", terminal::render(&problems, false));
    assert_eq!(read.expect("a manifest").binaries.len(), 3);
}

#[test]
fn every_command_has_a_manual_page() {
    fn pages(command: &clap::Command, parent: &str, found: &mut BTreeSet<String>) {
        let name = format!("{parent}{}", command.get_name());
        for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
            pages(below, &format!("{name}-"), found);
        }
        found.insert(format!("{name}.1"));
    }
    let folder = Folder::empty();
    folder.bake(["man", "--out", "man"]).done();
    let mut expected = BTreeSet::new();
    pages(&bake::cli::command(), "", &mut expected);
    let written = fs::read_dir(folder.join("man")).expect("a folder").flatten();
    let written: BTreeSet<_> = written.map(|entry| entry.file_name().into_string().expect("UTF-8")).collect();
    assert_eq!(written, expected);
    let page = folder.read("man/bake-gcloud-create.1");
    assert!(page.contains("bake gcloud create | sh"), "{page}");
    assert_eq!(folder.bake(["man", "gcloud", "create"]).done().out, page);
    folder.bake(["man", "craete"]).ended(2);
}

#[test]
fn completions_offer_tools_and_actions_and_nothing_hidden() {
    let folder = Folder::empty();
    for shell in ["bash", "zsh", "fish"] {
        let script = folder.bake(["completions", shell]).done().out;
        for word in ["goplaces", "wacli", "rollback", "dashboard"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
        assert!(!script.contains("relay") && !script.contains("older name of --json"), "{shell}");
    }
    let script = folder.bake(["completions", "bash"]).done().out;
    folder.write("completions", script);
    let offered = |line: &str, words: &str| {
        let text = format!(
            "source ./completions; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMP_LINE='{line}'; _bake bake \"${{COMP_WORDS[COMP_CWORD]}}\" x; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        let mut bash = program("bash");
        said(bash.args(["-c", &text]).current_dir(folder.path())).done().out
    };
    assert_eq!(offered("bake remove gopl", "bake remove gopl").trim(), "goplaces");
    assert_eq!(offered("bake gcloud rollb", "bake gcloud rollb").trim(), "rollback");
}

#[test]
fn schemas_name_their_place_in_the_release() {
    let folder = Folder::empty();
    for file in ["spec", "manifest", "lock"] {
        let schema: Value = serde_json::from_str(&folder.bake(["schema", file]).done().out).expect("JSON");
        let id = schema["$id"].as_str().expect("an id");
        let place = format!("/releases/download/v{}/{file}.schema.json", env!("CARGO_PKG_VERSION"));
        assert_eq!(id, format!("{}{place}", env!("CARGO_PKG_REPOSITORY")));
    }
}

#[test]
fn a_command_on_a_terminal_ends_with_the_next_step() {
    let folder = Folder::project();
    let on_a_terminal = |arguments: &[&str]| {
        let mut python = program("python3");
        python.args(["-c", "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"]);
        python.arg(folder.command().get_program()).args(arguments).current_dir(folder.path());
        said(&mut python).done().out
    };
    assert!(on_a_terminal(&["check"]).contains("Next: bake render"));
    assert!(on_a_terminal(&["render"]).contains("Next: bake gcloud create | sh"));
    assert!(!on_a_terminal(&["render", "--check"]).contains("Next:"));
    assert!(!on_a_terminal(&["-q", "check"]).contains("Next:"));
    assert!(!on_a_terminal(&["check", "--json"]).contains("Next:"));
    assert!(!folder.bake(["check"]).done().err.contains("Next:"), "not in a log");
    // The script that stops a pipe is for pipes.
    for arguments in [&["gcloud", "craete"][..], &["gcloud", "create", "--fleet", "0"]] {
        let mut python = program("python3");
        python.args(["-c", "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"]);
        python.arg(folder.command().get_program()).args(arguments).current_dir(folder.path());
        let shown = said(&mut python).ended(2).out;
        assert!(shown.contains("error[bad-argument]") && !shown.contains("#!/bin/sh"), "{shown}");
        assert!(folder.bake(arguments.iter().copied()).ended(2).out.starts_with("#!/bin/sh"));
    }
}
