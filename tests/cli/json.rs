//! `--json`: one document for every command and every failure.

use std::fs;
use std::path::Path;

use crate::support::test;
use crate::support::world::{World, release};
use crate::support::{Folder, Said, said};
use bake::diagnostics::Code;
use serde_json::Value;

fn document(said: &Said) -> Value {
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {} {}", said.out, said.err))
}

/// The codes of the problems in the document of a failure. Each has its paragraph in `docs/errors.md`.
fn codes(said: &Said) -> Vec<String> {
    let document = document(said);
    assert_eq!(document["ok"], false, "{document}");
    let problems = document["problems"].as_array().expect("a list of problems");
    let codes: Vec<_> =
        problems.iter().map(|problem| problem["code"].as_str().expect("a code").to_owned()).collect();
    let explained =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md")).expect("a file");
    for code in &codes {
        assert!(Code::ALL.iter().any(|known| known.as_str() == code), "{code}");
        assert!(explained.contains(&format!("\n## {code}\n")), "{code}");
    }
    assert!(problems.iter().all(|problem| problem["message"].as_str().is_some_and(|text| text.len() > 8)));
    codes
}

const WRONG_ARGUMENTS: [&[&str]; 24] = [
    &["nonsense"],
    &[],
    &["--nonsense"],
    &["check", "--nonsense"],
    &["check", "--color", "purple"],
    &["-q", "-v", "check"],
    &["-C", "nowhere", "check"],
    &["init", "--name", "Not A Name", "--yes"],
    &["init", "--channel", "nonsense", "--yes"],
    &["init"],
    &["add"],
    &["add", "two", "words", "--name", "one"],
    &["add", "gog@1 2"],
    &["lock", "--update", "nonsense"],
    &["lock", "--check", "--offline"],
    &["audit", "--sarif"],
    &["audit", "--against", "image"],
    &["render", "--diff"],
    &["render", "--out", "bake.yaml"],
    &["image", "push"],
    &["image", "push", "not a reference"],
    &["rehearse"],
    &["gcloud", "create"],
    &["gcloud", "wait", "--timeout", "soon"],
];

#[test]
fn wrong_arguments_are_problems_with_a_code() {
    let folder = Folder::project();
    folder.edit("bake.yaml", "apt: [socat]", "apt: []");
    for arguments in WRONG_ARGUMENTS {
        let as_text = folder.bake(arguments.iter().copied());
        for with_json in [[&["--json"], arguments].concat(), [arguments, &["--json"]].concat()] {
            let refused = folder.bake(with_json.iter().copied()).ended(2);
            assert_eq!(codes(&refused), ["bad-argument"], "{with_json:?}: {}", refused.out);
            assert!(refused.err.contains("error[bad-argument]: "), "{with_json:?}: {}", refused.err);
        }
        // --sarif and --diff only conflict with --json, and without a subcommand the help is printed.
        if !matches!(arguments, [] | ["audit", "--sarif"] | ["render", "--diff"]) {
            as_text.ended(2);
            let refused = folder.bake(arguments.iter().copied());
            assert!(refused.err.contains("error[bad-argument]: "), "{arguments:?}: {}", refused.err);
            // In the place of a script, one that fails.
            let fails = arguments.first() == Some(&"gcloud") && refused.out.ends_with("\nexit 2\n");
            assert!(refused.out.is_empty() || fails, "{arguments:?}: {}", refused.out);
        }
    }
    let old = folder.bake(["gcloud", "wait", "--timeout", "soon", "--format", "json"]).ended(2);
    assert_eq!(codes(&old), ["bad-argument"]);
    // After `--`, arguments belong to another program.
    let not_ours = folder.bake(["gcloud", "cli", "--nonsense", "--", "--json"]).ended(2);
    assert!(not_ours.out.starts_with("#!/bin/sh\n"), "a script, not JSON: {}", not_ours.out);
}

