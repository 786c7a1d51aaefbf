//! The dynamic loader of an executable must be in the base image.

use crate::support::archives;
use crate::support::baked::{Baked, two};
use crate::support::elf;
use crate::support::github::Release;
use crate::support::images::{Tar, gzipped, image};
use crate::support::test;
use crate::support::world::World;
use bake::project::values::Arch;

const GLIBC: [&str; 2] = ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"];
const MUSL: [&str; 2] = ["/lib/ld-musl-x86_64.so.1", "/lib/ld-musl-aarch64.so.1"];
const WORDS: [&str; 2] = ["x86_64", "aarch64"];

/// OpenClaw's own image by a digest, so that its registry need not answer.
const OWN: &str = "ghcr.io/openclaw/openclaw:2026.9.4";

/// A release with an executable for each architecture under `NAME-WORD`.
fn with_builds(release: Release, name: &str, loaders: Option<[&str; 2]>) -> Release {
    Arch::ALL.into_iter().enumerate().fold(release, |release, (at, arch)| {
        let binary = match loaders {
            Some(loaders) => elf::dynamic(arch, name, loaders[at]),
            None => elf::executable(arch, name),
        };
        let archive = archives::tar_gz(&[("reader", &binary)]);
        release.asset(&format!("reader-{}-{name}.tar.gz", WORDS[at]), archive)
    })
}

/// A project on OpenClaw's own image, which is locked, and one release of `owner/reader`.
fn project(release: Release) -> World {
    let world = World::new("");
    world.github.publish("owner/reader", release);
    world.folder.write("bake.yaml", format!("version: 1\ngateway:\n  image: {OWN}\nimage:\n  apt: []\n"));
    world.bake(["lock", "--offline"]).done();
    world
}

#[test]
fn a_build_whose_loader_is_there_takes_the_place_of_one_for_musl() {
    let release = with_builds(Release::new("v3.1.0"), "unknown-linux-musl", Some(MUSL));
    let world = project(with_builds(release, "unknown-linux-gnu", Some(GLIBC)));
    let said = world.bake(["add", "owner/reader"]).done();
    assert!(said.err.contains("reader-x86_64-unknown-linux-musl.tar.gz` needs the loader"), "{}", said.err);
    for (arch, loader) in Arch::ALL.into_iter().zip(GLIBC) {
        let build = world.build("reader", arch);
        assert!(build.url.file_name().ends_with("-gnu.tar.gz"), "{}", build.url);
        assert_eq!(build.loader.map(|loader| loader.to_string()).as_deref(), Some(loader));
    }
    world.bake(["check"]).done();
    // The Dockerfile looks for it, too.
    world.bake(["render"]).done();
    let dockerfile = world.folder.read("out/Dockerfile");
    assert!(dockerfile.contains("COPY --from=gateway /lib/ld-linux-aarch64.so.1 loader"), "{dockerfile}");
}

#[test]
fn a_static_build_for_musl_is_taken_first() {
    let release = with_builds(Release::new("v3.1.0"), "unknown-linux-musl", None);
    let world = project(with_builds(release, "unknown-linux-gnu", Some(GLIBC)));
    let said = world.bake(["add", "owner/reader"]).done();
    assert!(!said.err.contains("loader"), "{}", said.err);
    let build = world.build("reader", Arch::Arm64);
    assert!(build.url.file_name().ends_with("-musl.tar.gz") && build.loader.is_none(), "{build:?}");
    world.bake(["render"]).done();
    assert!(!world.folder.read("out/Dockerfile").contains("--from=gateway"));
}

#[test]
fn a_loader_that_the_image_lacks_is_refused_with_a_choice() {
    let release = with_builds(Release::new("v3.1.0"), "linux-musl", Some(MUSL));
    let release = with_builds(release, "linux-ui", Some(GLIBC));
    let world = project(release);
    let arguments = ["add", "owner/reader", "--asset", "reader-{arch}-linux-musl.tar.gz"];
    let arguments = arguments.into_iter().chain(["--arch", "amd64=x86_64", "--arch", "arm64=aarch64"]);
    let said = world.bake(arguments.clone()).ended(1);
    for part in [
        "error[missing-loader]",
        "`reader` 3.1.0 (amd64), `reader-x86_64-linux-musl.tar.gz`, needs the loader /lib/ld-musl-x86_64.so.1",
        "`--asset`: `reader-x86_64-linux-ui.tar.gz`; or install Debian's, with `apt: [musl]` in bake.yaml",
    ] {
        assert!(said.err.contains(part), "{part}: {}", said.err);
    }
    // Debian's package brings it.
    world.folder.edit("bake.yaml", "apt: []", "apt: [musl]");
    world.bake(["lock", "--offline"]).done();
    world.bake(arguments).done();
    world.bake(["check"]).done();
    // Without the package, the lock's builds cannot start, offline as well.
    world.folder.edit("bake.yaml", "apt: [musl]", "apt: []");
    for command in ["check", "render"] {
        let said = world.bake([command]).ended(2);
        assert!(said.err.contains("error[missing-loader]") && said.err.contains("musl"), "{}", said.err);
    }
}

#[test]
fn another_base_image_is_asked_when_the_image_is_built() {
    let release = with_builds(Release::new("v3.1.0"), "linux", Some(MUSL));
    let world = World::new("");
    world.github.publish("owner/reader", release);
    let said = world.bake(["add", "owner/reader"]).done();
    assert!(said.err.contains("/lib/ld-musl-x86_64.so.1 in the base image"), "{}", said.err);
}

/// A project on a base image with these layers, whose tool asks for `/lib/ld-own.so.2`.
fn on_base(layers: &[Tar]) -> Baked {
    let mut tool = two().remove(0);
    tool.loader = Some("/lib/ld-own.so.2");
    let layers: Vec<_> = layers.iter().map(|layer| gzipped(layer.clone())).collect();
    let parts = image("amd64", &layers);
    let baked = Baked::on(&format!("registry.example/owner/base:1.2@{}", parts.digest().oci()), vec![tool]);
    parts.layout(&baked.folder.join("base"), "1");
    baked
}

#[test]
fn an_image_is_not_built_over_a_base_without_the_loader() {
    let bottom = || Tar::new().folder("usr").folder("usr/lib").symlink("lib", "usr/lib");
    let there = bottom().file("usr/lib/ld-own.so.2", "a loader");
    let linked = there.clone();
    on_base(&[linked]).image(["build", "--base", "base"]);
    // In an upper layer; and a link to it.
    let upper = Tar::new().folder("opt").file("opt/ld", "a loader").symlink("usr/lib/ld-own.so.2", "/opt/ld");
    on_base(&[bottom(), upper]).image(["build", "--base", "base"]);
    // A dangling link, a folder, nothing.
    let dangling = bottom().symlink("usr/lib/ld-own.so.2", "/opt/ld");
    let folder = bottom().folder("usr/lib/ld-own.so.2");
    for layers in [&[dangling][..], &[folder], &[bottom(), Tar::new().folder("opt")]] {
        let baked = on_base(layers);
        for command in [&["build"][..], &["save", "x.tar"]] {
            let arguments = ["image"].iter().chain(command).chain(&["--base", "base"]).copied();
            let said = baked.bake(arguments).ended(1);
            for part in ["error[missing-loader]", "flat amd64", "/lib/ld-own.so.2"] {
                assert!(said.err.contains(part), "{part}: {}", said.err);
            }
        }
        assert!(!baked.folder.join("oci").exists() && !baked.folder.join("x.tar").exists());
    }
}
