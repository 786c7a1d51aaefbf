//! `bake init`: its questions on a terminal, its options, and that it writes all or nothing.

use std::fs;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use crate::support::testbed::program;
use crate::support::{Folder, test};

/// Runs `bake ARGUMENTS` in the folder on a pseudo-terminal. Each entry of `typed` is a text to wait for and
/// the answer to type. Returns the exit code and the screen.
#[track_caller]
fn on_a_terminal(folder: &Folder, arguments: &str, typed: &[(&str, &str)]) -> (i32, String) {
    let bake = folder.command();
    let mut script = program("script");
    script
        .args(["--quiet", "--return", "--command"])
        // A shell's background jobs and their children ignore Ctrl-C.
        .arg(format!("env --default-signal=INT {} {arguments}", bake.get_program().display()))
        .arg("/dev/null")
        .current_dir(folder.path())
        .env("TERM", "dumb")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    screen(&mut script, typed)
}

#[track_caller]
fn screen(command: &mut Command, typed: &[(&str, &str)]) -> (i32, String) {
    let mut child = command.spawn().expect("a terminal");
    let mut keyboard = child.stdin.take().expect("a pipe");
    let mut output = child.stdout.take().expect("a pipe");
    let (mut shown, mut looked, mut part) = (Vec::new(), 0, [0; 4096]);
    let mut typed = typed.iter().peekable();
    while let Ok(read @ 1..) = output.read(&mut part) {
        shown.extend_from_slice(&part[..read]);
        let text = String::from_utf8_lossy(&shown[looked..]).into_owned();
        if let Some((_, answer)) = typed.next_if(|(question, _)| text.contains(question)) {
            looked = shown.len();
            keyboard.write_all(answer.as_bytes()).expect("a keyboard");
        }
    }
    let code = child.wait().expect("an end").code().unwrap_or(-1);
    let shown = String::from_utf8_lossy(&shown).into_owned();
    assert_eq!(typed.next(), None, "was never asked:\n{shown}");
    (code, shown)
}

