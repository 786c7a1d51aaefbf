//! The parts of `bake rehearse` that boot no VM. See `boot` for the others.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use crate::support::test;
use crate::support::{Folder, said, testbed};
use bake::project::values::Arch;
use bake::rehearse::{self, qemu, works};

/// Emulation works on every machine with QEMU, so the probe's disk prints its message.
#[test]
fn detects_which_accelerators_work() {
    testbed::program(qemu(Arch::Amd64));
    let folder = Folder::empty();
    // On a busy machine it may exceed its time limit.
    assert!((0..5).any(|_| works(Arch::Amd64, "tcg", folder.path()).expect("QEMU")));
    assert!(!works(Arch::Amd64, "none-such", folder.path()).expect("QEMU"));
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0);
}

#[test]
fn refuses_an_oversized_disk_before_starting() {
    testbed::program(qemu(Arch::Amd64));
    testbed::program("qemu-img");
    let folder = Folder::empty();
    fs::File::create(folder.join("image.raw")).and_then(|file| file.set_len(21 << 30)).expect("a disk");
    let refused = said(folder.command().args(["rehearse", "--disk"]).arg(folder.join("image.raw"))).ended(2);
    assert!(refused.err.contains("is a disk of 21 GB, and `gcp.boot_disk` is 20 GB"), "{}", refused.err);
    let absent = said(folder.command().args(["rehearse", "--disk", "none.qcow2"])).ended(2);
    assert!(absent.err.contains("error[bad-argument]: none.qcow2: No such file"), "{}", absent.err);
    for (file, why) in [("none/image", "none: No such file"), (".", ".: is a folder")] {
        let bake = ["rehearse", "--disk", "image.raw", "--bake", file];
        let refused = said(folder.command().args(bake)).ended(2);
        assert!(refused.err.contains(why), "{}", refused.err);
    }
    let none = said(folder.command().arg("rehearse")).ended(2);
    assert!(none.err.contains("debian-13-genericcloud-amd64.qcow2, and name it by --disk"), "{}", none.err);
}

/// Such an image would show the guest any file of this machine.
#[test]
fn refuses_disks_that_consist_of_several_files() {
    testbed::program(qemu(Arch::Amd64));
    let folder = Folder::empty();
    folder.write("secret.txt", "s".repeat(70_000));
    let qemu_img = |arguments: &[&str]| {
        let mut command = testbed::program("qemu-img");
        said(command.current_dir(folder.path()).args(arguments)).done();
    };
    qemu_img(&["create", "-q", "-f", "qcow2", "-F", "raw", "-b", "secret.txt", "overlay.img"]);
    qemu_img(&[
        "create",
        "-q",
        "-f",
        "qcow2",
        "-o",
        "data_file=outside.raw,data_file_raw=on",
        "split.img",
        "1M",
    ]);
    qemu_img(&["create", "-q", "-f", "vmdk", "-o", "subformat=twoGbMaxExtentFlat", "extents.img", "1M"]);
    let long = folder.join("secret.txt").display().to_string();
    qemu_img(&["create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b", &long, "deep.img", "1M"]);
    for (image, reason) in [
        ("overlay.img", "takes its content from secret.txt"),
        ("split.img", "takes its content from outside.raw"),
        ("deep.img", "/secret.txt, which could be any file of this machine"),
        ("extents.img", "is a vmdk image"),
    ] {
        let refused = said(folder.command().args(["rehearse", "--dir", "vm", "--disk", image])).ended(2);
        assert!(refused.err.contains(reason), "{image}: {}", refused.err);
        assert!(refused.err.contains("qemu-img convert -O qcow2"), "{image}: {}", refused.err);
        assert!(!folder.join("vm/boot.qcow2").exists(), "{image}");
    }
}

