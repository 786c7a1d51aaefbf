//! `bake image` without any other tool: its output, its reproducibility, and its behaviour on errors.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::support::baked::{Baked, Layout, every_packing, lone, settings, two};
use crate::support::registry::{Registry, Reply};
use crate::support::server::{Answer, Gate};
use crate::support::test;
use crate::support::{Folder, interrupted, said, testbed};
use bake::digest::Sha256;
use bake::project::values::Arch;
use serde_json::{Value, json};

const BASE: [&str; 2] = ["--base", "base"];

/// A project on a layout, and the layout that was made of it.
fn built(tools: Vec<crate::support::baked::Tool>) -> (Baked, Layout) {
    let baked = Baked::on_layout(tools);
    baked.image(["build", "--base", "base"]);
    let layout = Layout(baked.folder.join("oci"));
    (baked, layout)
}

/// An entry of the added layer, as one line.
fn entries(tar: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().expect("a tarball").map(|entry| {
        let entry = entry.expect("an entry");
        let header = entry.header();
        let number = |value: std::io::Result<u64>| value.expect("a number");
        assert_eq!((number(header.uid()), number(header.gid()), number(header.mtime())), (0, 0, 0));
        let path = String::from_utf8(entry.path_bytes().into_owned()).expect("UTF-8");
        let target = entry.link_name_bytes().map(|target| String::from_utf8_lossy(&target).into_owned());
        let target = target.map(|target| format!(" -> {target}")).unwrap_or_default();
        format!("{:o} {path}{target}", header.mode().expect("a mode"))
    });
    entries.collect()
}

#[test]
fn the_layer_holds_the_binaries_where_the_dockerfile_puts_them() {
    let (baked, layout) = built(every_packing());
    for arch in Arch::ALL {
        let tar = layout.added(arch);
        let long = format!("{}/{}", "long".repeat(20), "name".repeat(20));
        let lib = |name: &str, files: &[(&str, &str)]| {
            let mut lines = vec![format!("755 usr/local/lib/{name}/")];
            lines.extend(files.iter().map(|(mode, path)| format!("{mode} usr/local/lib/{name}/{path}")));
            lines
        };
        let folder = format!("{}/", "long".repeat(20));
        let mut expected: Vec<String> = baked
            .tools
            .iter()
            .map(|tool| {
                let (name, path) = (tool.name, tool.path);
                if tool.keep_siblings {
                    format!("777 usr/local/bin/{name} -> ../lib/{name}/{path}")
                } else {
                    format!("755 usr/local/bin/{name}")
                }
            })
            .collect();
        expected.extend(lib(
            "codex",
            &[
                ("755", "CodexCLI"),
                ("644", "README.md"),
                ("755", "data/"),
                ("644", "data/said"),
                ("755", &folder),
                ("644", &long),
            ],
        ));
        expected.extend(lib(
            "deep",
            &[
                ("644", "README.md"),
                ("755", "deep-1/"),
                ("755", "deep-1/data/"),
                ("644", "deep-1/data/said"),
                ("755", "deep-1/deep"),
                ("755", &folder),
                ("644", &long),
            ],
        ));
        expected.extend(lib(
            "plugins",
            &[
                ("644", "README.md"),
                ("755", "bin/"),
                ("755", "bin/data/"),
                ("644", "bin/data/said"),
                ("755", "bin/plugins"),
                ("755", &folder),
                ("644", &long),
            ],
        ));
        expected.sort_by_key(|line| line.split(' ').nth(1).map(|path| path.trim_end_matches('/').to_owned()));
        assert_eq!(entries(&tar), expected);

        let mut archive = tar::Archive::new(tar.as_slice());
        let mut contents = BTreeMap::new();
        for entry in archive.entries().expect("a tarball") {
            let mut entry = entry.expect("an entry");
            let path = entry.path().expect("a path").into_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("content");
            contents.insert(path, bytes);
        }
        for tool in &baked.tools {
            let path = if tool.keep_siblings {
                format!("usr/local/lib/{}/{}", tool.name, tool.path)
            } else {
                format!("usr/local/bin/{}", tool.name)
            };
            assert!(contents[Path::new(&path)] == tool.binary(arch), "{}", tool.name);
        }
        assert_eq!(contents[Path::new("usr/local/lib/codex/data/said")], b"said\n");
    }
}

