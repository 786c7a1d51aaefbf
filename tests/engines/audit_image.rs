//! `bake audit` against images, both as real builders make them from a rendered bundle and hand-made.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use crate::support::audit::{Audit, audited, plain};
use crate::support::images::{Packed, Parts, Tar, gzipped, image_with, index, plain as uncompressed};
use crate::support::test;
use crate::support::testbed::{self, Pushed};
use crate::support::world::{World, release};
use crate::support::{Folder, elf, said};
use bake::digest::{ChecksumReader, Sha256};
use bake::project::values::Arch;
use serde_json::{Value, json};
use tar::EntryType;

/// An image name that is unique to this test and run.
fn own(name: &str) -> String {
    format!("{}/bake-audit-{name}-{}:1", testbed::registry(), std::process::id())
}

/// A project with two tools on `base`, locked and rendered.
fn on(base: &str) -> World {
    let world = World::new("  - {name: one, repo: owner/one}\n  - {name: two, repo: owner/two}\n");
    world.github.publish("owner/one", release("one", "v1.0.0"));
    world.github.publish("owner/two", release("two", "v1.0.0"));
    world
        .folder
        .write("bake.yaml", format!("version: 1\ngateway: {{image: '{base}'}}\nimage: {{apt: []}}\n"));
    world.bake(["lock"]).done();
    world.bake(["render"]).done();
    world
}

/// The executable of `one` or `two`.
fn binary(tool: &str, arch: Arch) -> Vec<u8> {
    elf::executable(arch, &format!("{tool} 1.0.0"))
}

fn with(tar: Tar, path: &str, content: &[u8]) -> Tar {
    tar.entry(EntryType::Regular, path, "", content)
}

/// A hand-made base image with programs, and a project on it.
struct Sample {
    world: World,
    base: Pushed,
    layer: fn(Arch) -> Packed,
    scratch: Folder,
}

/// The base image's layer: programs, a link to one, and a link through another folder.
fn base_layer(arch: Arch) -> Packed {
    gzipped(
        Tar::new()
            .file("bin/sh", &format!("sh {arch}"))
            .file("usr/local/bin/node", "node")
            .file("usr/local/bin/tini", "tini")
            .symlink("usr/local/bin/npm", "../lib/npm/bin/npm-cli.js")
            .file("opt/npm/bin/npm-cli.js", "npm")
            .file("opt/evil/bin/npm-cli.js", "no npm")
            .symlink("usr/local/lib/npm", "../../../opt/npm"),
    )
}

/// The layer that the rendered Dockerfile adds.
fn tools_layer(arch: Arch) -> Packed {
    let tar = ["one", "two"]
        .iter()
        .fold(Tar::new(), |tar, tool| with(tar, &format!("usr/local/bin/{tool}"), &binary(tool, arch)));
    gzipped(tar)
}

fn on_linux(arch: &str) -> Value {
    json!({"os": "linux", "architecture": arch})
}

fn of(arch: Arch, layers: &[Packed]) -> Parts {
    with_config(arch, layers, &json!({"User": "1000:1000", "Env": ["PATH=/usr/local/bin:/bin"]}))
}

fn with_config(arch: Arch, layers: &[Packed], config: &Value) -> Parts {
    image_with(arch.as_str(), layers, &json!({"config": config}))
}

impl Sample {
    fn new(name: &str) -> Self {
        Self::with_base(name, base_layer)
    }

    /// On a base image with this layer.
    fn with_base(name: &str, layer: fn(Arch) -> Packed) -> Self {
        let base = Pushed(own(name));
        let scratch = Folder::empty();
        let parts = index(Arch::ALL.map(|arch| (on_linux(arch.as_str()), of(arch, &[layer(arch)]))).into());
        parts.layout(&scratch.join("base"), "1");
        push(&scratch, "base", &base.0);
        Self { world: on(&base.0), base, layer, scratch }
    }

    /// An OCI layout of the rendered image with further layers.
    fn built(&self, further: Vec<Tar>) -> String {
        let arch = Arch::Amd64;
        let mut layers = vec![(self.layer)(arch), tools_layer(arch)];
        layers.extend(further.into_iter().map(gzipped));
        self.layout(&of(arch, &layers))
    }

    fn layout(&self, parts: &Parts) -> String {
        let folder = self.scratch.join("image");
        let _ = fs::remove_dir_all(&folder);
        parts.layout(&folder, "1");
        plain(&folder)
    }

    /// The findings of an audit of only an image, without the image's name.
    #[track_caller]
    fn problems(&self, image: &str) -> Vec<String> {
        let audit = self.audited(image, None);
        let short = |line: &String| {
            let line = line.replace(&format!(" in {image}"), "").replace(image, "IMAGE");
            line.strip_prefix("image ").unwrap_or(&line).to_owned()
        };
        audit.told.iter().map(short).collect()
    }

