//! Archives at addresses that do not tell how they are packed.

use crate::support::archives::{self, Members};
use crate::support::elf;
use crate::support::server::{Answer, Server};
use crate::support::test;
use crate::support::world::World;
use bake::project::values::Arch;
use serde_json::Value;

type Pack = fn(&Members<'_>) -> Vec<u8>;

/// How each is packed, how the lock names that, and a command of the rendered build.
const FORMATS: [(Pack, Option<&str>, &str); 7] = [
    (archives::tar_gz, Some("tar.gz"), "tar -xf hare.tar.gz"),
    (archives::tar_xz, Some("tar.xz"), "tar -xf hare.tar.xz"),
    (archives::tar_bz2, Some("tar.bz2"), "tar -xf hare.tar.bz2"),
    (archives::tar_zst, Some("tar.zst"), "tar -xf hare.tar.zst"),
    (archives::zip, Some("zip"), "unzip -p hare.zip"),
    (archives::gz, Some("gz"), "gunzip hare.gz"),
    (archives::bare, None, "/out/bin/hare"),
];

fn packed(pack: Pack) -> Vec<u8> {
    pack(&[("hare", &elf::executable(Arch::Amd64, "hare"))])
}

#[test]
fn the_content_tells_the_format() {
    let server = Server::start();
    for (at, (pack, format, command)) in FORMATS.into_iter().enumerate() {
        let world = World::new("");
        let path = format!("/latest/{at}?file=hare.tgz");
        server.answer(&path, Answer::of(packed(pack)));
        let url = server.url(&path);
        world.bake(["add", "--url", &url, "--name", "hare", "--arch", "amd64=amd64"]).done();
        let build = serde_json::to_value(world.build("hare", Arch::Amd64)).expect("JSON");
        assert_eq!(build.get("format").and_then(Value::as_str), format, "{build}");
        world.bake(["check"]).done();
        world.bake(["render"]).done();
        let dockerfile = world.folder.read("out/Dockerfile");
        assert!(dockerfile.contains(command), "{command}: {dockerfile}");
        world.bake(["audit", "--against", "cache"]).done();
    }
}

#[test]
fn a_name_with_an_ending_is_believed() {
    let (server, world) = (Server::start(), World::new(""));
    server.answer("/hare.tar.xz", Answer::of(packed(archives::tar_gz)));
    let url = server.url("/hare.tar.xz");
    let said = world.bake(["add", "--url", &url, "--name", "hare", "--arch", "amd64=amd64"]).ended(1);
    assert!(said.err.contains("expected an xz file, found a gzip file"), "{}", said.err);
}

#[test]
fn a_format_in_the_lock_that_the_archive_does_not_have_is_noticed() {
    let (server, world) = (Server::start(), World::new(""));
    for path in ["/stable", "/hare.zip"] {
        server.answer(path, Answer::of(packed(archives::zip)));
    }
    let edited = |path: &str, from: &str, to: &str| {
        world.folder.write("images/binaries.yaml", "version: 1\nbinaries: []\n");
        let url = server.url(path);
        world.bake(["add", "--url", &url, "--name", "hare", "--arch", "amd64=amd64"]).done();
        world.folder.edit("bake.lock", from, to);
    };
    edited("/stable", "format: zip", "format: tar.gz");
    let said = world.bake(["audit", "--against", "upstream"]).ended(1);
    assert!(said.out.contains("packed in another way"), "{}", said.out);
    edited("/hare.zip", "        binary: hare\n", "        format: tar.gz\n        binary: hare\n");
    let said = world.bake(["check"]).ended(2);
    assert!(said.err.contains("another archive format than its name for amd64"), "{}", said.err);
}