/// Registries and VMs compare layers by digest: another compressor or header format would change the image for
/// everyone.
#[test]
fn the_layer_is_the_same_bytes_as_ever() {
    let (_baked, layout) = built(two());
    let manifest = layout.manifest(Arch::Amd64);
    let layer = &manifest["layers"][1];
    assert_eq!(
        Sha256::of(layout.added(Arch::Amd64)).oci(),
        "sha256:39d7c9f1d0fb4285bdcf0be4904da175c173c43fd4270a24cf0652dadd7c9700"
    );
    assert_eq!(layer["digest"], "sha256:4a70f1bda80e70659bb95c03a685bbf8b3e642608c89327ee0d623d3a3f23c6d");
    assert_eq!(layer["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");
    // This version must change with the digest above: otherwise an existing layer would be reused, and one
    // lock would give two digests.
    let annotations = layout.json("index.json")["manifests"][0]["annotations"].clone();
    assert_eq!(annotations["ai.openclaw.bake.gzip"], "1");
}

#[test]
fn the_config_is_the_base_images_but_for_user_labels_and_layer() {
    let (baked, layout) = built(two());
    let lock = Sha256::of(baked.folder.read("bake.lock")).to_string();
    for arch in Arch::ALL {
        let mut config = layout.config(arch);
        let diff_ids = config["rootfs"]["diff_ids"].as_array().expect("layers").clone();
        assert_eq!(diff_ids[1], Sha256::of(layout.added(arch)).oci());
        let base = crate::support::baked::base();
        let labels = json!({
            "ai.openclaw.bake.lock": lock,
            "maintainer": "somebody",
            "org.opencontainers.image.base.digest": base.digest().oci(),
            "org.opencontainers.image.base.name": format!("registry.example/owner/base:1.2@{}", base.digest().oci()),
            "org.opencontainers.image.revision": "0123456789abcdef",
            "org.opencontainers.image.source": "https://example.org/base",
            "org.opencontainers.image.version": "1.2",
        });
        let mut expected = settings();
        expected["config"]["User"] = json!("1000:1000");
        expected["config"]["Labels"] = labels.clone();
        expected["created"] = json!("1970-01-01T00:00:00Z");
        expected["history"] = json!([
            {"created_by": "a builder"},
            {"created": "1970-01-01T00:00:00Z", "created_by": "bake image"},
        ]);
        expected["architecture"] = json!(arch.as_str());
        expected["os"] = json!("linux");
        config["rootfs"] = Value::Null;
        expected["rootfs"] = Value::Null;
        assert_eq!(config, expected);

        let mut annotations = labels;
        let annotations = annotations.as_object_mut().expect("labels");
        annotations.remove("maintainer");
        annotations.insert("org.opencontainers.image.created".to_owned(), json!("1970-01-01T00:00:00Z"));
        assert_eq!(layout.manifest(arch)["annotations"], json!(annotations));
        assert_eq!(layout.index()["annotations"], json!(annotations));
    }
}

#[test]
fn the_base_images_layers_are_taken_as_they_are() {
    let (_baked, layout) = built(two());
    let base = crate::support::baked::base();
    for arch in Arch::ALL {
        let layer = layout.manifest(arch)["layers"][0].clone();
        let digest = layer["digest"].as_str().expect("a digest").parse().expect("a digest");
        assert!(layout.blob(&layer) == base.blobs[&digest]);
    }
}

#[test]
fn the_time_is_the_one_that_is_asked_for() {
    let baked = Baked::on_layout(two());
    let mut build = baked.command();
    build.env("SOURCE_DATE_EPOCH", "86400").args(["image", "build", "--base", "base"]);
    said(&mut build).done();
    let layout = Layout(baked.folder.join("oci"));
    assert_eq!(layout.config(Arch::Amd64)["created"], "1970-01-02T00:00:00Z");
    let tar = layout.added(Arch::Amd64);
    let mut archive = tar::Archive::new(tar.as_slice());
    for entry in archive.entries().expect("a tarball") {
        assert_eq!(entry.expect("an entry").header().mtime().expect("a time"), 86400);
    }
    for wrong in ["-1", "now", "99999999999"] {
        let mut build = baked.command();
        build.env("SOURCE_DATE_EPOCH", wrong).args(["image", "build", "--base", "base"]);
        assert!(said(&mut build).ended(2).err.contains("SOURCE_DATE_EPOCH"), "{wrong}");
    }
}

/// Every file below a folder, with its digest.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Sha256> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        for entry in fs::read_dir(&path).expect("a folder").flatten() {
            if entry.path().is_dir() {
                open.push(entry.path());
            } else {
                let name = entry.path().strip_prefix(folder).expect("below it").to_owned();
                found.insert(name, Sha256::of(fs::read(entry.path()).expect("a file")));
            }
        }
    }
    found
}