    #[track_caller]
    fn audited(&self, image: &str, code: Option<i32>) -> Audit {
        let arguments = ["--against", "image", "--image", image];
        let code = code.unwrap_or_else(|| said(self.world.command().arg("audit").args(arguments)).code);
        audited(&self.world, &arguments, code)
    }
}

/// Copies a layout into the registry.
fn push(scratch: &Folder, layout: &str, to: &str) {
    let mut skopeo = testbed::program("skopeo");
    skopeo.args(["copy", "--quiet", "--all", "--preserve-digests", "--dest-tls-verify=false"]);
    skopeo.arg(format!("oci:{}:1", scratch.join(layout).display())).arg(format!("docker://{to}"));
    said(&mut skopeo).done();
}

/// An image that is removed when it is dropped.
struct Built {
    docker: &'static str,
    names: Vec<String>,
}

impl Built {
    fn run(&self, arguments: &[&str]) {
        said(testbed::tool(self.docker).args(arguments)).done();
    }

    fn build(&mut self, folder: &Folder, dockerfile: &str, name: &str) {
        folder.write("context/Dockerfile", dockerfile);
        self.names.push(name.to_owned());
        let context = plain(&folder.join("context"));
        self.run(&["build", "--quiet", "--force-rm", "--network", "host", "--tag", name, &context]);
    }

    fn save(&self, folder: &Folder, name: &str) -> String {
        let path = plain(&folder.join("saved.tar"));
        self.run(&["save", "--output", &path, name]);
        path
    }
}

impl Drop for Built {
    fn drop(&mut self) {
        let _ = testbed::tool(self.docker).args(["rmi", "--force"]).args(self.names.iter().rev()).output();
    }
}

/// An unmodified build of the rendered Dockerfile is clean in every format, also with a Debian package. Changes
/// in a later layer are findings.
#[test]
fn an_image_of_buildkit_is_clean_until_it_is_changed() {
    let docker = "docker-26";
    let base = testbed::base_image();
    testbed::tool(docker);
    testbed::program("skopeo");
    let world = on(&base);
    world.folder.edit("bake.yaml", "apt: []", "apt: [ed]");
    world.bake(["lock"]).done();
    world.bake(["render"]).done();
    let scratch = Folder::empty();
    let pushed = Pushed(own(docker));
    let mut built = Built { docker, names: Vec::new() };
    built.build(&scratch, &world.folder.read("out/Dockerfile"), &pushed.0);
    built.run(&["push", "--quiet", &pushed.0]);
    let tarball = built.save(&scratch, &pushed.0);
    let layout = plain(&scratch.join("layout"));
    let mut skopeo = testbed::program("skopeo");
    skopeo.args([
        "copy",
        "--quiet",
        "--src-tls-verify=false",
        &format!("docker://{}", pushed.0),
        &format!("oci:{layout}:1"),
    ]);
    said(&mut skopeo).done();
    for image in [&pushed.0, &layout, &tarball] {
        let audit = audited(&world, &["--accept-packages", "--image", image], 0);
        assert_eq!(audit.told, [format!("image note could-not-check packages amd64 in {image}")]);
        let looked: BTreeSet<_> = audit
            .checks()
            .filter(|check| check["against"] == "image")
            .map(|check| check["subject"].as_str().expect("a text"))
            .collect();
        let expected =
            ["one 1.0.0 amd64", "packages amd64", "two 1.0.0 amd64"].map(|what| format!("{what} in {image}"));
        assert_eq!(looked.into_iter().collect::<Vec<_>>(), expected);
    }

    let changed = own(&format!("{docker}-changed"));
    let dockerfile = format!(
        "FROM {}\nUSER 0\nRUN cd /usr/local/bin && printf x >>two\nRUN cd /usr/local/bin && rm one && ln -s /bin/sh x && cp /bin/true more\n",
        pushed.0
    );
    built.build(&scratch, &dockerfile, &changed);
    let tarball = built.save(&scratch, &changed);
    let audit = audited(&world, &["--image", &tarball], 1);
    let expected = [
        "finding not-in-image one 1.0.0 amd64",
        "finding checksum-mismatch two 1.0.0 amd64",
        "finding not-in-lock /usr/local/bin/more amd64",
        "finding not-in-lock /usr/local/bin/x amd64",
        "finding not-in-lock settings amd64",
        "unchecked could-not-check packages amd64",
    ];
    let expected: BTreeSet<_> = expected.map(|line| format!("image {line} in {tarball}")).into();
    assert_eq!(audit.told.iter().cloned().collect::<BTreeSet<_>>(), expected);
    let mut bytes = binary("two", Arch::Amd64);
    bytes.push(b'x');
    let check = audit.told_of(&format!("two 1.0.0 amd64 in {tarball}"), "image");
    assert_eq!(
        (&check["expected"], &check["found"]),
        (&json!(Sha256::of(binary("two", Arch::Amd64)).to_string()), &json!(Sha256::of(&bytes).to_string()))
    );
    assert_eq!(check["place"]["file"], "bake.lock");
}