#[test]
fn the_environment_is_checked_like_an_argument() {
    let folder = Folder::project();
    for (name, value) in [
        ("GITHUB_API_URL", "not a URL"),
        ("GITHUB_API_URL", "http://example.org/"),
        ("GITHUB_TOKEN", "two\nlines"),
        ("BAKE_STALL_SECONDS", "0"),
    ] {
        let refused = said(folder.command().args(["fetch", "--json"]).env(name, value)).ended(2);
        assert_eq!(codes(&refused), ["bad-argument"], "{name}");
    }
    folder.edit("bake.yaml", "apt: [socat]", "apt: []");
    let refused =
        said(folder.command().args(["image", "build", "--json"]).env("SOURCE_DATE_EPOCH", "soon")).ended(2);
    assert_eq!(codes(&refused), ["bad-argument"]);
}

#[test]
fn failures_of_images_have_codes() {
    let folder = Folder::project();
    assert_eq!(codes(&folder.bake(["--json", "image", "build"]).ended(2)), ["needs-builder"]);
    folder.edit("bake.yaml", "apt: [socat]", "apt: []");
    folder.write("empty/file", "");
    for (base, code, exit) in [
        ("empty", "bad-argument", 2),
        ("nowhere/at-all:", "bad-argument", 2),
        ("127.0.0.1:9/a/b:c", "upstream-unreachable", 1),
    ] {
        let mut build = folder.command();
        build.args(["--json", "image", "build", "--base", base]).env("BAKE_STALL_SECONDS", "1");
        let refused = said(&mut build).ended(exit);
        assert_eq!(codes(&refused), [code], "{base}");
    }
}

#[test]
fn every_command_prints_one_document() {
    let folder = Folder::empty();
    let made = document(&folder.bake(["init", "--yes", "--name", "gateway", "--json"]).done());
    assert_eq!(made["written"][0], "bake.yaml");
    for (arguments, key) in [
        (&["check"][..], "estimate"),
        (&["catalog"], "tools"),
        (&["lock", "--check"], "lock"),
        (&["lock", "--offline"], "tools"),
        (&["render"], "files"),
        (&["gcloud", "create"], "steps"),
        (&["schema", "spec"], "properties"),
        (&["completions", "bash"], "text"),
        (&["man"], "text"),
        (&["remove", "wacli"], "removed"),
    ] {
        for with_json in [[&["--json"], arguments].concat(), [arguments, &["--json"]].concat()] {
            let printed = folder.bake(with_json.iter().copied());
            // A second `remove` of the same tool fails.
            if arguments[0] == "remove" && printed.code != 0 {
                assert_eq!(codes(&printed), ["not-in-manifest"]);
                continue;
            }
            let document = document(&printed.done());
            assert!(!document[key].is_null(), "{with_json:?}: {document}");
        }
    }

    let world = World::new("");
    world.github.publish("owner/tool", release("tool", "v1.0.0"));
    let added = document(&world.bake(["add", "owner/tool", "--json"]).done());
    assert_eq!(added["tools"][0]["name"], "tool");
    assert_eq!(added["tools"][0]["version"], "1.0.0");
    let fetched = document(&world.bake(["fetch", "--json"]).done());
    assert_eq!((&fetched["archives"], &fetched["fetched"]), (&Value::from(2), &Value::from(0)));
}

#[test]
fn the_older_format_option_still_works_and_is_hidden() {
    let folder = Folder::project();
    folder.bake(["render"]).done();
    let (json, sh) = (folder.bake(["gcloud", "create", "--json"]), folder.bake(["gcloud", "create"]));
    assert_eq!(folder.bake(["gcloud", "--format", "json", "create"]).done().out, json.done().out);
    assert_eq!(folder.bake(["gcloud", "create", "--format=sh"]).done().out, sh.done().out);
    folder.bake(["gcloud", "create", "--format", "sh", "--json"]).ended(2);
    let help = folder.bake(["help", "gcloud"]).done().out;
    assert!(!help.contains("--format") && help.contains("--json"), "{help}");
}

#[test]
fn help_lists_global_options_under_their_heading() {
    let folder = Folder::empty();
    for command in
        [&["--help"][..], &["help", "lock"], &["help", "gcloud", "create"], &["image", "push", "--help"]]
    {
        let help = folder.bake(command.iter().copied()).done().out;
        let (own, global) =
            help.split_once("Global options:").unwrap_or_else(|| panic!("{command:?}: {help}"));
        for option in ["-C <DIR>", "--json", "--quiet", "--verbose", "--color <COLOR>"] {
            assert!(global.contains(option) && !own.contains(option), "{command:?} {option}: {help}");
        }
    }
}