#[test]
fn the_same_lock_is_the_same_bytes_elsewhere() {
    let (baked, layout) = built(every_packing());
    baked.image(["save", "image.tar", "--base", "base"]);
    let (here, tarball) =
        (tree(&layout.0), Sha256::of(fs::read(baked.folder.join("image.tar")).expect("a file")));

    // Another folder, another user, another umask, one processor, a cold cache, another time zone.
    let elsewhere = Folder::empty();
    let project = elsewhere.path().join("another folder/of somebody's");
    copy(baked.folder.path(), &project, 65534);
    let mut setpriv = testbed::program("setpriv");
    testbed::program("taskset");
    let script = "umask 077; exec taskset --cpu-list 0 \"$@\"";
    setpriv.args(["--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", script, "sh"]);
    setpriv.arg(elsewhere.program_for_others()).current_dir(&project);
    setpriv.env("BAKE_CACHE_DIR", project.join("cache")).env("TZ", "Asia/Tokyo").env("LC_ALL", "de_DE.UTF-8");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(setpriv.get_program());
        command.args(setpriv.get_args()).args(arguments).current_dir(&project);
        command.envs(setpriv.get_envs().filter_map(|(name, value)| Some((name, value?))));
        said(&mut command).done();
    };
    fs::set_permissions(elsewhere.path(), fs::Permissions::from_mode(0o755)).expect("permissions");
    run(&["image", "build", "--base", "base", "--out", "there"]);
    assert_eq!(tree(&project.join("there")), here);
    run(&["image", "save", "there.tar", "--base", "base"]);
    assert_eq!(Sha256::of(fs::read(project.join("there.tar")).expect("a file")), tarball);
    // A warm cache.
    fs::remove_dir_all(project.join("there")).expect("a folder");
    run(&["image", "build", "--base", "base", "--out", "there"]);
    assert_eq!(tree(&project.join("there")), here);
}

/// Copies a folder for another user, as if it had been written at another time.
fn copy(from: &Path, to: &Path, user: u32) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let path = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &path, user);
        } else if entry.file_name() != "image.tar" {
            fs::copy(entry.path(), &path).expect("a copy");
            let file = File::options().write(true).open(&path).expect("a file");
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1)).expect("a time");
            chown(&path, Some(user), Some(user)).expect("an owner");
        }
    }
    chown(to, Some(user), Some(user)).expect("an owner");
}

#[test]
fn existing_files_are_verified_before_reuse() {
    let (baked, layout) = built(two());
    let digest = layout.json("index.json")["manifests"][0]["digest"].clone();
    let again = baked.image(["build", "--base", "base"]);
    assert_eq!((&again["changed"], &again["digest"]), (&json!(false), &digest));

    let base = layout.manifest(Arch::Amd64)["layers"][0].clone();
    let path =
        format!("blobs/sha256/{}", base["digest"].as_str().expect("a digest").trim_start_matches("sha256:"));
    let path = layout.0.join(path);
    let inode = fs::metadata(&path).expect("a blob").ino();
    let before = tree(&layout.0);
    // A byte of another blob: that one is brought again, and the base image's layer is not.
    let added = layout.manifest(Arch::Arm64)["layers"][1].clone();
    let added = layout.0.join(format!("blobs/sha256/{}", &added["digest"].as_str().expect("a digest")[7..]));
    let mut bytes = fs::read(&added).expect("a blob");
    crate::support::audit::flip(&mut bytes, 20);
    fs::write(&added, bytes).expect("a blob");
    assert_eq!(baked.image(["build", "--base", "base"])["changed"], true);
    assert_eq!(tree(&layout.0), before);
    assert_eq!(fs::metadata(&path).expect("a blob").ino(), inode);

    // Files of an older image are removed.
    let mut later = baked.command();
    said(later.env("SOURCE_DATE_EPOCH", "1").args(["image", "build", "--base", "base"])).done();
    let after = tree(&layout.0);
    assert_eq!(after.len(), before.len());
    assert!(!added.exists() && after != before);
}

#[test]
fn a_reused_layer_needs_no_archive() {
    let (baked, layout) = built(lone());
    let before = tree(&layout.0);
    baked.without_archives();
    assert_eq!(baked.image(["build", "--base", "base"])["changed"], false);
    // The documents do not change the layer either …
    baked.folder.write("oci/sbom.cdx.json", "");
    assert_eq!(baked.image(["build", "--base", "base"])["changed"], true);
    assert_eq!(tree(&layout.0), before);
    // … nor for a tarball.
    baked.image(["save", "x.tar", "--base", "base"]);
}