#[test]
fn an_unchanged_image_is_clean_for_each_architecture_that_it_has() {
    let sample = Sample::new("unchanged");
    assert_eq!(sample.problems(&sample.built(vec![])), [""; 0]);
    let build = |arch: Arch| of(arch, &[base_layer(arch), tools_layer(arch)]);
    let both = index(Arch::ALL.map(|arch| (on_linux(arch.as_str()), build(arch))).into());
    let layout = sample.layout(&both);
    let audit = sample.audited(&layout, Some(0));
    assert_eq!(audit.checks().count(), 2 * 3);
    // One flipped bit in the build for the other architecture.
    let arm = Tar::new();
    let arm = with(arm, "usr/local/bin/one", &{
        let mut bytes = binary("one", Arch::Arm64);
        crate::support::audit::flip(&mut bytes, 130);
        bytes
    });
    let arm = of(Arch::Arm64, &[base_layer(Arch::Arm64), tools_layer(Arch::Arm64), gzipped(arm)]);
    let changed = index(vec![(on_linux("amd64"), build(Arch::Amd64)), (on_linux("arm64"), arm)]);
    assert_eq!(sample.problems(&sample.layout(&changed)), ["finding checksum-mismatch one 1.0.0 arm64"]);
    // A later layer may repeat a file without changes.
    let again = Tar::new().file("usr/local/bin/node", "node").entry(
        EntryType::Regular,
        "usr/local/bin/one",
        "",
        &binary("one", Arch::Amd64),
    );
    assert_eq!(sample.problems(&sample.built(vec![again])), [""; 0]);
}

#[test]
fn finds_changes_in_later_layers() {
    let sample = Sample::new("changed");
    let mut flipped = binary("one", Arch::Amd64);
    crate::support::audit::flip(&mut flipped, 125);
    let bin = |name: &str| format!("usr/local/bin/{name}");
    for (layers, expected) in [
        (vec![with(Tar::new(), &bin("one"), &flipped)], vec!["finding checksum-mismatch one 1.0.0 amd64"]),
        (vec![Tar::new().file(&bin(".wh.one"), "")], vec!["finding not-in-image one 1.0.0 amd64"]),
        (
            vec![Tar::new().file("usr/local/bin/.wh..wh..opq", "")],
            vec![
                "finding not-in-image one 1.0.0 amd64",
                "finding not-in-image two 1.0.0 amd64",
                "finding not-in-image /usr/local/bin/node amd64",
                "finding not-in-image /usr/local/bin/npm amd64",
                "finding not-in-image /usr/local/bin/tini amd64",
            ],
        ),
        (vec![Tar::new().symlink(&bin("one"), "/bin/sh")], vec!["finding checksum-mismatch one 1.0.0 amd64"]),
        (vec![Tar::new().symlink(&bin("one"), "two")], vec!["finding checksum-mismatch one 1.0.0 amd64"]),
        (
            vec![Tar::new().symlink(&bin("one"), "/nowhere")],
            vec!["finding checksum-mismatch one 1.0.0 amd64"],
        ),
        (vec![Tar::new().folder(&bin("one"))], vec!["finding checksum-mismatch one 1.0.0 amd64"]),
        (
            vec![Tar::new().file(&bin("node"), "no node")],
            vec!["finding checksum-mismatch /usr/local/bin/node amd64"],
        ),
        (
            vec![Tar::new().symlink(&bin("node"), "/bin/sh")],
            vec!["finding checksum-mismatch /usr/local/bin/node amd64"],
        ),
        (vec![Tar::new().file(&bin(".wh.tini"), "")], vec!["finding not-in-image /usr/local/bin/tini amd64"]),
        // The link's target, and a folder on its path.
        (
            vec![Tar::new().file("opt/npm/bin/npm-cli.js", "no npm")],
            vec!["finding checksum-mismatch /opt/npm/bin/npm-cli.js amd64"],
        ),
        (
            vec![Tar::new().symlink("usr/local/lib/npm", "/opt/evil")],
            vec!["finding checksum-mismatch /usr/local/lib/npm amd64"],
        ),
        (vec![Tar::new().symlink(&bin("x"), "/bin/sh")], vec!["finding not-in-lock /usr/local/bin/x amd64"]),
        (vec![Tar::new().file(&bin("x"), "x")], vec!["finding not-in-lock /usr/local/bin/x amd64"]),
        (vec![Tar::new().file(&bin("x"), "x"), Tar::new().file(&bin(".wh.x"), "")], vec![]),
        // A later layer restores the right bytes.
        (
            vec![
                Tar::new().file(&bin("two"), "x"),
                with(Tar::new(), &bin("two"), &binary("two", Arch::Amd64)),
            ],
            vec![],
        ),
    ] {
        assert_eq!(sample.problems(&sample.built(layers)), expected);
    }
    let layout = sample.built(vec![with(Tar::new(), &bin("one"), &flipped)]);
    let audit = sample.audited(&layout, Some(1));
    let message = audit.message(&format!("one 1.0.0 amd64 in {layout}"), "image");
    assert!(message.contains("/usr/local/bin/one, from layer 3 of 3"), "{message}");
}