/// The names of all files below a folder.
fn files(folder: &Folder) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder.path())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_person_is_asked_and_every_answer_is_written() {
    let folder = Folder::empty();
    let (code, shown) = on_a_terminal(
        &folder,
        "init my-agent",
        &[
            ("Name of the VM [my-agent-", "Wrong Name\n"),
            ("Name of the VM [my-agent-", "my-agent\n"),
            ("Zone [us-central1-a]: ", "europe-west1-b\n"),
            ("Machine type [e2-small]: ", "t2a-standard-1\n"),
            ("Machine type [e2-small]: ", "e2-medium\n"),
            ("Model provider [none]: ", "antropic\n"),
            ("did you mean `anthropic`?", "anthropic\n"),
            ("Channels [none]: ", "telegram, slack\n"),
            ("Data disk [10GB]: ", "512MB\n"),
            ("Data disk [10GB]: ", "1GB\n"),
            ("Data disk [10GB]: ", "30GB\n"),
        ],
    );
    assert_eq!(code, 0, "{shown}");
    // The price is next to the machine type, and an invalid answer is explained before the question is
    // repeated.
    for part in [
        "e2-medium",
        "$25 a month",
        "disks come in whole gigabytes, from 10GB on",
        "lower-case letters",
        "ANTHROPIC_API_KEY",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let spec = folder.read("my-agent/bake.yaml");
    for line in [
        "name: my-agent ",
        "  zone: europe-west1-b\n",
        "  machine_type: e2-medium\n",
        "  model: {provider: anthropic}",
        "  channels: [telegram, slack]",
        "  data_disk: 30GB ",
        "  ANTHROPIC_API_KEY: {secret_manager: my-agent-anthropic-api-key}\n",
        "  SLACK_APP_TOKEN: {secret_manager: my-agent-slack-app-token}\n",
    ] {
        assert!(spec.contains(line), "{line}: {spec}");
    }
    folder.bake(["-C", "my-agent", "check"]).done();
    folder.bake(["-C", "my-agent", "render"]).done();
}

/// In the middle of the questions, and at each of them.
#[test]
fn nothing_is_written_where_the_questions_are_not_answered() {
    let questions = ["Name of", "Zone", "Machine type", "Model provider", "Channels", "Data disk"];
    for last in 0..questions.len() {
        let folder = Folder::empty();
        let mut typed: Vec<_> = questions[..last].iter().map(|question| (*question, "\n")).collect();
        typed.push((questions[last], "\u{3}"));
        let (code, shown) = on_a_terminal(&folder, "init a-folder", &typed);
        assert_eq!(code, 130, "as every program that Ctrl-C ends: {shown}");
        assert!(files(&folder).is_empty(), "{:?}", files(&folder));
    }
    let folder = Folder::empty();
    let (code, shown) = on_a_terminal(&folder, "init a-folder", &[("Name of", "x\n"), ("Zone", "\u{4}")]);
    assert_eq!(code, 1, "{shown}");
    assert!(shown.contains("nothing was written") && files(&folder).is_empty(), "{shown}");
}

#[test]
fn options_answer_the_questions_and_the_terminal_is_asked_for_the_rest() {
    let folder = Folder::empty();
    let all = "init one --name a-vm --zone asia-east1-a --machine-type n2-standard-2 --model openai --channel telegram,discord --channel telegram --data-disk 0";
    let (code, shown) = on_a_terminal(&folder, all, &[]);
    assert_eq!(code, 0, "{shown}");
    let spec = folder.read("one/bake.yaml");
    for line in
        ["name: a-vm ", "channels: [telegram, discord]", "data_disk: 0 ", "snapshots: null", "OPENAI_API_KEY"]
    {
        assert!(spec.contains(line), "{line}: {spec}");
    }
    folder.bake(["-C", "one", "check"]).done();
    let (code, shown) = on_a_terminal(&folder, "init two --yes", &[]);
    assert_eq!(code, 0, "{shown}");
    let (code, shown) = on_a_terminal(
        &folder,
        "init three --name x --model none --channel none --data-disk 11GB",
        &[("Zone", "\n"), ("Machine type", "\n")],
    );
    assert_eq!(code, 0, "{shown}");

    // Without a terminal the same options, and else the defaults.
    let arguments = all.replace(" one ", " four ");
    folder.bake(arguments.split(' ')).done();
    let but_the_id = |spec: &str| {
        spec.lines().filter(|line| !line.starts_with("id: ")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(but_the_id(&folder.read("four/bake.yaml")), but_the_id(&spec));
    folder.bake(["init", "ten"]).done();
    let but_the_name = |name: &str| {
        let spec = folder.read(&format!("{name}/bake.yaml"));
        spec.lines()
            .filter(|line| !line.starts_with("name: ") && !line.starts_with("id: "))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(but_the_name("ten"), but_the_name("two"));
    for wrong in [
        &["--name", "Not a name"][..],
        &["--zone", "here"],
        &["--model", "nobody"],
        &["--model", "ollama"],
        &["--channel", "matrix"],
        &["--data-disk", "1.5GB"],
        &["--data-disk", "100MB"],
        &["--machine-type", "t2a-standard-1"],
    ] {
        let said = folder.bake([&["init", "six"], wrong].concat()).ended(2);
        assert!(!folder.join("six").exists() && !said.err.is_empty(), "{wrong:?}: {}", said.err);
    }
}

/// Also where two folders in different places have one name.
#[test]
fn the_vm_is_named_after_its_folder_and_no_two_alike() {
    let folder = Folder::empty();
    let name = |path: &str| {
        folder.bake(["init", path]).done();
        let spec = folder.read(&format!("{path}/bake.yaml"));
        let line = spec.lines().find(|line| line.starts_with("name: ")).expect("a name");
        line.split(' ').nth(1).expect("a name").to_owned()
    };
    assert!(name("alice").starts_with("alice-"));
    assert_ne!(name("My_Bot"), name("my bot"));
    fs::create_dir_all(folder.join("deep/folder")).expect("a folder");
    let inner = name("deep/folder/../inner");
    assert!(inner.starts_with("inner-"), "{inner}");
    assert_ne!(name("inner"), inner);
    let said = folder.bake(["init", "日本"]).ended(2);
    assert!(said.err.contains("add --name") && !folder.join("日本").exists(), "{}", said.err);
    folder.bake(["init", "日本", "--name", "nihon"]).done();
}

#[test]
fn a_folder_that_is_not_empty_keeps_what_it_has() {
    for taken in ["bake.yaml", "bake.lock", "images/binaries.yaml", ".bake/spec.schema.json"] {
        let folder = Folder::empty();
        folder.write(taken, "mine").write("notes.txt", "mine too");
        let before = files(&folder);
        let said = folder.bake(["init", "--name", "x"]).ended(2);
        assert!(said.err.contains("overwrites nothing") && said.err.contains(taken), "{}", said.err);
        assert_eq!((files(&folder), folder.read(taken).as_str()), (before, "mine"));
    }
    let folder = Folder::empty();
    folder.write(".gitignore", "/build/\n").write("notes.txt", "mine");
    let said = folder.bake(["init", "--name", "x"]).done();
    assert_eq!(folder.read(".gitignore"), "/build/\n");
    assert!(said.err.contains("/out/"), "{}", said.err);
    assert_eq!(files(&folder), [".bake", ".gitignore", "bake.lock", "bake.yaml", "images", "notes.txt"]);
}

/// Editors find the schema through this line; the file equals the output of `bake schema`.
#[test]
fn editors_find_the_schema_and_git_leaves_out_what_is_made() {
    let folder = Folder::project();
    for (file, from, schema) in [("bake.yaml", "", "spec"), ("images/binaries.yaml", "images/", "manifest")] {
        let text = folder.read(file);
        let path = text.lines().next().and_then(|line| line.strip_prefix("# yaml-language-server: $schema="));
        let path = format!("{from}{}", path.expect("a line for editors"));
        assert_eq!(folder.read(&path), folder.bake(["schema", schema]).done().out);
    }
    let mut git = program("git");
    assert!(git.args(["init", "--quiet"]).current_dir(folder.path()).status().expect("git").success());
    folder.bake(["render"]).done();
    folder.write("secrets/token", "x").write("oci/index.json", "{}").write(".env", "A=b");
    let mut git = program("git");
    let said =
        git.args(["status", "--porcelain", "--untracked-files=all"]).current_dir(folder.path()).output();
    let said = String::from_utf8(said.expect("git").stdout).expect("UTF-8");
    let names: Vec<_> = said.lines().map(|line| &line[3..]).collect();
    assert_eq!(
        names,
        [
            ".bake/manifest.schema.json",
            ".bake/spec.schema.json",
            ".gitignore",
            "bake.lock",
            "bake.yaml",
            "images/binaries.yaml"
        ]
    );
}