#[test]
fn a_layer_of_another_lock_is_not_reused() {
    /// Each must fail for want of archives.
    fn is_made_anew(baked: &Baked, what: &str) {
        let said = baked.bake(["image", "build", "--base", "base"]).ended(1);
        assert!(said.err.contains("error[upstream-gone]"), "{what}: {}", said.err);
    }
    let change = |what: &str, change: &dyn Fn(&Baked, &Layout)| {
        let (baked, layout) = built(lone());
        baked.without_archives();
        change(&baked, &layout);
        is_made_anew(&baked, what);
    };
    change("another executable is locked", &|baked, _| {
        baked.relock(|lock| {
            let tool = lock.binaries.get_mut(&"zst".parse().expect("a name")).expect("a tool");
            let build = tool.builds.get_mut(&Arch::Amd64).expect("a build");
            build.binary_sha256 = Some(Sha256::of("another"));
        });
    });
    change("one tool less is locked", &|baked, _| {
        baked.bake(["remove", "bare"]).done();
    });
    change("it was compressed in another way", &|_, layout| {
        let index = layout.0.join("index.json");
        let text = fs::read_to_string(&index).expect("an index");
        let form = "\"ai.openclaw.bake.gzip\":\"";
        assert!(text.contains(form), "{text}");
        fs::write(index, text.replace(form, &format!("{form}0."))).expect("a file");
    });
    for at in [20, 400] {
        change("a byte of the layer is another one", &|_, layout| {
            let added = layout.manifest(Arch::Arm64)["layers"][1].clone();
            let digest = added["digest"].as_str().expect("a digest").to_owned();
            let path = layout.0.join(format!("blobs/sha256/{}", digest.trim_start_matches("sha256:")));
            let mut bytes = fs::read(&path).expect("a blob");
            crate::support::audit::flip(&mut bytes, at);
            fs::write(path, bytes).expect("a blob");
        });
    }
    // Consistent, but wrong according to the lock: the layer of the other architecture.
    change("its documents name the wrong layer", &|_, layout| {
        let mut index = layout.index();
        for entry in index["manifests"].as_array_mut().expect("manifests") {
            let other = if entry["platform"]["architecture"] == "amd64" { "arm64" } else { "amd64" };
            entry["platform"]["architecture"] = json!(other);
        }
        let text = index.to_string();
        let digest = Sha256::of(&text);
        fs::write(layout.0.join(format!("blobs/sha256/{digest}")), &text).expect("a blob");
        let mut top = layout.json("index.json");
        top["manifests"][0]["digest"] = json!(digest.oci());
        top["manifests"][0]["size"] = json!(text.len());
        fs::write(layout.0.join("index.json"), top.to_string()).expect("an index");
    });
    // The same files with other rights.
    change("its entries are of another kind", &|_, layout| {
        let mut packed =
            tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        let tar = layout.added(Arch::Amd64);
        let mut archive = tar::Archive::new(tar.as_slice());
        for entry in archive.entries().expect("a tarball") {
            let mut entry = entry.expect("an entry");
            let mut header = entry.header().clone();
            header.set_mode(0o4755);
            header.set_cksum();
            packed.append(&header, &mut entry).expect("an entry");
        }
        let tar = packed.into_inner().and_then(flate2::write::GzEncoder::finish).expect("a tarball");
        layout.replace_added(Arch::Amd64, &tar);
    });
}

/// If the lock does not cover every file of the layer, the archives are read, and an identical layer is still
/// reused. This one is compressed in a way that no run produces.
#[test]
fn a_reused_layer_is_not_compressed_again() {
    let (baked, layout) = built(two());
    let tar = layout.added(Arch::Amd64);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    packed.write_all(&tar).expect("memory");
    layout.replace_added(Arch::Amd64, &packed.finish().expect("memory"));
    let added = layout.manifest(Arch::Amd64)["layers"][1].clone();
    baked.image(["build", "--base", "base"]);
    assert_eq!(layout.manifest(Arch::Amd64)["layers"][1], added);

    // Not where the tarball is another one, of another time.
    let mut later = baked.command();
    said(later.env("SOURCE_DATE_EPOCH", "1").args(["image", "build", "--base", "base"])).done();
    assert_ne!(layout.manifest(Arch::Amd64)["layers"][1], added);
}