#[test]
fn finds_changes_outside_of_the_programs_folder() {
    let sample = Sample::new("outside");
    let capability = "SCHILY.xattr.security.capability";
    for (layer, expected) in [
        (Tar::new().file("opt/profile.d/more.sh", "x"), vec!["finding not-in-lock /opt/profile.d amd64"]),
        (Tar::new().file("bin/sh", "another sh"), vec!["finding checksum-mismatch /bin/sh amd64"]),
        (Tar::new().file("bin/.wh.sh", ""), vec!["finding not-in-image /bin/sh amd64"]),
        (Tar::new().symlink("bin/sh", "/opt/x"), vec!["finding checksum-mismatch /bin/sh amd64"]),
        (
            Tar::new().pax(&[(capability, "\u{1}")]).file("usr/local/bin/node", "node"),
            vec!["finding checksum-mismatch /usr/local/bin/node amd64"],
        ),
        (
            with(Tar::new().pax(&[(capability, "\u{1}")]), "usr/local/bin/one", &binary("one", Arch::Amd64)),
            vec!["finding checksum-mismatch one 1.0.0 amd64"],
        ),
        // Builders write the parents of files that they copy.
        (Tar::new().folder("usr").folder("usr/local").folder("usr/local/bin"), vec![]),
        (Tar::new().folder_for_all("usr/local/bin"), vec!["finding checksum-mismatch /usr/local/bin amd64"]),
    ] {
        assert_eq!(sample.problems(&sample.built(vec![layer])), expected);
    }
}

#[test]
fn finds_changed_settings() {
    let sample = Sample::new("settings");
    let arch = Arch::Amd64;
    let env = json!(["PATH=/usr/local/bin:/bin"]);
    for (config, part) in [
        (json!({"User": "1000:1000", "Env": env, "Cmd": ["/tmp/x"]}), "`cmd`"),
        (json!({"User": "1000:1000", "Env": env, "Healthcheck": {"Test": ["CMD", "/x"]}}), "`healthcheck`"),
        (json!({"User": "root", "Env": env}), "`user`"),
        (json!({"User": "1000:1000", "Env": ["PATH=/usr/local/bin:/bin", "LD_AUDIT=/x"]}), "`LD_AUDIT`"),
        (json!({"User": "1000:1000", "Env": ["PATH=/x:/usr/local/bin:/bin"]}), "`PATH`"),
    ] {
        let image = sample.layout(&with_config(arch, &[base_layer(arch), tools_layer(arch)], &config));
        assert_eq!(sample.problems(&image), ["finding not-in-lock settings amd64"]);
        let message = sample.audited(&image, Some(1)).message(&format!("settings amd64 in {image}"), "image");
        assert!(message.contains(part), "{part} is not in: {message}");
    }
}

/// The files of an archive that is installed as a whole are compared with the cached archive.
#[test]
fn finds_changes_next_to_a_program() {
    let sample = Sample::new("siblings");
    let world = &sample.world;
    world.folder.edit("images/binaries.yaml", "repo: owner/two", "repo: owner/two, beside: true");
    world.bake(["lock"]).done();
    let folder = "usr/local/lib/two";
    let layer = |two: &[u8]| {
        with(Tar::new(), "usr/local/bin/one", &binary("one", Arch::Amd64))
            .symlink("usr/local/bin/two", "../lib/two/two")
            .entry(EntryType::Regular, &format!("{folder}/two"), "", two)
            .file(&format!("{folder}/README.md"), "Read me.\n")
    };
    let two = binary("two", Arch::Amd64);
    let built = |layer: Tar| sample.layout(&of(Arch::Amd64, &[base_layer(Arch::Amd64), gzipped(layer)]));
    assert_eq!(sample.problems(&built(layer(&two))), [""; 0]);
    let preload = layer(&two).file(&format!("{folder}/preload.so"), "x");
    assert_eq!(sample.problems(&built(preload)), ["finding not-in-lock /usr/local/lib/two/preload.so amd64"]);
    let moved = with(Tar::new(), "usr/local/bin/one", &binary("one", Arch::Amd64)).entry(
        EntryType::Regular,
        "usr/local/bin/two",
        "",
        &two,
    );
    assert_eq!(
        sample.problems(&built(moved)),
        [
            "finding not-in-image /usr/local/lib/two/README.md amd64",
            "finding not-in-image /usr/local/lib/two/two amd64"
        ]
    );
    fs::remove_dir_all(world.cache()).expect("a cache");
    assert_eq!(sample.problems(&built(layer(&two))), ["unchecked could-not-check files of two 1.0.0 amd64"]);
}

