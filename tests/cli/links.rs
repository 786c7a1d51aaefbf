//! A project may come from a stranger: no link in it leads out of its folder, for reading or for writing.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::support::{Folder, test};
use bake::digest::Sha256;
use bake::fetch::{Cache, Kept};

const PRIVATE: &str = "version: 1\nbinaries: []\ntoken: hunter2\n";

/// A file outside the project, and `name` in the project as a link to it.
fn linked(name: &str) -> (Folder, Folder) {
    let (project, outside) = (Folder::project(), Folder::empty());
    outside.write("private", PRIVATE);
    fs::remove_file(project.join(name)).expect("a file");
    symlink(outside.join("private"), project.join(name)).expect("a link");
    (project, outside)
}

#[test]
fn a_file_outside_is_neither_quoted_nor_written() {
    for name in ["bake.yaml", "bake.lock", "images/binaries.yaml"] {
        let (project, outside) = linked(name);
        for command in [&["check"][..], &["lock", "--offline"], &["render"], &["audit"], &["remove", "gog"]] {
            let said = project.bake(command.iter().copied());
            // `remove` needs no lock to edit the manifest.
            assert!(said.code != 0 || command[0] == "remove" && name == "bake.lock", "{name}: {command:?}");
            assert!(!said.err.contains("hunter2") && !said.out.contains("hunter2"), "{name}: {}", said.err);
            assert_eq!(outside.read("private"), PRIVATE, "{name}: {command:?}");
        }
        let said = project.bake(["check"]);
        assert!(said.err.contains(name) && said.err.contains("out of the folder"), "{}", said.err);
    }
}

#[test]
fn a_new_lock_is_not_written_through_a_link_to_nothing() {
    let (project, outside) = linked("bake.lock");
    fs::remove_file(outside.join("private")).expect("a file");
    project.bake(["lock", "--offline"]);
    assert!(!outside.join("private").exists());
}

#[test]
fn the_bundle_is_written_outside_only_where_the_user_names_that_folder() {
    let (project, outside) = (Folder::project(), Folder::empty());
    symlink(outside.path(), project.join("out")).expect("a link");
    let said = project.bake(["render"]).ended(2);
    assert!(said.err.contains("out of the folder"), "{}", said.err);
    assert_eq!(fs::read_dir(outside.path()).expect("a folder").count(), 0);
    let named = outside.join("bundle");
    project.bake(["render", "--out", named.to_str().expect("UTF-8")]).done();
    assert!(named.join("Dockerfile").exists());
}

#[test]
fn a_link_in_the_bundle_is_not_read() {
    let (project, outside) = (Folder::project(), Folder::empty());
    project.bake(["render"]).done();
    outside.write("private", PRIVATE);
    fs::remove_file(project.join("out/gcloud.sh")).expect("a file");
    symlink(outside.join("private"), project.join("out/gcloud.sh")).expect("a link");
    for command in [&["render", "--diff"][..], &["audit", "--against", "bundle"]] {
        let said = project.bake(command.iter().copied());
        assert!(!said.out.contains("hunter2") && !said.err.contains("hunter2"), "{}{}", said.out, said.err);
    }
}

/// Another user could change the bytes after they are verified.
#[test]
fn files_writable_by_others_are_copied_before_verification() {
    let folder = Folder::empty();
    let cache = Cache::open(folder.path()).expect("a cache");
    let digest = Sha256::of("right");
    let path = cache.path(&digest);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    for (mode, is_copied) in [(0o644, false), (0o664, true), (0o646, true)] {
        fs::write(&path, "right").expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("permissions");
        let Ok(Kept::Sound(mut file)) = cache.look(&digest) else { panic!("{mode:o}: not found") };
        fs::write(&path, "wrong").expect("a file");
        let mut content = String::new();
        std::io::Read::read_to_string(&mut file, &mut content).expect("content");
        assert_eq!(content == "right", is_copied, "{mode:o}");
        fs::remove_file(&path).expect("a file");
    }
}