/// The base image's layer, with another byte in it and no other time of its last change.
fn alter_base(layout: &Layout) {
    let base = layout.manifest(Arch::Amd64)["layers"][0].clone();
    let digest = base["digest"].as_str().expect("a digest").trim_start_matches("sha256:").to_owned();
    let path = layout.0.join("blobs/sha256").join(digest);
    let mut bytes = fs::read(&path).expect("a blob");
    crate::support::audit::flip(&mut bytes, 20);
    let modified = fs::metadata(&path).and_then(|file| file.modified()).expect("a time");
    let mut file = File::options().write(true).open(path).expect("a blob");
    file.write_all(&bytes).and_then(|()| file.set_modified(modified)).expect("a blob");
}

#[test]
fn a_changed_file_is_found_despite_its_old_times() {
    let build = |baked: &Baked| baked.image(["build", "--base", "base"])["changed"].clone();
    let (baked, layout) = built(two());
    assert_eq!(build(&baked), false);
    alter_base(&layout);
    assert_eq!(build(&baked), true, "a layer was not read");
    assert_eq!(build(&baked), false);
    // The record of an older version is ignored, and so is a planted one.
    assert!(!baked.cache().join("proofs").exists());
}

#[test]
fn files_of_others_are_left_alone() {
    let baked = Baked::on_layout(two());
    baked.folder.write("oci/mine", "mine");
    let said = baked.bake(["image", "build", "--base", "base"]).ended(2);
    assert!(said.err.contains("move it away"), "{}", said.err);
    assert_eq!(baked.folder.read("oci/mine"), "mine");
    // A layout of another program's, such as the base image.
    let said = baked.bake(["image", "build", "--base", "base", "--out", "base"]).ended(2);
    assert!(said.err.contains("move it away"), "{}", said.err);
    let said = baked.bake(["image", "save", "base", "--base", "base"]).ended(2);
    assert!(said.err.contains("move it away"), "{}", said.err);
}

#[test]
fn settings_that_need_a_builder_are_reported_with_their_place() {
    let baked = Baked::on_layout(two());
    baked.folder.edit("bake.yaml", "apt: []", "apt: [socat, ed]");
    let said = baked.bake(["image", "build", "--base", "base"]).ended(2);
    let spec = baked.folder.read("bake.yaml");
    let line = spec.lines().position(|line| line.contains("apt: [")).expect("a line") + 1;
    let place = format!("bake.yaml:{line}:");
    for part in ["error[needs-builder]", "socat, ed", &place, "set `apt: []`", "bake render"] {
        assert!(said.err.contains(part), "{part} is not in: {}", said.err);
    }
    assert!(!baked.folder.join("oci").exists());
    baked.folder.edit("bake.yaml", "apt: [socat, ed]", "apt: []");
    baked.folder.edit("images/binaries.yaml", "\"name\":\"flat\"", "\"name\":\"flat\",\"apt\":[\"ffmpeg\"]");
    baked.relock(|lock| {
        let tool = lock.binaries.get_mut(&"flat".parse().expect("a name")).expect("a tool");
        tool.apt = vec!["ffmpeg".parse().expect("a package")];
    });
    let said = baked.bake(["image", "save", "x.tar", "--base", "base"]);
    assert!(said.err.contains("flat needs the Debian package ffmpeg"), "{}", said.err);
    assert_eq!(said.code, 2);
}

#[test]
fn a_base_image_with_commands_for_builders_is_refused_before_anything_is_fetched() {
    let mut settings = settings();
    settings["config"]["OnBuild"] = json!(["RUN make"]);
    let parts = crate::support::images::image_with("amd64", &[], &settings);
    let baked = Baked::on(&format!("registry.example/owner/base:1.2@{}", parts.digest().oci()), two());
    parts.layout(&baked.folder.join("base"), "1");
    for command in [&["build"][..], &["save", "x.tar"], &["push", "localhost:9/x"]] {
        let said = baked.bake(["image"].iter().chain(command).chain(&BASE).copied()).ended(2);
        for part in ["error[needs-builder]", "ONBUILD", "bake.yaml:", "@sha256:", "`gateway.image`"] {
            assert!(said.err.contains(part), "{part}: {}", said.err);
        }
    }
    assert!(!baked.folder.join("oci").exists());
    assert_eq!(baked.server.paths(), Vec::<String>::new());
}