/// A Debian image in little: `coreutils` and `libold`, with dpkg's database.
fn debian_layer(_: Arch) -> Packed {
    gzipped(
        Tar::new()
            .file("usr/bin/env", "env")
            .file("usr/lib/libold.so.1", "old 1")
            .file("etc/passwd", "root\n")
            .file("etc/ld.so.cache", "glibc-ld.so.cache1.1\0\u{1}\0libold.so.1\0/lib/libold.so.1\0")
            .file("var/lib/dpkg/status", &status(&[("coreutils", "9.1-1", ""), ("libold", "1-1", "")]))
            .file("var/lib/dpkg/info/coreutils.list", "/.\n/usr\n/usr/bin\n/usr/bin/env\n")
            .file("var/lib/dpkg/info/libold:amd64.list", "/.\n/lib\n/lib/libold.so.1\n"),
    )
}

/// dpkg's `status`, with further fields of each package.
fn status(packages: &[(&str, &str, &str)]) -> String {
    let paragraph = |(name, version, more): &(&str, &str, &str)| {
        format!(
            "Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n{more}\n"
        )
    };
    packages.iter().map(paragraph).collect()
}

/// The changes by an installation of `relay`, which needs a newer `libold`.
fn packages_layer() -> Tar {
    let md5 = |content: &str| ChecksumReader::new(content.as_bytes()).finish().expect("memory")[0];
    let conffile =
        format!("Provides: courier (= 1.8), mail-relay\nConffiles:\n /etc/relay.conf {}\n", md5("port 1\n"));
    let packages = [("coreutils", "9.1-1", ""), ("libold", "1-3", ""), ("relay", "1.8.0-4", &conffile)];
    Tar::new()
        .folder("usr/share/doc/relay")
        .file("usr/bin/relay", "relay")
        .symlink("usr/bin/relay1", "relay")
        .symlink("usr/bin/courier", "/etc/alternatives/courier")
        .symlink("etc/alternatives/courier", "/usr/bin/relay")
        .file("etc/relay.conf", "port 1\n")
        .file("usr/lib/libold.so.1", "old 3")
        .file("etc/ld.so.cache", "glibc-ld.so.cache1.1\0\u{2}\0libold.so.1\0/lib/libold.so.1\0")
        .file("var/log/dpkg.log", "installed relay\n")
        .file("var/lib/dpkg/status", &status(&packages))
        .file(
            "var/lib/dpkg/info/relay.list",
            "/.\n/etc\n/etc/relay.conf\n/usr\n/usr/bin\n/usr/bin/relay\n/usr/bin/relay1\n/usr/share\n/usr/share/doc\n/usr/share/doc/relay\n",
        )
        .file("var/lib/dpkg/info/relay.md5sums", &format!("{}  usr/bin/relay\n", md5("relay")))
        .file("var/lib/dpkg/info/libold:amd64.md5sums", &format!("{}  lib/libold.so.1\n", md5("old 3")))
}

