//! The user-data near Compute Engine's size limit, and beyond it.

use std::io::Read;

use crate::support::test;
use crate::support::{Folder, build};
use bake::project::values::Arch;
use bake::render::LARGEST_VALUE;
use base64::Engine;

/// A project with so many binaries from URLs.
fn project(count: usize) -> Folder {
    let folder = Folder::project();
    let names: Vec<String> = (0..count).map(|i| format!("tool-{i}")).collect();
    let mut manifest = String::from("binaries:\n");
    let mut builds = Vec::new();
    for name in &names {
        let url = format!("https://example.org/{name}.tar.gz");
        manifest.push_str("  - {name: ");
        manifest.push_str(name);
        manifest.push_str(", arch: {amd64: x}, url: \"");
        manifest.push_str(&url);
        manifest.push_str("\"}\n");
        builds.push((name.as_str(), Arch::Amd64, build(&url, name.as_bytes(), name, None)));
    }
    folder.write("images/binaries.yaml", manifest).lock(&builds);
    folder
}

fn user_data(folder: &Folder) -> usize {
    folder.read("out/user-data.yaml").len()
}

#[test]
fn near_the_limit_it_says_so_and_above_it_sends_less() {
    // The first count whose user-data is above 90 % of the limit, and the first above all of it.
    let (small, large) = (project(50), project(100));
    small.bake(["render"]).done();
    large.bake(["render"]).done();
    let each = (user_data(&large) - user_data(&small)) / 50;
    let near = 100 + (LARGEST_VALUE * 95 / 100 - user_data(&large)) / each;
    let above = 100 + (LARGEST_VALUE * 105 / 100 - user_data(&large)) / each;

    let folder = project(near);
    let said = folder.bake(["render"]).done();
    assert!(said.err.contains("bundle-near-limit"), "{}", said.err);
    assert!(!folder.join("out/user-data.yaml.gz.b64").exists());

    let folder = project(above);
    let said = folder.bake(["render"]).done();
    assert!(said.err.contains("is sent compressed"), "{}", said.err);
    let encoded = folder.read("out/user-data.yaml.gz.b64");
    assert!(encoded.len() < LARGEST_VALUE);
    let bytes = base64::engine::general_purpose::STANDARD.decode(encoded.trim_end()).expect("base64");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).expect("gzip");
    assert_eq!(text, folder.read("out/user-data.yaml"));
    let gcloud = folder.read("out/gcloud.sh");
    assert!(gcloud.contains("user-data=user-data.yaml.gz.b64"), "{gcloud}");
    assert!(gcloud.contains("user-data-encoding=base64"), "{gcloud}");

    // Smaller again: the larger form is removed.
    folder.write("images/binaries.yaml", "binaries: []\n");
    folder.bake(["lock", "--offline"]).done();
    folder.bake(["render"]).done();
    assert!(!folder.join("out/user-data.yaml.gz.b64").exists());
}

#[test]
fn too_much_is_refused_and_nothing_is_written() {
    let folder = project(5_000);
    let said = folder.bake(["render"]).ended(2);
    assert!(said.err.contains("bundle-too-large"), "{}", said.err);
    assert!(said.err.contains("262144"), "{}", said.err);
    assert!(said.err.contains("`strategy: registry`"), "{}", said.err);
    assert!(!folder.join("out").exists());
}