#[test]
fn an_architecture_without_all_builds_is_left_out_and_named() {
    let baked = Baked::on_layout(two());
    let only = "\"name\":\"flat\",\"arch\":{\"amd64\":\"amd64\"}";
    baked.folder.edit("images/binaries.yaml", "\"name\":\"flat\"", only);
    baked.relock(|lock| {
        let tool = lock.binaries.get_mut(&"flat".parse().expect("a name")).expect("a tool");
        tool.builds.remove(&Arch::Arm64);
    });
    let said = baked.bake(["image", "build", "--base", "base"]).done();
    assert!(said.err.contains("linux/arm64 is left out: no build is locked of flat"), "{}", said.err);
    let index = Layout(baked.folder.join("oci")).index();
    assert_eq!(index["manifests"].as_array().map(Vec::len), Some(1));
    let said = baked.bake(["image", "save", "x.tar", "--arch", "arm64", "--base", "base"]).ended(1);
    assert!(said.err.contains("linux/arm64: no build is locked of flat"), "{}", said.err);
}

#[test]
fn an_executable_that_is_not_the_locked_one_is_refused() {
    let baked = Baked::on_layout(two());
    baked.relock(|lock| {
        let tool = lock.binaries.get_mut(&"codex".parse().expect("a name")).expect("a tool");
        tool.builds.get_mut(&Arch::Arm64).expect("a build").binary_sha256 = Some(Sha256::of("another"));
    });
    let said = baked.bake(["image", "build", "--base", "base"]).ended(1);
    assert!(said.err.contains("codex arm64: the executable has SHA-256"), "{}", said.err);
    assert!(!baked.folder.join("oci").exists());
}

#[test]
fn a_base_image_that_is_not_the_locked_one_is_refused() {
    let baked = Baked::on_layout(two());
    // Another image under the name of the layout.
    let other = crate::support::images::image("amd64", &[]);
    let _ = fs::remove_dir_all(baked.folder.join("base"));
    other.layout(&baked.folder.join("base"), "1");
    let said = baked.bake(["image", "build", "--base", "base"]).ended(1);
    assert!(said.err.contains("is missing;"), "{}", said.err);

    // The right one, with a byte of a layer changed.
    let parts = crate::support::baked::base();
    parts.layout(&baked.folder.join("base"), "1");
    let layer = parts.blobs.iter().find(|(_, bytes)| bytes.starts_with(&[0x1f, 0x8b])).expect("a layer");
    let path = baked.folder.join(&format!("base/blobs/sha256/{}", layer.0));
    let mut bytes = fs::read(&path).expect("a blob");
    crate::support::audit::flip(&mut bytes, 30);
    fs::write(&path, bytes).expect("a blob");
    for arguments in [&["build"][..], &["save", "x.tar"]] {
        let arguments: Vec<_> = ["image"].iter().chain(arguments).chain(&BASE).copied().collect();
        let said = baked.bake(arguments);
        // Either architecture's layer may be the changed one.
        if said.code != 0 {
            assert!(said.err.contains("do not use this image"), "{}", said.err);
        }
        assert!(said.code == 1 || !said.out.contains("oci"), "{}", said.out);
    }
    nothing_is_left(&baked, &[]);
}