#[test]
fn packages_are_compared_with_dpkgs_database() {
    let sample = Sample::with_base("packages", debian_layer);
    sample.world.folder.edit("bake.yaml", "apt: []", "apt: [relay]");
    sample.world.bake(["lock"]).done();
    let image = sample.built(vec![packages_layer()]);
    let of_packages = format!("packages amd64 in {image}");
    let audit = sample.audited(&image, Some(1));
    assert_eq!(audit.told, [format!("image unchecked could-not-check {of_packages}")]);
    let message = audit.message(&of_packages, "image");
    assert!(message.contains("libold 1-3, relay 1.8.0-4 fit"), "{message}");
    let check = audit.told_of(&of_packages, "image");
    assert!(check["help"].as_str().is_some_and(|help| help.contains("--accept-packages")), "{check}");
    let accept = ["--accept-packages", "--against", "image", "--image", &image];
    assert_eq!(
        audited(&sample.world, &accept, 0).told,
        [format!("image note could-not-check {of_packages}")]
    );

    let accepted = |layer: Tar, code: i32| {
        let image = sample.built(vec![packages_layer(), layer]);
        let audit =
            audited(&sample.world, &["--accept-packages", "--against", "image", "--image", &image], code);
        let note = format!("image note could-not-check packages amd64 in {image}");
        assert!(audit.told.contains(&note), "{:?}", audit.told);
        let others = audit.told.iter().filter(|line| **line != note);
        let others = others.map(|line| line.replacen("image ", "", 1).replace(&format!(" in {image}"), ""));
        others.collect::<Vec<_>>()
    };
    for (layer, expected) in [
        // A package that has the base image's version.
        (Tar::new().file("usr/bin/env", "evil"), "finding checksum-mismatch /usr/bin/env amd64"),
        (Tar::new().file("usr/bin/.wh.env", ""), "finding not-in-image /usr/bin/env amd64"),
        (Tar::new().file("usr/bin/relay", "evil"), "finding not-in-lock /usr/bin/relay amd64"),
        (Tar::new().file("etc/relay.conf", "port 2\n"), "finding not-in-lock /etc/relay.conf amd64"),
        (
            Tar::new().file("usr/lib/libold.so.1", "old 2"),
            "finding checksum-mismatch /usr/lib/libold.so.1 amd64",
        ),
        (Tar::new().file("usr/bin/more", "evil"), "finding not-in-lock /usr/bin/more amd64"),
        (Tar::new().file("usr/lib/libevil.so", "evil"), "finding not-in-lock /usr/lib/libevil.so amd64"),
        (Tar::new().symlink("usr/bin/env", "relay"), "finding checksum-mismatch /usr/bin/env amd64"),
        (Tar::new().file("etc/ld.so.preload", "/x"), "finding not-in-lock /etc/ld.so.preload amd64"),
        (
            Tar::new().file("etc/ld.so.cache", "libold.so.1\0/lib/../var/log/apt/x.so\0"),
            "finding checksum-mismatch /etc/ld.so.cache amd64",
        ),
        (
            with(Tar::new().pax(&[("SCHILY.xattr.security.capability", "\u{1}")]), "usr/bin/relay", b"relay"),
            "finding not-in-lock /usr/bin/relay amd64",
        ),
        // No package has these, and their scripts may write there.
        (Tar::new().file("etc/passwd", "root\nrelay\n"), "unchecked could-not-check files of scripts amd64"),
        (Tar::new().file("etc/profile.d/x.sh", "x"), "unchecked could-not-check files of scripts amd64"),
    ] {
        assert_eq!(accepted(layer, 1), [expected]);
    }
    let image = sample
        .built(vec![packages_layer(), Tar::new().file("etc/passwd", "root\nrelay\n").file("usr/bin/x", "x")]);
    let files = ["--accept-packages", "--accept-file", "/etc/passwd,/usr/bin/x", "--image", &image];
    let told = audited(&sample.world, &[&["--against", "image"], &files[..]].concat(), 1).told;
    let expected = [
        "finding not-in-lock /usr/bin/x amd64",
        "note could-not-check files of scripts amd64",
        "note could-not-check packages amd64",
    ];
    assert_eq!(told, expected.map(|line| format!("image {line} in {image}")));
    assert_eq!(accepted(Tar::new().file("var/log/apt/history.log", "relay\n"), 0), [""; 0]);

    // Another package than the spec's, and one that is only provided.
    for (name, expected) in [("nano", vec!["finding not-in-image nano amd64"]), ("mail-relay", vec![])] {
        let spec = sample.world.folder.read("bake.yaml");
        sample.world.folder.edit("bake.yaml", "apt: [relay]", &format!("apt: [{name}]"));
        sample.world.bake(["lock"]).done();
        assert_eq!(accepted(Tar::new(), i32::from(!expected.is_empty())), expected);
        sample.world.folder.write("bake.yaml", spec);
    }
}

/// The setuid bit alone changes a program.
#[test]
fn finds_base_image_programs_with_other_permissions() {
    let sample = Sample::new("setuid");
    let tar = Tar::new().file("usr/local/bin/node", "node").bytes();
    let mut header = tar::Header::new_gnu();
    header.as_mut_bytes().copy_from_slice(&tar[..512]);
    header.set_mode(0o4755);
    header.set_cksum();
    let tar = Tar::new().raw(header.as_bytes()).raw(&tar[512..1024]);
    assert_eq!(
        sample.problems(&sample.built(vec![tar])),
        ["finding checksum-mismatch /usr/local/bin/node amd64"]
    );
}

#[test]
fn finds_an_image_on_another_base() {
    let sample = Sample::new("base");
    let other = gzipped(Tar::new().file("usr/local/bin/node", "node"));
    let layout = sample.layout(&of(Arch::Amd64, &[other, tools_layer(Arch::Amd64)]));
    assert_eq!(sample.problems(&layout), ["finding not-in-lock other files and settings amd64"]);
    let audit = sample.audited(&layout, Some(1));
    let message = audit.message(&format!("other files and settings amd64 in {layout}"), "image");
    assert!(message.contains(&sample.world.lock().image.digest.oci()), "{message}");
    // All layers of the base image must come first.
    let turned = sample.layout(&of(Arch::Amd64, &[tools_layer(Arch::Amd64), base_layer(Arch::Amd64)]));
    assert_eq!(sample.problems(&turned), ["finding not-in-lock other files and settings amd64"]);
    let none = sample.layout(&of(Arch::Amd64, &[]));
    assert_eq!(
        sample.problems(&none),
        [
            "finding not-in-image one 1.0.0 amd64",
            "finding not-in-image two 1.0.0 amd64",
            "finding not-in-lock other files and settings amd64"
        ]
    );
}

