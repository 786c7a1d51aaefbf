//! `bake graph` and `bake chart`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use crate::support::testbed::program;
use crate::support::world::{World, release};
use crate::support::{Folder, said, test};
use bake::project::values::Arch;
use regex_lite::Regex;
use serde_json::Value;

#[test]
fn the_graph_has_the_digest_and_trust_of_each_locked_file() {
    let world = World::new("");
    world.github.publish("owner/tool", release("tool", "v1.0.0"));
    world.bake(["add", "owner/tool"]).done();
    let graph: Value = serde_json::from_str(&world.bake(["graph", "--json"]).done().out).expect("JSON");
    let node = |column: usize, id: &str| -> Value {
        let nodes = graph["columns"][column]["nodes"].as_array().expect("nodes");
        nodes.iter().find(|node| node["id"] == id).unwrap_or_else(|| panic!("{id}: {graph:#}")).clone()
    };
    let build = world.build("tool", Arch::Amd64);
    assert_eq!(node(0, "upstream-tool")["notes"][0], "owner/tool");
    assert_eq!(node(1, "lock-tool")["digest"], build.sha256.to_string());
    assert_eq!(node(1, "lock-tool")["trust"], "API digest");
    let lock = bake::digest::Sha256::of(world.folder.read("bake.lock")).to_string();
    let notes = node(3, "vm-vm")["notes"].to_string();
    assert!(notes.contains(&format!("lock {}", &lock[..12])), "{notes}");

    let mermaid = world.bake(["graph"]).done().out;
    let short = &build.sha256.to_string()[..12];
    assert!(mermaid.starts_with("flowchart LR\n") && mermaid.contains(short), "{mermaid}");
    let svg = world.bake(["graph", "--format", "svg"]).done().out;
    assert!(svg.contains(&build.sha256.oci()) && svg.contains("API digest"), "{svg}");
    well_formed(&svg);
}

/// `xml.parsers.expat` of Python reads the whole picture.
fn well_formed(svg: &str) {
    let folder = Folder::empty();
    folder.write("picture.svg", svg);
    let mut python = program("python3");
    python.args(["-c", "import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])"]);
    said(python.arg(folder.join("picture.svg"))).done();
}

#[test]
fn a_chart_is_drawn_from_the_output_of_wait() {
    let folder = Folder::empty();
    folder.write(
        "log",
        "    0 s  g  no report yet; the VM is STAGING\n   50 s  g  image\n  200 s  g  failed: <b>&\n",
    );
    let svg = folder.bake(["chart", "log"]).done().out;
    for part in [">boot<", ">50 s, 25 %<", ">2 min 30 s, 75 %<", ">failed after 3 min 20 s<"] {
        assert!(svg.contains(part), "{part}: {svg}");
    }
    well_formed(&svg);
    let mut piped = folder.command();
    piped.arg("chart").stdin(Stdio::from(fs::File::open(folder.join("log")).expect("a file")));
    assert_eq!(said(&mut piped).done().out, svg);
    folder.write("log", "nonsense\n");
    let refused = folder.bake(["chart", "log"]).ended(2);
    assert!(refused.err.contains("log: line 1: expected `SECONDS s  VM  STAGE`"), "{}", refused.err);
}

/// The seconds are those of a rehearsal: docs/measured.md.
#[test]
fn the_picture_of_a_rehearsal_is_drawn_from_its_log() {
    let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images");
    let log = images.join("rehearsal.log");
    let svg = Folder::empty().bake(["chart", log.to_str().expect("UTF-8")]).done().out;
    let path = images.join("rehearsal.svg");
    if std::env::var_os("BAKE_BLESS").is_some() {
        fs::write(&path, &svg).expect("written");
    }
    assert_eq!(
        fs::read_to_string(path).unwrap_or_default(),
        svg,
        "BAKE_BLESS=1 draws docs/images/rehearsal.svg"
    );
    let measured = fs::read_to_string(images.with_file_name("measured.md")).expect("a page");
    assert!(measured.contains("| **all** | **116** |") && svg.contains(">ready after 1 min 56 s<"));
}

const DRAW: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/session/draw.py");

#[test]
fn the_picture_of_a_session_is_drawn_from_its_recording() {
    let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images");
    let draw = |recording: &Path| said(program("python3").arg(DRAW).arg(recording));
    let svg = draw(&images.join("session.cast")).done().out;
    let path = images.join("session.svg");
    if std::env::var_os("BAKE_BLESS").is_some() {
        fs::write(&path, &svg).expect("written");
    }
    let drawn = fs::read_to_string(path).unwrap_or_default();
    assert!(drawn == svg, "BAKE_BLESS=1 draws docs/images/session.svg");
    well_formed(&svg);
    assert!(svg.contains(" s  ready</text>"), "the recording does not end with a gateway that is ready");

    // What a reader sees can still be typed.
    let commands = Regex::new(r#"class="v v\d+ bold"[^>]*>\$ (bake [^<]+)</text>"#).expect("a pattern");
    let typed: Vec<_> =
        commands.captures_iter(&svg).map(|found| shlex::split(&found[1]).expect("words")).collect();
    let names: BTreeSet<_> = typed.iter().map(|words| words[1].as_str()).collect();
    assert_eq!(names, ["check", "init", "lock", "rehearse", "render"].into());
    for words in typed {
        bake::cli::command().try_get_matches_from(&words).unwrap_or_else(|error| panic!("{error}"));
    }

    let folder = Folder::empty();
    folder.write(
        "cast",
        "{\"version\": 2, \"width\": 80, \"height\": 24, \"title\": \"A\"}\n[0.5, \"o\", \"\\u001b[6n\"]\n",
    );
    assert!(draw(&folder.join("cast")).ended(1).err.contains("unknown control sequence"));
}