/// Asserts that the project's folder has no files of a run except `kept`.
#[track_caller]
fn nothing_is_left(baked: &Baked, kept: &[&str]) {
    let names = fs::read_dir(baked.folder.path()).expect("a folder").flatten();
    let names: Vec<_> = names.map(|entry| entry.file_name().into_string().expect("UTF-8")).collect();
    let strange = |name: &&String| name.starts_with(".oci") || name.starts_with(".x.tar") || *name == "oci";
    let left: Vec<_> = names.iter().filter(strange).filter(|name| !kept.contains(&name.as_str())).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Whether something is there that is not whole yet.
fn is_begun(baked: &Baked) -> bool {
    let staged = |name: &str| name.starts_with(".oci.bake-") || name.starts_with(".x.tar.bake-");
    let mut entries = fs::read_dir(baked.folder.path()).expect("a folder").flatten();
    entries.any(|entry| staged(&entry.file_name().to_string_lossy()))
}

#[test]
fn ctrl_c_ends_it_at_once_and_leaves_nothing() {
    let parts = crate::support::baked::base();
    let registry = Registry::with(&parts);
    let reference = format!("{}@{}", registry.reference(), parts.digest().oci());
    let baked = Baked::on(&reference, two());
    let layers = || parts.blobs.iter().filter(|(_, bytes)| bytes.starts_with(&[0x1f, 0x8b]));
    for (digest, _) in layers() {
        let elsewhere = baked.server.url(&format!("/layer/{digest}"));
        let elsewhere = Reply::status(307).header("Location", elsewhere);
        registry.reply(&format!("/v2/image/blobs/{}", digest.oci()), &[elsewhere]);
    }
    for arguments in [["image", "build"].as_slice(), &["image", "save", "x.tar"]] {
        // The base image's layers come from elsewhere, and halt in the middle.
        let gate = Gate::default();
        for (digest, bytes) in layers() {
            let answer = Answer::of(bytes.clone()).wait_at(bytes.len() / 2, &gate);
            baked.server.answer(&format!("/layer/{digest}"), answer);
        }
        let asked = || baked.server.paths().iter().filter(|path| path.contains("/layer/")).count();
        let mut seen = 0;
        let err = interrupted(baked.command().args(arguments), || {
            seen += asked();
            seen == 1 && is_begun(&baked)
        });
        assert_eq!(err, "error[interrupted]: interrupted; no files were left behind\n");
        // The program does not wait for the stalled registry and retry.
        assert_eq!(asked(), 0);
        nothing_is_left(&baked, &[]);
        assert!(!baked.folder.join("x.tar").exists() && !baked.folder.join("x.tar.cdx.json").exists());
        gate.open();
    }
}

#[test]
fn ctrl_c_ends_a_silent_download_too() {
    let (baked, layout) = built(two());
    let before = tree(&layout.0);
    let path = "/amd64/flat.tar.gz";
    // Packed once more it would be of another time, and of another length perhaps.
    let tool = baked.tools.iter().find(|tool| tool.name == "flat").expect("a tool");
    let sha256 = baked.archive(tool, Arch::Amd64).1;
    let cached = tree(baked.cache()).into_iter().find(|(_, digest)| *digest == sha256);
    let archive = fs::read(baked.cache().join(cached.expect("a cached one").0)).expect("a file");
    let half = archive.len() / 2;
    baked.without_archives();
    for (arguments, left) in [
        (["image", "build"].as_slice(), "no files were left behind"),
        (&["image", "save", "x.tar"], "no files were left behind"),
        (&["image", "push", "localhost:9/x"], "the registry keeps the blobs that it has"),
    ] {
        // Otherwise the partial download of an earlier run would be resumed.
        fs::remove_dir_all(baked.cache()).expect("a folder");
        fs::create_dir(baked.cache()).expect("a folder");
        let gate = Gate::default();
        baked.server.answer(path, Answer::of(archive.clone()).wait_at(half, &gate));
        baked.server.requests();
        let asked = || baked.server.paths().iter().any(|asked| asked == path);
        let err = interrupted(baked.command().args(arguments).args(BASE), asked);
        assert!(err.starts_with(&format!("error[interrupted]: interrupted; {left}")), "{arguments:?}: {err}");
        nothing_is_left(&baked, &["oci"]);
        assert_eq!(tree(&layout.0), before);
        gate.open();
    }
}

#[test]
fn the_next_run_removes_the_files_of_a_killed_one() {
    let baked = Baked::on_layout(two());
    baked.folder.write(".oci.bake-killed/layout/blobs/sha256/half", "half");
    baked.image(["build", "--base", "base"]);
    nothing_is_left(&baked, &["oci"]);
}

#[test]
fn a_full_disk_leaves_nothing() {
    let baked = Baked::on_layout(two());
    for (size, arguments) in [("4k", ["build", "--out"]), ("8k", ["save", "--base"])] {
        let mut unshare = testbed::program("unshare");
        fs::create_dir_all(baked.folder.join("small")).expect("a folder");
        let script = "mount -t tmpfs -o size=$SIZE tmpfs small || exit 9
            \"$@\"; code=$?; ls -A small; exit $code";
        let bake = baked.command();
        unshare.args(["--mount", "sh", "-c", script, "sh"]).arg(bake.get_program());
        unshare.env_clear().envs(bake.get_envs().filter_map(|(name, value)| Some((name, value?))));
        unshare.env("SIZE", size).current_dir(baked.folder.path());
        unshare.args(match arguments[0] {
            "build" => ["image", "build", "--base", "base", "--out", "small/oci"],
            _ => ["image", "save", "--base", "base", "--", "small/x.tar"],
        });
        let said = said(&mut unshare).ended(1);
        assert!(said.err.contains("No space left on device"), "{}", said.err);
        assert_eq!(said.out, "", "something is left");
    }
}

/// The errors of an SBOM according to CycloneDX's schema (`fixtures/cyclonedx`, Apache-2.0).
fn faults(sbom: &Value) -> Vec<String> {
    /// The schemas of licences and of signatures, of which there are none here.
    struct Unused;

    impl jsonschema::Retrieve for Unused {
        fn retrieve(
            &self,
            _: &jsonschema::Uri<String>,
        ) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
            Ok(json!({"definitions": {"signature": false}, "not": {}}))
        }
    }
    let schema = include_str!("../../fixtures/cyclonedx/bom-1.5.schema.json");
    let schema = serde_json::from_str(schema).expect("JSON");
    let validator = jsonschema::options().with_retriever(Unused).build(&schema).expect("a schema");
    validator.iter_errors(sbom).map(|error| error.to_string()).collect()
}