#[test]
fn a_tool_locked_for_another_architecture_is_not_in_lock() {
    let sample = Sample::new("stranger");
    let world = &sample.world;
    let lock = world.folder.read("bake.lock");
    let (before, two) = lock.split_once("\n  two:").expect("an entry");
    let (kept, _) = two.split_once("\n      arm64:").expect("a build");
    world.folder.write("bake.lock", format!("{before}\n  two:{kept}\n"));
    let arm = Arch::Arm64;
    let both = index(
        Arch::ALL
            .map(|arch| (on_linux(arch.as_str()), of(arch, &[base_layer(arch), tools_layer(arch)])))
            .into(),
    );
    assert_eq!(sample.problems(&sample.layout(&both)), ["finding not-in-lock /usr/local/bin/two arm64"]);
    let without = gzipped(with(Tar::new(), "usr/local/bin/one", &binary("one", arm)));
    let amd = of(Arch::Amd64, &[base_layer(Arch::Amd64), tools_layer(Arch::Amd64)]);
    let both =
        index(vec![(on_linux("amd64"), amd), (on_linux("arm64"), of(arm, &[base_layer(arm), without]))]);
    assert_eq!(sample.problems(&sample.layout(&both)), [""; 0]);
}

#[test]
fn reports_that_other_programs_cannot_be_checked() {
    let sample = Sample::new("unknown");
    let layout = sample.built(vec![]);
    // The registry no longer has the base image.
    fs::remove_dir_all(reference_folder(&sample.base.0)).expect("a repository");
    let audit = sample.audited(&layout, Some(1));
    let others = format!("other files and settings amd64 in {layout}");
    assert_eq!(audit.told, [format!("image unchecked could-not-check {others}")]);
    assert!(audit.message(&others, "image").contains(&sample.base.0), "{}", audit.message(&others, "image"));

    // The contents of a base image from source are unknown.
    let world = &sample.world;
    let commit = "0123456789abcdef0123456789abcdef01234567";
    world.folder.write("bake.yaml", format!("version: 1\ngateway: {{image: '{}'}}\nimage: {{strategy: source, source: {{repo: 'https://github.com/openclaw/openclaw.git', commit: {commit}}}, apt: []}}\ngcp: {{machine_type: e2-standard-4}}\n", sample.base.0));
    let said = world.bake(["lock"]);
    assert_eq!(said.code, 0, "{said:?}");
    let audit = sample.audited(&layout, Some(1));
    assert_eq!(audit.told, [format!("image unchecked could-not-check {others}")]);
    assert!(audit.message(&others, "image").contains("source"));
}

/// The folder in which the registry keeps a repository.
fn reference_folder(image: &str) -> PathBuf {
    let (_, name) = image.split_once('/').expect("a repository");
    let name = name.rsplit_once(':').expect("a tag").0;
    testbed::folder().join("registry/data/docker/registry/v2/repositories").join(name)
}

#[test]
fn an_image_that_contradicts_its_metadata_is_never_clean() {
    let sample = Sample::new("broken");
    let arch = Arch::Amd64;
    // The stored bytes of a layer do not match its digest.
    let layout = sample.built(vec![]);
    let layer = tools_layer(arch);
    let blob = sample.scratch.join("image/blobs/sha256").join(Sha256::of(&layer.stored).to_string());
    let mut bytes = fs::read(&blob).expect("a blob");
    let last = bytes.len() - 1;
    crate::support::audit::flip(&mut bytes, last);
    fs::write(&blob, bytes).expect("a blob");
    assert_eq!(sample.problems(&layout), ["finding checksum-mismatch IMAGE amd64"]);
    // They match, but the content does not match the config's diff ID.
    let lying = Packed { diff_id: Sha256::of("something else"), ..uncompressed(Tar::new()) };
    let layout = sample.layout(&of(arch, &[base_layer(arch), tools_layer(arch), lying]));
    assert_eq!(sample.problems(&layout), ["finding checksum-mismatch IMAGE amd64"]);
    // A layer is missing.
    let layout = sample.built(vec![]);
    fs::remove_file(&blob).expect("a blob");
    assert_eq!(sample.problems(&layout), ["unchecked could-not-check IMAGE amd64"]);
    // There is no image for the host's architecture.
    let arm = of(Arch::Arm64, &[base_layer(Arch::Arm64), tools_layer(Arch::Arm64)]);
    let layout = sample.layout(&arm);
    assert_eq!(sample.problems(&layout), ["finding not-in-image IMAGE amd64"]);
    let message = sample.audited(&layout, Some(1)).message(&format!("{layout} amd64"), "image");
    assert!(message.contains("linux/amd64") && message.contains("arm64"), "{message}");
    // The registry lacks the image or cannot be reached.
    for image in [own("nothing"), format!("{}-nothing", sample.base.0), "127.0.0.1:9/image:1".to_owned()] {
        let audit = sample.audited(&image, Some(1));
        assert!(!audit.told.is_empty());
        let unchecked = format!("image unchecked could-not-check {image}");
        assert!(audit.told.iter().all(|line| line.starts_with(&unchecked)), "{:?}", audit.told);
    }
}