#[test]
fn refuses_invalid_vm_descriptions() {
    let folder = Folder::empty();
    for (text, message) in [
        ("name: vm", "vm.json: expected ident at line 1"),
        (r#"{"metadata": {"items": [{"key": "startup-script"}]}}"#, "has no `user-data`"),
    ] {
        folder.write("vm.json", text);
        let refused = ["rehearse", "--disk", "image.raw", "--metadata", "vm.json"];
        let refused = said(folder.command().args(refused)).ended(2);
        assert!(refused.err.contains(message), "{}", refused.err);
    }
    let absent = ["rehearse", "--disk", "image.raw", "--metadata", "none.json"];
    assert!(said(folder.command().args(absent)).ended(2).err.contains("none.json: No such file"));
}

#[test]
fn reports_an_image_that_does_not_boot() {
    testbed::program(qemu(Arch::Amd64));
    let folder = Folder::empty();
    fs::File::create(folder.join("image.raw")).and_then(|file| file.set_len(1 << 20)).expect("a disk");
    let image = folder.join("image.raw");
    let before = fs::read(&image).expect("the disk");
    let rehearse = ["rehearse", "--json", "--timeout=5", "--port=28789", "--disk"];
    let run = said(folder.command().args(rehearse).arg(&image)).ended(1);
    assert!(run.err.contains("the VM has said nothing within 5 s"), "{}", run.err);
    let document: serde_json::Value = serde_json::from_str(&run.out).expect("JSON");
    assert_eq!(document["ready"], false);
    assert!(document["error"].as_str().is_some_and(|error| error.contains("said nothing")), "{document}");
    assert_eq!(fs::read(&image).expect("the disk"), before);
}

#[test]
fn runs_without_root() {
    testbed::program(qemu(Arch::Amd64));
    testbed::program("setpriv");
    let folder = Folder::empty();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("the folder");
    fs::File::create(folder.join("image.raw")).and_then(|file| file.set_len(1 << 20)).expect("a disk");
    let program = folder.program_for_others();
    let mut unprivileged = Command::new("setpriv");
    unprivileged.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]).arg(&program);
    unprivileged.arg("-C").arg(folder.path()).args(["rehearse", "--timeout=3", "--port=28790"]);
    unprivileged.arg("--disk").arg(folder.join("image.raw")).arg("--dir").arg(folder.join("vm"));
    let run = said(&mut unprivileged).ended(1);
    assert!(run.err.contains("the VM has said nothing"), "{}", run.err);
    assert_eq!(fs::metadata(folder.join("vm/boot.qcow2")).expect("a boot disk").uid(), 65534);
}

/// As Compute Engine imports it: `disk.raw` in an archive that GNU tar reads.
#[test]
fn an_exported_disk_has_the_content_of_overlay_and_base() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    let content: Vec<u8> = (0..3_u32 << 18).flat_map(u32::to_le_bytes).collect();
    fs::write(path("base"), &content).expect("a file");
    let image = |arguments: &[&str]| {
        said(testbed::program("qemu-img").args(arguments).current_dir(folder.path())).done();
    };
    image(&["create", "-q", "-f", "qcow2", "-F", "raw", "-b", "base", "overlay", "4M"]);
    fs::write(path("disk.tar.gz"), "an older image").expect("a file");

    rehearse::export(&path("overlay"), &path("disk.tar.gz")).expect("an archive");
    let listed = said(Command::new("tar").arg("-tvzf").arg(path("disk.tar.gz"))).done().out;
    assert!(listed.starts_with("-rw-r--r-- ") && listed.trim_end().ends_with(" disk.raw"), "{listed}");
    said(Command::new("tar").arg("-xzf").arg(path("disk.tar.gz")).current_dir(folder.path())).done();
    let raw = fs::read(path("disk.raw")).expect("a disk");
    assert_eq!((raw.len(), &raw[..content.len()]), (4 << 20, &content[..]));
    assert!(raw[content.len()..].iter().all(|byte| *byte == 0));

    rehearse::export(&path("overlay"), &path("disk.qcow2")).expect("an image");
    let info =
        said(testbed::program("qemu-img").args(["info", "--output=json"]).arg(path("disk.qcow2"))).done().out;
    assert!(info.contains("\"qcow2\"") && !info.contains("backing-filename"), "{info}");
    let missing = rehearse::export(&path("nothing"), &path("disk.qcow2")).expect_err("no disk");
    assert!(missing.to_string().contains("nothing"), "{missing}");
    let mut left: Vec<_> =
        fs::read_dir(folder.path()).expect("a folder").flatten().map(|entry| entry.file_name()).collect();
    left.sort();
    assert_eq!(left, ["base", "disk.qcow2", "disk.raw", "disk.tar.gz", "overlay"]);
}