#[test]
fn the_sbom_names_every_part_with_its_checksum() {
    let (baked, layout) = built(two());
    let bytes = fs::read(layout.0.join("sbom.cdx.json")).expect("an SBOM");
    let sbom: Value = serde_json::from_slice(&bytes).expect("JSON");
    assert_eq!(faults(&sbom), [""; 0]);
    let mut wrong = sbom.clone();
    wrong["components"][0]["hashes"][0]["alg"] = "SHA256".into();
    assert_eq!(faults(&wrong).len(), 1);
    let digest =
        layout.json("index.json")["manifests"][0]["digest"].as_str().expect("a digest")[7..].to_owned();
    assert_eq!(sbom["metadata"]["component"]["hashes"], json!([{"alg": "SHA-256", "content": digest}]));
    let components = sbom["components"].as_array().expect("components");
    let of = |name: &str| {
        let found = components.iter().find(|component| component["bom-ref"] == name);
        found.unwrap_or_else(|| panic!("{name}")).clone()
    };
    let base = crate::support::baked::base().digest();
    assert_eq!(components[0]["hashes"][0]["content"], base.to_string());
    for tool in &baked.tools {
        for arch in Arch::ALL {
            let component = of(&format!("binary:{}/{arch}", tool.name));
            assert_eq!(component["hashes"][0]["content"], Sha256::of(tool.binary(arch)).to_string());
            let archive = &component["externalReferences"][0];
            let lock = baked.folder.read("bake.lock");
            assert!(lock.contains(archive["hashes"][0]["content"].as_str().expect("a checksum")));
            assert!(lock.contains(archive["url"].as_str().expect("a URL")));
        }
    }
    assert_eq!(components.len(), 1 + 2 * baked.tools.len());
}

#[test]
fn the_tarball_is_what_docker_save_writes_today() {
    let baked = Baked::on_layout(two());
    let said = baked.image(["save", "x.tar", "--base", "base"]);
    let mut files = BTreeMap::new();
    let tarball = fs::read(baked.folder.join("x.tar")).expect("a tarball");
    let mut archive = tar::Archive::new(tarball.as_slice());
    for entry in archive.entries().expect("a tarball") {
        let mut entry = entry.expect("an entry");
        let path = entry.path().expect("a path").display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("content");
        if let Some(digest) = path.strip_prefix("blobs/sha256/") {
            assert_eq!(Sha256::of(&bytes).to_string(), digest);
        }
        files.insert(path, bytes);
    }
    let json = |path: &str| -> Value { serde_json::from_slice(&files[path]).expect("JSON") };
    let manifest = json("manifest.json");
    let name = format!("openclaw-gateway:{}", Sha256::of(baked.folder.read("bake.lock")).short(12));
    assert_eq!(manifest[0]["RepoTags"], json!([name]));
    assert_eq!(said["name"], name);
    for path in manifest[0]["Layers"].as_array().expect("layers").iter().chain([&manifest[0]["Config"]]) {
        assert!(files.contains_key(path.as_str().expect("a path")), "{path}");
    }
    assert_eq!(json("index.json")["manifests"][0]["digest"], said["digest"]);
    // Three documents, two layers, config and manifest.
    assert_eq!(files.len(), 7);
    // The same manifest as in the index of all architectures.
    baked.image(["build", "--base", "base"]);
    assert_eq!(Layout(baked.folder.join("oci")).index()["manifests"][0]["digest"], said["digest"]);
}

#[test]
fn an_empty_lock_adds_no_layer() {
    let (_baked, layout) = built(Vec::new());
    let manifest = layout.manifest(Arch::Amd64);
    assert_eq!(manifest["layers"].as_array().map(Vec::len), Some(1));
    let config = layout.config(Arch::Amd64);
    assert_eq!(config["history"][1]["empty_layer"], true);
    assert_eq!(config["config"]["User"], "1000:1000");
}