#[test]
fn finds_a_moved_or_deleted_base_image_tag() {
    let sample = Sample::new("moved");
    let audit_again = || audited(&sample.world, &[], 1);
    let locked = sample.world.lock().image.digest.oci();
    let other = of(Arch::Amd64, &[uncompressed(Tar::new().file("etc/motd", "newer"))]);
    other.layout(&sample.scratch.join("other"), "1");
    push(&sample.scratch, "other", &sample.base.0);
    let audit = audit_again();
    assert_eq!(audit.told, ["upstream finding tag-moved base image"]);
    let message = audit.message("base image", "upstream");
    for part in [&sample.base.0, &locked, &other.digest().oci()] {
        assert!(message.contains(part.as_str()), "{part} is not in: {message}");
    }
    // An image on the locked base image is clean nevertheless.
    assert_eq!(sample.problems(&sample.built(vec![])), [""; 0]);

    let repository = reference_folder(&sample.base.0);
    fs::remove_dir_all(repository.join("_manifests/tags/1")).expect("a tag");
    let audit = audit_again();
    assert_eq!(audit.told, ["upstream finding upstream-gone base image"]);
    assert!(audit.message("base image", "upstream").contains(&sample.base.0));
}

/// The audit reports every code for which it has a rule.
#[test]
fn sarif_validator_accepts_every_kind_of_finding() {
    let sample = Sample::new("sarif");
    let _ = testbed::tool("sarif-validate");
    let world = &sample.world;
    let image = sample.built(vec![
        Tar::new()
            .file("usr/local/bin/.wh.one", "")
            .file("usr/local/bin/two", "x")
            .file("usr/local/bin/x]({y}", "x"),
    ]);
    // A moved tag, a missing archive, a replaced archive and a newer version.
    let moved = index(vec![(on_linux("amd64"), of(Arch::Amd64, &[uncompressed(Tar::new())]))]);
    moved.layout(&sample.scratch.join("moved"), "1");
    push(&sample.scratch, "moved", &sample.base.0);
    world.github.change("owner/one", "v1.0.0", |release| {
        release.assets.retain(|asset| !asset.name.contains("arm64"));
    });
    world.github.replace("owner/two", "v1.0.0", "two_1.0.0_linux_amd64.tar.gz", "other");
    world.github.publish("owner/two", release("two", "v1.1.0"));
    world.folder.edit("out/Dockerfile", "FROM", "from");
    // The lock names a path that is missing in the archive.
    world.folder.edit("bake.lock", "binary: one", "binary: none");
    let mut codes = BTreeSet::new();
    let mut hold = |arguments: &[&str]| {
        let said = said(world.command().arg("audit").args(arguments).arg("--sarif")).ended(1);
        let document: Value = serde_json::from_str(&said.out).expect("JSON");
        for result in document["runs"][0]["results"].as_array().expect("results") {
            codes.insert(result["ruleId"].as_str().expect("a rule").to_owned());
        }
        let path = sample.scratch.write("audit.sarif", &said.out).join("audit.sarif");
        let mut validator = testbed::tool("sarif-validate");
        let said = crate::support::said(validator.arg(path));
        let complaint = |line: &&str| line.contains(": error ") || line.contains(": warning ");
        // The package has no homepage yet.
        let complaints: Vec<_> =
            said.out.lines().filter(complaint).filter(|line| !line.contains("'informationUri'")).collect();
        assert!(said.code < 2 && complaints.is_empty(), "{complaints:#?}");
    };
    hold(&["--image", &image]);
    world.folder.write("report", "lock 12\nstatus ready\n");
    hold(&["--report", "report"]);
    // A stale lock without a build for the host, and a missing archive.
    world.folder.edit("images/binaries.yaml", "repo: owner/two", "repo: owner/two, version: 1.1.0");
    fs::remove_dir_all(world.cache()).expect("a cache");
    let lock = world.folder.read("bake.lock");
    let start = lock.find("      amd64:").expect("a build");
    let end = start + lock[start..].find("      arm64:").expect("a build");
    world.folder.write("bake.lock", format!("{}{}", &lock[..start], &lock[end..]));
    hold(&["--against", "lock,cache"]);
    let known = Folder::empty();
    let rules = said(known.command().args(["audit", "--against", "lock", "--sarif"])).done();
    let rules: Value = serde_json::from_str(&rules.out).expect("JSON");
    let rules = rules["runs"][0]["tool"]["driver"]["rules"].as_array().expect("rules").clone();
    let rules: BTreeSet<_> =
        rules.iter().map(|rule| rule["id"].as_str().expect("a rule").to_owned()).collect();
    assert_eq!(codes, rules);
}
